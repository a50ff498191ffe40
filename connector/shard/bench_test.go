//go:build e2e

package shard

import (
	"context"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/metrics"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas/registry"
)

// A shard is fed with transactions of 1,000 records of about 3 KB, in pages as a walk hands them over.
const (
	benchPages     = 20
	benchPageRows  = 50
	benchRowBytes  = 5300 // of JSON as a tenant counts it; newFeed checks what becomes of it
	benchRecord    = 3000 // bytes of key and value, on average
	benchWarmUp    = 10   // transactions before the measurement
	benchPerRun    = 100  // transactions of a measurement
	benchSamples   = 150  // pages of a measurement of latency
	benchPageEvery = 200 * time.Millisecond
)

// BenchmarkReal measures one shard, from the hand-over of encoded pages to their acknowledgement:
// gathered, committed to a broker (E2E_BOOTSTRAP) with their positions and ledger entries,
// applied to a local store. Run it with -benchtime 1x: each figure is one whole run.
//
//	rec/s        records over the time from the first hand-over to the last acknowledgement
//	B/rec        bytes of a record's key and value
//	tx/batch     transactions that the 1,000 records were committed in
//	p50-ms …     from the hand-over of a page to its acknowledgement
func BenchmarkReal(b *testing.B) {
	b.Run("Shard", func(b *testing.B) {
		f := newFeed(b)
		transactions, records := f.committed(), f.task.Status().Published
		var took time.Duration
		for range b.N {
			took += f.transactions(b, benchPerRun)
		}
		b.ReportMetric(float64(f.task.Status().Published-records)/took.Seconds(), "rec/s")
		b.ReportMetric(f.bytesPerRecord(), "B/rec")
		b.ReportMetric((f.committed()-transactions)/float64(b.N*benchPerRun), "tx/batch")
	})
	b.Run("CommitLatency", func(b *testing.B) {
		b.Run("idle", func(b *testing.B) { newFeed(b).latency(b) })
		b.Run("another-reads", func(b *testing.B) {
			f := newFeed(b)
			f.shard.StartReading()
			f.latency(b)
		})
	})
}

// feed hands pre-made pages to a shard that a worker owns.
type feed struct {
	metrics *metrics.Set
	topics  *record.Topics
	shard   *Shard
	stream  checkpoint.Stream
	task    *status.Task
	pages   []*record.Chunk
	now     time.Time // the updated-at of the next rows: each version's entry is new to the ledger
}

// newFeed starts a shard on topics of its own, and waits until it commits.
func newFeed(b *testing.B) *feed {
	b.Helper()
	bootstrap := os.Getenv("E2E_BOOTSTRAP")
	if bootstrap == "" {
		b.Fatal("E2E_BOOTSTRAP is not set; give a broker as host:port (make bench starts one)")
	}
	run := "bench-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	settings, err := config.ParseWorker(map[string]string{
		"bootstrap.servers": bootstrap, "schema.registry.url": "http://127.0.0.1:1", "group.id": run, "state.dir": b.TempDir(),
		"checkpoint.topic.partitions": "1", "topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "1",
	}, noReferences)
	if err != nil {
		b.Fatal(err)
	}
	kafka := []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.MetadataMinAge(50 * time.Millisecond)}
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		b.Fatal(err)
	}
	admin, topic := kadm.NewClient(client), run+".invoices"
	b.Cleanup(func() {
		_, err := admin.DeleteTopics(context.Background(), topic, settings.CheckpointTopic)
		if err != nil {
			b.Errorf("deleting the topics: %v", err)
		}
		client.Close()
	})
	topics := record.NewTopics(admin, settings)
	cluster, err := topics.Reach(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	id, _, err := topics.EnsureCheckpoint(b.Context(), settings.CheckpointTopic)
	if err != nil {
		b.Fatal(err)
	}
	if err := topics.Ensure(b.Context(), topic); err != nil {
		b.Fatal(err)
	}
	told := metrics.New(func() []status.ConnectorStatus { return nil }, config.PerObjectAuto, "v-test", MaxBatchRecords)
	f := &feed{
		metrics: told, topics: topics, stream: checkpoint.Stream{Tenant: run, Object: "invoices"}, now: time.Now().UTC().Truncate(time.Second),
		task: status.NewTask(0, &config.Object{Path: "invoices"}, status.Running, nil, func() {}),
		shard: New(Config{
			Settings: settings, ClusterID: cluster, TopicID: id, Kafka: kafka, Client: told.Kafka.Named, BatchBytes: topics.BatchBytes,
			Claims: noClaims{}, Tracer: noop.NewTracerProvider().Tracer(""), Meter: told.NewMeter(0), Log: slog.New(slog.DiscardHandler),
		}),
	}
	f.pages = f.encode(b, topic)
	if size := f.bytesPerRecord(); math.Abs(size-benchRecord) > benchRecord/20 {
		b.Fatalf("records have %.0f bytes on average, want %d within 5%%; change benchRowBytes", size, benchRecord)
	}
	f.run(b)
	f.transactions(b, benchWarmUp)
	return f
}

// noClaims has none and keeps none.
type noClaims struct{}

func (noClaims) Claimed(int32) (Claim, bool)                        { return Claim{}, false }
func (noClaims) Latest(context.Context, int32) (Claim, bool, error) { return Claim{}, false, nil }
func (noClaims) Claim(context.Context, int32, Claim) error          { return nil }

// run runs the shard until the benchmark ends.
func (f *feed) run(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.shard.ownership(ctx, func(context.Context) error { return nil }) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			b.Errorf("the shard ended: %v", err)
		}
	})
}

// encode makes the records of a transaction from rows of a simulated tenant, as fetches do.
func (f *feed) encode(b *testing.B, topic string) []*record.Chunk {
	b.Helper()
	object := benchConnector(b).Objects[0]
	object.Topic = topic
	m := record.NewMaker(record.Config{
		Stream: f.stream, Object: &object, Registry: new(benchRegistry), Topics: f.topics, Report: f.task, Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler),
	})
	if err := m.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	source, q := benchSource(b), coupa.Query{Path: "invoices", Fields: m.Fields(), Window: coupa.Window{To: f.now}}
	var pages []*record.Chunk
	for range benchPages {
		c, enc := &record.Chunk{}, m.Encoder(record.How{Op: record.OpUpsert})
		_, err := source.Fetch(b.Context(), q, func(row coupa.Row) error {
			q.After = row.ID
			return enc.Add(b.Context(), c, row)
		})
		if err != nil {
			b.Fatal(err)
		}
		if len(c.Records) != benchPageRows {
			b.Fatalf("a page of %d records, want %d", len(c.Records), benchPageRows)
		}
		pages = append(pages, c)
	}
	return pages
}

// benchRegistry takes every schema, and gives each the next id.
type benchRegistry struct {
	record.Registry
	last int
}

func (r *benchRegistry) Register(context.Context, string, string) (int, error) {
	r.last++
	return r.last, nil
}

func (r *benchRegistry) Lookup(ctx context.Context, subject, schema string) (int, error) {
	return r.Register(ctx, subject, schema)
}

func (*benchRegistry) Latest(context.Context, string) (string, error) { return "", nil }

func (*benchRegistry) Generation() uint64 { return 0 }

func (*benchRegistry) Replaced(string) (registry.Replacement, bool) {
	return registry.Replacement{}, false
}

func benchConnector(b *testing.B) *config.Connector {
	b.Helper()
	c, err := config.ParseConnector(map[string]string{
		"name": "acme", "coupa.url": "http://127.0.0.1", "coupa.client.id": "id", "coupa.client.secret": "secret", "coupa.objects": "invoices",
	}, noReferences)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func noReferences(string) (string, bool) { return "", false }

// benchSource is a tenant with the rows of one transaction, which answers at once.
func benchSource(b *testing.B) *coupa.Client {
	b.Helper()
	tenant := coupatest.New(coupatest.Config{
		Seed: 1, Rows: benchPages * benchPageRows, RowBytes: benchRowBytes, Objects: []string{"invoices"},
		ClientID: "id", ClientSecret: "secret", RateLimit: -1, TokenHold: -1,
	})
	cfg := benchConnector(b).Coupa()
	cfg.Transport, cfg.Limiter = tenant.Transport(), coupa.NewLimiter(0)
	source, err := coupa.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return source
}

// committed is the number of transactions that were.
func (f *feed) committed() float64 {
	n := 0.0
	all, _ := f.metrics.Registry.Gather()
	for _, family := range all {
		for _, m := range family.GetMetric() {
			if family.GetName() == "coupastream_transactions_total" && m.GetLabel()[0].GetValue() == "committed" {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func (f *feed) bytesPerRecord() float64 {
	total := 0
	for _, p := range f.pages {
		total += p.Bytes
	}
	return float64(total) / (benchPages * benchPageRows)
}

// submission makes a page new: records that the client has not seen, versions that the ledger has not seen.
func (f *feed) submission(p *record.Chunk, done func(error)) *Submission {
	at := f.now.Unix()
	sub := &Submission{
		Stream: f.stream, Task: f.task, Bytes: p.Bytes, Keep: 7 * 24 * time.Hour, Dead: new(atomic.Bool), Done: done,
		Rows: make([]record.Version, 0, len(p.Records)), Records: make([]*kgo.Record, 0, len(p.Records)), Entries: make([]checkpoint.Entry, 0, len(p.Records)),
	}
	mark := f.now
	sub.Move = func(pos *checkpoint.Position) { pos.Mark = mark }
	records := make([]kgo.Record, len(p.Records))
	for i, r := range p.Records {
		records[i] = kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
		id := p.Published[i].ID
		sub.Records = append(sub.Records, &records[i])
		sub.Rows = append(sub.Rows, record.Version{ID: id, UpdatedAt: at})
		sub.Entries = append(sub.Entries, checkpoint.Entry{ID: id, At: at, UpdatedAt: at, Digest: uint64(at)<<20 ^ uint64(id)*0x9e3779b97f4a7c15})
	}
	return sub
}

// transactions commits n of them, one after the other, and gives the time taken.
func (f *feed) transactions(b *testing.B, n int) time.Duration {
	b.Helper()
	done := make(chan error, benchPages)
	begun := time.Now()
	for range n {
		f.now = f.now.Add(time.Second)
		f.shard.StartReading()
		for _, p := range f.pages {
			f.shard.in <- f.submission(p, func(err error) { done <- err })
		}
		f.shard.StopReading()
		for range f.pages {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	}
	return time.Since(begun)
}

// latency hands a page over every benchPageEvery, as a poll of one page does.
func (f *feed) latency(b *testing.B) {
	b.Helper()
	var took []time.Duration
	done := make(chan error, 1)
	tick := time.NewTicker(benchPageEvery)
	defer tick.Stop()
	for i := range b.N * benchSamples {
		<-tick.C
		f.now = f.now.Add(time.Second)
		sub := f.submission(f.pages[i%benchPages], func(err error) { done <- err })
		begun := time.Now()
		f.shard.StartReading()
		f.shard.in <- sub
		f.shard.StopReading()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	at := func(share float64) float64 { return took[int(share*float64(len(took)-1))].Seconds() * 1000 }
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(took[len(took)-1].Seconds()*1000, "max-ms")
}
