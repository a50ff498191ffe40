package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
)

// many makes connectors with tasks that have something to tell.
func many(connectors, objects int) []status.ConnectorStatus {
	now := time.Now()
	all := make([]status.ConnectorStatus, connectors)
	for i := range all {
		name := fmt.Sprintf("company-name-%d", i)
		all[i] = status.ConnectorStatus{Name: name, Tenant: name, State: status.Running, Owner: status.Owner{Local: true}, Rate: status.RateStatus{Limit: 15, Current: 7.5, Used: 3.25}, Token: status.TokenStatus{Age: time.Hour}}
		for j := range objects {
			all[i].Tasks = append(all[i].Tasks, status.TaskStatus{
				ID: j, Object: fmt.Sprintf("purchase_order_line_%d", j), State: status.Running, Condition: status.Idle, Mark: now, Proven: now.Add(-time.Duration(j) * time.Second), Objective: time.Minute, Interval: time.Duration(j) * time.Minute,
				Rows: 123456, Published: 100000 + int64(i), Dropped: 23456, Polls: 1, Schemas: 2, Fill: 0.123456789, Answers: map[string]uint64{"200": 123456, "429": 12},
			})
		}
	}
	return all
}

// exposition is what Prometheus would get.
func exposition(t *testing.T, all []status.ConnectorStatus, perObject string) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(&connectorMetrics{connectors: func() []status.ConnectorStatus { return all }, perObject: perObject, version: "v1"})
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d: %.300s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func TestAnAnswerToPrometheusStaysUnderTwentyMegabytes(t *testing.T) {
	const most = 20 << 20
	for _, c := range []struct {
		name                string
		connectors, objects int
		perObject           string
	}{
		{"a thousand tenants with twenty objects, as it is by default", 1000, 20, config.PerObjectAuto},
		{"the same, told to sum", 1000, 20, config.PerObjectNever},
		{"as many objects as are told apart by default", mostObjects / 20, 20, config.PerObjectAuto},
	} {
		text := exposition(t, many(c.connectors, c.objects), c.perObject)
		t.Logf("%s: %d bytes", c.name, len(text))
		if len(text) > most {
			t.Errorf("%s: %d bytes", c.name, len(text))
		}
		apart := strings.Contains(text, `object="purchase_order_line_1"`)
		if want := c.connectors*c.objects <= mostObjects; apart != want {
			t.Errorf("%s: objects are told apart: %v", c.name, apart)
		}
	}
}

func TestSumsOfATenantAreOfAllItsObjects(t *testing.T) {
	text := exposition(t, many(2, 3), config.PerObjectNever)
	for _, want := range []string{
		`coupastream_rows_read_total{object="",tenant="company-name-1"} 370368`,
		`coupastream_records_published_total{object="",tenant="company-name-1"} 300003`,
		`coupastream_requests_total{object="",status="429",tenant="company-name-0"} 36`,
		`coupastream_condition{condition="IDLE",object="",tenant="company-name-0"} 3`,
		`coupastream_freshness_objective_seconds{object="",tenant="company-name-0"} 60`,
		`coupastream_poll_interval_seconds{object="",tenant="company-name-0"} 120`,
		`kafka_connect_worker_connector_running_task_count{connector="company-name-0"} 3`,
		`kafka_connect_worker_task_count 6`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is not there", want)
		}
	}
	age := regexp.MustCompile(`coupastream_freshness_seconds\{object="",tenant="company-name-0"\} ([0-9.]+)`).FindStringSubmatch(text)
	if age == nil {
		t.Fatal("no freshness of the tenant")
	}
	if v, _ := strconv.ParseFloat(age[1], 64); v < 2 {
		t.Errorf("the tenant is said to be %v s behind, and its latest object is 2 s", v)
	}
}

// What nobody runs, and what was stopped, is known to all: else a group in which nothing was meant to run
// can't be told from one in which nothing runs.
func TestEveryWorkerTellsWhichConnectorsThereAre(t *testing.T) {
	all := many(4, 1)
	for i, s := range []status.State{status.Unassigned, status.Stopped, status.Stopped} {
		all[i].State, all[i].Owner = s, status.Owner{}
	}
	text := exposition(t, all, config.PerObjectAlways)
	for _, want := range []string{`{state="running"} 1`, `{state="unassigned"} 1`, `{state="stopped"} 2`, `{state="paused"} 0`, `{state="failed"} 0`} {
		if !strings.Contains(text, "coupastream_connectors"+want) {
			t.Errorf("there is no coupastream_connectors%s", want)
		}
	}
}

// What Connect's API does not tell of, its metrics do not count.
func TestAConnectorWithoutTasksCountsNone(t *testing.T) {
	all := many(2, 3)
	for i := range all[0].Tasks {
		all[0].Tasks[i].State = status.Paused
	}
	all[0].State, all[0].Untold = status.Paused, status.NeverRan
	text := exposition(t, all, config.PerObjectAlways)
	for _, want := range []string{
		`kafka_connect_connector_status{connector="company-name-0",status="paused"} 1`,
		`kafka_connect_worker_connector_total_task_count{connector="company-name-0"} 0`,
		`kafka_connect_worker_connector_paused_task_count{connector="company-name-0"} 0`,
		`kafka_connect_worker_connector_total_task_count{connector="company-name-1"} 3`,
		`kafka_connect_worker_task_count 3`,
		`kafka_connect_coordinator_assigned_tasks 3`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is not there", want)
		}
	}
	if strings.Contains(text, `connector="company-name-0",task=`) {
		t.Error("a task that the connector does not have has series")
	}
}

// Letters that could not be counted are not none.
func TestDeadLettersThatWaitAreToldWhereTheyWereCounted(t *testing.T) {
	all := many(1, 2)
	all[0].Tasks[0].Letters = status.Letters{Counted: true, Waiting: 3}
	text := exposition(t, all, config.PerObjectAlways)
	if n := strings.Count(text, "coupastream_dead_letters_waiting{"); n != 1 || !strings.Contains(text, `coupastream_dead_letters_waiting{object="purchase_order_line_0",tenant="company-name-0"} 3`) {
		t.Errorf("%d series, want one, of 3", n)
	}
}

func TestTwoConnectorsToOneInstanceDoNotSpoilAGathering(t *testing.T) {
	all := many(1, 2)
	twin := all[0]
	twin.Name = "twin"
	text := exposition(t, append(all, twin), config.PerObjectAlways)
	if n := strings.Count(text, "coupastream_rate_limit{"); n != 1 {
		t.Errorf("%d series of the rate of one instance", n)
	}
}

// allNames are those of every metric that there can be.
func allNames(t *testing.T) map[string]bool {
	t.Helper()
	m := New(func() []status.ConnectorStatus { return nil }, config.PerObjectAuto, "v1", 5000)
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"), m.Kafka.Named("member"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	m.NewMeter(0).Show()
	names, applied := map[string]bool{}, NewApplied()
	descs := make(chan *prometheus.Desc, 1000)
	for _, f := range families {
		descs <- f.Desc
	}
	for _, f := range taskFamilies {
		descs <- f.Desc
	}
	for _, c := range taskCounts {
		descs <- c.Desc
	}
	for _, d := range []*prometheus.Desc{
		requests, condition, rateLimit, rateCeiling, rateUsed, rateThrottled, rateWaiting, clockAhead, tokenAge, tokenFailures, workerConnectors, workerTasks, coordConnectors, coordTasks,
		knownConnectors, connectorState, connectorClass, connectorType, connectorVersion, taskState,
	} {
		descs <- d
	}
	for _, c := range []prometheus.Collector{m.duration, m.records, m.bytes, m.results, m.lateness, m.RowBytes, m.Group, Certificates(nil), applied.applied, applied.at, applied.results} {
		c.Describe(descs)
	}
	for _, c := range m.Kafka.live {
		c.Describe(descs)
	}
	close(descs)
	for d := range descs {
		name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]
		// kprom's histograms are not asked for
		if !strings.HasPrefix(name, "coupastream_kafka_") || !strings.HasSuffix(name, "_seconds") {
			names[name] = true
		}
	}
	gathered, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range gathered {
		if name := f.GetName(); strings.HasPrefix(name, "coupastream_") || strings.HasPrefix(name, "kafka_") {
			names[name] = true
		}
	}
	return names
}

func TestTheDocumentNamesEveryMetricAndNoOther(t *testing.T) {
	document, err := os.ReadFile("../../deploy/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for line := range strings.Lines(string(document)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`((?:coupastream|kafka)_[a-z0-9_]+)").FindAllStringSubmatch(cells[1], -1) {
				named[m[1]] = true
			}
		}
	}
	for name := range allNames(t) {
		if !named[name] {
			t.Errorf("the table of deploy/METRICS.md lacks %s", name)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("deploy/METRICS.md names %s, which is not there", name)
	}
}
