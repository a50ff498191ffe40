package connector

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

func spoilt(row []byte) []byte {
	return regexp.MustCompile(`"gross-total":"[^"]*"`).ReplaceAll(row, []byte(`"gross-total":"twelve"`))
}

// A row that can't be encoded goes to the dead letter topic once,
// whole, whatever is restarted or lost, and the object goes on.
func TestARowThatCannotBeEncodedIsADeadLetterAndItsObjectGoesOn(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 51, Rows: 120}, func(h *harness) {
		h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "all", "coupa.dead"
		row := h.tenant.Rows("invoices")[76]
		bad := spoilt(row.JSON)
		h.tenant.SetRaw("invoices", row.ID, bad)
		r := h.start()
		h.settle()
		s := r.Connectors()[0].Tasks[0]
		if s.State != status.Running || s.DeadLetters != 1 || s.Published != 119 || !strings.Contains(s.DeadLetter, fmt.Sprintf("id %d: field gross-total", row.ID)) {
			t.Errorf("%s %q, %d dead letters (%s), %d published; want it running, 1 and 119", s.State, s.Trace, s.DeadLetters, s.DeadLetter, s.Published)
		}
		h.stop()
		h.state = t.TempDir()
		h.start()
		h.pass(10 * time.Minute)
		dead := h.records("coupa.dead")
		if len(dead) != 1 || dead[0].id != row.ID || string(dead[0].value) != string(bad) {
			t.Fatalf("%d dead letters, want the row as it was sent, once", len(dead))
		}
		for header, want := range map[string]string{
			record.HeaderTenant: "acme", record.HeaderObject: "invoices", record.HeaderErrorTopic: "coupa.invoices", record.HeaderErrorConnector: "acme", record.HeaderErrorTask: "0",
			record.HeaderErrorStage: "VALUE_CONVERTER", record.HeaderErrorMessage: fmt.Sprintf("invoices id %d: field gross-total: the text is no number; correct it in Coupa", row.ID),
		} {
			if got := dead[0].headers[header]; got != want {
				t.Errorf("%s: %q, want %q", header, got, want)
			}
		}
		if strings.Contains(h.log.String(), "twelve") {
			t.Error("the value is in the log")
		}
		if n := len(h.records("coupa.invoices")); n != 119 {
			t.Errorf("%d records of invoices, want the other 119", n)
		}
		h.tenant.SetMember("invoices", row.ID, "gross-total", `"12.00"`)
		h.settle()
		h.check("invoices")
		h.check("suppliers")
	})
}

// A dead letter is in the transaction of its page: there once, whichever request of that is lost.
func TestADeadLetterIsPartOfItsTransaction(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 52, Rows: 60, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "all", "coupa.dead"
		h.start()
		h.settle()
		var spoiltRows []int64
		for n, key := range []kmsg.Key{kmsg.Produce, kmsg.EndTxn, kmsg.AddPartitionsToTxn} {
			v := h.tenant.Update("invoices", h.tenant.Rows("invoices")[10+n].ID)
			h.tenant.SetRaw("invoices", v.ID, spoilt(v.JSON))
			spoiltRows = append(spoiltRows, v.ID)
			h.net.Lose(key, 1)
			h.pass(5 * time.Minute)
			dead := h.records("coupa.dead")
			if len(dead) != n+1 {
				t.Fatalf("%v lost: %d dead letters of %d rows", key, len(dead), n+1)
			}
		}
		for _, id := range spoiltRows {
			h.tenant.Update("invoices", id)
		}
		h.settle()
		h.check("invoices")
	})
}

// A row without an id has no place in a walk, so it stops its object even where
// rows that can't go are dead letters; nothing is lost or repeated by it.
func TestARowWithoutAnIDStopsItsObject(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 53, Rows: 120, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "all", "coupa.dead"
		row, before := h.tenant.Rows("invoices")[76], h.tenant.Rows("invoices")[75]
		h.tenant.SetRaw("invoices", row.ID, regexp.MustCompile(`^\{"id":\d+,`).ReplaceAll(row.JSON, []byte("{")))
		r := h.start()
		h.pass(10 * time.Minute)
		s := r.Connectors()[0].Tasks[0]
		if s.State != status.Failed || s.DeadLetters != 0 || !strings.Contains(s.Trace, fmt.Sprintf("without a usable id after id %d; ", before.ID)) {
			t.Errorf("%s %q, %d dead letters; want it failed behind id %d", s.State, s.Trace, s.DeadLetters, before.ID)
		}
		h.tenant.SetRaw("invoices", row.ID, row.JSON)
		h.stop()
		h.start()
		h.settle()
		h.check("invoices")
	})
}
