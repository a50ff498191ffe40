package rest

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/status"
)

// A script in testdata is a session with a worker, made from what a distributed
// Kafka Connect 4.3.1 worker answered to the same requests. Paragraphs are requests:
//
//	METHOD /path
//	Header: value
//	{"body": …}
//	= status
//	Header: value
//	{"body": …}
//
// and $CONFIG is a configuration. A comment that begins with "#
// Connect:" says what a Connect worker answers where ours differs.
type exchange struct {
	line         int
	method, path string
	headers      []string
	body         string
	status       int
	wantHeaders  [][2]string
	want         string
}

func readScript(t *testing.T, file string) []exchange {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	var now *exchange
	for i, line := range strings.Split(strings.ReplaceAll(string(text), "$CONFIG", acmeConfig), "\n") {
		name, value, isHeader := strings.Cut(line, ": ")
		isHeader = isHeader && !strings.HasPrefix(line, "{") && !strings.HasPrefix(line, "[") && !strings.HasPrefix(line, `"`)
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			now = nil
		case now == nil:
			method, path, found := strings.Cut(line, " ")
			if !found {
				t.Fatalf("%s:%d: %s", file, i+1, line)
			}
			all = append(all, exchange{line: i + 1, method: method, path: path})
			now = &all[len(all)-1]
		case strings.HasPrefix(line, "= "):
			now.status, err = strconv.Atoi(line[2:])
			if err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
		case isHeader && now.status == 0:
			now.headers = append(now.headers, name, value)
		case isHeader:
			now.wantHeaders = append(now.wantHeaders, [2]string{name, value})
		case now.status == 0:
			now.body = line
		default:
			now.want = line
		}
	}
	return all
}

func TestAnswersAreThoseOfKafkaConnect(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	d := describe(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			f := newFake(t)
			a := f.api(t)
			for _, x := range readScript(t, file) {
				if x.method == "WORKER" {
					f.act(t, x.path)
					continue
				}
				rec := ask(a, x.method, x.path, x.body, x.headers...)
				if x.method == http.MethodHead {
					rec.Body.Reset() // as the server does
				}
				if got := strings.TrimSuffix(rec.Body.String(), "\n"); rec.Code != x.status || got != x.want {
					t.Errorf("%s:%d: %s %s:\n%d %s\nwant\n%d %s", file, x.line, x.method, x.path, rec.Code, got, x.status, x.want)
				}
				for _, h := range x.wantHeaders {
					if got := rec.Header().Get(h[0]); got != h[1] {
						t.Errorf("%s:%d: %s %s: %s: %q, want %q", file, x.line, x.method, x.path, h[0], got, h[1])
					}
				}
				if x.want != "" && rec.Header().Get("Content-Type") == "" {
					t.Errorf("%s:%d: %s %s: no Content-Type", file, x.line, x.method, x.path)
				}
				if strings.Contains(x.path, "//") {
					continue // no path of the description
				}
				if err := d.check(x.method, a.pattern(x.path), rec); err != nil {
					t.Errorf("%s:%d: %v", file, x.line, err)
				}
			}
		})
	}
}

func TestEveryRouteIsAskedInASession(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	a := newFake(t).api(t)
	asked := map[string]bool{}
	for _, file := range files {
		for _, x := range readScript(t, file) {
			asked[x.method+" "+a.pattern(x.path)] = true
		}
	}
	long := []string{"/metrics", "/openapi.json", "/openapi.yaml"} // tested by themselves
	for _, r := range a.routes {
		if !slices.Contains(long, r.path) && !asked[r.method+" "+r.path] {
			t.Errorf("no session in testdata asks %s %s", r.method, r.path)
		}
	}
}

// act is what a script has happen in the worker: "WORKER task 1 of acme fails".
func (f *fake) act(t *testing.T, what string) {
	t.Helper()
	switch what {
	case "task 1 of acme fails":
		f.change("acme", func(c *status.ConnectorStatus) {
			c.Tasks[1].State, c.Tasks[1].Trace = status.Failed, "Misconfigured: users: HTTP 403: scope missing"
		})
	case "acme can't be used":
		f.change("acme", func(c *status.ConnectorStatus) {
			c.State, c.Trace, c.Tasks = status.Failed, "coupa.client.id: the environment variable COUPA_ID is not set", nil
		})
	case "acme is from a file":
		f.change("acme", func(c *status.ConnectorStatus) { c.FromFile = true })
	case "nobody runs acme":
		f.change("acme", func(c *status.ConnectorStatus) {
			c.Owner, c.State = status.Owner{}, status.Unassigned
			for i := range c.Tasks {
				c.Tasks[i].State, c.Tasks[i].Trace = status.Unassigned, ""
			}
		})
	case "acme has read invoices":
		f.offsets["acme"] = []status.Offset{{Tenant: "acme", Object: "invoices", UpdatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ID: 7}}
	case "the brokers are down":
		f.broken = errBroker
	case "it starts":
		f.ready = connector.ErrStarting
	case "it has started":
		f.ready, f.ill = nil, nil
	case "it is ill":
		f.ready, f.ill = nil, errBroker
	default:
		t.Fatalf("the worker can't %q", what)
	}
}

// pattern is the description's path for a path.
func (a *API) pattern(path string) string {
	path, _, _ = strings.Cut(path, "?")
	given := strings.Split(strings.TrimPrefix(strings.TrimSuffix(path, "/"), "/"), "/")
	for _, r := range a.routes {
		if _, matches := segments(r.path, given); matches {
			return r.path
		}
	}
	return path
}
