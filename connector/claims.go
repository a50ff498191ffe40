package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/coupastream/coupastream/connector/configtopic"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
)

// claims keeps in the config topic where the shards' positions are.
type claims struct{ store *configtopic.Store }

// Claimed implements shard.Claims.
func (c claims) Claimed(n int32) (shard.Claim, bool) {
	claim, ok := c.store.View().Claims[n]
	return shard.Claim(claim), ok
}

// Latest implements shard.Claims.
func (c claims) Latest(ctx context.Context, n int32) (latest shard.Claim, claimed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	_, err = c.store.Update(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
		var claim configtopic.Claim
		claim, claimed = v.Claims[n]
		latest = shard.Claim(claim)
		return nil, nil
	})
	return latest, claimed, err
}

// Claim implements shard.Claims.
func (c claims) Claim(ctx context.Context, n int32, claim shard.Claim) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return c.store.SetClaim(ctx, n, configtopic.Claim(claim))
}

// checkpointCheck is how often the checkpoint topic is looked at while nothing is wrong with it.
const checkpointCheck = 5 * time.Minute

// watchCheckpoint looks now and then, until ctx ends, whether the checkpoint topic still is one that keeps
// positions. Another cleanup.policy is told for as long as it is so; a topic that is gone or another one
// ends the ownerships, which say then what was lost.
func (w *Worker) watchCheckpoint(ctx context.Context) {
	topic := w.settings.CheckpointTopic
	for clock.Sleep(ctx, checkpointCheck) {
		id, policy, err := w.topics.Checkpoint(ctx, topic)
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition), err == nil && id != w.checkpointID:
			for _, s := range w.shards {
				if s.IsAssigned() {
					s.GiveUp(fmt.Errorf("checkpoint.topic %s is gone, or another one", topic))
				}
			}
			continue
		case err != nil:
			continue // the next look will tell
		}
		var warning *status.Trouble
		if policy != "" && policy != "compact" {
			warning = &status.Trouble{
				At:      time.Now(),
				Message: fmt.Sprintf("checkpoint.topic %s has cleanup.policy=%s now, which deletes positions", topic, policy),
				Remedy:  "set it to compact at once: kafka-configs --alter --add-config cleanup.policy=compact",
			}
			w.log.Error("the checkpoint topic has another cleanup.policy and will lose positions; set it to compact", "topic", topic, "cleanup.policy", policy)
		}
		for _, m := range w.all() {
			for _, t := range m.tasks {
				t.Warn(warning)
			}
		}
	}
}
