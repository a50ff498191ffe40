package connector

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/sample"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/registry"
)

// schemaOf is the text of the schema that a record was encoded with.
func (h *harness) schemaOf(r readRecord) string {
	h.t.Helper()
	_, text, _ := strings.Cut(h.registry.all[binary.BigEndian.Uint32(r.value[1:5])-1], "\x00")
	return text
}

// unfitOf lists the custom fields of a row that the record's schema is not typed for.
func (h *harness) unfitOf(object string, r readRecord, row []byte) []schemas.Unfit {
	h.t.Helper()
	s, err := schemas.For(object, h.registry.options(h.t, int(binary.BigEndian.Uint32(r.value[1:5]))))
	if err != nil {
		h.t.Fatal(err)
	}
	plan, err := s.Plan()
	if err != nil {
		h.t.Fatal(err)
	}
	enc := plan.Encoder()
	if _, err := enc.Append(nil, row); err != nil {
		h.t.Fatal(err)
	}
	d, err := schemas.NewDiscovery(object)
	if err == nil {
		err = d.Observe(row)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	globals := d.Globals()
	return slices.DeleteFunc(enc.Unfit(), func(u schemas.Unfit) bool { return u.Global && !slices.Contains(globals[u.Record], u.Name) })
}

// versionsOf lists the versions registered under a subject.
func (r *memoryRegistry) versionsOf(subject string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, key := range r.all {
		if text, ok := strings.CutPrefix(key, subject+"\x00"); ok {
			all = append(all, text)
		}
	}
	return all
}

// newest is the last readRecord of a row.
func newest(t *testing.T, records []readRecord, id int64) readRecord {
	t.Helper()
	i := slices.IndexFunc(records, func(r readRecord) bool { return r.id == id })
	if i < 0 {
		t.Fatalf("there is no record of %d", id)
	}
	last := records[i]
	for _, r := range records[i:] {
		if r.id == id && r.offset > last.offset {
			last = r
		}
	}
	return last
}

// Every record is encoded with a schema that knows all custom fields of its row,
// whenever the field came up, in which namespace, and whatever was asked for.
func TestNoRecordGoesOutBeforeItsCustomFieldsAreTyped(t *testing.T) {
	longRaced(t)
	for _, fields := range []string{"schema", "all"}[:unlessRaced(2, 1)] {
		t.Run(fields, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 31, Rows: 200, Objects: []string{"invoices"}}, func(h *harness) {
				h.keys["fields"], h.keys["custom.fields.conflict"], h.keys["poll.interval.ms"] = fields, "widen", "3000"
				r := h.start()
				h.settle()
				rows := h.tenant.Rows("invoices")
				early, top := rows[len(rows)-1].ID, rows[5].ID
				for i, value := range []string{`7`, `"seven"`, `{"seven":7}`, `null`} {
					for _, id := range []int64{rows[3].ID, rows[40].ID, rows[150].ID} {
						h.tenant.SetMember("invoices", id, "custom-fields", fmt.Sprintf(`{"came-later":%s,"number-%d":%d}`, value, i, i))
					}
					h.pass(20 * time.Second)
				}
				h.tenant.SetMember("invoices", early, "own-of-the-top", `"x"`)
				h.pass(2 * sample.Every)
				h.tenant.SetMember("invoices", top, "own-of-the-top", `5`)
				h.settle()
				records := h.records("coupa.invoices")
				for _, v := range h.tenant.Rows("invoices") {
					last := newest(t, records, v.ID)
					if fields == "schema" && v.ID == early { // from before rows in full told the name
						continue
					}
					for _, u := range h.unfitOf("invoices", last, v.JSON) {
						t.Errorf("invoice %d: %+v has no place in its record", v.ID, u)
					}
				}
				text := h.schemaOf(newest(t, records, top))
				for _, want := range []string{
					`{"name":"came_later","type":["null","long","string"],"default":null,"coupa.name":"came-later","coupa.custom":["long","string"]}`,
					`"coupa.name":"own-of-the-top"`, `"coupa.name":"number-3"`, `"coupa.name":"gpo-entity"`,
				} {
					if !strings.Contains(text, want) {
						t.Errorf("the schema lacks %s", want)
					}
				}
				unfit := r.Connectors()[0].Tasks[0].Unfit
				if n := unfit["InvoiceHeader.custom-fields.came-later"]; n != 3 || len(unfit) != 1 {
					t.Errorf("the status counts %v, want the three objects for a plain value", unfit)
				}
				if fields == "all" {
					h.check("invoices")
				}
			})
		})
	}
}

func TestAWorkerThatTakesOverGoesOnWithTheSchemaOfTheLast(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 33, Rows: 60, Objects: []string{"suppliers"}}, func(h *harness) {
		h.start()
		h.settle()
		h.tenant.SetMember("suppliers", 7, "custom-fields", `{"b":1}`)
		h.settle()
		h.tenant.SetMember("suppliers", 7, "custom-fields", `{"a":1}`)
		h.settle()
		h.stop()
		versions := h.registry.versionsOf("coupa.suppliers-value")
		h.state = t.TempDir()
		h.start()
		h.settle()
		h.tenant.SetMember("suppliers", 8, "custom-fields", `{"a":2,"b":3}`)
		h.settle()
		if again := h.registry.versionsOf("coupa.suppliers-value"); !slices.Equal(again, versions) {
			t.Errorf("%d versions, then %d: nothing was new", len(versions), len(again))
		}
		h.check("suppliers")
	})
}

// With auto, a topic keeps the form that it has, and a new one is typed if it gets rows of one tenant alone.
func TestAutoTypesCustomFieldsWhereATopicIsOfOneTenant(t *testing.T) {
	typed := func(h *harness, topic string) bool {
		versions := h.registry.versionsOf(topic + "-value")
		_, is, err := custom.FromSchema(versions[len(versions)-1])
		if err != nil {
			h.t.Fatal(err)
		}
		return is
	}
	simulate(t, coupatest.Config{Seed: 34, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		h.others["globex"] = coupatest.New(coupatest.Config{Seed: 35, Rows: 60, Objects: []string{"users"}, ClientID: "id", ClientSecret: "secret"})
		h.start()
		h.settle()
		h.stop()
		if !typed(h, "coupa.users") || !typed(h, "globex.users") {
			t.Error("topics of one tenant each have a map")
		}
		h.keys["topic.template"] = "all.${object}"
		h.shared = true
		h.start()
		h.settle()
		h.stop()
		if typed(h, "all.users") {
			t.Error("a topic of two tenants has typed fields")
		}
		delete(h.others, "globex")
		h.start()
		h.settle()
		h.stop()
		if typed(h, "all.users") {
			t.Error("the topic has changed its form when a tenant went")
		}
	})
}

func TestTypedCustomFieldsAreRefusedWhereTheTopicHasAMap(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 36, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		h.keys["custom.fields"] = "map"
		h.start()
		h.settle()
		h.stop()
		h.keys["custom.fields"] = "typed"
		err := <-h.run(h.make()).done
		if err == nil || !strings.Contains(err.Error(), "custom.fields") || !strings.Contains(err.Error(), "topic.template") {
			t.Errorf("%v; want the key and what to do", err)
		}
	})
}

// A registry that refuses a type more takes what is new
// altogether; the rest stays in unmapped and is counted.
func TestWhatTheRegistryRefusesStaysInUnmapped(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 37, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		h.keys["custom.fields.conflict"] = "widen"
		h.registry.set(func(r *memoryRegistry) {
			r.refuse = func(schema string) bool { return strings.Contains(schema, `["null","long","string"]`) }
		})
		r := h.start()
		h.settle()
		h.tenant.SetMember("users", 7, "custom-fields", `{"grade":1}`)
		h.settle()
		h.tenant.SetMember("users", 7, "custom-fields", `{"grade":"A","level":2}`)
		h.settle()
		h.check("users")
		last := newest(t, h.records("coupa.users"), 7)
		if text := h.schemaOf(last); !strings.Contains(text, `"coupa.name":"level"`) {
			t.Error("the field that is new is not typed")
		}
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || s.Unfit["User.custom-fields.grade"] != 1 {
			t.Errorf("%s %s, %v unfit; want it running and one value of grade", s.State, s.Trace, s.Unfit)
		}
		h.pass(2 * time.Hour)
		h.registry.set(func(r *memoryRegistry) { r.refuse = nil })
		other := h.tenant.Rows("users")[20].ID
		h.tenant.SetMember("users", other, "custom-fields", `{"grade":"B"}`)
		h.settle()
		if text := h.schemaOf(newest(t, h.records("coupa.users"), other)); !strings.Contains(text, `["null","long","string"]`) {
			t.Error("the registry was not asked again")
		}
	})
}

// The registry is needed for a version that is new, and a
// row waits for it; rows that have nothing new go on.
func TestAFieldThatIsNewWaitsForTheRegistry(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 38, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		h.start()
		h.settle()
		h.stop()
		h.registry.set(func(r *memoryRegistry) {
			r.fail = &registry.Error{Subject: "s", Status: 503, Act: "asking", Answer: "away", Hint: "wait"}
			r.known = true
		})
		r := h.start()
		h.settle()
		h.tenant.Update("users", 3)
		h.settle()
		h.check("users")
		h.tenant.SetMember("users", 7, "custom-fields", `{"only-now":1}`)
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; !strings.Contains(s.Trace, "away") {
			t.Errorf("%s %q; want to read what is waited for", s.State, s.Trace)
		}
		h.registry.set(func(r *memoryRegistry) { r.fail = nil })
		h.pass(2 * time.Minute)
		h.check("users")
		if text := h.schemaOf(newest(t, h.records("coupa.users"), 7)); !strings.Contains(text, "only-now") {
			t.Error("the field is not typed")
		}
	})
}

// What the worker saw of a topic counts where the registry has lost it: its form, and its fields.
func TestATopicKeepsItsFormWhenTheRegistryHasLostIt(t *testing.T) {
	for _, mode := range []string{"map", "typed"} {
		t.Run(mode, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 43, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
				h.keys["custom.fields"] = mode
				h.start()
				h.settle()
				h.stop()
				h.keys["custom.fields"] = "auto"
				h.start()
				h.settle()
				h.stop()
				before := h.registry.versionsOf("coupa.users-value")
				h.registry.set(func(r *memoryRegistry) { r.all = nil })
				h.start()
				h.settle()
				h.stop()
				if after := h.registry.versionsOf("coupa.users-value"); len(after) != 1 || after[0] != before[len(before)-1] {
					h.t.Errorf("%d versions, want the last of before alone", len(after))
				}
				h.keys["topic.template"] = "new.${object}"
				h.start()
				h.settle()
				if _, typed, err := custom.FromSchema(h.registry.versionsOf("new.users-value")[0]); err != nil || !typed {
					h.t.Errorf("a new topic of one tenant is not typed, %v", err)
				}
			})
		})
	}
}

// oneForm lets the registry refuse the other form of custom fields than a subject has, as real ones do.
// With first, another stream gives the subject that form in the moment before this one registers its own.
func (h *harness) oneForm(subject string, first string) {
	r, once := h.registry, new(sync.Once)
	form := func(schema string) bool {
		_, typed, err := custom.FromSchema(schema)
		if err != nil {
			h.t.Error(err)
		}
		return typed
	}
	r.set(func(r *memoryRegistry) {
		r.refuse = func(schema string) bool {
			if !strings.Contains(schema, `"name":"User"`) {
				return false
			}
			if first != "" {
				once.Do(func() { r.id(subject, first) })
			}
			versions := r.versionsOf(subject)
			return len(versions) > 0 && form(versions[len(versions)-1]) != form(schema)
		}
	})
}

// The subject gets the other form between this stream's look at it and its registration.
func TestAutoFollowsTheFormThatAnotherStreamGaveTheTopicMeanwhile(t *testing.T) {
	for _, conflict := range []string{"halt", "deadletter", "widen"} {
		t.Run(conflict, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 39, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
				h.keys["schema.conflict"] = conflict
				if conflict == "deadletter" {
					h.keys["errors.deadletterqueue.topic.name"] = "letters"
				}
				mapped, err := schemas.For("users", schemas.Options{})
				if err != nil {
					h.t.Fatal(err)
				}
				h.oneForm("coupa.users-value", mapped.JSON())
				r := h.start()
				h.pass(5 * time.Second)
				if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || s.DeadLetters > 0 || s.Failures > 0 {
					h.t.Errorf("%s %s, %d dead letters, %d failures", s.State, s.Trace, s.DeadLetters, s.Failures)
				}
				h.settle()
				h.check("users")
				if n := len(h.registry.versionsOf("coupa.users-value")); n != 1 {
					h.t.Errorf("%d versions, want the other stream's alone", n)
				}
			})
		})
	}
}

// Connectors that are made in one second on two workers, for
// one topic, have one form of custom fields in it.
func TestConnectorsMadeInOneSecondOnSeveralWorkersAgreeOnOneForm(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 40, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		h.unfiled, h.shared, h.registry.slow = true, true, time.Second
		workers := []*running{h.join(nil), h.join(nil)}
		h.pass(20 * time.Second)
		names := []string{"acme"}
		cfg := coupatest.Config{Seed: 41, Rows: 60, Objects: []string{"users"}, ClientID: "id", ClientSecret: "secret"}
		for n := range int32(2) {
			name := h.tenantIn(n, cfg)
			h.others[name] = coupatest.New(cfg) // with users
			names = append(names, name)
		}
		h.oneForm("coupa.users-value", "")
		for i, name := range names { // each while those before wait for what the registry says of the topic
			if _, err := workers[i%2].Create(h.t.Context(), name, h.submitted(name, nil), ""); err != nil {
				h.t.Error(err)
			}
			h.pass(300 * time.Millisecond)
		}
		h.settle()
		for _, name := range names {
			c, err := h.owner(name).Connector(name)
			if err != nil {
				h.t.Fatal(err)
			}
			if s := c.Tasks[0]; s.Failures > 0 || s.Published < 50 {
				h.t.Errorf("%s: %d failures, %d records", name, s.Failures, s.Published)
			}
		}
		forms := map[bool]bool{}
		for _, text := range h.registry.versionsOf("coupa.users-value") {
			_, typed, err := custom.FromSchema(text)
			if err != nil {
				h.t.Fatal(err)
			}
			forms[typed] = true
		}
		if len(forms) != 1 {
			h.t.Errorf("the topic has %d forms", len(forms))
		}
	})
}

// A field of the global namespace is asked for when a row in full has shown its name. What is read
// again in the overlap has it at once, under the updated_at that it went out with; what changed before
// has it with its next change.
func TestAGlobalFieldFoundMeanwhileReachesTheOverlapAtOnceAndOthersWithTheirNextChange(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 42, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		h.keys["fields"], h.keys["lookback.ms"] = "schema", "0"
		h.start()
		h.settle()
		rows := h.tenant.Rows("users")
		old, recent, sampled := rows[3].ID, rows[20].ID, rows[len(rows)-1].ID
		h.tenant.SetMember("users", old, "found-later", `"a"`)
		h.pass(sample.Every - time.Minute) // far behind the overlap when the name is found
		h.tenant.SetMember("users", recent, "found-later", `"b"`)
		h.tenant.SetMember("users", sampled, "found-later", `"c"`)
		h.pass(3 * time.Minute)
		of := func(id int64) (all []readRecord) {
			for _, r := range h.records("coupa.users") {
				if r.id == id {
					all = append(all, r)
				}
			}
			slices.SortFunc(all, func(a, b readRecord) int { return int(a.offset - b.offset) })
			return all
		}
		last := of(recent)
		n := len(last)
		if n < 2 || last[n-1].updatedAt != last[n-2].updatedAt || !strings.Contains(string(last[n-1].value), "b") {
			h.t.Errorf("the row of the overlap: %d records, the last of %s", n, last[n-1].updatedAt)
		}
		before := len(of(old))
		h.tenant.Update("users", old)
		h.settle()
		if all := of(old); before != 2 || len(all) != 3 || !strings.Contains(h.schemaOf(all[2]), "found-later") || strings.Contains(h.schemaOf(all[1]), "found-later") {
			h.t.Errorf("the row from before the overlap: %d records, then %d", before, len(all))
		}
	})
}

// Unless custom.fields.conflict says widen, a field has one type for good, so that typed
// tables go on: a number is a decimal from the first on, whether 10 or 10.5 comes first,
// and what is of another form stays in unmapped.
func TestACustomFieldKeepsTheTypeThatItBeganWith(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 39, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		r := h.start()
		h.settle()
		for _, members := range []string{`{"score":10,"day":"2026-04-01T00:00:00Z","site":{"id":7,"name":"A"},"counts":[1],"code":"x"}`,
			`{"score":10.5,"day":"soon","site":"A","counts":[1.5],"code":17}`, `{"score":"n/a","day":5,"site":true,"counts":"none","code":true,"late":1}`} {
			h.tenant.SetMember("users", 7, "custom-fields", members)
			h.settle()
		}
		last := newest(t, h.records("coupa.users"), 7)
		text := h.schemaOf(last)
		decimal := `{"type":"bytes","logicalType":"decimal","precision":38,"scale":9}`
		for _, want := range []string{`{"name":"score","type":["null",` + decimal + `]`, `{"name":"day","type":["null",{"type":"long","logicalType":"timestamp-millis"}]`,
			`{"name":"site","type":["null","coupa.CustomLookup"]`, `{"name":"counts","type":["null",{"type":"array","items":["null",` + decimal + `]}]`,
			`{"name":"code","type":["null","string"]`, `{"name":"late","type":["null",` + decimal + `]`, `{"name":"id","type":["null","long"],"default":null,"coupa.name":"id","coupa.custom":["long"]}`} {
			if !strings.Contains(text, want) {
				t.Errorf("the schema lacks %s", want)
			}
		}
		own := h.values("coupa.users")[7]["custom_fields"].(map[string]any)
		if kept := fmt.Sprint(own["unmapped"]); kept != `map[counts:none day:5 score:n/a site:true]` || own["code"] != "true" || own["late"] != 1.0 {
			t.Errorf("the last row is %v", own)
		}
		was := map[string]any{}
		for _, rec := range h.records("coupa.users") {
			if rec.id == 7 {
				was[fmt.Sprint(h.decoded(rec)["custom_fields"])] = nil
			}
		}
		if text := fmt.Sprint(was); !strings.Contains(text, "score:10 ") || !strings.Contains(text, "score:10.5") || !strings.Contains(text, "counts:[1.5]") {
			t.Errorf("numbers are %s", text)
		}
		if n := r.Connectors()[0].Tasks[0].Unfit; n["User.custom-fields.score"] != 1 || n["User.custom-fields.day"] != 2 {
			t.Errorf("the status counts %v", n)
		}
		h.check("users")
	})
}
