package coupa

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// instance is a model of what grants requests: a bucket that others use too.
type instance struct {
	rate  float64 // requests a second
	waits bool    // what comes too fast is queued; else it passes until twenty did
	// what somebody else asks for, requests a second, at a time since the beginning; nil: nobody does
	other  func(time.Duration) float64
	evenly bool // he does so like a clock; else by chance (Poisson)
	// how many times as long answers take; nil: as long as ever
	slow  func(time.Duration) float64
	quick bool // requests take no time to arrive, so that two clients can fall in step
}

// always is a rate of somebody who never changes.
func always(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

// served is what one minute brought.
type served struct{ granted, refused, others, othersRefused int }

func (s *served) add(o served) {
	s.granted, s.refused = s.granted+o.granted, s.refused+o.refused
	s.others, s.othersRefused = s.others+o.others, s.othersRefused+o.othersRefused
}

// othersLoss is the share of the others' requests that were refused.
func (s served) othersLoss() float64 {
	return float64(s.othersRefused) / float64(max(1, s.others))
}

// refusals is the share of refused requests.
func (s served) refusals() float64 { return float64(s.refused) / float64(s.granted+s.refused) }

// use is what was granted of what others left over in so many minutes.
func (s served) use(rate float64, minutes int) float64 {
	return float64(s.granted) / (rate*60*float64(minutes) - float64(s.others))
}

// run is an instance in use.
type run struct {
	*instance
	began time.Time

	mu      sync.Mutex
	chance  *rand.Rand
	level   float64 // requests in the bucket
	at      time.Time
	minutes []served
}

// pour puts a request into the bucket: how long it waits there; false: it is refused.
func (r *run) pour() (time.Duration, bool) {
	now := time.Now()
	r.level = max(0, r.level-now.Sub(r.at).Seconds()*r.rate)
	r.at = now
	if r.level+1 > documentedQueue {
		return 0, false
	}
	r.level++
	if r.waits {
		return time.Duration((r.level - 1) / r.rate * float64(time.Second)), true
	}
	return 0, true
}

// minute is the one that it is.
func (r *run) minute() *served {
	return &r.minutes[min(len(r.minutes)-1, int(time.Since(r.began)/time.Minute))]
}

// request is one of the connector's: of three kinds, whose answers
// take 80 to 300 ms (log-normal), up to 120 ms more for large pages.
func (r *run) request(l *Limiter) {
	kinds := [...]kind{{"invoices", 50, 900}, {"users", 50, 200}, {"invoices", 0, 0}}
	more := [len(kinds)]time.Duration{120 * time.Millisecond, 0, 30 * time.Millisecond}
	sent := time.Now()
	r.mu.Lock()
	up := time.Duration((20 + 10*r.chance.ExpFloat64()) * float64(time.Millisecond))
	took := 155 * float64(time.Millisecond) * math.Exp(0.4*r.chance.NormFloat64())
	k := r.chance.IntN(len(kinds))
	if r.slow != nil {
		took *= r.slow(time.Since(r.began))
	}
	r.mu.Unlock()
	if !r.quick {
		pass(up)
	}
	r.mu.Lock()
	queued, ok := r.pour()
	if ok {
		r.minute().granted++
	} else {
		r.minute().refused++
	}
	r.mu.Unlock()
	if ok {
		pass(queued + time.Duration(took) + more[k])
		l.succeeded(sent, kinds[k], time.Since(sent))
		return
	}
	pass(time.Duration(took / 4))
	l.throttled(sent)
	pass(time.Second) // as a reader waits before it tries again
}

// others uses the bucket until ctx ends.
func (r *run) others(ctx context.Context, chance *rand.Rand) {
	for ctx.Err() == nil {
		rate := r.other(time.Since(r.began))
		if rate == 0 {
			_ = sleep(ctx, time.Second)
			continue
		}
		gap := 1.0
		if !r.evenly {
			gap = chance.ExpFloat64()
		}
		if sleep(ctx, time.Duration(gap/rate*float64(time.Second))) != nil {
			return
		}
		r.mu.Lock()
		r.minute().others++
		if _, ok := r.pour(); !ok {
			r.minute().othersRefused++
		}
		r.mu.Unlock()
	}
}

// use has a backfill's readers use the instance for so many minutes.
func (i *instance) use(t *testing.T, l *Limiter, seed uint64, minutes int, each func(at time.Duration)) []served {
	t.Helper()
	r := &run{instance: i, began: time.Now(), chance: rand.New(rand.NewPCG(seed, 1)), minutes: make([]served, minutes)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(minutes)*time.Minute-time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for l.Wait(ctx, PriorityBackfill) == nil {
				r.request(l)
			}
		})
	}
	if i.other != nil {
		wg.Go(func() { r.others(ctx, rand.New(rand.NewPCG(seed, 2))) })
	}
	if each != nil {
		wg.Go(func() {
			for sleep(ctx, time.Second) == nil {
				each(time.Since(r.began))
			}
		})
	}
	wg.Wait()
	return r.minutes
}

// scene is a bucket and what is to come of its use.
type scene struct {
	name string
	instance
	most     float64 // coupa.rate.limit.max
	least    float64 // share of what others leave over, after two minutes
	refusals float64 // most, as a share
	loss     float64 // most of the others' requests that are refused
	runs     int     // whose mean counts: others by chance leave more or less over
}

func scenes() []*scene {
	spell := func(at time.Duration) float64 {
		if at > 3*time.Minute && at < 4*time.Minute {
			return 3
		}
		return 1
	}
	tide := func(at time.Duration) float64 { return 1 + 3*max(0, math.Sin(2*math.Pi*at.Minutes())) }
	visit := func(at time.Duration) float64 {
		if at > 3*time.Minute && at < 4*time.Minute {
			return 12.5
		}
		return 0
	}
	var all []*scene
	for _, waits := range []bool{true, false} {
		refusals, beside, name := 0.005, 0.01, ", refusing"
		if waits {
			refusals, beside, name = 0.001, 0.005, ", waiting"
		}
		all = append(all, []*scene{
			{"25 of 25", instance{rate: 25}, 25, 0.96, refusals, 0, 1},
			{"25 of 60", instance{rate: 25}, 60, 0.93, refusals, 0, 1},
			{"10 of 25", instance{rate: 10}, 25, 0.93, refusals, 0, 1},
			{"50 of 60", instance{rate: 50}, 60, 0.93, refusals, 0, 1},
			{"2 of 25", instance{rate: 2}, 25, 0.93, refusals, 0, 6},
			{"25 beside half", instance{rate: 25, other: always(12.5)}, 25, 0.9, beside, 0.05, 3},
			{"10 beside half", instance{rate: 10, other: always(5)}, 25, 0.9, beside, 0.05, 3},
			{"50 beside half", instance{rate: 50, other: always(25)}, 60, 0.9, beside, 0.05, 3},
			{"25 beside a clock", instance{rate: 25, other: always(12.5), evenly: true}, 25, 0.9, beside, 0.05, 3},
			{"25 in step", instance{rate: 25, other: always(12.5), evenly: true, quick: true}, 25, 0.9, beside, 0.05, 3},
			{"25 beside a visit", instance{rate: 25, other: visit}, 25, 0.85, beside, 0.05, 3},
			{"25 and a slow spell", instance{rate: 25, slow: spell}, 60, 0.85, refusals, 0, 1},
			{"25 and tides", instance{rate: 25, slow: tide}, 25, 0.7, refusals, 0, 1},
		}...)
		for _, s := range all[len(all)-13:] {
			s.waits, s.name = waits, s.name+name
			if s.rate == 2 {
				s.refusals = 0.005 // too few answers to read the latency often
			}
		}
	}
	return all
}

// minutes of use, of which the last three count.
const minutes, counted = 5, 3

// TestTheLimitIsFound has a backfill use every bucket for five minutes and goes by the last three, of
// all histories together. With -v it tells what came of it, and beside it what a limiter makes of the
// same that has the ceiling alone, halves at refusals and climbs back.
func TestTheLimitIsFound(t *testing.T) {
	t.Parallel()
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var found, given served
			seeds := 0
			histories(t, func(t *testing.T, history uint64) {
				for n := range uint64(s.runs) {
					seeds++
					found.add(s.of(t, NewAutoLimiter, 100*history+n))
					if testing.Verbose() {
						given.add(s.of(t, NewLimiter, 100*history+n))
					}
				}
			})
			s.check(t, found, seeds*counted)
			if testing.Verbose() {
				s.tell(t, "found", found, seeds*counted)
				s.tell(t, "given", given, seeds*counted)
			}
		})
	}
}

// of is what the counted minutes bring with a limiter.
func (s *scene) of(t *testing.T, limiter func(float64) *Limiter, seed uint64) (sum served) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		for _, m := range s.instance.use(t, limiter(s.most), seed, minutes, nil)[minutes-counted:] {
			sum.add(m)
		}
	})
	return sum
}

func (s *scene) tell(t *testing.T, name string, got served, minutes int) {
	t.Helper()
	t.Logf("%s, %s: %.3f of what others leave, refused %.2f %%, of the others' %.2f %%",
		s.name, name, got.use(s.rate, minutes), 100*got.refusals(), 100*got.othersLoss())
}

func (s *scene) check(t *testing.T, got served, minutes int) {
	t.Helper()
	if use := got.use(s.rate, minutes); use < s.least {
		t.Errorf("uses %.3f of what is left over, want %v", use, s.least)
	}
	if got.refusals() > s.refusals {
		t.Errorf("%d requests of %d were refused, want %.1f %% at most", got.refused, got.refused+got.granted, 100*s.refusals)
	}
	if got.othersLoss() > s.loss {
		t.Errorf("%d requests of others of %d were refused, want %.0f %% at most", got.othersRefused, got.others, 100*s.loss)
	}
}

func TestTheLimitIsFoundWithinFifteenSecondsAndSoIsWhatOthersLeave(t *testing.T) {
	t.Parallel()
	const stay, settled = 2 * time.Minute, 30 * time.Second
	for _, waits := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			i := &instance{rate: 25, waits: waits, other: func(at time.Duration) float64 {
				if at < stay {
					return 0
				}
				return 12.5 * max(0, 1-math.Floor(at.Minutes()/4))
			}}
			l := NewAutoLimiter(25)
			i.use(t, l, 3, 6, func(at time.Duration) {
				rate := l.Rate()
				switch {
				case at > 15*time.Second && at < stay && rate < 0.93*25, at > 2*stay+settled && rate < 0.9*25:
					t.Errorf("waits %v: %.1f a second after %s alone", waits, rate, at)
				case at > stay+settled && at < 2*stay && rate > 18:
					t.Errorf("waits %v: %.1f a second after %s beside another that takes half", waits, rate, at)
				}
			})
		})
	}
}

func TestARefusingInstanceIsGivenWayToAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewAutoLimiter(25)
		took := func(n int) time.Duration {
			began := time.Now()
			for range n {
				use(t, l, true)
			}
			return time.Since(began)
		}
		took(500)
		began := time.Now()
		for time.Since(began) < time.Minute {
			use(t, l, false)
		}
		s := l.Stats()
		if s.Current != slowestRate || s.ThrottledSince.Before(began) || time.Since(s.Throttled) > 3*time.Second {
			t.Errorf("%+v after a minute of refusals, want the lowest rate, throttled since about %s", s, began)
		}
		if found := l.Found(); found < 12 {
			t.Errorf("the limit found is %v after an outage, want none of it to be put down to the limit", found)
		}
		took(10)
		if s := l.Stats(); !s.ThrottledSince.IsZero() || !s.Throttled.IsZero() {
			t.Errorf("%+v after ten answers, want no throttling", s)
		}
		if d := took(300); d > 40*time.Second || l.Rate() < 0.93*25 {
			t.Errorf("300 requests later, in %s, the rate is %v", d, l.Rate())
		}
	})
}

// use has one request answered at once, or refused.
func use(t *testing.T, l *Limiter, granted bool) {
	t.Helper()
	if err := l.Wait(t.Context(), PriorityPoll); err != nil {
		t.Fatal(err)
	}
	sent := time.Now()
	pass(time.Millisecond)
	if granted {
		l.succeeded(sent, kind{}, time.Millisecond)
	} else {
		l.throttled(sent)
	}
}

func TestRequestsFarBelowTheRateProveNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewAutoLimiter(25)
		for range 600 {
			use(t, l, true)
			pass(time.Second)
		}
		if l.Rate() != firstRate || l.Found() != 0 {
			t.Errorf("rate %v, found %v after a request a second", l.Rate(), l.Found())
		}
		for range 500 {
			use(t, l, true)
		}
		rate, found := l.Rate(), l.Found()
		if rate < 24 || found < 20 {
			t.Errorf("rate %v, found %v after five hundred requests", rate, found)
		}
		for range 600 {
			use(t, l, true)
			pass(time.Second)
		}
		if l.Rate() != rate || l.Found() != found {
			t.Errorf("rate %v, found %v after another ten minutes, want %v and %v", l.Rate(), l.Found(), rate, found)
		}
		use(t, l, false)
		if s := l.Stats(); s.Current != rate/2 || l.Found() != found || !s.Throttled.IsZero() {
			t.Errorf("%+v, found %v after a single refusal, want half the rate, the same limit, and no throttling", s, l.Found())
		}
		use(t, l, false)
		if s := l.Stats(); s.Throttled.IsZero() {
			t.Error("not throttled after two refusals in a row")
		}
	})
}

func TestARateIsRememberedUntilOneIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewAutoLimiter(25)
		for _, rps := range []float64{0, -1, math.NaN()} {
			if l.Remember(rps); l.Found() != 0 || l.Rate() != firstRate {
				t.Errorf("rate %v, found %v after remembering %v", l.Rate(), l.Found(), rps)
			}
		}
		if l.Remember(20); l.Found() != 20 || l.Rate() != 20*settleShare {
			t.Errorf("rate %v, found %v after remembering 20", l.Rate(), l.Found())
		}
		if l.Remember(5); l.Found() != 20 {
			t.Errorf("found %v after remembering two", l.Found())
		}
		high := NewAutoLimiter(25)
		if high.Remember(1000); high.Found() > 25 || high.Rate() > 25 {
			t.Errorf("rate %v, found %v after remembering more than the ceiling", high.Rate(), high.Found())
		}
		given := NewLimiter(15)
		if given.Remember(5); given.Found() != 0 || given.Rate() != 15 {
			t.Errorf("a given limit of 15: rate %v, found %v after remembering 5", given.Rate(), given.Found())
		}
	})
}

func TestNoSecondHoldsMoreRequestsThanTheHighestRate(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 7, 25} {
		synctest.Test(t, func(t *testing.T) {
			l := NewAutoLimiter(float64(most))
			var at []time.Time
			for range 60 * most {
				use(t, l, true)
				at = append(at, time.Now())
			}
			for i := range len(at) - most {
				if span := at[i+most].Sub(at[i]); span < time.Second-time.Microsecond {
					t.Fatalf("at most %d a second: %d within %s", most, most+1, span)
				}
			}
		})
	}
}

func TestSweepsGetATenthOfTheRateThatIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewAutoLimiter(25)
		_ = l.Wait(t.Context(), PrioritySweep)
		began := time.Now()
		for range 10 {
			_ = l.Wait(t.Context(), PrioritySweep)
		}
		if took := time.Since(began); took.Round(time.Second) != 10*time.Second {
			t.Errorf("ten sweeps took %s at ten requests a second", took)
		}
	})
}
