//go:build e2e

package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// refusals start a worker on a part that cannot serve it. Status 1 (nothing in the files
// is wrong), no panic, and one line at level ERROR that names the setting to look at.
func (p *parts) refusals(t *testing.T) {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"error_code":40301,"message":"User is denied operation Write on Subject"}`))
	}))
	defer registry.Close()
	tenant := p.tenant(t, "refuse", "--rows", "50", "--changes-per-second", "0")
	for _, c := range []struct {
		name     string
		settings map[string]string
		status   int
		says     []string
	}{
		{
			"no broker listens", map[string]string{"worker:bootstrap.servers": "127.0.0.1:9"}, 1,
			[]string{"bootstrap.servers", "127.0.0.1:9"},
		},
		{
			"the registry refuses to register", map[string]string{"worker:schema.registry.url": registry.URL}, 1,
			[]string{"registry", "denied operation Write"},
		},
		{
			"a key that does not exist", map[string]string{"poll.intervall.ms": "1000"}, 2,
			[]string{"poll.intervall.ms", "poll.interval.ms"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.settings["worker:group.id"] = tenant.name + strings.ReplaceAll(c.name, " ", "-")
			w := p.worker(t, tenant, c.settings)
			w.logs += strings.ReplaceAll(c.name, " ", "-")
			w.start()
			status, err := w.wait(90 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(w.stderr)
			if err != nil {
				t.Fatal(err)
			}
			checkRefusal(t, string(text), status, c.status, c.says, tenant.secret)
		})
	}
}

func checkRefusal(t *testing.T, stderr string, status, want int, says []string, secret string) {
	t.Helper()
	if status != want {
		t.Errorf("exit status %d, want %d", status, want)
	}
	for _, s := range says {
		if !strings.Contains(stderr, s) {
			t.Errorf("stderr does not say %q", s)
		}
	}
	for _, s := range []string{"panic:", "goroutine ", secret} {
		if strings.Contains(stderr, s) {
			t.Errorf("stderr holds %q", s)
		}
	}
	if n := strings.Count(stderr, "level=ERROR"); n > 1 {
		t.Errorf("%d lines at level ERROR, want one at most", n)
	}
	if t.Failed() {
		t.Logf("stderr:\n%s", stderr)
	}
}
