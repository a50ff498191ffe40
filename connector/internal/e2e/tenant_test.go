//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// objects are what the simulated instance holds, and the connector streams by default.
func objects() []string {
	return []string{"invoices", "purchase_orders", "suppliers", "requisitions", "expense_reports", "contracts", "users"}
}

// tenant is a simulated Coupa instance in a process of its own.
type tenant struct {
	*process
	name     string
	url      string
	clientID string
	secret   string
}

// tenant starts one without a rate limit and without the hold
// on fresh tokens; flags are those of `coupastream simulate`.
func (p *parts) tenant(tb testing.TB, name string, flags ...string) *tenant {
	tb.Helper()
	return p.tenantIn(tb, p.dir, name, flags...)
}

// tenantIn is tenant with a folder of its own for the logs.
func (p *parts) tenantIn(tb testing.TB, dir, name string, flags ...string) *tenant {
	tb.Helper()
	t := &tenant{name: name + p.run, url: fmt.Sprintf("http://127.0.0.1:%d", freePort(tb)), clientID: "e2e", secret: "e2e-secret"}
	args := append([]string{
		"simulate", "--listen", t.url[len("http://"):], "--seed", strconv.FormatUint(p.seed, 10),
		"--client-id", t.clientID, "--client-secret", t.secret,
		"--rate-limit", "0", "--token-hold", "0s",
	}, flags...)
	t.process = launch(tb, filepath.Join(dir, t.name+"-tenant"), p.binary, args...)
	err := await(tb.Context(), "the tenant", 60*time.Second, func() error {
		if !t.running() {
			return fmt.Errorf("%w: %s", errEnded, tail(t.stderr, 3))
		}
		_, err := t.requests(tb.Context())
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// pause stops all changes; resume lets rows change again.
func (t *tenant) pause(tb testing.TB)  { t.post(tb, "/_tenant/changes?state=off") }
func (t *tenant) resume(tb testing.TB) { t.post(tb, "/_tenant/changes?state=on") }

// warm renders an object's rows ahead, as the connector will ask for them.
func (t *tenant) warm(tb testing.TB, object string) {
	t.post(tb, "/_tenant/warm?object="+object+"&fields="+url.QueryEscape(selection(tb, object)))
}

func (t *tenant) post(tb testing.TB, path string) {
	tb.Helper()
	resp, err := http.Post(t.url+path, "", nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		tb.Fatalf("%s answered %s", path, resp.Status)
	}
}

// requests counts the API requests of each object so far.
func (t *tenant) requests(ctx context.Context) (map[string]int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url+"/_tenant/requests", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return nil, fmt.Errorf("/_tenant/requests answered %s: %s", resp.Status, body)
	}
	counts := map[string]int{}
	return counts, json.NewDecoder(resp.Body).Decode(&counts)
}

// mustCount is requests, for callers that can't go on without.
func (t *tenant) mustCount(tb testing.TB) map[string]int {
	tb.Helper()
	counts, err := t.requests(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return counts
}
