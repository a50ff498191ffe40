package connector

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/failpoint"
	"github.com/coupastream/coupastream/coupa"
)

// shard is one partition of the checkpoint topic: one transactional id, one producer, one owner. Its streams share transactions.
type shard struct {
	// Set once.
	w         *Worker
	partition int32
	pollers   []*poller
	log       *slog.Logger
	in        chan *submission // unbuffered: what was received is answered
	quiet     chan struct{}    // one signal: a poller stopped reading
	faults    chan error       // one reason to rebuild that a poller found
	reading   atomic.Int32     // pollers that may submit

	// Owned by the goroutine of Run, for one ownership.
	producer Producer
	store    *checkpoint.Store
	ended    time.Time                             // end of the last transaction
	opened   bool                                  // the store could be opened once: from then on a failure may pass
	ahead    map[checkpoint.Stream]map[int64]int64 // of streams with a backfill: id → newest updated-at that polls handed over beside it

	mu        sync.Mutex
	positions map[checkpoint.Stream]checkpoint.Position // as committed
}

func newShard(w *Worker, partition int32) *shard {
	return &shard{
		w: w, partition: partition,
		log:   w.log.With(slog.Int("shard", int(partition))),
		in:    make(chan *submission),
		quiet: make(chan struct{}, 1), faults: make(chan error, 1),
	}
}

// Run owns the shard until ctx ends, the id is taken over (ErrFenced), or Kafka refuses for good. Anything else, an unknown outcome first of
// all, gives up this ownership and begins a new one: fence, restore, go on from what the topic says.
func (s *shard) Run(ctx context.Context) error {
	backoff := coupa.Backoff{Base: 200 * time.Millisecond, Max: 30 * time.Second}
	for attempt := 0; ; attempt++ {
		started := time.Now()
		err := s.own(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case isFenced(err) || errors.Is(err, ErrFenced):
			return fmt.Errorf("transactional id %s: %w (is a second worker running with group.id %s?)", s.transactionalID(), ErrFenced, s.w.settings.GroupID)
		case isRefused(err):
			return err
		}
		if time.Since(started) > time.Minute {
			attempt = 0
		}
		delay := backoff.Delay(attempt, 0)
		s.log.Warn("the shard is rebuilt from the checkpoint topic", "error", err, "after", delay)
		for _, p := range s.pollers {
			p.task.update(func(t *TaskStatus) { t.Trace = "the shard is rebuilt from the checkpoint topic: " + err.Error() })
		}
		if !sleep(ctx, delay) {
			return nil
		}
	}
}

func (s *shard) transactionalID() string {
	return fmt.Sprintf("%s-%d", s.w.settings.GroupID, s.partition)
}

// own is one ownership: fence the former owner, restore, then commit what the pollers submit. On return no poller runs and every submission was answered.
// The local store is opened first: its lock keeps a second process with the same state.dir from fencing this one.
func (s *shard) own(ctx context.Context) error {
	if err := s.open(); err != nil {
		return err
	}
	defer func() { _ = s.store.Close() }()
	cl, err := s.w.newProducer(s.transactionalID())
	if err != nil {
		return err
	}
	defer cl.Close()
	s.producer, s.ahead = cl, map[checkpoint.Stream]map[int64]int64{}

	if err := failpoint.Before(failpoint.Restore); err != nil {
		return err
	}
	nonce := rand.Text()
	if err := s.fence(ctx, cl, nonce); err != nil {
		return err
	}
	if err := s.restore(ctx, nonce); err != nil {
		return err
	}
	if err := failpoint.After(failpoint.Restore); err != nil {
		return err
	}
	pollCtx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for _, p := range s.pollers {
		wg.Go(func() { p.Run(pollCtx) })
	}
	gone := make(chan struct{})
	go func() { wg.Wait(); close(gone) }()

	err = s.serve(ctx)
	stop()
	s.refuse(gone, err)
	return err
}

// open opens the local store of the shard.
func (s *shard) open() error {
	path := filepath.Join(s.w.settings.StateDir, s.w.settings.GroupID, fmt.Sprintf("shard-%d.db", s.partition))
	store, err := checkpoint.Open(path, checkpoint.Identity{
		ClusterID: s.w.ClusterID(), Topic: s.w.settings.CheckpointTopic, TopicID: s.w.checkpointID, Partition: s.partition,
	})
	if err != nil {
		err = fmt.Errorf("state.dir = %s: %w", s.w.settings.StateDir, err)
		if !s.opened || errors.Is(err, checkpoint.ErrLocked) {
			err = fmt.Errorf("%w: %w", errState, err)
		}
		return err
	}
	s.store, s.opened = store, true
	return nil
}

// fence makes this worker the owner. InitProducerID comes before anything is read: it ends the former owner's open transaction and turns that owner's
// next request into an error. Read first and fence later, and a zombie could still commit behind our back.
func (s *shard) fence(ctx context.Context, cl *kgo.Client, nonce string) error {
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	if _, _, err := cl.ProducerID(ctx); err != nil {
		return fmt.Errorf("taking transactional id %s: %w", s.transactionalID(), err)
	}
	if err := cl.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning the first transaction: %w", err)
	}
	if err := cl.ProduceSync(ctx, checkpoint.FenceRecord(s.w.settings.CheckpointTopic, s.partition, nonce)).FirstErr(); err != nil {
		return fmt.Errorf("writing to the checkpoint topic %s: %w", s.w.settings.CheckpointTopic, errors.Join(err, cl.EndTransaction(ctx, kgo.TryAbort)))
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("committing to the checkpoint topic %s: %w", s.w.settings.CheckpointTopic, err)
	}
	s.ended = time.Now()
	return nil
}

// restore brings the local store to the end of the topic and loads the positions.
func (s *shard) restore(ctx context.Context, nonce string) error {
	started := time.Now()
	err := checkpoint.Restore(ctx, checkpoint.RestoreConfig{
		Opts: s.w.clientOpts(), Topic: s.w.settings.CheckpointTopic, Partition: s.partition, Nonce: nonce,
		Progress: func(applied int64) { s.log.Info("restoring", "entries", applied) },
	}, s.store)
	if err != nil {
		return fmt.Errorf("restoring from %s: %w", s.w.settings.CheckpointTopic, err)
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
	for _, p := range s.pollers {
		p.task.update(func(t *TaskStatus) { t.Committed, t.Mark = positions[p.stream], positions[p.stream].Mark })
	}
	s.log.Info("shard restored", "streams", len(positions), "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// serve commits batches until ctx ends or the producer can't go on. The batch in hand is finished in a time of its own, so that a stop commits it or
// drops it whole.
func (s *shard) serve(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.faults:
			return err
		case first := <-s.in:
			batch := s.gather(ctx, first)
			commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
			unhook := context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })
			err := s.commit(commitCtx, batch)
			unhook()
			cancel()
			if err != nil {
				return err
			}
		}
	}
}

// stopTimeout bounds the last commit of a shard that is asked to stop.
const stopTimeout = 3 * time.Second

// giveUp ends this ownership for a reason that a poller found; the shard is rebuilt.
func (s *shard) giveUp(err error) {
	select {
	case s.faults <- err:
	default: // one reason is enough
	}
}

// refuse answers submissions until the pollers are gone.
func (s *shard) refuse(gone <-chan struct{}, err error) {
	for {
		select {
		case sub := <-s.in:
			release([]*submission{sub}, err)
		case <-s.faults: // it ends already
		case <-gone:
			return
		}
	}
}

// position is a stream's committed position; the zero Position when it has none.
func (s *shard) position(st checkpoint.Stream) checkpoint.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.positions[st]
}
