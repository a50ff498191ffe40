package connector

import (
	"context"
	"fmt"

	"github.com/coupastream/coupastream/connector/config"
)

// ApproveDeletes lets a sweep of an object delete what it found missing, and waits with: the rows that are
// shown in the object's status, no others. The approval is kept when it returns; sweep.ErrNothing if none
// waits. Only the connector's owner can; another worker gives NotOwnerError.
func (w *Worker) ApproveDeletes(ctx context.Context, name, object string) error {
	m, s, done, err := w.hold(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	p := m.pollerOf(object)
	if p == nil {
		return config.Problems{{Key: "object", Value: object, Message: "no object of connector " + name, Remedy: "give one of its coupa.objects"}}
	}
	if err := s.During(ctx, p.ApproveDeletes); err != nil {
		return fmt.Errorf("approving deletes of %s: %w", object, err)
	}
	w.log.Info("deletes were approved", "connector", name, "object", object)
	return nil
}
