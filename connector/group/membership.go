package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/logging"
	"github.com/coupastream/coupastream/connector/transport"
)

// Bounds of a member's ways to give shards away. A shard needs at most LastCommit for
// its last commit; one that takes longer than handOver is abandoned, and the group is not
// kept waiting: its transactional id fences it. RebalanceTimeout is how long the group
// waits for its members to come to a rebalance, several times what a hand-over takes.
const (
	handOver         = LastCommit + time.Second
	leaveTimeout     = handOver + 500*time.Millisecond
	RebalanceTimeout = 20 * time.Second
)

// LastCommit bounds the last commit of a shard that is asked to stop.
const LastCommit = 3 * time.Second

// Why a shard is stopped, as the cause of its context.
var (
	errRevoked = errors.New("the group gives the shard to another worker")
	// ErrLost: the group has gone on without this worker, and somebody
	// else may own the shard already. Nothing more is committed.
	ErrLost = errors.New("this worker is no longer a member of its group")
)

// ErrNotMember is the group's answer to a worker that it does not know, or no longer.
var ErrNotMember = errors.New("the group does not know this worker as a member")

// Heard knows when the brokers answered a member last: heartbeats are asked for at
// all times but while the group rebalances. It is a hook of the member's client.
type Heard struct {
	at      atomic.Pointer[time.Time]
	trouble atomic.Pointer[transport.CertificateError] // since then
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (h *Heard) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err == nil {
		now := time.Now()
		h.at.Store(&now)
		h.trouble.Store(nil)
		return
	}
	h.note(err)
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (h *Heard) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	h.note(err)
}

func (h *Heard) note(err error) {
	var trouble *transport.CertificateError
	if errors.As(err, &trouble) {
		h.trouble.Store(trouble)
	}
}

// Trouble is why the brokers do not answer, where a certificate was not taken; nil otherwise.
func (h *Heard) Trouble() error {
	if trouble := h.trouble.Load(); trouble != nil {
		return trouble
	}
	return nil
}

// Silent is how long the brokers have not answered; 0 before they first did, and after the end.
func (h *Heard) Silent() time.Duration {
	at := h.at.Load()
	if at == nil {
		return 0
	}
	return time.Since(*at)
}

// Shard is what a membership runs of a partition.
type Shard interface {
	// Run owns the shard until ctx ends, whose cause says why, or Kafka
	// refuses for good. member asks the group whether this worker is a member
	// still: nil, ErrNotMember, or any other error if it can't be told.
	Run(ctx context.Context, member func(context.Context) error) error
	// Assign notes whether the group has given the shard to this worker.
	Assign(bool)
	// Unassign shows the shard's tasks as not this worker's.
	Unassign()
}

// Meter measures rebalances.
type Meter interface {
	Rebalancing()
	Rebalanced(generation int32)
}

// Membership is a worker's place in the consumer group that shares the checkpoint topic's partitions.
// Kafka's coordinator decides who owns which one; nothing is ever fetched here. Run may be called once.
type Membership struct {
	Config

	mu   sync.Mutex
	held map[int32]*holding // by partition: the latest run of its shard
}

// holding is one run of a shard, from the partition's assignment on.
type holding struct {
	stop context.CancelCauseFunc
	done chan struct{} // closed when nothing of it runs any more
}

// Config is what a membership is made of.
type Config struct {
	Settings *config.Worker
	Kafka    []kgo.Opt
	Shards   []Shard // by partition
	// Announce is told which shards are this worker's, in which generation of the group. It must not block.
	Announce func(run context.Context, shards []int32, generation int32, member func(context.Context) error)
	Meter    Meter
	Heard    *Heard
	Log      *slog.Logger
}

// New makes a membership that is no member yet.
func New(c Config) *Membership {
	c.Log = logging.Named(c.Log, "connector.membership")
	return &Membership{Config: c, held: map[int32]*holding{}}
}

// Run is a member of the group until ctx ends, and runs the shards that the group assigns. A stop is
// clean: shards commit or drop the batch in hand, then a dynamic member leaves, so that others take
// over at once; a static one stays for its session timeout, in which a restart finds its shards
// again. An error says why the worker can't be a member, or which shard Kafka refuses for good.
func (m *Membership) Run(ctx context.Context) error {
	run, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer m.Heard.at.Store(nil)
	// The client outlives the run: it has to leave the group. Cutting it ends whatever it still waits for.
	root, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	cl, err := kgo.NewClient(append(m.memberOpts(run, end), kgo.WithContext(root))...)
	if err != nil {
		return fmt.Errorf("Kafka group member: %w", err)
	}
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		m.listen(run, cl, end)
	}()
	<-run.Done()
	err = context.Cause(run)
	if ctx.Err() != nil {
		err = nil
	}
	leaving, cancel := context.WithTimeout(root, leaveTimeout)
	if err := cl.LeaveGroupContext(leaving); err != nil {
		m.Log.Warn("the group could not be told of the stop; it notices after session.timeout.ms", "error", err)
	}
	cancel()
	cut()
	cl.Close()
	<-polled
	m.stop(m.partitions(), errRevoked)
	return err
}

func (m *Membership) memberOpts(run context.Context, end context.CancelCauseFunc) []kgo.Opt {
	s := m.Settings
	opts := append(slices.Clip(m.Kafka),
		kgo.ConsumerGroup(s.GroupID), kgo.ConsumeTopics(s.CheckpointTopic), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(s.SessionTimeout), kgo.HeartbeatInterval(s.HeartbeatInterval), kgo.RebalanceTimeout(RebalanceTimeout),
		kgo.DisableAutoCommit(),
		// No partition gets as far as having an offset to fetch from, and none is to be found for it.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.AdjustFetchOffsetsFn(func(context.Context, map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			return nil, nil
		}),
		kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, p map[string][]int32) {
			m.assigned(run, cl, p[s.CheckpointTopic], end)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.revoked(p[s.CheckpointTopic]) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.lost(p[s.CheckpointTopic]) }),
	)
	if s.GroupInstanceID != "" {
		opts = append(opts, kgo.InstanceID(s.GroupInstanceID))
	}
	return opts
}

// listen hears what goes wrong with the membership, until run ends.
func (m *Membership) listen(run context.Context, cl *kgo.Client, end context.CancelCauseFunc) {
	var said time.Time
	for run.Err() == nil {
		cl.PollFetches(run).EachError(func(_ string, _ int32, err error) {
			if run.Err() != nil {
				return
			}
			if final := m.refusal(err); final != nil {
				end(final)
				return
			}
			if said.IsZero() || time.Since(said) >= 30*time.Second {
				said = time.Now()
				m.Log.Warn("the group can't be reached or has gone on without this worker; it joins again by itself", "error", err)
			}
		})
	}
}

// refusal gives an error of the group its remedy, if a person has to act; nil if it passes by itself.
func (m *Membership) refusal(err error) error {
	s := m.Settings
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		return fmt.Errorf("group.instance.id = %s: another worker of group %s runs with it; give each worker an id of its own: %w", s.GroupInstanceID, s.GroupID, err)
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return fmt.Errorf("group.id = %s: no right to join the group; allow this principal READ on group %s: %w", s.GroupID, s.GroupID, err)
	case errors.Is(err, kerr.InvalidSessionTimeout):
		return fmt.Errorf("session.timeout.ms = %d: not within the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms (6000 and 1800000 unless they were changed); give a value between: %w",
			s.SessionTimeout.Milliseconds(), err)
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		return fmt.Errorf("group.id = %s: a consumer group of another kind has this name; give another group.id: %w", s.GroupID, err)
	case errors.Is(err, kerr.GroupMaxSizeReached):
		return fmt.Errorf("group.id = %s: the group has as many members as the brokers' group.max.size allows; run fewer workers: %w", s.GroupID, err)
	default:
		return nil
	}
}

// assigned starts the shards of partitions. While an earlier run
// of the same shard has not ended, the new one waits for it.
func (m *Membership) assigned(run context.Context, cl *kgo.Client, partitions []int32, end context.CancelCauseFunc) {
	if run.Err() != nil {
		return
	}
	_, generation := cl.GroupMetadata()
	m.Meter.Rebalanced(generation)
	member := func(ctx context.Context) error { return m.confirm(ctx, cl) }
	defer m.Announce(run, partitions, generation, member) // when they are assigned: what is not is not said
	if len(partitions) == 0 {
		return
	}
	m.Log.Info("shards assigned", "partitions", partitions)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range partitions {
		if int(n) >= len(m.Shards) {
			m.Log.Error("the checkpoint topic has got more partitions, and nothing lies in them; restart the workers of the group with a new group.id if that was meant", "partition", n)
			continue
		}
		s := m.Shards[n]
		s.Assign(true)
		before := m.held[n]
		ctx, stop := context.WithCancelCause(run)
		h := &holding{stop: stop, done: make(chan struct{})}
		m.held[n] = h
		go func() {
			defer close(h.done)
			defer stop(nil)
			if before != nil {
				<-before.done
			}
			if err := s.Run(ctx, member); err != nil {
				end(err)
			}
		}()
	}
}

// revoked gives shards away in peace: when it returns, the group hands them to another worker.
func (m *Membership) revoked(partitions []int32) {
	m.Meter.Rebalancing()
	if len(partitions) > 0 {
		m.Log.Info("shards given away", "partitions", partitions)
		m.stop(partitions, errRevoked)
	}
}

// lost drops shards that are somebody else's already, for all that this worker knows.
func (m *Membership) lost(partitions []int32) {
	if len(partitions) > 0 {
		m.Log.Warn("shards lost: the group did not hear from this worker in time", "partitions", partitions, "session.timeout.ms", m.Settings.SessionTimeout.Milliseconds())
		m.stop(partitions, ErrLost)
	}
}

// stop stops shards, all at once, and waits until they have ended, but no longer than handOver.
func (m *Membership) stop(partitions []int32, why error) {
	ending := m.cancel(partitions, why)
	ctx, cancel := context.WithTimeout(context.Background(), handOver)
	defer cancel()
	for n, h := range ending {
		select {
		case <-h.done:
		case <-ctx.Done():
			m.Log.Warn("the shard does not end in time and is left to be fenced", "shard", n, "waited", handOver)
			m.Shards[n].Unassign()
		}
	}
}

func (m *Membership) cancel(partitions []int32, why error) map[int32]*holding {
	m.mu.Lock()
	defer m.mu.Unlock()
	ending := map[int32]*holding{}
	for _, n := range partitions {
		if h, ok := m.held[n]; ok {
			m.Shards[n].Assign(false)
			h.stop(why)
			ending[n] = h
		}
	}
	return ending
}

func (m *Membership) partitions() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []int32
	for n := range m.held {
		all = append(all, n)
	}
	return all
}

// confirm asks the group whether this worker is a member, with one heartbeat: nil if it is, be
// it that a rebalance goes on, in which a member keeps its partitions until it has given them
// away. ErrNotMember if it is not, or has to join again first. Anything else: nobody knows.
func (m *Membership) confirm(ctx context.Context, cl *kgo.Client) error {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group = m.Settings.GroupID
	req.MemberID, req.Generation = cl.GroupMetadata()
	if req.MemberID == "" {
		return ErrNotMember
	}
	if id := m.Settings.GroupInstanceID; id != "" {
		req.InstanceID = &id
	}
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	switch {
	case err == nil, errors.Is(err, kerr.RebalanceInProgress):
		return nil
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.FencedInstanceID):
		return fmt.Errorf("%w: %w", ErrNotMember, err)
	default:
		return fmt.Errorf("asking group %s for this worker's membership: %w", m.Settings.GroupID, err)
	}
}
