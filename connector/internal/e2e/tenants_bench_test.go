//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/configtopic"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// benchmarkTenants has 10, 200 and 1,000 tenants (E2E_BENCH_TENANTS) of 20 objects (E2E_BENCH_OBJECTS) each.
func (p *parts) benchmarkTenants(b *testing.B) {
	objects := servedObjects()[:setting(b, "E2E_BENCH_OBJECTS", 20, strconv.Atoi)]
	for n := range strings.SplitSeq(setting(b, "E2E_BENCH_TENANTS", "10,200,1000", func(s string) (string, error) { return s, nil }), ",") {
		n, err := strconv.Atoi(n)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%dx%d", n, len(objects)), func(b *testing.B) { p.benchmarkTenantsOf(b, n, objects) })
	}
}

// benchmarkTenantsOf starts a worker with n connectors of some objects of 5 rows each, at the defaults, and
// lets it rest.
//
//	all-read-s     from the start of the process to the last record's timestamp
//	cpu-s          CPU time of the connector's process until then; sim-cpu-s: of the simulated ones'
//	peak-MiB       the most memory that the connector's process held at once (VmHWM)
//	rest-MiB       what it holds at rest (VmRSS); rest-heap-MiB: of it, what its heap has in use
//	rest-cores     CPU time of a minute of rest over its length; sim-rest-cores: of the simulated ones
//	rest-req/s     requests for rows in that minute
//	goroutines     at its end
//
// Before it rests it has two minutes, in which the first look-backs end, and connections that nothing needs.
func (p *parts) benchmarkTenantsOf(b *testing.B, n int, objects []string) {
	const rows, settle, rest = 5, 2 * time.Minute, time.Minute
	for i := range b.N {
		many := p.tenants(b, fmt.Sprint("tenants", n, "-", i), n, rows)
		w := p.worker(b, many, map[string]string{"coupa.objects": strings.Join(objects, ",")})
		first := w.connector
		for at := range n {
			config := map[string]string{
				"connector.class": "CoupaSource", "coupa.url": many.hostURL(at), "tenant": fmt.Sprint("t", at),
				"coupa.client.id": many.clientID, "coupa.client.secret": many.secret,
				"coupa.objects": strings.Join(objects, ","), "topic.template": many.name + ".${object}",
			}
			other := &worker{connector: fmt.Sprintf("%s-%d.json", strings.TrimSuffix(first, ".json"), at)}
			write(b, other.connector, map[string]any{"name": fmt.Sprint("t", at), "config": config})
			if at == 0 {
				w.connector = other.connector
				continue
			}
			w.beside = append(w.beside, other)
		}
		begun := time.Now()
		w.start()
		topics := w.topicNames()
		p.awaitRecords(b, w, topics, n*rows)
		read, simulatedRead := w.usage(b), many.usage(b)
		<-time.After(settle)
		settled, simulated := w.usage(b), many.usage(b)
		before := many.mustCount(b)
		<-time.After(rest)
		after, rested, idle := many.mustCount(b), w.usage(b), many.usage(b)
		own := w.figures(b)
		w.stop(b)
		var last time.Time
		for _, topic := range topics { // that each has its records is seen here
			if _, at := p.stamps(b, topic, n*rows); at.After(last) {
				last = at
			}
		}
		requests := 0
		for object := range after {
			requests += after[object] - before[object]
		}
		b.ReportMetric(last.Sub(begun).Seconds(), "all-read-s")
		b.ReportMetric(read.cpu.Seconds(), "cpu-s")
		b.ReportMetric(simulatedRead.cpu.Seconds(), "sim-cpu-s")
		b.ReportMetric(float64(rested.peak)/(1<<20), "peak-MiB")
		b.ReportMetric(float64(rested.resident)/(1<<20), "rest-MiB")
		b.ReportMetric(own["go_memstats_heap_inuse_bytes"]/(1<<20), "rest-heap-MiB")
		b.ReportMetric((rested.cpu-settled.cpu).Seconds()/rest.Seconds(), "rest-cores")
		b.ReportMetric((idle.cpu-simulated.cpu).Seconds()/rest.Seconds(), "sim-rest-cores")
		b.ReportMetric(float64(requests)/rest.Seconds(), "rest-req/s")
		b.ReportMetric(own["go_goroutines"], "goroutines")
	}
}

// benchmarkConnectors starts a worker whose config topic has 2,000 connectors (E2E_BENCH_CONNECTORS) of one
// object, ends it by SIGTERM, and starts it again.
//
//	first-s, first-cpu-s   from the start of the process until all tasks run, the first time
//	again-s, again-cpu-s   likewise, the second time
func (p *parts) benchmarkConnectors(b *testing.B) {
	n := setting(b, "E2E_BENCH_CONNECTORS", 2000, strconv.Atoi)
	for i := range b.N {
		many := p.tenants(b, fmt.Sprint("connectors", i), n, 1)
		w := p.worker(b, many, map[string]string{"coupa.objects": "suppliers"})
		write(b, w.connector, map[string]any{"name": many.name, "config": map[string]string{
			"connector.class": "CoupaSource", "coupa.url": many.hostURL(0), "tenant": "file", "coupa.client.id": many.clientID,
			"coupa.client.secret": many.secret, "coupa.objects": "users", "topic.template": many.name + ".${object}",
		}})
		w.env = []string{"COUPA_SECRET_OF_MANY=" + many.secret}
		p.putConnectors(b, many, n)
		run := func() (time.Duration, usage) {
			begun := time.Now()
			w.start()
			for running := 0; running < n+1; { // asking costs the process, too: once a second
				select {
				case <-time.After(time.Second):
				case <-w.done:
					b.Fatalf("the worker has ended with %d of %d tasks running: %s", running, n+1, tail(w.stderr, 3))
				}
				own, _ := w.metrics(b.Context()) // it listens once it has started
				running = int(own["kafka_connect_worker_connector_running_task_count"])
			}
			return time.Since(begun), w.usage(b)
		}
		first, used := run()
		b.ReportMetric(first.Seconds(), "first-s")
		b.ReportMetric(used.cpu.Seconds(), "first-cpu-s")
		p.awaitRecords(b, w, []string{many.name + ".suppliers"}, n)
		w.stop(b)
		again, used := run()
		b.ReportMetric(again.Seconds(), "again-s")
		b.ReportMetric(used.cpu.Seconds(), "again-cpu-s")
		w.stop(b)
	}
}

// putConnectors writes connectors of one object each into the config topic of the instances' group.
func (p *parts) putConnectors(b *testing.B, many *tenant, n int) {
	b.Helper()
	s := newConfigStore(p.bootstrap, many.name, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var changes []configtopic.Change
	for at := range n {
		name := fmt.Sprint("t", at)
		changes = append(changes, configtopic.PutConnector(name, map[string]string{
			"name": name, "connector.class": "CoupaSource", "coupa.url": many.hostURL(at), "tenant": name, "coupa.client.id": many.clientID,
			"coupa.client.secret": "${env:COUPA_SECRET_OF_MANY}", "coupa.objects": "suppliers", "topic.template": many.name + ".${object}",
		}))
	}
	for some := range slices.Chunk(changes, 500) {
		if _, err := s.Update(ctx, func(configtopic.View) ([]configtopic.Change, error) { return some, nil }); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// tenants starts n simulated instances in one process, each at an address of its own. They have the same
// rows, and grant as many requests as they are asked for.
func (p *parts) tenants(b *testing.B, name string, n, rows int) *tenant {
	b.Helper()
	return p.tenantsOf(b, p.dir, name, n, coupatest.Config{Rows: rows, Objects: servedObjects()})
}

// servedObjects are what an instance may be asked for here: those first that are streamed by default.
func servedObjects() []string {
	return append(objects(), "departments", "currencies", "budget_lines", "coupa_pay/payments", "supplier_information", "uoms", "payment_terms",
		"commodities", "addresses", "shipping_terms", "account_types", "user_groups", "warehouses")
}

// metrics are the worker's by name, each the sum of its series.
func (w *worker) metrics(ctx context.Context) (map[string]float64, error) {
	body, err := get(ctx, w.listener+"/metrics")
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ := strings.Cut(series, "{")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] += v
		}
	}
	return all, nil
}

// figures are metrics, for callers that can't go on without.
func (w *worker) figures(b *testing.B) map[string]float64 {
	b.Helper()
	all, err := w.metrics(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return all
}
