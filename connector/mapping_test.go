package connector

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

const invoiceMapping = `objects:
  invoices:
    leave-out: [internal-note, invoice-lines.description, custom-fields.hidden]
    fields:
      created-by.email: {hash: true}
      clearance-document: {mask: "***"}
      gross-total: {rename: total}
      custom-fields.secret: {mask: "***"}
    compute:
      creator: {expression: "row.created_by.login + '!'", type: string}
`

// values are the records of a topic as JSON, by id: the last of each.
func (h *harness) values(topic string) map[int64]map[string]any {
	h.t.Helper()
	all := map[int64]map[string]any{}
	for _, r := range h.records(topic) {
		all[r.id] = h.decoded(r)
	}
	return all
}

// decoded is a record as JSON.
func (h *harness) decoded(r readRecord) map[string]any {
	h.t.Helper()
	plan, err := schemas.Compile(h.schemaOf(r))
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := plan.AppendJSON(nil, r.value[5:])
	if err != nil {
		h.t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		h.t.Fatal(err)
	}
	return v
}

// The topic has what the mapping makes of each row, whatever Coupa is asked for, and what it hides is
// nowhere: not in the records, the schema, the log, the status, nor in what is kept of custom fields.
func TestTheTopicHasRowsAsTheMappingMakesThem(t *testing.T) {
	longRaced(t)
	for _, fields := range []string{"schema", "all"} {
		for _, custom := range []string{"map", "typed"} {
			t.Run(fields+" "+custom, func(t *testing.T) {
				simulate(t, coupatest.Config{Seed: 71, Rows: 40, Objects: []string{"invoices"}}, func(h *harness) {
					h.keys["fields"], h.keys["custom.fields"] = fields, custom
					h.keys["mapping"], h.keys["mapping.hash.key"] = invoiceMapping, "0123456789abcdef"
					id := h.tenant.Rows("invoices")[7].ID
					h.tenant.SetMember("invoices", id, "created-by", `{"id":7,"login":"hush-login","email":"hush-mail"}`)
					h.tenant.SetMember("invoices", id, "clearance-document", `"hush-document"`)
					h.tenant.SetMember("invoices", id, "internal-note", `"hush-note"`)
					h.tenant.SetMember("invoices", id, "custom-fields", `{"hidden":"hush-hidden","secret":4711,"open":"seen"}`)
					h.tenant.SetMember("invoices", id, "secret", `"hush-global"`)
					h.start()
					h.settle()
					h.tenant.UpdateLine("invoices", h.tenant.Rows("invoices")[20].ID)
					h.settle()
					h.tenant.SetMember("invoices", h.tenant.Rows("invoices")[3].ID, "custom-fields", `{"hidden":"hush-hidden","secret":4711,"late":true}`)
					h.settle()
					values := h.values("coupa.invoices")
					if len(values) != len(h.tenant.Rows("invoices")) {
						t.Fatalf("%d invoices of %d", len(values), len(h.tenant.Rows("invoices")))
					}
					v := values[id]
					by, _ := v["created_by"].(map[string]any)
					own, _ := v["custom_fields"].(map[string]any)
					if email, _ := by["email"].(string); len(email) != 64 || by["login"] != "hush-login" || v["creator"] != "hush-login!" || v["clearance_document"] != "***" {
						t.Errorf("created_by %v, creator %v, clearance_document %v", by, v["creator"], v["clearance_document"])
					}
					if open := fmt.Sprint(own["open"]); !strings.Contains(open, "seen") || !strings.Contains(fmt.Sprint(own["secret"]), "***") || own["hidden"] != nil {
						t.Errorf("custom fields %v", own)
					}
					text := fmt.Sprint(values) + fmt.Sprint(h.registry.versionsOf("coupa.invoices-value")) + h.log.String() + fmt.Sprintf("%+v", h.running.Connectors())
					for _, hidden := range []string{"hush-mail", "hush-document", "hush-note", "hush-hidden", "hush-global", "4711"} {
						if strings.Contains(text, hidden) {
							t.Errorf("%s is to be seen", hidden)
						}
					}
					if strings.Contains(text, `"hidden"`) || strings.Contains(h.log.String(), "custom-fields.hidden") || strings.Contains(text, "internal_note") || !strings.Contains(text, `"name":"total"`) {
						t.Error("the schema is not what the mapping makes of it")
					}
					for _, r := range h.tenant.Requests() {
						if strings.Contains(r.Query.Get("fields"), "internal_note") {
							t.Fatalf("Coupa is asked for what is left out: %s", r.Query.Get("fields"))
						}
					}
				})
			})
		}
	}
}

func TestADeadLetterIsWithoutWhatTheMappingHides(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 72, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "all", "coupa.dead"
		h.keys["mapping"], h.keys["mapping.hash.key"] = invoiceMapping, "0123456789abcdef"
		rows := h.tenant.Rows("invoices")
		h.tenant.SetMember("invoices", rows[3].ID, "internal-note", `"hush"`)
		h.tenant.SetMember("invoices", rows[3].ID, "gross-total", `"twelve"`)
		h.tenant.SetMember("invoices", rows[4].ID, "created-by", `"hush"`)
		h.start()
		h.settle()
		dead := h.records("coupa.dead")
		if len(dead) != 2 {
			t.Fatalf("%d dead letters, want 2", len(dead))
		}
		for _, d := range dead {
			if !json.Valid(d.value) || strings.Contains(string(d.value), "hush") || strings.Contains(d.headers[record.HeaderErrorMessage], "hush") {
				t.Errorf("%d: %s, %s", d.id, d.headers[record.HeaderErrorMessage], d.value)
			}
			if d.id == rows[3].ID && !strings.Contains(string(d.value), `"gross-total":"twelve"`) {
				t.Errorf("%d lacks what is wrong with it: %s", d.id, d.value)
			}
		}
	})
}

// A text is cut after the mapping: the hash is that of the whole, and what was left out is in no header.
func TestARowIsCutAsTheMappingHasIt(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 73, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["record.oversize"] = "trim"
		h.keys["mapping"] = "objects: {invoices: {leave-out: [internal-note], compute: {whole: {expression: \"size(row.clearance_document)\", type: long}}}}"
		h.limit("coupa.invoices", topicTakes)
		id := h.tenant.Rows("invoices")[3].ID
		h.tenant.SetMember("invoices", id, "internal-note", `"`+strings.Repeat("n", largeNote)+`"`)
		h.tenant.SetMember("invoices", id, "clearance-document", `"`+strings.Repeat("d", largeNote)+`"`)
		h.start()
		h.settle()
		r := newest(t, h.records("coupa.invoices"), id)
		if got := r.headers[record.HeaderTrimmed]; !strings.Contains(got, `"clearance-document"`) || strings.Contains(got, "internal-note") {
			t.Errorf("cut: %s", got)
		}
		if v := h.values("coupa.invoices")[id]; v["whole"] != float64(largeNote) || len(v["clearance_document"].(string)) >= topicTakes {
			t.Errorf("whole is %v", v["whole"])
		}
	})
}

func TestChosenFieldsAreAllThatRecordsHave(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 74, Rows: 20, Objects: []string{"suppliers"}}, func(h *harness) {
		h.keys["fields"], h.keys["custom.fields"] = "schema", "off"
		h.keys["mapping"] = "objects: {suppliers: {choose: [name]}}"
		h.start()
		h.settle()
		before := len(h.records("coupa.suppliers"))
		for _, v := range h.values("coupa.suppliers") {
			for name := range v {
				if name != "id" && name != "updated_at" && name != "name" {
					t.Fatalf("there is %s", name)
				}
			}
		}
		h.pass(time.Hour)
		if n := len(h.records("coupa.suppliers")); n != before || before != 20 {
			t.Errorf("%d records, then %d; want the 20 suppliers once", before, n)
		}
	})
}
