package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
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

// Range is the ids (After, Through]; Through 0 means no upper end.
type Range struct{ After, Through int64 }

// Walk is a pass over one window of updated-at, in id order, that is not finished.
type Walk struct {
	Snapshot bool      // the rows go out as a snapshot, not as changes
	From, To time.Time // the window: closed below, open above; zero: no bound
	Ranges   []Range   // what is left to read
	Rows     int64     // rows read so far
}

// Position is where a stream is.
type Position struct {
	Seq  uint64    // the stream's commits, counted from 1 without a gap
	Mark time.Time // everything with updated-at before it is published
	// Floor is how far back the ledger is complete: every published version with updated-at at or after it has its entry. What lies
	// before it must not be read again, or it would be published twice.
	Floor time.Time
	Walk  *Walk // nil: the last window is drained
}

// Entry is one published version of a row: what the ledger holds.
type Entry struct {
	ID        int64  // Coupa's id, 0 or more
	UpdatedAt int64  // unix seconds
	Digest    uint64 // content hash of the row as it was published
}

// ChunkKey names one ledger record of the topic: the entries that the stream's commit Seq added to
// the bucket of updated-at that ends, exclusive, at Until.
type ChunkKey struct {
	Stream Stream
	Until  int64 // unix seconds
	Seq    uint64
}

// Commit is what one transaction says about one stream: its new position, the ledger entries of the
// rows that the transaction publishes, and the chunks that the look-back has passed.
type Commit struct {
	Stream   Stream
	Position Position
	Entries  []Entry
	Expired  []ChunkKey // from Store.ExpiredChunks; each of an earlier commit of this stream
	// Retention is how far back the stream's rows may be read again. It only chooses the width of
	// the buckets (see BucketEnd), and may change from one commit to the next.
	Retention time.Duration
}

// MaxEntries is the most ledger entries that one commit may carry: its records stay below Kafka's
// default limit of 1 MB even where every entry takes its longest form.
const MaxEntries = 25_000

const (
	hour = int64(time.Hour / time.Second)
	day  = 24 * hour

	minUnix = -62135596800       // 0001-01-01T00:00:00Z
	maxUnix = 253402300799 - day // a day before the last second of 9999, so that bucket ends stay in RFC 3339
)

// BucketEnd is the end, exclusive, in unix seconds, of the bucket that a row's updated-at falls into:
// UTC days where the retention is two days or more, UTC hours below.
func BucketEnd(updatedAt int64, retention time.Duration) int64 {
	width := hour
	if retention >= 48*time.Hour {
		width = day
	}
	rest := updatedAt % width
	if rest < 0 {
		rest += width
	}
	return updatedAt - rest + width
}

// Records builds the records that carry the commit, in the order in which they must be produced,
// within the transaction that carries its data: tombstones of what expired, one ledger chunk per
// bucket touched, and the position last. So whoever has read a position has read all that came with
// it. It refuses a commit that a reader could not take back, since such a record would stop every
// later restore.
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
	for _, e := range c.Entries {
		if err := e.check(); err != nil {
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

func (e Entry) check() error {
	if e.ID < 0 || e.UpdatedAt < minUnix || e.UpdatedAt > maxUnix {
		return fmt.Errorf("row %d: ids are not negative and updated-at lies in the years 1 to 9999", e.ID)
	}
	return nil
}

func (p Position) check() error {
	times := []time.Time{p.Mark, p.Floor}
	if p.Walk != nil {
		times = append(times, p.Walk.From, p.Walk.To)
	}
	for _, t := range times {
		if s := t.Unix(); s < minUnix || s > maxUnix {
			return fmt.Errorf("position %d: times lie in the years 1 to 9999", p.Seq)
		}
	}
	return nil
}

// changes takes the commit apart into the steps that Records writes, Store.Apply carries out and
// Restore reads back, in the one order that they all keep.
func (c Commit) changes() []change {
	out := make([]change, 0, len(c.Expired)+2)
	for _, k := range slices.SortedFunc(slices.Values(c.Expired), ChunkKey.compare) {
		out = append(out, change{kind: expire, stream: c.Stream, chunk: k})
	}
	for entries := c.sorted(); len(entries) > 0; {
		until := BucketEnd(entries[0].UpdatedAt, c.Retention)
		n := 1
		for n < len(entries) && entries[n].UpdatedAt < until {
			n++
		}
		key := ChunkKey{Stream: c.Stream, Until: until, Seq: c.Position.Seq}
		out = append(out, change{kind: put, stream: c.Stream, chunk: key, entries: entries[:n]})
		entries = entries[n:]
	}
	return append(out, change{kind: move, stream: c.Stream, position: c.Position})
}

// sorted orders the entries by updated-at and id; of several for one version the last one stays.
func (c Commit) sorted() []Entry {
	entries := slices.Clone(c.Entries)
	slices.SortStableFunc(entries, Entry.compare)
	kept := entries[:0]
	for _, e := range entries {
		if n := len(kept); n > 0 && kept[n-1].compare(e) == 0 {
			kept[n-1] = e
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// compare orders entries by updated-at, then id.
func (e Entry) compare(o Entry) int {
	return cmp.Or(cmp.Compare(e.UpdatedAt, o.UpdatedAt), cmp.Compare(e.ID, o.ID))
}

// compare orders the chunks of a stream, oldest bucket first: the order in which they expire.
func (k ChunkKey) compare(o ChunkKey) int {
	return cmp.Or(cmp.Compare(k.Until, o.Until), cmp.Compare(k.Seq, o.Seq))
}
