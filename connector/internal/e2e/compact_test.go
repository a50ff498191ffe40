//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
)

// mostBytes bounds a compacted checkpoint topic: bytes on disk over live bytes, of keys and values.
// Records have a frame, transactions have markers, and the segment that is written to is never compacted.
const mostBytes = 3

// compactedTopic makes a checkpoint topic that the broker compacts within seconds.
func (p *parts) compactedTopic(t *testing.T, topic string) {
	t.Helper()
	configs := map[string]*string{}
	for key, value := range map[string]string{
		"cleanup.policy": "compact", "segment.bytes": "1048576", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0",
	} {
		configs[key] = &value
	}
	if _, err := p.admin(t).CreateTopic(t.Context(), 1, 1, configs, topic); err != nil {
		t.Fatal(err)
	}
}

// staysSmall calls goOn, which appends to the topic, until the topic's bytes on
// disk are near those that are live. A segment is closed by the first record that
// comes when its time is over, so a topic that rests is not compacted further.
func (p *parts) staysSmall(t *testing.T, topic string, goOn func()) {
	t.Helper()
	adm := p.admin(t)
	before := onDisk(t, adm, topic)
	var disk, live int64
	err := await(t.Context(), "the broker to compact "+topic, 2*time.Minute, func() error {
		goOn()
		disk, live = onDisk(t, adm, topic), p.live(t, topic)
		if disk > mostBytes*live {
			return fmt.Errorf("%d bytes on disk, %d live", disk, live)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("%s: %d bytes on disk at first, %d after compaction, %d live: %.1f times", topic, before, disk, live, float64(disk)/float64(live))
}

func onDisk(t *testing.T, adm *kadm.Client, topic string) int64 {
	t.Helper()
	dirs, err := adm.DescribeAllLogDirs(t.Context(), kadm.TopicsSet{topic: {0: {}}})
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) { size += p.Size })
	})
	return size
}

// live is the size of the last key and value of each key that has one.
func (p *parts) live(t *testing.T, topic string) int64 {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := endOffsets(t.Context(), kadm.NewClient(cl), []string{topic})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	last := map[string]int{}
	for next := int64(0); next < ends[topic] && ctx.Err() == nil; {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			switch {
			case r.Attrs.IsControl():
			case r.Value == nil:
				delete(last, string(r.Key))
			default:
				last[string(r.Key)] = len(r.Key) + len(r.Value)
			}
		})
	}
	var size int64
	for _, n := range last {
		size += int64(n)
	}
	return size
}

// owner commits to a checkpoint topic as a shard does, in a time of its own.
type owner struct {
	*testing.T
	topic  string
	kafka  *kgo.Client
	store  *checkpoint.Store
	random *rand.Rand
	now    time.Time
	seq    uint64
	bytes  int64 // of keys and values written
	model  map[checkpoint.Stream][]checkpoint.Entry
}

const (
	ownerRetention = 3 * time.Hour
	// mostPerEntry bounds what is live of a topic, positions included, for each entry
	// of the ledger: a chunk's key is longer than its entries, where there are so few.
	mostPerEntry = 200
)

func newOwner(t *testing.T, p *parts, topic string, store *checkpoint.Store) *owner {
	kafka, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	o := &owner{T: t, topic: topic, kafka: kafka, store: store, random: rand.New(rand.NewPCG(p.seed, 12)),
		now: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), model: map[checkpoint.Stream][]checkpoint.Entry{}}
	for _, object := range objects()[:4] {
		o.model[checkpoint.Stream{Tenant: "acme", Object: object}] = nil
	}
	return o
}

// commit publishes a new version of one or two of twenty rows of each stream, and lets half an hour pass.
func (o *owner) commit() {
	o.Helper()
	o.now = o.now.Add(30 * time.Minute)
	o.seq++
	var commits []checkpoint.Commit
	var records []*kgo.Record
	for _, stream := range slices.SortedFunc(maps.Keys(o.model), func(a, b checkpoint.Stream) int { return strings.Compare(a.Object, b.Object) }) {
		horizon := o.now.Add(-ownerRetention).Unix()
		expired, err := o.store.ExpiredChunks(stream, horizon, 200)
		o.check(err)
		c := checkpoint.Commit{Stream: stream, Position: checkpoint.Position{Seq: o.seq, Mark: o.now, Floor: time.Unix(horizon, 0).UTC()}, Expired: expired, Retention: ownerRetention}
		for range 1 + o.random.IntN(2) {
			at := o.now.Unix() - o.random.Int64N(1800)
			c.Entries = append(c.Entries, checkpoint.Entry{ID: 1 + o.random.Int64N(20), At: at, UpdatedAt: at, Digest: o.random.Uint64()})
		}
		o.model[stream] = slices.DeleteFunc(append(o.model[stream], c.Entries...), func(e checkpoint.Entry) bool { return e.At < horizon })
		c, err = o.store.Join(c)
		o.check(err)
		marks, err := c.Records(o.topic, 0)
		o.check(err)
		commits, records = append(commits, c), append(records, marks...)
	}
	for _, r := range records {
		o.bytes += int64(len(r.Key) + len(r.Value))
	}
	o.check(o.kafka.BeginTransaction())
	produced := o.kafka.ProduceSync(o.Context(), records...)
	o.check(produced.FirstErr())
	o.check(o.kafka.EndTransaction(o.Context(), kgo.TryCommit))
	last, _ := produced.First()
	for _, r := range produced {
		if r.Record.Offset > last.Offset {
			last = r.Record
		}
	}
	o.check(o.store.Apply(commits, last.Offset+1))
}

func (o *owner) check(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

// restored is a store that had nothing, restored from the topic by a new owner.
func (o *owner) restored(p *parts) *checkpoint.Store {
	o.Helper()
	store := o.open(p, "restored.db")
	next, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.TransactionalID(o.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	o.check(err)
	defer next.Close()
	o.check(next.BeginTransaction())
	o.check(next.ProduceSync(o.Context(), checkpoint.FenceRecord(o.topic, 0, "successor")).FirstErr())
	o.check(next.EndTransaction(o.Context(), kgo.TryCommit))
	o.check(checkpoint.Restore(o.Context(), checkpoint.RestoreConfig{
		Opts: []kgo.Opt{kgo.SeedBrokers(p.bootstrap)}, Topic: o.topic, Nonce: "successor",
	}, store))
	return store
}

func (o *owner) open(p *parts, name string) *checkpoint.Store {
	o.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap))
	o.check(err)
	defer cl.Close()
	id, err := checkpoint.Identify(o.Context(), cl, o.topic, 0)
	o.check(err)
	store, err := checkpoint.Open(filepath.Join(o.TempDir(), name), id)
	o.check(err)
	o.Cleanup(func() { _ = store.Close() })
	return store
}

// ledgerOfWeeks writes hundreds of times what is live, and
// has the rest restored from what the broker has left of it.
func (p *parts) ledgerOfWeeks(t *testing.T) {
	nightly(t)
	topic := "weeks-" + p.run
	p.compactedTopic(t, topic)
	o := newOwner(t, p, topic, nil)
	o.store = o.open(p, "owner.db")
	for range 1500 { // a month
		o.commit()
	}
	p.staysSmall(t, topic, func() { o.commit(); elapse(t, 300*time.Millisecond) })
	entries := int64(0)
	for _, all := range o.model {
		entries += int64(len(all))
	}
	live := p.live(t, topic)
	if live > mostPerEntry*entries {
		t.Errorf("%d bytes are live for %d entries, want at most %d an entry", live, entries, mostPerEntry)
	}
	t.Logf("%d bytes written in %d transactions; %d entries are in the ledger", o.bytes, o.seq, entries)
	store := o.restored(p)
	positions, err := store.Positions()
	o.check(err)
	byTime := func(a, b checkpoint.Entry) int { return int(a.At - b.At) }
	for stream, want := range o.model {
		if got := positions[stream]; got.Seq != o.seq || !got.Mark.Equal(o.now) {
			t.Errorf("%v: restored to seq %d, mark %v; want %d, %v", stream, got.Seq, got.Mark, o.seq, o.now)
		}
		var got []checkpoint.Entry
		o.check(store.Range(stream, o.now.Add(-ownerRetention).Unix(), 0, func(e checkpoint.Entry) bool { got = append(got, e); return true }))
		slices.SortStableFunc(got, byTime)
		slices.SortStableFunc(want, byTime)
		missing := 0
		for _, e := range want {
			if !slices.Contains(got, e) {
				missing++
			}
		}
		if missing > 0 || len(got) != len(want) {
			t.Errorf("%v: %d entries restored, want %d; %d are missing", stream, len(got), len(want), missing)
		}
	}
}

// workerOnSmallTopic has a worker commit to a topic that is
// compacted below it, takes its state away, and lets it go on.
func (p *parts) workerOnSmallTopic(t *testing.T) {
	begun := time.Now()
	tenant := p.tenant(t, "compact", "--rows", "200", "--changes-per-second", "20", "--objects", "invoices,users")
	p.compactedTopic(t, tenant.name+"-checkpoints")
	w := p.worker(t, tenant, map[string]string{
		"coupa.objects": "invoices,users", "poll.interval.ms": "300", "settle.ms": "300", "overlap.ms": "600000",
		"worker:checkpoint.topic.partitions": "1",
	})
	w.start()
	w.reads(t)
	elapse(t, 20*time.Second)
	p.staysSmall(t, tenant.name+"-checkpoints", func() {
		w.alive(t)
		elapse(t, time.Second)
	})
	w.stop(t)
	if err := os.RemoveAll(w.state); err != nil {
		t.Fatal(err)
	}
	w.start()
	elapse(t, 5*time.Second)
	w.mustHold(t, begun)
	w.stop(t)
}
