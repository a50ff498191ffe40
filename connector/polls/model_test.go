package polls

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// modelled is one object of a tenant in simulated time.
type modelled struct {
	*Timetable
	rows, lines found
	hasLines    bool
	due         time.Duration // its next poll
}

// found is what one walk of an object finds: changes of rows, or of lines alone.
type found struct {
	rate    float64         // changes a second
	changes []time.Duration // when they became visible, as far as the overlap goes back
	next    time.Duration   // the change that is to come
	last    time.Duration   // the walk
}

// tenant is the seven objects of the defaults.
type tenant struct {
	random   *rand.Rand
	objects  []*modelled
	now      time.Duration
	requests int
	alone    float64         // share of the changes that are of lines alone
	waits    []time.Duration // of changes, from their being visible to the poll that finds them
}

// Of the changes of a tenant, what falls to invoices, purchase orders, suppliers,
// requisitions, expense reports, contracts and users. All but users have lines.
var (
	skewed = []float64{0.42, 0.22, 0.04, 0.16, 0.11, 0.02, 0.03}
	alike  = slices.Repeat([]float64{1.0 / 7}, 7)
)

const (
	overlap = time.Minute
	answer  = 120 * time.Millisecond // of Coupa, to a request
	commit  = 150 * time.Millisecond
)

var epoch = time.Unix(1_800_000_000, 0)

func newTenant(seed uint64, limit float64) *tenant {
	t := &tenant{random: rand.New(rand.NewPCG(seed, 1))}
	budget := new(Schedule).Budget("acme", 0.2, Limit{Fixed: limit})
	for i := range skewed {
		o := &modelled{Timetable: budget.Auto(string(rune('a'+i)), Learned{}), hasLines: i != len(skewed)-1}
		t.objects = append(t.objects, o)
	}
	return t
}

// paced lets the objects change in all so often a second from now on, in these shares.
func (t *tenant) paced(all float64, shares []float64) {
	for i, o := range t.objects {
		o.rows.rate, o.lines.rate = all*shares[i], 0
		if o.hasLines {
			o.lines.rate = o.rows.rate * t.alone
			o.rows.rate -= o.lines.rate
		}
		for _, f := range []*found{&o.rows, &o.lines} {
			f.next = t.now
			t.comes(f)
		}
	}
}

// comes decides when the next change is.
func (t *tenant) comes(f *found) {
	if f.rate > 0 {
		f.next += time.Duration(t.random.ExpFloat64() / f.rate * float64(time.Second))
	}
}

// run lets the time pass. What was counted before is forgotten.
func (t *tenant) run(d time.Duration) {
	t.requests, t.waits = 0, t.waits[:0]
	for end := t.now + d; ; {
		o := slices.MinFunc(t.objects, func(a, b *modelled) int { return int(a.due - b.due) })
		if o.due >= end {
			t.now = end
			return
		}
		t.now = o.due
		t.poll(o)
	}
}

// poll reads what an object has of changes, and of the overlap once more.
func (t *tenant) poll(o *modelled) {
	o.Begin(epoch.Add(t.now))
	before := t.requests
	t.walk(o, &o.rows, false)
	if o.hasLines && o.ByLines() {
		t.walk(o, &o.lines, true)
	}
	took := time.Duration(t.requests-before)*answer + commit
	_, wait := o.Wait(epoch.Add(t.now + took))
	o.due = t.now + took + wait
}

func (t *tenant) walk(o *modelled, f *found, byLines bool) {
	behind := func(at time.Duration) bool { return at < f.last-overlap }
	f.changes = slices.DeleteFunc(f.changes, behind)
	read := len(f.changes)
	for ; f.rate > 0 && f.next <= t.now; t.comes(f) {
		f.changes = append(f.changes, f.next)
		t.waits = append(t.waits, t.now-f.next)
	}
	requests := 1 + (len(f.changes)+49)/50
	o.Note(byLines, len(f.changes)-read, requests, t.now-f.last)
	t.requests += requests
	f.last = t.now
}

// percentile is the wait that a share of the changes does not exceed.
func (t *tenant) percentile(share float64) time.Duration {
	slices.Sort(t.waits)
	return t.waits[int(share*float64(len(t.waits)-1))]
}

// The figures that the defaults are to reach, where Coupa lets 16 requests a second through and a change a
// second comes: of changes of rows alone, and where three of twenty are of lines alone. What is told is the
// wait for the next poll; reading and committing come on top.
func TestChangesWaitSecondsForTheirPoll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		shares   []float64
		alone    float64
		p50, p99 time.Duration
	}{
		{"invoices most", skewed, 0, 1800 * time.Millisecond, 6 * time.Second},
		{"all alike", alike, 0, 2400 * time.Millisecond, 5 * time.Second},
		{"invoices most, lines alone too", skewed, 0.15, 2700 * time.Millisecond, 11 * time.Second},
		{"all alike, lines alone too", alike, 0.15, 3500 * time.Millisecond, 13 * time.Second},
	} {
		tt := newTenant(1, 16)
		tt.alone = c.alone
		tt.paced(1, c.shares)
		tt.run(time.Hour)
		tt.run(time.Hour)
		p50, p99, requests := tt.percentile(0.5), tt.percentile(0.99), float64(tt.requests)/3600
		t.Logf("%s: half of the changes wait up to %v, 99%% up to %v, %.2f requests/s", c.name, p50.Round(10*time.Millisecond), p99.Round(10*time.Millisecond), requests)
		if p50 > c.p50 || p99 > c.p99 || requests > 3.2*1.02 {
			t.Errorf("%s: want up to %v and %v, at 3.2 requests/s", c.name, c.p50, c.p99)
		}
	}
}

// A tenant in which nothing changes takes 18,720 requests for polls a day: 13 walks a minute. A new one
// rests within an hour, and one that was busy within an hour of its last change.
func TestATenantAtRestCostsNextToNothing(t *testing.T) {
	t.Parallel()
	tt := newTenant(2, 16)
	tt.run(time.Hour)
	first := tt.requests
	tt.run(24 * time.Hour)
	rest := tt.requests
	tt.paced(1, skewed)
	tt.run(time.Hour)
	tt.paced(0, skewed)
	tt.run(time.Hour)
	after := tt.requests
	tt.run(24 * time.Hour)
	t.Logf("%d requests in the first hour, %d a day at rest; after a busy hour %d in an hour, then %d a day", first, rest, after, tt.requests)
	if first > 1500 || rest > 20_000 || after > 2500 || tt.requests > 20_000 {
		t.Error("want up to 1500, 20,000, 2500 and 20,000")
	}
}

// After a weekend the first changes of an object find it at rest, and those behind them at its pace.
func TestAMondayIsAsAFriday(t *testing.T) {
	t.Parallel()
	tt := newTenant(3, 16)
	tt.paced(1, skewed)
	tt.run(2 * time.Hour)
	tt.paced(0, skewed)
	tt.run(62 * time.Hour)
	tt.paced(1, skewed)
	tt.run(5 * time.Minute)
	first := tt.percentile(0.5)
	tt.run(time.Hour)
	t.Logf("half of the changes of a Monday's first five minutes wait up to %v, of the hour behind them up to %v", first.Round(10*time.Millisecond), tt.percentile(0.5).Round(10*time.Millisecond))
	if first > 5*time.Second || tt.percentile(0.5) > 2*time.Second {
		t.Error("want up to 5 s and 2 s")
	}
}
