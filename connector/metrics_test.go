package connector

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// scrape reads the worker's metrics as Prometheus would: series with its labels → value.
func scrape(t *testing.T, w *Worker) map[string]float64 {
	t.Helper()
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(w.Metrics(), promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	series := map[string]float64{}
	for line := range strings.Lines(rec.Body.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		series[line[:at]] = v
	}
	return series
}

// openSeconds is the gauge of the only shard.
func openSeconds(t *testing.T, series map[string]float64) float64 {
	t.Helper()
	found, value := 0, 0.0
	for name, v := range series {
		if strings.HasPrefix(name, "coupastream_transaction_open_seconds{shard=") {
			found, value = found+1, v
		}
	}
	if found != 1 {
		t.Fatalf("%d series of open transactions, want one", found)
	}
	return value
}

const (
	committedTotal = `coupastream_transactions_total{result="committed"}`
	abortedTotal   = `coupastream_transactions_total{result="aborted"}`
	unknownTotal   = `coupastream_transactions_total{result="unknown"}`
)

func TestAMetricShowsHowLongTheOpenTransactionHasHeldReadersBack(t *testing.T) {
	for _, c := range []struct {
		name string
		key  kmsg.Key
		err  *kerr.Error
	}{
		{"the broker does not take its records", kmsg.Produce, kerr.NotEnoughReplicas},
		{"EndTxn is not carried out", kmsg.EndTxn, kerr.CoordinatorNotAvailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 51, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
				r := h.start()
				h.settle()
				before := scrape(t, r.Worker)
				if open := openSeconds(t, before); open != 0 {
					t.Errorf("open for %v s while nothing happens", open)
				}
				held := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: -1})
				h.tenant.Update("users", 5)
				h.pass(8 * time.Second)
				first := openSeconds(t, scrape(t, r.Worker))
				if first <= 1 || first > 8 {
					t.Errorf("open for %v s, want as long as the transaction was held up", first)
				}
				h.pass(5 * time.Second)
				second := openSeconds(t, scrape(t, r.Worker))
				if math.Abs(second-first-5) > 1e-6 {
					t.Errorf("open for %v s, and 5 s later for %v", first, second)
				}
				held.Remove()
				h.pass(5 * time.Second)
				after := scrape(t, r.Worker)
				if open := openSeconds(t, after); open != 0 {
					t.Errorf("open for %v s after the commit", open)
				}
				if n := after[committedTotal] - before[committedTotal]; n < 1 {
					t.Errorf("%v more transactions committed", n)
				}
				const sum = "coupastream_transaction_duration_seconds_sum"
				if took := after[sum] - before[sum]; took < second {
					t.Errorf("the duration of all that ended grew by %v s, less than one was open", took)
				}
				h.check("users")
			})
		})
	}
}

func TestATransactionOfUnknownOutcomeCountsAndIsOpenUntilTheShardIsFencedAnew(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 52, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		r := h.start()
		h.settle()
		h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState})
		unfenced := h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.CoordinatorNotAvailable, Count: -1})
		h.tenant.Update("users", 5)
		h.pass(8 * time.Second)
		s := scrape(t, r.Worker)
		if s[unknownTotal] != 1 || openSeconds(t, s) <= 1 {
			t.Errorf("%v of unknown outcome, open for %v s; want 1, open still", s[unknownTotal], openSeconds(t, s))
		}
		// nothing to begin a transaction for
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Unavailable503, Count: -1})
		unfenced.Remove()
		h.settle()
		s = scrape(t, r.Worker)
		if s[unknownTotal] != 1 || openSeconds(t, s) != 0 {
			t.Errorf("after the fence: %v of unknown outcome, open for %v s; want 1, none open", s[unknownTotal], openSeconds(t, s))
		}
		h.tenant.ClearFaults()
		h.pass(2 * time.Minute)
		h.check("users")
	})
}

func TestCountsAreOfWhatWasCommittedAndNeverGoBack(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 53, Rows: 130, Objects: []string{"purchase_orders", "users"}}, func(h *harness) {
		r := h.start()
		h.settle()
		before := scrape(t, r.Worker)
		h.tenant.UpdateLine("purchase_orders", 7)
		h.tenant.CreateLate("users", 10*time.Second)
		h.pass(20 * time.Second)
		h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "coupa.users", Err: kerr.PolicyViolation})
		h.tenant.SetMember("users", 9, "login", `"long"`)
		h.pass(30 * time.Second)
		h.tenant.SetMember("users", 9, "login", `"short"`)
		// the shard is rebuilt
		h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState})
		h.tenant.Update("purchase_orders", 3)
		h.pass(20 * time.Minute)
		after := scrape(t, r.Worker)
		for name, v := range before {
			counts := strings.Contains(name, "_total") || strings.Contains(name, "_bucket") || strings.HasSuffix(name, "_count")
			// a shard that is rebuilt has another client
			ofClient := strings.HasPrefix(name, "coupastream_kafka_")
			if after[name] < v && strings.HasPrefix(name, "coupastream_") && counts && !ofClient {
				t.Errorf("%s went back from %v to %v", name, v, after[name])
			}
		}
		for name, want := range map[string]float64{
			`coupastream_silent_changes_total{object="purchase_orders",tenant="acme"}`:    1,
			`coupastream_late_rows_total{object="users",tenant="acme"}`:                   1,
			`coupastream_lateness_seconds_count{object="users"}`:                          1,
			`coupastream_records_published_total{object="purchase_orders",tenant="acme"}`: float64(len(h.check("purchase_orders"))),
			`coupastream_records_published_total{object="users",tenant="acme"}`:           float64(len(h.check("users"))),
			`coupastream_backfill{object="users",tenant="acme"}`:                          0,
			unknownTotal: 1,
		} {
			if got, ok := after[name]; !ok || got != want {
				t.Errorf("%s is %v (there: %v), want %v", name, got, ok, want)
			}
		}
		if after[abortedTotal] == 0 {
			t.Error("the transaction of the record that was refused was not counted as aborted")
		}
		if age := after[`coupastream_mark_age_seconds{object="users",tenant="acme"}`]; age < 1 || age > 10 {
			t.Errorf("the mark is %v s old", age)
		}
		if n := after["coupastream_transaction_records_sum"]; n < 262 {
			t.Errorf("%v records in committed transactions", n)
		}
		read, dropped := `coupastream_rows_read_total{object="users",tenant="acme"}`, `coupastream_rows_dropped_total{object="users",tenant="acme"}`
		if after[read] < 131 || after[dropped] == 0 || after[dropped] >= after[read] {
			t.Errorf("%v rows read, %v dropped", after[read], after[dropped])
		}
	})
}

func TestOfAStreamThatIsAnotherWorkersOnlyCountsAreTold(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 54, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		r := h.start()
		h.settle()
		age, published := `coupastream_mark_age_seconds{object="users",tenant="acme"}`, `coupastream_records_published_total{object="users",tenant="acme"}`
		if _, told := scrape(t, r.Worker)[age]; !told {
			t.Error("the owner does not tell the mark's age")
		}
		h.stop()
		s := scrape(t, r.Worker)
		if v, told := s[age]; told {
			t.Errorf("a worker without the stream tells a mark's age of %v s, which would grow for ever", v)
		}
		if s[published] != 60 {
			t.Errorf("%v records published, want the 60 that it did publish", s[published])
		}
	})
}

func TestMetricsAreNamedAndHelpedAsPrometheusAsks(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 55, Rows: 10}, func(h *harness) {
		r := h.start()
		h.settle()
		problems, err := testutil.GatherAndLint(r.Metrics())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			// the others' names are not ours to choose
			if strings.HasPrefix(p.Metric, "coupastream_") && !strings.HasPrefix(p.Metric, "coupastream_kafka_") {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
	})
}

func TestConnectsNamesAreThoseOfStrimzisRules(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 57, Rows: 130, RateLimit: -1, Objects: []string{"users", "suppliers"}}, func(h *harness) {
		h.worker["metrics.per.object"] = "true"
		r := h.start()
		h.settle()
		h.tenant.Update("users", 3)
		h.pass(15 * time.Second)
		s := scrape(t, r.Worker)
		task := func(name string) string { return name + `{connector="acme",task="0"}` }
		for name, want := range map[string]float64{
			`kafka_connect_worker_connector_count`:                                                    1,
			`kafka_connect_worker_task_count`:                                                         2,
			`kafka_connect_coordinator_assigned_tasks`:                                                2,
			`kafka_connect_connector_status{connector="acme",status="running"}`:                       1,
			`kafka_connect_connector_task_status{connector="acme",status="running",task="1"}`:         1,
			`kafka_connect_connector_connector_class{connector="acme",connector_class="CoupaSource"}`: 1,
			`kafka_connect_connector_connector_type{connector="acme",connector_type="source"}`:        1,
			`kafka_connect_worker_connector_running_task_count{connector="acme"}`:                     2,
			`kafka_connect_worker_connector_failed_task_count{connector="acme"}`:                      0,
			`kafka_connect_worker_connector_total_task_count{connector="acme"}`:                       2,
			`kafka_connect_worker_rebalance_rebalancing`:                                              0,
			task(`kafka_connect_source_task_source_record_write_total`):                               131,
			task(`kafka_connect_connector_task_running_ratio`):                                        1,
			task(`kafka_connect_connector_task_pause_ratio`):                                          0,
			task(`kafka_connect_connector_task_batch_size_max`):                                       50,
			task(`kafka_connect_task_error_total_record_failures`):                                    0,
			task(`kafka_connect_task_error_last_error_timestamp`):                                     0,
			`coupastream_condition{condition="IDLE",object="users",tenant="acme"}`:                    1,
		} {
			if got, ok := s[name]; !ok || got != want {
				t.Errorf("%s is %v (there: %v), want %v", name, got, ok, want)
			}
		}
		for _, name := range []string{task("kafka_connect_source_task_source_record_write_rate"), task("kafka_connect_source_task_source_record_poll_rate"),
			"kafka_connect_worker_rebalance_completed_rebalances_total",
			`coupastream_requests_total{object="users",status="200",tenant="acme"}`, `coupastream_row_bytes_count{object="users"}`, `coupastream_page_fill_ratio{object="users",tenant="acme"}`,
		} {
			if got := s[name]; !(got > 0) {
				t.Errorf("%s is %v", name, got)
			}
		}
		if fresh := s[`coupastream_freshness_seconds{object="users",tenant="acme"}`]; fresh < 1 || fresh > 5 {
			t.Errorf("%v s behind with a poll a second", fresh)
		}
		produced := 0.0
		for name, v := range s {
			if strings.HasPrefix(name, `coupastream_kafka_produce_records_total{client="producer-`) {
				produced += v
			}
		}
		if produced < 131 {
			t.Errorf("the Kafka clients have produced %v records", produced)
		}
		h.stop()
		for name := range scrape(t, r.Worker) {
			if strings.HasPrefix(name, "coupastream_kafka_") || strings.HasPrefix(name, "kafka_connect_connector") {
				t.Errorf("%s is there after the stop", name)
			}
		}
	})
}

// What a running worker tells is in the document; that nothing else is, see package metrics.
func TestTheDocumentNamesEveryMetricOfARunningWorker(t *testing.T) {
	document, err := os.ReadFile("../deploy/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	simulate(t, coupatest.Config{Seed: 56, Rows: 10, Objects: []string{"users"}}, func(h *harness) {
		r := h.start()
		h.settle()
		h.tenant.CreateLate("users", 10*time.Second)
		h.pass(20 * time.Second)
		gathered, err := r.Metrics().Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range gathered {
			name := f.GetName()
			if (strings.HasPrefix(name, "coupastream_") || strings.HasPrefix(name, "kafka_")) && !strings.Contains(string(document), "`"+name) {
				t.Errorf("deploy/METRICS.md lacks %s", name)
			}
		}
	})
}
