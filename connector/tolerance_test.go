package connector

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/replay"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/schemas"
)

// oddValues are what Coupa can't mean by the types of an invoice's fields, by the id of the row that has it.
var oddValues = map[int64]struct{ key, json string }{
	3:  {"invoice-date", `"20244-04-01"`},
	5:  {"invoice-date", `"0000-00-00"`},
	7:  {"created-at", `"2024-04-01T24:00:00Z"`},
	9:  {"created-at", `"2024-04-01T10:00:00"`},
	11: {"gross-total", `"NaN"`},
	13: {"gross-total", `"19%"`},
	15: {"canceled", `"Yes"`},
	17: {"supplier", `{"id":"three","name":"odd"}`},
	19: {"invoice-lines", `[{"id":9001,"price":" 12.50 "},{"id":9002,"price":"1.5","created-at":"-0001-11-30"}]`},
}

// oddFields is how often each field has a value that can't be read.
var oddFields = map[string]int64{
	"InvoiceHeader.invoice-date": 2, "InvoiceHeader.created-at": 2, "InvoiceHeader.gross-total": 2, "InvoiceHeader.canceled": 1,
	"SupplierRef.id": 1, "InvoiceLine.price": 1, "InvoiceLine.created-at": 1,
}

func (h *harness) setOddValues() {
	for id, odd := range oddValues {
		h.tenant.SetMember("invoices", id, odd.key, odd.json)
	}
}

// With errors.tolerance=unmapped rows go out with what can't be read
// as it was sent, whatever form their values have, and it is counted.
func TestWhatCannotBeReadGoesOutInUnmapped(t *testing.T) {
	longRaced(t)
	for name, keys := range map[string]map[string]string{
		"avro":           {},
		"typed":          {"custom.fields": "typed"},
		"avro, envelope": {"envelope": config.EnvelopeDebezium},
		"json":           {"value.format": config.FormatJSON},
		"json, envelope": {"value.format": config.FormatJSONSchema, "envelope": config.EnvelopeDebezium},
		"lines":          {"lines": config.LinesTopics},
		"lines, json":    {"lines": config.LinesBoth, "value.format": config.FormatJSON},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, invoices(941, 30), func(h *harness) {
				h.setOddValues()
				h.keys["errors.tolerance"] = config.ToleranceUnmapped
				maps.Copy(h.keys, keys)
				r := h.start()
				h.settle()
				s := r.Connectors()[0].Tasks[0]
				if s.State != status.Running || s.Published != 30 || s.DeadLetters != 0 || !maps.Equal(s.Unreadable, oddFields) {
					t.Errorf("%s %q, %d published, %d dead letters, unreadable %v", s.State, s.Trace, s.Published, s.DeadLetters, s.Unreadable)
				}
				shown := h.shown("coupa.invoices")
				for id, odd := range oddValues {
					kept, _ := shown[id]["unmapped"].(map[string]any)
					_, in := kept[odd.key]
					if nested := id == 17 || id == 19; in == nested || shown[id][strings.ReplaceAll(odd.key, "-", "_")] != nil && !nested {
						t.Errorf("row %d: unmapped holds %v, %s is %v", id, kept, odd.key, shown[id][strings.ReplaceAll(odd.key, "-", "_")])
					}
				}
				if got := fmt.Sprint(shown[17]["supplier"]); got != `map[name:odd unmapped:map[id:three]]` {
					t.Errorf("supplier %s", got)
				}
				lines := fmt.Sprint(shown[19]["invoice_lines"])
				if keys["lines"] != "" {
					of := h.shown(lineTopic)
					lines = fmt.Sprint([]any{of[9001], of[9002]})
				}
				for _, want := range []string{"unmapped:map[price: 12.50 ]", "unmapped:map[created-at:-0001-11-30]", "price:1.5"} {
					if !strings.Contains(lines, want) {
						t.Errorf("lines %s lack %s", lines, want)
					}
				}
				if strings.Contains(h.log.String(), "20244") || strings.Count(h.log.String(), "InvoiceHeader.invoice-date") != 1 {
					t.Error("the log has a value, or does not name each field once")
				}
			})
		})
	}
}

// shown are the records of a topic as JSON without an envelope, by id: the last of each.
func (h *harness) shown(topic string) map[int64]map[string]any {
	h.t.Helper()
	all := map[int64]map[string]any{}
	for _, r := range h.consume(topic) {
		_, id, err := schemas.ParseKey(r.Key)
		if err != nil {
			h.t.Fatal(err)
		}
		v, text := map[string]any{}, r.Value
		switch {
		case text[0] == '{':
			err = json.Unmarshal(text, &v)
		case text[5] == '{':
			err = json.Unmarshal(text[5:], &v)
		default:
			_, err = avro.MustParse(h.registry.text(text)).Decode(text[5:], &v)
			v = inPlain(v).(map[string]any)
		}
		if err != nil {
			h.t.Fatal(err)
		}
		if after, enveloped := v["after"].(map[string]any); enveloped {
			v = after
		}
		all[id] = v
	}
	return all
}

// inPlain gives decoded Avro as its JSON would be: without nulls, and with what unmapped holds parsed.
func inPlain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			if v[key] = inPlain(member); member == nil {
				delete(v, key)
			}
		}
		kept, _ := v["unmapped"].(map[string]any)
		for key, text := range kept {
			var parsed any
			if err := json.Unmarshal([]byte(text.(string)), &parsed); err == nil {
				kept[key] = parsed
			}
		}
	case []any:
		for i := range v {
			v[i] = inPlain(v[i])
		}
	case *big.Rat:
		f, _ := v.Float64()
		return f
	}
	return v
}

// Without a topic for dead letters a value that can't be read stops its object or is kept in
// unmapped, as errors.tolerance says; with one, all of them may go there. Letters go out later.
func TestValuesThatCannotBeReadByErrorsTolerance(t *testing.T) {
	longRaced(t)
	for tolerance, want := range map[string]struct {
		state           status.State
		published, dead int64
	}{
		config.ToleranceNone:     {status.Failed, 0, 0},
		config.ToleranceAll:      {status.Running, 21, 9},
		config.ToleranceUnmapped: {status.Running, 30, 0},
	} {
		t.Run(tolerance, func(t *testing.T) {
			simulate(t, invoices(942, 30), func(h *harness) {
				h.setOddValues()
				h.keys["errors.tolerance"] = tolerance
				if tolerance == config.ToleranceAll {
					h.keys["errors.deadletterqueue.topic.name"] = "coupa.dead"
				}
				r := h.start()
				h.settle()
				s := r.Connectors()[0].Tasks[0]
				// the backfill may have been first, and leaves what changes to the polls
				if tolerance == config.ToleranceNone {
					want.published = s.Published
				}
				if s.State != want.state || s.Published != want.published || s.DeadLetters != want.dead {
					t.Fatalf("%s %q, %d published, %d dead letters; want %v", s.State, s.Trace, s.Published, s.DeadLetters, want)
				}
				if tolerance == config.ToleranceNone && !strings.Contains(s.Trace, "id 3: field invoice-date: the text is no calendar date") {
					t.Errorf("%s", s.Trace)
				}
				h.stop()
				h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = config.ToleranceUnmapped, "coupa.dead"
				if want.dead > 0 {
					h.mustReplay(replay.Result{Object: "invoices", Replayed: want.dead})
				}
				h.start()
				h.settle()
				h.check("invoices")
			})
		})
	}
}

// What has no place in unmapped is a dead letter where there is a topic, and else stops its object.
func TestWhatHasNoPlaceInUnmappedIsADeadLetterWhereThereIsATopic(t *testing.T) {
	longRaced(t)
	for _, topic := range []string{"", "coupa.dead"} {
		t.Run(topic, func(t *testing.T) {
			simulate(t, invoices(943, 30), func(h *harness) {
				h.keys["errors.tolerance"], h.keys["lines"] = config.ToleranceUnmapped, config.LinesTopics
				if topic != "" {
					h.keys["errors.deadletterqueue.topic.name"] = topic
				}
				h.tenant.SetMember("invoices", 5, "invoice-lines", `[{"id":"nine","price":"NaN"}]`)
				r := h.start()
				h.pass(10 * time.Minute)
				s := r.Connectors()[0].Tasks[0]
				switch said := "id 5: field invoice-lines[0]: a line needs an id"; {
				case topic == "" && (s.State != status.Failed || !strings.Contains(s.Trace, said)):
					t.Errorf("%s %q", s.State, s.Trace)
				case topic != "" && (s.State != status.Running || s.DeadLetters != 1 || !strings.Contains(s.DeadLetter, said) || len(s.Unreadable) != 0):
					t.Errorf("%s %q, %d dead letters: %s, unreadable %v", s.State, s.Trace, s.DeadLetters, s.DeadLetter, s.Unreadable)
				case topic != "" && h.records(topic)[0].headers[record.HeaderErrorStage] != "VALUE_CONVERTER":
					t.Errorf("%v", h.records(topic)[0].headers)
				}
				h.tenant.SetMember("invoices", 5, "invoice-lines", `[{"id":9001,"price":"NaN"}]`)
				h.stop()
				h.start()
				h.settle()
				h.check("invoices")
			})
		})
	}
}
