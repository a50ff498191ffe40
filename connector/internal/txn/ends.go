package txn

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/internal/clock"
)

// Outcome is how a transaction ended.
type Outcome int8

// Outcomes, as far as they are known.
const (
	Unknown Outcome = iota
	Committed
	Aborted
)

// Partition is one of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

// Ends knows in which partitions transactions of a client's transactional id may be open yet that have ended
// for their coordinator: markers are written after EndTxn is answered, or never (see [Client.Settle]). The
// next transaction's records must not go there: they would join it, and both would end in the same way.
//
// A partition is clear when its last stable offset is beyond the transaction, which DESCRIBE is enough for.
// Where transactions of others hold that back, DescribeProducers tells, with the right to READ. Without it a
// partition is clear, too, whose leader, when the coordinator was done, has the epoch of the transaction
// before: one that was gone has another one. Else the last stable offset is waited for, no longer than
// unreadable, and then the transaction counts as left open: to settle one that is not does no harm.
//
// The calls are safe to be made beside each other.
type Ends struct {
	cl   *Client
	id   string
	log  *slog.Logger
	lost func(error) // told once of ErrLeftOpen; it does not wait

	ctx    context.Context
	cancel context.CancelFunc
	asking sync.WaitGroup
	broken chan struct{} // closed when err is set

	mu     sync.Mutex
	err    error
	open   map[Partition]*end
	met    map[string]bool     // topics that were asked about
	secret map[string]bool     // topics of which DescribeProducers tells nothing
	epochs map[Partition]int32 // of leaders, as they were told last
	warned bool
}

// end is a transaction's in a partition, as long as it is not known that it is decided there.
type end struct {
	outcome Outcome
	last    int64         // offset of its last record; below zero: not known, but before the present end
	known   bool          // how it ended, and that it was there
	epoch   int32         // of the leader that the transaction before had, or below zero
	clear   chan struct{} // closed when it is decided
	wait    string        // what is waited for
}

const (
	// markerTime is what brokers mostly take to write the markers.
	markerTime = 2 * time.Millisecond
	// unreadable is how long the last stable offset is waited for where nothing else may be asked.
	unreadable = 5 * time.Second
	// meetTime is how long it may take to ask about topics.
	meetTime = 10 * time.Second
	// roundTime is how long the brokers may take for an answer, until they are asked again.
	roundTime = time.Second
	// explainAfter is how long Await waits without a word.
	explainAfter = time.Second
)

// NewEnds makes an account for a client that has fenced or is about to. lost is told of [ErrLeftOpen]. Close
// ends what it asks.
func NewEnds(cl *Client, id string, log *slog.Logger, lost func(error)) *Ends {
	e := &Ends{
		cl: cl, id: id, log: log, lost: lost, broken: make(chan struct{}),
		open: map[Partition]*end{}, met: map[string]bool{}, secret: map[string]bool{}, epochs: map[Partition]int32{},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Close ends what is asked, and gives how transactions ended of which it is not known that they are decided.
func (e *Ends) Close() map[Partition]Outcome {
	e.cancel()
	e.asking.Wait()
	left := map[Partition]Outcome{}
	for p, t := range e.open {
		if t.known {
			left[p] = t.outcome
		}
	}
	return left
}

// Ended notes a transaction that was ended, or whose end failed, by its records. It returns at once, and
// asks beside its caller whether their partitions are clear.
func (e *Ends) Ended(outcome Outcome, records iter.Seq[*kgo.Record]) {
	fresh := map[Partition]*end{}
	for r := range records {
		if outcome == Unknown { // the producer may have its records yet: no more of them is read
			e.mayHold(r.Topic, fresh)
			continue
		}
		p := Partition{r.Topic, r.Partition}
		if t := fresh[p]; t != nil {
			t.last = max(t.last, r.Offset)
			continue
		}
		fresh[p] = &end{outcome: outcome, last: r.Offset, known: true, clear: make(chan struct{})}
	}
	e.watch(fresh)
}

// mayHold adds the partitions of a topic that were written to before.
func (e *Ends) mayHold(topic string, fresh map[Partition]*end) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for p := range e.epochs {
		if p.Topic == topic && fresh[p] == nil {
			fresh[p] = &end{outcome: Unknown, last: -1, known: true, clear: make(chan struct{})}
		}
	}
}

func (e *Ends) watch(fresh map[Partition]*end) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for p, t := range fresh {
		t.epoch = -1
		if epoch, known := e.epochs[p]; known {
			t.epoch = epoch
		}
	}
	maps.Copy(e.open, fresh)
	if len(fresh) > 0 && e.ctx.Err() == nil {
		e.asking.Go(func() { e.ask(fresh) })
	}
}

// Meet asks about topics that were not asked about yet, and gives those of their partitions in which a
// transaction of the id is open, and of those that are left over from before the ones that it has no right to
// ask. What can't be told is asked beside the caller, and Await waits for it. What is open and not left over
// counts as committed, as an abort would take what is.
func (e *Ends) Meet(ctx context.Context, topics iter.Seq[string], left map[Partition]Outcome) (held, refused []Partition, err error) {
	var names []string
	last := ""
	for t := range topics {
		if t != last && !e.met[t] && !slices.Contains(names, t) {
			names = append(names, t)
		}
		last = t
	}
	if len(names) == 0 {
		return nil, nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, meetTime)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, e.cl.Client)
	if err != nil {
		return nil, nil, fmt.Errorf("asking for partitions: %w", err)
	}
	var all []Partition
	names = names[:0]
	for _, t := range resp.Topics {
		// a topic that may not be described can't be written either, and one that is not there holds nothing
		if err := kerr.ErrorForCode(t.ErrorCode); t.Topic != nil && (err == nil || errors.Is(err, kerr.UnknownTopicOrPartition)) {
			names = append(names, *t.Topic)
			for _, p := range t.Partitions {
				all = append(all, Partition{*t.Topic, p.Partition})
			}
		}
	}
	starts, err := e.starts(ctx, all)
	if err != nil {
		return nil, nil, err
	}
	untold, open := map[Partition]*end{}, map[Partition]*end{}
	for _, p := range all {
		switch start, told := starts[p]; {
		case !told:
			outcome, known := left[p]
			if !known {
				outcome = Committed
			}
			if known && e.secret[p.Topic] {
				refused, known = append(refused, p), false
			}
			untold[p] = &end{outcome: outcome, known: known, last: -1, clear: make(chan struct{})}
		case start >= 0:
			open[p] = &end{outcome: Committed, known: true, clear: make(chan struct{})}
			held = append(held, p)
		}
	}
	for _, t := range names {
		e.met[t] = true
	}
	e.watch(untold)
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.Copy(e.open, open)
	return held, refused, nil
}

// Await returns when all partitions that records go to are clear, or all that there are, if records is nil. A
// record whose partition is ByKey goes to any of its topic's. waiting is told, if it takes long, what is
// waited for. The error is ErrLeftOpen, or the context's with what was waited for.
func (e *Ends) Await(ctx context.Context, records iter.Seq[*kgo.Record], waiting func(why string)) error {
	needed := map[Partition]*end{}
	e.mu.Lock()
	switch {
	case records == nil:
		maps.Copy(needed, e.open)
	case len(e.open) > 0:
		for r := range records {
			if p := (Partition{r.Topic, r.Partition}); e.open[p] != nil {
				needed[p] = e.open[p]
			}
			if r.Partition != ByKey {
				continue
			}
			for p, t := range e.open {
				if p.Topic == r.Topic {
					needed[p] = t
				}
			}
		}
	}
	err := e.err
	e.mu.Unlock()
	if err != nil {
		return err
	}
	late := time.NewTimer(explainAfter)
	defer late.Stop()
	for p, t := range needed {
		for waits := true; waits; {
			select {
			case <-t.clear:
				waits = false
			case <-e.broken:
				return e.err
			case <-ctx.Done():
				return fmt.Errorf("%s: %w", e.why(p, t), ctx.Err())
			case <-late.C:
				waiting(e.why(p, t))
			}
		}
	}
	return nil
}

func (e *Ends) why(p Partition, t *end) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return fmt.Sprintf("waits for the end of the transaction before in partition %d of topic %s (%s)", p.Partition, p.Topic, t.wait)
}

// ask asks until all are clear, one of them was left open, or the account is closed.
func (e *Ends) ask(of map[Partition]*end) {
	if !clock.Sleep(e.ctx, markerTime) {
		return
	}
	backoff, began, complete := clock.Backoff{Base: 2 * markerTime, Max: time.Second}, time.Now(), false
	for attempt := 0; ; attempt++ {
		ctx, cancel := context.WithTimeout(e.ctx, roundTime)
		err := e.round(ctx, of, attempt == 0, complete, time.Since(began) > unreadable)
		if len(of) > 0 && !complete {
			complete = e.complete(ctx)
		}
		cancel()
		if err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.err == nil {
				e.err = err
				e.lost(err)
				close(e.broken)
			}
			return
		}
		if len(of) == 0 || !clock.Sleep(e.ctx, backoff.Delay(attempt, 0)) {
			return
		}
	}
}

// round asks once, and takes out what is clear. complete says that all markers were written already before;
// late, that it was asked for long. The error is ErrLeftOpen.
func (e *Ends) round(ctx context.Context, of map[Partition]*end, first, complete, late bool) error {
	var all, endless []Partition
	for p, t := range of {
		all = append(all, p)
		if t.last < 0 {
			endless = append(endless, p)
		}
	}
	if len(endless) > 0 { // first: what is decided after it counts as decided
		for p, at := range e.ends(ctx, endless, false, first) {
			of[p].last = at.Offset - 1
		}
	}
	var behind []Partition
	stable := e.ends(ctx, all, true, first)
	e.mu.Lock()
	for _, p := range all {
		t := of[p]
		at, told := stable[p]
		if told {
			e.epochs[p] = at.LeaderEpoch
		}
		switch {
		case !told || t.last < 0 && at.Offset > 0:
			t.wait = "its leader does not answer, or it has none"
		case at.Offset > t.last, complete && e.secret[p.Topic] && t.epoch >= 0 && t.epoch == at.LeaderEpoch:
			e.clear(of, p)
		default:
			behind, t.wait = append(behind, p), "its last stable offset is before it"
		}
	}
	e.mu.Unlock()
	if first || len(behind) == 0 {
		return nil
	}
	starts, err := e.starts(ctx, behind)
	if err != nil {
		return nil // the producer can't write either
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range behind {
		start, told := starts[p]
		switch {
		case told && (start < 0 || start > of[p].last):
			e.clear(of, p)
		case told && complete:
			return fmt.Errorf("%w: in partition %d of topic %s", ErrLeftOpen, p.Partition, p.Topic)
		case e.secret[p.Topic] && late:
			if !e.warned {
				e.warned = true
				e.log.Warn("whether Kafka has left a transaction open can't be asked, and the last stable offset does not tell; allow this principal READ on the topic",
					"topic", p.Topic, "partition", p.Partition, "transactional_id", e.id)
			}
			if of[p].known {
				return fmt.Errorf("%w, as far as can be told without the right to READ: in partition %d of topic %s", ErrLeftOpen, p.Partition, p.Topic)
			}
			e.clear(of, p)
		}
	}
	return nil
}

// clear takes out a partition; e.mu is held.
func (e *Ends) clear(of map[Partition]*end, p Partition) {
	close(of[p].clear)
	delete(of, p)
	delete(e.open, p)
}

// complete tells whether the coordinator has nothing to write for transactions that have ended.
func (e *Ends) complete(ctx context.Context) bool {
	described, err := kadm.NewClient(e.cl.Client).DescribeTransactions(ctx, e.id)
	t := described[e.id]
	return err == nil && t.Err == nil && t.State != "PrepareCommit" && t.State != "PrepareAbort"
}

// ends are the last stable offsets, or the ends, of partitions, as far as they are told. direct asks those
// that the client produces to by, without asking where they are.
func (e *Ends) ends(ctx context.Context, of []Partition, stable, direct bool) map[Partition]kmsg.ListOffsetsResponseTopicPartition {
	const anywhere = int32(-1)
	requests := map[int32]*kmsg.ListOffsetsRequest{}
	for _, p := range of {
		at := anywhere
		if direct {
			if leader, _, err := e.cl.PartitionLeader(p.Topic, p.Partition); err == nil {
				at = max(at, leader)
			}
		}
		if requests[at] == nil {
			requests[at] = kmsg.NewPtrListOffsetsRequest()
			if stable {
				requests[at].IsolationLevel = 1
			}
		}
		req := requests[at]
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.Topic {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		}
		t, one := &req.Topics[len(req.Topics)-1], kmsg.NewListOffsetsRequestTopicPartition()
		one.Partition, one.Timestamp = p.Partition, -1
		t.Partitions = append(t.Partitions, one)
	}
	var mu sync.Mutex
	told := map[Partition]kmsg.ListOffsetsResponseTopicPartition{}
	hear := func(resp kmsg.Response, err error) {
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode == 0 {
					told[Partition{t.Topic, p.Partition}] = p
				}
			}
		}
	}
	var asked sync.WaitGroup
	for leader, req := range requests {
		asked.Go(func() {
			if leader != anywhere {
				hear(e.cl.Broker(int(leader)).Request(ctx, req))
				return
			}
			for _, shard := range e.cl.RequestSharded(ctx, req) {
				hear(shard.Resp, shard.Err)
			}
		})
	}
	asked.Wait()
	return told
}

// starts are the offsets at which transactions of the id are open in partitions, below zero where none is,
// as far as it is told.
func (e *Ends) starts(ctx context.Context, of []Partition) (map[Partition]int64, error) {
	producer, _, err := e.cl.ProducerID(ctx)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	ask := kadm.TopicsSet{}
	for _, p := range of {
		if !e.secret[p.Topic] {
			ask.Add(p.Topic, p.Partition)
		}
	}
	e.mu.Unlock()
	starts := map[Partition]int64{}
	if len(ask) == 0 {
		return starts, nil
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	for _, t := range ask.IntoList() {
		topic := kmsg.NewDescribeProducersRequestTopic()
		topic.Topic, topic.Partitions = t.Topic, t.Partitions
		req.Topics = append(req.Topics, topic)
	}
	shards := e.cl.RequestSharded(ctx, req)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, shard := range shards {
		if err := shard.Err; err != nil {
			if ctx.Err() == nil && !kgo.IsRetryableBrokerErr(err) && !kerr.IsRetriable(err) {
				// brokers that do not know the request
				for _, t := range shard.Req.(*kmsg.DescribeProducersRequest).Topics {
					e.secret[t.Topic] = true
				}
			}
			continue
		}
		for _, t := range shard.Resp.(*kmsg.DescribeProducersResponse).Topics {
			for _, p := range t.Partitions {
				at := Partition{t.Topic, p.Partition}
				switch err := kerr.ErrorForCode(p.ErrorCode); {
				case err == nil:
					starts[at] = -1
					for _, active := range p.ActiveProducers {
						if active.ProducerID == producer {
							starts[at] = active.CurrentTxnStartOffset
						}
					}
				case errors.Is(err, kerr.TopicAuthorizationFailed):
					e.secret[t.Topic] = true
				}
			}
		}
	}
	return starts, nil
}
