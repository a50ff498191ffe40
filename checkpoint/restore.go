package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrNoFence says that the partition ends before the fence that Restore was told to read up to.
var ErrNoFence = errors.New("the fence record is not in the topic: commit FenceRecord first, then restore with its nonce")

var (
	// errCut: the topic holds less than, or something else than, what the file has applied.
	errCut = errors.New("the topic was cut back below what the file holds")
	// errGone: the offset that the file goes on from is not in the topic.
	errGone = errors.New("the topic no longer holds the offset that the file goes on from")
)

// RestoreConfig says what to read, and how far.
type RestoreConfig struct {
	// Opts say how to reach the cluster: seed brokers, TLS, SASL, dialer. Nothing of producing, of
	// groups or of what to consume.
	Opts []kgo.Opt
	// Topic and Partition are those of the store's identity.
	Topic     string
	Partition int32
	// Nonce is that of the fence committed after InitProducerID.
	Nonce string
	// Chunk is how many ledger entries one Update takes, at least; 0: 100,000. What is applied stays
	// applied when a restore is killed.
	Chunk int
	// Progress, where set, is called after each Update with the entries applied so far.
	Progress func(applied int64)
	// Foreign, where set, is called with the offset of each record that is not coupastream's and is
	// passed over: somebody else writes to the topic.
	Foreign func(offset int64)
}

const (
	defaultChunk = 100_000
	// maxAttempts bounds how often a restore starts over: a file that doesn't fit is set aside once,
	// and the log may be cut from the front while it is read.
	maxAttempts = 4
	// fetchWait bounds how late a reader that waits for a commit marker sees it.
	fetchWait = 250 * time.Millisecond
)

// Restore brings s to the end of its partition. The caller has called InitProducerID, which fences
// the former owner and ends its transaction, and then committed a FenceRecord with the nonce;
// Restore reads under read_committed from s.Next until that record comes. A file that does not fit
// the topic is set aside (see Store.Aside) and the partition is read from its start.
//
// It may be cancelled, or killed, at any time: the next one goes on behind the last Update. Until one
// has succeeded, Apply returns ErrBehind. An error that wraps ErrPlace is the disk's; one that wraps
// ErrNewer stays until a newer version runs; others may pass.
func Restore(ctx context.Context, cfg RestoreConfig, s *Store) error {
	if cfg.Topic != s.id.Topic || cfg.Partition != s.id.Partition {
		return fmt.Errorf("checkpoint: restoring partition %d of %s into the file of partition %d of %s", cfg.Partition, cfg.Topic, s.id.Partition, s.id.Topic)
	}
	admin, err := kgo.NewClient(cfg.Opts...)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	defer admin.Close()
	s.unsettle()
	if err := s.reopen(s.loadOrReplace); err != nil {
		return err
	}
	r := &restorer{cfg: cfg, store: s, admin: admin}
	for range maxAttempts {
		if err = r.attempt(ctx); err == nil || !errors.Is(err, errCut) && !errors.Is(err, errGone) {
			break
		}
		if s.Next() == 0 && !errors.Is(err, errCut) {
			continue // nothing applied yet: the log only lost its front meanwhile
		}
		if err := s.startOver(s.id, err.Error()); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("checkpoint: restoring partition %d of %s: %w", cfg.Partition, cfg.Topic, err)
	}
	s.settle()
	return nil
}

// restorer is one Restore; owned by its goroutine.
type restorer struct {
	cfg     RestoreConfig
	store   *Store
	admin   *kgo.Client
	pending []change         // read, not applied
	puts    map[ChunkKey]int // of these, the last put of each chunk
	entries int              // ledger entries in pending
	next    int64            // offset behind the last record read
	applied int64
}

// Fit sets the file aside where it does not fit its topic (see Store.Aside), as Restore does. An owner calls
// it before anything of its own makes the topic longer: a file that is ahead by a commit that the brokers
// have lost no longer is when the fence is there. opts are as RestoreConfig.Opts.
func Fit(ctx context.Context, opts []kgo.Opt, s *Store) error {
	admin, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	defer admin.Close()
	r := &restorer{cfg: RestoreConfig{Topic: s.id.Topic, Partition: s.id.Partition}, store: s, admin: admin}
	_, _, err = r.fit(ctx)
	return err
}

// attempt sets the file aside where it must, and reads.
func (r *restorer) attempt(ctx context.Context) error {
	verdict, start, err := r.fit(ctx)
	if err != nil {
		return err
	}
	if verdict == goOn {
		return ErrNoFence
	}
	return r.read(ctx, max(r.store.Next(), start))
}

// fit compares file and topic, and sets the file aside if need be; start is the topic's first offset.
func (r *restorer) fit(ctx context.Context) (_ verdict, start int64, err error) {
	topic, err := r.describe(ctx)
	if err != nil {
		return 0, 0, err
	}
	verdict, why := compare(r.store.id, r.store.Next(), topic)
	if verdict == setAside {
		err = r.store.startOver(topic.Identity, why)
	}
	return verdict, topic.Start, err
}

// describe asks the cluster for the partition's identity and bounds.
func (r *restorer) describe(ctx context.Context) (partitionState, error) {
	id, err := Identify(ctx, r.admin, r.cfg.Topic, r.cfg.Partition)
	if err != nil {
		return partitionState{}, err
	}
	start, err := Begin(ctx, r.admin, r.cfg.Topic, r.cfg.Partition)
	if err != nil {
		return partitionState{}, err
	}
	ends, err := kadm.NewClient(r.admin).ListEndOffsets(ctx, r.cfg.Topic)
	if err != nil {
		return partitionState{}, fmt.Errorf("asking where the partition ends: %w", err)
	}
	end, _ := ends.Lookup(r.cfg.Topic, r.cfg.Partition)
	return partitionState{Identity: id, Start: start, End: end.Offset}, end.Err
}

// Begin asks the cluster for the first offset that a
// partition of the checkpoint topic has; see AnchorRecord.
func Begin(ctx context.Context, cl *kgo.Client, topic string, partition int32) (int64, error) {
	starts, err := kadm.NewClient(cl).ListStartOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("checkpoint: asking where partition %d of topic %s begins: %w", partition, topic, err)
	}
	start, _ := starts.Lookup(topic, partition)
	return start.Offset, start.Err
}

// read applies the partition from the offset on, up to the fence.
func (r *restorer) read(ctx context.Context, from int64) error {
	r.pending, r.puts, r.entries, r.next = nil, map[ChunkKey]int{}, 0, from
	cl, err := kgo.NewClient(append(append([]kgo.Opt{}, r.cfg.Opts...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.cfg.Topic: {r.cfg.Partition: kgo.NewOffset().At(from)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxPartitionBytes(8<<20),
	)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		done, err := r.take(ctx, fetches)
		if done || err != nil {
			return err
		}
	}
}

// take works through one poll; done when the fence is behind us and all is applied.
func (r *restorer) take(ctx context.Context, fetches kgo.Fetches) (done bool, err error) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		for _, rec := range p.Records {
			if done || err != nil {
				return
			}
			done, err = r.record(ctx, rec)
		}
		switch {
		case done || err != nil:
		case p.Err != nil:
			err = readError(p.Err)
		case len(p.Records) > 0 && r.next >= p.HighWatermark:
			err = ErrNoFence
		}
	})
	return done, err
}

// readError sorts out the errors that mean that the file does not fit the topic.
func readError(err error) error {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange):
		return fmt.Errorf("%w: %w", errGone, err)
	case errors.As(err, &loss):
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return err
}

// record notes one record, and applies what has come together when it is enough or the fence.
func (r *restorer) record(ctx context.Context, rec *kgo.Record) (done bool, err error) {
	r.next = rec.Offset + 1
	if rec.Attrs.IsControl() {
		return false, nil
	}
	c, err := decode(rec.Key, rec.Value)
	if errors.Is(err, errForeign) {
		if r.cfg.Foreign != nil {
			r.cfg.Foreign(rec.Offset)
		}
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("offset %d: %w", rec.Offset, err)
	}
	r.add(c)
	done = c.kind == fence && c.nonce == r.cfg.Nonce
	limit := r.cfg.Chunk
	if limit <= 0 {
		limit = defaultChunk
	}
	if done || r.entries >= limit || len(r.pending) >= limit {
		err = r.apply(ctx)
	}
	return done, err
}

// add notes a change. A chunk that was written again holds what it held before: of its records among
// those pending, only the last one brings entries.
func (r *restorer) add(c change) {
	if c.kind == put {
		if i, ok := r.puts[c.chunk]; ok {
			r.entries -= len(r.pending[i].entries)
			r.pending[i].entries = nil
		}
		r.puts[c.chunk] = len(r.pending)
	}
	r.pending = append(r.pending, c)
	r.entries += len(c.entries)
}

// apply carries the pending changes over, with the offset behind them, in one Update.
func (r *restorer) apply(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := r.store.update(r.next, func(u *update) error {
		for _, c := range r.pending {
			if err := u.take(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.applied += int64(r.entries)
	r.pending, r.entries = r.pending[:0], 0
	clear(r.puts)
	if r.cfg.Progress != nil {
		r.cfg.Progress(r.applied)
	}
	return nil
}
