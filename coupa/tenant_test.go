package coupa_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

func tenantClient(t *testing.T, way http.RoundTripper) *coupa.Client {
	t.Helper()
	c, err := coupa.New(coupa.Config{URL: "https://tenant.coupahost.com", ClientID: "id", ClientSecret: "secret", Transport: way, Limiter: coupa.NewLimiter(15), RowBytes: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// walk reads a window to its end, going on after each temporary error where it came to.
func walk(ctx context.Context, c *coupa.Client, q coupa.Query, yield func(coupa.Row) error) (retries int, err error) {
	for {
		page, err := c.Fetch(ctx, q, yield)
		q.After = page.LastID
		switch kind := coupa.KindOf(err); {
		case err == nil && page.Empty:
			return retries, nil
		case err != nil && kind != coupa.Retry && kind != coupa.Throttled:
			return retries, err
		case err != nil:
			retries++
			<-time.After(time.Duration(retries) * time.Second)
		}
	}
}

// served are the collections that a simulated tenant has.
func served(t *testing.T) []coupa.Resource {
	t.Helper()
	var all []coupa.Resource
	for _, path := range coupatest.Resources() {
		r, ok := coupa.LookupResource(path)
		if !ok {
			t.Fatalf("the catalogue has no %s", path)
		}
		all = append(all, r)
	}
	return all
}

// windowToNow is the window that a first poll reads.
func windowToNow(t *testing.T, c *coupa.Client) coupa.Window {
	t.Helper()
	now, err := c.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return coupa.Window{To: now.Truncate(time.Second)}
}

func TestWalkOfATenantInTroubleReadsEveryRowOnce(t *testing.T) {
	t.Parallel()
	for _, resource := range served(t) {
		t.Run(resource.Path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 230})
				c := tenantClient(t, tenant.Transport())
				window := windowToNow(t, c)
				for i, kind := range []coupatest.FaultKind{
					coupatest.Throttle429, coupatest.Unavailable503, coupatest.HTML503, coupatest.ServerError500, coupatest.LoginPage, coupatest.Reset,
					coupatest.Truncate, coupatest.Hang, coupatest.HangBody, coupatest.RedirectAway, coupatest.Unauthorized401, coupatest.Truncate,
				} {
					tenant.Inject(coupatest.Fault{Kind: kind, Object: resource.Path, After: i % 2})
				}
				read := map[int64]time.Time{}
				retries, err := walk(t.Context(), c, coupa.Query{Path: resource.Path, Window: window}, func(r coupa.Row) error {
					if _, twice := read[r.ID]; twice {
						t.Errorf("id %d came twice", r.ID)
					}
					read[r.ID] = r.UpdatedAt
					return nil
				})
				if err != nil || retries < 8 {
					t.Fatalf("%d retries, %v", retries, err)
				}
				rows := tenant.Rows(resource.Path)
				if len(rows) < 230 || len(read) != len(rows) {
					t.Errorf("read %d of %d rows", len(read), len(rows))
				}
				for _, row := range rows {
					if !read[row.ID].Equal(row.UpdatedAt) {
						t.Errorf("id %d: updated at %s, read %s", row.ID, row.UpdatedAt, read[row.ID])
					}
				}
				if highest, err := c.MaxID(t.Context(), coupa.Query{Path: resource.Path, Window: window}); err != nil || highest != rows[len(rows)-1].ID {
					t.Errorf("highest id %d, %v", highest, err)
				}
			})
		})
	}
}

func TestFaultsOfATenantAreClassed(t *testing.T) {
	t.Parallel()
	for kind, want := range map[coupatest.FaultKind]coupa.Kind{
		coupatest.Forbidden403: coupa.Scope,
		coupatest.WrongOrder:   coupa.Broken,
		coupatest.RepeatRow:    coupa.Broken,
		coupatest.LongPage:     coupa.Broken,
		coupatest.IgnoreFilter: coupa.Broken,
		coupatest.ClockBack:    coupa.Retry,
		coupatest.WebPage403:   coupa.Retry,
		coupatest.WebPage404:   coupa.Retry,
		coupatest.WebPage504:   coupa.Retry,
		coupatest.Drip:         coupa.Retry,
		coupatest.EndlessRow:   coupa.BadRow,
		coupatest.Blanks:       coupa.BadRow,
	} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 230})
				c := tenantClient(t, tenant.Transport())
				q := coupa.Query{Path: "invoices", Window: windowToNow(t, c), After: tenant.Rows("invoices")[20].ID}
				tenant.Inject(coupatest.Fault{Kind: kind, Object: "invoices"})
				_, err := c.Fetch(t.Context(), q, func(coupa.Row) error { return nil })
				if err == nil || coupa.KindOf(err) != want {
					t.Errorf("got %v of kind %v, want kind %v", err, coupa.KindOf(err), want)
				}
			})
		})
	}
}

func TestOddAnswersOfATenantAreTakenForWhatTheyAre(t *testing.T) {
	t.Parallel()
	for _, kind := range []coupatest.FaultKind{coupatest.ByteOrderMark, coupatest.ClockAhead, coupatest.Blanks} {
		synctest.Test(t, func(t *testing.T) {
			tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 30, Objects: []string{"users"}})
			c := tenantClient(t, tenant.Transport())
			tenant.Inject(coupatest.Fault{Kind: kind, Bytes: 100_000})
			page, err := c.Fetch(t.Context(), coupa.Query{Path: "users"}, func(coupa.Row) error { return nil })
			if err != nil || page.Rows != 30 {
				t.Errorf("%s: %+v, %v", kind, page, err)
			}
		})
	}
}

func TestRequestsOfATenantFitItsGateway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 200, Objects: []string{"users"}, MaxLine: coupa.MaxLine})
		c := tenantClient(t, tenant.Transport())
		q := coupa.Query{Path: "users", Fields: `["id"` + strings.Repeat(`,"login"`, 650) + "]"}
		for _, row := range tenant.Rows("users") {
			q.IDs = append(q.IDs, row.ID)
		}
		read, requests := 0, 0
		for all := q.IDs; len(all) > 0; requests++ {
			q.IDs = all
			n := c.Fits(q)
			q.IDs, all = all[:n], all[n:]
			page, err := c.Fetch(t.Context(), q, func(coupa.Row) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			read += page.Rows
		}
		if read != 200 || requests < 6 || requests > 30 {
			t.Errorf("%d rows in %d requests", read, requests)
		}
	})
}

// A body that is small on the wire and huge when it is unpacked ends where its bound is.
func TestACompressedBodyOfGigabytesIsGivenUp(t *testing.T) {
	t.Parallel()
	tenant := coupatest.New(coupatest.Config{Rows: 2, RateLimit: -1, TokenHold: -1, Objects: []string{"users"}})
	server := httptest.NewServer(tenant)
	defer server.Close()
	c, err := coupa.New(coupa.Config{URL: server.URL, ClientID: "id", ClientSecret: "secret", TokenHold: time.Nanosecond, RowBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for kind, says := range map[coupatest.FaultKind]string{coupatest.Blanks: "white space", coupatest.EndlessRow: "the 4194304 bytes of row.max.bytes"} {
		tenant.Inject(coupatest.Fault{Kind: kind})
		page, err := c.Fetch(t.Context(), coupa.Query{Path: "users"}, func(coupa.Row) error { return nil })
		if coupa.KindOf(err) != coupa.BadRow || !strings.Contains(err.Error(), says) || page.Bytes > 10<<20 {
			t.Errorf("%s: %+v, %v", kind, page, err)
		}
	}
}

func TestATokenEndpointOfATenantThatHangsIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tenant := coupatest.New(coupatest.Config{Rows: 2, Objects: []string{"users"}})
		c := tenantClient(t, tenant.Transport())
		tenant.Inject(coupatest.Fault{Kind: coupatest.Hang, Object: coupatest.TokenRequests, Count: -1})
		began := time.Now()
		for range 20 {
			if err := c.CheckToken(t.Context()); coupa.KindOf(err) != coupa.Retry || err == nil {
				t.Errorf("got %v", err)
			}
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("twenty objects, one after the other, waited for %s", took)
		}
	})
}

func TestTheHighestIDOfATenantIsFoundBelowRowsThatItLeavesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 60, Objects: []string{"users"}})
		c := tenantClient(t, tenant.Transport())
		rows := tenant.Rows("users")
		for hidden := range 49 {
			tenant.LeaveOut("users", rows[59-hidden].ID, -1)
			if got, err := c.MaxID(t.Context(), coupa.Query{Path: "users"}); err != nil || got != rows[58-hidden].ID {
				t.Errorf("%d rows left out: %d, %v, want %d", hidden+1, got, err, rows[58-hidden].ID)
			}
		}
	})
}

func TestAShortPageEndsNoWalk(t *testing.T) {
	t.Parallel()
	for name, times := range map[string]int{"once": 1, "always": -1} {
		t.Run("a row is left out "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 130, Objects: []string{"users"}})
				c := tenantClient(t, tenant.Transport())
				rows := tenant.Rows("users")
				hidden := rows[60].ID
				tenant.LeaveOut("users", hidden, times)
				var got, want []int64
				for _, row := range rows {
					if row.ID != hidden {
						want = append(want, row.ID)
					}
				}
				if _, err := walk(t.Context(), c, coupa.Query{Path: "users"}, func(r coupa.Row) error {
					got = append(got, r.ID)
					return nil
				}); err != nil || !slices.Equal(got, want) {
					t.Errorf("read %d rows of %d: %v", len(got), len(want), err)
				}
				if n := tenant.RequestCounts()["users"]; n != 4 {
					t.Errorf("%d requests for three pages and the empty one", n)
				}
			})
		})
	}
	t.Run("lines count for the limit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: -1, Objects: []string{"invoices"}, CollapseParents: true})
			c := tenantClient(t, tenant.Transport())
			since := windowToNow(t, c).To
			for range 60 {
				tenant.Create("invoices", coupatest.Lines(5))
			}
			<-time.After(time.Minute)
			n := 0
			q := coupa.Query{Path: "invoices", Window: windowToNow(t, c), Lines: "invoice_lines", LinesFrom: since}
			if _, err := walk(t.Context(), c, q, func(coupa.Row) error { n++; return nil }); err != nil || n != 60 {
				t.Errorf("read %d of 60 rows whose lines have changed: %v", n, err)
			}
		})
	})
}

// newestLine is the newest updated-at of a row's lines as encoding/json reads it; zero when there is none.
func newestLine(t *testing.T, lines string, row []byte) (newest time.Time) {
	t.Helper()
	members := map[string]json.RawMessage{}
	var list []struct {
		UpdatedAt time.Time `json:"updated-at"`
	}
	if err := json.Unmarshal(row, &members); err != nil {
		t.Fatal(err)
	}
	if raw := members[strings.ReplaceAll(lines, "_", "-")]; raw != nil {
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range list {
		if line.UpdatedAt.After(newest) {
			newest = line.UpdatedAt
		}
	}
	return newest
}

func TestRowsOfATenantTellTheirNewestLine(t *testing.T) {
	t.Parallel()
	for _, resource := range served(t) {
		t.Run(resource.Path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 60, Objects: []string{resource.Path}})
				c := tenantClient(t, tenant.Transport())
				tenant.Create(resource.Path, coupatest.Lines(0))
				stamped := 0
				_, err := walk(t.Context(), c, coupa.Query{Path: resource.Path}, func(r coupa.Row) error {
					if want := newestLine(t, resource.Lines, r.JSON); !r.LinesAt.Equal(want) {
						t.Errorf("id %d: newest line of %s, want %s", r.ID, r.LinesAt, want)
					}
					if !r.LinesAt.IsZero() {
						stamped++
					}
					return nil
				})
				if want := map[bool]int{true: 0, false: 60}[resource.Lines == ""]; err != nil || stamped != want {
					t.Errorf("%d rows with lines, want %d: %v", stamped, want, err)
				}
			})
		})
	}
}

func TestWalkByLinesReadsEachParentOnce(t *testing.T) {
	t.Parallel()
	for _, repeat := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 150, Objects: []string{"purchase_orders"}, RepeatParents: repeat})
			c := tenantClient(t, tenant.Transport())
			since := windowToNow(t, c).To
			<-time.After(time.Minute)
			for i, row := range tenant.Rows("purchase_orders") {
				if i%4 == 0 {
					tenant.UpdateLine("purchase_orders", row.ID)
				}
			}
			for n := range 30 {
				tenant.Create("purchase_orders", coupatest.Lines(n%9))
			}
			<-time.After(time.Minute)
			end := windowToNow(t, c).To
			tenant.Update("purchase_orders", 1) // leaves the window of headers
			var want, got []int64
			for _, row := range tenant.Rows("purchase_orders") {
				if !newestLine(t, "order_lines", row.JSON).Before(since) && row.UpdatedAt.Before(end) {
					want = append(want, row.ID)
				}
			}
			for i, kind := range []coupatest.FaultKind{coupatest.Truncate, coupatest.Reset, coupatest.Truncate} {
				tenant.Inject(coupatest.Fault{Kind: kind, After: i})
			}
			q := coupa.Query{Path: "purchase_orders", Window: coupa.Window{To: end}, Lines: "order_lines", LinesFrom: since}
			_, err := walk(t.Context(), c, q, func(r coupa.Row) error {
				got = append(got, r.ID)
				return nil
			})
			if err != nil || len(want) < 60 || !slices.Equal(got, want) {
				t.Errorf("repeats %t: got %v, %v\nwant %v", repeat, got, err, want)
			}
			tenant.Inject(coupatest.Fault{Kind: coupatest.IgnoreFilter})
			if _, err := c.Fetch(t.Context(), q, func(coupa.Row) error { return nil }); coupa.KindOf(err) != coupa.Broken {
				t.Errorf("an ignored condition: got %v", err)
			}
		})
	}
}

func TestRowsOfATenantByID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 60, Objects: []string{"users"}})
		c := tenantClient(t, tenant.Transport())
		tenant.Delete("users", 5)
		var got []int64
		q := coupa.Query{Path: "users", IDs: []int64{9, 5, 3, 4000}}
		page, err := c.Fetch(t.Context(), q, func(r coupa.Row) error {
			got = append(got, r.ID)
			return nil
		})
		if err != nil || page.Empty || !slices.Equal(got, []int64{3, 9}) {
			t.Errorf("got %v, %+v, %v", got, page, err)
		}
		tenant.Inject(coupatest.Fault{Kind: coupatest.IgnoreFilter})
		if _, err := c.Fetch(t.Context(), q, func(coupa.Row) error { return nil }); coupa.KindOf(err) != coupa.Broken {
			t.Errorf("an ignored list: got %v", err)
		}
	})
}

func TestAnObjectWithoutItsScopeFailsByItself(t *testing.T) {
	t.Parallel()
	for _, fallBack := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			tenant := coupatest.New(coupatest.Config{Rows: 3, ClientID: "id", ClientSecret: "secret", Scopes: []string{"core.invoice.read"}})
			c, err := coupa.New(coupa.Config{
				URL: "https://tenant.coupahost.com", ClientID: "id", ClientSecret: "secret", Transport: tenant.Transport(),
				Scopes: []string{"core.invoice.read", "core.user.read"}, AnyScope: fallBack,
			})
			if err != nil {
				t.Fatal(err)
			}
			id, err := c.MaxID(t.Context(), coupa.Query{Path: "invoices"})
			if granted := err == nil && id > 0; granted != fallBack {
				t.Errorf("AnyScope %v: invoices: id %d, %v", fallBack, id, err)
			}
			if _, err := c.MaxID(t.Context(), coupa.Query{Path: "users"}); coupa.KindOf(err) != coupa.Scope || !strings.Contains(err.Error(), "core.user.read") {
				t.Errorf("AnyScope %v: users: %v, want the missing scope", fallBack, err)
			}
		})
	}
}

// TestAClientFindsWhatATenantGrants reads side by side as a backfill
// does, for three minutes, of which the last two count.
func TestAClientFindsWhatATenantGrants(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			tenant := coupatest.New(coupatest.Config{Rows: 1, Objects: []string{"users"}, TokenHold: -1, RateLimit: 12, RateWaits: waits, Latency: 100 * time.Millisecond})
			c, err := coupa.New(coupa.Config{URL: "https://tenant.coupahost.com", ClientID: "id", ClientSecret: "secret", Transport: tenant.Transport(), Limiter: coupa.NewAutoLimiter(25)})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for ctx.Err() == nil {
						if _, err := c.MaxID(ctx, coupa.Query{Path: "users", Priority: coupa.PriorityBackfill}); coupa.KindOf(err) == coupa.Throttled {
							<-time.After(time.Second)
						}
					}
				})
			}
			<-time.After(time.Minute)
			begin := c.Stats()
			<-time.After(2 * time.Minute)
			s := c.Stats()
			granted, refused := s.ByClass[2]-begin.ByClass[2], s.Throttled-begin.Throttled
			if granted < 12*120*93/100 || refused > granted/200 || waits && refused > granted/1000 {
				t.Errorf("waits %v: %d requests granted and %d refused in two minutes at 12 a second", waits, granted, refused)
			}
			if pace := c.Pace(); !pace.Auto || pace.Limit != 25 || pace.Current < 10 || pace.Current > 17 || !pace.Throttled.IsZero() {
				t.Errorf("waits %v: %+v", waits, pace)
			}
			wg.Wait()
		})
	}
}
