package coupa

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// collectionOf answers requests for rows as Coupa does, cut to `fields`, and notes the length of each line.
type collectionOf struct {
	rows  []map[string]any // by id, ascending
	most  int              // longest line; 0: any
	lines []int
	asked []string // fields of each request
	// changes what is there before the n-th request, from 1, is answered
	before func(n int, c *collectionOf)
}

func (s *collectionOf) answer(n int, r *http.Request) *http.Response {
	if s.before != nil {
		s.before(n, s)
	}
	q := r.URL.Query()
	s.lines = append(s.lines, len(r.Method+" "+r.URL.RequestURI()+" HTTP/1.1"))
	s.asked = append(s.asked, q.Get("fields"))
	if s.most > 0 && s.lines[len(s.lines)-1] > s.most {
		return answer(414, `<html>`, "Content-Type", "text/html")
	}
	var picked []any
	limit, _ := strconv.Atoi(q.Get("limit"))
	after, _ := strconv.Atoi(q.Get("id[gt]"))
	for _, row := range s.rows {
		id := row["id"].(int)
		listed := slices.Contains(strings.Split(q.Get("id[in]"), ","), strconv.Itoa(id))
		if q.Has("id[in]") && !listed || id <= after || len(picked) == limit {
			continue
		}
		var fields any
		if json.Unmarshal([]byte(q.Get("fields")), &fields) == nil {
			picked = append(picked, cut(row, fields.([]any)))
		} else {
			picked = append(picked, row)
		}
	}
	if picked == nil {
		picked = []any{}
	}
	body, _ := json.Marshal(picked)
	return answer(200, string(body), "Date", afterApril)
}

// cut leaves what is asked for of a value.
func cut(value any, fields []any) any {
	switch value := value.(type) {
	case []any:
		list := make([]any, len(value))
		for i, v := range value {
			list[i] = cut(v, fields)
		}
		return list
	case map[string]any:
		out := map[string]any{}
		for _, f := range fields {
			switch f := f.(type) {
			case string:
				if v, ok := value[strings.ReplaceAll(f, "_", "-")]; ok {
					out[strings.ReplaceAll(f, "_", "-")] = v
				}
			case map[string]any:
				for name, of := range f {
					key := strings.ReplaceAll(name, "_", "-")
					if v, ok := value[key]; ok {
						if inner, isList := of.([]any); isList {
							v = cut(v, inner)
						}
						out[key] = v
					}
				}
			}
		}
		return out
	}
	return value
}

// wide makes rows with so many members of a long name at the top and in each of two lines.
func wide(rows, top, lines int) *collectionOf {
	s := &collectionOf{}
	for id := 1; id <= rows; id++ {
		row := map[string]any{"id": id, "updated-at": "2024-01-01T00:00:00Z", "null": nil, "tax": map[string]any{"code": "A", "rate": "1.5"}}
		for i := range top {
			row[wideName(i)] = fmt.Sprint(id, "-", i)
		}
		var list []any
		for l := range 2 {
			line := map[string]any{"id": id*10 + l, "updated-at": fmt.Sprintf("2024-02-0%dT00:00:00Z", 1+l)}
			for i := range lines {
				line[wideName(i)] = l * i
			}
			list = append(list, line)
		}
		row["invoice-lines"] = list
		s.rows = append(s.rows, row)
	}
	return s
}

func wideName(i int) string { return fmt.Sprintf("reporting-cost-center-of-a-region-%03d", i) }

// wideFields asks for all that rows of wide have.
func wideFields(top, lines int) string {
	var names, inner []string
	for i := range top {
		names = append(names, strconv.Quote(strings.ReplaceAll(wideName(i), "-", "_")))
	}
	for i := range lines {
		inner = append(inner, strconv.Quote(strings.ReplaceAll(wideName(i), "-", "_")))
	}
	return `["id","updated_at","null",{"tax":["code","rate"]},{"invoice_lines":[` + strings.Join(append([]string{`"id"`, `"updated_at"`}, inner...), ",") + `]},` +
		strings.Join(append(names, `"missing"`), ",") + `]`
}

// read fetches a page and copies its rows.
func read(t *testing.T, c *Client, q Query) ([]Row, Page, error) {
	t.Helper()
	var rows []Row
	page, err := c.Fetch(t.Context(), q, func(r Row) error {
		r.JSON = slices.Clone(r.JSON)
		rows = append(rows, r)
		return nil
	})
	return rows, page, err
}

// A row is the same, digest and all, in however many requests it was asked for.
func TestARowDoesNotDependOnHowItWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		top, lines int
		bound      int
		requests   int
	}{
		{"one request", 20, 5, MaxLine, 1},
		{"names at the top in a second one", 190, 20, MaxLine, 2},
		{"the lines in a request of their own", 100, 150, MaxLine, 2},
		{"names of lines in more than one", 20, 400, MaxLine, 3},
		{"a bound that a refusal has shown", 190, 20, 4500, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := wide(7, tt.top, tt.lines)
				c := newClient(t, &fake{api: s.answer})
				q := Query{Path: "invoices", Fields: wideFields(tt.top, tt.lines), Window: Window{To: march}}
				c.lines.bound = 1 << 20
				want, wantPage, err := read(t, c, q)
				if err != nil || len(s.lines) != 1 || len(want) != 7 {
					t.Fatalf("%d rows in %d requests, %v", len(want), len(s.lines), err)
				}
				s.lines, c.lines.bound = nil, tt.bound
				if n := c.Requests(q); n != tt.requests {
					t.Errorf("%d requests are announced, want %d", n, tt.requests)
				}
				got, page, err := read(t, c, q)
				if err != nil || len(s.lines) != tt.requests || slices.Max(s.lines) > tt.bound {
					t.Fatalf("lines of %v bytes, %v; want %d requests", s.lines, err, tt.requests)
				}
				if page.Rows != 7 || page.LastID != wantPage.LastID || page.Empty || len(got) != 7 {
					t.Errorf("%+v, want %+v", page, wantPage)
				}
				for i := range got {
					if got[i].ID != want[i].ID || got[i].Digest != want[i].Digest || !got[i].LinesAt.Equal(want[i].LinesAt) || !got[i].UpdatedAt.Equal(want[i].UpdatedAt) {
						t.Errorf("row %d: %s, want %s", i, got[i].JSON, want[i].JSON)
					}
				}
				if stats := c.Stats(); stats.Rows != 14 {
					t.Errorf("%d rows are counted, want 14", stats.Rows)
				}
				if ids, page, err := collect(t.Context(), c, Query{Path: "invoices", Fields: q.Fields, After: 7}); len(ids) > 0 || !page.Empty || err != nil || len(s.lines) != tt.requests+1 {
					t.Errorf("no rows: %v, %+v, %v, %d requests", ids, page, err, len(s.lines))
				}
			})
		})
	}
}

func TestPartsOfTwoVersionsAreReadAgain(t *testing.T) {
	t.Parallel()
	q := Query{Path: "invoices", Fields: wideFields(190, 20), Window: Window{To: march}}
	change := func(s *collectionOf, updated string) {
		s.rows[1]["updated-at"] = updated
		s.rows[1][wideName(0)], s.rows[1][wideName(189)] = updated, updated
	}
	for _, tt := range []struct {
		name     string
		before   func(n int, s *collectionOf)
		ids      []int64
		requests int
		err      string
	}{
		{"the row changes once", func(n int, s *collectionOf) {
			if n == 2 {
				change(s, "2024-01-02T00:00:00Z")
			}
		}, []int64{1, 2, 3}, 4, ""},
		{"a line changes", func(n int, s *collectionOf) {
			if n == 2 {
				s.rows[1]["invoice-lines"].([]any)[0].(map[string]any)["updated-at"] = "2024-02-09T00:00:00Z"
			}
		}, []int64{1, 2, 3}, 4, ""},
		{"a line goes", func(n int, s *collectionOf) {
			if n == 2 {
				s.rows[1]["invoice-lines"] = s.rows[1]["invoice-lines"].([]any)[:1]
			}
		}, []int64{1, 2, 3}, 4, ""},
		{"the row leaves the window", func(n int, s *collectionOf) {
			if n == 2 {
				change(s, "2024-03-02T00:00:00Z")
			}
		}, []int64{1, 3}, 4, ""},
		{"the row never stands still", func(n int, s *collectionOf) { change(s, fmt.Sprintf("2024-01-%02dT00:00:00Z", n+1)) },
			[]int64{1}, 8, "id 2 changed or went"},
		{"the row goes", func(n int, s *collectionOf) {
			if n == 2 {
				s.rows = slices.Delete(s.rows, 1, 2)
			}
		}, []int64{1}, 5, "id 2 changed or went"},
		{"rows that have no stamp are read twice", func(n int, s *collectionOf) {
			if n == 1 {
				for i := range s.rows {
					s.rows[i]["updated-at"] = nil
				}
			}
			if n == 2 {
				s.rows[1][wideName(0)], s.rows[1][wideName(189)] = "new", "new"
			}
		}, []int64{1, 2, 3}, 6, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := wide(3, 190, 20)
				s.before = tt.before
				c := newClient(t, &fake{api: s.answer})
				q := q
				if strings.Contains(tt.name, "no stamp") {
					q.Window = Window{}
				}
				got, page, err := read(t, c, q)
				var ids []int64
				for _, r := range got {
					ids = append(ids, r.ID)
					var row map[string]any
					if json.Unmarshal(r.JSON, &row) != nil {
						t.Fatalf("%s", r.JSON)
					}
					if now, _ := json.Marshal(cut(s.rows[slices.IndexFunc(s.rows, func(row map[string]any) bool { return row["id"] == int(r.ID) })], fieldsOf(t, q))); mustEqual(now) != mustEqual(r.JSON) {
						t.Errorf("id %d is %s, want %s", r.ID, r.JSON, now)
					}
				}
				if !slices.Equal(ids, tt.ids) || len(s.lines) != tt.requests || page.Empty {
					t.Errorf("ids %v in %d requests, %+v; want %v in %d", ids, len(s.lines), page, tt.ids, tt.requests)
				}
				if (err == nil) != (tt.err == "") || err != nil && (!strings.Contains(err.Error(), tt.err) || KindOf(err) != Retry) {
					t.Errorf("%v, want %q", err, tt.err)
				}
			})
		})
	}
}

func fieldsOf(t *testing.T, q Query) (list []any) {
	t.Helper()
	if err := json.Unmarshal([]byte(q.Fields), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// mustEqual is JSON text in one form for all orders of members.
func mustEqual(text []byte) string {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return err.Error()
	}
	b, _ := json.Marshal(value)
	return string(b)
}

// What stands in front of Coupa may take less than others do: nobody has to see to that.
func TestARefusedLineIsAskedForInParts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		most   int
		wantOK bool
	}{
		{"a bit less", 7000, true},
		{"much less", 4100, true},
		{"less than anything is taken for", 1000, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := wide(60, 160, 10)
				s.most = tt.most
				c := newClient(t, &fake{api: s.answer})
				q := Query{Path: "invoices", Fields: wideFields(160, 10)}
				if c.Line(q) < 7000 || c.Line(q) > MaxLine {
					t.Fatalf("a line of %d bytes", c.Line(q))
				}
				ids, page, err := collect(t.Context(), c, q)
				if !tt.wantOK {
					var e *Error
					if !errors.As(err, &e) || e.Line != c.Line(q) || !strings.Contains(e.Hint, "custom.fields = off") || !strings.Contains(e.Hint, strconv.Itoa(e.Line)) {
						t.Errorf("%v", err)
					}
					return
				}
				if err != nil || !slices.Equal(ids, upTo(50)) || page.LastID != 50 {
					t.Fatalf("%v, %+v, %v", ids, page, err)
				}
				if c.MaxLine() > tt.most || c.MaxLine() < longLine {
					t.Errorf("%d bytes are learned, want at most %d", c.MaxLine(), tt.most)
				}
				refused := len(s.lines)
				q.After = 50
				if ids, _, err := collect(t.Context(), c, q); err != nil || len(ids) != 10 || slices.Max(s.lines[refused:]) > tt.most {
					t.Errorf("%v, %v, lines of %v", ids, err, s.lines[refused:])
				}
			})
		})
	}
}

func TestAListIsAskedForWholeWhereItsFieldsCanBeInParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &collectionOf{}
		ids := make([]int64, 50)
		for i := range ids {
			ids[i] = 10_000_000 + int64(i)
			s.rows = append(s.rows, map[string]any{"id": int(ids[i]), "updated-at": "2024-01-01T00:00:00Z"})
		}
		c := newClient(t, &fake{api: s.answer})
		for top, requests := range map[int]int{20: 1, 168: 2, 190: 2, 400: 3} {
			s.lines = nil
			q := Query{Path: "invoices", Fields: wideFields(top, 20), IDs: ids}
			fit := c.Fits(q)
			got, _, err := collect(t.Context(), c, q)
			if fit != 50 || err != nil || len(got) != 50 || len(s.lines) != requests || c.Requests(q) != requests || slices.Max(s.lines) > MaxLine {
				t.Errorf("%d names: %d ids fit, %d come, %v, lines of %v; want %d", top, fit, len(got), err, s.lines, requests)
			}
		}
	})
}

// Memory for a page in parts is bounded: it is short then, and a row that is too large for it comes alone.
func TestAPageInPartsIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := wide(12, 190, 20)
		for i := range s.rows {
			s.rows[i][wideName(0)] = strings.Repeat("x", 150<<10)
		}
		s.rows[4][wideName(1)] = strings.Repeat("y", 3<<20)
		s.rows[6][wideName(189)] = strings.Repeat("z", 3<<20)
		memory := &account{}
		c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", Transport: &fake{api: s.answer}, LargeRows: NewLargeRows(memory)})
		if err != nil {
			t.Fatal(err)
		}
		q := Query{Path: "invoices", Fields: wideFields(190, 20)}
		var ids []int64
		for pages := 0; pages < 12; pages++ {
			got, page, err := collect(t.Context(), c, q)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, got...)
			if page.Empty {
				break
			}
			q.After = page.LastID
		}
		if !slices.Equal(ids, upTo(12)) {
			t.Errorf("%v", ids)
		}
		if memory.most < 6<<20 || memory.held != 0 {
			t.Errorf("%d bytes at most and %d now are counted", memory.most, memory.held)
		}
	})
}

func TestRowsBelowOthersAreReadInPartsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := wide(3, 250, 1)
		var lines []int
		f := &fake{api: func(n int, r *http.Request) *http.Response {
			lines = append(lines, len(r.Method+" "+r.URL.RequestURI()+" HTTP/1.1"))
			if strings.HasSuffix(r.URL.Path, "/contracts") {
				if r.URL.Query().Get("id[gt]") != "0" {
					return answer(200, `[]`)
				}
				return answer(200, `[{"id":7}]`)
			}
			return s.answer(n, r)
		}}
		c := newClient(t, f)
		q := Query{Path: "contracts/legal_documents", Fields: wideFields(250, 1)}
		rows, page, err := read(t, c, q)
		if err != nil || len(rows) != 3 || page.LastID != 7 || slices.Max(lines) > MaxLine || c.Requests(q) != 2 {
			t.Fatalf("%d rows, %+v, %v, lines %v, %d requests", len(rows), page, err, lines, c.Requests(q))
		}
		for i, r := range rows {
			if r.Parent != 7 || !strings.Contains(string(r.JSON), wideName(249)) || !strings.Contains(string(r.JSON), wideName(0)) {
				t.Errorf("row %d: %s", i, r.JSON)
			}
		}
	})
}
