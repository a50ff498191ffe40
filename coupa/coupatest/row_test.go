package coupatest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRowsLookAsCoupaSendsThem(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 3, Rows: 300, Epoch: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)})
	seen := map[string]int{}
	for _, object := range Resources() {
		for _, row := range tenant.Rows(object) {
			if !json.Valid(row.JSON) {
				t.Fatalf("%s %d is not JSON: %.300s", object, row.ID, row.JSON)
			}
			text := string(row.JSON)
			for name, pattern := range map[string]string{
				"summer offset":     `T\d\d:\d\d:\d\d-07:00"`,
				"winter offset":     `T\d\d:\d\d:\d\d-08:00"`,
				"nested stamp in Z": `T\d\d:\d\d:\d\dZ"`,
				"decimal string":    `"total":"-?\d+\.\d+"`,
				"float":             `"retention-percent":-?\d+\.\d`,
				"float in e form":   `:1\.0e-05`,
				"due date":          `-due-date":"[^"]*T23:59:59`,
				"calendar date":     `-date":"[^"]*T00:00:00`,
				"null":              `:null`,
				"blank association": `:""`,
				"empty list":        `:\[\]`,
				"custom fields":     `"custom-fields":{`,
				"lookup":            `"cost_center":{"id"`,
				"global namespace":  `"gpo-entity":"`,
				"another script":    `株式会社`,
				"escaped HTML":      `\\u003cp\\u003e`,
			} {
				if regexp.MustCompile(pattern).MatchString(text) {
					seen[name]++
				}
			}
			if bad := regexp.MustCompile(`T\d\d:\d\d:\d\d\.`).FindString(text); bad != "" {
				t.Errorf("%s %d has a fraction of a second: %s", object, row.ID, bad)
			}
		}
	}
	if len(seen) != 16 {
		t.Errorf("not every form occurs: %v", seen)
	}
}

func TestTheSameSeedMakesTheSameRows(t *testing.T) {
	t.Parallel()
	cfg := Config{Seed: 9, Rows: 40, Epoch: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}
	a, b := New(cfg), New(cfg)
	cfg.Seed = 10
	other := New(cfg)
	for _, object := range Resources() {
		x, y, z := a.Rows(object), b.Rows(object), other.Rows(object)
		if jsonText(x) != jsonText(y) {
			t.Errorf("%s: two tenants of one seed differ", object)
		}
		if jsonText(x) == jsonText(z) {
			t.Errorf("%s: tenants of two seeds do not differ", object)
		}
	}
}

func TestRunTakesTheSameCourseForOneSeed(t *testing.T) {
	t.Parallel()
	course := func() (out string) {
		synctest.Test(t, func(t *testing.T) {
			tenant := New(Config{Seed: 4, Rows: 20, ChangesPerSecond: 50})
			runFor(t, tenant, 10*time.Second)
			for _, object := range Resources() {
				out += jsonText(tenant.Versions(object))
			}
		})
		return out
	}
	if first, second := course(), course(); first != second {
		t.Error("two runs of one seed differ")
	}
}

func TestFieldsCutsAPayload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 20})
		for _, c := range []struct{ about, fields, want string }{
			{"two names", `["id","updated_at"]`, `^\{"id":\d+,"updated-at":"[^"]+"\}$`},
			{"names with dashes", `["updated-at"]`, `^\{"updated-at":"[^"]+"\}$`},
			{"an association", `["id",{"supplier":["id","name"]}]`, `^\{"id":\d+,"supplier":\{"id":\d+,"name":"[^"]+"\}\}$`},
			{"lines", `[{"invoice_lines":["id","line_num"]}]`, `^\{"invoice-lines":\[(\{"id":\d+,"line-num":\d\},?)+\]\}$`},
			{"three levels", `[{"invoice_lines":[{"currency":["code"]}]}]`, `^\{"invoice-lines":\[(\{"currency":\{"code":"[A-Z]+"\}\},?)+\]\}$`},
			{"all custom fields", `["id",{"custom_fields":{}}]`, `^\{"id":\d+(,"custom-fields":(null|\{"cf-erp-number":"ERP-.*\}))?\}$`},
			{"one custom field", `[{"custom_fields":["cost_center"]}]`, `^\{("custom-fields":(null|\{("cost_center":.*)?\}))?\}$`},
			{"a name that is not there", `["id","colour"]`, `^\{"id":\d+\}$`},
		} {
			for _, row := range r.page("invoices", "fields", c.fields) {
				if !regexp.MustCompile(c.want).Match(row.JSON) {
					t.Errorf("%s: %s", c.about, row.JSON)
					break
				}
			}
		}
		// What `fields` leaves in is what the full payload has.
		for i, row := range r.page("invoices", "fields", leanFields(r.tenant.tables["invoices"].shape)) {
			full := members(t, r.page("invoices")[i].JSON)
			for name, value := range members(t, row.JSON) {
				if _, scalar := full[name].(string); scalar && value != full[name] {
					t.Errorf("%s of %d is %v with fields and %v without", name, row.ID, value, full[name])
				}
			}
		}
	})
}

func TestAChangeOfALineLeavesTheHeadersStamp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 10})
		for _, c := range []struct{ object, lines string }{
			{"invoices", "invoice_lines"}, {"purchase_orders", "order_lines"}, {"requisitions", "requisition_lines"},
			{"expense_reports", "expense_lines"}, {"contracts", "contract_terms"}, {"suppliers", "remit_to_addresses"},
		} {
			<-time.After(time.Minute)
			before := r.page(c.object, "id", "4")[0]
			at := time.Now()
			r.tenant.UpdateLine(c.object, 4)
			after := r.page(c.object, "id", "4")[0]
			if !after.UpdatedAt.Equal(before.UpdatedAt) || string(after.JSON) == string(before.JSON) {
				t.Errorf("%s: stamp %v then %v, content changed: %v", c.object, before.UpdatedAt, after.UpdatedAt, string(after.JSON) != string(before.JSON))
			}
			if rows := r.page(c.object, "updated_at[gt_or_eq]", stamp(at)); len(rows) != 0 {
				t.Errorf("%s: the header is in the window of its line", c.object)
			}
			if rows := r.page(c.object, c.lines+"[updated_at][gt_or_eq]", stamp(at)); len(rows) != 1 || rows[0].ID != 4 {
				t.Errorf("%s: the line's window has %v", c.object, ids(rows))
			}
		}
		if v := r.tenant.UpdateLine("users", 4); v.ID != 0 {
			t.Error("a user has no lines to change")
		}
	})
}

func TestALateRowIsSeenAfterItsStamp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: -1, Objects: []string{"users"}})
		v := r.tenant.CreateLate("users", 3*time.Second)
		if rows := r.page("users"); len(rows) != 0 {
			t.Fatalf("seen at once: %v", ids(rows))
		}
		next := r.tenant.Update("users", v.ID)
		if next.VisibleAt.Before(v.VisibleAt) {
			t.Errorf("version %d is visible before %d", next.Seq, v.Seq)
		}
		if !r.tenant.SettledAt().Equal(v.VisibleAt) {
			t.Errorf("settled at %v, want %v", r.tenant.SettledAt(), v.VisibleAt)
		}
		<-time.After(3 * time.Second)
		rows := r.page("users")
		if len(rows) != 1 || !rows[0].UpdatedAt.Before(time.Now().Add(-2*time.Second)) || string(rows[0].JSON) != string(next.JSON) {
			t.Errorf("three seconds later: %v", ids(rows))
		}
	})
}

func TestALateChangeIsSeenAfterItsStamp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 10, Objects: []string{"purchase_orders"}})
		<-time.After(time.Minute)
		since := stamp(time.Now())
		for _, c := range []struct {
			about     string
			change    func(object string, id int64, by time.Duration) Version
			id        int64
			condition string
		}{
			{"a header", r.tenant.UpdateLate, 3, "updated_at[gt_or_eq]"},
			{"a line", r.tenant.UpdateLineLate, 4, "order_lines[updated_at][gt_or_eq]"},
		} {
			id := jsonText(c.id)
			before := r.page("purchase_orders", "id", id)[0]
			v := c.change("purchase_orders", c.id, 5*time.Second)
			if !v.VisibleAt.Equal(time.Now().Add(5 * time.Second)) {
				t.Errorf("%s: made at %v, visible at %v", c.about, time.Now(), v.VisibleAt)
			}
			if now := r.page("purchase_orders", "id", id)[0]; string(now.JSON) != string(before.JSON) || len(r.page("purchase_orders", "id", id, c.condition, since)) != 0 {
				t.Errorf("%s: seen at once", c.about)
			}
			<-time.After(5 * time.Second)
			after := r.page("purchase_orders", "id", id, c.condition, since)
			if len(after) != 1 || string(after[0].JSON) == string(before.JSON) {
				t.Fatalf("%s: five seconds later: %v", c.about, ids(after))
			}
			if moved := !after[0].UpdatedAt.Equal(before.UpdatedAt); moved != (c.about == "a header") {
				t.Errorf("%s: the header's stamp moved: %v", c.about, moved)
			}
		}
	})
}

func TestRowsByHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 10, Objects: []string{"invoices"}})
		<-time.After(time.Minute)
		now := time.Now()
		v := r.tenant.SetMember("invoices", 5, "shoe-size", `{"eu":"44","uk":null}`)
		r.tenant.SetMember("invoices", 5, "status", `""`)
		row := r.page("invoices", "updated_at[gt_or_eq]", stamp(now))[0]
		if v.ID != 5 || row.ID != 5 || !strings.Contains(string(row.JSON), `"shoe-size":{"eu":"44","uk":null}`) || strings.Count(string(row.JSON), `"status":""`) != 1 {
			t.Errorf("set members: %s", row.JSON)
		}
		if rows := r.page("invoices", "shoe_size[eu]", "44", "fields", `["id",{"shoe_size":["eu"]}]`); len(rows) != 1 || string(rows[0].JSON) != `{"id":5,"shoe-size":{"eu":"44"}}` {
			t.Errorf("by a member set by hand: %v", rows)
		}
		r.tenant.Update("invoices", 5)
		if row := r.page("invoices", "id", "5")[0]; !strings.Contains(string(row.JSON), `"shoe-size"`) {
			t.Error("a set member does not outlive an update")
		}
		raw := `{"id":6,"updated-at":"2031-01-01T00:00:00Z","total":12}`
		r.tenant.SetRaw("invoices", 6, []byte(raw))
		if rows := r.page("invoices", "updated_at[gt]", "2030-01-01T00:00:00Z", "fields", `["id"]`); len(rows) != 1 || string(rows[0].JSON) != raw {
			t.Errorf("a raw row: %v", rows)
		}
		r.tenant.SetRaw("invoices", 8, []byte(`{"id":8}`)) // an id that was left out
		if got := ids(r.page("invoices")); !slices.IsSorted(got) || !slices.Contains(got, 8) {
			t.Errorf("an inserted row: %v", got)
		}
		if !r.tenant.Delete("invoices", 5) || r.tenant.Delete("invoices", 5) {
			t.Error("a row can be deleted once")
		}
		if status, _, _ := r.do(http.MethodGet, "/api/invoices/5", nil, nil); status != 404 || slices.Contains(ids(r.page("invoices")), 5) {
			t.Error("a deleted row is still there")
		}
	})
}

func TestMarkingARowExported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 5})
		status, body, _ := r.do(http.MethodPut, "/api/purchase_orders/3?exported=true&fields="+`%5B%22id%22,%22exported%22%5D`, nil, nil)
		if status != 200 || string(body) != `{"id":3,"exported":true}` {
			t.Fatalf("%d %s", status, body)
		}
		if got := ids(r.page("purchase_orders", "exported", "true")); !slices.Equal(got, []int64{3}) {
			t.Errorf("exported: %v", got)
		}
		r.tenant.Update("purchase_orders", 3)
		if got := ids(r.page("purchase_orders", "exported", "true")); len(got) != 0 {
			t.Errorf("a new version of an order is still exported: %v", got)
		}
		r.do(http.MethodPut, "/api/invoices/3?exported=true", nil, nil)
		for _, change := range []func(string, int64) Version{r.tenant.Update, r.tenant.UpdateLine} {
			change("invoices", 3)
			if got := ids(r.page("invoices", "exported", "false")); slices.Contains(got, 3) {
				t.Errorf("a change has taken the flag back: %v", got)
			}
		}
		r.tenant.ResetExported("invoices", 3)
		if got := ids(r.page("invoices", "exported", "false")); !slices.Contains(got, 3) {
			t.Errorf("the flag was taken back: %v", got)
		}
		r.token = r.mint(map[string][]string{"scope": {"core.invoice.read"}})
		if status, _, _ := r.do(http.MethodPut, "/api/invoices/3?exported=true", nil, nil); status != 403 {
			t.Errorf("marking with a scope to read: %d", status)
		}
	})
}

// A mark tells which version of its row was shown last to who looked by id among the rows without the flag.
func TestAMarkTellsWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 5})
		const object = "purchase_orders"
		r.page(object, "exported", "false")
		r.page(object, "id[in]", "3")
		if m := r.tenant.MarkExported(object, 3); m.Checked != 0 {
			t.Errorf("nobody has looked at it, and version %d was shown", m.Checked)
		}
		v := r.tenant.Update(object, 3)
		r.page(object, "id[in]", "2,3", "exported", "false")
		r.tenant.Update(object, 3)
		if m := r.tenant.MarkExported(object, 3); m.Checked != v.Seq {
			t.Errorf("version %d was shown last, the mark says %d", v.Seq, m.Checked)
		}
	})
}

func TestRowBytesSetsTheSizeOfRows(t *testing.T) {
	t.Parallel()
	for _, bytes := range []int{3000, 100_000, 2_000_000} {
		tenant := New(Config{Rows: 4, RowBytes: bytes})
		for _, object := range Resources() {
			tb, rows := tenant.current(object)
			pl, err := tenant.plan(tb, leanFields(tb.shape))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range rows {
				if n := len(tenant.rowJSON(tb, v, pl)); n < bytes*6/10 || n > bytes*16/10 {
					t.Errorf("%s %d of %d bytes has %d", object, v.id, bytes, n)
				}
			}
		}
	}
}
