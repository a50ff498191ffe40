package connector

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// valueOf is a record's row, in JSON.
func valueOf(r *kgo.Record) string { return string(r.Value) }

func opOf(r *kgo.Record) string {
	i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == record.HeaderOp })
	return string(r.Headers[i].Value)
}

// Rows without updated-at are read whole, and what differs from
// what was published last goes out, whatever is restarted or lost.
func TestRowsWithoutUpdatedAtAreReadWholeAndComparedByContent(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 91, Rows: 160, Objects: []string{"currencies"}}, func(h *harness) {
		h.keys["value.format"], h.keys["reread.interval.ms"] = "json", "600000"
		h.start()
		h.settle()
		records := h.consume("coupa.currencies")
		h.everyVersion("currencies", records, valueOf)
		if len(records) != 160 || opOf(records[0]) != record.OpSnapshot {
			t.Fatalf("%d records, the first %s; want a snapshot of 160", len(records), opOf(records[0]))
		}
		for _, hd := range records[0].Headers {
			if hd.Key == record.HeaderUpdatedAt {
				t.Errorf("a record has %s = %s", hd.Key, hd.Value)
			}
		}
		if n := h.tenant.RowCounts()["currencies"]; n > 500 {
			t.Errorf("%d rows were read in half a minute", n)
		}
		first := h.tenant.Rows("currencies")[7]
		h.tenant.SetMember("currencies", first.ID, "enabled", "null")
		h.tenant.Create("currencies")
		h.pass(11 * time.Minute)
		h.stop()
		h.state = t.TempDir()
		r := h.start()
		h.tenant.SetRaw("currencies", first.ID, first.JSON) // as it was once
		h.pass(11 * time.Minute)
		h.pass(11 * time.Minute)
		records = h.consume("coupa.currencies")
		h.everyVersion("currencies", records, valueOf)
		upserts := 0 // the partitions come in any order
		for _, r := range records {
			if opOf(r) == record.OpUpsert {
				upserts++
			}
		}
		if len(records) != 163 || upserts != 3 {
			t.Errorf("%d records, %d of them upserts; want 160, two changes and a new row", len(records), upserts)
		}
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || s.Snapshot || s.Mark.IsZero() {
			t.Errorf("%+v", s)
		}
	})
}

// What is told of positions can be given back, and none is told of an object that begins anew.
func TestThePositionOfARowThatIsReadWholeCanBeGivenBack(t *testing.T) {
	bare(t, coupatest.Config{Seed: 98, Rows: 20, Objects: []string{"currencies", "suppliers"}}, func(h *harness, r *running) {
		h.create(r, map[string]string{"coupa.objects": "currencies, suppliers"})
		h.settle()
		h.set(r, status.Stopped)
		told, err := r.Offsets(h.t.Context(), "acme")
		if err != nil || len(told) != 2 {
			t.Fatalf("%+v, %v", told, err)
		}
		if err := r.AlterOffsets(h.t.Context(), "acme", told, status.Asker{}); err != nil {
			t.Error(err)
		}
		if again, err := r.Offsets(h.t.Context(), "acme"); err != nil || !slices.Equal(again, told) {
			t.Errorf("%+v became %+v, %v", told, again, err)
		}
		if err := r.ResetOffsets(h.t.Context(), "acme", status.Asker{}); err != nil {
			t.Error(err)
		}
		if left, err := r.Offsets(h.t.Context(), "acme"); err != nil || len(left) > 0 {
			t.Errorf("%+v, %v", left, err)
		}
	})
}

// With initial.from=latest what is there at first is noted and not published; what changes is.
func TestRowsWithoutUpdatedAtCanBeginWithTheirNextChange(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 92, Rows: 70, Objects: []string{"currencies"}}, func(h *harness) {
		h.keys["value.format"], h.keys["reread.interval.ms"], h.keys["initial.from"] = "json", "60000", "latest"
		h.start()
		h.settle()
		h.stop()
		h.state = t.TempDir()
		h.start()
		h.tenant.SetMember("currencies", 3, "name", `"other"`)
		h.pass(3 * time.Minute)
		if records := h.consume("coupa.currencies"); len(records) != 1 || opOf(records[0]) != record.OpUpsert {
			t.Errorf("%d records, want the change", len(records))
		}
	})
}

// Whatever request is lost, a row without updated-at goes out once for each change.
func TestAWholeReadSurvivesLostAnswers(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 93, Rows: 160, Objects: []string{"currencies"}}, func(h *harness) {
		h.keys["value.format"], h.keys["reread.interval.ms"] = "json", "60000"
		for n, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.Produce, kmsg.EndTxn, kmsg.AddPartitionsToTxn} {
			h.net.Lose(key, 1)
			if n == 0 {
				h.start()
			}
			h.pass(5 * time.Minute)
			h.tenant.SetMember("currencies", int64(n+1), "name", `"changed"`)
			h.stop()
			h.start()
			h.pass(5 * time.Minute)
		}
		records := h.consume("coupa.currencies")
		h.everyVersion("currencies", records, valueOf)
		if len(records) != 164 {
			t.Errorf("%d records, want 160 and 4 changes", len(records))
		}
	})
}

// Rows whose updated-at does not move with every change are
// polled by it, and found by their content however old they are.
func TestChangesThatNoStampShowsAreFoundByContent(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 94, Rows: 160, Objects: []string{"budget_lines"}}, func(h *harness) {
		h.keys["value.format"], h.keys["reread.interval.ms"] = "json", "600000"
		h.start()
		h.settle()
		h.tenant.Update("budget_lines", 5)
		h.pass(time.Minute)
		if n := len(h.consume("coupa.budget_lines")); n != 161 {
			t.Fatalf("%d records after a change that a poll finds, want 161", n)
		}
		for _, row := range h.tenant.Rows("budget_lines")[:3] {
			h.tenant.SetSilent("budget_lines", row.ID, "amount", `"1234.50"`)
		}
		h.pass(25 * time.Minute)
		h.stop()
		h.state = t.TempDir()
		h.start()
		h.pass(25 * time.Minute)
		records := h.consume("coupa.budget_lines")
		h.everyVersion("budget_lines", records, valueOf)
		if len(records) != 164 {
			t.Errorf("%d records, want three more, of changes without a stamp", len(records))
		}
	})
}
