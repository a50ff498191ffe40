package connector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// task is what is known of an object of a connector.
func (h *harness) task(connector, object string) status.TaskStatus {
	h.t.Helper()
	c, err := h.running.Connector(connector)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, t := range c.Tasks {
		if t.Object == object {
			return t
		}
	}
	h.t.Fatalf("%s has no task of %s", connector, object)
	return status.TaskStatus{}
}

// other adds a tenant with topics of its own.
func (h *harness) other(name string, cfg coupatest.Config) *coupatest.Tenant {
	cfg.ClientID, cfg.ClientSecret = "id", "secret"
	t := coupatest.New(cfg)
	h.others[name] = t
	return t
}

func TestARowWithoutAnEndStopsItsObjectAloneAndSaysWhatToDo(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 701, Rows: 20}, func(h *harness) {
		h.keys["row.max.bytes"], h.keys["object.invoices.row.max.bytes"] = "4194304", "2097152"
		h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "all", "coupa.dead"
		good := h.other("globex", coupatest.Config{Seed: 702, Rows: 20, Objects: []string{"invoices", "suppliers"}})
		h.start()
		h.settle()
		for _, object := range []string{"invoices", "suppliers"} {
			h.tenant.Inject(coupatest.Fault{Kind: coupatest.EndlessRow, Object: object, Count: -1})
		}
		h.pass(20 * time.Second)
		v := good.Update("invoices", 5)
		began := time.Now()
		for h.task("globex", "invoices").Published < 21 && time.Since(began) < time.Minute {
			h.pass(time.Second)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the other tenant's change of id %d took %v", v.ID, took)
		}
		for object, bound := range map[string]string{"invoices": "2097152", "suppliers": "4194304"} {
			s := h.task("acme", object)
			if s.State != status.Failed || !strings.Contains(s.Trace, "the row after id ") || !strings.Contains(s.Trace, bound+" bytes of row.max.bytes") {
				t.Errorf("%s: %s %q", object, s.State, s.Trace)
			}
			if len(s.Errors) == 0 || !strings.Contains(s.Errors[0].Remedy, "raise row.max.bytes") {
				t.Errorf("%s: %+v", object, s.Errors)
			}
		}
		for _, object := range []string{"invoices", "suppliers"} {
			if s := h.task("globex", object); s.State != status.Running || len(s.Errors) > 0 {
				t.Errorf("globex %s: %s %q %v", object, s.State, s.Trace, s.Errors)
			}
		}
		h.tenant.ClearFaults()
		if _, err := h.running.Restart(h.t.Context(), "acme", RestartRequest{IncludeTasks: true, OnlyFailed: true}); err != nil {
			t.Fatal(err)
		}
		h.settle()
		for _, object := range []string{"invoices", "suppliers"} {
			h.check(object)
			h.checkOf("globex", object)
		}
	})
}

// Rows above 1 MiB of several tenants take turns, and their records need memory while a row is in hand.
func TestLargeRowsOfSeveralTenantsAllComeThrough(t *testing.T) {
	longRaced(t)
	objects := []string{"departments", "suppliers"}
	simulate(t, coupatest.Config{Seed: 703, Rows: 10, Objects: objects}, func(h *harness) {
		h.keys["record.oversize"], h.keys["custom.fields"] = "trim", "off"
		good := h.other("globex", coupatest.Config{Seed: 706, Rows: 10, Objects: objects})
		for _, tenant := range []*coupatest.Tenant{h.tenant, good} {
			for _, object := range objects {
				for i, row := range tenant.Rows(object)[:3] {
					tenant.SetMember(object, row.ID, "name", `"`+strings.Repeat("x", (1+3*i)<<20)+`"`)
				}
			}
		}
		h.start()
		h.settle()
		for _, tenant := range []string{"acme", "globex"} {
			for _, object := range objects {
				if s := h.task(tenant, object); s.Published != 10 || s.Trimmed != 3 || len(s.Errors) > 0 {
					t.Errorf("%s %s: %d records, %d trimmed, %v", tenant, object, s.Published, s.Trimmed, s.Errors)
				}
			}
		}
	})
}

func TestAnObjectThatIsStuckSaysWhichAnswerItWaitsFor(t *testing.T) {
	for kind, says := range map[coupatest.FaultKind]string{
		coupatest.Drip: "the answer to reading invoices has been arriving for ", coupatest.Hang: "there has been no answer to reading invoices for ",
	} {
		t.Run(string(kind), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 704, Rows: 20}, func(h *harness) {
				h.keys["coupa.request.timeout.ms"] = "100000"
				h.start()
				h.settle()
				h.tenant.Inject(coupatest.Fault{Kind: kind, Object: "invoices", Count: -1})
				h.pass(90 * time.Second)
				if s := h.task("acme", "invoices"); s.Condition != status.Stuck || !strings.HasPrefix(s.Trace, says) || strings.Contains(s.Trace, says+"0s") {
					t.Errorf("%s %q", s.Condition, s.Trace)
				}
				if s := h.task("acme", "suppliers"); s.Condition != status.Idle || s.Trace != "" {
					t.Errorf("the other one: %s %q", s.Condition, s.Trace)
				}
				h.tenant.ClearFaults()
				h.pass(5 * time.Minute)
				if s := h.task("acme", "invoices"); s.Condition != status.Idle || s.Trace != "" {
					t.Errorf("afterwards: %s %q", s.Condition, s.Trace)
				}
			})
		})
	}
}

func TestTextsThatAreNotUTF8AreCountedOnceForEachVersion(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 705, Rows: 20, Objects: []string{"suppliers"}}, func(h *harness) {
		h.start()
		h.settle()
		row := h.tenant.Rows("suppliers")[4]
		h.tenant.SetMember("suppliers", row.ID, "name", "\"caf\xe9\"")
		h.settle() // read again and again within the overlap
		s := h.task("acme", "suppliers")
		if s.Malformed != 1 || s.State != status.Running {
			t.Errorf("%d texts, %s %q", s.Malformed, s.State, s.Trace)
		}
		found := false
		for _, r := range h.records("coupa.suppliers") {
			found = found || r.id == row.ID && strings.Contains(string(r.value), "caf\ufffd")
		}
		if !found {
			t.Error("no record has the text with U+FFFD")
		}
		metrics, err := h.running.Metrics().Gather()
		if err != nil {
			t.Fatal(err)
		}
		counted := ""
		for _, f := range metrics {
			if f.GetName() == "coupastream_malformed_texts_total" {
				counted = fmt.Sprint(f.GetMetric()[0].GetCounter().GetValue())
			}
		}
		if counted != "1" {
			t.Errorf("the metric is %q", counted)
		}
	})
}
