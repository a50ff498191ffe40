package connector

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/logging"
	"github.com/coupastream/coupastream/connector/polls"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/connector/sweep"
)

// managed is a connector as this worker has it. Another configuration
// makes another managed; but for target and shard, nothing of it changes.
type managed struct {
	name    string
	file    bool              // defined by a file that the worker was started with
	raw     map[string]string // as given, references unresolved
	shown   map[string]string // the same, without the secrets that a file may hold
	version int64             // of its record in the config topic; 0 of a file
	writer  string            // version of the program that wrote that; "": a file, or not known

	// What is made of raw; all nil if that can't be done, and trace says why.
	c        *config.Connector
	source   stream.Source
	instance *status.Instance
	tasks    []*status.Task
	bells    []*polls.Bell // one for each task
	trace    string
	// then: what can be read of raw all the same, for the time in which another worker runs it; nil: nothing
	outline *config.Connector
	clashes bool // with another connector, which has what it is to stream

	shard      atomic.Pointer[shard.Shard] // that its tenant belongs to; nil until the partitions are known
	pollers    []*stream.Poller            // guarded by Worker.applying
	makers     []*record.Maker             // of the pollers, likewise
	tokenAsked atomic.Bool                 // its token was asked for

	mu     sync.Mutex
	target status.State // RUNNING, PAUSED, STOPPED
	untold status.Untold
}

// makeTasks makes the tasks of a connector from its configuration.
func (w *Worker) makeTasks(m *managed, c *config.Connector) error {
	if err := config.CheckBeside(w.settings, c, nil); err != nil {
		return err
	}
	source, err := w.cfg.Source(c, w.large)
	if err != nil {
		return fmt.Errorf("connector %s: %w", m.name, err)
	}
	m.c, m.source, m.instance = c, source, status.NewInstance(source)
	for i := range c.Objects {
		m.tasks = append(m.tasks, status.NewTask(i, &c.Objects[i], idleState(m.target), m.instance, w.changes.tell))
		m.bells = append(m.bells, polls.NewBell())
	}
	return nil
}

// idleState is the state of a task that does not run, by what is asked of its connector.
func idleState(target status.State) status.State {
	if target == status.Running {
		return status.Unassigned
	}
	return target
}

// state is what is asked of the connector; FAILED if its configuration can't be used.
func (m *managed) state() status.State {
	if m.c == nil {
		return status.Failed
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.target
}

// goal is what is asked of the connector, be its configuration usable or not.
func (m *managed) goal() status.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.target
}

func (m *managed) setTarget(s status.State, u status.Untold) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.target, m.untold = s, u
}

func (m *managed) isUntold() status.Untold {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.untold
}

// close lets the source go.
func (m *managed) close() {
	if c, ok := m.source.(io.Closer); ok {
		_ = c.Close() // frees memory alone
	}
}

// shardFor is the shard of a tenant.
func (w *Worker) shardFor(tenant string) *shard.Shard {
	return w.shards[checkpoint.PartitionOf(tenant, int32(len(w.shards)))]
}

// attach puts the connector into its shard. shared are the subjects of more than one stream.
func (w *Worker) attach(m *managed, shared map[string]bool) {
	s := w.shardFor(m.c.Tenant)
	m.pollers, m.makers = w.pollersOf(m, s, shared)
	m.shard.Store(s)
	s.Attach(attached(m.pollers), m.state() == status.Running)
}

// pollersOf makes the pollers of a connector, for a shard, and what makes their records.
func (w *Worker) pollersOf(m *managed, s *shard.Shard, shared map[string]bool) (all []*stream.Poller, makers []*record.Maker) {
	clocks, turns := new(sync.Once), w.turns.Instance()
	limit := polls.Limit{Fixed: m.c.RateLimit}
	if m.c.RateAuto {
		limit = polls.Limit{Found: m.source.Found, Remember: m.source.Remember}
	}
	budget := w.polls.Budget(m.c.Host(), m.c.PollShare, limit)
	ids := sweep.ReadTopic(append(w.clientOpts(), w.metrics.Kafka.Named("sweep"))...)
	for i := range m.c.Objects {
		o := &m.c.Objects[i]
		st := checkpoint.Stream{Tenant: m.c.Tenant, Object: o.Path}
		log := logging.Named(w.log.With("connector", m.name, "task", i, "tenant", m.c.Tenant, "object", o.Path), "connector.task")
		maker := record.NewMaker(record.Config{
			Stream: st, Object: o, Connector: m.name, Task: i, Shared: shared[record.SubjectOf(*o)], Registry: w.registry, Topics: w.topics,
			Report: m.tasks[i], Version: w.cfg.Version, Dir: record.Dir(w.settings), Log: log,
		})
		makers = append(makers, maker)
		all = append(all, stream.New(stream.Config{
			Stream: st, Object: o, Source: m.source, Shard: s, Topics: ids, Polls: budget, Bell: m.bells[i], Rate: m.c.MostRequests(), Task: m.tasks[i], Clocks: clocks, Turns: turns,
			Memory: w.memory, RowBytes: w.metrics.RowBytes.WithLabelValues(o.Path), Slice: w.slice, Tracer: w.tracer, Log: log, Maker: maker,
		}))
	}
	return all, makers
}

// usable are the configurations of the connectors whose can be used.
func (w *Worker) usable() []*config.Connector {
	var all []*config.Connector
	for _, m := range w.all() {
		if m.c != nil {
			all = append(all, m.c)
		}
	}
	return all
}

// attached are pollers as their shard has them.
func attached(pollers []*stream.Poller) []shard.Poller {
	all := make([]shard.Poller, len(pollers))
	for i, p := range pollers {
		all[i] = p
	}
	return all
}

// status tells of the connector.
func (w *Worker) status(m *managed) (cs status.ConnectorStatus) {
	cs = status.ConnectorStatus{Name: m.name, State: m.state(), Trace: m.trace, FromFile: m.file, Config: maps.Clone(m.shown), Untold: m.isUntold()}
	defer w.tellVerified(&cs)
	if m.c == nil {
		w.outlined(m, &cs)
		return cs
	}
	cs.Tenant, cs.Owner = m.c.Tenant, w.owner(m)
	if cs.State == status.Running && cs.Owner == (status.Owner{}) {
		cs.State = status.Unassigned
	}
	for _, t := range m.tasks {
		cs.Tasks = append(cs.Tasks, t.Status())
	}
	if now := time.Now(); cs.Owner.Local {
		cs.Rate, cs.Token, cs.ClockAhead = m.instance.Rate(now), m.instance.Token(now), m.instance.Ahead()
	}
	return cs
}

// known is what can be read of the configuration, be it usable or not; nil: nothing.
func (m *managed) known() *config.Connector { return cmp.Or(m.c, m.outline) }

// unusableError is that of a request that the configuration keeps from being done.
func (m *managed) unusableError() error {
	return fmt.Errorf("the connector's configuration can't be used: %s", m.trace)
}

// outlined tells what is known of a connector whose configuration can't be used
// here. Where another worker runs its shard, that is the other's business.
func (w *Worker) outlined(m *managed, cs *status.ConnectorStatus) {
	if m.outline == nil {
		return
	}
	cs.Tenant, cs.Owner = m.outline.Tenant, w.owner(m)
	state := status.Failed
	if !cs.Owner.Local && cs.Owner != (status.Owner{}) {
		cs.State, cs.Trace = m.goal(), ""
		state = idleState(cs.State)
	}
	for i := range m.outline.Objects {
		t := status.NewTask(i, &m.outline.Objects[i], state, nil, nil).Status()
		t.Trace = cs.Trace
		cs.Tasks = append(cs.Tasks, t)
	}
}

// owner is who runs the connector's tasks: this worker if the
// group has given it the shard, else the one that said so last.
func (w *Worker) owner(m *managed) status.Owner {
	s := m.shard.Load()
	if s == nil {
		return status.Owner{}
	}
	self := w.cfg.Self
	self.Local = true
	if s.IsAssigned() {
		return self
	}
	o := w.announced(s.Partition)
	if o.WorkerID == self.WorkerID {
		return status.Owner{} // it was this worker, or one in its place before
	}
	return o
}
