package connector

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// last is what the object's topic has of a row last, and how many records it has of it.
func (h *harness) lastOf(object string, id int64) (last *readRecord, n int) {
	h.t.Helper()
	for _, r := range h.records("coupa." + object) {
		if r.id == id {
			last = &r
			n++
		}
	}
	return last, n
}

// Rows that never got an updated-at fit no condition on it.
func TestRowsWithoutUpdatedAtAreNotLeftOut(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 621, Rows: 130, RateLimit: -1, Objects: []string{"users"}}, func(h *harness) {
		h.keys["custom.fields"], h.keys["reread.interval.ms"] = "off", "600000"
		ids := rowIDs(h, "users")
		undated := []int64{ids[3], ids[70], ids[129]}
		for _, id := range undated {
			h.tenant.Undate("users", id)
		}
		r := h.start()
		h.settle()
		for _, id := range undated {
			last, n := h.lastOf("users", id)
			if n != 1 {
				t.Fatalf("%d records of row %d, which has no updated-at", n, id)
			}
			if _, has := last.headers[record.HeaderUpdatedAt]; has || last.op != record.OpSnapshot {
				t.Errorf("row %d: headers %v", id, last.headers)
			}
		}
		h.pass(30 * time.Minute)
		if s := r.Connectors()[0].Tasks[0]; s.Undated != 3 || s.Round == 0 || s.State != status.Running {
			t.Errorf("%d rows are known, a search took %v, %s", s.Undated, s.Round, s.State)
		}

		// Two of them change, and a new one comes.
		h.tenant.SetSilent("users", undated[0], "fullname", `"changed"`)
		fresh := h.tenant.Create("users")
		h.tenant.Undate("users", fresh.ID)
		h.tenant.Update("users", undated[1])
		h.pass(25 * time.Minute)
		for id, want := range map[int64]int{undated[0]: 2, fresh.ID: 1, undated[1]: 2, undated[2]: 1} {
			if _, n := h.lastOf("users", id); n != want {
				t.Errorf("%d records of row %d, want %d", n, id, want)
			}
		}
		undated = append(undated, fresh.ID)
		// by their stamps, which only the tenant knows
		if got := h.missing("users"); !slices.Equal(got, undated) {
			t.Errorf("missing: %v, want none but %v", got, undated)
		}
	})
}

// Where no row is known to be without updated-at, searches for one are a sixth as often.
func TestTheFirstRowWithoutUpdatedAtIsFoundWithinSixIntervals(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 625, Rows: 30, RateLimit: -1, Objects: []string{"users"}}, func(h *harness) {
		h.keys["custom.fields"], h.keys["reread.interval.ms"], h.keys["poll.interval.ms"] = "off", "600000", "30000"
		h.start()
		h.pass(time.Minute)
		id := h.tenant.Create("users").ID
		h.tenant.Undate("users", id)
		requests := h.countRequests(kindOfRequest)
		h.pass(50 * time.Minute)
		if n := requests()["searches"]; n > 0 {
			t.Errorf("%d requests of searches", n)
		}
		h.pass(15 * time.Minute)
		if _, n := h.lastOf("users", id); n != 1 {
			t.Errorf("%d records of the row", n)
		}
	})
}

// With initial.from=latest, those that are there at first are known and not published; a change of one is.
func TestRowsWithoutUpdatedAtThatWereThereBeforeAreNoted(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 622, Rows: 60, RateLimit: -1, Objects: []string{"users"}}, func(h *harness) {
		h.keys["custom.fields"], h.keys["reread.interval.ms"], h.keys["initial.from"] = "off", "600000", "latest"
		id := rowIDs(h, "users")[20]
		h.tenant.Undate("users", id)
		h.start()
		h.pass(15 * time.Minute)
		if _, n := h.lastOf("users", id); n != 0 {
			t.Errorf("%d records of a row that was there before", n)
		}
		h.tenant.SetSilent("users", id, "fullname", `"changed"`)
		h.pass(25 * time.Minute)
		if _, n := h.lastOf("users", id); n != 1 {
			t.Errorf("%d records of its change", n)
		}
	})
}

// A snapshot of ids has those without updated-at too.
func TestASnapshotOfIDsHasRowsWithoutUpdatedAt(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 623, Rows: 60, RateLimit: -1, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["custom.fields"] = "off"
		ids := rowIDs(h, "invoices")
		h.tenant.Undate("invoices", ids[4])
		r := h.start()
		h.settle()
		s := h.snapshot(r, status.SnapshotRequest{Object: "invoices", IDs: []int64{ids[2], ids[4]}})
		h.pass(time.Minute)
		if got := h.snapshots(r)[s.ID]; got.Rows != 2 {
			t.Errorf("%+v", got)
		}
		for _, id := range []int64{ids[2], ids[4]} {
			if _, n := h.lastOf("invoices", id); n != 2 {
				t.Errorf("%d records of row %d", n, id)
			}
		}
	})
}

// The stamp of a row that is no instant leaves it without a place in the order: a dead letter, once for each
// content. That of a line is a value like any other.
func TestAnUpdatedAtThatIsNoInstantIsItsRowsOwnTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		key, json string
		letters   int
	}{
		"the row's":  {"updated-at", `"2024-04-01 10:00:00 UTC"`, 1},
		"the line's": {"order-lines", `[{"id":990001,"updated-at":"2024-04-01 10:00:00 UTC"}]`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 624, Rows: 60, RateLimit: -1, Objects: []string{"purchase_orders"}}, func(h *harness) {
				h.keys["custom.fields"], h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "off", "all", "coupa.dead"
				bad := rowIDs(h, "purchase_orders")[20]
				h.tenant.SetSilent("purchase_orders", bad, c.key, c.json)
				r := h.start()
				h.settle()
				h.tenant.Update("purchase_orders", rowIDs(h, "purchase_orders")[21])
				h.pass(5 * time.Minute)
				if s := r.Connectors()[0].Tasks[0]; s.State != status.Running {
					t.Fatalf("%s %q", s.State, s.Trace)
				}
				dead := h.records("coupa.dead")
				if len(dead) != c.letters || dead[0].id != bad || !strings.Contains(string(dead[0].value), "10:00:00 UTC") {
					t.Errorf("%d dead letters: %+v", len(dead), dead)
				}
				if got := h.missing("purchase_orders"); !slices.Equal(got, []int64{bad}) {
					t.Errorf("missing: %v, want %d alone", got, bad)
				}
			})
		})
	}
}
