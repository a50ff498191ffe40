package connector

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// A failing history is printed with its seed and run again with -history N -histories 1.
var (
	firstHistory = flag.Uint64("history", 0, "seed of the first short history")
	histories    = flag.Uint64("histories", random(1, unlessRaced[uint64](18, 6)), "how many short histories")
)

// random is how many of its random runs a test makes: a few, or one for
// each costs of the HISTORIES short histories that the environment asks for.
func random(costs, few uint64) uint64 {
	long := os.Getenv("HISTORIES")
	if long == "" {
		return few
	}
	n, err := strconv.ParseUint(long, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("HISTORIES=%s; give a whole number", long))
	}
	return max(1, n/costs)
}

// longRaced leaves out, with -short, a test that the race detector
// makes long, and in which nothing runs that runs in no other.
func longRaced(t *testing.T) {
	t.Helper()
	if raced && testing.Short() {
		t.Skip("too long under the race detector, with -short")
	}
}

func unlessRaced[T any](n, less T) T {
	if raced {
		return less
	}
	return n
}

// TestAnyShortHistoryIsPublishedWhole makes small random histories: writes, ties, late rows,
// changes of lines alone, updates under the reader, faults of Coupa and of Kafka, restarts
// with the local state kept, lost or old. Whatever happens, the topic equals the history.
func TestAnyShortHistoryIsPublishedWhole(t *testing.T) {
	for seed := *firstHistory; seed < *firstHistory+*histories; seed++ {
		t.Run(fmt.Sprint("history ", seed), func(t *testing.T) {
			newStory(seed).run(t)
			if t.Failed() {
				t.Logf("run it again: go test ./connector -run TestAnyShortHistoryIsPublishedWhole -history %d -histories 1 -v", seed)
			}
		})
	}
}

// story is one short history; everything in it follows from the seed.
type story struct {
	*rand.Rand
	seed   uint64
	object string
	lines  string
	poll   time.Duration
	clocks []time.Duration
	told   []string
	bell   *rand.Rand // when doorbells ring; nil: none does
}

func newStory(seed uint64) *story {
	s := &story{Rand: rand.New(rand.NewPCG(seed, 7)), seed: seed}
	s.object = []string{"users", "purchase_orders", "invoices"}[s.IntN(3)]
	s.lines = []string{config.LinesEmbedded, config.LinesTopics, config.LinesBoth}[s.IntN(3)]
	s.poll = []time.Duration{300 * time.Millisecond, time.Second, 4 * time.Second, 10 * time.Second}[s.IntN(4)]
	if s.IntN(2) == 0 {
		s.clocks = []time.Duration{-2 * time.Second, 2 * time.Second} // settle.ms apart from what is right
	}
	return s
}

func (s *story) run(t *testing.T) {
	cfg := coupatest.Config{Seed: s.seed, Rows: s.IntN(25) - 1, Objects: []string{s.object}, PageCap: 1 + s.IntN(8), Clocks: s.clocks, Latency: time.Duration(s.IntN(3)*20) * time.Millisecond}
	simulate(t, cfg, func(h *harness) {
		h.keys["poll.interval.ms"] = fmt.Sprint(s.poll.Milliseconds())
		h.keys["overlap.ms"] = []string{"20000", "60000"}[s.IntN(2)]
		h.keys["lookback.ms"] = []string{"0", "3600000"}[s.IntN(2)]
		h.keys["settle.ms"] = []string{"0", "2000"}[s.IntN(2)]
		h.keys["lines"] = s.lines
		if s.object == "users" {
			s.lines = config.LinesEmbedded // they have none
			h.keys["lines"] = s.lines
		}
		states := []string{h.state}
		h.start()
		for range 4 + s.IntN(10) {
			s.step(h, &states)
			s.pass(h, time.Duration(s.Int64N(int64(2*s.poll))))
		}
		h.tenant.ClearFaults()
		h.net.Lose(kmsg.EndTxn, 0)
		h.pass(15 * time.Second) // the latest row is there
		h.catchUp(s.poll)
		if s.clocks != nil {
			h.pass(40 * time.Second) // what was set back is believed after half the overlap
		}
		h.check(s.object)
		if t.Failed() {
			t.Logf("seed %d: %+v, keys %v, steps %v", s.seed, cfg, h.keys, s.told)
		}
	})
}

// pass lets time pass, in which doorbells ring: none, one, or a storm of them.
func (s *story) pass(h *harness, d time.Duration) {
	for s.bell != nil && d > 0 {
		part := min(d, time.Duration(s.bell.Int64N(int64(2*time.Second))))
		h.pass(part)
		d -= part
		for range s.bell.IntN(3) * s.bell.IntN(40) {
			h.ring(s.object)
		}
	}
	h.pass(d)
}

// catchUp waits until the mark has passed all that the tenant has, by two polls, and the
// backfill is done; at most as long as an object pauses that a fault of Coupa has stopped.
func (h *harness) catchUp(poll time.Duration) {
	h.t.Helper()
	passed := int64(0)
	for waited := time.Duration(0); waited < 20*time.Minute; waited += poll {
		h.pass(poll)
		s := h.running.Connectors()[0].Tasks[0]
		if s.State != status.Running || s.Snapshot || !s.Mark.After(h.tenant.SettledAt()) {
			passed = s.Polls
		}
		if s.Polls >= passed+2 {
			h.pass(poll) // its lines
			return
		}
	}
	h.t.Error("the worker does not catch up")
}

func (s *story) tell(format string, args ...any) {
	s.told = append(s.told, fmt.Sprintf(format, args...))
}

func (s *story) step(h *harness, states *[]string) {
	id := int64(1 + s.IntN(24))
	switch s.IntN(17) {
	case 0, 1, 2:
		n := 1 + s.IntN(4)
		s.tell("update %d, %d times", id, n)
		for range n {
			h.tenant.Update(s.object, id)
		}
	case 3, 4:
		s.tell("line of %d", id)
		if s.IntN(4) == 0 {
			h.tenant.RemoveLine(s.object, id)
			h.pass(time.Duration(s.IntN(90)) * time.Second)
			h.tenant.Update(s.object, id) // nothing else tells of it
		} else {
			h.tenant.UpdateLineLate(s.object, id, time.Duration(s.IntN(8000))*time.Millisecond)
		}
	case 5:
		n := 1 + s.IntN(20)
		s.tell("tie of %d", n)
		h.tenant.Tie(s.object, n)
	case 6:
		by := time.Duration(s.IntN(15000)) * time.Millisecond
		s.tell("late by %v", by)
		h.tenant.CreateLate(s.object, by)
	case 7:
		s.tell("create")
		h.tenant.Create(s.object)
	case 8:
		// No page that is too long: with a cap below 50 nobody can tell one from a cap that was raised.
		kinds := []coupatest.FaultKind{coupatest.Throttle429, coupatest.HTML503, coupatest.ServerError500, coupatest.LoginPage, coupatest.Reset, coupatest.Truncate,
			coupatest.RedirectAway, coupatest.Unauthorized401, coupatest.WrongOrder, coupatest.RepeatRow, coupatest.IgnoreFilter, coupatest.ClockBack}
		f := coupatest.Fault{Kind: kinds[s.IntN(len(kinds))], Count: 1 + s.IntN(3), After: s.IntN(4)}
		if f.Kind == coupatest.IgnoreFilter {
			f.Count = 1 // three in turn show an instance that can't be asked by lines
		}
		s.tell("coupa: %s, %d after %d", f.Kind, f.Count, f.After)
		h.tenant.Inject(f)
	case 9, 10:
		key, n := []kmsg.Key{kmsg.EndTxn, kmsg.Produce, kmsg.InitProducerID}[s.IntN(3)], 1+s.IntN(4)
		s.tell("kafka: %d answers to %s are lost", n, key.Name())
		h.net.Lose(key, n)
	case 11:
		f := kfake.Fault{
			Keys:  []kmsg.Key{[]kmsg.Key{kmsg.EndTxn, kmsg.Produce}[s.IntN(2)]},
			Err:   []*kerr.Error{kerr.NotEnoughReplicas, kerr.InvalidTxnState, kerr.CoordinatorNotAvailable, kerr.ConcurrentTransactions}[s.IntN(4)],
			Count: 1 + s.IntN(3),
		}
		s.tell("kafka: %d times %v to %s", f.Count, f.Err, f.Keys[0].Name())
		h.cluster.Fault(f)
	case 12:
		apart := time.Duration(s.IntN(8000)) * time.Millisecond
		s.tell("update %d in steps %v apart", id, apart)
		h.tenant.UpdateInSteps(s.object, id, apart)
	case 13:
		s.tell("%d changes again and again, and is as it was before", id)
		for i := range 3 + s.IntN(3) {
			h.tenant.SetMember(s.object, id, "login", fmt.Sprintf("%q", []string{"one", "other"}[i%2]))
			h.pass(time.Duration(s.IntN(500)) * time.Millisecond)
		}
	case 14:
		s.tell("changes while rows are read")
		for i := range 20 {
			h.tenant.Update(s.object, 1+(id+int64(i))%24)
			h.pass(time.Duration(s.IntN(200)) * time.Millisecond)
		}
	default:
		h.stop()
		switch s.IntN(3) {
		case 0:
			*states = append(*states, h.t.TempDir())
			h.state = (*states)[len(*states)-1]
		case 1:
			h.state = (*states)[s.IntN(len(*states))]
		}
		pause := time.Duration(s.IntN(90)) * time.Second
		s.tell("restart after %v with state %s", pause, h.state)
		h.pass(pause)
		if s.lines == config.LinesBoth {
			h.linesFitRows(s.object)
		}
		h.start()
	}
}
