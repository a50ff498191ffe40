package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/replay"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// A gateway gives up pages of more than ten rows. They are asked for smaller until they come.
func TestPagesShrinkUntilTheyCome(t *testing.T) {
	for _, fields := range []string{"off", "auto"} { // without a sample of the custom fields, and with one
		t.Run(fields, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 611, Rows: 120, MaxRows: 10, RateLimit: -1, Objects: []string{"users"}}, func(h *harness) {
				h.keys["custom.fields"] = fields
				h.start()
				h.pass(20 * time.Minute)
				h.check("users")
				h.tenant.Update("users", rowIDs(h, "users")[70])
				h.pass(time.Minute)
				h.check("users")
			})
		})
	}
}

// A sample of rows that Coupa fails to send holds up nothing: custom fields are learned as rows come.
func TestASampleThatCoupaFailsToSendIsPassedOver(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 615, Rows: 120, RateLimit: -1, Objects: []string{"users", "suppliers"}}, func(h *harness) {
		h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "all", "coupa.dead"
		bad := rowIDs(h, "users")[70:] // the first that a sample asks for is one of them
		for _, id := range bad {
			h.tenant.Fail("users", id, false)
		}
		h.start()
		h.pass(30 * time.Minute)
		if got := h.missing("users"); !slices.Equal(got, bad) {
			t.Errorf("missing: %v, want %v", got, bad)
		}
		for _, id := range bad {
			h.tenant.Mend("users", id)
		}
		h.pass(time.Hour)
		h.check("users")
	})
}

// A row that Coupa fails to send stops its object, which says which one it is.
func TestARowThatCoupaFailsToSendIsNamed(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 612, Rows: 120, RateLimit: -1, Objects: []string{"users", "suppliers"}}, func(h *harness) {
		h.keys["custom.fields"] = "off"
		ids := rowIDs(h, "users")
		h.tenant.Fail("users", ids[59], false)
		r := h.start()
		tasks := r.Connectors()[0].Tasks
		for n := 0; n < 100 && tasks[0].State != status.Failed; n++ {
			h.pass(10 * time.Second)
			tasks = r.Connectors()[0].Tasks
		}
		if tasks[0].State != status.Failed || !strings.Contains(tasks[0].Trace, fmt.Sprintf("users id %d: Coupa fails to send it", ids[59])) {
			t.Errorf("users: %s %q", tasks[0].State, tasks[0].Trace)
		}
		h.check("suppliers")
	})
}

// With errors.tolerance=all the walks go on behind it, and it goes out when Coupa sends it again.
func TestTheWalkGoesOnBehindARowThatCoupaFailsToSend(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 613, Rows: 120, RateLimit: -1, Objects: []string{"users", "suppliers"}}, func(h *harness) {
		h.keys["custom.fields"], h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "off", "all", "coupa.dead"
		bad := rowIDs(h, "users")[59]
		h.tenant.Fail("users", bad, false)
		r := h.start()
		h.pass(5 * time.Minute)
		if got := h.missing("users"); !slices.Equal(got, []int64{bad}) {
			t.Errorf("missing: %v, want %d alone", got, bad)
		}
		if got := r.Connectors()[0].Tasks[0].Committed.Passed; !slices.Equal(got, []int64{bad}) {
			t.Errorf("the position has %v as passed over", got)
		}
		dead := h.records("coupa.dead")
		if len(dead) != 1 || string(dead[0].value) != fmt.Sprintf(`{"id":%d}`, bad) || dead[0].headers[record.HeaderErrorStage] != "TASK_POLL" {
			t.Errorf("dead letters: %+v", dead)
		}
		h.mustReplayAll(replay.Result{Object: "users", Failing: 1}, replay.Result{Object: "suppliers"})
		h.tenant.Mend("users", bad)
		h.pass(15 * time.Minute)
		if got := r.Connectors()[0].Tasks[0].Committed.Passed; len(got) > 0 {
			t.Errorf("the position still has %v as passed over", got)
		}
		h.check("users")
		h.mustReplayAll(replay.Result{Object: "users", Overtaken: 1}, replay.Result{Object: "suppliers"})
		h.check("users")
	})
}

// In an incident, nothing tells that it is a row's.
func TestAnOutageMakesNoDeadLetter(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 614, Rows: 120, RateLimit: -1, Objects: []string{"users", "suppliers"}}, func(h *harness) {
		h.keys["custom.fields"], h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "off", "all", "coupa.dead"
		h.start()
		h.settle()
		for _, object := range []string{"users", "suppliers"} {
			h.tenant.Inject(coupatest.Fault{Kind: coupatest.ServerError500, Object: object, Count: -1})
			h.tenant.Update(object, rowIDs(h, object)[7])
		}
		h.pass(time.Hour)
		h.tenant.ClearFaults()
		h.pass(5 * time.Minute)
		if dead := h.records("coupa.dead"); len(dead) > 0 {
			t.Errorf("%d dead letters", len(dead))
		}
		h.check("users")
		h.check("suppliers")
	})
}

// mustReplayAll is mustReplay for several objects.
func (h *harness) mustReplayAll(want ...replay.Result) {
	h.t.Helper()
	got, err := h.replay()
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range got {
		got[i].Reason = ""
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		h.t.Errorf("%+v, want %+v", got, want)
	}
}
