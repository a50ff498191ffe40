package coupa

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueriesAreAsShortAsTheyMayBe(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`["id",{"invoice_lines":["id"]}]`: `%5B%22id%22,%7B%22invoice_lines%22:%5B%22id%22%5D%7D%5D`,
		"1,2,3":                           "1,2,3",
		"2024-03-01T00:00:00Z":            "2024-03-01T00:00:00Z",
		"a b&c=d+e%#/?é~_-.":              "a+b%26c%3Dd%2Be%25%23%2F%3F%C3%A9~_-.",
	} {
		got := string(escaped(nil, text))
		if back, err := url.QueryUnescape(got); got != want || err != nil || back != text {
			t.Errorf("%s: got %s (%v), want %s", text, got, err, want)
		}
	}
}

// long returns a query of a page whose request line has so many bytes.
func long(t *testing.T, c *Client, q Query, length int) Query {
	t.Helper()
	q.Fields = ""
	q.Fields = strings.Repeat("x", length-c.Line(q)-len("&fields="))
	if got := c.Line(q); got != length {
		t.Fatalf("a line of %d bytes, want %d", got, length)
	}
	return q
}

func TestLineIsTheLengthOfWhatIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent []int
		f := &fake{}
		f.api = func(_ int, r *http.Request) *http.Response {
			sent = append(sent, len(r.Method+" "+r.URL.RequestURI()+" HTTP/1.1"))
			if !strings.HasSuffix(r.URL.Path, "/contracts") {
				return answer(200, `[]`, "Date", afterApril)
			}
			return answer(200, array("2024-01-01T00:00:00Z", LongestID), "Date", afterApril)
		}
		c := newClient(t, f)
		for _, q := range []Query{
			{Path: "invoices", After: 77, Through: LongestID, Fields: `["id",{"a":["b","c"]}]`, Window: Window{From: march, To: april}},
			{Path: "users", IDs: upTo(50), Filter: url.Values{"status": {"a b", "ü"}, "code": {"1"}}},
			{Path: "invoices", Lines: "invoice_lines", LinesFrom: march},
		} {
			sent = nil
			_, _, err := collect(t.Context(), c, q)
			if got := c.Line(q); err != nil || len(sent) != 1 || got != sent[0] {
				t.Errorf("%+v: line of %d bytes, sent %v (%v)", q, got, sent, err)
			}
		}
		sent = nil
		q := Query{Path: "contracts/legal_documents", Fields: `["id","file"]`}
		_, _, err := collect(t.Context(), c, q)
		if want := len("&fields=") + len("id[gt]=0"); err != nil || len(sent) != 2 || c.Line(q) < sent[1] || c.Line(q) > sent[1]+want+18 {
			t.Errorf("rows below others: line of %d bytes, sent %v (%v)", c.Line(q), sent, err)
		}
	})
}

func TestAsManyIDsFitAsTheLineHasRoomFor(t *testing.T) {
	t.Parallel()
	c := newClient(t, &fake{})
	ids := make([]int64, 80)
	for i := range ids {
		ids[i] = 10_000_000 + int64(i)
	}
	for _, tt := range []struct {
		name string
		line int // with one id
		ids  []int64
		want int
	}{
		{"all of a page", 1000, ids, 50},
		{"none at all", 1000, nil, 0},
		{"two fewer than a page", MaxLine - 47*9, ids, 48},
		{"one", MaxLine, ids, 1},
		{"one byte too few for the second", MaxLine - 8, ids, 1},
		{"just enough for the second", MaxLine - 9, ids, 2},
		{"one although there is no room", MaxLine + 100, ids, 1},
		{"fewer than there is room for", 1000, ids[:7], 7},
	} {
		q := Query{Path: "invoices", IDs: ids[:1]}
		q = long(t, c, q, tt.line)
		q.IDs = tt.ids
		got := c.Fits(q)
		q.IDs = q.IDs[:got]
		if got != tt.want || got > 1 && c.Line(q) > MaxLine {
			t.Errorf("%s: %d fit with a line of %d, want %d", tt.name, got, c.Line(q), tt.want)
		}
	}
}

func TestARefusalTeachesALengthOnlyWithAShorterRequestThatIsAnswered(t *testing.T) {
	t.Parallel()
	type request struct {
		after  int64
		length int
		status int // 0: an HTTP/2 connection that is closed
		body   string
	}
	const ok = `[]`
	tests := []struct {
		name     string
		requests []request
		want     int
		line     []int // Error.Line of each
	}{
		{"414, then a shorter one for the same page", []request{{0, 7900, 414, ``}, {0, 6000, 200, ok}}, 6000, []int{7900, 0}},
		{"431", []request{{0, 7900, 431, ``}, {0, 6000, 200, ok}}, 6000, []int{7900, 0}},
		{"400 without Coupa's reasons", []request{{0, 7900, 400, `<html>`}, {0, 6000, 200, ok}}, 6000, []int{7900, 0}},
		{"a connection that is closed", []request{{0, 7900, 0, ``}, {0, 6000, 200, ok}}, 6000, []int{7900, 0}},
		{"a shorter one of few bytes", []request{{0, 7900, 414, ``}, {0, 500, 200, ok}}, longLine, []int{7900, 0}},
		{"a longer one was answered between", []request{{0, 7900, 414, ``}, {9, 7000, 200, ok}, {0, 500, 200, ok}}, 7000, []int{7900, 0, 0}},
		{"a longer one is answered later", []request{{0, 7900, 414, ``}, {0, 500, 200, ok}, {9, 5000, 200, ok}}, 5000, []int{7900, 0, 0}},
		{"400 with Coupa's reasons", []request{{0, 7900, 400, `{"error":"no"}`}, {0, 6000, 200, ok}}, MaxLine, []int{0, 0}},
		{"a refusal alone", []request{{0, 7900, 414, ``}}, MaxLine, []int{7900}},
		{"a shorter one for another page", []request{{0, 7900, 414, ``}, {5, 6000, 200, ok}}, MaxLine, []int{7900, 0}},
		{"a shorter one that is refused too", []request{{0, 7900, 414, ``}, {0, 6000, 414, ``}}, MaxLine, []int{7900, 6000}},
		{"a short line", []request{{0, 4000, 414, ``}, {0, 500, 200, ok}}, MaxLine, []int{0, 0}},
		{"as long a one was answered before", []request{{5, 7900, 200, ok}, {0, 7900, 400, ``}, {0, 500, 200, ok}}, MaxLine, []int{0, 0, 0}},
		{"the same one is answered", []request{{0, 7900, 400, ``}, {0, 7900, 200, ok}, {0, 500, 200, ok}}, MaxLine, []int{7900, 0, 0}},
		{"as long a one was answered before, and what refuses it says why", []request{{5, 7900, 200, ok}, {0, 7900, 414, ``}, {0, 5000, 200, ok}}, 5000, []int{0, 7900, 0}},
		{"three in a row that were answered before", []request{{5, 7900, 200, ok}, {0, 7900, 0, ``}, {0, 7900, 0, ``}, {0, 7900, 0, ``}, {0, 5000, 200, ok}}, 5000, []int{0, 0, 0, 7900, 0}},
		{"not in a row", []request{{5, 7900, 200, ok}, {0, 7900, 0, ``}, {0, 7900, 0, ``}, {0, 7900, 200, ok}, {0, 7900, 0, ``}, {0, 5000, 200, ok}}, MaxLine, []int{0, 0, 0, 0, 0, 0}},
		{"another status", []request{{0, 7900, 500, ``}, {0, 6000, 200, ok}}, MaxLine, []int{0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{api: func(n int, _ *http.Request) *http.Response {
					return answer(tt.requests[n-1].status, tt.requests[n-1].body)
				}}
				c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", Transport: closing{f}, Apart: closing{f}})
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range tt.requests {
					_, _, err := collect(t.Context(), c, long(t, c, Query{Path: "invoices", After: r.after}, r.length))
					var e *Error
					line := 0
					if errors.As(err, &e) {
						line = e.Line
					}
					if (err == nil) != (r.status == 200) || line != tt.line[i] || line > 0 && !strings.Contains(err.Error(), "custom.fields = off") {
						t.Errorf("request %d: %v, line %d, want %d", i, err, line, tt.line[i])
					}
				}
				if got := c.MaxLine(); got != tt.want {
					t.Errorf("at most %d bytes, want %d", got, tt.want)
				}
			})
		})
	}
}

// closing is a transport that makes a closed HTTP/2 connection of the status 0.
type closing struct{ next http.RoundTripper }

func (w closing) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.next.RoundTrip(r)
	if err == nil && res.StatusCode == 0 {
		return nil, errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=ENHANCE_YOUR_CALM")
	}
	return res, err
}

func TestALongLineIsTriedOnAConnectionOfItsOwnOnceOneWasClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		status := 200
		shared := &fake{api: func(int, *http.Request) *http.Response { return answer(status, `[]`) }}
		apart := &fake{api: shared.api}
		c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", Transport: closing{shared}, Apart: closing{apart}})
		if err != nil {
			t.Fatal(err)
		}
		for i, step := range []struct {
			length, status, shared, apart int
		}{
			{7900, 414, 1, 0}, // nothing was closed
			{7900, 0, 2, 0},
			{7900, 0, 2, 1},
			{5000, 200, 2, 2},
			{5000, 200, 3, 2}, // as long a line was answered
			{7000, 200, 3, 3},
		} {
			status = step.status
			_, _, _ = collect(t.Context(), c, long(t, c, Query{Path: "invoices", After: int64(i)}, step.length))
			if shared.calls != step.shared || apart.calls != step.apart {
				t.Errorf("step %d: %d requests on shared connections, %d apart, want %d and %d", i, shared.calls, apart.calls, step.shared, step.apart)
			}
		}
	})
}

func TestATransportOfItsOwnKeepsNoConnections(t *testing.T) {
	t.Parallel()
	c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if own, ok := c.cfg.Apart.(*http.Transport); !ok || !own.DisableKeepAlives || c.cfg.Transport.(*http.Transport).DisableKeepAlives {
		t.Errorf("%T", c.cfg.Apart)
	}
	seen := map[string]bool{}
	live, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen[r.RemoteAddr] = true
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`[]`))
	})
	live.lines.cut = true
	for range 3 {
		live.lines.answered = 0
		if _, _, err := collect(t.Context(), live, long(t, live, Query{Path: "invoices"}, 5000)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := collect(t.Context(), live, Query{Path: "invoices"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d connections for three long and three short requests, want 4", len(seen))
	}
}

func TestALimitIsAskedForAndChecked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked string
		c := newClient(t, &fake{api: func(_ int, r *http.Request) *http.Response {
			asked = r.URL.Query().Get("limit")
			return answer(200, array("2024-01-01T00:00:00Z", 1, 2), "Date", time.Now().UTC().Format(http.TimeFormat))
		}})
		for limit, want := range map[int]string{0: "50", 1: "1", 12: "12", 50: "50"} {
			_, page, err := collect(t.Context(), c, Query{Path: "invoices", Limit: limit})
			if err != nil || asked != want || page.Rows != 2 {
				t.Errorf("limit %d: asked for %s, %+v, %v", limit, asked, page, err)
			}
		}
		for _, limit := range []int{-1, 51} {
			if _, _, err := collect(t.Context(), c, Query{Path: "invoices", Limit: limit}); KindOf(err) != Misconfigured {
				t.Errorf("limit %d: %v", limit, err)
			}
		}
	})
}
