package connector

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/explain"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// explained asks the worker for a row of invoices, which is to be of a case.
func (h *harness) explained(id int64, want explain.Case) *explain.Answer {
	h.t.Helper()
	a, err := h.running.Explain(h.t.Context(), "acme", explain.Request{Object: "invoices", ID: id})
	if err != nil {
		h.t.Fatal(err)
	}
	if a.Case != want {
		h.t.Errorf("id %d is %s: %s\n%+v; want %s", id, a.Case, a.Sentence, a, want)
	}
	return a
}

// What a worker does with a row, it tells of it; that costs a request, and no value of the row gets out.
func TestARowIsExplainedByTheWorkerThatRunsIt(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 710, Rows: 60, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "all", "coupa.dead"
		r := h.start()
		h.settle()
		rows := h.tenant.Rows("invoices")
		asked := h.tenant.RequestCounts()["invoices"]
		a := h.explained(rows[5].ID, "published")
		if n := h.tenant.RequestCounts()["invoices"] - asked; n > 1 {
			t.Errorf("it took %d requests", n)
		}
		var in readRecord // its last one
		for _, r := range h.records("coupa.invoices") {
			if r.id == rows[5].ID {
				in = r
			}
		}
		if a.Record.Partition != in.partition || a.Record.Offset != in.offset || a.Record.Op != in.op || a.Record.Schema != schemaID(in.value) {
			t.Errorf("%+v, a consumer finds it in partition %d at offset %d", a.Record, in.partition, in.offset)
		}
		if len(a.Ledger.Versions) > 1 || a.State.Mark == nil || len(a.State.LookBacks) != 3 {
			t.Errorf("%+v", a)
		}

		h.tenant.SetRaw("invoices", rows[6].ID, spoilt(h.tenant.Update("invoices", rows[6].ID).JSON))
		h.tenant.Delete("invoices", rows[7].ID)
		late := h.tenant.CreateLate("invoices", 10*time.Minute)
		h.pass(10*time.Minute + time.Second)
		if a := h.explained(rows[6].ID, "dead_letter"); strings.Contains(a.Sentence, "twelve") || !strings.Contains(a.Sentence, "gross-total") {
			t.Error(a.Sentence)
		}
		h.explained(rows[7].ID, "gone_or_hidden")
		h.explained(99_999, "not_visible")
		h.explained(late.ID, "waits_look_back")
		for _, state := range []struct {
			goal status.State
			want explain.Case
		}{{status.Paused, "paused"}, {status.Stopped, "stopped"}, {status.Running, "published"}} {
			if err := r.SetState(h.t.Context(), "acme", state.goal); err != nil {
				t.Fatal(err)
			}
			if state.goal == status.Paused {
				h.tenant.Update("invoices", rows[5].ID)
			}
			h.settle()
			h.explained(rows[5].ID, state.want)
		}
		h.pass(10 * time.Minute)
		h.explained(late.ID, "published")

		if _, err := r.Explain(h.t.Context(), "acme", explain.Request{Object: "invoice", ID: 1}); err == nil || !strings.Contains(err.Error(), "give one of its coupa.objects") {
			t.Errorf("%v", err)
		} else if _, is := errors.AsType[config.Problems](err); !is {
			t.Errorf("%T", err)
		}
		if err := r.explaining.Acquire(h.t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Explain(h.t.Context(), "acme", explain.Request{Object: "invoices", ID: 1}); !errors.Is(err, shard.ErrBusy) {
			t.Errorf("%v", err)
		}
		if _, err := r.Explain(h.t.Context(), "nobody", explain.Request{Object: "invoices", ID: 1}); !errors.Is(err, ErrUnknownConnector) {
			t.Errorf("%v", err)
		}
	})
}

// Of a stream that begins with latest, rows of before are not there; of one whose lines have topics, each
// line's last record is told.
func TestLinesAndWhatWasBeforeAreExplained(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 711, Rows: 30, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["initial.from"], h.keys["lines"] = "latest", "topics"
		h.start()
		h.settle()
		rows := h.tenant.Rows("invoices")
		h.explained(rows[0].ID, "before_initial_from")
		var withLines int64
		for _, row := range rows {
			if strings.Count(string(row.JSON), `"line-num"`) > 1 {
				withLines = row.ID
			}
		}
		h.tenant.Update("invoices", withLines)
		h.settle()
		a := h.explained(withLines, "published")
		found := 0
		for _, l := range a.Coupa.Lines {
			if l.Record != nil && l.Record.Topic == "coupa.invoices."+l.List {
				found++
			}
		}
		if found < 2 || found != len(a.Coupa.Lines) {
			t.Errorf("%d of %d lines have records", found, len(a.Coupa.Lines))
		}
		h.tenant.UpdateLine("invoices", withLines)
		h.settle()
		h.explained(withLines, "published")
	})
}
