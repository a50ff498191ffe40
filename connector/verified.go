package connector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/configtopic"
	"github.com/coupastream/coupastream/connector/status"
)

// A comparison of Coupa with the topics runs apart from the workers, for hours perhaps. What it has found is
// told to any of them, and stands in the config topic: there it outlives all, each worker knows it, and the
// next owner needs to ask nobody. It is one record for a connector, of as many objects as that has.

// NoteVerified keeps what a comparison of a connector's objects with a tenant of Coupa has found. Each is to
// be of the tenant and the topic that the connector has; else config.Problems: it was another connector's.
func (w *Worker) NoteVerified(ctx context.Context, name, tenant string, all []status.Compared) error {
	at := time.Now().UTC().Truncate(time.Second)
	err := w.change(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
		m, err := w.find(name)
		if err != nil {
			return nil, err
		}
		c := m.known()
		if c == nil {
			return nil, m.unusableError()
		}
		if c.Tenant != tenant {
			return nil, config.Problems{{Key: "tenant", Value: tenant, Message: fmt.Sprintf("connector %s is of tenant %s", name, c.Tenant), Remedy: "compare by the configuration that it has"}}
		}
		objects := maps.Clone(v.Verified[name])
		if objects == nil {
			objects = map[string]configtopic.Verified{}
		}
		maps.DeleteFunc(objects, func(object string, _ configtopic.Verified) bool { return objectOf(c, object) == nil })
		var problems config.Problems
		for _, one := range all {
			o := objectOf(c, one.Object)
			switch {
			case o == nil:
				problems = append(problems, config.Problem{Key: "object", Value: one.Object, Message: "no object of connector " + name, Remedy: "give one of its coupa.objects"})
				continue
			case o.Topic != one.Topic:
				problems = append(problems, config.Problem{Key: "topic", Value: one.Topic, Message: fmt.Sprintf("%s of connector %s goes to %s", one.Object, name, o.Topic), Remedy: "compare by the configuration that it has"})
				continue
			}
			one.At = at
			objects[one.Object] = configtopic.Verified(one.Following(status.Verified(objects[one.Object])))
		}
		if len(problems) > 0 {
			return nil, problems
		}
		return []configtopic.Change{configtopic.PutVerified(name, objects)}, nil
	})
	if err == nil {
		w.changes.tell()
	}
	return err
}

func objectOf(c *config.Connector, path string) *config.Object {
	if i := slices.IndexFunc(c.Objects, func(o config.Object) bool { return o.Path == path }); i >= 0 {
		return &c.Objects[i]
	}
	return nil
}

// tellVerified adds to a connector's tasks what was found of their objects last.
func (w *Worker) tellVerified(cs *status.ConnectorStatus) {
	known := w.store.View().Verified[cs.Name]
	for i := range cs.Tasks {
		cs.Tasks[i].Verified = status.Verified(known[cs.Tasks[i].Object])
	}
}
