//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/coupa/coupatest"
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
	t.await(tb)
	return t
}

// tenantEnv has what a process of the test's own binary serves: a servedTenant as JSON.
const tenantEnv = "E2E_TENANT"

// servedTenant is a simulated instance, and where it listens.
type servedTenant struct {
	Listen string
	Hosts  int     // how many more addresses it has, on the same port: those of tenant.hostURL
	Gone   []int64 // ids of the first object that it does not have
	Config coupatest.Config
}

// tenantOf is tenantIn for an instance that answers in ways for which `coupastream simulate` has no flag.
func (p *parts) tenantOf(tb testing.TB, dir, name string, cfg coupatest.Config) *tenant {
	tb.Helper()
	return p.tenantsOf(tb, dir, name, 0, cfg)
}

// tenantsOf is tenantOf for an instance that is at n more
// addresses, as if it were n instances of equal rows.
func (p *parts) tenantsOf(tb testing.TB, dir, name string, n int, cfg coupatest.Config) *tenant {
	tb.Helper()
	t := &tenant{name: name + p.run, url: fmt.Sprintf("http://127.0.0.1:%d", freePort(tb)), clientID: "e2e", secret: "e2e-secret"}
	cfg.Seed = cmp.Or(cfg.Seed, p.seed)
	t.serve(tb, dir, servedTenant{Hosts: n, Config: cfg})
	return t
}

// serve starts the instance's process at its address.
func (t *tenant) serve(tb testing.TB, dir string, served servedTenant) {
	tb.Helper()
	cfg := &served.Config
	cfg.ClientID, cfg.ClientSecret, cfg.RateLimit, cfg.TokenHold = t.clientID, t.secret, -1, -1
	served.Listen = t.url[len("http://"):]
	config, err := json.Marshal(served)
	if err != nil {
		tb.Fatal(err)
	}
	t.process = launchWith(tb, []string{tenantEnv + "=" + string(config)}, filepath.Join(dir, t.name+"-tenant"), os.Args[0], "tenant")
	t.await(tb)
}

// serveTenant is the process of tenantOf; it runs until it is killed.
func serveTenant(config []byte) error {
	var served servedTenant
	if err := json.Unmarshal(config, &served); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(served.Listen)
	if err != nil {
		return err
	}
	simulated := coupatest.New(served.Config)
	for _, id := range served.Gone {
		simulated.Delete(served.Config.Objects[0], id)
	}
	var g errgroup.Group
	for i := -1; i < served.Hosts; i++ {
		at := served.Listen
		if i >= 0 {
			at = net.JoinHostPort(loopback(i), port)
		}
		listener, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		g.Go(func() error { return http.Serve(listener, simulated) })
	}
	if served.Config.ChangesPerSecond > 0 {
		g.Go(func() error { return simulated.Run(context.Background()) })
	}
	return g.Wait()
}

// loopback is the i-th of the addresses that are this machine's beside
// 127.0.0.1, as all of 127.0.0.0/8 are on Linux.
func loopback(i int) string { return fmt.Sprintf("127.1.%d.%d", i/250, i%250+1) }

// hostURL is the i-th address of tenantsOf.
func (t *tenant) hostURL(i int) string {
	return strings.Replace(t.url, "127.0.0.1", loopback(i), 1)
}

// await waits until the tenant answers.
func (t *tenant) await(tb testing.TB) {
	tb.Helper()
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
}

// as is the same instance under another name: that of another tenant's topics and group.
func (t *tenant) as(name string) *tenant {
	other := *t
	other.name = name
	return &other
}

// answer lets the instance answer wrongly.
func (t *tenant) answer(tb testing.TB, f coupatest.Fault) {
	tb.Helper()
	t.must(tb, http.MethodPost, "/_tenant/faults", f, nil)
}

// answerWell ends that.
func (t *tenant) answerWell(tb testing.TB) {
	tb.Helper()
	t.must(tb, http.MethodDelete, "/_tenant/faults", nil, nil)
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
	body, err := get(ctx, t.url+"/_tenant/requests")
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	return counts, json.Unmarshal(body, &counts)
}

// get gives the body of an answer that is 200.
func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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
		return nil, fmt.Errorf("%s answered %s: %s", url, resp.Status, body)
	}
	return io.ReadAll(resp.Body)
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
