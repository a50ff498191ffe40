package shard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/internal/txn"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
)

// Claim says where a shard's positions are, and which state file knew them last.
type Claim struct {
	Cluster    string   // of Kafka
	TopicID    [16]byte // of the checkpoint topic
	Partitions int32    // that it has
	Begin      int64    // offset of the anchor, behind which all records are that the positions need
	Generation int64    // counts the files that owned the shard; who writes it sets it
	File       string   // the last one's name
	WorkerID   string   // who has it
}

// Claims are kept where all workers read them, and not in the checkpoint topic, whose loss they tell.
type Claims interface {
	// Claimed is the last claim on a shard, as far as is known here.
	Claimed(shard int32) (Claim, bool)
	// Latest is the last one that any worker has made before the call.
	Latest(ctx context.Context, shard int32) (c Claim, claimed bool, err error)
	// Claim makes one; on return without an error it is there for all.
	Claim(ctx context.Context, shard int32, c Claim) error
}

// LostError says that Kafka has lost the positions of a shard.
type LostError struct{ what, remedy string }

func (e *LostError) Error() string { return e.what + "; " + e.remedy }

// Remedy says how to go on.
func (e *LostError) Remedy() string { return e.remedy }

// loss is what is known of positions that are lost.
type loss struct {
	what    string
	claim   Claim
	claimed bool
	local   checkpoint.Local
	there   bool // local is
}

const remedyOfLoss = "set checkpoint.lost of the workers to local, which goes on from the state.dir that had the positions last, or to anew, which begins again by initial.from, and restart them"

// lookAgain is how often it is looked whether positions that are lost are back.
const lookAgain = 30 * time.Second

// standStill shows what was lost until it is time to look again; false when ctx ended.
func (s *Shard) standStill(ctx context.Context, lost *LostError) bool {
	said := false
	for _, p := range s.working() {
		var known bool
		p.Task().Update(func(t *status.TaskStatus) {
			known = t.State == status.Failed && t.Trace == lost.Error()
			t.State, t.Trace = status.Failed, lost.Error()
		})
		if known {
			continue
		}
		p.Task().Failed(lost)
		if !said {
			said = true
			s.log.Error("the shard's positions are lost; nothing is published of it until somebody says how to go on", "error", lost.what, "remedy", lost.remedy)
		}
	}
	return clock.Sleep(ctx, lookAgain)
}

// findLoss compares the checkpoint topic with what was
// claimed of it; nil: it is what it was, or nothing was.
func (s *Shard) findLoss(ctx context.Context) (*loss, error) {
	cl, err := kgo.NewClient(s.Kafka...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	topic := s.Settings.CheckpointTopic
	id, err := checkpoint.Identify(ctx, cl, topic, s.Partition)
	another := id != (checkpoint.Identity{}) && id.TopicID != s.TopicID // of fewer partitions, it may be
	if errors.Is(err, kerr.UnknownTopicOrPartition) || another {
		return nil, &LostError{fmt.Sprintf("checkpoint.topic %s was deleted while this worker runs, and the positions with it", topic), remedyOfLoss}
	}
	if err != nil {
		return nil, err
	}
	begin, err := checkpoint.Begin(ctx, cl, topic, s.Partition)
	if err != nil {
		return nil, err
	}
	l := &loss{}
	l.claim, l.claimed = s.Claims.Claimed(s.Partition)
	if l.local, l.there, err = checkpoint.Peek(s.path()); err != nil {
		return nil, fmt.Errorf("state.dir = %s: %w: %w", s.Settings.StateDir, errState, err)
	}
	switch {
	case l.claimed && l.claim.Cluster != s.ClusterID: // the topics were copied to another cluster
	case l.claimed && l.claim.TopicID != s.TopicID,
		!l.claimed && l.there && l.local.ClusterID == s.ClusterID && l.local.Topic == topic && l.local.TopicID != s.TopicID:
		l.what = fmt.Sprintf("checkpoint.topic %s was deleted and made again: the positions are gone", topic)
		return l, nil
	case l.claimed && begin > l.claim.Begin:
		l.what = fmt.Sprintf("checkpoint.topic %s has lost the records of partition %d below offset %d, by retention or because somebody deleted them: positions are gone", topic, s.Partition, begin)
		return l, nil
	}
	return nil, nil
}

// makeUp goes on after a loss as checkpoint.lost says. Nil: the topic holds
// what it is to hold, the claim says so, and the ownership may begin.
func (s *Shard) makeUp(ctx context.Context, member func(context.Context) error, l *loss, err error) error {
	switch {
	case err != nil:
		return err
	case s.Settings.CheckpointLost == config.LostAnew:
		return s.beginAnew(ctx, member, l)
	case s.Settings.CheckpointLost == config.LostLocal:
		return s.bringBack(ctx, member, l)
	}
	return &LostError{l.what, remedyOfLoss}
}

// beginAnew takes what is left of the shard's positions out of the topic.
func (s *Shard) beginAnew(ctx context.Context, member func(context.Context) error, l *loss) error {
	s.log.Error("the shard's positions are lost; it begins anew by initial.from, as checkpoint.lost says", "reason", l.what)
	if err := s.open(); err != nil {
		return err
	}
	defer func() { _ = s.store.Close() }()
	return s.rewrite(ctx, member, l, s.store.Forgotten, func(ctx context.Context, _ *kgo.Client, nonce string) error {
		return s.restore(ctx, nonce)
	})
}

// bringBack writes what the local store knows to the topic, if it was the last one to know it.
func (s *Shard) bringBack(ctx context.Context, member func(context.Context) error, l *loss) error {
	refuse := func(why string) error {
		has := "nothing tells which worker has the state that counts"
		if l.claimed {
			has = fmt.Sprintf("worker %s has it, as far as is known", l.claim.WorkerID)
		}
		return &LostError{l.what + "; checkpoint.lost = local, but " + why, has + ": let that one have the shard, with its state.dir, or set checkpoint.lost to anew"}
	}
	switch {
	case !l.there:
		return refuse("this worker has no state of the shard")
	case !l.claimed || l.local.File != l.claim.File || l.local.TopicID != l.claim.TopicID:
		return refuse("the state of this worker is not the last one")
	case l.claim.Partitions != s.Partitions:
		return refuse(fmt.Sprintf("the topic has %d partitions now, and had %d: make it with that number", s.Partitions, l.claim.Partitions))
	}
	s.log.Error("the shard's positions are lost; they are written back from the local state, as checkpoint.lost says", "reason", l.what)
	if err := s.openAs(l.local.Identity); err != nil {
		return err
	}
	defer func() { _ = s.store.Close() }()
	return s.rewrite(ctx, member, l, s.store.Whole, func(ctx context.Context, cl *kgo.Client, _ string) error {
		why, err := s.outdated(ctx, cl)
		if err == nil && why != "" {
			err = refuse(why)
		}
		return err
	})
}

// teller gives records that a store would have in the topic; see checkpoint.Store.Whole.
type teller func(topic string, partition int32, fn func([]*kgo.Record) error) error

// rewrite fences the former owner, asks whether it may go on, has the store tell the topic what it is to
// hold, and claims it. Until the claim is there the positions count as lost: whoever comes next does the
// same once more. Of what another worker has made up for meanwhile this one's view may not know yet.
func (s *Shard) rewrite(ctx context.Context, member func(context.Context) error, l *loss, tell teller,
	may func(ctx context.Context, cl *kgo.Client, nonce string) error) error {
	cl, err := s.newProducer()
	if err != nil {
		return err
	}
	defer cl.Close()
	defer s.account(cl)()
	if err := s.confirm(ctx, member); err != nil {
		return err
	}
	nonce := rand.Text()
	if err := s.fence(ctx, cl, nonce); err != nil {
		return err
	}
	switch latest, claimed, err := s.Claims.Latest(ctx, s.Partition); {
	case err != nil:
		return fmt.Errorf("asking where the positions are: %w", err)
	case claimed != l.claimed || latest != l.claim:
		return errClaimed
	}
	if err := may(ctx, cl.Client, nonce); err != nil {
		return err
	}
	begin, err := s.writeAll(ctx, cl, tell)
	if err != nil {
		return err
	}
	file, err := s.store.Own(nil)
	if err != nil {
		return fmt.Errorf("writing the local state: %w", err)
	}
	if err := s.Claims.Claim(ctx, s.Partition, s.claimOf(begin, file)); err != nil {
		return fmt.Errorf("noting where the positions are: %w", err)
	}
	s.log.Info("the shard goes on", "checkpoint.lost", s.Settings.CheckpointLost)
	return nil
}

// errClaimed says that a claim has changed since it was looked at.
var errClaimed = errors.New("another worker has claimed the shard's positions meanwhile")

// writeAll writes an anchor, and behind it, in one transaction after the
// other, what a store tells. begin is the anchor's offset.
func (s *Shard) writeAll(ctx context.Context, cl *txn.Client, tell teller) (begin int64, err error) {
	anchor := checkpoint.AnchorRecord(s.Settings.CheckpointTopic, s.Partition, rand.Text())
	if err := s.write(ctx, cl, anchor); err != nil {
		return 0, err
	}
	return anchor.Offset, tell(s.Settings.CheckpointTopic, s.Partition, func(records []*kgo.Record) error {
		return s.write(ctx, cl, records...)
	})
}

// anchored gives the offset behind which all records are that the shard's positions need. Where none is
// claimed, an anchor is written and behind it once more what was restored: one that dies before it has
// claimed this leaves some records twice, which restore to the same.
func (s *Shard) anchored(ctx context.Context, cl *txn.Client) (begin int64, err error) {
	if claim, ok := s.Claims.Claimed(s.Partition); ok && claim.Cluster == s.ClusterID && claim.TopicID == s.TopicID {
		return claim.Begin, nil
	}
	begin, err = s.writeAll(ctx, cl, s.store.Whole)
	if err != nil || s.store.Stats().Streams == 0 {
		return begin, err
	}
	nonce := rand.Text()
	if err := s.write(ctx, cl, checkpoint.FenceRecord(s.Settings.CheckpointTopic, s.Partition, nonce)); err != nil {
		return 0, err
	}
	return begin, s.restore(ctx, nonce)
}

func (s *Shard) claimOf(begin int64, file string) Claim {
	return Claim{Cluster: s.ClusterID, TopicID: s.TopicID, Partitions: s.Partitions, Begin: begin, File: file, WorkerID: s.WorkerID}
}

// own makes the restored store the one that counts: it notes how far the data topics are
// accounted for, and claims the positions, beside the work and until ctx ends. A claim that is
// late only makes checkpoint.lost = local refuse what it could take: it never takes a state
// that the data topics are ahead of. The channel is closed when nothing of it runs any more.
func (s *Shard) own(ctx context.Context, begin int64) (done <-chan struct{}, err error) {
	ends, err := s.dataEnds(ctx)
	if err != nil {
		return nil, err
	}
	file, err := s.store.Own(ends)
	if err != nil {
		return nil, fmt.Errorf("writing the local state: %w", err)
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		want := s.claimOf(begin, file)
		for tries := 0; ; tries++ {
			had, _ := s.Claims.Claimed(s.Partition)
			if want.Generation = had.Generation; had == want {
				return
			}
			err := s.Claims.Claim(ctx, s.Partition, want)
			if err == nil || ctx.Err() != nil {
				return
			}
			if tries == 0 {
				s.log.Warn("the config topic can't be told where the shard's positions are, so that a loss of them would not be made up for; it is tried again", "error", err)
			}
			if !clock.Sleep(ctx, claimAgain.Delay(tries, 0)) {
				return
			}
		}
	}()
	return finished, nil
}

// claimAgain spaces the attempts to claim positions.
var claimAgain = clock.Backoff{Base: time.Second, Max: time.Minute}

// dataEnds are the ends of the topics that the shard's streams write to. Its former
// owner is fenced: what of it is committed lies before them, and is restored.
func (s *Shard) dataEnds(ctx context.Context) (map[checkpoint.TopicPartition]int64, error) {
	s.mu.Lock()
	topics := topicsOf(s.positions)
	s.mu.Unlock()
	ends := map[checkpoint.TopicPartition]int64{}
	if len(topics) == 0 {
		return ends, nil
	}
	cl, err := kgo.NewClient(s.Kafka...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("asking where the data topics end: %w", err)
	}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err == nil {
			ends[checkpoint.TopicPartition{Topic: o.Topic, Partition: o.Partition}] = o.Offset
		}
	})
	return ends, nil
}

func topicsOf(positions map[checkpoint.Stream]checkpoint.Position) []string {
	var topics []string
	for _, p := range positions {
		for _, t := range p.Topics {
			topics = append(topics, t.Name)
		}
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// noteWritten notes in the commits how far their records reach in the data topics.
func noteWritten(batch []*Submission, commits []checkpoint.Commit) {
	written := make(map[checkpoint.Stream]map[checkpoint.TopicPartition]int64, len(commits))
	for i := range commits {
		commits[i].Written = map[checkpoint.TopicPartition]int64{}
		written[commits[i].Stream] = commits[i].Written
	}
	for _, sub := range batch {
		ends := written[sub.Stream]
		for _, r := range sub.Records {
			noteEnd(ends, r)
		}
		for _, r := range sub.lineRecords {
			noteEnd(ends, r.Record)
		}
	}
}

func noteEnd(ends map[checkpoint.TopicPartition]int64, r *kgo.Record) {
	at := checkpoint.TopicPartition{Topic: r.Topic, Partition: r.Partition}
	ends[at] = max(ends[at], r.Offset+1)
}

// outdated tells why the open store is not the last state of its streams: their topics hold records of
// theirs that it does not account for, or end before what it has written. "": it is the last one.
func (s *Shard) outdated(ctx context.Context, cl *kgo.Client) (string, error) {
	positions, err := s.store.Positions()
	if err != nil {
		return "", err
	}
	ends, err := s.store.Ends()
	if err != nil {
		return "", err
	}
	topics := topicsOf(positions)
	if len(topics) == 0 {
		return "", nil
	}
	admin := kadm.NewClient(cl)
	starts, startErr := admin.ListStartOffsets(ctx, topics...)
	stable, endErr := admin.ListCommittedOffsets(ctx, topics...)
	if err := errors.Join(startErr, endErr); err != nil {
		return "", fmt.Errorf("asking where the data topics end: %w", err)
	}
	for _, topic := range topics {
		for partition, end := range stable[topic] {
			at := checkpoint.TopicPartition{Topic: topic, Partition: partition}
			start, _ := starts.Lookup(topic, partition)
			switch from := max(ends[at], start.Offset); {
			case end.Err != nil: // it is gone, which its stream will tell
			case end.Offset < ends[at]:
				return fmt.Sprintf("partition %d of topic %s ends before what this state has written to it", partition, topic), nil
			case end.Offset > from:
				ahead, err := s.holdsMore(ctx, at, from, end.Offset, positions)
				if err != nil {
					return "", err
				}
				if ahead {
					return fmt.Sprintf("partition %d of topic %s holds records that this state does not know", partition, topic), nil
				}
			}
		}
	}
	return "", nil
}

// holdsMore tells whether a partition has committed records of the streams in [from, end).
func (s *Shard) holdsMore(ctx context.Context, at checkpoint.TopicPartition, from, end int64, streams map[checkpoint.Stream]checkpoint.Position) (bool, error) {
	cl, err := kgo.NewClient(append(slices.Clip(s.Kafka), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // what is deleted meanwhile is asked for anew
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{at.Topic: {at.Partition: kgo.NewOffset().At(from)}}))...)
	if err != nil {
		return false, err
	}
	defer cl.Close()
	for next, found := from, false; ; {
		poll, cancel := context.WithTimeout(ctx, txn.ProduceTimeout) // what is there to read comes sooner
		fetches := cl.PollFetches(poll)
		cancel()
		if err := fetches.Err(); err != nil {
			return false, fmt.Errorf("reading partition %d of topic %s: %w", at.Partition, at.Topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			_, ours := streams[record.StreamOf(r)]
			found = found || ours && !r.Attrs.IsControl() && r.Offset < end
		})
		if found || next >= end {
			return found, nil
		}
	}
}
