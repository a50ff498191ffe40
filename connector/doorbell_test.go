package connector

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// ring rings the doorbell of an object of acme's.
func (h *harness) ring(object string) {
	h.t.Helper()
	if err := h.running.Ring("acme", object); err != nil {
		h.t.Error(err)
	}
}

// doorbell → committed, far from the next poll in its turn.
func TestADoorbellHasAChangeCommittedAtOnce(t *testing.T) {
	for _, c := range []struct {
		lines string
		late  time.Duration // when Coupa shows what it rings for
		most  time.Duration
	}{
		{config.LinesEmbedded, 0, 300 * time.Millisecond},
		{config.LinesEmbedded, 2 * time.Second, 5 * time.Second},
		{config.LinesTopics, 0, 5 * time.Second}, // not before its second is settled
	} {
		t.Run(fmt.Sprint(c.lines, " ", c.late), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 971, Rows: 40, Objects: []string{"invoices"}, Latency: 80 * time.Millisecond}, func(h *harness) {
				h.keys["poll.interval.ms"], h.keys["lines"] = "3600000", c.lines
				var mu sync.Mutex
				var at time.Time
				var took []time.Duration
				h.published = func(p shard.Publication) {
					mu.Lock()
					defer mu.Unlock()
					if p.Op == record.OpUpsert && !at.IsZero() {
						took, at = append(took, time.Since(at)), time.Time{}
					}
				}
				h.start()
				h.settle()
				rng := rand.New(rand.NewPCG(1, 971))
				for range 20 {
					h.pass(15*time.Second + time.Duration(rng.IntN(3000))*time.Millisecond)
					mu.Lock()
					at = time.Now()
					mu.Unlock()
					h.tenant.UpdateLate("invoices", int64(1+rng.IntN(40)), c.late)
					h.ring("invoices")
				}
				h.pass(10 * time.Second)
				mu.Lock()
				slices.Sort(took)
				mu.Unlock()
				if len(took) != 20 || took[10] > c.most || took[19] > 2*c.most {
					t.Errorf("doorbell → committed, of 20: %v", took)
				}
				t.Logf("p50 %v, all within %v", took[len(took)/2], took[len(took)-1])
				if s := h.task("acme", "invoices"); s.Doorbells != 20 || s.EarlyPolls < 20 || s.EarlyPolls > 40 {
					t.Errorf("%d doorbells, %d polls out of turn", s.Doorbells, s.EarlyPolls)
				}
				h.check("invoices")
			})
		})
	}
}

// Ten thousand rings in a minute take no more than a poll's share of the rate, and one line of the log.
func TestAStormOfDoorbellsCostsNoMoreThanItsShare(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 972, Rows: 40, Objects: []string{"users", "suppliers"}, Latency: 80 * time.Millisecond}, func(h *harness) {
		h.keys["poll.interval.ms"], h.keys["coupa.rate.limit"] = "3600000", "25"
		h.start()
		h.settle()
		before := h.tenant.RequestCounts()
		const seconds = 60
		for range seconds * 10 {
			for range 17 {
				h.ring("users")
				h.ring("suppliers")
			}
			h.pass(100 * time.Millisecond)
		}
		h.pass(10 * time.Second)
		after := h.tenant.RequestCounts()
		n := after["users"] + after["suppliers"] - before["users"] - before["suppliers"]
		if share := int64(0.2 * 25 * (seconds + 10)); n < share/2 || n > share+30 {
			t.Errorf("%d requests; the share of the polls is %d", n, share)
		}
		for _, object := range []string{"users", "suppliers"} {
			if s := h.task("acme", object); s.Doorbells != seconds*170 || s.EarlyPolls > n {
				t.Errorf("%s: %d doorbells, %d polls out of turn", object, s.Doorbells, s.EarlyPolls)
			}
		}
		if n := strings.Count(h.log.String(), "a doorbell rings"); n != 2 {
			t.Errorf("the log has %d lines, want one for each object", n)
		}
		h.check("users")
	})
}

func TestWhatHasNoDoorbell(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 973, Rows: 5, Objects: []string{"users", "contracts", "contracts/legal_documents"}}, func(h *harness) {
		h.start()
		h.settle()
		for _, c := range []struct {
			name, object string
			want         error
		}{
			{"acme", "users", nil}, {"acme", "contracts/legal_documents", ErrNoDoorbell}, // it is read whole
			{"acme", "invoices", ErrNoDoorbell}, {"acme", "", ErrNoDoorbell}, {"nobody", "users", ErrUnknownConnector},
		} {
			if err := h.running.Ring(c.name, c.object); !errors.Is(err, c.want) {
				t.Errorf("%s %s: %v", c.name, c.object, err)
			}
		}
	})
}

// A ring is for the worker that runs the object, and asks for nothing while it is paused.
func TestWhoHearsADoorbell(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 974, Rows: 5, Objects: []string{"users"}}, func(h *harness) {
		h.keys["poll.interval.ms"] = "3600000"
		h.join(nil)
		h.join(nil)
		h.settle()
		owners := h.owners("acme")
		if len(owners) != 1 {
			t.Fatalf("%d workers run it", len(owners))
		}
		elsewhere := 0
		for _, r := range h.members {
			var other *NotOwnerError
			switch err := r.Ring("acme", "users"); {
			case errors.As(err, &other):
				elsewhere++
				if other.Owner.URL != owners[0].cfg.Self.URL {
					t.Errorf("passed on to %+v", other.Owner)
				}
			case err != nil || r != owners[0]:
				t.Errorf("%v", err)
			}
		}
		if elsewhere != 1 {
			t.Errorf("%d workers pass it on", elsewhere)
		}
		if err := owners[0].SetState(h.t.Context(), "acme", status.Paused); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Second)
		before := h.tenant.RequestCounts()["users"]
		h.tenant.Update("users", 1)
		for range 10 {
			if err := owners[0].Ring("acme", "users"); err != nil {
				t.Error(err)
			}
			h.pass(time.Second)
		}
		if n := h.tenant.RequestCounts()["users"] - before; n > 0 {
			t.Errorf("%d requests while it is paused", n)
		}
		if err := owners[0].SetState(h.t.Context(), "acme", status.Running); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Second)
		h.check("users")
	})
}

// Whoever rings, and however often: the topics hold what Coupa has, once, and in order.
func TestDoorbellsChangeNoHistory(t *testing.T) {
	for seed := range random(40, unlessRaced[uint64](4, 2)) {
		t.Run(fmt.Sprint("history ", seed), func(t *testing.T) {
			s := newStory(1000 + seed)
			s.bell = rand.New(rand.NewPCG(seed, 97))
			s.run(t)
		})
	}
}
