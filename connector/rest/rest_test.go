package rest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector"
)

type fixed struct{ cluster string }

func (f fixed) ClusterID() string { return f.cluster }
func (fixed) Metrics() prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "coupastream_thing", Help: "A thing."}, func() float64 { return 7 }))
	return registry
}
func (fixed) Connectors() []connector.ConnectorStatus {
	return []connector.ConnectorStatus{{
		Name: "acme", Tenant: "acme", State: connector.Running, Config: map[string]string{"name": "acme", "coupa.client.secret": "[hidden]"},
		Tasks: []connector.TaskStatus{
			{ID: 0, Object: "invoices", Topic: "coupa.invoices", State: connector.Running,
				Committed: checkpoint.Position{Seq: 4, Mark: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
			{ID: 1, Object: "users", Topic: "coupa.users", State: connector.Failed, Trace: "users id 7: field email: why"},
		},
	}}
}

// The forms are those of a Kafka Connect worker (4.x).
func TestAnswersAreThoseOfKafkaConnect(t *testing.T) {
	const status = `{"name":"acme","connector":{"state":"RUNNING","worker_id":"127.0.0.1:8083","version":"v1"},` +
		`"tasks":[{"id":0,"state":"RUNNING","worker_id":"127.0.0.1:8083","version":"v1"},` +
		`{"id":1,"state":"FAILED","worker_id":"127.0.0.1:8083","version":"v1","trace":"users id 7: field email: why"}],"type":"source"}`
	const info = `{"name":"acme","config":{"coupa.client.secret":"[hidden]","name":"acme"},"tasks":[{"connector":"acme","task":0},{"connector":"acme","task":1}],"type":"source"}`
	h := New(fixed{"cluster-1"}, Info{Version: "v1", Commit: "abc", WorkerID: "127.0.0.1:8083"})
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/", 200, `{"version":"4.1.0","commit":"abc","kafka_cluster_id":"cluster-1"}`},
		{"GET", "/health", 200, `{"status":"healthy","message":"Worker has completed startup and is ready to handle requests."}`},
		{"GET", "/connectors", 200, `["acme"]`},
		{"GET", "/connectors/", 200, `["acme"]`},
		{"GET", "/connectors?expand=status&expand=info", 200, `{"acme":{"info":` + info + `,"status":` + status + `}}`},
		{"GET", "/connectors?expand=bogus", 200, `{"acme":{}}`},
		{"GET", "/connectors/acme", 200, info},
		{"GET", "/connectors/acme/", 200, info},
		{"GET", "/connectors/acme/config", 200, `{"coupa.client.secret":"[hidden]","name":"acme"}`},
		{"GET", "/connectors/acme/status", 200, status},
		{"GET", "/connectors/acme/tasks/1/status", 200, `{"id":1,"state":"FAILED","worker_id":"127.0.0.1:8083","version":"v1","trace":"users id 7: field email: why"}`},
		{"GET", "/connectors/acme/topics", 200, `{"acme":{"topics":["coupa.invoices","coupa.users"]}}`},
		{"GET", "/connectors/acme/offsets", 200, `{"offsets":[{"offset":{"id":0,"updated_at":"2026-01-02T03:04:05Z"},"partition":{"object":"invoices","tenant":"acme"}}]}`},
		{"GET", "/connectors/x", 404, `{"error_code":404,"message":"Connector x not found"}`},
		{"GET", "/connectors/x/status", 404, `{"error_code":404,"message":"No status found for connector x"}`},
		{"GET", "/connectors/acme/tasks/7/status", 404, `{"error_code":404,"message":"No status found for task acme-7"}`},
		{"GET", "/connectors/acme/tasks/z/status", 404, `{"error_code":404,"message":"HTTP 404 Not Found"}`},
		{"GET", "/connectors/x/topics", 200, `{"x":{"topics":[]}}`},
		{"GET", "/nowhere", 404, `{"error_code":404,"message":"HTTP 404 Not Found"}`},
		{"POST", "/metrics", 405, `{"error_code":405,"message":"HTTP 405 Method Not Allowed: connectors of this worker come from its files"}`},
		{"PUT", "/connectors/acme/config", 405, `{"error_code":405,"message":"HTTP 405 Method Not Allowed: connectors of this worker come from its files"}`},
		{"DELETE", "/connectors/acme", 405, `{"error_code":405,"message":"HTTP 405 Method Not Allowed: connectors of this worker come from its files"}`},
		{"PUT", "/connectors/acme/pause", 405, `{"error_code":405,"message":"HTTP 405 Method Not Allowed: connectors of this worker come from its files"}`},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(c.method, c.path, http.NoBody))
		if got := strings.TrimSpace(rec.Body.String()); rec.Code != c.status || got != c.body {
			t.Errorf("%s %s: %d %s\nwant %d %s", c.method, c.path, rec.Code, got, c.status, c.body)
		}
		if ct := rec.Header().Get("Content-Type"); ct != "application/json" {
			t.Errorf("%s %s: Content-Type %q", c.method, c.path, ct)
		}
	}
}

func TestAWorkerThatHasNotReachedKafkaIsStarting(t *testing.T) {
	rec := httptest.NewRecorder()
	New(fixed{}, Info{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/health", http.NoBody))
	const want = `{"status":"starting","message":"Worker is still starting up."}`
	if got := strings.TrimSpace(rec.Body.String()); rec.Code != http.StatusServiceUnavailable || got != want {
		t.Errorf("%d %s", rec.Code, got)
	}
}

type misfits struct{ fixed }

func (m misfits) Connectors() []connector.ConnectorStatus {
	all := m.fixed.Connectors()
	all[0].Tasks[0].Unfit = map[string]int64{"InvoiceHeader.custom-fields.grade": 3}
	return all
}

func TestTheStatusNamesCustomFieldsWhoseValuesDoNotFit(t *testing.T) {
	rec := httptest.NewRecorder()
	New(misfits{}, Info{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/connectors/acme/tasks/0/status", http.NoBody))
	if want := `"custom_fields_in_unmapped":{"InvoiceHeader.custom-fields.grade":3}`; !strings.Contains(rec.Body.String(), want) {
		t.Errorf("%s lacks %s", rec.Body, want)
	}
}

func TestMetricsAreServedAsPrometheusReadsThem(t *testing.T) {
	for _, path := range []string{"/metrics", "/metrics/"} {
		rec := httptest.NewRecorder()
		New(fixed{"cluster-1"}, Info{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		const want = "# HELP coupastream_thing A thing.\n# TYPE coupastream_thing gauge\ncoupastream_thing 7\n"
		if rec.Code != http.StatusOK || rec.Body.String() != want {
			t.Errorf("%s: %d %q", path, rec.Code, rec.Body)
		}
		if ct := rec.Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
			t.Errorf("%s: Content-Type %q", path, ct)
		}
	}
}
