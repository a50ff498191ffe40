package connector

import (
	"fmt"
	"slices"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
)

// Ring has an object polled out of turn. Nothing is kept of it: where the object does not run, or nobody
// runs it, it is polled when it does. Only the connector's owner can, and another worker gives NotOwnerError;
// ErrUnknownConnector, ErrNoDoorbell. It waits for nobody.
func (w *Worker) Ring(name, object string) error {
	m, err := w.find(name)
	if err != nil {
		return err
	}
	c := m.known()
	if c == nil {
		return nil
	}
	i := slices.IndexFunc(c.Objects, func(o config.Object) bool { return o.Path == object })
	if i < 0 || c.Objects[i].IsWhole() {
		return fmt.Errorf("%w: %s", ErrNoDoorbell, object)
	}
	switch owner := w.owner(m); {
	case !owner.Local && owner != (status.Owner{}):
		return &NotOwnerError{Owner: owner}
	case !owner.Local || m.c == nil:
		return nil
	}
	m.tasks[i].Rung()
	if m.bells[i].Ring(time.Now()) {
		w.log.Info("a doorbell rings; the object is polled out of turn", "connector", name, "object", object)
	}
	return nil
}
