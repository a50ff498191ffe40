package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// twenty are as many objects as a large tenant streams. A simulated tenant has the first few of them.
func twenty() []string {
	paths := coupatest.Resources()
	for _, r := range coupa.Resources() {
		if r.Parent == "" && len(paths) < 20 && !slices.Contains(paths, r.Path) {
			paths = append(paths, r.Path)
		}
	}
	return paths
}

// until waits for something, and returns how long that took; at most a time.
func (h *harness) until(most time.Duration, is func() bool) time.Duration {
	began := time.Now()
	for !is() && time.Since(began) < most {
		h.pass(100 * time.Millisecond)
	}
	return time.Since(began)
}

func TestTenantsWhoseTokenEndpointHangsHoldUpNoOther(t *testing.T) {
	longRaced(t)
	objects := []string{"invoices", "suppliers", "users"}
	simulate(t, coupatest.Config{Seed: 710, Rows: 5, Objects: objects}, func(h *harness) {
		h.keys["coupa.objects"], h.keys["coupa.rate.limit"] = strings.Join(twenty(), ","), "15"
		h.own = map[string]string{"coupa.objects": strings.Join(objects, ",")}
		var hanging []*coupatest.Tenant
		for i := range 10 {
			// by name before and behind the good one
			tenant := h.other(fmt.Sprintf("%c%d", "ax"[i%2], i), coupatest.Config{Seed: uint64(711 + i), Rows: 1})
			tenant.Inject(coupatest.Fault{Kind: coupatest.Hang, Object: coupatest.TokenRequests, Count: -1})
			hanging = append(hanging, tenant)
		}
		h.start()
		published := func() bool {
			return slices.ContainsFunc(objects, func(object string) bool { return h.task("acme", object).Published > 0 })
		}
		if first := h.until(time.Minute, published); first > 8*time.Second {
			t.Errorf("the good tenant's first record came after %v", first)
		}
		h.pass(time.Minute)
		for _, object := range objects {
			if s := h.task("acme", object); s.Published != 5 {
				t.Errorf("%s: %d records, %s %q", object, s.Published, s.State, s.Trace)
			}
		}
		s := h.task("x1", "users")
		if s.State != status.Running || !strings.Contains(s.Trace, "getting a token") {
			t.Errorf("a tenant whose endpoint hangs: %s %q", s.State, s.Trace)
		}
		if s.Condition == status.Busy {
			t.Error("an object without a token, and of which nothing was read, publishes changes")
		}
		for _, tenant := range hanging {
			tenant.ClearFaults()
		}
		h.pass(2 * time.Minute)
		if s := h.task("x1", "invoices"); s.Published != 1 {
			t.Errorf("when the endpoint is well: %d records, %s %q", s.Published, s.State, s.Trace)
		}
	})
}

func TestARegistryThatHangsHoldsUpNobodyWhoseIDsAreKnown(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 730, Rows: 20}, func(h *harness) {
		h.start()
		h.settle()
		h.stop()
		for i := range 10 { // of which no id is known
			h.other(fmt.Sprintf("%c%d", "ax"[i%2], i), coupatest.Config{Seed: uint64(731 + i), Rows: 1, Objects: []string{"invoices", "suppliers"}})
		}
		h.registry.set(func(r *memoryRegistry) { r.hangs = true })
		h.tenant.Update("invoices", 5)
		h.start()
		if took := h.until(time.Minute, func() bool { return h.task("acme", "invoices").Published > 0 }); took > 8*time.Second {
			t.Errorf("the first record came after %v", took)
		}
		if s := h.task("x1", "invoices"); s.Published > 0 {
			t.Error("the registry does not hang")
		}
		h.registry.set(func(r *memoryRegistry) { r.hangs = false })
		h.pass(2 * time.Minute)
		h.check("invoices")
		h.checkOf("x1", "invoices")
	})
}

// Where nothing can start at all for a cause that needs a person, the worker says why and ends, be
// it that other requests hang until the preflight is over.
func TestAWorkerThatCanStartNothingEndsWithTheReason(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 740, Rows: 1}, func(h *harness) {
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Canned, Object: coupatest.TokenRequests, Status: 401, Body: `{"error":"invalid_client"}`, Count: -1})
		r := h.run(h.make())
		err := <-r.done
		if err == nil || !strings.Contains(err.Error(), "none of 2 objects can start; the first: ") || !strings.Contains(err.Error(), "coupa.client.secret") {
			t.Errorf("%v", err)
		}
		r.cancel()
		// one other that may be well later is reason enough to go on
		other := h.other("globex", coupatest.Config{Seed: 741, Rows: 1, Objects: []string{"invoices", "suppliers"}})
		other.Inject(coupatest.Fault{Kind: coupatest.Hang, Object: coupatest.TokenRequests, Count: -1})
		h.start()
		h.settle()
		if s := h.task("acme", "invoices"); s.State != status.Failed || !strings.Contains(s.Trace, "coupa.client.secret") {
			t.Errorf("%s %q", s.State, s.Trace)
		}
		other.ClearFaults()
		h.pass(2 * time.Minute) // requests that hang end in the test's time
	})
}
