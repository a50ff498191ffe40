package coupa_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

func tenantClient(t *testing.T, way http.RoundTripper) *coupa.Client {
	t.Helper()
	c, err := coupa.New(coupa.Config{URL: "https://tenant.coupahost.com", ClientID: "id", ClientSecret: "secret", Transport: way, Limiter: coupa.NewLimiter(15)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// walk reads a window to its end, going on after each temporary error where it came to.
func walk(ctx context.Context, c *coupa.Client, q coupa.Query, yield func(coupa.Row) error) (retries int, err error) {
	var backoff coupa.Backoff
	for {
		page, err := c.Fetch(ctx, q, yield)
		q.After = page.LastID
		switch kind := coupa.KindOf(err); {
		case err == nil && page.Last:
			return retries, nil
		case err != nil && kind != coupa.Retry && kind != coupa.Throttled:
			return retries, err
		case err != nil:
			retries++
			<-time.After(backoff.Delay(retries, 0))
		}
	}
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
	for _, resource := range coupa.Resources() {
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
	for kind, want := range map[coupatest.FaultKind]coupa.Kind{
		coupatest.Forbidden403: coupa.Scope,
		coupatest.WrongOrder:   coupa.Broken,
		coupatest.RepeatRow:    coupa.Broken,
		coupatest.LongPage:     coupa.Broken,
		coupatest.IgnoreFilter: coupa.Broken,
		coupatest.ClockBack:    coupa.Retry,
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
