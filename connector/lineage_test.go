package connector

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/lineage"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// catalog takes lineage, or hangs.
type catalog struct {
	mu     sync.Mutex
	hangs  bool
	events []lineage.Event
	asked  int
}

func (c *catalog) RoundTrip(r *http.Request) (*http.Response, error) {
	var e lineage.Event
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		return nil, err
	}
	c.mu.Lock()
	hangs := c.hangs
	c.asked++
	if !hangs {
		c.events = append(c.events, e)
	}
	c.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: http.StatusCreated, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
}

// told gives the events of an object since the last call.
func (c *catalog) told(object string) (types string, last lineage.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	c.events = slices.DeleteFunc(c.events, func(e lineage.Event) bool {
		if e.Job.Name != "acme."+object {
			return false
		}
		all, last = append(all, e.Type), e
		return true
	})
	return strings.Join(all, " "), last
}

func TestTheLineageOfTasksIsToldFromStartToEnd(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 711, Rows: 30, Objects: []string{"users", "suppliers"}}, func(h *harness) {
		got := &catalog{}
		h.webhooks = &http.Client{Transport: got}
		h.worker["openlineage.url"] = "http://catalog.example.com"
		h.keys["custom.fields"] = "typed"
		r := h.start()
		h.pass(time.Minute)
		types, e := got.told("users")
		if types != "START RUNNING" || len(e.Outputs) != 1 || e.Outputs[0].Name != "coupa.users" || e.Outputs[0].Facets["schema"] == nil || e.Inputs[0].Namespace+"/"+e.Inputs[0].Name != "coupa://"+r.all()[0].c.Host()+"/users" {
			t.Errorf("%s: %+v, %+v", types, e.Inputs, e.Outputs)
		}
		h.tenant.SetMember("users", 3, "custom-fields", `{"depot":"north"}`)
		h.tenant.Update("users", 3)
		h.pass(time.Minute)
		types, e = got.told("users")
		text, err := json.Marshal(e)
		if types != "RUNNING" || !strings.Contains(string(text), `"name":"depot"`) {
			t.Errorf("with a field more: %s, %.300s (%v)", types, text, err)
		}
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Forbidden403, Object: "users", Count: -1})
		h.pass(4 * time.Minute)
		if types, _ := got.told("users"); types != "FAIL" {
			t.Errorf("without the scope: %s", types)
		}
		if types, _ := got.told("suppliers"); types != "START RUNNING" {
			t.Errorf("suppliers: %s", types)
		}
		if sent := scrape(t, r.Worker)[`coupastream_lineage_events_total{result="sent"}`]; sent != 6 {
			t.Errorf("%v events are counted", sent)
		}
		h.tenant.ClearFaults()
		h.stop()
		if types, _ := got.told("suppliers"); types != "COMPLETE" {
			t.Errorf("at the end: %s", types)
		}
	})
}

// Nothing waits for a catalog that hangs: rows go out, and the worker ends.
func TestACatalogThatHangsHoldsNothingUp(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 712, Rows: 30, Objects: []string{"users"}}, func(h *harness) {
		got := &catalog{hangs: true}
		h.webhooks = &http.Client{Transport: got}
		h.worker["openlineage.url"] = "http://catalog.example.com"
		r := h.start()
		h.pass(time.Minute)
		h.tenant.Update("users", 3)
		h.settle()
		if task := r.Connectors()[0].Tasks[0]; task.State != status.Running || task.Trace != "" {
			t.Errorf("%s %s", task.State, task.Trace)
		}
		if failed := scrape(t, r.Worker)[`coupastream_lineage_events_total{result="failed"}`]; failed == 0 || got.asked == 0 {
			t.Errorf("%v failures are counted, of %d requests", failed, got.asked)
		}
		began := time.Now()
		h.stop()
		if took := time.Since(began); took > 2*lineageFarewell {
			t.Errorf("the worker took %v to end", took)
		}
	})
}
