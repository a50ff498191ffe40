package connector

import (
	"context"
	"fmt"
	"slices"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
)

// Snapshot asks for rows of an object to be published as they are. The request
// is kept when it returns, and worked on while the object runs, after those
// before it. Only the connector's owner can; another worker gives NotOwnerError.
func (w *Worker) Snapshot(ctx context.Context, name string, r status.SnapshotRequest) (status.Snapshot, error) {
	m, s, done, err := w.hold(ctx, name)
	if err != nil {
		return status.Snapshot{}, err
	}
	defer done()
	p := m.pollerOf(r.Object)
	if p == nil {
		return status.Snapshot{}, noObject(name, r.Object)
	}
	var asked status.Snapshot
	err = s.During(ctx, func(ctx context.Context) (err error) {
		asked, err = p.AskFor(ctx, r)
		return err
	})
	if err != nil {
		return status.Snapshot{}, err
	}
	w.log.Info("a snapshot was asked for", "connector", name, "object", r.Object, "snapshot", asked.ID)
	return asked, nil
}

// noObject says that a connector has no object of a name.
func noObject(name, object string) error {
	return config.Problems{{Key: "object", Value: object, Message: "no object of connector " + name, Remedy: "give one of its coupa.objects"}}
}

func (m *managed) pollerOf(object string) *stream.Poller {
	if i := slices.IndexFunc(m.c.Objects, func(o config.Object) bool { return o.Path == object }); i >= 0 {
		return m.pollers[i]
	}
	return nil
}

// Snapshots are those of a connector that wait, are worked on, or have
// ended not long ago; newest first. Only the connector's owner knows.
func (w *Worker) Snapshots(ctx context.Context, name string) ([]status.Snapshot, error) {
	m, _, err := w.owned(ctx, name)
	if err != nil {
		return nil, err
	}
	all := []status.Snapshot{}
	for _, p := range m.pollers {
		all = append(all, p.ListSnapshots()...)
	}
	slices.SortStableFunc(all, func(a, b status.Snapshot) int { return b.Asked.Compare(a.Asked) })
	return all, nil
}

// SetSnapshot pauses a snapshot, resumes or cancels it: RequestPaused, RequestRunning, RequestCancelled.
// ErrUnknownSnapshot if there is none of the id that has not ended. Only the connector's owner can.
func (w *Worker) SetSnapshot(ctx context.Context, name, id string, state checkpoint.RequestState) error {
	m, s, done, err := w.hold(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	for _, p := range m.pollers {
		if p.HasSnapshot(id) {
			return s.During(ctx, func(ctx context.Context) error { return p.SetSnapshot(ctx, id, state) })
		}
	}
	return fmt.Errorf("%w: %s", ErrUnknownSnapshot, id)
}
