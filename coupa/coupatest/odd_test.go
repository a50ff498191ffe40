package coupatest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestALongRequestLineIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 2, MaxLine: 200})
		longest := strings.Repeat("x", 200-len("GET /api/users?login= HTTP/1.1"))
		if status, _, _ := r.do(http.MethodGet, "/api/users?login="+longest, nil, nil); status != 200 {
			t.Errorf("a line of 200 bytes: %d", status)
		}
		status, body, header := r.do(http.MethodGet, "/api/users?login="+longest+"x", nil, nil)
		if status != 414 || header.Get("Content-Type") != htmlType || !strings.Contains(string(body), "414") {
			t.Errorf("a line of 201 bytes: %d %s", status, body)
		}
		if asked := r.tenant.Requests(); asked[0].Line != 200 || asked[1].Line != 201 {
			t.Errorf("requests %+v", asked)
		}
	})
}

func TestARowThatIsLeftOutMakesAPageShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 12, PageCap: 4, Objects: []string{"users"}})
		third := r.tenant.Rows("users")[2].ID
		page := func() []int64 { return ids(r.page("users")) }
		whole := page()
		if !r.tenant.LeaveOut("users", third, 2) || r.tenant.LeaveOut("users", 4000, 1) || r.tenant.LeaveOut("colours", 1, 1) {
			t.Error("which rows there are is not told")
		}
		short := slices.DeleteFunc(slices.Clone(whole), func(id int64) bool { return id == third })
		for i, want := range [][]int64{short, short, whole} {
			if got := page(); !slices.Equal(got, want) {
				t.Errorf("page %d: %v, want %v", i, got, want)
			}
		}
		r.tenant.LeaveOut("users", third, -1)
		for range 5 {
			if got := page(); !slices.Equal(got, short) {
				t.Errorf("%v, want %v", got, short)
			}
		}
		if next := ids(r.page("users", "id[gt]", jsonText(short[2]))); len(next) != 4 {
			t.Errorf("behind it: %v", next)
		}
		r.tenant.LeaveOut("users", third, 0)
		if got := page(); !slices.Equal(got, whole) {
			t.Errorf("%v, want %v", got, whole)
		}
	})
}

func TestARowThatFailsTakesItsPagesAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 12, PageCap: 4, Objects: []string{"users"}})
		id := r.tenant.Rows("users")[2].ID
		status := func(query ...string) int {
			status, _, _ := r.do(http.MethodGet, path("users", query...), nil, nil)
			return status
		}
		for _, step := range []struct {
			name          string
			change        func() bool
			page, idAlone int
		}{
			{"it fails", func() bool { return r.tenant.Fail("users", id, false) }, 500, 200},
			{"its id, too", func() bool { return r.tenant.Fail("users", id, true) }, 500, 500},
			{"it is mended", func() bool { return r.tenant.Mend("users", id) }, 200, 200},
		} {
			if !step.change() {
				t.Errorf("%s: no such row", step.name)
			}
			if a, b := status(), status("fields", `["id","login"]`); a != step.page || b != step.page {
				t.Errorf("%s: %d, %d, want %d", step.name, a, b, step.page)
			}
			if a, b := status("fields", `["id"]`), status("id[in]", jsonText(id), "fields", `["id"]`); a != step.idAlone || b != step.idAlone {
				t.Errorf("%s: its id %d, %d, want %d", step.name, a, b, step.idAlone)
			}
			if got := status("id[gt]", jsonText(id)); got != 200 {
				t.Errorf("%s: behind it %d", step.name, got)
			}
		}
	})
}

func TestPagesOfTooManyRowsFailAtTheGateway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 30, MaxRows: 10, Objects: []string{"users"}})
		for limit, want := range map[string]int{"50": 504, "11": 504, "10": 200, "1": 200} {
			status, body, header := r.do(http.MethodGet, path("users", "limit", limit), nil, nil)
			if status != want || status == 504 && (header.Get("Content-Type") != htmlType || !strings.Contains(string(body), "504")) {
				t.Errorf("limit %s: %d %.100s", limit, status, body)
			}
		}
	})
}

func TestAnUndatedRowIsFoundByNoWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 6, Objects: []string{"users"}})
		all := ids(r.page("users"))
		if !r.tenant.Undate("users", all[1]) || r.tenant.Undate("users", 4000) {
			t.Error("which rows there are is not told")
		}
		r.tenant.Update("users", all[1])
		rest := slices.Delete(slices.Clone(all), 1, 2)
		if got := ids(r.page("users", "updated_at[lt]", "2999-01-01T00:00:00Z")); !slices.Equal(got, rest) {
			t.Errorf("before: %v, want %v", got, rest)
		}
		if got := ids(r.page("users", "updated-at[gt_or_eq]", "1999-01-01T00:00:00Z")); !slices.Equal(got, rest) {
			t.Errorf("since: %v, want %v", got, rest)
		}
		rows := r.page("users", "fields", `["id","updated_at"]`)
		if !slices.Equal(ids(rows), all) || members(t, rows[1].JSON)["updated-at"] != nil || !strings.Contains(string(rows[1].JSON), `"updated-at":null`) {
			t.Errorf("without a condition: %s", rows[1].JSON)
		}
	})
}

func TestParentsAreCollapsedAndTheirLinesCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: -1, Objects: []string{"invoices"}, CollapseParents: true})
		since := stamp(time.Now())
		for range 20 {
			r.tenant.Create("invoices", Lines(4))
		}
		condition := []string{"invoice_lines[updated_at][gt_or_eq]", since}
		var got []int64
		for _, want := range []int{13, 7, 0} { // 50 lines, 28, none
			after := "0"
			if len(got) > 0 {
				after = jsonText(got[len(got)-1])
			}
			page := ids(r.page("invoices", append(condition, "id[gt]", after)...))
			if got = append(got, page...); len(page) != want {
				t.Errorf("after %s: %v, want %d rows", after, page, want)
			}
		}
		if len(got) != 20 || len(slices.Compact(got)) != 20 {
			t.Errorf("got %v", got)
		}
		if n := len(r.page("invoices")); n != 20 {
			t.Errorf("without a condition on lines: %d rows", n)
		}
	})
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  Fault
		status int
		kind   string
		begins string
	}{
		"a firewall":           {Fault{Kind: WebPage403}, 403, htmlType, "<!DOCTYPE html>"},
		"a gateway":            {Fault{Kind: WebPage404}, 404, htmlType, "<!DOCTYPE html>"},
		"a gateway that waits": {Fault{Kind: WebPage504}, 504, htmlType, "<!DOCTYPE html>"},
		"a byte order mark":    {Fault{Kind: ByteOrderMark}, 200, jsonType, "\ufeff[{"},
		"a canned text":        {Fault{Kind: Canned, Status: 418, Type: "text/tea", Body: "short"}, 418, "text/tea", "short"},
		"a canned page":        {Fault{Kind: Canned, Body: "[]"}, 200, jsonType, "[]"},
		"blanks":               {Fault{Kind: Blanks, Bytes: 100_000}, 200, jsonType, strings.Repeat(" ", 100_000) + "[{"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := open(t, Config{Rows: 2})
				r.tenant.Inject(c.fault)
				status, body, header := r.do(http.MethodGet, "/api/users", nil, nil)
				if status != c.status || header.Get("Content-Type") != c.kind || !strings.HasPrefix(string(body), c.begins) {
					t.Errorf("%d %s %.60s", status, header.Get("Content-Type"), body)
				}
				if strings.HasPrefix(c.begins, " ") && (len(body) < 100_100 || body[len(body)-1] != ']') {
					t.Errorf("%d bytes", len(body))
				}
			})
		})
	}
}

func TestTokensCanBeCanned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 1})
		r.tenant.Inject(Fault{Kind: Canned, Object: TokenRequests, Body: `{"access_token":"a\nb"}`})
		r.tenant.Inject(Fault{Kind: WebPage403, Object: TokenRequests})
		for i, want := range []string{`200{"access_token":"a\nb"}`, "403<!DOCTYPE"} {
			status, body, _ := r.do(http.MethodPost, "/oauth2/token", nil, strings.NewReader(""))
			if got := jsonText(status) + string(body); !strings.HasPrefix(got, want) {
				t.Errorf("request %d: %s", i, got)
			}
		}
	})
}

func TestTheClockCanBeAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 1})
		r.tenant.Inject(Fault{Kind: ClockAhead})
		_, _, header := r.do(http.MethodGet, "/api/users", nil, nil)
		if at, err := http.ParseTime(header.Get("Date")); err != nil || time.Until(at) != time.Hour {
			t.Errorf("Date is %v", at)
		}
	})
}

// readSome reads a body until so many bytes have come or a time is over, and hangs up.
func readSome(t *testing.T, r *reader, bytes int, within time.Duration) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://acme.coupahost.com/api/users", nil)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+r.token)
	res, err := r.tenant.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, int64(bytes)))
	return body
}

func TestBodiesWithoutAnEndGoOnUntilTheClientHasGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 2})
		for _, c := range []struct {
			fault  Fault
			bytes  int
			inside string
		}{
			{Fault{Kind: EndlessRow}, 1 << 20, `},{"id":1099511627776,"name":"xxx`},
			{Fault{Kind: Blanks}, 1 << 20, strings.Repeat(" ", 1<<20)},
			{Fault{Kind: Drip}, 20, strings.Repeat(" ", 20)},
		} {
			r.tenant.Inject(c.fault)
			began := time.Now()
			if got := readSome(t, r, c.bytes, time.Hour); len(got) != c.bytes || !strings.Contains(string(got), c.inside) {
				t.Errorf("%s: %d bytes: %.100s", c.fault.Kind, len(got), got)
			}
			if took := time.Since(began); (took == 19*time.Second) != (c.fault.Kind == Drip) {
				t.Errorf("%s: took %s", c.fault.Kind, took)
			}
			r.tenant.Inject(c.fault)
			if got := readSome(t, r, 5, time.Second*3/2); c.fault.Kind == Drip && len(got) != 2 {
				t.Errorf("a client that gives up: %q", got)
			}
		}
	})
}

func TestBlanksAreCompressedWhereThatIsTaken(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Rows: 2, RateLimit: -1, TokenHold: -1})
	server := httptest.NewServer(tenant)
	defer server.Close()
	tenant.Inject(Fault{Kind: Blanks, Bytes: 20 << 20})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/users", nil)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("Authorization", "Bearer "+tenant.mint(tenant.cfg.Scopes))
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	packed, err := io.ReadAll(res.Body)
	if err != nil || len(packed) > 1<<20 || res.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d bytes on the wire, %v", len(packed), err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || len(text) < 20<<20 || !json.Valid(text) {
		t.Errorf("%d bytes: %v", len(text), err)
	}
}

func TestOddRowsByTheControlPaths(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 3, Objects: []string{"users"}})
		call := func(what string, want int) {
			t.Helper()
			if status, out, _ := r.do(http.MethodPost, "/_tenant/objects/users/"+what, map[string]string{"Content-Type": "text/plain"}, strings.NewReader("")); status != want {
				t.Errorf("%s: %d %s", what, status, out)
			}
		}
		status := func() int {
			status, _, _ := r.do(http.MethodGet, "/api/users", nil, nil)
			return status
		}
		call("2/left-out?times=1", 200)
		call("2/left-out", 404)
		call("77/left-out?times=1", 404)
		if first, second := len(r.page("users")), len(r.page("users")); first != 2 || second != 3 {
			t.Errorf("%d rows, then %d", first, second)
		}
		for fields, want := range map[string]int{"some": 500, "all": 500, "none": 200} {
			call("2/failing?fields="+fields, 200)
			if got := status(); got != want {
				t.Errorf("%s: %d", fields, got)
			}
		}
		call("2/failing?fields=none", 200)
		call("2/failing?fields=few", 404)
		call("2/undated", 200)
		call("77/undated", 404)
		if n := len(r.page("users", "updated_at[lt]", "2999-01-01T00:00:00Z")); n != 2 {
			t.Errorf("%d rows with a date", n)
		}
	})
}

func TestOddStampsAndTextsAreSentAsTheyWereSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 3, Objects: []string{"users"}})
		r.tenant.SetSilent("users", 1, "updated-at", `"2024-04-01 10:00:00 UTC"`)
		r.tenant.SetSilent("users", 2, "login", "\"caf\xe9\"")
		_, body, _ := r.do(http.MethodGet, path("users", "fields", `["id","login","updated_at"]`, "updated_at[lt]", "2999-01-01T00:00:00Z"), nil, nil)
		for _, part := range []string{`"updated-at":"2024-04-01 10:00:00 UTC"`, "\"login\":\"caf\xe9\""} {
			if !bytes.Contains(body, []byte(part)) {
				t.Errorf("%q is not in %s", part, body)
			}
		}
	})
}
