package connector

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/lineage"
	"github.com/coupastream/coupastream/coupa"
)

// observeEvery is how often a worker looks at what its connectors are like.
const observeEvery = 10 * time.Second

// observe notes, until ctx ends, what can only be told from one time to the next: the
// pace of requests, how long tasks are in a state, and what others are to be told of.
func (w *Worker) observe(ctx context.Context) {
	n := newNotices(w)
	defer n.notifier.Close()
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() { n.write(ctx) })
	if w.settings.LineageURL != "" {
		writing.Go(func() { w.tellLineage(ctx) })
	}
	w.noteHistory(time.Now())
	for clock.Sleep(ctx, observeEvery) {
		now := time.Now()
		w.noteHistory(now)
		for _, m := range w.all() {
			for _, t := range m.tasks {
				t.Sample(now)
			}
		}
		n.look(now)
		w.changes.tell() // what follows from the time
	}
}

// noteHistory notes what instances are like now.
func (w *Worker) noteHistory(now time.Time) {
	for _, m := range w.all() {
		if m.instance != nil { // else its configuration can't be used
			m.instance.Note(now, m.tasks)
		}
	}
}

// lineageFarewell is how long a worker that ends takes to say so of its tasks.
const lineageFarewell = 2 * time.Second

// tellLineage tells a data catalog what tasks read and write, until ctx ends. It has a goroutine
// of its own, so that a catalog that hangs holds up nobody else.
func (w *Worker) tellLineage(ctx context.Context) {
	client := w.cfg.Webhooks
	if client == nil {
		client = &http.Client{Transport: coupa.NewTransport()}
	}
	e := lineage.New(lineage.Config{
		URL: w.settings.LineageURL, Key: w.settings.LineageKey, Client: client, Count: w.metrics.Lineage, Log: w.log,
		About: lineage.About{Group: w.settings.GroupID, Broker: w.settings.BootstrapServers[0], Version: w.cfg.Version},
	})
	for clock.Sleep(ctx, observeEvery) {
		if tasks, err := w.lineageTasks(ctx); err == nil {
			e.Round(ctx, tasks)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lineageFarewell)
	defer cancel()
	e.Round(ctx, nil)
	client.CloseIdleConnections()
}

// lineageTasks are the tasks that this worker has, as they are.
func (w *Worker) lineageTasks(ctx context.Context) (all []lineage.Task, err error) {
	if err := w.applying.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer w.applying.Release(1)
	for _, m := range w.all() {
		if m.c == nil || m.makers == nil || w.mine(m) != nil {
			continue
		}
		for i, t := range w.status(m).Tasks {
			all = append(all, lineage.Task{
				Connector: m.name, Host: m.c.Host(), Object: &m.c.Objects[i], Topics: append([]string{t.Topic}, t.LineTopics...), State: t.State, Trace: t.Trace, Schema: m.makers[i].Schema(),
			})
		}
	}
	return all, nil
}
