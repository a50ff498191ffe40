package connector

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// What goes out again because positions were moved says so, also when the worker ends while it reads,
// and in the two kinds of objects: those with updated-at, and those that are read whole. What changes
// meanwhile does not.
func TestWhatGoesOutAgainSaysThatItWasAskedForAcrossAStop(t *testing.T) {
	bare(t, coupatest.Config{Seed: 94, Rows: 60, PageCap: 5, Latency: 300 * time.Millisecond, Objects: []string{"invoices", "currencies"}}, func(h *harness, r *running) {
		h.create(r, map[string]string{"coupa.objects": "invoices, currencies"})
		h.pass(2 * time.Minute)
		// of each topic, the records that were asked for, and the others
		count := func(object string) (asked, others int) {
			h.each("coupa."+object, func(rec *kgo.Record) {
				for _, header := range rec.Headers {
					if header.Key == record.HeaderReason && string(header.Value) == record.ReasonRequested {
						asked++
						return
					}
				}
				others++
			})
			return asked, others
		}
		var reset []status.Offset
		for _, object := range []string{"invoices", "currencies"} {
			if asked, others := count(object); asked != 0 || others != 60 {
				t.Fatalf("%d of %s were asked for, %d were not", asked, object, others)
			}
			reset = append(reset, status.Offset{Tenant: "acme", Object: object, Reset: true})
		}
		if err := r.MoveOffsets(h.t.Context(), "acme", reset, status.Asker{}); err != nil {
			t.Fatal(err)
		}
		h.pass(1500 * time.Millisecond)
		if asked, _ := count("invoices"); asked == 0 || asked == 60 {
			t.Errorf("%d of 60 went out again before the stop, which is to be in between", asked)
		}
		h.stop()
		h.started()
		h.tenant.Update("invoices", 3)
		h.pass(2 * time.Minute)
		for object, changed := range map[string]int{"invoices": 1, "currencies": 0} {
			asked, others := count(object)
			// the change may come before its row is read again
			if others != 60+changed || asked != 60 && asked != 60-changed {
				t.Errorf("%d of %s were asked for, %d were not; want 60 and %d", asked, object, others, 60+changed)
			}
		}
	})
}

// Lines that go out again after a move say so with their rows; those that go out for the first
// time, as they have just got topics of their own, do not, though their rows were moved before.
func TestLinesThatGoOutForTheFirstTimeWereNotAskedFor(t *testing.T) {
	bare(t, invoices(913, 20), func(h *harness, r *running) {
		h.create(r, map[string]string{"coupa.objects": "invoices"})
		h.settle()
		h.move(r, status.Offset{Reset: true})
		h.settle()
		lines := config.LinesTopics
		if _, err := r.Patch(h.t.Context(), "acme", map[string]*string{"lines": &lines}); err != nil {
			t.Fatal(err)
		}
		h.settle()
		first := h.records(lineTopic)
		if n := requested(first); n != 0 || len(first) == 0 {
			t.Errorf("%d of %d lines that were never published before say that they were asked for", n, len(first))
		}
		h.move(r, status.Offset{Reset: true})
		h.settle()
		if all := h.records(lineTopic); requested(all) != len(first) || len(all) != 2*len(first) {
			t.Errorf("%d of %d lines say that they were asked for, want %d of twice as many", requested(all), len(all), len(first))
		}
	})
}

// A position that is set where the group has none is one of another group: what that has published since then
// goes out again, and says so. What changes from then on does not.
func TestWhatAnotherGroupPublishedSaysThatItWasAskedFor(t *testing.T) {
	bare(t, invoices(914, 20), func(h *harness, r *running) {
		if _, err := r.Create(h.t.Context(), "acme", h.submitted("acme", map[string]string{"coupa.objects": "invoices"}), status.Stopped); err != nil {
			t.Fatal(err)
		}
		h.tenant.Update("invoices", 5)
		h.pass(time.Second)
		h.move(r, status.Offset{UpdatedAt: time.Now().Add(-10 * time.Second)})
		h.set(r, status.Running)
		h.settle()
		h.tenant.Update("invoices", 6)
		h.settle()
		all := h.records("coupa.invoices")
		if n := requested(all); n != 1 || len(all) != 2 {
			t.Errorf("%d of %d records say that they were asked for, want one of two", n, len(all))
		}
	})
}
