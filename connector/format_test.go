package connector

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// consume reads a topic to its end under read_committed.
func (h *harness) consume(topic string) []*kgo.Record {
	h.t.Helper()
	var all []*kgo.Record
	h.each(topic, func(r *kgo.Record) { all = append(all, r) })
	return all
}

// inJSON gives a row as records in JSON have it.
func inJSON(t *testing.T, object string) func(row []byte) string {
	t.Helper()
	s, err := schemas.For(object, schemas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	enc := plan.Encoder()
	return func(row []byte) string {
		value, err := enc.Append(nil, row)
		if err == nil {
			value, err = plan.AppendJSON(nil, value)
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(value)
	}
}

// everyVersion fails unless the values are the tenant's
// rows, with each change once, under keys of their ids.
func (h *harness) everyVersion(object string, records []*kgo.Record, content func(*kgo.Record) string) {
	h.t.Helper()
	render := inJSON(h.t, object)
	existed, last := map[string]bool{}, map[int64]string{}
	for _, v := range h.tenant.Versions(object) {
		existed[render(withParent(v))] = true
	}
	for _, r := range records {
		tenant, id, err := schemas.ParseKey(r.Key)
		if err != nil || tenant != "acme" {
			h.t.Fatalf("key %q: %v", r.Key, err)
		}
		got := content(r)
		if !existed[got] || last[id] == got {
			h.t.Errorf("id %d: no version, or one twice: %s", id, got)
		}
		last[id] = got
	}
	for _, v := range h.tenant.Rows(object) {
		if last[v.ID] != render(withParent(v)) {
			h.t.Errorf("id %d: the last readRecord is %s", v.ID, last[v.ID])
		}
	}
}

// Records in JSON need no schema registry, and are as whole as those in Avro.
func TestRecordsInJSONNeedNoRegistry(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 81, Rows: 60, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["value.format"] = "json"
		h.registry.fail = errors.New("the registry was asked")
		h.start()
		h.settle()
		for id := int64(1); id < 20; id++ {
			h.tenant.Update("invoices", id)
		}
		h.tenant.UpdateLine("invoices", 30)
		h.settle()
		h.stop()
		h.state = t.TempDir()
		r := h.start()
		h.pass(3 * time.Minute)
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running {
			t.Fatalf("%s %q", s.State, s.Trace)
		}
		records := h.consume("coupa.invoices")
		h.everyVersion("invoices", records, func(r *kgo.Record) string { return string(r.Value) })
		if key := string(records[0].Key); !strings.HasPrefix(key, `{"tenant":"acme","id":`) {
			t.Errorf("key %s", key)
		}
	})
}

func TestRecordsInJSONHaveAJSONSchemaInTheRegistryIfAskedTo(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 82, Rows: 40, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["value.format"] = "jsonschema"
		h.start()
		h.settle()
		h.tenant.Update("invoices", 3)
		h.settle()
		records := h.consume("coupa.invoices")
		h.everyVersion("invoices", records, func(r *kgo.Record) string { return string(r.Value[5:]) })
		want, err := schemas.For("invoices", schemas.Options{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := want.JSONSchema()
		if err != nil {
			t.Fatal(err)
		}
		if h.registry.text(records[0].Value) != text || h.registry.text(records[0].Key) != schemas.KeyJSONSchema() {
			t.Error("the records' schemas are others")
		}
	})
}

// text is the schema that a framed key or value names.
func (r *memoryRegistry) text(framed []byte) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, text, _ := strings.Cut(r.all[int(framed[4])-1], "\x00")
	return text
}

// In Debezium's envelope a row of the snapshot is read and a
// change an update, also where custom fields appear meanwhile.
func TestDebeziumsEnvelopeTellsTheSnapshotFromChanges(t *testing.T) {
	longRaced(t)
	for _, format := range []string{"avro", "json"} {
		t.Run(format, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 83, Rows: 30, Objects: []string{"invoices"}}, func(h *harness) {
				h.keys["envelope"], h.keys["value.format"] = "debezium", format
				h.start()
				h.settle()
				h.tenant.SetMember("invoices", 3, "custom-fields", `{"brand-new":"x"}`)
				h.settle()
				records := h.consume("coupa.invoices")
				ops := map[any]int{}
				for _, r := range records {
					change := map[string]any{}
					if format == "json" {
						if err := json.Unmarshal(r.Value, &change); err != nil {
							t.Fatal(err)
						}
					} else if _, err := avro.MustParse(h.registry.text(r.Value)).Decode(r.Value[5:], &change); err != nil {
						t.Fatal(err)
					}
					source, after := change["source"].(map[string]any), change["after"].(map[string]any)
					_, id, err := schemas.ParseKey(r.Key)
					if err != nil {
						t.Fatal(err)
					}
					if change["before"] != nil || source["table"] != "invoices" || source["db"] != "acme" || source["version"] != "v-test" || !isNumber(after["id"], id) {
						t.Fatalf("%v", change)
					}
					ops[change["op"]]++
				}
				if ops["r"] != 30 || ops["u"] != 1 || len(records) != 31 {
					t.Errorf("%v, want 30 r and a u", ops)
				}
				if last := records[len(records)-1]; !bytes.Contains(records[len(records)-1].Value, []byte("x")) {
					t.Errorf("the last readRecord is %q", last.Value)
				}
			})
		})
	}
}

func isNumber(v any, want int64) bool {
	switch v := v.(type) {
	case int64:
		return v == want
	case float64:
		return v == float64(want)
	}
	return false
}
