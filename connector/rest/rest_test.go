package rest

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/status"
)

func TestMetricsAreServedAsPrometheusReadsThem(t *testing.T) {
	a := newFake(t).api(t)
	for _, path := range []string{"/metrics", "/metrics/"} {
		rec := ask(a, "GET", path, "", "Accept", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
		const want = "# HELP coupastream_thing A thing.\n# TYPE coupastream_thing gauge\ncoupastream_thing 7\n"
		if rec.Code != http.StatusOK || rec.Body.String() != want {
			t.Errorf("%s: %d %q", path, rec.Code, rec.Body)
		}
		if ct := rec.Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
			t.Errorf("%s: Content-Type %q", path, ct)
		}
	}
}

func TestABrowserIsSentToThePage(t *testing.T) {
	a := newFake(t).api(t)
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	if rec := ask(a, "GET", "/", "", "Accept", browser); rec.Code != 200 {
		t.Errorf("without a page: %d", rec.Code)
	}
	a.MountUI(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write([]byte("page " + r.URL.Path)) }))
	if rec := ask(a, "GET", "/", "", "Accept", browser); rec.Code != 302 || rec.Header().Get("Location") != "ui/" {
		t.Errorf("%d %q", rec.Code, rec.Header())
	}
	// the last is of Java's HttpURLConnection
	for _, accept := range []string{"", "*/*", "application/json", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"} {
		if rec := ask(a, "GET", "/", "", "Accept", accept); rec.Code != 200 {
			t.Errorf("%q: %d", accept, rec.Code)
		}
	}
	if rec := ask(a, "GET", "/ui/app.js", "", "Accept", "text/javascript"); rec.Body.String() != "page /ui/app.js" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestABodyIsBounded(t *testing.T) {
	a := newFake(t).api(t)
	rec := ask(a, "POST", "/connectors", `{"name":"`+strings.Repeat("x", maxBody)+`"}`)
	if want := `{"error_code":413,"message":"The body is larger than 1048576 bytes"}`; rec.Code != 413 || rec.Body.String() != want {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestEscapedSlashesStayInTheirSegment(t *testing.T) {
	a := newFake(t).api(t)
	for path, want := range map[string]string{
		"/connectors/a%2Fb":        "Connector a/b not found",
		"/connectors/100%25":       "Connector 100% not found",
		"/connectors/a%2Fb/":       "Connector a/b not found",
		"/connectors/a%2Fconfig":   "Connector a/config not found",
		"/connectors/K%C3%B6ln":    "Connector Köln not found",
		"/connectors/a%20b/config": "Connector a b not found",
		"/connectors/a+b":          "Connector a+b not found",
	} {
		if rec := ask(a, "GET", path, ""); rec.Code != 404 || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
	if rec := ask(a, "PUT", "/connectors/a%2Fb/config", "{"+acmeConfig+"}"); rec.Code != 400 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := ask(a, "GET", "/connectors", ""); rec.Body.String() != "[]" {
		t.Errorf("%s", rec.Body)
	}
}

// slow is a worker that Kafka does not answer.
type slow struct{ *fake }

func (s slow) SetState(ctx context.Context, _ string, _ status.State) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAChangeThatKafkaDoesNotTakeIsGivenUp(t *testing.T) {
	f := newFake(t)
	a := f.api(t)
	f.running(t, a)
	a.changer = slow{f}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "PUT", "/connectors/acme/pause", http.NoBody))
	if rec.Code != 500 || !strings.Contains(rec.Body.String(), "Request timed out") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestRequestsThatChangeSomethingAreLoggedWithoutWhatTheyCarry(t *testing.T) {
	var out bytes.Buffer
	f := newFake(t)
	a := f.api(t)
	a.log = slog.New(slog.NewTextHandler(&out, nil))
	ask(a, "GET", "/connectors?q=planted", "")
	f.running(t, a)
	ask(a, "PUT", "/connectors/acme/pause?q=planted", `{"x":"planted"}`, "Authorization", "Bearer planted")
	got := out.String()
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, `msg=request method=PUT path=/connectors/acme/pause status=202 bytes=0`) || strings.Contains(got, "planted") {
		t.Errorf("%s", got)
	}
}

// Whatever is sent, the answer is one that the description has, and no failure of the worker.
func FuzzRequests(f *testing.F) {
	for _, seed := range [][3]string{
		{"POST", "/connectors", `{"name":"a","config":{` + acmeConfig + `},"initial_state":"paused"}`},
		{"PUT", "/connectors/acme/config", `{"tasks.max":1e400}`},
		{"PATCH", "/connectors/acme/config", `{"name":null}`},
		{"PATCH", "/connectors/acme/offsets", `{"offsets":[{"partition":{"object":"users"},"offset":{"updated_at":"0000-01-01T00:00:00Z","id":9223372036854775808}}]}`},
		{"DELETE", "/connectors/%2e%2E/offsets/%00", ""},
		{"PUT", "/connector-plugins/CoupaSource/config/validate", `{"coupa.objects":",","topic.template":"${","object.x.y":"${env:A}"}`},
		{"PUT", "/admin/loggers/a?scope=cluster", `{"level":null}`},
		{"GET", "/connectors?expand=health&name=acme&forward=true", ""},
		{"POST", "/connectors/acme/tasks/99999999999999999999/restart", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r, err := http.NewRequest(method, "http://"+self+target, strings.NewReader(body))
		if err != nil || !strings.HasPrefix(target, "/") {
			return // no request that could be sent
		}
		r.Header.Set("Content-Type", "application/json")
		w := newFake(t)
		a := w.api(t)
		w.running(t, a)
		rec := httptest.NewRecorder()
		a.ServeHTTP(rec, r)
		if rec.Code >= 500 {
			t.Errorf("%s %s %s: %d %s", method, target, body, rec.Code, rec.Body)
		}
	})
}
