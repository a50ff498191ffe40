//go:build unix

package sweep

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/listing"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// BenchmarkSweep sweeps the ids of a simulated tenant, at any rate: SWEEP_IDS of them, 100,000 if that is
// not set. The tenant, which makes the answers, is in the CPU that it tells.
func BenchmarkSweep(b *testing.B) {
	rows := 100_000
	if n, err := strconv.Atoi(os.Getenv("SWEEP_IDS")); err == nil {
		rows = n
	}
	tenant := coupatest.New(coupatest.Config{
		Seed: 1, Rows: rows, Objects: []string{"invoices"}, ClientID: "id", ClientSecret: "secret", RateLimit: -1, TokenHold: -1,
	})
	client, err := coupa.New(coupa.Config{URL: "http://127.0.0.1", ClientID: "id", ClientSecret: "secret", Transport: tenant.Transport(), Limiter: coupa.NewLimiter(1e9)})
	if err != nil {
		b.Fatal(err)
	}
	h := &memoryHost{sets: map[checkpoint.IDSet]map[int64]bool{}, pos: checkpoint.Position{Mark: time.Now(), Sweep: &checkpoint.Sweep{Stage: checkpoint.SweepReading}}}
	all := listing.List{Query: coupa.Query{Path: "invoices", Fields: `["id"]`}, Source: client}
	for !all.Done {
		if err := all.Page(b.Context(), func(r coupa.Row) { h.known = append(h.known, r.ID) }); err != nil {
			b.Fatal(err)
		}
	}
	missing := map[int64]bool{}
	for i := 7; i < len(h.known); i += 1000 {
		tenant.Delete("invoices", h.known[i])
		missing[h.known[i]] = true
	}
	h.pos.Sweep.Top = h.known[len(h.known)-1]
	object := &config.Object{Path: "invoices", DeletesRatio: 0.01, DeletesInterval: time.Hour}
	s := &Sweeper{Config: Config{
		Object: object, Source: client, Ledger: h, Host: h, Task: status.NewTask(0, object, status.Running, nil, func() {}), Log: slog.New(slog.DiscardHandler), Gap: func(int64, int64) {},
	}}
	// What is live counts, and is known when garbage is collected: the tenant's rows would let it pile up.
	b.Cleanup(func() { debug.SetGCPercent(100) })
	debug.SetGCPercent(5)
	runtime.GC()
	before := live()
	most := before
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				most = max(most, live())
			}
		}
	}()
	var used syscall.Rusage
	began := cpu(&used)
	for b.Loop() {
		if _, err := s.Turn(b.Context()); err != nil {
			b.Fatal(err)
		}
		if sw := h.pos.Sweep; sw.Known != int64(len(h.known)) || sw.Lost != int64(len(missing)) || len(h.sets[checkpoint.Missing]) != len(missing) {
			b.Fatalf("%+v, want %d missing", sw, len(missing))
		}
		h.pos.Sweep.Stage, h.pos.Sweep.Known, h.pos.Sweep.Lost = checkpoint.SweepReading, 0, 0
	}
	close(stop)
	b.ReportMetric(float64(cpu(&used)-began)/float64(b.N)/float64(len(h.known))/1000, "cpu-µs/id")
	b.ReportMetric(float64(most-before)/(1<<20), "MiB-more")
}

// live are the bytes that the last collection left.
func live() uint64 {
	all := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(all)
	return all[0].Value.Uint64()
}

func cpu(used *syscall.Rusage) time.Duration {
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
