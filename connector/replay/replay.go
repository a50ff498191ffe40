package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/internal/txn"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// HeaderAttempts is on a dead letter that was sent again in vain: how often.
const HeaderAttempts = "coupa.replay.attempts"

// Result is what became of an object's dead letters.
type Result struct {
	Object    string `json:"object"`
	Replayed  int64  `json:"replayed"`  // are in the object's topic now
	Overtaken int64  `json:"overtaken"` // that has their row in the same or a later version
	Failing   int64  `json:"failing"`   // can't go yet; they stand at the end of the dead letter topic again
	Reason    string `json:"reason"`    // of the last of those

	// Snapshot are rows of letters that can't go because their lines have
	// topics of their own: a snapshot of these rows publishes them with their
	// lines, as they are in Coupa by then, and the letters are overtaken.
	Snapshot []int64 `json:"snapshot,omitempty"`
}

// Run sends the dead letters of a connector again, the only one of cfg, which may run meanwhile: by the
// keys, schemas and topics of today. Each letter is published once, whatever happens and however often
// Run is called: records and the letters' offsets are one transaction, and the offsets are those of the
// consumer group <group.id>-replay-<connector>. A letter whose row has gone out meanwhile in the same or a
// later version is passed over, and so is one that is not newer than a letter of the row that was taken in
// this call: versions of a row stay in order, and letters do not multiply. Letters of objects whose lines
// have topics of their own stay letters, as the worker alone knows what these topics hold: see
// Result.Snapshot. Where a mapping changes the object's rows, these are read from Coupa again: a letter does
// not hold what the mapping hides. Letters that come after the call has begun are left for the next one.
//
// The error is of what keeps all letters from going, such as brokers
// that can't be reached; what was counted until then has happened.
func Run(ctx context.Context, cfg Config) ([]Result, error) {
	if err := config.CheckBeside(cfg.Settings, cfg.Connector, nil); err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(cfg.Kafka...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	r := &run{Config: cfg, admin: kadm.NewClient(cl), streams: map[string]*stream{}, newest: map[recordKey]standing{}, taken: map[letterKey]sight{}}
	topics := record.NewTopics(r.admin, cfg.Settings)
	if _, err := topics.Reach(ctx); err != nil {
		return nil, err
	}
	r.plan(topics)
	err = r.run(ctx)
	return r.report(), err
}

// Config is what letters are replayed by.
type Config struct {
	Settings  *config.Worker
	Connector *config.Connector
	Kafka     []kgo.Opt // of each client
	Registry  record.Registry
	Source    Source
	Version   string // of this program, for the source of Debezium's envelopes
	Log       *slog.Logger
	Progress  func(done, total int64) // of the offsets to read in the dead letter topics; nil: nobody asks
}

// Source is the connector's Coupa instance, for rows whose letters lack what a mapping hides.
type Source interface {
	Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error)
}

// run is one call of Run.
type run struct {
	Config
	admin      *kadm.Client
	group      string             // the consumer group, and the transactional id
	streams    map[string]*stream // by object
	topics     []string           // of dead letters
	batchBytes func(topic string) int32
	producer   *txn.Client
	ends       *txn.Ends
	data       *topicReader           // of the objects' topics
	newest     map[recordKey]standing // of the letters' rows, what stands in the objects' topics
	taken      map[letterKey]sight    // the newest letters that have gone, or stand at the end again
	positions  map[checkpoint.Stream]checkpoint.Position
}

// stream is an object whose letters are sent again.
type stream struct {
	object config.Object
	maker  *record.Maker
	counts Result
}

// Carries hears which schemas records have, which nobody asks for here.
func (*stream) Carries(string, int) {}

// Unfit hears of values that stay in unmapped, which nobody asks for here.
func (*stream) Unfit(map[string]int64) {}

// Renumbered hears of schemas with another id, of which the registry's client tells the log.
func (*stream) Renumbered(error) {}

// recordKey is a row of the tenant in an object's topic.
type recordKey struct {
	topic string
	id    int64
}

// standing is the newest version of a row in its object's topic, and the value of its last record.
type standing struct {
	stamp time.Time
	value uint64
}

// letterKey is what letters are of that see each other. One that was never read of Coupa holds no version of
// its row, and so overtakes none that does.
type letterKey struct {
	recordKey
	unread  bool
	undated bool // without an updated-at: when it was written says nothing of what it holds
}

// sight is the newest version of a row that letters were taken of: several if they changed within a second.
type sight struct {
	stamp    time.Time
	contents []uint64 // of letters, and of the rows that they became
}

// with adds a version.
func (s sight) with(letter letterKey, stamp time.Time, content ...uint64) sight {
	if letter.undated || stamp.After(s.stamp) {
		return sight{stamp, content}
	}
	return sight{s.stamp, append(slices.Clip(s.contents), content...)}
}

// overtakes tells whether a letter is not newer than what was taken, in this transaction or in one
// before it: if that has gone, the letter would repeat it or come behind a later version, and if it
// stands at the end again, both would another time. One without an updated-at is newer if it
// differs from the one before it. Of letters that were never read of Coupa, one of a row is enough.
func (s sight) overtakes(letter letterKey, stamp time.Time, content uint64) bool {
	same := slices.Contains(s.contents, content) && (letter.undated || stamp.Equal(s.stamp))
	return letter.unread || stamp.Before(s.stamp) || same
}

// keyOf reads a record's key. The same row's may differ from record to record, by the ids of the registry.
func keyOf(topic string, rec *kgo.Record) (recordKey, error) {
	_, id, err := schemas.ParseKey(rec.Key)
	if err != nil {
		err = fmt.Errorf("topic %s, partition %d, offset %d: %w", rec.Topic, rec.Partition, rec.Offset, err)
	}
	return recordKey{topic, id}, err
}

func (r *run) plan(topics *record.Topics) {
	c := r.Connector
	r.group, r.batchBytes = groupOf(r.Settings.GroupID, c.Name), topics.BatchBytes
	shared := record.SharedSubjects([]*config.Connector{c})
	for i, o := range c.Objects {
		one := &stream{object: o, counts: Result{Object: o.Path}}
		one.maker = record.NewMaker(record.Config{
			Stream: checkpoint.Stream{Tenant: c.Tenant, Object: o.Path}, Object: &o, Connector: c.Name, Task: i, Shared: shared[record.SubjectOf(o)], Registry: r.Registry, Topics: topics,
			Report: one, Version: r.Version, Dir: record.Dir(r.Settings), Log: r.Log.With("connector", c.Name, "tenant", c.Tenant, "object", o.Path),
		})
		r.streams[o.Path] = one
		if o.DLQTopic != "" && !slices.Contains(r.topics, o.DLQTopic) {
			r.topics = append(r.topics, o.DLQTopic)
		}
	}
}

// report is in the order of the connector's objects.
func (r *run) report() []Result {
	var all []Result
	for _, o := range r.Connector.Objects {
		c := r.streams[o.Path].counts
		c.Snapshot = slices.Compact(slices.Sorted(slices.Values(c.Snapshot)))
		all = append(all, c)
	}
	return all
}

func isRowError(err error) bool {
	_, is := errors.AsType[*record.RowError](err)
	return is
}

// maxLetters and maxLetterBytes bound one transaction.
const (
	maxLetters     = 500
	maxLetterBytes = 8 << 20
)

func (r *run) run(ctx context.Context) error {
	_, to, err := r.span(ctx)
	if err != nil {
		return fmt.Errorf("dead letter topics %v: %w", r.topics, err)
	}
	if len(to) == 0 {
		return nil
	}
	if r.positions, err = checkpoint.ReadPositions(ctx, r.Kafka, r.Settings.CheckpointTopic, r.Connector.Tenant); err != nil {
		return err
	}
	// whoever replays this connector's letters too is out from here on
	for err = txn.ErrLeftOpen; errors.Is(err, txn.ErrLeftOpen); {
		err = r.take(ctx)
	}
	if err != nil {
		return fmt.Errorf("transactional id %s: %w", r.group, err)
	}
	defer r.release()
	from, to, err := r.span(ctx)
	if err != nil {
		return err
	}
	if err := r.readTopics(ctx, from, to); err != nil {
		return err
	}
	defer r.data.close()
	letters, err := readerOf(r.Kafka, from, to)
	if err != nil {
		return err
	}
	defer letters.close()
	for !letters.done() {
		if r.Progress != nil {
			r.Progress(sum(letters.at)-sum(from), sum(to)-sum(from))
		}
		batch, err := letters.next(ctx, maxLetters, maxLetterBytes)
		if err == nil {
			err = r.send(ctx, batch, letters.positions())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take makes the producer, and settles what the one before has left open. After [txn.ErrLeftOpen] it may be
// called again.
func (r *run) take(ctx context.Context) (err error) {
	r.producer, err = txn.NewProducer(txn.Producer{ID: r.group, BatchBytes: r.batchBytes, Buffered: 4 * maxLetters}, r.Kafka...)
	if err != nil {
		return err
	}
	r.ends = txn.NewEnds(r.producer, r.group, r.Log, func(error) {}) // Await tells it
	defer func() {
		if err != nil {
			r.release()
		}
	}()
	before, err := r.producer.Fence(ctx, r.group)
	if err != nil {
		return err
	}
	topics := slices.Clone(r.topics)
	for _, o := range r.Connector.Objects {
		topics = append(topics, o.Topic)
	}
	held, _, err := r.ends.Meet(ctx, slices.Values(topics), nil)
	if err != nil {
		return err
	}
	left := map[txn.Partition]txn.Outcome{}
	for _, p := range held {
		left[p] = before // it is of the last one: each waits for the one before, see awaitClear
	}
	return r.producer.SettleAs(ctx, r.group, held, left)
}

// awaitClear returns when no transaction before can be open anywhere.
func (r *run) awaitClear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, txn.ProduceTimeout)
	defer cancel()
	return r.ends.Await(ctx, nil, func(why string) { r.Log.Info("sending dead letters again " + why) })
}

func (r *run) release() {
	r.ends.Close()
	r.producer.Close()
}

// span is what is to be read of the dead letter topics: from what the group has
// committed to what is committed there. Partitions with nothing to read are left out.
func (r *run) span(ctx context.Context) (from, to offsets, err error) {
	if len(r.topics) == 0 {
		return nil, nil, nil
	}
	starts, err := r.admin.ListStartOffsets(ctx, r.topics...)
	if err != nil {
		return nil, nil, err
	}
	ends, err := r.admin.ListCommittedOffsets(ctx, r.topics...)
	if err != nil {
		return nil, nil, err
	}
	committed, err := r.admin.FetchOffsets(ctx, r.group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // nothing was committed yet
		return nil, nil, err
	}
	from, to = offsets{}, offsets{}
	ends.Each(func(end kadm.ListedOffset) {
		at, _ := starts.Lookup(end.Topic, end.Partition)
		first := at.Offset
		if c, ok := committed.Lookup(end.Topic, end.Partition); ok {
			first = max(first, c.At)
		}
		if end.Err == nil && first < end.Offset {
			p := place{end.Topic, end.Partition}
			from[p], to[p] = first, end.Offset
		}
	})
	return from, to, nil
}

// readTopics learns what the objects' topics have of the letters' rows.
func (r *run) readTopics(ctx context.Context, from, to offsets) error {
	letters, err := readerOf(r.Kafka, from, to)
	if err != nil {
		return err
	}
	defer letters.close()
	topics := map[string]bool{}
	for !letters.done() {
		batch, err := letters.next(ctx, maxLetters, maxLetterBytes)
		if err != nil {
			return err
		}
		for _, rec := range batch {
			p := r.streamOf(rec)
			if p == nil {
				continue
			}
			key, err := keyOf(p.object.Topic, rec)
			if err != nil {
				return err
			}
			topics[p.object.Topic] = true
			r.newest[key] = standing{}
		}
	}
	first, last := offsets{}, offsets{}
	for topic := range topics {
		starts, err := r.admin.ListStartOffsets(ctx, topic)
		if err != nil {
			return err
		}
		ends, err := r.admin.ListCommittedOffsets(ctx, topic)
		if err != nil {
			return err
		}
		starts.Each(func(o kadm.ListedOffset) { first[place{o.Topic, o.Partition}] = o.Offset })
		ends.Each(func(o kadm.ListedOffset) { last[place{o.Topic, o.Partition}] = o.Offset })
	}
	if r.data, err = readerOf(r.Kafka, first, last); err != nil {
		return err
	}
	return r.catchUp(ctx)
}

// catchUp reads the objects' topics up to where the reader is to go.
func (r *run) catchUp(ctx context.Context) error {
	for !r.data.done() {
		batch, err := r.data.next(ctx, 10*maxLetters, maxLetterBytes)
		if err != nil {
			return err
		}
		for _, rec := range batch {
			if record.Header(rec, record.HeaderTenant) != r.Connector.Tenant {
				continue
			}
			key, err := keyOf(rec.Topic, rec)
			if err != nil {
				return err
			}
			if known, wanted := r.newest[key]; wanted && !stampOf(rec).Before(known.stamp) {
				r.newest[key] = standing{stampOf(rec), xxhash.Sum64(rec.Value)}
			}
		}
	}
	return nil
}

// stampOf orders the versions of a row: by its updated-at,
// or, where it has none, by when the record was produced.
func stampOf(rec *kgo.Record) time.Time {
	at, err := time.Parse(time.RFC3339, record.Header(rec, record.HeaderUpdatedAt))
	if err != nil {
		return rec.Timestamp
	}
	return at
}

// streamOf is what a letter is of; nil: it is not of this connector, or of none of its objects.
func (r *run) streamOf(rec *kgo.Record) *stream {
	if record.Header(rec, record.HeaderTenant) != r.Connector.Tenant || record.Header(rec, record.HeaderErrorConnector) == "" {
		return nil
	}
	return r.streams[record.Header(rec, record.HeaderObject)]
}

// send publishes letters, in as many turns as it takes until none of those that go is overtaken.
func (r *run) send(ctx context.Context, letters []*kgo.Record, next offsets) error {
	for {
		again, err := r.try(ctx, letters, next)
		if !again || err != nil {
			return err
		}
	}
}

// outgoing is what is made of a batch of letters.
type outgoing struct {
	records []*kgo.Record       // for the objects' topics
	failing []*kgo.Record       // for the end of the dead letter topic
	keys    []recordKey         // of records
	stamps  []time.Time         // likewise
	behind  []standing          // likewise: what stood there when it was decided that they go
	taken   map[letterKey]sight // of the letters of both
	objects []string            // of records
	counts  map[string]*Result
}

// try makes one transaction of a batch. again: it was aborted since a row has gone out meanwhile.
func (r *run) try(ctx context.Context, letters []*kgo.Record, next offsets) (again bool, err error) {
	out := outgoing{taken: map[letterKey]sight{}, counts: map[string]*Result{}}
	for _, rec := range letters {
		if p := r.streamOf(rec); p != nil {
			if err := r.encode(ctx, p, rec, &out); err != nil {
				return false, err
			}
		}
	}
	if len(out.records)+len(out.failing) == 0 {
		if err := r.commitOffsets(ctx, next); err != nil {
			return false, err
		}
		r.count(out)
		return false, nil
	}
	for i, rec := range out.records {
		rec.Partition = r.partitionOf(out.objects[i], rec)
	}
	for _, rec := range out.failing {
		rec.Partition = txn.ByKey
	}
	all := slices.Concat(out.records, out.failing)
	if err := r.awaitClear(ctx); err != nil {
		return false, fmt.Errorf("run it again, it goes on from what Kafka has: %w", err)
	}
	if err := r.producer.BeginTransaction(); err != nil {
		return false, err
	}
	if err := r.producer.ProduceSync(ctx, all...).FirstErr(); err != nil {
		return false, errors.Join(fmt.Errorf("producing: %w", err), r.abort(ctx))
	}
	if err := r.awaitStable(ctx, out.records); err != nil {
		return false, errors.Join(err, r.abort(ctx))
	}
	for i, key := range out.keys {
		if stands := r.newest[key]; stands != out.behind[i] && !stands.stamp.Before(out.stamps[i]) {
			err := r.abort(ctx)
			r.ends.Ended(txn.Aborted, slices.Values(all))
			return true, err
		}
	}
	if err := r.addOffsets(ctx, next); err != nil {
		return false, errors.Join(fmt.Errorf("consumer group %s: %w", r.group, err), r.abort(ctx))
	}
	if err := r.producer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return false, fmt.Errorf("outcome of the transaction is unknown, run it again, it goes on from what Kafka has: %w", err)
	}
	r.ends.Ended(txn.Committed, slices.Values(all))
	maps.Copy(r.taken, out.taken)
	r.count(out)
	return false, nil
}

// partitionOf is where the worker puts a record of the object: a row's versions are in one partition.
func (r *run) partitionOf(object string, rec *kgo.Record) int32 {
	at := r.positions[checkpoint.Stream{Tenant: r.Connector.Tenant, Object: object}]
	if n := at.Partitions(rec.Topic); n > 0 {
		return txn.PartitionOf(rec, n)
	}
	return txn.ByKey
}

func (r *run) abort(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), txn.ProduceTimeout)
	defer cancel()
	return r.producer.EndTransaction(ctx, kgo.TryAbort)
}

func (r *run) count(out outgoing) {
	for object, n := range out.counts {
		c := &r.streams[object].counts
		c.Replayed, c.Overtaken, c.Failing = c.Replayed+n.Replayed, c.Overtaken+n.Overtaken, c.Failing+n.Failing
		if n.Reason != "" {
			c.Reason = n.Reason
		}
		c.Snapshot = append(c.Snapshot, n.Snapshot...)
	}
}

// encode makes of a letter its record, or the same letter again.
func (r *run) encode(ctx context.Context, p *stream, rec *kgo.Record, out *outgoing) error {
	object := p.object.Path
	n := out.counts[object]
	if n == nil {
		n = &Result{Object: object}
		out.counts[object] = n
	}
	key, err := keyOf(p.object.Topic, rec)
	if err != nil {
		return err
	}
	stamp, content := stampOf(rec), xxhash.Sum64(rec.Value)
	letter := letterKey{key, record.IsUnread(rec), record.Header(rec, record.HeaderUpdatedAt) == ""}
	seen, again := out.taken[letter]
	if !again {
		seen, again = r.taken[letter]
	}
	stands := r.newest[key]
	tie := stands.stamp.Equal(stamp)
	if stamp.Before(stands.stamp) || tie && (letter.undated || p.maker.HasLines()) || again && seen.overtakes(letter, stamp, content) {
		n.Overtaken++
		return nil
	}
	fails := func(reason string) {
		n.Failing, n.Reason = n.Failing+1, reason
		out.failing = append(out.failing, anew(rec, reason))
		out.taken[letter] = seen.with(letter, stamp, content)
	}
	if p.maker.HasLines() {
		fails("lines of " + object + " have topics of their own, and the worker alone knows what these hold: ask it for a snapshot of the row, which publishes it with its lines")
		n.Snapshot = append(n.Snapshot, key.id)
		return nil
	}
	if err := p.maker.Prepare(ctx); err != nil {
		return err
	}
	made, enc := &record.Chunk{}, p.maker.Encoder(record.How{Op: record.Header(rec, record.HeaderOp)})
	defer enc.Release()
	row, err := r.rowOf(ctx, p, key.id, rec)
	is := xxhash.Sum64(row.JSON)
	latest := true
	if err == nil && tie {
		latest, err = r.isLatest(ctx, p, row)
	}
	switch {
	case err != nil && !isRowError(err):
		return err
	case err == nil && !latest:
		n.Overtaken++
		return nil
	// the worker publishes it as it is now
	case err == nil && (row.UpdatedAt.After(stamp) || holdsTooLittle(rec)):
		n.Overtaken++
		return nil
	case err == nil && again && seen.overtakes(letter, stamp, is):
		n.Overtaken++
		return nil
	case err == nil:
		err = enc.Add(ctx, made, row)
	}
	switch {
	case err == nil && made.Buried == 0 && tie && xxhash.Sum64(made.Records[0].Value) == stands.value:
		n.Overtaken++
	case err == nil && made.Buried == 0:
		n.Replayed++
		out.records, out.keys, out.stamps = append(out.records, made.Records[0]), append(out.keys, key), append(out.stamps, stamp)
		out.objects, out.behind = append(out.objects, object), append(out.behind, stands)
		out.taken[letter] = seen.with(letter, stamp, content, is)
	case err == nil:
		fails(made.Cause)
	case isRowError(err):
		fails(err.Error())
	default:
		return err
	}
	return nil
}

// holdsTooLittle tells whether a letter lacks what its record needs, whatever the keys are: one of a row
// that Coupa failed to send lacks all, and one whose updated-at was no instant has no place in the order.
func holdsTooLittle(rec *kgo.Record) bool { return record.IsUnread(rec) || record.IsUnstamped(rec) }

// rowOf is the row of a letter. Where a mapping changes rows, the letter may lack
// what that hides; then, and where it holds too little, the row is read from Coupa again.
func (r *run) rowOf(ctx context.Context, p *stream, id int64, rec *kgo.Record) (coupa.Row, error) {
	if p.object.Mapping == nil && !holdsTooLittle(rec) {
		// zero where rows have none
		at, _ := time.Parse(time.RFC3339, record.Header(rec, record.HeaderUpdatedAt))
		return coupa.Row{ID: id, UpdatedAt: at, JSON: rec.Value}, nil
	}
	var row coupa.Row
	q := coupa.Query{Path: p.object.Path, IDs: []int64{id}, Fields: p.maker.Fields(), Priority: coupa.PriorityBackfill}
	read := r.read
	if record.IsUnread(rec) {
		read = r.readOnce
	}
	err := read(ctx, q, func(found coupa.Row) error {
		row = found
		row.JSON = slices.Clone(found.JSON)
		return nil
	})
	switch {
	case err != nil:
	case row.ID == 0:
		err = &record.RowError{Object: p.object.Path, ID: id, Err: errors.New("it is gone from Coupa, and its dead letter does not hold all of it")}
	case row.StampErr != nil && !p.object.IsWhole() && (row.UpdatedAt.IsZero() || record.IsUnstamped(rec)):
		err = &record.RowError{Object: p.object.Path, ID: id, Err: &record.StampError{Err: row.StampErr}}
	}
	return row, err
}

// isLatest tells whether a row is as Coupa has it. Which of two versions with one updated-at is the later one
// can't be told otherwise: what Coupa has besides is published by the worker, or a letter behind this one.
func (r *run) isLatest(ctx context.Context, p *stream, row coupa.Row) (is bool, err error) {
	q := coupa.Query{Path: p.object.Path, IDs: []int64{row.ID}, Fields: p.maker.Fields(), Priority: coupa.PriorityBackfill}
	err = r.read(ctx, q, func(found coupa.Row) error {
		is = bytes.Equal(found.JSON, row.JSON)
		return nil
	})
	return is, err
}

// patience is how long Coupa is left alone before it is asked again.
var patience = clock.Backoff{Base: time.Second, Max: time.Minute}

// read reads a page. Trouble that passes is waited out.
func (r *run) read(ctx context.Context, q coupa.Query, row func(coupa.Row) error) error {
	for tries := 0; ; tries++ {
		_, err := r.Source.Fetch(ctx, q, row)
		if err == nil || ctx.Err() != nil || !status.IsTemporary(err) || !clock.Sleep(ctx, patience.Delay(tries, coupa.RetryAfter(err))) {
			return err
		}
	}
}

// readOnce reads a page. That Coupa still fails to send it is an error of the row.
func (r *run) readOnce(ctx context.Context, q coupa.Query, row func(coupa.Row) error) error {
	_, err := r.Source.Fetch(ctx, q, row)
	if coupa.Overtaxed(err) {
		return &record.RowError{Object: q.Path, ID: q.IDs[0], Err: &record.UnreadError{Err: err}}
	}
	return err
}

// anew is a letter that is to be sent again another time.
func anew(rec *kgo.Record, reason string) *kgo.Record {
	attempts, _ := strconv.Atoi(record.Header(rec, HeaderAttempts))
	headers := slices.DeleteFunc(slices.Clone(rec.Headers), func(h kgo.RecordHeader) bool { return h.Key == HeaderAttempts || h.Key == record.HeaderErrorMessage })
	return &kgo.Record{Topic: rec.Topic, Key: rec.Key, Value: rec.Value, Headers: append(headers,
		kgo.RecordHeader{Key: record.HeaderErrorMessage, Value: []byte(reason)}, kgo.RecordHeader{Key: HeaderAttempts, Value: []byte(strconv.Itoa(attempts + 1))})}
}

// awaitStable waits until everything before the records is decided, and
// reads it. What is appended behind them is later by offset too.
func (r *run) awaitStable(ctx context.Context, records []*kgo.Record) error {
	first := offsets{}
	for _, rec := range records {
		p := place{rec.Topic, rec.Partition}
		if at, ok := first[p]; !ok || rec.Offset < at {
			first[p] = rec.Offset
		}
	}
	ctx, cancel := context.WithTimeout(ctx, txn.ProduceTimeout)
	defer cancel()
	for len(first) > 0 {
		stable, err := r.admin.ListCommittedOffsets(ctx, slices.Collect(maps.Keys(topicsOf(first)))...)
		if err != nil {
			return fmt.Errorf("waiting for what other transactions write to the objects' topics: %w", err)
		}
		undecided := false
		for p, at := range first {
			o, _ := stable.Lookup(p.topic, p.partition)
			undecided = undecided || o.Offset < at
		}
		if !undecided {
			break
		}
		if !clock.Sleep(ctx, 20*time.Millisecond) {
			return fmt.Errorf("waiting for what other transactions write to the objects' topics: %w", ctx.Err())
		}
	}
	r.data.extend(first)
	return r.catchUp(ctx)
}
