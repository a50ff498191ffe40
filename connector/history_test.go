package connector

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// A failing history is run again with -seed N -seeds 1.
var (
	firstSeed = flag.Uint64("seed", 0, "first seed of the random histories")
	seeds     = flag.Uint64("seeds", random(50, 1), "how many random histories")
)

func TestAPageInTheWrongOrderSkipsNoRow(t *testing.T) {
	longRaced(t)
	for kind, count := range map[coupatest.FaultKind]int{
		coupatest.WrongOrder: severalAnswers, coupatest.RepeatRow: 1, coupatest.LongPage: 1, coupatest.IgnoreFilter: severalAnswers,
	} {
		t.Run(string(kind), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 101, Rows: 130}, func(h *harness) {
				h.keys["poll.interval.ms"] = "5000"
				h.keys["lookback.ms"] = "0" // a look-back would find what is skipped
				h.tenant.Inject(coupatest.Fault{Kind: kind, Object: "invoices", Count: count})
				h.start()
				h.pass(30 * time.Minute)
				h.check("invoices")
				h.stoppedOnce("invoices")
			})
		})
	}
}

// severalAnswers are enough for one with several rows to be among them. The first ones have one row, or none.
const severalAnswers = 8

// stoppedOnce sees to it that an object was stopped by a fault that it met.
func (h *harness) stoppedOnce(object string) {
	h.t.Helper()
	if !strings.Contains(h.log.String(), "the object has stopped") {
		h.t.Errorf("%s has not met the fault", object)
	}
}

func TestAPageOfHugeRowsInTheWrongOrderSkipsNoRow(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 124, Rows: 60, RowBytes: 300 << 10, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["fields"], h.keys["poll.interval.ms"] = "schema", "5000"
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.WrongOrder, Object: "invoices", Count: severalAnswers})
		h.start()
		h.pass(30 * time.Minute)
		if n := len(h.records("coupa.invoices")); n != 60 {
			t.Errorf("%d records of 60 rows", n)
		}
		h.stoppedOnce("invoices")
	})
}

func TestALongerOverlapRepeatsNothing(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 105, Rows: 60}, func(h *harness) {
		h.keys["lookback.ms"], h.keys["poll.interval.ms"] = "0", "5000"
		h.start()
		h.settle()
		h.tenant.Update("invoices", 5)
		h.pass(5 * time.Minute)
		h.tenant.Update("invoices", 6)
		h.pass(25 * time.Minute)
		h.tenant.Update("invoices", 7)
		h.pass(25 * time.Minute)
		h.tenant.Update("invoices", 8)
		h.pass(30 * time.Minute)
		h.tenant.Update("invoices", 9)
		h.settle()
		h.stop()
		h.keys["overlap.ms"] = "86400000"
		h.start()
		h.settle()
		h.check("invoices")
	})
}

func TestALongWalkThatIsStoppedAgainAndAgain(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 111, Rows: 6000, Objects: []string{"users"}, Latency: 100 * time.Millisecond}, func(h *harness) {
		h.keys["coupa.rate.limit"] = "25"
		for i := range 12 {
			h.start()
			h.pass(9*time.Second + time.Duration(i*137)*time.Millisecond)
			for k := range 20 {
				h.tenant.Update("users", int64(1+(i*997+k*311)%6000))
			}
			h.stop()
		}
		h.start()
		h.pass(10 * time.Minute)
		h.check("users")
	})
}

func TestAnyMixOfFaultsLosesAndRepeatsNothing(t *testing.T) {
	longRaced(t)
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 200 + seed, Rows: 300, Latency: 50 * time.Millisecond}, func(h *harness) {
				rng := rand.New(rand.NewPCG(seed, 1))
				kinds := []coupatest.FaultKind{coupatest.Throttle429, coupatest.HTML503, coupatest.ServerError500, coupatest.LoginPage, coupatest.Reset,
					coupatest.Truncate, coupatest.RedirectAway, coupatest.Unauthorized401, coupatest.WrongOrder, coupatest.RepeatRow, coupatest.LongPage, coupatest.IgnoreFilter, coupatest.ClockBack, coupatest.Hang, coupatest.HangBody}
				h.keys["lookback.ms"], h.keys["poll.interval.ms"] = "0", "2000"
				h.start()
				var second *running
				cut := false
				for range 45 {
					switch rng.IntN(10) {
					case 0, 1, 2:
						h.tenant.Inject(coupatest.Fault{Kind: kinds[rng.IntN(len(kinds))], Count: 1 + rng.IntN(3), After: rng.IntN(4)})
					case 3:
						h.net.Lose([]kmsg.Key{kmsg.EndTxn, kmsg.Produce, kmsg.InitProducerID}[rng.IntN(3)], 1+rng.IntN(4))
					case 4:
						h.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{[]kmsg.Key{kmsg.EndTxn, kmsg.Produce}[rng.IntN(2)]}, Err: []*kerr.Error{kerr.NotEnoughReplicas, kerr.InvalidTxnState, kerr.CoordinatorNotAvailable, kerr.UnknownServerError}[rng.IntN(4)], Count: 1 + rng.IntN(3)})
					case 5:
						h.stop()
						if rng.IntN(2) == 0 {
							h.state = t.TempDir()
						}
						h.pass(time.Duration(rng.IntN(120)) * time.Second)
						h.start()
					case 6:
						if second == nil {
							second = h.join(nil)
						} else if !cut {
							h.leave(second)
							second = nil
						}
					case 7:
						switch {
						case second != nil && cut:
							second.link.mend()
							cut = false
						case second != nil:
							second.link.cut()
							cut = true
						}
					}
					for range rng.IntN(40) {
						h.tenant.Update("invoices", int64(1+rng.IntN(350)))
					}
					h.tenant.CreateLate("suppliers", time.Duration(rng.IntN(20))*time.Second)
					h.tenant.Tie("invoices", rng.IntN(60))
					h.pass(time.Duration(1+rng.IntN(9000)) * time.Millisecond)
				}
				h.tenant.ClearFaults()
				h.net.Lose(kmsg.EndTxn, 0)
				if cut {
					second.link.mend()
				}
				h.pass(3 * time.Minute)
				// what failed again and again may wait for long by itself
				for _, r := range h.owners("acme") {
					if _, err := r.Restart(h.t.Context(), "acme", RestartRequest{IncludeTasks: true, OnlyFailed: true}); err != nil {
						t.Error(err)
					}
				}
				h.pass(10 * time.Minute)
				select {
				case err := <-h.running.done:
					h.running = nil
					t.Errorf("the worker ended: %v", err)
				default:
				}
				if n := len(h.owners("acme")); n != 1 {
					t.Errorf("%d workers run the tenant", n)
				}
				h.check("invoices")
				h.check("suppliers")
			})
		})
	}
}
