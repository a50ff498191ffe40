package connector

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/configtopic"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
)

// Create adds a connector to the group. It is RUNNING unless initial, or without that the key initial_state,
// says otherwise. ErrConnectorExists; config.Problems of what is wrong with the configuration.
func (w *Worker) Create(ctx context.Context, name string, given map[string]string, initial status.State) (status.ConnectorStatus, error) {
	c, raw, err := w.submitted(name, given)
	if err != nil {
		return status.ConnectorStatus{}, err
	}
	if initial == "" {
		initial = status.State(c.InitialState)
	}
	return w.changeOne(ctx, name, func(v configtopic.View) ([]configtopic.Change, error) {
		if all := w.wantedOf(v); all[name].raw != nil {
			return nil, fmt.Errorf("%w: %s", ErrConnectorExists, name)
		}
		if err := w.fits(c, v); err != nil {
			return nil, err
		}
		return []configtopic.Change{configtopic.PutConnector(name, raw), configtopic.PutState(name, targetOf(initial, status.NeverRan))}, nil
	})
}

// Configure gives a connector another configuration, or adds one; created tells which.
func (w *Worker) Configure(ctx context.Context, name string, given map[string]string) (told status.ConnectorStatus, created bool, err error) {
	c, raw, err := w.submitted(name, given)
	if err != nil {
		return status.ConnectorStatus{}, false, err
	}
	told, err = w.changeOne(ctx, name, func(v configtopic.View) ([]configtopic.Change, error) {
		before := w.wantedOf(v)[name]
		if before.file {
			return nil, fmt.Errorf("%w: %s", ErrFromFile, name)
		}
		if err := w.fits(c, v); err != nil {
			return nil, err
		}
		created = before.raw == nil
		changes := []configtopic.Change{configtopic.PutConnector(name, raw)}
		if created {
			changes = append(changes, configtopic.PutState(name, targetOf(status.State(c.InitialState), status.NeverRan)))
		}
		return changes, nil
	})
	return told, created, err
}

// Patch changes keys of a connector's configuration; nil removes one.
func (w *Worker) Patch(ctx context.Context, name string, changes map[string]*string) (status.ConnectorStatus, error) {
	return w.changeOne(ctx, name, func(v configtopic.View) ([]configtopic.Change, error) {
		before := w.wantedOf(v)[name]
		switch {
		case before.raw == nil:
			return nil, fmt.Errorf("%w: %s", ErrUnknownConnector, name)
		case before.file:
			return nil, fmt.Errorf("%w: %s", ErrFromFile, name)
		}
		raw := maps.Clone(before.raw)
		for key, value := range changes {
			if value == nil {
				delete(raw, key)
			} else {
				raw[key] = *value
			}
		}
		c, raw, err := w.submitted(name, raw)
		if err != nil {
			return nil, err
		}
		return []configtopic.Change{configtopic.PutConnector(name, raw)}, w.fits(c, v)
	})
}

// Delete takes a connector out of the group. Its positions stay, as in Kafka Connect: they belong to the
// tenant's objects, and a connector of the same tenant goes on there. [Worker.ResetOffsets] drops them.
func (w *Worker) Delete(ctx context.Context, name string) error {
	return w.change(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
		before := w.wantedOf(v)[name]
		switch {
		case before.raw == nil:
			return nil, fmt.Errorf("%w: %s", ErrUnknownConnector, name)
		case before.file:
			return nil, fmt.Errorf("%w: %s", ErrFromFile, name)
		}
		return []configtopic.Change{configtopic.DeleteConnector(name)}, nil
	})
}

// SetState asks for RUNNING, PAUSED or STOPPED. It returns when that
// is written; the owner, if it is another worker, follows at once.
func (w *Worker) SetState(ctx context.Context, name string, target status.State) error {
	return w.change(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
		before := w.wantedOf(v)[name]
		switch {
		case before.raw == nil:
			return nil, fmt.Errorf("%w: %s", ErrUnknownConnector, name)
		case before.target == target:
			return nil, nil
		}
		return []configtopic.Change{configtopic.PutState(name, targetOf(target, before.untold))}, nil
	})
}

// ResetTopics forgets which topics a connector has used, until it is RUNNING: one that is uses them.
// There is nothing to forget of one that is unknown.
func (w *Worker) ResetTopics(ctx context.Context, name string) error {
	return w.change(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
		before := w.wantedOf(v)[name]
		if before.raw == nil || before.target == status.Running || before.untold.Topics {
			return nil, nil
		}
		before.untold.Topics = true
		return []configtopic.Change{configtopic.PutState(name, targetOf(before.target, before.untold))}, nil
	})
}

// submitted reads a configuration that somebody sends: what is stored, and what it means.
func (w *Worker) submitted(name string, given map[string]string) (*config.Connector, map[string]string, error) {
	if err := w.Ready(); err != nil {
		return nil, nil, err
	}
	raw := maps.Clone(given)
	if raw == nil {
		raw = map[string]string{}
	}
	raw["name"] = name
	c, err := w.settings.ParseSubmitted(raw, w.env)
	if err != nil {
		return nil, nil, err
	}
	return c, raw, nil
}

// Validate tells what is wrong with a configuration that somebody would
// send, beside the connectors that there are. The error is config.Problems.
func (w *Worker) Validate(given map[string]string) error {
	c, err := w.settings.ParseSubmitted(given, w.env)
	if err != nil {
		return err
	}
	return w.fits(c, w.store.View())
}

// fits tells whether a connector can be beside the others.
func (w *Worker) fits(c *config.Connector, v configtopic.View) error {
	var others []*config.Connector
	for name, one := range w.wantedOf(v) {
		if name == c.Name {
			continue
		}
		if m, err := w.find(name); err == nil && m.version == one.version {
			// one that can't be used here too: another worker may run it
			if known := m.known(); known != nil {
				others = append(others, known)
			}
			continue
		}
		if other, err := w.parse(one.raw, one.file); err == nil {
			others = append(others, other)
		}
	}
	return config.CheckBeside(w.settings, c, others)
}

// changeTimeout is how long a change of the config topic may take, as in Kafka Connect.
const changeTimeout = 90 * time.Second

// change writes to the config topic, and does what it says then.
func (w *Worker) change(ctx context.Context, decide func(configtopic.View) ([]configtopic.Change, error)) error {
	if err := w.Ready(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if _, err := w.store.Update(ctx, decide); err != nil {
		return err
	}
	return w.reconcileNow(ctx)
}

// changeOne is change that tells what has become of a connector.
func (w *Worker) changeOne(ctx context.Context, name string, decide func(configtopic.View) ([]configtopic.Change, error)) (status.ConnectorStatus, error) {
	if err := w.change(ctx, decide); err != nil {
		return status.ConnectorStatus{}, err
	}
	return w.Connector(name)
}

// Refresh makes the worker's connectors what the config
// topic says now: others may have changed it a moment ago.
func (w *Worker) Refresh(ctx context.Context) error {
	return w.change(ctx, func(configtopic.View) ([]configtopic.Change, error) { return nil, nil })
}

// Restart begins anew: of the whole connector, reading its configuration
// again with what its references give today; or what r chooses of its tasks.
// Only the worker that runs the connector can; another gives NotOwnerError.
func (w *Worker) Restart(ctx context.Context, name string, r RestartRequest) (status.ConnectorStatus, error) {
	if err := w.applying.Acquire(ctx, 1); err != nil {
		return status.ConnectorStatus{}, err
	}
	defer w.applying.Release(1)
	m, err := w.find(name)
	if err != nil {
		return status.ConnectorStatus{}, err
	}
	if err := w.mine(m); err != nil {
		if m.c == nil { // it may be usable by now, for the time when this worker is to run it
			w.rebuild(m)
		}
		return status.ConnectorStatus{}, err
	}
	if m.c == nil || r.Task == nil && !r.OnlyFailed {
		if err := ctx.Err(); err != nil {
			return status.ConnectorStatus{}, err
		}
		w.rebuild(m)
		return w.Connector(name)
	}
	// a stopped connector has no tasks
	if r.Task != nil && (*r.Task < 0 || *r.Task >= len(m.pollers) || m.isUntold().Tasks) {
		return status.ConnectorStatus{}, fmt.Errorf("%w: %s-%d", ErrUnknownTask, name, *r.Task)
	}
	m.restart(r.chosen(m.pollers))
	return w.status(m), nil
}

// chosen are the pollers of the tasks that are to begin anew.
func (r RestartRequest) chosen(all []*stream.Poller) []*stream.Poller {
	var chosen []*stream.Poller
	for i, p := range all {
		picked := r.Task != nil && *r.Task == i || r.Task == nil && r.IncludeTasks
		if picked && (!r.OnlyFailed || p.Task().Status().State == status.Failed) {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

// restart lets tasks begin anew, if the connector is to run, with schemas made sure of again.
func (m *managed) restart(tasks []*stream.Poller) {
	m.shard.Load().Halt(attached(tasks))
	for _, p := range tasks {
		p.Forget()
		p.Task().Update(func(s *status.TaskStatus) { s.State, s.Trace, s.Snapshot = idleState(m.goal()), "", false })
	}
	if m.state() == status.Running {
		m.shard.Load().Resume(attached(tasks))
	}
}

// rebuild makes a connector anew from what it was given. The caller has w.applying.
func (w *Worker) rebuild(m *managed) {
	w.detach(m)
	for _, p := range m.pollers {
		p.Forget()
	}
	w.add(m.name, wanted{file: m.file, raw: m.raw, version: m.version, writer: m.writer, target: m.goal(), untold: m.isUntold()})
	w.attachAll()
}

// mine is nil if the group has given this worker the connector's shard. One
// that can't be used here is every worker's while none is known to run it.
func (w *Worker) mine(m *managed) error {
	o := w.owner(m)
	if o.Local || m.c == nil && o == (status.Owner{}) {
		return nil
	}
	return &NotOwnerError{Owner: o}
}
