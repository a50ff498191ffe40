package connector

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// join starts a worker beside the others, with a state folder and a network of its own.
func (h *harness) join(keys map[string]string) *running {
	h.t.Helper()
	all := map[string]string{"state.dir": h.t.TempDir()}
	maps.Copy(all, keys)
	l := newLink(h.net.DialContext)
	r := h.run(h.build(all, []kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(l.DialContext)}))
	r.link = l
	h.members = append(h.members, r)
	return r
}

// leave stops a worker cleanly.
func (h *harness) leave(r *running) {
	h.t.Helper()
	h.members = slices.DeleteFunc(h.members, func(m *running) bool { return m == r })
	h.end(r)
}

// tenantIn adds a tenant that belongs to a partition and gives its name.
func (h *harness) tenantIn(partition int32, cfg coupatest.Config) string {
	h.t.Helper()
	cfg.ClientID, cfg.ClientSecret = "id", "secret"
	cfg.Objects = []string{"invoices", "suppliers"}
	for i := 0; ; i++ {
		name := fmt.Sprintf("tenant%d", i)
		if _, taken := h.others[name]; !taken && shardOf(name, h.partitions()) == partition {
			h.others[name] = coupatest.New(cfg)
			return name
		}
	}
}

func (h *harness) partitions() int32 { return 2 }

// owners gives the workers that run a tenant, as their status says.
func (h *harness) owners(tenant string) []*running {
	var owners []*running
	for _, r := range h.members {
		for _, c := range r.Status() {
			if c.Name == tenant && c.Tasks[0].State == Running {
				owners = append(owners, r)
			}
		}
	}
	return owners
}

// owner is the one worker that runs a tenant.
func (h *harness) owner(tenant string) *running {
	h.t.Helper()
	owners := h.owners(tenant)
	if len(owners) != 1 {
		h.t.Fatalf("%s has %d owners", tenant, len(owners))
	}
	return owners[0]
}

// restores counts how often shards were restored, by shard.
func (h *harness) restores() map[string]int {
	n := map[string]int{}
	for line := range strings.Lines(h.log.String()) {
		if strings.Contains(line, `msg="shard restored"`) {
			_, rest, _ := strings.Cut(line, "shard=")
			shard, _, _ := strings.Cut(rest, " ")
			n[shard]++
		}
	}
	return n
}

// shared runs f with a tenant in each of two partitions: acme and the one that is given.
func shared(t *testing.T, seed uint64, f func(h *harness, other string)) {
	t.Helper()
	simulate(t, coupatest.Config{Seed: seed, Rows: 130}, func(h *harness) {
		f(h, h.tenantIn(1-shardOf("acme", h.partitions()), coupatest.Config{Seed: seed + 1, Rows: 130}))
	})
}

func (h *harness) change(tenant string, n int64) {
	t, _ := h.named(tenant)
	t.Update("invoices", 1+n%130)
	t.Create("suppliers")
}

func (h *harness) checkAll() {
	h.t.Helper()
	for _, tenant := range append([]string{"acme"}, slices.Collect(maps.Keys(h.others))...) {
		h.checkOf(tenant, "invoices")
		h.checkOf(tenant, "suppliers")
	}
}

func TestTwoWorkersShareTheShards(t *testing.T) {
	shared(t, 300, func(h *harness, other string) {
		a := h.join(nil)
		h.settle()
		if h.owner("acme") != a || h.owner(other) != a {
			t.Fatal("a single worker does not run everything")
		}
		h.join(nil)
		for i := range 20 {
			h.change("acme", int64(i))
			h.change(other, int64(i))
			h.pass(700 * time.Millisecond)
		}
		h.settle()
		if h.owner("acme") == h.owner(other) {
			t.Error("one of two workers runs both shards")
		}
		h.checkAll()
	})
}

func TestAWorkerThatStopsHandsItsShardsOverAtOnce(t *testing.T) {
	shared(t, 310, func(h *harness, other string) {
		h.join(nil)
		h.join(nil)
		h.settle()
		leaving, left := h.owner("acme"), h.owner(other)
		h.change("acme", 1)
		h.leave(leaving)
		h.change("acme", 2)
		h.pass(3 * time.Second)
		if h.owner("acme") != left {
			t.Error("the tenant of the worker that has stopped is not with the other one")
		}
		h.settle()
		h.checkAll()
	})
}

func TestAWorkerThatWasCutOffComesBackAndDisturbsNobody(t *testing.T) {
	for _, off := range []time.Duration{4 * time.Second, 9 * time.Second, 11 * time.Second, 15 * time.Second, 70 * time.Second, 5 * time.Minute} {
		t.Run(off.String(), func(t *testing.T) {
			shared(t, 320, func(h *harness, other string) {
				h.join(nil)
				h.join(nil)
				h.settle()
				changes := int64(0)
				during := func(d time.Duration) {
					for end := time.Now().Add(d); time.Now().Before(end); changes++ {
						h.change("acme", changes)
						h.change(other, changes)
						h.pass(300 * time.Millisecond)
					}
				}
				zombie := h.owner("acme")
				during(2 * time.Second)
				zombie.link.cut()
				during(off)
				zombie.link.mend()
				during(20 * time.Second)
				h.pass(2 * time.Minute)
				h.owner("acme")
				h.owner(other)
				if h.owner("acme") == h.owner(other) {
					t.Error("one of two workers runs both shards")
				}
				h.change("acme", changes)
				h.change(other, changes)
				h.settle()
				h.checkAll()
			})
		})
	}
}

func TestTheShardsOfADeadWorkerAreTakenOver(t *testing.T) {
	shared(t, 330, func(h *harness, other string) {
		h.join(nil)
		h.join(nil)
		h.settle()
		dead, left := h.owner("acme"), h.owner(other)
		h.change("acme", 1)
		dead.link.cut()
		h.change("acme", 2)
		h.pass(13 * time.Second)
		h.members = slices.DeleteFunc(h.members, func(m *running) bool { return m == dead })
		if h.owner("acme") != left {
			t.Error("the dead worker's tenant is not with the other one")
		}
		h.settle()
		h.checkAll()
		h.end(dead)
	})
}
