package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/semver"
	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/configtopic"
	"github.com/coupastream/coupastream/connector/contract"
	"github.com/coupastream/coupastream/connector/group"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
)

// What connectors there are, and what is asked of each, stands in the config topic and in the worker's
// files. A request that changes it goes to the topic first, by whichever worker was asked; then every
// worker, the one that was asked too, does what the topic says: Worker.reconcile. So nothing has to be sent
// between workers, what a worker does depends on the topic alone, one that starts later does the same, and
// what is answered is what is kept. There is no leader that could be lost (see package configtopic).
//
// What only the owner of a connector knows or can do (live status, restarts, positions) is asked of it over
// REST. Who that is stands in the topic as well, by the generation of the group (Worker.announce).

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

// Contract describes the topics of a connector, or of some of its objects, as a data contract: by its
// configuration, which any worker has. config.Problems if there is no such object.
func (w *Worker) Contract(name string, objects []string) (*contract.Document, error) {
	c, err := w.knownOf(name)
	if err != nil {
		return nil, err
	}
	return contract.Of(w.settings, c, objects)
}

// Schemas are those of the topics of a connector, or of some of its objects, likewise.
func (w *Worker) Schemas(name string, objects []string) ([]contract.Schema, error) {
	c, err := w.knownOf(name)
	if err != nil {
		return nil, err
	}
	return contract.Schemas(c, objects)
}

// knownOf is what can be read of a connector's configuration.
func (w *Worker) knownOf(name string) (*config.Connector, error) {
	m, err := w.find(name)
	if err != nil {
		return nil, err
	}
	c := m.known()
	if c == nil {
		return nil, m.unusableError()
	}
	return c, nil
}

// Connectors is what is known of every connector, by name.
func (w *Worker) Connectors() []status.ConnectorStatus {
	var all []status.ConnectorStatus
	for _, m := range w.all() {
		all = append(all, w.status(m))
	}
	return all
}

// Connector is what is known of one connector, or ErrUnknownConnector.
func (w *Worker) Connector(name string) (status.ConnectorStatus, error) {
	m, err := w.find(name)
	if err != nil {
		return status.ConnectorStatus{}, err
	}
	return w.status(m), nil
}

// Watch gives a channel with a signal after anything changes
// that Connectors tells, several changes as one, until ctx ends.
func (w *Worker) Watch(ctx context.Context) <-chan struct{} { return w.changes.watch(ctx) }

// Ready is nil when the worker has read the config topic and
// is a member of its group, and ErrStarting before.
func (w *Worker) Ready() error {
	if !w.ready.Load() {
		return ErrStarting
	}
	return nil
}

// Reachable is nil while the brokers answer this worker as a member of its group, and before
// it is one. An error: they have not for longer than a session and a rebalance may take.
func (w *Worker) Reachable() error {
	if silent := w.heard.Silent(); silent > max(w.settings.SessionTimeout, group.RebalanceTimeout)+w.settings.HeartbeatInterval {
		if trouble := w.heard.Trouble(); trouble != nil {
			return fmt.Errorf("the brokers have not answered this worker for %s; nothing is published until they do: %w", silent.Round(time.Second), trouble)
		}
		return fmt.Errorf("the brokers have not answered this worker for %s; nothing is published until they do: look at bootstrap.servers, the network and the brokers", silent.Round(time.Second))
	}
	return nil
}

// follow reads the config topic to its end, and makes the connectors what it says.
func (w *Worker) follow(ctx context.Context, partitions int32) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := w.store.WaitFor(ctx, -1); err != nil {
		return err
	}
	if err := w.applying.Acquire(ctx, 1); err != nil {
		return err
	}
	defer w.applying.Release(1)
	v := w.store.View()
	w.partitions = w.shardsOf(partitions, v.Claims)
	for n := range w.partitions {
		w.shards = append(w.shards, w.newShard(n))
	}
	w.attachAll()        // of files
	w.levels = v.Loggers // of before: a worker starts with the levels that it was given
	w.reconcile(v)
	return nil
}

// usableAgain is how often a connector that can't be used is tried again,
// here and where another worker runs it: this one may have to take it over.
const usableAgain = 30 * time.Second

// herd does what the config topic says, until ctx ends.
func (w *Worker) herd(ctx context.Context) {
	var warming sync.WaitGroup
	defer warming.Wait()
	for {
		_, changed := w.store.Watch()
		if w.reconcileNow(ctx) != nil {
			return
		}
		w.askTokens(ctx, &warming)
		w.lookForTwin(w.store.View())
		var again <-chan time.Time
		if slices.ContainsFunc(w.all(), unusable) {
			again = time.After(usableAgain)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// unusable tells of a connector that its references, or the files of the worker, keep from being used.
func unusable(m *managed) bool { return m.c == nil && !m.clashes }

// askTokens sees to it that connectors which are new have a token in good
// time, also where another worker runs them: it may come to run here.
func (w *Worker) askTokens(ctx context.Context, warming *sync.WaitGroup) {
	for _, m := range w.all() {
		if m.state() == status.Running && !m.tokenAsked.Swap(true) {
			warming.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, tokenPatience)
				defer cancel()
				_ = m.source.Ready(ctx) // what fails is told when the shard is here
			})
		}
	}
}

// reconcileNow makes the worker's connectors what the config
// topic says, when it is its turn. The error is ctx's.
func (w *Worker) reconcileNow(ctx context.Context) error {
	if err := w.applying.Acquire(ctx, 1); err != nil {
		return err
	}
	defer w.applying.Release(1)
	w.reconcile(w.store.View())
	return nil
}

// wanted is a connector as files and the config topic want it.
type wanted struct {
	file    bool
	raw     map[string]string
	version int64
	writer  string
	target  status.State
	untold  status.Untold
}

// wantedOf reads a view of the config topic, and over it the files.
func (w *Worker) wantedOf(v configtopic.View) map[string]wanted {
	all := map[string]wanted{}
	for name, c := range v.Connectors {
		all[name] = wanted{raw: c.Properties, version: c.Version, writer: c.Writer, target: status.Running}
	}
	for _, c := range w.cfg.Connectors {
		if shadowed, ok := all[c.Name]; ok && !shadowed.file {
			w.log.Warn("a connector of the config topic has the name of one from a file; the file counts", "connector", c.Name)
		}
		all[c.Name] = wanted{file: true, raw: c.Raw, target: status.State(c.InitialState), untold: status.NeverRan.Then(status.State(c.InitialState))}
	}
	for name, asked := range v.States {
		if one, ok := all[name]; ok {
			one.target, one.untold = stateOf(asked.State), asked.Untold
			all[name] = one
		}
	}
	return all
}

// stateOf and targetOf translate: what a connector is to do is STARTED in
// the config topic, as Connect writes it, and RUNNING everywhere else.
func stateOf(s configtopic.TargetState) status.State {
	if s == configtopic.Started {
		return status.Running
	}
	return status.State(s)
}

func targetOf(s status.State, before status.Untold) configtopic.Target {
	asked := configtopic.Target{State: configtopic.TargetState(s), Untold: before.Then(s)}
	if s == status.Running {
		asked.State = configtopic.Started
	}
	return asked
}

// reconcile makes the worker's connectors what a view of the config topic wants: it detaches what is gone,
// has changed or clashed, applies what is wanted of each, and attaches what is in no shard yet. What goes or
// changes has stopped before anything else begins: a stream may have gone from one connector to another.
// The caller has w.applying, under which all of this happens.
//
//	wanted ──add──▶ built ──attach──▶ attached ──detach──▶ gone, or wanted in another way
//	        │         │                │    ▲
//	        │         │                └────┘ applyState: RUNNING, PAUSED, STOPPED
//	        │         └──failConnector──▶ FAILED: another connector has its streams ───┐
//	        └──build fails──▶ FAILED: its configuration can't be used ─────────────────┴──apply──▶ wanted
//
//	wanted    the config topic, or a file, has it with this configuration and target (wantedOf)
//	built     its configuration is read (build), its source and tasks are made (makeTasks)
//	attached  its pollers are in their shard (attachAll), and run there while it is RUNNING and
//	          the group gives the shard to this worker
//	FAILED    nothing of it runs here, and its trace says why; each reconcile tries it again, and
//	          herd sees to one every usableAgain while one can't be used
//
// Each but the last, gone, is in Worker.connectors. A restart of a whole connector, rebuild, is detach, add
// and attachAll of that one. Tokens are asked for ahead of all this (askTokens), wherever the shard runs.
func (w *Worker) reconcile(v configtopic.View) {
	all := w.wantedOf(v)
	var g errgroup.Group
	g.SetLimit(16)
	before := w.all()
	for _, m := range before {
		if one, ok := all[m.name]; !ok || one.version != m.version || m.clashes {
			g.Go(func() error {
				w.detach(m)
				return nil
			})
		}
	}
	_ = g.Wait()
	for _, m := range before {
		if _, ok := all[m.name]; !ok {
			w.log.Info("the connector is deleted", "connector", m.name)
			w.mu.Lock()
			delete(w.connectors, m.name)
			w.mu.Unlock()
		}
	}
	for name, one := range all {
		g.Go(func() error {
			w.apply(name, one)
			return nil
		})
	}
	_ = g.Wait()
	w.attachAll()
	w.setLevels(v)
	w.changes.tell()
}

// apply makes one connector what is wanted. One of another configuration was detached.
func (w *Worker) apply(name string, one wanted) {
	m, err := w.find(name)
	switch {
	case err != nil:
		w.log.Info("a connector is there", "connector", name, "state", one.target)
		w.add(name, one)
	case m.version != one.version:
		w.log.Info("the connector's configuration has changed", "connector", name)
		w.add(name, one)
	case m.clashes, unusable(m): // what it clashed with, or what it lacked, may be gone or there now
		w.add(name, one)
	case m.state() != one.target && m.c != nil:
		w.log.Info("the connector changes its state", "connector", name, "state", one.target)
		w.applyState(m, one)
	default:
		m.setTarget(one.target, one.untold)
	}
}

// add adds a connector made from its configuration; where
// there is one of the name, which was detached, in its place.
func (w *Worker) add(name string, one wanted) {
	m := &managed{name: name, file: one.file, raw: one.raw, shown: one.raw, version: one.version, writer: one.writer, target: one.target, untold: one.untold}
	before, _ := w.find(name)
	if before != nil && one.file {
		m.shown = before.shown // what is of a file does not change
	}
	err := w.build(m)
	switch {
	case err != nil:
		err = w.fromNewer(m, err)
		m.c, m.source, m.instance, m.tasks, m.bells, m.trace, m.outline = nil, nil, nil, nil, nil, err.Error(), config.Outline(m.raw)
		if before == nil || before.trace != m.trace {
			w.log.Error("the connector's configuration can't be used", "connector", name, "error", err)
		}
	case before != nil && unusable(before):
		w.log.Info("the connector's configuration can be used again", "connector", name)
	}
	w.mu.Lock()
	w.connectors[name] = m
	w.mu.Unlock()
}

// fromNewer adds to what is wrong with a configuration that this version may not know all of it.
func (w *Worker) fromNewer(m *managed, err error) error {
	if semver.Compare(m.writer, w.cfg.Version) <= 0 {
		return err
	}
	return fmt.Errorf("%w\nthe configuration was written by coupastream %s, and this is %s: run that version or a later one, or take out what this one does not know", err, m.writer, w.cfg.Version)
}

// attachAll puts connectors into their shards that are in none yet: those of files first, then in the order
// in which they were made. One that is to stream what another one streams already is FAILED: it came to the
// topic past this worker's check, be it while the other's configuration could not be used, or beside a file.
func (w *Worker) attachAll() {
	placed := map[checkpoint.Stream]string{}
	var waiting, fitting []*managed
	for _, m := range w.all() {
		switch {
		case m.c == nil && m.outline == nil:
		case m.c == nil || m.shard.Load() == nil:
			waiting = append(waiting, m)
		default:
			for _, p := range m.pollers {
				placed[p.Stream()] = m.name
			}
		}
	}
	// that of a file is 0
	slices.SortStableFunc(waiting, func(a, b *managed) int { return cmp.Compare(a.version, b.version) })
	for _, m := range waiting {
		if m.c == nil { // another worker may run it, and this one when it can
			m.shard.Store(w.shardFor(m.outline.Tenant))
			for _, o := range m.outline.Objects {
				st := checkpoint.Stream{Tenant: m.outline.Tenant, Object: o.Path}
				placed[st] = cmp.Or(placed[st], m.name)
			}
			continue
		}
		if err := clashOf(m, placed); err != nil {
			w.log.Error("the connector's configuration can't be used", "connector", m.name, "error", err)
			w.failConnector(m, err)
			continue
		}
		fitting = append(fitting, m)
		for _, o := range m.c.Objects {
			placed[checkpoint.Stream{Tenant: m.c.Tenant, Object: o.Path}] = m.name
		}
	}
	if len(fitting) == 0 {
		return
	}
	shared := record.SharedSubjects(w.usable())
	for _, m := range fitting {
		w.attach(m, shared)
	}
}

func clashOf(m *managed, placed map[checkpoint.Stream]string) error {
	for _, o := range m.c.Objects {
		if other, taken := placed[checkpoint.Stream{Tenant: m.c.Tenant, Object: o.Path}]; taken {
			return fmt.Errorf("coupa.objects: %s of tenant %s is streamed by %s already; stream it once, or give the instances different tenants", o.Path, m.c.Tenant, other)
		}
	}
	return nil
}

// failConnector puts a connector that can't be used in the place of m, which was never attached.
func (w *Worker) failConnector(m *managed, why error) {
	m.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connectors[m.name] = &managed{
		name: m.name, file: m.file, raw: m.raw, shown: m.shown, version: m.version, writer: m.writer, target: m.goal(), untold: m.isUntold(), trace: why.Error(), clashes: true,
	}
}

// build makes a managed connector from what it was given.
func (w *Worker) build(m *managed) error {
	c, err := w.parse(m.raw, m.file)
	if err != nil {
		return err
	}
	return w.makeTasks(m, c)
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

// detach stops a connector's tasks and lets its source go.
func (w *Worker) detach(m *managed) {
	if s := m.shard.Load(); s != nil {
		s.Detach(attached(m.pollers))
	}
	m.close()
}

// applyState makes a connector RUNNING, PAUSED or STOPPED. A pause or stop keeps positions
// and leaves no transaction open: the batch in hand is committed or dropped whole.
func (w *Worker) applyState(m *managed, one wanted) {
	target := one.target
	m.setTarget(target, one.untold)
	if target != status.Running {
		m.shard.Load().Halt(attached(m.pollers))
	}
	for _, t := range m.tasks {
		t.Update(func(s *status.TaskStatus) { s.State, s.Trace, s.Snapshot = idleState(target), "", false })
	}
	if target == status.Running {
		m.shard.Load().Resume(attached(m.pollers))
	}
}

// announce tells the group's workers that shards are this worker's, those
// that are its own still when that is written. It goes on trying while run
// goes on. member asks the group whether this worker is a member still.
func (w *Worker) announce(run context.Context, shards []int32, generation int32, member func(context.Context) error) {
	w.ready.Store(true)
	w.changes.tell()
	w.mu.Lock()
	w.told.add(generation, shards)
	w.mu.Unlock()
	if len(shards) == 0 || w.cfg.Self == (status.Owner{}) {
		return
	}
	self := configtopic.Owner{WorkerID: w.cfg.Self.WorkerID, URL: w.cfg.Self.URL, Generation: generation}
	owns := func(n int32) bool { return int(n) < len(w.shards) && w.shards[n].IsAssigned() }
	w.beside.Go(func() {
		for tries := 0; ; tries++ {
			ctx, cancel := context.WithTimeout(run, changeTimeout)
			err := w.store.SetOwner(ctx, self, member, owns, shards...)
			cancel()
			// the group will say what is this worker's
			if err == nil || run.Err() != nil || errors.Is(err, configtopic.ErrNewerOwner) {
				return
			}
			if tries == 0 {
				w.log.Warn("the other workers of the group can't be told of this one's shards, and send no requests here; it is tried again", "shards", shards, "error", err)
			}
			if !clock.Sleep(run, announceAgain.Delay(tries, 0)) {
				return
			}
		}
	})
}

// announceAgain spaces the attempts to tell the group.
var announceAgain = clock.Backoff{Base: time.Second, Max: time.Minute}

// announcement is what this worker has told the group, in the generation that it was told of last.
type announcement struct {
	generation int32
	shards     map[int32]bool
	twin       bool // another worker has this one's address, and that was said
}

func (a *announcement) add(generation int32, shards []int32) {
	if a.shards == nil || a.generation != generation {
		a.generation, a.shards = generation, map[int32]bool{}
	}
	for _, n := range shards {
		a.shards[n] = true
	}
}

// lookForTwin says, once, that another worker of the group tells this one's address for
// its own: it has shards by that address, in the present generation, of which this worker
// has told nothing. Workers of several machines that all listen on loopback do so.
func (w *Worker) lookForTwin(v configtopic.View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, o := range v.Owners {
		if w.told.twin || o.WorkerID != w.cfg.Self.WorkerID || o.Generation != w.told.generation || w.told.shards[n] {
			continue
		}
		w.told.twin = true
		w.log.Error("another worker of the group has this one's address, so that requests are not passed on to the one that is meant; set rest.advertised.host.name and "+
			"rest.advertised.port in the file of each, to what the others reach it by", "address", w.cfg.Self.URL, "shard", n)
	}
}

// announced is the worker that said last that a shard is its own.
func (w *Worker) announced(shard int32) status.Owner {
	o := w.store.View().Owners[shard]
	return status.Owner{WorkerID: o.WorkerID, URL: o.URL}
}
