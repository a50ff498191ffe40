package shard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/group"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/internal/failpoint"
	"github.com/coupastream/coupastream/connector/internal/txn"
	"github.com/coupastream/coupastream/connector/logging"
	"github.com/coupastream/coupastream/connector/metrics"
	"github.com/coupastream/coupastream/connector/status"
)

// Shard is one partition of the checkpoint topic: one transactional
// id, one producer, one owner. Its streams share transactions.
type Shard struct {
	// Set once.
	Config
	log      *slog.Logger
	in       chan *Submission // unbuffered: what was received is answered
	quiet    chan struct{}    // one signal: a poller stopped reading
	faults   chan error       // one reason to rebuild that a poller found
	reading  atomic.Int32     // pollers that may submit
	assigned atomic.Bool      // by the group, to this worker
	arrived  chan struct{}    // one signal: a connector was attached

	// Owned by the goroutine of Run, for one ownership.
	producer Producer
	store    *checkpoint.Store
	ended    time.Time // end of the last transaction
	ends     ends
	// how transactions ended that may be open yet; kept from one ownership to the next, up to settleData
	left   map[txn.Partition]txn.Outcome
	bounds bounds // of the next one; kept from one ownership to the next
	// the store could be opened once: from then on a failure may pass
	opened bool
	// of streams with a backfill or a snapshot: id → newest updated-at that polls handed over beside it
	ahead map[checkpoint.Stream]map[int64]int64

	mu        sync.Mutex
	positions map[checkpoint.Stream]checkpoint.Position // as committed
	pollers   map[Poller]*berth                         // of the connectors that were attached
	// of the pollers of this ownership, from the end of restoring on; nil: the shard is not owned
	live context.Context
	crew *sync.WaitGroup // of the pollers that run in live
}

// Config is what a shard is made of.
type Config struct {
	Settings  *config.Worker // group.id, state.dir, checkpoint.topic and time-outs
	Partition int32          // of the checkpoint topic
	ClusterID string
	TopicID   [16]byte // of the checkpoint topic
	WorkerID  string
	// Kafka are the options of every client, and Client those by which it has a name in the metrics.
	Kafka  []kgo.Opt
	Client func(name string) kgo.Opt
	// Partitions is how many the checkpoint topic has, and Claims what the group remembers of its positions.
	Partitions int32
	Claims     Claims
	// BatchBytes is the largest batch that a topic takes.
	BatchBytes func(topic string) int32
	Tracer     trace.Tracer
	Meter      *metrics.Meter
	// Published, if set, is called for each record after its transaction has been committed.
	Published func(Publication)
	Log       *slog.Logger
}

// New makes a shard that is owned by nobody yet.
func New(c Config) *Shard {
	return &Shard{
		Config: c,
		log:    logging.Named(c.Log.With(slog.Int("shard", int(c.Partition))), "connector.shard"),
		in:     make(chan *Submission), arrived: make(chan struct{}, 1), pollers: map[Poller]*berth{},
		quiet: make(chan struct{}, 1), faults: make(chan error, 1), bounds: fullBounds(), left: map[txn.Partition]txn.Outcome{},
	}
}

// Run owns the shard, once it has connectors, until ctx ends, or Kafka refuses for good.
// Anything else, an unknown outcome first of all, gives up this ownership and begins a
// new one: fence, restore, go on from what the topic says. member asks the group whether
// this worker is a member still: nil, group.ErrNotMember, or any other error if it can't
// be told. Afterwards the shard's tasks are UNASSIGNED, and Run may be called again.
func (s *Shard) Run(ctx context.Context, member func(context.Context) error) error {
	defer s.Unassign()
	for s.empty() {
		select {
		case <-s.arrived:
		case <-ctx.Done():
			return nil
		}
	}
	backoff := clock.Backoff{Base: 200 * time.Millisecond, Max: 30 * time.Second}
	clear(s.left) // of an owner before
	for attempt := 0; ; attempt++ {
		started := time.Now()
		err := s.ownership(ctx, member)
		var lost *LostError
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil: // what was lost is made up for
			if !clock.Sleep(ctx, backoff.Delay(attempt, 0)) {
				return nil
			}
			continue
		case errors.As(err, &lost):
			if !s.standStill(ctx, lost) {
				return nil
			}
			attempt = -1
			continue
		case isFenced(err):
			clear(s.left) // what is open then is the other one's
			if !s.standBack(ctx, err) {
				return nil
			}
			attempt = -1
			continue
		case isRefused(err):
			return refusal(err, s.transactionalID(), s.Settings)
		}
		if time.Since(started) > time.Minute {
			attempt = 0
		}
		delay := backoff.Delay(attempt, 0)
		s.log.Warn("the shard is rebuilt from the checkpoint topic", "error", err, "after", delay)
		s.explain("the shard is rebuilt from the checkpoint topic: " + err.Error())
		if !clock.Sleep(ctx, delay) {
			return nil
		}
	}
}

// standBack waits after another process has taken the transactional id; false when ctx ended.
// The id is not taken back: if the other one is a member of the group, the group takes the shard
// away from here, or has done so. Only when nothing of that kind happens for a session timeout
// may the group be asked, and if this worker is its member still, whoever took the id was none.
func (s *Shard) standBack(ctx context.Context, err error) bool {
	s.log.Error("the shard was fenced: another process has taken its transactional id; it is tried again when the group has confirmed the owner",
		"transactional_id", s.transactionalID(), "error", err, "not_before", s.Settings.SessionTimeout)
	trace := fmt.Sprintf("fenced: another process has taken transactional id %s; goes on by itself if the group leaves the shard to this worker: %v", s.transactionalID(), err)
	for _, p := range s.working() {
		p.Task().Update(func(t *status.TaskStatus) { t.State, t.Trace = status.Failed, trace })
	}
	return clock.Sleep(ctx, s.Settings.SessionTimeout)
}

// confirm returns nil when the group says that this worker is a member. While it says the contrary, the
// id is not touched, and the group's word is waited for: a member that was given up for dead and lives
// on loses its shards as soon as it hears so. An error: the group could not be asked, or ctx ended.
func (s *Shard) confirm(ctx context.Context, member func(context.Context) error) error {
	for said := false; ; {
		err := member(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, group.ErrNotMember):
			return err
		case !said:
			said = true
			s.log.Warn("the shard waits for the group's word", "error", err)
			s.explain("waits for the group's word: " + err.Error())
		}
		if !clock.Sleep(ctx, s.Settings.HeartbeatInterval) {
			return ctx.Err()
		}
	}
}

// explain says in the status what the shard's streams wait for.
func (s *Shard) explain(trace string) {
	for _, p := range s.working() {
		p.Task().Update(func(t *status.TaskStatus) { t.Trace = trace })
	}
}

// Assign notes whether the group has given the shard to this worker.
func (s *Shard) Assign(yes bool) { s.assigned.Store(yes) }

// IsAssigned tells whether the group has given the shard to this worker.
func (s *Shard) IsAssigned() bool { return s.assigned.Load() }

// Unassign shows the shard's tasks as not this worker's.
func (s *Shard) Unassign() {
	s.Meter.Close()
	for _, p := range s.working() {
		p.Task().Update(func(t *status.TaskStatus) { t.State, t.Trace, t.Snapshot = status.Unassigned, "", false })
	}
}

func (s *Shard) transactionalID() string {
	return fmt.Sprintf("%s-%d", s.Settings.GroupID, s.Partition)
}

// ownership is one of the shard: fence the former owner, restore, then commit what the pollers
// submit. On return no poller runs and every submission was answered. The local store is
// opened first: its lock keeps a second process with the same state.dir from fencing this
// one, and it is compared with the topic before the fence makes that longer. The group is
// asked last before the fence: a worker that was stopped, replaced and continued sees its
// own time-outs first, and would steal the id from its successor.
func (s *Shard) ownership(ctx context.Context, member func(context.Context) error) error {
	if lost, err := s.findLoss(ctx); lost != nil || err != nil {
		return s.makeUp(ctx, member, lost, err)
	}
	if err := s.open(); err != nil {
		return err
	}
	defer func() { _ = s.store.Close() }()
	if err := checkpoint.Fit(ctx, s.Kafka, s.store); err != nil {
		return fmt.Errorf("comparing the local state with %s: %w", s.Settings.CheckpointTopic, err)
	}
	cl, err := s.newProducer()
	if err != nil {
		return err
	}
	defer cl.Close()
	s.producer, s.ahead = cl, map[checkpoint.Stream]map[int64]int64{}
	defer s.account(cl)()

	if err := failpoint.Before(failpoint.Restore); err != nil {
		return err
	}
	if err := s.confirm(ctx, member); err != nil {
		return err
	}
	nonce := rand.Text()
	if err := s.fence(ctx, cl, nonce); err != nil {
		return err
	}
	if err := s.restore(ctx, nonce); err != nil {
		return err
	}
	if err := s.settleData(ctx, cl); err != nil {
		return err
	}
	if err := failpoint.After(failpoint.Restore); err != nil {
		return err
	}
	begin, err := s.anchored(ctx, cl)
	if err != nil {
		return err
	}
	pollCtx, stop := context.WithCancel(ctx)
	defer stop()
	claimed, err := s.own(pollCtx, begin)
	if err != nil {
		return err
	}
	defer func() { stop(); <-claimed }()
	select {
	case <-s.faults: // of an ownership before
	default:
	}
	s.startWork(pollCtx)
	err = s.serve(ctx)
	stop()
	s.rejectLate(s.endWork(), err)
	return err
}

func (s *Shard) newProducer() (*txn.Client, error) {
	id := s.transactionalID()
	return txn.NewProducer(txn.Producer{ID: id, BatchBytes: s.BatchBytes, Buffered: 4 * MaxBatchRecords},
		append(slices.Clip(s.Kafka), s.Client("producer-"+id), kgo.WithHooks(throttled{s}))...)
}

// open opens the local store of the shard.
func (s *Shard) open() error {
	return s.openAs(checkpoint.Identity{
		ClusterID: s.ClusterID, Topic: s.Settings.CheckpointTopic, TopicID: s.TopicID, Partition: s.Partition,
	})
}

// path is where the local store is.
func (s *Shard) path() string {
	return filepath.Join(s.Settings.StateDir, s.Settings.GroupID, fmt.Sprintf("shard-%d.db", s.Partition))
}

// openAs opens the local store as one of a partition, which may be of a topic that is gone.
func (s *Shard) openAs(id checkpoint.Identity) error {
	store, err := checkpoint.Open(s.path(), id)
	if err != nil {
		err = fmt.Errorf("state.dir = %s: %w", s.Settings.StateDir, err)
		if !s.opened || errors.Is(err, checkpoint.ErrLocked) {
			err = fmt.Errorf("%w: %w", errState, err)
		}
		return err
	}
	s.store, s.opened = store, true
	return nil
}

// fence makes this worker the owner. InitProducerID comes before anything is read: it
// ends the former owner's open transaction and turns that owner's next request into an
// error. Read first and fence later, and a zombie could still commit behind our back.
func (s *Shard) fence(ctx context.Context, cl *txn.Client, nonce string) error {
	ctx, cancel := context.WithTimeout(ctx, txn.ProduceTimeout)
	defer cancel()
	before, err := cl.Fence(ctx, s.transactionalID())
	if err != nil {
		return fmt.Errorf("taking transactional id %s: %w", s.transactionalID(), err)
	}
	s.Meter.Close() // what was left open of this worker's is aborted
	if err := s.settlePositions(ctx, cl, before); err != nil {
		return err
	}
	return s.write(ctx, cl, checkpoint.FenceRecord(s.Settings.CheckpointTopic, s.Partition, nonce))
}

// write commits records of the checkpoint topic, without data, in a transaction of their own.
func (s *Shard) write(ctx context.Context, cl *txn.Client, records ...*kgo.Record) error {
	ctx, cancel := context.WithTimeout(ctx, txn.ProduceTimeout)
	defer cancel()
	if err := s.ends.Await(ctx, slices.Values(records), s.explain); err != nil {
		return err
	}
	if err := cl.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("writing to the checkpoint topic %s: %w", s.Settings.CheckpointTopic, errors.Join(err, cl.EndTransaction(ctx, kgo.TryAbort)))
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("committing to the checkpoint topic %s: %w", s.Settings.CheckpointTopic, err)
	}
	s.ended = time.Now()
	s.ends.Ended(txn.Committed, slices.Values(records))
	return nil
}

// restore brings the local store to the end of the topic and loads the positions.
func (s *Shard) restore(ctx context.Context, nonce string) error {
	started, foreign := time.Now(), 0
	err := checkpoint.Restore(ctx, checkpoint.RestoreConfig{
		Opts: s.Kafka, Topic: s.Settings.CheckpointTopic, Partition: s.Partition, Nonce: nonce,
		Progress: func(applied int64) { s.log.Info("restoring", "entries", applied) },
		Foreign: func(offset int64) {
			if foreign++; foreign == 1 {
				s.log.Error("the checkpoint topic holds records that are not coupastream's; they are passed over. Find out who writes there, and take that right away",
					"topic", s.Settings.CheckpointTopic, "partition", s.Partition, "offset", offset)
			}
		},
	}, s.store)
	if err != nil {
		return fmt.Errorf("restoring from %s: %w", s.Settings.CheckpointTopic, err)
	}
	if why := s.store.Aside(); why != "" {
		s.log.Warn("the local state did not fit and was restored from the checkpoint topic", "reason", why)
	}
	positions, err := s.store.Positions()
	if err != nil {
		return fmt.Errorf("reading the local state: %w", err)
	}
	s.mu.Lock()
	s.positions = positions
	s.mu.Unlock()
	s.log.Info("shard restored", "streams", len(positions), "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// serve commits batches until ctx ends or the producer can't go on. The batch in hand
// is finished in a time of its own, so that a stop commits it or drops it whole.
func (s *Shard) serve(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.faults:
			return err
		case first := <-s.in:
			batch := s.gather(ctx, first)
			commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), txn.Timeout)
			unhook := context.AfterFunc(ctx, func() { time.AfterFunc(timeToCommit(ctx), cancel) })
			err := s.commit(commitCtx, batch)
			unhook()
			cancel()
			if err != nil {
				return err
			}
		}
	}
}

// timeToCommit is the time that the batch in hand has when ctx has ended: none
// if the shard is lost, so that what is not at its commit already is dropped.
func timeToCommit(ctx context.Context) time.Duration {
	if errors.Is(context.Cause(ctx), group.ErrLost) {
		return 0
	}
	return group.LastCommit
}

// GiveUp ends this ownership for a reason that a poller found; the shard is rebuilt.
func (s *Shard) GiveUp(err error) {
	select {
	case s.faults <- err:
	default: // one reason is enough
	}
}

// rejectLate answers submissions until the pollers are gone.
func (s *Shard) rejectLate(gone <-chan struct{}, err error) {
	for {
		select {
		case sub := <-s.in:
			release([]*Submission{sub}, err)
		case <-s.faults: // it ends already
		case <-gone:
			return
		}
	}
}

// Position is a stream's committed position; the zero Position when it has none.
func (s *Shard) Position(st checkpoint.Stream) checkpoint.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.positions[st]
}

// Ledger answers what was published: entries of one stream with from ≤ updated-at < to (unix
// seconds), in order of updated-at. It shows every commit that was acknowledged before the call.
type Ledger interface {
	Range(s checkpoint.Stream, from, to int64, fn func(checkpoint.Entry) bool) error
	// ExpiredChunks lists at most n records of the stream's ledger whose entries all lie before horizon.
	ExpiredChunks(s checkpoint.Stream, horizon int64, n int) ([]checkpoint.ChunkKey, error)
	// Listed gives the states of rows with a line in a list, in order of its id from above after on until
	// fn returns false, and CountListed how many such lines there are.
	Listed(s checkpoint.Stream, list string, after int64, fn func(checkpoint.RowState) bool) error
	CountListed(s checkpoint.Stream, list string) (int64, error)
	// IDs gives the ids of a set above one (-1: all), in order, at most limit of them.
	IDs(s checkpoint.Stream, set checkpoint.IDSet, after int64, limit int) ([]int64, error)
}

// Ledger is what was published of the shard's streams, for pollers that run in this ownership.
func (s *Shard) Ledger() Ledger { return s.store }

// Submissions takes what pollers have read. It is unbuffered: what was received is answered exactly once.
func (s *Shard) Submissions() chan<- *Submission { return s.in }
