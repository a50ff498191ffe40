package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest/security"
)

// worker is an API behind a guard that asks for accounts, with agents in front.
// It keeps what comes to the API.
type worker struct {
	t    *testing.T
	url  string
	ways map[string]string // Authorization by role

	mu    sync.Mutex
	asked []string
}

func (w *worker) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, strings.TrimSpace(fmt.Sprint(security.CallerOf(r.Context()).Role, " ", r.Method, " ", r.RequestURI, " ", string(body))))
	switch {
	case strings.HasPrefix(r.URL.Path, "/connectors/gone/"):
		rw.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(rw, `{"error_code":404,"message":"Connector gone not found"}`)
	case security.Reads(r.Method):
		_, _ = io.WriteString(rw, `{"name": "acme"}`)
	default:
		rw.WriteHeader(http.StatusAccepted)
	}
}

// seen are the requests since the last time.
func (w *worker) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

func newWorker(t *testing.T, changes bool) *worker {
	t.Helper()
	w := &worker{t: t, ways: map[string]string{"nobody": ""}}
	accounts := "tokens:\n"
	for _, role := range []security.Role{security.Admin, security.ReadOnly} {
		token, hash := security.NewToken()
		w.ways[string(role)] = "Bearer " + token
		accounts += fmt.Sprintf("  a-%s: {sha256: %s, role: %s}\n", role, hash, role)
	}
	accounts += fmt.Sprintf("users:\n  bell: {password: %q, role: hook}\n", security.HashPassword("s3cret-of-the-bell"))
	w.ways["hook"] = "Basic YmVsbDpzM2NyZXQtb2YtdGhlLWJlbGw="
	file := filepath.Join(t.TempDir(), "accounts.yaml")
	if err := os.WriteFile(file, []byte(accounts), 0o600); err != nil {
		t.Fatal(err)
	}
	guard, err := security.New(&config.Worker{AuthFile: file, AllowOrigins: []string{"https://friend.example.com"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h, err := Handler(guard.Handler(w, true), Options{Version: "test", Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(guard.Handler(h, true))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// client is an agent with an account.
func (w *worker) client(role string) *mcp.ClientSession {
	w.t.Helper()
	way := &http.Client{Transport: withHeader{"Authorization", w.ways[role]}}
	s, err := mcp.NewClient(&mcp.Implementation{Name: "test"}, nil).Connect(w.t.Context(), &mcp.StreamableClientTransport{Endpoint: w.url + "/mcp", HTTPClient: way, DisableStandaloneSSE: true}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

type withHeader [2]string

func (h withHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if h[1] != "" {
		r.Header.Set(h[0], h[1])
	}
	return http.DefaultTransport.RoundTrip(r)
}

// names are those of the tools that an agent is offered.
func names(t *testing.T, s *mcp.ClientSession) (reading, changing []string) {
	t.Helper()
	for tool, err := range s.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if tool.Annotations.ReadOnlyHint {
			reading = append(reading, tool.Name)
		} else {
			changing = append(changing, tool.Name)
		}
	}
	return reading, changing
}

// said is what a tool has answered.
func said(t *testing.T, s *mcp.ClientSession, tool string, given map[string]any) (text string, failed bool) {
	t.Helper()
	res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: given})
	if err != nil {
		return err.Error(), true
	}
	return res.Content[0].(*mcp.TextContent).Text, res.IsError
}

func TestAnAgentMayDoWhatItsAccountMay(t *testing.T) {
	t.Parallel()
	reads := []string{"explain", "getConnector", "getContract", "getHealth", "getOffsets", "getSchemas", "getSnapshots", "getStatus", "getTopics", "listConnectors"}
	changesSomething := []string{"cancelSnapshot", "pause", "restart", "resume", "takeSnapshot"}
	for _, allowed := range []bool{false, true} {
		w := newWorker(t, allowed)
		for _, role := range []string{"read-only", "admin"} {
			s := w.client(role)
			var want []string
			if allowed && role == "admin" {
				want = changesSomething
			}
			if reading, changing := names(t, s); !slices.Equal(reading, reads) || !slices.Equal(changing, want) {
				t.Errorf("changes allowed: %t: to %s are offered %v and %v", allowed, role, reading, changing)
			}
			w.seen()
			for _, tool := range changesSomething {
				_, failed := said(t, s, tool, map[string]any{"name": "acme", "snapshot": "s", "object": "invoices"})
				if asked := w.seen(); want == nil && (!failed || asked != nil) {
					t.Errorf("changes allowed: %t: %s was done for %s: %v", allowed, tool, role, asked)
				}
			}
		}
	}
}

// TestWhatAnAgentAsksIsLookedAtOnceMore: were a tool offered by mistake, the account would still decide.
func TestWhatAnAgentAsksIsLookedAtOnceMore(t *testing.T) {
	t.Parallel()
	w := newWorker(t, true)
	came := httptest.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1/mcp", strings.NewReader("{}"))
	came.Header.Set("Authorization", w.ways["read-only"])
	way := through(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.RequestURI = ""
		r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(w.url, "http://")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = res.Body.Close() }()
		rw.WriteHeader(res.StatusCode)
		_, _ = io.Copy(rw, res.Body)
	}))
	ctx := context.WithValue(t.Context(), cameWith{}, came)
	if _, err := way(ctx, "PUT", "/connectors/acme/pause", nil, nil); err == nil || !strings.HasPrefix(err.Error(), "403 Forbidden: ") || w.seen() != nil {
		t.Errorf("an account that may read has paused a connector: %v", err)
	}
}

func TestToolsAreRequests(t *testing.T) {
	t.Parallel()
	w := newWorker(t, true)
	s := w.client("admin")
	w.seen()
	for _, c := range []struct {
		tool  string
		given map[string]any
		asked string // "": nothing
		text  string
	}{
		{"listConnectors", nil, "admin GET /connectors", `{"name":"acme"}`},
		{"listConnectors", map[string]any{"expand": []string{"status", "health"}, "name": []string{"a b"}}, "admin GET /connectors?expand=status&expand=health&name=a+b", `{"name":"acme"}`},
		{"getHealth", map[string]any{"name": "a/b {name}"}, "admin GET /connectors/a%2Fb%20%7Bname%7D/health", `{"name":"acme"}`},
		{"explain", map[string]any{"name": "acme", "object": "a/b", "id": 4711, "search_bytes": 1000}, "admin GET /connectors/acme/explain/a%2Fb/4711?search_bytes=1000", `{"name":"acme"}`},
		{"getSchemas", map[string]any{"name": "acme", "object": []string{"invoices"}}, "admin GET /connectors/acme/schemas?object=invoices", `{"name":"acme"}`},
		{"explain", map[string]any{"name": "acme", "object": "invoices", "id": "4711"}, "", ""},
		{"explain", map[string]any{"name": "acme", "object": "invoices", "id": 4711, "forward": "false"}, "", ""},
		{"getHealth", nil, "", ""},
		{"pause", map[string]any{"name": "acme"}, "admin PUT /connectors/acme/pause", "done"},
		{"restart", map[string]any{"name": "acme", "includeTasks": true}, "admin POST /connectors/acme/restart?includeTasks=true&onlyFailed=false", "done"},
		{"takeSnapshot", map[string]any{"name": "acme", "object": "invoices", "ids": []int{1, 2}}, `admin POST /connectors/acme/snapshots {"ids":[1,2],"object":"invoices"}`, "done"},
		{"takeSnapshot", map[string]any{"name": "acme", "object": "invoices", "ids": []int{0}}, "", ""},
		{"cancelSnapshot", map[string]any{"name": "acme", "snapshot": "7"}, "admin DELETE /connectors/acme/snapshots/7", "done"},
		{"getHealth", map[string]any{"name": "gone"}, "admin GET /connectors/gone/health", "404 Not Found: Connector gone not found"},
	} {
		text, failed := said(t, s, c.tool, c.given)
		if failed != (c.asked == "" || strings.HasPrefix(c.text, "404")) || c.text != "" && text != c.text {
			t.Errorf("%s %v: %s", c.tool, c.given, text)
		}
		if asked := w.seen(); !slices.Equal(asked, slices.DeleteFunc([]string{c.asked}, func(s string) bool { return s == "" })) {
			t.Errorf("%s %v asks for %q", c.tool, c.given, asked)
		}
	}
}

func TestWhoMayAskAtAll(t *testing.T) {
	t.Parallel()
	w := newWorker(t, true)
	const pause = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pause","arguments":{"name":"acme"}}}`
	const health = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"getHealth","arguments":{"name":"acme"}}}`
	for _, c := range []struct {
		name, role, method, body string
		headers                  []string
		status                   int
		asked                    int
	}{
		{"an account", "admin", "POST", pause, nil, 200, 1},
		{"an account that reads", "read-only", "POST", health, nil, 200, 1},
		{"nobody", "nobody", "POST", health, nil, 401, 0},
		{"a doorbell's account", "hook", "POST", health, nil, 403, 0},
		{"a page of another origin", "admin", "POST", health, []string{"Origin", "https://evil.example.com"}, 403, 0},
		{"a page that is allowed to", "admin", "POST", health, []string{"Origin", "https://friend.example.com"}, 200, 1},
		{"a page that may POST, and not PUT", "admin", "POST", pause, []string{"Origin", "https://friend.example.com"}, 200, 0},
		{"another host", "admin", "POST", health, []string{"Host", "evil.example.com"}, 403, 0},
		{"a stream, which there is none of", "admin", "GET", "", nil, 405, 0},
		{"something else than JSON", "admin", "POST", "x", nil, 400, 0},
		{"a path below", "admin", "POST", health, []string{"path", "/mcp/x"}, 202, 1},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, w.url+"/mcp", bytes.NewReader([]byte(c.body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set("Authorization", w.ways[c.role])
		for i := 0; i < len(c.headers); i += 2 {
			switch c.headers[i] {
			case "Host":
				r.Host = c.headers[i+1]
			case "path":
				r.URL.Path = c.headers[i+1]
			default:
				r.Header.Set(c.headers[i], c.headers[i+1])
			}
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if asked := w.seen(); res.StatusCode != c.status || len(asked) != c.asked {
			t.Errorf("%s: %d %s, and %v was asked", c.name, res.StatusCode, text, asked)
		}
	}
}

// TestToolsHaveWhatTheDescriptionHas: what an agent reads of a tool is what openapi.yaml says of it.
func TestToolsHaveWhatTheDescriptionHas(t *testing.T) {
	t.Parallel()
	tools, err := Operations(nil, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range tools {
		text, err := json.Marshal(tool.Input)
		if err != nil {
			t.Fatal(err)
		}
		if tool.Description == "" || bytes.Contains(text, []byte("$ref")) || bytes.Contains(text, []byte(forward)) {
			t.Errorf("%s: %q %s", tool.Name, tool.Description, text)
		}
		if tool.Name == "takeSnapshot" && (!strings.HasPrefix(tool.Description, "Publish rows as they are") || !bytes.Contains(text, []byte(`"maxItems":1000`)) || !bytes.Contains(text, []byte(`"required":["object","name"]`))) {
			t.Errorf("%q %s", tool.Description, text)
		}
	}
}
