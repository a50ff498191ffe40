package coupatest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAWalkByIDReadsEveryRowOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 333})
		for _, object := range Resources() {
			rows := r.walk(object)
			if len(rows) != 333 || !slices.IsSorted(ids(rows)) {
				t.Fatalf("%s: %d rows, sorted %v", object, len(rows), slices.IsSorted(ids(rows)))
			}
			for i, want := range r.tenant.Rows(object) {
				if string(rows[i].JSON) != string(want.JSON) || !rows[i].UpdatedAt.Equal(want.UpdatedAt) {
					t.Fatalf("%s %d: page and Rows differ:\n%.400s\n%.400s", object, want.ID, rows[i].JSON, want.JSON)
				}
			}
		}
	})
}

func TestAPageHasAtMostFiftyRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 120, Objects: []string{"users"}})
		for _, c := range []struct {
			about string
			query []string
			rows  int
		}{
			{"without a limit", nil, 50},
			{"with a smaller limit", []string{"limit", "7"}, 7},
			{"with a larger limit", []string{"limit", "100"}, 50},
			{"with an offset", []string{"offset", "100"}, 20},
			{"with an offset past the end", []string{"offset", "1000"}, 0},
		} {
			if n := len(r.page("users", c.query...)); n != c.rows {
				t.Errorf("%s: %d rows, want %d", c.about, n, c.rows)
			}
		}
		first, second := r.page("users"), r.page("users", "offset", "50")
		if first[49].ID >= second[0].ID {
			t.Errorf("offset 50 begins at id %d, the page before it ends at %d", second[0].ID, first[49].ID)
		}
	})
}

func TestConditionsSelectWhatTheySay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 200, Objects: []string{"purchase_orders", "invoices"}})
		all := r.walk("purchase_orders")
		from, to := all[40].UpdatedAt, all[90].UpdatedAt
		if to.Before(from) {
			from, to = to, from
		}
		inside := func(at time.Time) bool { return !at.Before(from) && at.Before(to) }
		line := func(f fetched, ok func(at time.Time) bool) bool {
			lines, _ := members(t, f.JSON)["order-lines"].([]any)
			return slices.ContainsFunc(lines, func(l any) bool {
				at, _ := time.Parse(time.RFC3339, l.(map[string]any)["updated-at"].(string))
				return ok(at)
			})
		}
		text := func(f fetched, name string) string { return plain(members(t, f.JSON)[name]) }
		someStatus, somePO := text(all[3], "status"), text(all[9], "po-number")
		someSupplier := plain(members(t, all[5].JSON)["supplier"].(map[string]any)["id"])
		for _, c := range []struct {
			about string
			query []string
			want  func(f fetched) bool
		}{
			{"an id range", []string{"id[gt]", "50", "id[lt_or_eq]", "120"}, func(f fetched) bool { return f.ID > 50 && f.ID <= 120 }},
			{"ids from", []string{"id[gt_or_eq]", "50", "id[lt]", "60"}, func(f fetched) bool { return f.ID >= 50 && f.ID < 60 }},
			{"a list of ids", []string{"id[in]", "3,77,9"}, func(f fetched) bool { return f.ID == 3 || f.ID == 77 || f.ID == 9 }},
			{"one id", []string{"id", "9"}, func(f fetched) bool { return f.ID == 9 }},
			{"a window", []string{"updated_at[gt_or_eq]", stamp(from), "updated_at[lt]", stamp(to)}, func(f fetched) bool { return inside(f.UpdatedAt) }},
			{"a window with dashes and an offset", []string{"updated-at[gt_or_eq]", from.In(time.FixedZone("", 3600)).Format(time.RFC3339), "updated-at[lt]", stamp(to)}, func(f fetched) bool { return inside(f.UpdatedAt) }},
			{"an open window", []string{"updated_at[gt]", stamp(from)}, func(f fetched) bool { return f.UpdatedAt.After(from) }},
			{"creation", []string{"created_at[lt]", stamp(all[100].CreatedAt)}, func(f fetched) bool { return f.CreatedAt.Before(all[100].CreatedAt) }},
			{"a status", []string{"status", someStatus}, func(f fetched) bool { return text(f, "status") == someStatus }},
			{"some statuses", []string{"status[in]", "issued,closed"}, func(f fetched) bool { return text(f, "status") == "issued" || text(f, "status") == "closed" }},
			{"other statuses", []string{"status[not_in]", "issued,closed"}, func(f fetched) bool { return text(f, "status") != "issued" && text(f, "status") != "closed" }},
			{"a flag", []string{"exported", "false"}, func(f fetched) bool { return text(f, "exported") == "false" }},
			{"part of a text", []string{"po_number[ends_with]", somePO[4:]}, func(f fetched) bool { return strings.HasSuffix(text(f, "po-number"), somePO[4:]) }},
			{"a blank", []string{"ship_to_attention[blank]", "true"}, func(f fetched) bool { return text(f, "ship-to-attention") == "" }},
			{"a reference", []string{"supplier[id]", someSupplier}, func(f fetched) bool {
				return plain(members(t, f.JSON)["supplier"].(map[string]any)["id"]) == someSupplier
			}},
			{"lines in a window", []string{"order_lines[updated_at][gt_or_eq]", stamp(from), "order_lines[updated_at][lt]", stamp(to)}, func(f fetched) bool { return line(f, inside) }},
			{"all of several", []string{"order_lines[updated_at][gt_or_eq]", stamp(from), "id[gt]", "90", "exported", "false"}, func(f fetched) bool {
				return f.ID > 90 && line(f, func(at time.Time) bool { return !at.Before(from) })
			}},
		} {
			want := ids(slices.DeleteFunc(slices.Clone(all), func(f fetched) bool { return !c.want(f) }))
			if got := ids(r.walk("purchase_orders", c.query...)); !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", c.about, got, want)
			}
			var got []int64 // the same by pages of an offset, backwards
			for offset := 0; ; offset += 50 {
				page := ids(r.page("purchase_orders", append([]string{"dir", "desc", "offset", jsonText(offset)}, c.query...)...))
				if got = append(got, page...); len(page) == 0 {
					break
				}
			}
			if slices.Reverse(got); !slices.Equal(got, want) {
				t.Errorf("%s, descending: got %v, want %v", c.about, got, want)
			}
			if len(want) == 0 {
				t.Errorf("%s: the case selects nothing", c.about)
			}
		}
	})
}

func TestParentsAreRepeatedForEachLineThatFits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: -1, Objects: []string{"invoices"}, RepeatParents: true})
		old := r.tenant.Create("invoices", Lines(3))
		<-time.After(time.Minute)
		since := stamp(time.Now())
		r.tenant.UpdateLine("invoices", old.ID)
		for range 20 {
			r.tenant.Create("invoices", Lines(4))
		}
		r.tenant.Create("invoices", Lines(0))
		want := []int64{1}
		for id := int64(2); id <= 21; id++ {
			want = append(want, id, id, id, id)
		}
		condition := []string{"invoice_lines[updated_at][gt_or_eq]", since}
		if got := ids(r.page("invoices", condition...)); !slices.Equal(got, want[:50]) {
			t.Errorf("first page %v, want %v", got, want[:50])
		}
		if got := ids(r.page("invoices", append(condition, "offset", "50")...)); !slices.Equal(got, want[50:]) {
			t.Errorf("second page %v, want %v", got, want[50:])
		}
		if got := ids(r.page("invoices", append(condition, "id[gt]", "1", "limit", "6")...)); !slices.Equal(got, want[1:7]) {
			t.Errorf("page of six %v, want %v", got, want[1:7])
		}
		if got := ids(r.page("invoices", "updated_at[gt_or_eq]", since)); len(got) != 21 {
			t.Errorf("without a condition on lines: %v", got)
		}
	})
}

func TestQueriesThatCoupaRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 3})
		for _, c := range []struct {
			about, path, message string
			status               int
		}{
			{"an unknown attribute", path("invoices", "colour", "red"), "undefined attribute colour", 400},
			{"an unknown attribute of an association", path("invoices", "supplier[colour]", "red"), "undefined attribute supplier.colour", 400},
			{"an order by an unknown attribute", path("invoices", "order_by", "colour"), "undefined attribute colour", 400},
			{"a time that is none", path("invoices", "updated_at[gt]", "soon"), "cannot read the time", 400},
			{"fields that are no JSON", path("invoices", "fields", "id,status"), "not a JSON array", 400},
			{"a collection that is not there", path("colours"), "no resource", 404},
			{"a row that is not there", path("invoices/99999"), "no such", 404},
		} {
			status, body, _ := r.do(http.MethodGet, c.path, nil, nil)
			if status != c.status || !strings.Contains(string(body), c.message) || !strings.Contains(string(body), `{"errors":`) {
				t.Errorf("%s: %d %s", c.about, status, body)
			}
		}
	})
}

func TestATimeWhosePlusCameAsASpaceLosesItsOffset(t *testing.T) {
	t.Parallel()
	at, ok := instant("2026-03-01T10:00:00 05:00")
	if want := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC); !ok || !at.Equal(want) {
		t.Errorf("%v %v, want %v", at, ok, want)
	}
	at, ok = instant("2026-03-01")
	if want := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC); !ok || !at.Equal(want) {
		t.Errorf("%v %v, want %v", at, ok, want)
	}
}

func TestOrderByUpdatedAtBreaksNoTies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 30, Objects: []string{"users"}})
		r.tenant.Tie("users", 12)
		first := r.page("users", "order_by", "updated_at", "dir", "asc")
		second := r.page("users", "order_by", "updated_at", "dir", "asc")
		if !slices.IsSortedFunc(first, func(a, b fetched) int { return a.UpdatedAt.Compare(b.UpdatedAt) }) {
			t.Error("the page is not ordered by updated-at")
		}
		if a, b := ids(first)[30:], ids(second)[30:]; slices.Equal(a, b) || len(a) != 12 {
			t.Errorf("tied rows came in one order twice: %v, %v", a, b)
		}
	})
}

func TestARowThatIsUpdatedDuringAWalkLeavesItsWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 120, Objects: []string{"invoices"}})
		end := time.Now()
		<-time.After(time.Second)
		last := r.walk("invoices")[119].ID
		r.tenant.OnRequest(func(Request) { r.tenant.Update("invoices", last) })
		window := r.walk("invoices", "updated_at[lt]", stamp(end))
		r.tenant.OnRequest(nil)
		after := r.walk("invoices", "updated_at[gt_or_eq]", stamp(end))
		if len(window) != 119 || len(after) != 1 || after[0].ID != last {
			t.Errorf("%d rows in the window, %d after it", len(window), len(after))
		}
	})
}
