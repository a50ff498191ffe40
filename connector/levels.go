package connector

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/configtopic"
)

// maxLevels bounds what the config topic keeps.
const maxLevels = 1000

// SetLoggerLevel sets a logger's level in every worker of the group that runs now, through the config
// topic. As in Kafka Connect, a worker that starts later has the levels that it was started with.
func (w *Worker) SetLoggerLevel(ctx context.Context, logger, level string) error {
	if err := w.Ready(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if _, err := w.store.Update(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
		if _, known := v.Loggers[logger]; !known && len(v.Loggers) >= maxLevels {
			return nil, config.Problem{Key: logger, Message: fmt.Sprintf("levels of %d loggers are in the config topic, and more are not kept", maxLevels), Remedy: "set the level of a logger above it"}
		}
		return []configtopic.Change{configtopic.PutLevel(logger, level)}, nil
	}); err != nil {
		return err
	}
	return w.reconcileNow(ctx)
}

// setLevels carries out the levels of a view that were not carried out yet. The caller has w.applying.
func (w *Worker) setLevels(v configtopic.View) {
	loggers := slices.SortedFunc(maps.Keys(v.Loggers), func(a, b string) int { return cmp.Compare(v.Loggers[a].Version, v.Loggers[b].Version) })
	for _, logger := range loggers { // in the order in which they were set: one sets those below it
		if level := v.Loggers[logger]; w.levels[logger] != level && w.cfg.LoggerLevel != nil {
			w.cfg.LoggerLevel(logger, level.Name)
		}
	}
	w.levels = v.Loggers
}
