package connector

import (
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// What Coupa, or what stands before it, answers in an incident. 25 minutes of it are long enough
// for six attempts, after which what a person has to act on is tried hourly.
func TestAnIncidentOfCoupasOwnIsOverSoonAfterItEnds(t *testing.T) {
	longRaced(t)
	answered := func(status int, kind, body string) coupatest.Fault {
		return coupatest.Fault{Kind: coupatest.Canned, Status: status, Type: kind, Body: body}
	}
	for name, fault := range map[string]coupatest.Fault{
		"500":                       {Kind: coupatest.ServerError500},
		"401":                       {Kind: coupatest.Unauthorized401},
		"401 of a gateway":          answered(401, "application/json", `{"message":"Unauthorized"}`),
		"401 of a gateway, as text": answered(401, "text/plain", "no"),
		"404 of a gateway":          {Kind: coupatest.WebPage404},
		"403 of a firewall":         {Kind: coupatest.WebPage403},
		"HTML":                      {Kind: coupatest.LoginPage},
		"HTML that is called JSON":  answered(200, "application/json", "<html><body>Sorry</body></html>"),
		"a row twice":               {Kind: coupatest.RepeatRow},
		"a window that is ignored":  {Kind: coupatest.IgnoreFilter},
		"204":                       answered(204, "", ""),
		"an id that is none":        answered(200, "", `[{"id":-5}]`),
		"no JSON type":              answered(200, "application/octet-stream", `[]`),
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 750, Rows: 60, Objects: []string{"users", "suppliers"}}, func(h *harness) {
				h.start()
				h.settle()
				fault.Object, fault.Count = "suppliers", -1
				h.tenant.Inject(fault)
				for range 25 {
					h.tenant.Update("users", 5)
					h.tenant.Update("suppliers", 5)
					h.pass(time.Minute)
					if s := h.task("acme", "suppliers"); s.CircuitOpen || s.Condition == status.Blind || s.Trace == "" {
						t.Fatalf("%s %q, %s, the circuit is open: %v", s.State, s.Trace, s.Condition, s.CircuitOpen)
					}
				}
				if n := strings.Count(h.log.String(), "the object has stopped"); n > 5 {
					t.Errorf("the log tells %d times within 25 minutes that it has stopped", n)
				}
				h.tenant.ClearFaults()
				h.pass(31 * time.Second)
				if s := h.task("acme", "suppliers"); s.State != status.Running || s.Trace != "" {
					t.Errorf("30 s after it ended: %s %q", s.State, s.Trace)
				}
				h.pass(5 * time.Second)
				h.check("suppliers")
			})
		})
	}
}

func TestWhatAPersonHasToActOnOpensTheCircuitThoughOthersAreWell(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 751, Rows: 20, Objects: []string{"users", "suppliers"}}, func(h *harness) {
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Forbidden403, Object: "suppliers", Count: -1})
		h.start()
		h.pass(time.Hour)
		if s := h.task("acme", "suppliers"); !s.CircuitOpen || s.Condition != status.Blind || s.Restarts > 12 {
			t.Errorf("%s, %s, %d restarts, the circuit is open: %v", s.State, s.Condition, s.Restarts, s.CircuitOpen)
		}
	})
}

func TestAConnectorOfOneObjectIsBackSoonAfterAnIncident(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 752, Rows: 20, Objects: []string{"suppliers"}}, func(h *harness) {
		h.start()
		h.settle()
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Unauthorized401, Count: -1})
		h.pass(40 * time.Minute)
		h.tenant.Update("suppliers", 5)
		if s := h.task("acme", "suppliers"); s.CircuitOpen || s.State != status.Failed {
			t.Errorf("%s, the circuit is open: %v", s.State, s.CircuitOpen)
		}
		h.tenant.ClearFaults()
		h.pass(2*time.Minute + 10*time.Second)
		h.check("suppliers")
	})
}
