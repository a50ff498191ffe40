package checkpoint

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Stream names one object of one tenant: what is polled, and checkpointed, on its own.
type Stream struct {
	Tenant string // "acme"
	Object string // resource path below /api, "invoices"
}

// String prints tenant/object, for logs and errors.
func (s Stream) String() string { return s.Tenant + "/" + s.Object }

// ChunkKey names one ledger record of the topic: entries of the bucket of time that ends, exclusive, at
// Until, first written by the stream's commit Seq.
type ChunkKey struct {
	Stream Stream
	Until  int64 // unix seconds
	Seq    uint64
	Void   bool // it takes entries out, see Commit.Voided
}

// Commit is what one transaction says about one stream: its new position, the ledger entries of the
// rows that the transaction publishes, and the chunks that the look-back has passed.
type Commit struct {
	Stream   Stream
	Position Position
	Entries  []Entry
	Expired  []ChunkKey // from Store.ExpiredChunks; each of an earlier commit of this stream
	// Rows are states of rows that change; of several of one id the last counts. A line is in one state
	// at a time: one that a row takes over from another comes with a state of that other row without it.
	Rows []RowState
	// IDs change sets of ids, in this order.
	IDs []IDChange
	// Voided are entries of earlier commits that the ledger no longer has: what was published of
	// a row counts until the row is deleted. At most MaxEntries.
	Voided []Entry
	// Retention is how far back the stream's rows may be read again. It only chooses the width of
	// the buckets (see BucketEnd), and may change from one commit to the next.
	Retention time.Duration
	// Written are the offsets behind the last records of the commit's
	// rows in the data topics. They go to the file alone; see Store.Ends.
	Written map[TopicPartition]int64

	joined  []young   // by Store.Join; each of another bucket
	blocks  []idBlock // likewise, what IDs make of the sets
	blocked bool      // blocks are there
}

// MaxEntries is the most ledger entries that one commit may carry: its records stay below Kafka's
// default limit of 1 MB even where every entry takes its longest form.
const MaxEntries = 25_000

const (
	hour = int64(time.Hour / time.Second)
	day  = 24 * hour

	minUnix = -62135596800 // 0001-01-01T00:00:00Z
	// a day before the last second of 9999, so that bucket ends stay in RFC 3339
	maxUnix = 253402300799 - day
)

// BucketEnd is the end, exclusive, in unix seconds, of the bucket that an entry's At falls into: UTC
// days where the retention is two days or more, UTC hours below.
func BucketEnd(at int64, retention time.Duration) int64 {
	width := hour
	if retention >= 48*time.Hour {
		width = day
	}
	rest := at % width
	if rest < 0 {
		rest += width
	}
	return at - rest + width
}

// Records builds the records that carry the commit, in the order in which they must be
// produced, within the transaction that carries its data: tombstones of what expired, one
// ledger chunk per bucket touched, one record per row whose state changes, and the position
// last. So whoever has read a position has read all that came with it. It refuses a commit
// that a reader could not take back, since such a record would stop every later restore.
func (c Commit) Records(topic string, partition int32) ([]*kgo.Record, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	changes := c.changes()
	records := make([]*kgo.Record, 0, len(changes))
	for _, ch := range changes {
		records = append(records, ch.record(topic, partition))
	}
	return records, nil
}

// check reports everything that is wrong with the commit.
func (c Commit) check() error {
	var errs []error
	if c.Position.Seq == 0 {
		errs = append(errs, errors.New("seq is 0: count a stream's commits from 1"))
	}
	if len(c.Entries) > MaxEntries {
		errs = append(errs, fmt.Errorf("%d ledger entries, at most %d fit: commit fewer rows at once", len(c.Entries), MaxEntries))
	}
	errs = append(errs, c.Stream.check(), c.Position.check())
	if len(c.Voided) > MaxEntries {
		errs = append(errs, fmt.Errorf("%d entries are voided, at most %d fit: delete fewer rows at once", len(c.Voided), MaxEntries))
	}
	for _, ch := range c.IDs {
		errs = append(errs, ch.check())
	}
	if len(c.IDs) > 0 && !c.blocked {
		errs = append(errs, errors.New("it changes sets of ids: join it first"))
	}
	for _, e := range slices.Concat(c.Entries, c.Voided) {
		if err := e.check(); err != nil {
			errs = append(errs, err)
			break
		}
	}
	for _, r := range c.Rows {
		if err := r.check(); err != nil {
			errs = append(errs, err)
			break
		}
	}
	for _, k := range c.Expired {
		if k.Stream != c.Stream || k.Seq >= c.Position.Seq {
			errs = append(errs, fmt.Errorf("expires chunk %d of %v: only earlier chunks of the commit's own stream may expire", k.Seq, k.Stream))
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("checkpoint: commit %d of %v: %w", c.Position.Seq, c.Stream, err)
	}
	return nil
}

func (s Stream) check() error {
	switch {
	case s.Tenant == "" || s.Object == "":
		return errors.New("a stream needs a tenant and an object")
	case !utf8.ValidString(s.Tenant) || !utf8.ValidString(s.Object):
		return errors.New("tenant and object must be UTF-8")
	}
	return nil
}

// changes takes the commit apart into the steps that Records writes, Store.Apply carries out and
// Restore reads back, in the one order that they all keep.
func (c Commit) changes() []change {
	out := make([]change, 0, len(c.Expired)+len(c.Rows)+2)
	for _, k := range slices.SortedFunc(slices.Values(c.Expired), ChunkKey.compare) {
		out = append(out, change{kind: expire, stream: c.Stream, chunk: k})
	}
	if ch, any := c.voids(); any {
		out = append(out, ch)
	}
	for until, entries := range c.buckets() {
		key := ChunkKey{Stream: c.Stream, Until: until, Seq: c.Position.Seq}
		if i := slices.IndexFunc(c.joined, func(y young) bool { return y.key.Until == until }); i >= 0 {
			key, entries = c.joined[i].key, sorted(c.joined[i].entries, entries)
		}
		out = append(out, change{kind: put, stream: c.Stream, chunk: key, entries: entries})
	}
	for _, r := range c.rowStates() {
		out = append(out, r.change(c.Stream))
	}
	for _, b := range c.blocks {
		out = append(out, b.change(c.Stream))
	}
	return append(out, change{kind: move, stream: c.Stream, position: c.Position})
}

// rowStates are the states of the commit in order of id, the last of each.
func (c Commit) rowStates() []RowState {
	all := slices.Clone(c.Rows)
	slices.SortStableFunc(all, func(a, b RowState) int { return cmp.Compare(a.ID, b.ID) })
	last := all[:0]
	for i, r := range all {
		if i+1 == len(all) || all[i+1].ID != r.ID {
			last = append(last, r)
		}
	}
	return last
}

// buckets yields the end of each bucket that the commit touches, and the entries that it adds there.
func (c Commit) buckets() iter.Seq2[int64, []Entry] {
	return func(yield func(int64, []Entry) bool) {
		for entries := sorted(c.Entries); len(entries) > 0; {
			until := BucketEnd(entries[0].At, c.Retention)
			n := 1
			for n < len(entries) && entries[n].At < until {
				n++
			}
			if !yield(until, entries[:n:n]) {
				return
			}
			entries = entries[n:]
		}
	}
}

// sorted orders entries, each once.
func sorted(entries ...[]Entry) []Entry {
	all := slices.Concat(entries...)
	slices.SortFunc(all, Entry.compare)
	return slices.Compact(all)
}

// compare orders the chunks of a stream, oldest bucket first: the order in which they expire.
func (k ChunkKey) compare(o ChunkKey) int {
	return cmp.Or(cmp.Compare(k.Until, o.Until), cmp.Compare(k.Seq, o.Seq), bytes.Compare(k.fileKey(0), o.fileKey(0)))
}
