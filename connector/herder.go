package connector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/configtopic"
)

// What connectors there are, and what is asked of each, stands in the config topic and in the worker's files. A request that changes it goes to the topic first; then every
// worker, the one that was asked too, does what the topic says: w.reconcile. So what a worker does depends on the topic alone, whoever was asked, and a worker that starts
// later does the same.

// all are the worker's connectors by name.
func (w *Worker) all() []*managed {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.SortedFunc(maps.Values(w.connectors), func(a, b *managed) int { return strings.Compare(a.name, b.name) })
}

func (w *Worker) find(name string) (*managed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.connectors[name]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknownConnector, name)
}

// Connectors is what is known of every connector, by name.
func (w *Worker) Connectors() []ConnectorStatus {
	var all []ConnectorStatus
	for _, m := range w.all() {
		all = append(all, w.status(m))
	}
	return all
}

// Connector is what is known of one connector, or ErrUnknownConnector.
func (w *Worker) Connector(name string) (ConnectorStatus, error) {
	m, err := w.find(name)
	if err != nil {
		return ConnectorStatus{}, err
	}
	return w.status(m), nil
}

// Watch gives a channel with a signal after anything changes that Connectors tells, several changes as one, until ctx ends.
func (w *Worker) Watch(ctx context.Context) <-chan struct{} { return w.changes.watch(ctx) }

// Ready is nil when the worker has read the config topic and is a member of its group, and ErrStarting before.
func (w *Worker) Ready() error {
	if !w.ready.Load() {
		return ErrStarting
	}
	return nil
}

// follow reads the config topic to its end, and makes the connectors what it says.
func (w *Worker) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.store.WaitFor(ctx, -1); err != nil {
		return err
	}
	w.applying.Lock()
	defer w.applying.Unlock()
	for _, m := range w.all() { // of files
		w.place(m)
	}
	v := w.store.View()
	w.levels = v.Loggers // of before: a worker starts with the levels that it was given
	w.reconcile(v)
	return nil
}

// herd does what the config topic says, until ctx ends.
func (w *Worker) herd(ctx context.Context) {
	for {
		_, changed := w.store.Watch()
		w.reconcileNow()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (w *Worker) reconcileNow() {
	w.applying.Lock()
	defer w.applying.Unlock()
	w.reconcile(w.store.View())
}

// wanted is a connector as files and the config topic want it.
type wanted struct {
	file    bool
	raw     map[string]string
	version int64
	target  State
}

// wantedOf reads a view of the config topic, and over it the files.
func (w *Worker) wantedOf(v configtopic.View) map[string]wanted {
	all := map[string]wanted{}
	for name, c := range v.Connectors {
		all[name] = wanted{raw: c.Properties, version: c.Version, target: Running}
	}
	for _, c := range w.cfg.Connectors {
		if shadowed, ok := all[c.Name]; ok && !shadowed.file {
			w.log.Warn("a connector of the config topic has the name of one from a file; the file counts", "connector", c.Name)
		}
		all[c.Name] = wanted{file: true, raw: c.Raw, target: State(c.InitialState)}
	}
	for name, asked := range v.States {
		if one, ok := all[name]; ok {
			one.target = stateOf(asked)
			all[name] = one
		}
	}
	return all
}

// stateOf and targetOf translate: what a connector is to do is STARTED in the config topic, as Connect writes it, and RUNNING everywhere else.
func stateOf(s configtopic.TargetState) State {
	if s == configtopic.Started {
		return Running
	}
	return State(s)
}

func targetOf(s State) configtopic.TargetState {
	if s == Running {
		return configtopic.Started
	}
	return configtopic.TargetState(s)
}

// reconcile makes the worker's connectors what a view of the config topic wants. w.applying is held.
func (w *Worker) reconcile(v configtopic.View) {
	all := w.wantedOf(v)
	for _, m := range w.all() {
		if _, ok := all[m.name]; !ok {
			w.log.Info("the connector is deleted", "connector", m.name)
			w.retire(m)
			w.mu.Lock()
			delete(w.connectors, m.name)
			w.mu.Unlock()
		}
	}
	var g errgroup.Group
	g.SetLimit(16)
	for name, one := range all {
		g.Go(func() error {
			w.become(name, one)
			return nil
		})
	}
	_ = g.Wait()
	w.setLevels(v)
	w.changes.tell()
}

// become makes one connector what is wanted.
func (w *Worker) become(name string, one wanted) {
	m, err := w.find(name)
	switch {
	case err != nil:
		w.log.Info("a connector is there", "connector", name, "state", one.target)
		w.replace(nil, name, one)
	case m.version != one.version:
		w.log.Info("the connector's configuration has changed", "connector", name)
		w.replace(m, name, one)
	case m.state() != one.target && m.c != nil:
		w.log.Info("the connector changes its state", "connector", name, "state", one.target)
		w.turn(m, one.target)
	case m.c == nil:
		m.setTarget(one.target)
	}
}

// replace puts a connector made from its configuration in the place of the one before, if there was one, which has stopped then.
func (w *Worker) replace(before *managed, name string, one wanted) {
	if before != nil {
		w.retire(before)
	}
	m := &managed{name: name, file: one.file, raw: one.raw, version: one.version, target: one.target}
	if err := w.furnish(m); err != nil {
		m.c, m.source, m.instance, m.tasks, m.trace = nil, nil, nil, nil, err.Error()
		w.log.Error("the connector's configuration can't be used", "connector", name, "error", err)
	}
	w.mu.Lock()
	w.connectors[name] = m
	w.mu.Unlock()
	w.place(m)
}

// furnish makes a managed connector from what it was given.
func (w *Worker) furnish(m *managed) error {
	c, err := w.parse(m.raw, m.file)
	if err != nil {
		return err
	}
	return w.equip(m, c)
}

// parse reads a connector's configuration; references are resolved anew.
func (w *Worker) parse(raw map[string]string, file bool) (*config.Connector, error) {
	if !file {
		return w.settings.ParseSubmitted(raw, w.env)
	}
	return config.ParseConnector(raw, w.env)
}

func (w *Worker) env(name string) (string, bool) {
	if w.cfg.Env == nil {
		return "", false
	}
	return w.cfg.Env(name)
}

// retire stops a connector's tasks and lets its source go.
func (w *Worker) retire(m *managed) {
	if s := m.shard.Load(); s != nil {
		s.detach(m)
	}
	m.close()
}

// turn makes a connector RUNNING, PAUSED or STOPPED. A pause or stop keeps positions and leaves no transaction open: the batch in hand is committed or dropped whole.
func (w *Worker) turn(m *managed, target State) {
	m.setTarget(target)
	if target != Running {
		m.shard.Load().halt(m.pollers)
	}
	for _, t := range m.tasks {
		t.update(func(s *TaskStatus) { s.State, s.Trace, s.Snapshot = idleState(target), "", false })
	}
	if target == Running {
		m.shard.Load().resume(m.pollers)
	}
}

// Create adds a connector to the group. It is RUNNING unless initial, or without that the key initial_state, says otherwise. ErrConnectorExists; config.Problems of what
// is wrong with the configuration.
func (w *Worker) Create(ctx context.Context, name string, given map[string]string, initial State) (ConnectorStatus, error) {
	c, raw, err := w.submitted(name, given)
	if err != nil {
		return ConnectorStatus{}, err
	}
	if initial == "" {
		initial = State(c.InitialState)
	}
	err = w.change(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
		if all := w.wantedOf(v); all[name].raw != nil {
			return nil, fmt.Errorf("%w: %s", ErrConnectorExists, name)
		}
		if err := w.fits(c, v); err != nil {
			return nil, err
		}
		return []configtopic.Change{configtopic.PutConnector(name, raw), configtopic.PutState(name, targetOf(initial))}, nil
	})
	if err != nil {
		return ConnectorStatus{}, err
	}
	return w.Connector(name)
}

// Configure gives a connector another configuration, or adds one; created tells which.
func (w *Worker) Configure(ctx context.Context, name string, given map[string]string) (status ConnectorStatus, created bool, err error) {
	c, raw, err := w.submitted(name, given)
	if err != nil {
		return ConnectorStatus{}, false, err
	}
	err = w.change(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
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
			changes = append(changes, configtopic.PutState(name, targetOf(State(c.InitialState))))
		}
		return changes, nil
	})
	if err != nil {
		return ConnectorStatus{}, false, err
	}
	status, err = w.Connector(name)
	return status, created, err
}

// Patch changes keys of a connector's configuration; nil removes one.
func (w *Worker) Patch(ctx context.Context, name string, changes map[string]*string) (ConnectorStatus, error) {
	err := w.change(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
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
	if err != nil {
		return ConnectorStatus{}, err
	}
	return w.Connector(name)
}

// Delete takes a connector out of the group. Its positions stay, as in Kafka Connect: one of the same tenant goes on there.
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

// SetState asks for RUNNING, PAUSED or STOPPED. It returns when that is written; the owner, if it is another worker, follows at once.
func (w *Worker) SetState(ctx context.Context, name string, target State) error {
	return w.change(ctx, func(v configtopic.View) ([]configtopic.Change, error) {
		before := w.wantedOf(v)[name]
		switch {
		case before.raw == nil:
			return nil, fmt.Errorf("%w: %s", ErrUnknownConnector, name)
		case before.target == target:
			return nil, nil
		}
		return []configtopic.Change{configtopic.PutState(name, targetOf(target))}, nil
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

// fits tells whether a connector can be beside the others.
func (w *Worker) fits(c *config.Connector, v configtopic.View) error {
	var others []*config.Connector
	for name, one := range w.wantedOf(v) {
		if name == c.Name {
			continue
		}
		if m, err := w.find(name); err == nil && m.version == one.version {
			if m.c != nil {
				others = append(others, m.c)
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
	w.reconcileNow()
	return nil
}

// Restart begins anew: of the whole connector, reading its configuration again with what its references give today; or what r chooses of its tasks. Only the
// worker that runs the connector can; another gives NotOwnerError.
func (w *Worker) Restart(ctx context.Context, name string, r RestartRequest) (ConnectorStatus, error) {
	w.applying.Lock()
	defer w.applying.Unlock()
	m, err := w.find(name)
	if err != nil {
		return ConnectorStatus{}, err
	}
	if m.c != nil {
		if err := w.mine(m); err != nil {
			return ConnectorStatus{}, err
		}
	}
	whole := r.Task == nil && (!r.OnlyFailed || m.c == nil)
	if whole {
		if err := ctx.Err(); err != nil {
			return ConnectorStatus{}, err
		}
		w.replace(m, name, wanted{file: m.file, raw: m.raw, version: m.version, target: m.goal()})
		return w.Connector(name)
	}
	var chosen []*poller
	for i, p := range m.pollers {
		picked := r.Task != nil && *r.Task == i || r.Task == nil && r.IncludeTasks
		if picked && (!r.OnlyFailed || p.task.Status().State == Failed) {
			chosen = append(chosen, p)
		}
	}
	if r.Task != nil && (*r.Task < 0 || *r.Task >= len(m.pollers)) {
		return ConnectorStatus{}, fmt.Errorf("%w: %s-%d", ErrUnknownTask, name, *r.Task)
	}
	m.shard.Load().halt(chosen)
	for _, p := range chosen {
		p.current.Store(nil) // topic and schemas are made sure of again
		p.task.update(func(s *TaskStatus) { s.State, s.Trace, s.Snapshot = idleState(m.goal()), "", false })
	}
	if m.state() == Running {
		m.shard.Load().resume(chosen)
	}
	return w.status(m), nil
}

// goal is what is asked of the connector, be its configuration usable or not.
func (m *managed) goal() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.target
}

// mine is nil if the group has given this worker the connector's shard.
func (w *Worker) mine(m *managed) error {
	if o := w.owner(m); !o.Local {
		return &NotOwnerError{Owner: o}
	}
	return nil
}

// announce tells the group's workers that shards are this worker's. member asks the group whether this worker is a member still.
func (w *Worker) announce(ctx context.Context, shards []int32, generation int32, member func(context.Context) error) {
	w.ready.Store(true)
	w.changes.tell()
	if len(shards) == 0 || w.cfg.Self == (Owner{}) {
		return
	}
	self := configtopic.Owner{WorkerID: w.cfg.Self.WorkerID, URL: w.cfg.Self.URL, Generation: generation}
	w.beside.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, changeTimeout)
		defer cancel()
		if err := w.store.SetOwner(ctx, self, member, shards...); err != nil && ctx.Err() == nil {
			w.log.Warn("the other workers of the group could not be told of this one's shards; they can't send requests here", "shards", shards, "error", err)
		}
	})
}

// announced is the worker that said last that a shard is its own.
func (w *Worker) announced(shard int32) Owner {
	o := w.store.View().Owners[shard]
	return Owner{WorkerID: o.WorkerID, URL: o.URL}
}
