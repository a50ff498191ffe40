package coupa_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// belowOthers runs a test on a tenant with contracts and their legal documents.
func belowOthers(t *testing.T, cfg coupatest.Config, test func(*testing.T, *coupatest.Tenant, *coupa.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Objects = []string{"contracts", "contracts/legal_documents"}
		tenant := coupatest.New(cfg)
		test(t, tenant, tenantClient(t, tenant.Transport()))
	})
}

// documents are the rows as they are to arrive, by id.
func documents(tenant *coupatest.Tenant) map[int64]string {
	all := map[int64]string{}
	for _, v := range tenant.Rows("contracts/legal_documents") {
		all[v.ID] = fmt.Sprintf(`{"%s":%d,%s`, coupa.ParentKey, v.Parent, v.JSON[1:])
	}
	return all
}

func TestRowsBelowOthersAreReadThroughThem(t *testing.T) {
	t.Parallel()
	belowOthers(t, coupatest.Config{Seed: 31, Rows: 230}, func(t *testing.T, tenant *coupatest.Tenant, c *coupa.Client) {
		for _, kind := range []coupatest.FaultKind{coupatest.Throttle429, coupatest.Truncate, coupatest.Hang, coupatest.Unauthorized401, coupatest.LoginPage} {
			tenant.Inject(coupatest.Fault{Kind: kind, Object: "contracts/legal_documents", After: 30})
		}
		got, reached := map[int64]string{}, int64(0)
		retries, err := walk(t.Context(), c, coupa.Query{Path: "contracts/legal_documents"}, func(r coupa.Row) error {
			if r.Reached() < reached || !json.Valid(r.JSON) {
				t.Errorf("after %d came id %d of %d: %s", reached, r.ID, r.Parent, r.JSON)
			}
			reached = r.Reached()
			got[r.ID] = string(r.JSON)
			return nil
		})
		if err != nil || retries == 0 {
			t.Fatalf("%d retries, %v", retries, err)
		}
		if want := documents(tenant); len(want) != 230 || !maps.Equal(got, want) {
			t.Errorf("got %d rows, want the %d that there are", len(got), len(want))
		}
		counts := tenant.RequestCounts()
		parents := map[int64]bool{} // of which a second request showed that nothing follows
		for _, v := range tenant.Rows("contracts/legal_documents") {
			parents[v.Parent] = true
		}
		if n := counts["contracts/legal_documents"]; n > 230+int64(len(parents)+2*retries)+5 {
			t.Errorf("%d requests for what is below 230 rows, %d of which have some", n, len(parents))
		}
		if got := c.Answers("contracts/legal_documents"); len(got) == 0 {
			t.Error("requests are not counted by their object")
		}
		if highest, err := c.MaxID(t.Context(), coupa.Query{Path: "contracts/legal_documents"}); err != nil || highest != tenant.Rows("contracts")[229].ID {
			t.Errorf("highest id %d, %v: want that of contracts", highest, err)
		}
	})
}

func TestAPageOfRowsBelowOthersCanBeAskedForByTheParentsIDs(t *testing.T) {
	t.Parallel()
	belowOthers(t, coupatest.Config{Seed: 32, Rows: 130}, func(t *testing.T, tenant *coupatest.Tenant, c *coupa.Client) {
		parent := tenant.Rows("contracts/legal_documents")[0].Parent
		var digest uint64
		for range 2 {
			page, err := c.Fetch(t.Context(), coupa.Query{Path: "contracts/legal_documents", IDs: []int64{parent}}, func(r coupa.Row) error {
				if r.Parent != parent || r.ID == 1 && r.Digest == digest {
					t.Errorf("id %d of %d", r.ID, r.Parent)
				}
				if r.ID == 1 {
					digest = r.Digest
				}
				return nil
			})
			if err != nil || page.Empty || page.LastID != parent || page.Rows == 0 || page.Bytes == 0 {
				t.Errorf("%+v, %v", page, err)
			}
			parent = tenant.Rows("contracts")[129].ID // another parent is another content
			tenant.SetParent("contracts/legal_documents", 1, parent)
		}
	})
}

func TestManyRowsBelowOneTakeSeveralPages(t *testing.T) {
	t.Parallel()
	belowOthers(t, coupatest.Config{Seed: 33, Rows: 200, PageCap: 20}, func(t *testing.T, tenant *coupatest.Tenant, c *coupa.Client) {
		parent := tenant.Rows("contracts")[3].ID
		for _, v := range tenant.Rows("contracts/legal_documents") {
			tenant.SetParent("contracts/legal_documents", v.ID, parent)
		}
		var ids []int64
		if _, err := walk(t.Context(), c, coupa.Query{Path: "contracts/legal_documents"}, func(r coupa.Row) error {
			ids = append(ids, r.ID)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(ids) != 200 || !slices.IsSorted(ids) {
			t.Errorf("%d rows: %v", len(ids), ids)
		}
	})
}

func TestAShortPageBelowAParentEndsNothing(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 7} {
		belowOthers(t, coupatest.Config{Seed: 33, Rows: 130}, func(t *testing.T, tenant *coupatest.Tenant, c *coupa.Client) {
			parent := tenant.Rows("contracts")[3].ID
			all := tenant.Rows("contracts/legal_documents")
			for _, v := range all {
				tenant.SetParent("contracts/legal_documents", v.ID, parent)
			}
			for _, n := range []int{3, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70} {
				tenant.LeaveOut("contracts/legal_documents", all[n].ID, -1)
			}
			rows := 0
			if _, err := walk(t.Context(), c, coupa.Query{Path: "contracts/legal_documents", Limit: limit}, func(coupa.Row) error {
				rows++
				return nil
			}); err != nil || rows != 118 {
				t.Errorf("limit %d: %d rows of 118: %v", limit, rows, err)
			}
		})
	}
}

// A parent that is deleted between the list and the request has no rows;
// a parent that is there, and has no such collection, is an error.
func TestAParentThatIsGoneHasNoRows(t *testing.T) {
	t.Parallel()
	belowOthers(t, coupatest.Config{Seed: 34, Rows: 60}, func(t *testing.T, tenant *coupatest.Tenant, c *coupa.Client) {
		gone := tenant.Rows("contracts/legal_documents")[0].Parent
		tenant.OnRequest(func(r coupatest.Request) {
			if r.Object == "contracts" {
				tenant.Delete("contracts", gone)
			}
		})
		want := 0
		for _, v := range tenant.Rows("contracts/legal_documents") {
			if v.Parent != gone {
				want++
			}
		}
		got := 0
		if _, err := walk(t.Context(), c, coupa.Query{Path: "contracts/legal_documents"}, func(coupa.Row) error { got++; return nil }); err != nil || got != want {
			t.Errorf("%d rows, %v, want %d", got, err, want)
		}
	})
	belowOthers(t, coupatest.Config{Seed: 34, Rows: 60}, func(t *testing.T, tenant *coupatest.Tenant, _ *coupa.Client) {
		c := tenantClient(t, answering(func(r *http.Request) *http.Response {
			if !strings.HasSuffix(r.URL.Path, "/legal_documents") {
				return nil
			}
			return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}, Body: http.NoBody, Request: r}
		}, tenant.Transport()))
		page, err := c.Fetch(t.Context(), coupa.Query{Path: "contracts/legal_documents", After: 5}, func(coupa.Row) error { return nil })
		if coupa.KindOf(err) != coupa.Misconfigured || page.LastID != 5 || page.Empty || !strings.Contains(err.Error(), "contracts/legal_documents of id 6") {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

// answering puts answers in place of those that next would give.
func answering(answer func(*http.Request) *http.Response, next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if res := answer(r); res != nil {
			return res, nil
		}
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRowsBelowOthersAreCheckedAndAskedForWhole(t *testing.T) {
	t.Parallel()
	belowOthers(t, coupatest.Config{Seed: 35, Rows: 200}, func(t *testing.T, tenant *coupatest.Tenant, c *coupa.Client) {
		parent := tenant.Rows("contracts")[0].ID
		for _, v := range tenant.Rows("contracts/legal_documents")[:9] {
			tenant.SetParent("contracts/legal_documents", v.ID, parent)
		}
		tenant.Inject(coupatest.Fault{Kind: coupatest.WrongOrder, Object: "contracts/legal_documents"})
		page, err := c.Fetch(t.Context(), coupa.Query{Path: "contracts/legal_documents"}, func(coupa.Row) error { return nil })
		if coupa.KindOf(err) != coupa.Broken || page.LastID != 0 {
			t.Errorf("%+v, %v", page, err)
		}
		for _, q := range []coupa.Query{
			{Window: coupa.Window{To: time.Unix(1e9, 0)}},
			{Filter: map[string][]string{"name": {"a"}}},
		} {
			q.Path = "contracts/legal_documents"
			if err := q.Check(); coupa.KindOf(err) != coupa.Misconfigured || !strings.Contains(err.Error(), "through contracts") {
				t.Errorf("%+v: %v", q, err)
			}
		}
		if bytes.Contains([]byte(fmt.Sprint(tenant.Requests())), []byte(coupa.ParentKey)) {
			t.Error("Coupa was asked for what it does not have")
		}
	})
}
