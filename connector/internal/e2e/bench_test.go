//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkReal measures the connector on real parts. Run it
// with -benchtime 1x: each figure is one whole run.
//
//	rec/s        records over the time between the first and the last record's timestamp
//	cpu-µs/rec   CPU time of the connector's process, start and registration included, over its records
//	peak-MiB     the most memory that it held at once (VmHWM)
//	x-floor      rec/s over those of the floor (floor_test.go) in the same run on the same tenant
//	x-floor-cpu  likewise, CPU time a record. The floor compresses with Snappy as the connector does by
//	             default; plain- is one that does not, which its CPU time was compared with before
func BenchmarkReal(b *testing.B) {
	p := start(b, "")
	b.Run("Snapshot", p.benchmarkSnapshot)
	b.Run("Huge", p.benchmarkHuge)
	b.Run("Latency", p.benchmarkLatency)
	b.Run("Doorbell", p.benchmarkDoorbell)
	b.Run("Idle", p.benchmarkIdle)
	b.Run("Hostile", p.benchmarkHostile)
	b.Run("Hanging", p.benchmarkHanging)
	b.Run("Tenants", p.benchmarkTenants)
	b.Run("Connectors", p.benchmarkConnectors)
}

// benchmarkSnapshot reads 100,000 invoices of 3 KB (E2E_BENCH_ROWS) from a tenant that answers at once.
func (p *parts) benchmarkSnapshot(b *testing.B) {
	n := setting(b, "E2E_BENCH_ROWS", 100_000, strconv.Atoi)
	for i := range b.N {
		t := p.tenant(b, fmt.Sprint("snapshot", i), "--objects", "invoices", "--rows", fmt.Sprint(n), "--row-bytes", "3000",
			"--changes-per-second", "0")
		t.warm(b, "invoices")
		plain := p.floor(b, t, n, kgo.NoCompression(), "plain")
		floor := p.floor(b, t, n, kgo.SnappyCompression(), "floor")
		run := p.measure(b, t, n, map[string]string{"coupa.objects": "invoices"})
		run.report(b)
		b.ReportMetric(floor.rate(), "floor-rec/s")
		b.ReportMetric(floor.cpuPerRecord(), "floor-cpu-µs/rec")
		b.ReportMetric(plain.cpuPerRecord(), "plain-cpu-µs/rec")
		b.ReportMetric(run.cpuPerRecord()/floor.cpuPerRecord(), "x-floor-cpu")
		b.ReportMetric(run.rate()/floor.rate(), "x-floor")
	}
}

// benchmarkHuge reads 200 invoices of 2 MB: the memory must follow the largest row, not the page.
func (p *parts) benchmarkHuge(b *testing.B) {
	const n = 200
	for i := range b.N {
		t := p.tenant(b, fmt.Sprint("huge", i), "--objects", "invoices", "--rows", fmt.Sprint(n), "--row-bytes", fmt.Sprint(2<<20),
			"--changes-per-second", "0")
		limit := "8388608"
		_, err := p.admin(b).CreateTopic(b.Context(), 3, 1, map[string]*string{"max.message.bytes": &limit}, t.name+".invoices")
		if err != nil {
			b.Fatal(err)
		}
		p.measure(b, t, n, map[string]string{"coupa.objects": "invoices"}).report(b)
	}
}

// benchmarkLatency reads 10,000 invoices from a tenant that takes 100 ms for each answer, at 15 requests
// a second. x-ideal is the time taken over that of ⌈n/50⌉ requests at that rate; 1.05 is the aim.
func (p *parts) benchmarkLatency(b *testing.B) {
	const n, rate = 10_000, 15
	ideal := float64((n+49)/50) / rate
	for i := range b.N {
		t := p.tenant(b, fmt.Sprint("latency", i), "--objects", "invoices", "--rows", fmt.Sprint(n), "--latency", "100ms",
			"--changes-per-second", "0")
		run := p.measure(b, t, n, map[string]string{"coupa.objects": "invoices", "coupa.rate.limit": fmt.Sprint(rate)})
		run.report(b)
		// the first page comes before the first record
		b.ReportMetric((run.span.Seconds()+1.0/rate)/ideal, "x-ideal")
	}
}

// benchmarkIdle counts the requests that a poll costs when
// nothing changes: users have no lines, purchase orders do.
func (p *parts) benchmarkIdle(b *testing.B) {
	const window = 20 * time.Second
	for i := range b.N {
		t := p.tenant(b, fmt.Sprint("idle", i), "--rows", "200", "--changes-per-second", "0")
		w := p.worker(b, t, map[string]string{
			"coupa.objects": "users,purchase_orders", "overlap.ms": "1000", "lookback.ms": "0", "poll.interval.ms": "1000",
		})
		w.start()
		if err := atRest(b.Context(), p.admin(b), w.topicNames(), 5*time.Second, time.Minute); err != nil {
			b.Fatal(err)
		}
		before := t.mustCount(b)
		cpu := w.usage(b).cpu
		<-time.After(window)
		after := t.mustCount(b)
		polls := window.Seconds()
		b.ReportMetric(float64(after["users"]-before["users"])/polls, "users-req/poll")
		b.ReportMetric(float64(after["purchase_orders"]-before["purchase_orders"])/polls, "purchase_orders-req/poll")
		b.ReportMetric((w.usage(b).cpu-cpu).Seconds()*1000/polls, "cpu-ms/s")
		w.stop(b)
	}
}

// measurement is what one run took.
type measurement struct {
	usage
	records int
	span    time.Duration // from the first to the last record's timestamp
}

func (m measurement) rate() float64 { return float64(m.records) / m.span.Seconds() }
func (m measurement) cpuPerRecord() float64 {
	return float64(m.cpu.Microseconds()) / float64(m.records)
}

func (m measurement) report(b *testing.B) {
	b.ReportMetric(m.rate(), "rec/s")
	b.ReportMetric(m.cpuPerRecord(), "cpu-µs/rec")
	b.ReportMetric(float64(m.peak)/(1<<20), "peak-MiB")
}

// measure runs a worker until n records are committed, without looking more often than
// the admin client's offsets: a consumer beside it would take from the same processors.
func (p *parts) measure(b *testing.B, t *tenant, n int, settings map[string]string) measurement {
	b.Helper()
	return p.measureAll(b, []*worker{p.worker(b, t, settings)}, n)
}

// stamps reads n committed records of a topic and gives their earliest and latest timestamp.
func (p *parts) stamps(b *testing.B, topic string, n int) (first, last time.Time) {
	b.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for count := 0; count < n; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			b.Fatalf("reading %s: %d of %d records, then %v", topic, count, n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			count++
			first = cmp.Or(first, r.Timestamp)
			if r.Timestamp.Before(first) {
				first = r.Timestamp
			}
			if r.Timestamp.After(last) {
				last = r.Timestamp
			}
		})
	}
	return first, last
}
