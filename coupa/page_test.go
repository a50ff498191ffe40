package coupa

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

var (
	march = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	april = time.Date(2024, 4, 1, 0, 0, 0, 0, time.UTC)
)

// afterApril is a Date header by which the window that ends in April is over.
const afterApril = "Mon, 01 Apr 2024 00:00:00 GMT"

func TestFetchAsksAsDocumented(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked *http.Request
		f := &fake{api: func(_ int, r *http.Request) *http.Response {
			asked = r
			return answer(200, `[]`, "Date", afterApril)
		}}
		c := newClient(t, f)
		berlin := time.FixedZone("", 3600)
		_, _, err := collect(t.Context(), c, Query{
			Path: "coupa_pay/payments", After: 7, Through: 90, Fields: `["id",{"invoice_lines":["id"]}]`,
			Window: Window{From: march.In(berlin), To: april.In(berlin)},
			Filter: url.Values{"order_lines[updated_at][gt_or_eq]": {"2024-03-25T18:38:00+01:00"}, "status": {"a b&c"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := url.Values{
			"updated_at[gt_or_eq]": {"2024-03-01T00:00:00Z"}, "updated_at[lt]": {"2024-04-01T00:00:00Z"},
			"id[gt]": {"7"}, "id[lt_or_eq]": {"90"}, "order_by": {"id"}, "dir": {"asc"}, "limit": {"50"},
			"fields":                            {`["id",{"invoice_lines":["id"]}]`},
			"order_lines[updated_at][gt_or_eq]": {"2024-03-25T18:38:00+01:00"}, "status": {"a b&c"},
		}
		if got := asked.URL.Query(); got.Encode() != want.Encode() {
			t.Errorf("asked for %v\nwant %v", got, want)
		}
		if strings.ContainsAny(asked.URL.RawQuery, `[]"{} `) {
			t.Errorf("the query is not escaped: %s", asked.URL.RawQuery)
		}
		if asked.URL.Path != "/api/coupa_pay/payments" || asked.URL.Host != "acme.coupahost.com" {
			t.Errorf("asked %s", asked.URL)
		}
		for name, want := range map[string]string{"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "coupastream", "Authorization": "Bearer token-1"} {
			if got := asked.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})
}

func TestFetchAsksForLinesAndForIDsAsDocumented(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 3600)
	tests := []struct {
		name string
		q    Query
		want url.Values
	}{
		{"headers that have a line stamped since", Query{Path: "purchase_orders", After: 7, Window: Window{To: april}, Lines: "order_lines", LinesFrom: march.In(zone)}, url.Values{
			"order_lines[updated_at][gt_or_eq]": {"2024-03-01T00:00:00Z"}, "updated_at[lt]": {"2024-04-01T00:00:00Z"}, "id[gt]": {"7"},
		}},
		{"a list of ids", Query{Path: "invoices", IDs: []int64{1, 2, 999999999999999999}, Window: Window{To: april}}, url.Values{
			"id[in]": {"1,2,999999999999999999"}, "updated_at[lt]": {"2024-04-01T00:00:00Z"},
		}},
		{"ids beside a filter of ids", Query{Path: "invoices", Filter: url.Values{"id[in]": {"4,5"}}}, url.Values{"id[in]": {"4,5"}, "id[gt]": {"0"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked url.Values
				c := newClient(t, &fake{api: func(_ int, r *http.Request) *http.Response {
					asked = r.URL.Query()
					return answer(200, `[]`, "Date", afterApril)
				}})
				if _, _, err := collect(t.Context(), c, tt.q); err != nil {
					t.Fatal(err)
				}
				for key, value := range map[string]string{"order_by": "id", "dir": "asc", "limit": "50"} {
					tt.want.Set(key, value)
				}
				if asked.Encode() != tt.want.Encode() {
					t.Errorf("asked for %v\nwant %v", asked, tt.want)
				}
			})
		})
	}
}

func TestFetchYieldsRowsAsTheyAreSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rows := []string{
			`{ "id": 3, "updated-at": "2024-03-10T01:30:00-08:00", "total":"1.00" }`,
			`{"updated_at":"2024-03-10T10:30:00Z","id":"5"}`,
			`{"id":900719925474099300,"nested":{"id":1,"updated-at":"x"},"updated-at":"2024-03-31T23:59:59.9+00:00"}`,
		}
		body := "\n [" + strings.Join(rows, " ,\n") + "] \n"
		c := newClient(t, &fake{api: func(int, *http.Request) *http.Response { return answer(200, body, "Date", afterApril) }})
		var got []string
		page, err := c.Fetch(t.Context(), Query{Path: "invoices", After: 2, Window: Window{From: march, To: april}}, func(r Row) error {
			got = append(got, fmt.Sprintf("%d %s %s", r.ID, r.UpdatedAt.Format(time.RFC3339Nano), r.JSON))
			if r.Digest == 0 || r.UpdatedAt.Location() != time.UTC {
				t.Errorf("row %d: digest %d, zone %s", r.ID, r.Digest, r.UpdatedAt.Location())
			}
			return nil
		})
		want := []string{
			"3 2024-03-10T09:30:00Z " + rows[0],
			"5 2024-03-10T10:30:00Z " + rows[1],
			"900719925474099300 2024-03-31T23:59:59Z " + rows[2],
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v\nwant %v", got, err, want)
		}
		if page != (Page{Rows: 3, LastID: 900719925474099300, Date: april, Bytes: int64(len(body))}) {
			t.Errorf("page %+v", page)
		}
		if s := c.Stats(); s.Rows != 3 || s.Bytes != uint64(len(body)) || s.Requests != 1 || s.ByClass[2] != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestBreachesOfTheContractAreBroken(t *testing.T) {
	t.Parallel()
	const in, out = "2024-03-15T00:00:00Z", "2024-04-01T00:00:00Z"
	window := Window{From: march, To: april}
	byLines := Query{Lines: "invoice_lines", LinesFrom: march}
	lined := func(id int64, stamp string) string {
		return fmt.Sprintf(`[{"id":%d,"updated-at":%q,"invoice-lines":[{"updated-at":%s}]}]`, id, in, stamp)
	}
	tests := []struct {
		name   string
		q      Query
		body   string
		header []string
		yields int
		says   string
	}{
		{"descending ids", Query{}, array(in, 5, 9, 7), nil, 2, "id 7 after id 9"},
		{"an id twice", Query{}, array(in, 5, 5), nil, 1, "id 5 after id 5"},
		{"an id that was read already", Query{After: 5}, array(in, 5, 6), nil, 0, "ignores id[gt]"},
		{"an id beyond the range", Query{Through: 6}, array(in, 5, 7), nil, 1, "ignores id[lt_or_eq]"},
		{"an updated-at before the window", Query{}, array("2024-02-29T23:59:59Z", 1), nil, 0, "ignores updated_at"},
		{"an updated-at at the window's end", Query{}, array(out, 1), nil, 0, "ignores updated_at"},
		{"an updated-at that is inside as text only", Query{}, array("2024-03-31T23:00:00-02:00", 1), nil, 0, "2024-04-01T01:00:00Z"},
		{"no updated-at", Query{}, `[{"id":1}]`, nil, 0, "id 1 without updated-at"},
		{"null as updated-at", Query{}, `[{"id":1,"updated-at":null}]`, nil, 0, "id 1 without updated-at"},
		{"no id", Query{After: 4}, `[{"updated-at":"` + in + `"}]`, nil, 0, "without a usable id after id 4"},
		{"an id that is a fraction", Query{}, `[{"id":1.5}]`, nil, 0, "without a usable id"},
		{"an id of zero", Query{}, `[{"id":0}]`, nil, 0, "without a usable id"},
		{"fifty-one rows", Query{}, array(in, upTo(51)...), nil, 50, "more than the 50 rows"},
		{"an object instead of an array", Query{}, `{"errors":["private"]}`, nil, 0, "array of objects"},
		{"null instead of an array", Query{}, `null`, nil, 0, "array of objects"},
		{"an array of numbers", Query{}, `[1]`, nil, 0, "array of objects"},
		{"an id twice but not in a row", byLines, joined(lined(1, `"`+in+`"`), lined(2, `"`+in+`"`), lined(1, `"`+in+`"`)), nil, 2, "id 1 after id 2"},
		{"fifty-one repeats", byLines, joined(slices.Repeat([]string{lined(1, `"`+in+`"`)}, 51)...), nil, 1, "more than the 50 rows"},
		{"the id before the page's first", Query{After: 1, Lines: "invoice_lines", LinesFrom: march}, lined(1, `"`+in+`"`), nil, 0, "ignores id[gt]"},
		{"an id that is not in the list", Query{IDs: []int64{1, 3}}, array(in, 1, 2), nil, 1, "id 2, which was not asked for: it ignores id[in]"},
		{"ids of the list in another order", Query{IDs: []int64{3, 1}}, array(in, 3, 1), nil, 1, "ignores order_by"},
		{"an id of the list twice", Query{IDs: []int64{1, 3}}, array(in, 1, 1), nil, 1, "id 1 after id 1"},
		{"an id of the list outside the window", Query{IDs: []int64{1}}, array(out, 1), nil, 0, "ignores updated_at"},
		{"XML", Query{}, `<a/>`, []string{"Content-Type", "application/xml"}, 0, `"application/xml" although JSON`},
		{"no type", Query{}, `[]`, []string{"Content-Type", ""}, 0, "although JSON"},
		{"no Date", Query{}, array(in, 1), []string{"Date", ""}, 0, "without a Date"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, &fake{api: func(int, *http.Request) *http.Response {
					return answer(200, tt.body, append([]string{"Date", afterApril}, tt.header...)...)
				}})
				tt.q.Path, tt.q.Window = "invoices", window
				ids, page, err := collect(t.Context(), c, tt.q)
				var e *Error
				if !errors.As(err, &e) || e.Kind != Broken || e.Temporary() || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %v, want a broken contract that says %q", err, tt.says)
				}
				if len(ids) != tt.yields || page.Rows != tt.yields {
					t.Errorf("yielded %d rows, page counts %d, want %d", len(ids), page.Rows, tt.yields)
				}
				if strings.Contains(err.Error(), "private") {
					t.Errorf("%q holds the payload", err)
				}
			})
		})
	}
}

func TestAStampThatIsNoInstantIsARowsOwnTrouble(t *testing.T) {
	t.Parallel()
	const good, said, linesSaid = `"2024-03-15T00:00:00Z"`, "id 2 with an updated-at that is not an instant", "id 2 with an updated-at in its lines that is not an instant"
	tests := []struct {
		name, stamp, line string
		says              string // nothing: all is well
		at, linesAt       string
	}{
		{"a day that there is not", `"2024-03-32T00:00:00Z"`, good, said, "…", "2024-03-15T00:00:00Z"},
		{"a number", `17`, good, said, "…", "2024-03-15T00:00:00Z"},
		{"an object", `{"a":1}`, good, said, "…", "2024-03-15T00:00:00Z"},
		{"blanks for the T", `"2024-03-15 10:00:00 UTC"`, good, said, "…", "2024-03-15T00:00:00Z"},
		{"a line's", good, `"2024-03-15 10:00:00 UTC"`, linesSaid, "2024-03-15T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"a line's number", good, `17`, linesSaid, "2024-03-15T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"both", `17`, `17`, said, "…", "2024-03-01T00:00:00Z"},
		{"a line without", good, `null`, "", "2024-03-15T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"a line with an empty one", good, `""`, "", "2024-03-15T00:00:00Z", "2024-03-01T00:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				odd := fmt.Sprintf(`{"id":2,"updated-at":%s,"invoice-lines":[{"updated-at":"2024-03-01T00:00:00Z"},{"updated-at":%s}]}`, tt.stamp, tt.line)
				body := `[{"id":1,"updated-at":` + good + `},` + odd + `,{"id":3,"updated-at":` + good + `}]`
				c := newClient(t, &fake{api: func(int, *http.Request) *http.Response { return answer(200, body, "Date", afterApril) }})
				for _, q := range []Query{{Window: Window{From: march, To: april}}, {}, {Lines: "invoice_lines", LinesFrom: march}} {
					q.Path = "invoices"
					var rows []Row
					page, err := c.Fetch(t.Context(), q, func(r Row) error {
						if r.ID == 2 && string(r.JSON) != odd {
							t.Errorf("got %s", r.JSON)
						}
						rows = append(rows, r)
						return nil
					})
					if err != nil || page.Rows != 3 || rows[0].StampErr != nil || rows[2].StampErr != nil {
						t.Fatalf("%+v, %v", page, err)
					}
					if got := rows[1].StampErr; (got == nil) != (tt.says == "") || got != nil && (KindOf(got) != BadRow || !strings.Contains(got.Error(), tt.says)) {
						t.Errorf("got %v, want %q", got, tt.says)
					}
					if got := bound(rows[1].UpdatedAt) + " " + bound(rows[1].LinesAt); got != tt.at+" "+tt.linesAt {
						t.Errorf("stamps %s", got)
					}
				}
			})
		})
	}
}

func TestRowsWithoutUpdatedAtPassTheZeroWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, &fake{api: pages(`[{"id":1,"code":"USD"},{"id":2,"updated-at":null},{"id":3,"updated-at":""}]`)})
		ids, _, err := collect(t.Context(), c, Query{Path: "currencies"})
		if err != nil || len(ids) != 3 {
			t.Errorf("got %v, %v", ids, err)
		}
	})
}

func TestWindowThatIsNotOverByCoupasClockIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, &fake{api: func(int, *http.Request) *http.Response {
			return answer(200, array("2024-03-15T00:00:00Z", 1), "Date", "Sun, 31 Mar 2024 23:59:59 GMT")
		}})
		ids, page, err := collect(t.Context(), c, Query{Path: "invoices", After: 0, Window: Window{From: march, To: april}})
		if KindOf(err) != Retry || err == nil || len(ids) != 0 {
			t.Errorf("got %v, %v; want no rows and a temporary error", ids, err)
		}
		if now, _ := c.clock.now(); !now.Equal(april.Add(-time.Second)) || !page.Date.Equal(now) {
			t.Errorf("the clock shows %s and the page %s, want what the answer said", now, page.Date)
		}
	})
}

func TestAWindowMayEndInTheSecondThatRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, &fake{api: func(int, *http.Request) *http.Response {
			return answer(200, array("2024-03-31T23:59:59Z", 1), "Date", "Sun, 31 Mar 2024 23:59:59 GMT")
		}})
		for over, taken := range map[time.Duration]int{-2 * time.Second: 1, -time.Second: 1, 0: 0} {
			q := Query{Path: "invoices", Window: Window{From: march, To: april}, Over: april.Add(over)}
			if ids, _, err := collect(t.Context(), c, q); len(ids) != taken || (err == nil) != (taken > 0) {
				t.Errorf("over %v from its end: got %v, %v", over, ids, err)
			}
		}
	})
}

func TestAPageIsEmptyOnlyIfNothingCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rows := []int{0, 3, 2, 50, 49, 1, 0}
		f := &fake{api: func(n int, _ *http.Request) *http.Response {
			return answer(200, array("2024-01-01T00:00:00Z", upTo(rows[n-1])...))
		}}
		c := newClient(t, f)
		for i, n := range rows {
			_, page, err := collect(t.Context(), c, Query{Path: "invoices"})
			if err != nil || page.Empty != (n == 0) || page.Rows != n || page.LastID != int64(n) {
				t.Errorf("page %d of %d rows: %+v (%v)", i, n, page, err)
			}
		}
	})
}

// joined returns a page that holds the rows of all the bodies.
func joined(bodies ...string) string {
	all := strings.Join(bodies, ",")
	return "[" + strings.ReplaceAll(all[1:len(all)-1], "],[", ",") + "]"
}

func TestRowsTellWhenTheirLinesWereStamped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		body := `[{"id":1,"order-lines":[{"updated-at":"2024-03-10T03:00:00-07:00"},{"updated-at":"2024-03-10T01:59:59-08:00"}]},{"id":2,"order-lines":[]},
			{"id":3,"order_lines":[{"updated_at":"2024-03-01T00:00:00Z"}]},{"id":4,"invoice-lines":[{"updated-at":"2024-03-01T00:00:00Z"}]}]`
		for path, want := range map[string]string{
			"purchase_orders": "2024-03-10T10:00:00Z … 2024-03-01T00:00:00Z …",
			"invoices":        "… … … 2024-03-01T00:00:00Z",
			"users":           "… … … …",
			"currencies":      "… … … …",
		} {
			c := newClient(t, &fake{api: pages(body)})
			var got []string
			_, err := c.Fetch(t.Context(), Query{Path: path}, func(r Row) error {
				got = append(got, bound(r.LinesAt))
				if r.LinesAt.Location() != time.UTC {
					t.Errorf("zone %s", r.LinesAt.Location())
				}
				return nil
			})
			if err != nil || strings.Join(got, " ") != want {
				t.Errorf("%s: got %v, %v; want %s", path, got, err, want)
			}
		}
	})
}

func TestRepeatsOfAJoinArePassedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		page := func(times ...int) string {
			var rows []string
			for i, n := range times {
				row := fmt.Sprintf(`[{"id":%d,"invoice-lines":[{"updated-at":"2024-03-15T00:00:00Z"}]}]`, i+1)
				rows = append(rows, slices.Repeat([]string{row}, n)...)
			}
			return joined(rows...)
		}
		want := []int{2, 2, 2, 1, 2}
		c := newClient(t, &fake{api: pages(page(2, 1), page(1, 1), page(20, 30), page(50), page(20, 29))})
		q := Query{Path: "invoices", Lines: "invoice_lines", LinesFrom: march}
		for i, n := range want {
			ids, page, err := collect(t.Context(), c, q)
			if err != nil || len(ids) != n || page.Rows != n || page.Empty || page.LastID != int64(n) {
				t.Errorf("page %d: ids %v, %+v, %v; want %d", i, ids, page, err, n)
			}
		}
		if got := c.Stats().Rows; got != 9 {
			t.Errorf("%d rows counted, want those handed out", got)
		}
	})
}

func TestAPageOfIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		many := upTo(50)
		c := newClient(t, &fake{api: pages(array("2024-03-15T00:00:00Z", 2, 9), array("2024-03-15T00:00:00Z", many...), `[]`)})
		for _, tt := range []struct {
			ask  []int64
			want []int64
		}{{[]int64{9, 2, 4, 2}, []int64{2, 9}}, {many, many}, {[]int64{3}, nil}} {
			ids, page, err := collect(t.Context(), c, Query{Path: "invoices", IDs: tt.ask})
			if err != nil || page.Empty != (len(tt.want) == 0) || !slices.Equal(ids, tt.want) {
				t.Errorf("asked for %v: got %v, %+v, %v", tt.ask, ids, page, err)
			}
		}
	})
}

func TestWalkGoesOnAfterTheRowsThatWereTaken(t *testing.T) {
	t.Parallel()
	cut := array("2024-01-01T00:00:00Z", 4, 6, 9)
	tests := []struct {
		name string
		body io.Reader
		says string
	}{
		{"a body that is cut off inside a row", strings.NewReader(cut[:len(cut)-10]), "cut off"},
		{"a body without its bracket", strings.NewReader(cut[:len(cut)-1]), "cut off"},
		{"a connection that is reset", io.MultiReader(strings.NewReader(cut[:len(cut)-5]), iotest.ErrReader(errors.New("connection reset by peer"))), "connection reset"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, &fake{api: func(int, *http.Request) *http.Response {
					res := answer(200, ``)
					res.Body = io.NopCloser(iotest.OneByteReader(tt.body))
					return res
				}})
				ids, page, err := collect(t.Context(), c, Query{Path: "invoices", After: 2})
				var e *Error
				if !errors.As(err, &e) || !e.Temporary() || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, want a temporary error that says %q", err, tt.says)
				}
				if len(ids) < 2 || page.LastID != ids[len(ids)-1] || page.Empty {
					t.Errorf("took %v, page %+v", ids, page)
				}
			})
		})
	}
}

func TestARowThatIsNotJSONIsBadAndNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		body := array("2024-01-01T00:00:00Z", 4, 6, 9)
		c := newClient(t, &fake{api: pages(body[:len(body)-10] + "\n<html>")})
		_, page, err := collect(t.Context(), c, Query{Path: "invoices", After: 2})
		if KindOf(err) != BadRow || err == nil || !strings.Contains(err.Error(), "the row after id 6") || strings.Contains(err.Error(), "html") {
			t.Errorf("got %v, want a bad row after id 6 without its text", err)
		}
		if page.LastID != 6 || page.Empty {
			t.Errorf("page %+v", page)
		}
	})
}

func TestTextAfterTheArrayIsAnError(t *testing.T) {
	t.Parallel()
	for _, tail := range []string{"x", "[]", ",", "]"} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, &fake{api: pages(array("2024-01-01T00:00:00Z", 1) + " " + tail)})
			if _, page, err := collect(t.Context(), c, Query{Path: "invoices"}); err == nil || page.Empty {
				t.Errorf("page %+v with %q after it passed", page, tail)
			}
		})
	}
}

func TestABodyThatIsCutAfterItsBracketIsNotWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, &fake{api: func(int, *http.Request) *http.Response {
			res := answer(200, ``)
			// What gzip without its trailer gives: all of the text, and no checksum for it.
			res.Body = io.NopCloser(io.MultiReader(strings.NewReader(`[{"id":1}]`), iotest.ErrReader(io.ErrUnexpectedEOF)))
			return res
		}})
		if _, page, err := collect(t.Context(), c, Query{Path: "invoices"}); err == nil || KindOf(err) != Retry || page.Empty || page.LastID != 1 {
			t.Errorf("page %+v, %v", page, err)
		}
	})
}

func TestErrorOfYieldEndsTheRequestAndComesBackAsItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		closed := false
		c := newClient(t, &fake{api: func(int, *http.Request) *http.Response {
			res := answer(200, array("2024-01-01T00:00:00Z", 1, 2, 3))
			res.Body = closer{res.Body, &closed}
			return res
		}})
		for _, want := range []error{errors.New("full"), io.EOF, errShort, errNoArray} {
			page, err := c.Fetch(t.Context(), Query{Path: "invoices"}, func(r Row) error {
				if r.ID == 2 {
					return want
				}
				return nil
			})
			if err != want || page.Rows != 1 || page.LastID != 1 || !closed {
				t.Errorf("got %v, page %+v, closed %t; want %v after one row", err, page, closed, want)
			}
		}
	})
}

type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error { *c.closed = true; return nil }

func TestEndOfTheCallersContextIsPassedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, &fake{api: func(_ int, r *http.Request) *http.Response {
			res := answer(200, ``)
			res.Body = io.NopCloser(stalled{r.Context()})
			return res
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, _, err := collect(ctx, c, Query{Path: "invoices"})
		var e *Error
		if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}

// stalled is a body of which nothing more comes.
type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func TestSilenceEndsARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		c := newClient(t, f)
		f.start(t, c)
		pass(time.Minute)
		check := func(what string) {
			began := time.Now()
			_, _, err := collect(t.Context(), c, Query{Path: "invoices"})
			if took := time.Since(began); took != time.Minute || KindOf(err) != Retry || !strings.Contains(fmt.Sprint(err), "coupa.request.timeout.ms") {
				t.Errorf("%s: %v after %s, want a temporary error after 1m", what, err, took)
			}
		}
		f.api = func(_ int, r *http.Request) *http.Response {
			res := answer(200, ``)
			res.Body = io.NopCloser(stalled{r.Context()})
			return res
		}
		check("a body that does not come")
		c.http.Transport = silent{}
		check("a header that does not come")
	})
}

type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestSlowBodyThatMovesIsNotCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rows := array("2024-01-01T00:00:00Z", upTo(40)...)
		rows = strings.ReplaceAll(rows, `Z"}`, `Z","text":"`+strings.Repeat("x", 40_000)+`"}`)
		f := &fake{api: func(_ int, r *http.Request) *http.Response {
			res := answer(200, ``)
			res.Body = io.NopCloser(slow{r.Context(), strings.NewReader(rows), 30 * time.Second, 42_000})
			return res
		}}
		c := newClient(t, f)
		began := time.Now()
		page, err := c.Fetch(t.Context(), Query{Path: "invoices"}, func(Row) error {
			pass(5 * time.Minute) // the time that yield takes is not Coupa's
			return nil
		})
		if took := time.Since(began); err != nil || page.Rows != 40 || took < 40*5*time.Minute+15*time.Minute {
			t.Errorf("page %+v after %s: %v", page, took, err)
		}
	})
}

func TestABodyThatDripsIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body  string
		every time.Duration
		piece int
		says  string
	}{
		"blanks before the array":   {strings.Repeat(" ", 10_000) + "[]", time.Second, 1, "the row after id 3: the answer drips: 120 bytes of it in 2m0s"},
		"blanks between rows":       {`[{"id":4}` + strings.Repeat(" ", 10_000) + "]", time.Second, 1, "the row after id 4: the answer drips"},
		"a row, just within a wait": {`[{"id":4},{"id":5,"a":"` + strings.Repeat("x", 10_000), 59 * time.Second, 7, "the row after id 4"},
		"a page, a little too slow": {array("2024-01-01T00:00:00Z", upTo(50)[3:]...) + strings.Repeat(" ", 1<<20), 30 * time.Second, 30_000, "drips: 120000 bytes of it in 2m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c *Client
				closed := false
				c = newClient(t, &fake{api: func(_ int, r *http.Request) *http.Response {
					res := answer(200, ``)
					res.Body = closer{slow{r.Context(), strings.NewReader(tt.body), tt.every, tt.piece}, &closed}
					return res
				}})
				if _, is := c.Underway("invoices"); is {
					t.Error("something is under way before anything was asked for")
				}
				go func() {
					pass(5*time.Second + tt.every + tt.every/2)
					e, is := c.Underway("invoices")
					if since := time.Since(e.Since); !is || !e.Answered || e.Bytes != int64(tt.piece) || e.Op != "reading invoices" || since != tt.every+tt.every/2 {
						t.Errorf("under way: %+v since %s", e, since)
					}
				}()
				began := time.Now()
				_, _, err := collect(t.Context(), c, Query{Path: "invoices", After: 3})
				if took := time.Since(began); KindOf(err) != Retry || !strings.Contains(fmt.Sprint(err), tt.says) || took > 4*time.Minute || !closed {
					t.Errorf("after %s: %v", took, err)
				}
				if e, is := c.Underway("invoices"); is {
					t.Errorf("still under way: %+v", e)
				}
			})
		})
	}
}

func TestTheRequestThatWentOutFirstIsTheOneWaitedFor(t *testing.T) {
	t.Parallel()
	var u underway
	first, second := u.add("a"), u.add("b")
	if e, is := u.longest(); !is || e.Op != "a" || e.Answered {
		t.Errorf("%+v", e)
	}
	u.remove(first)
	u.remove(first)
	if e, is := u.longest(); !is || e.Op != "b" {
		t.Errorf("%+v", e)
	}
	u.remove(second)
	if e, is := u.longest(); is {
		t.Errorf("%+v", e)
	}
}

// slow is a body of which a piece comes at a time, each after a while.
type slow struct {
	ctx   context.Context
	src   io.Reader
	every time.Duration
	piece int
}

func (s slow) Read(p []byte) (int, error) {
	select {
	case <-time.After(s.every):
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
	return s.src.Read(p[:min(s.piece, len(p))])
}

func TestQueriesThatCannotBeAskedCostNoRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		q    Query
		says string
	}{
		{"an empty path", Query{}, "resource path"},
		{"a path that climbs", Query{Path: "../setup"}, "resource path"},
		{"a path with a query", Query{Path: "invoices?limit=1"}, "resource path"},
		{"a window in fractions", Query{Path: "invoices", Window: Window{To: april.Add(time.Millisecond)}}, "whole seconds"},
		{"a negative id", Query{Path: "invoices", After: -1}, "negative"},
		{"a filter that sets the page's length", Query{Path: "invoices", Filter: url.Values{"limit": {"10"}}}, `"limit"`},
		{"a filter on the walk's own id", Query{Path: "invoices", Filter: url.Values{"id[gt]": {"10"}}}, `"id[gt]"`},
		{"lines that are not the resource's", Query{Path: "invoices", Lines: "order_lines", LinesFrom: march}, `which is "invoice_lines"`},
		{"lines of a resource without", Query{Path: "users", Lines: "user_lines", LinesFrom: march}, "not the collection of lines of users"},
		{"lines since no instant", Query{Path: "invoices", Lines: "invoice_lines"}, "needs the instant"},
		{"lines since a fraction", Query{Path: "invoices", Lines: "invoice_lines", LinesFrom: march.Add(1)}, "whole seconds"},
		{"lines without a collection", Query{Path: "invoices", LinesFrom: march}, "without naming"},
		{"lines in the filter too", Query{Path: "invoices", Lines: "invoice_lines", LinesFrom: march, Filter: url.Values{"invoice-lines[updated-at][gt_or_eq]": {"x"}}}, "needs itself"},
		{"more ids than a page holds", Query{Path: "invoices", IDs: upTo(51)}, "51 ids"},
		{"ids after an id", Query{Path: "invoices", IDs: upTo(2), After: 1}, "leave one out"},
		{"ids through an id", Query{Path: "invoices", IDs: upTo(2), Through: 1}, "leave one out"},
		{"an id of zero", Query{Path: "invoices", IDs: []int64{1, 0}}, "id 0 was asked for"},
		{"ids in the filter too", Query{Path: "invoices", IDs: upTo(2), Filter: url.Values{"id[in]": {"1"}}}, "needs itself"},
		{"a priority that there is not", Query{Path: "invoices", Priority: 4}, "no priority 4"},
		{"a filter on the window with dashes", Query{Path: "invoices", Filter: url.Values{"updated-at[lt]": {"x"}}}, `"updated-at[lt]"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			c := newClient(t, f)
			_, _, err := collect(t.Context(), c, tt.q)
			if KindOf(err) != Misconfigured || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
			if _, err := c.MaxID(t.Context(), tt.q); KindOf(err) != Misconfigured {
				t.Errorf("MaxID: got %v", err)
			}
			if f.calls+f.mints != 0 {
				t.Errorf("%d requests were sent", f.calls+f.mints)
			}
		})
	}
}

func TestMaxID(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		q    Query
		body string
		want int64
		kind Kind
		fail bool
	}{
		{"the highest id", Query{}, `[{"id":77}]`, 77, 0, false},
		{"no row", Query{}, `[]`, 0, 0, false},
		{"a row that was left out of the first answer", Query{}, `[] then [{"id":76},{"id":75}]`, 76, 0, false},
		{"rows from the lowest up", Query{}, `[] then [{"id":75},{"id":76}]`, 76, 0, false},
		{"more than a page", Query{}, `[] then ` + array("2024-03-15T00:00:00Z", upTo(51)...), 0, Broken, true},
		{"two rows", Query{}, `[{"id":77},{"id":78}]`, 0, Broken, true},
		{"an id outside the range", Query{Through: 76}, `[{"id":77}]`, 0, Broken, true},
		{"no id", Query{}, `[{}]`, 0, Broken, true},
		{"a cut body", Query{}, `[{"id":77}`, 0, Retry, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked url.Values
				var limits []string
				bodies := strings.Split(tt.body, " then ")
				c := newClient(t, &fake{api: func(n int, r *http.Request) *http.Response {
					asked = r.URL.Query()
					limits = append(limits, asked.Get("limit"))
					return answer(200, bodies[min(n, len(bodies))-1], "Date", afterApril)
				}})
				tt.q.Path, tt.q.Window, tt.q.Filter = "invoices", Window{To: april}, url.Values{"status": {"new"}}
				got, err := c.MaxID(t.Context(), tt.q)
				if got != tt.want || (err != nil) != tt.fail || err != nil && KindOf(err) != tt.kind {
					t.Errorf("got %d, %v", got, err)
				}
				if want := []string{"1", "50"}; !slices.Equal(limits, want[:len(limits)]) || (len(limits) == 2) != strings.HasPrefix(tt.body, "[]") {
					t.Errorf("asked for %v rows", limits)
				}
				for key, want := range map[string]string{"order_by": "id", "dir": "desc", "fields": `["id"]`, "status": "new", "updated_at[lt]": "2024-04-01T00:00:00Z"} {
					if asked.Get(key) != want {
						t.Errorf("%s is %q, want %q", key, asked.Get(key), want)
					}
				}
			})
		})
	}
}
