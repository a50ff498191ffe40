package coupa

import (
	"math"
	"slices"
	"time"
)

const (
	firstRate       = 10   // requests a second where nothing is known
	seekFactor      = 1.2  // what a second of use multiplies a rate by that nothing speaks against
	nearMax         = 0.98 // of the ceiling: the highest rate, so that there is room to be uneven
	uneven          = 0.8  // of an interval: the most that a turn may be late by chance
	fullUse         = 0.9  // of the rate: what must be used for it to rise
	documentedQueue = 20   // requests, "Rate Limits"

	settleShare = 0.95 // of the limit: where the rate goes back to behind a sign of it
	yieldShare  = 0.97 // of what was granted until a refusal: some of it was refused to others
	queueCut    = 0.9  // of the rate, where a queue does not get shorter
	experiment  = 0.6  // of the limit: where latency alone does not push the rate below
	forgotten   = 0.25 // of the limit: one that is found below is all that is known
	// How long the rate is used from there until it is at the limit again. After as long once more it
	// is as far above as it was below.
	probeTime = 6 * time.Second
	// The same behind a refusal, as each costs a request; and least requests in that time.
	refusedProbeTime = 10 * time.Second
	probeRequests    = 100

	// A reading of the latency is of so many answers and so long; one of fewer tells nothing.
	readingAnswers = 6
	readingTime    = time.Second
	readingMost    = 4 * time.Second
	lowQuantile    = 0.2 // of latencies: what an answer takes where nothing is queued
	// Requests of this limiter's own in the queue from which on it gives way, and the bounds of their time.
	ownQueue     = 3
	leastQueued  = 40 * time.Millisecond
	mostQueued   = 300 * time.Millisecond
	emptied      = 3 * time.Second // below the limit: any queue has gone
	slowerShare  = 0.1             // of a delay that is left then: put down to the server at each reading
	stillRefused = 5 * time.Second // behind a refusal: a delay is a queue's

	firstAnswers          = 4   // of a kind: the least of them is the first guess of what it takes
	fewAnswers            = 100 // of a kind: until then the guess moves by quickStep, then by steadyStep
	quickStep, steadyStep = 0.02, 0.005
	grantedSlot           = 250 * time.Millisecond
	grantedSlots          = 129 // half a minute, and the one that is not over
	shortestSpan          = 8   // slots: fewer tell too little of a rate
	shortestBetweenSigns  = 5 * time.Second
)

// seeker finds the rate that an instance leaves over for a [Limiter] whose limit is nowhere to be read.
//
// # What may be there
//
// Coupa documents 25 requests a second and a queue of 20, and neither what the queue does nor who shares it.
//
//   - A queue that waits (nginx's limit_req, most API gateways' "throttle"): what comes too fast is answered
//     later, and refused only when twenty wait. The delay tells before any refusal does.
//   - A bucket that does not (limit_req's nodelay, token buckets, Rack::Attack's counters): what comes too
//     fast passes as if nothing were, until the twenty are used up. Nothing tells before the first refusal,
//     and none can be avoided by whoever looks for the limit; they must be few.
//   - Others use the same bucket: integrations, scripts, other workers. They come and go.
//
// # What others do
//
// Vegas keeps a few of its requests queued, by latency against the least that was ever seen. It
// finds the limit without a loss, but takes whatever slows the server down for its own queue and
// stays slow for as long, and where no queue waits it sees nothing. Gradient limiters (Netflix's)
// compare a short with a long average and so forget a slow spell, but also a queue that stands. BBR
// measures the rate of delivery, probes at 1.25 of it and drains at 0.75: each probe here would be
// refused where no queue waits, and beside a client that does not give way it takes that one's
// share. CUBIC remembers where it was refused and approaches that slowly. All of them bound what is
// under way; here the rate itself is bound, so a slow server alone lowers nothing. AIMD, what a
// [Limiter] with a given ceiling does, climbs at a pace that has nothing to do with the limit: one
// request in a hundred is refused near it, one in five far above, and of others' as many.
//
// # What this one does
//
// The limit shows by a sign: a refusal, or a delay of about three queued requests. At a sign the rate
// falls to a little below what was granted, and comes back along CUBIC's curve: fast, then flat where
// the limit was found, then ever faster. So most of the time is spent just below the limit with an
// empty queue, a probe goes a few percent above it, and room that others leave is found in seconds.
//
// What was granted is measured, not guessed. Between two signs the bucket took what it let out, so the
// answers between them are its rate; and of any span at most a queue's length is more than the rate gave
// (proven). With a few percent too much, a refusal comes once in some hundred requests.
//
// Signs that go on although the rate was cut say that others have come: the rate is cut further, each time
// by more, until they end; what is found so is believed in part, as some of it was for the bucket to get
// emptier. A refusal is always what it seems. A delay is put to the test: a queue of our own gets shorter
// by a second for each second's worth of requests that are held back. A delay that does not, is the
// server's, is taken off all that follow (slower), and the rate returns. Latency alone never pushes far.
//
// Latency is read as a low quantile of a second's answers, each against what its
// kind takes at that quantile: a large page is no queue, and neither are single
// slow answers. The quantile of a kind follows so slowly that a queue that builds
// up is not taken for it; the empty queue of most of the time keeps it right.
//
// A rate that is not used proves nothing, so it rises only while requests wait for their turns;
// and a refusal at less than that halves the rate but does not touch what is known of the limit.
//
// # Not in step
//
// Two clients that both send evenly can fall in step, so that one always finds the room that the other has
// just missed: it loses nothing, sees nothing and pushes the other out. So turns are up to an interval late
// by chance ([Limiter.lateBy]).
//
// Guarded by Limiter.mu. Times are the caller's; rates are requests a second.
type seeker struct {
	most  float64 // rate is never higher
	least float64 // nor lower
	rate  float64

	limit float64       // where it was last; 0: nothing is known
	found float64       // the same, and what was proven since; not touched by a series that goes on
	used  time.Duration // the rate was used up for so long since it was cut
	probe time.Duration // probeTime or refusedProbeTime

	// a series: signs that follow each other although the rate was cut
	cuts   int           // in it; 0: none goes on
	before float64       // limit at its first
	first  time.Time     // its first, or of the last one
	since  int           // answers since first
	cut    time.Time     // the last; what was sent before says nothing of the rate behind it
	delay  time.Duration // of the last reading in the series; 0: none since the cut

	refused time.Time // the last refusal
	held    int       // cuts by refusals since the last whole reading, in which there was none
	began   time.Time // the reading; zero: there was no answer yet
	turns   int       // in it
	limited bool      // the last reading used the rate up
	delays  []time.Duration

	usual  map[kind]*usual
	slower time.Duration // by which all answers take longer of late, though not because of their number

	granted [grantedSlots]int // good answers, a ring of grantedSlot each
	newest  int64             // slot since the epoch
}

// kind tells requests apart whose answers take different times.
type kind struct {
	object string
	rows   int // asked for; -1: none are, it changes one
	fields int // length of their list
}

func newSeeker(most float64) *seeker {
	most *= nearMax
	return &seeker{most: most, least: min(slowestRate, most), rate: min(firstRate, most), probe: probeTime, usual: map[kind]*usual{}}
}

// remember begins at a limit that was found earlier. What was found since is better.
func (s *seeker) remember(limit float64) {
	if s.found > 0 || !(limit > 0) {
		return
	}
	s.limit = min(max(limit, s.least), s.most)
	s.found, s.rate, s.used = s.limit, max(s.limit*settleShare, s.least), 0
}

// succeeded takes in a good answer to a request that went out at sent.
func (s *seeker) succeeded(now, sent time.Time, k kind, latency time.Duration) {
	s.forward(now)
	s.granted[s.newest%grantedSlots]++
	s.since++
	u := s.usual[k]
	if u == nil {
		u = &usual{}
		s.usual[k] = u
	}
	if u.answers >= firstAnswers && !sent.Before(s.cut) {
		s.delays = append(s.delays, latency-u.latency-s.slower)
	}
	u.take(latency)
	if s.began.IsZero() {
		s.began = now
	}
	took := now.Sub(s.began)
	if took < readingTime || len(s.delays) < readingAnswers && took < readingMost {
		return
	}
	s.limited = float64(s.turns) >= fullUse*s.rate*took.Seconds()-1
	s.held = 0
	s.read(now, min(took, readingMost))
	s.again(now)
}

// again begins a reading.
func (s *seeker) again(now time.Time) { s.began, s.turns, s.delays = now, 0, s.delays[:0] }

// read goes by what the reading told that took so long.
func (s *seeker) read(now time.Time, took time.Duration) {
	var delay time.Duration
	if n := len(s.delays); n >= readingAnswers {
		slices.Sort(s.delays)
		delay = s.delays[int(lowQuantile*float64(n))]
	}
	below := s.limit > 0 && s.rate < s.limit
	switch {
	case delay < 0:
		s.slower = max(0, s.slower+delay)
	case s.cuts == 0 && below && now.Sub(s.cut) > emptied: // the queue is empty here
		s.slower += time.Duration(slowerShare * float64(delay))
	}
	most := min(max(s.timeOf(ownQueue), leastQueued), mostQueued)
	if delay > most && s.limited {
		s.queued(now, took, delay)
		return
	}
	if delay <= most && s.cuts > 0 {
		s.endSeries()
	}
	if s.limited && (below || delay < most/2) {
		s.grow(took)
		s.found = max(s.found, s.proven(now, documentedQueue))
	}
}

// timeOf is how long so many requests take at the present rate.
func (s *seeker) timeOf(requests float64) time.Duration {
	return time.Duration(requests / s.rate * float64(time.Second))
}

// grow raises the rate for its use in a time.
func (s *seeker) grow(took time.Duration) {
	next := s.rate * math.Pow(seekFactor, took.Seconds())
	if s.limit > 0 {
		s.used += took
		x := s.used.Seconds()/s.probe.Seconds() - 1
		next = min(next, s.limit*(1+(1-settleShare)*x*x*x))
	}
	s.rate = min(max(s.rate, next), s.most)
}

// startSeries cuts the rate at the first sign: to below what was granted, if that is not far
// below the rate. queued is how many more than that the bucket may have taken in a time.
func (s *seeker) startSeries(now time.Time, queued, yield, least float64) {
	limit := min(max(s.proven(now, queued), least*s.rate), s.rate)
	s.setRate(now, settleShare*limit)
	limit = max(limit, (limit+s.limit)/2) // a sign below the former one may be chance
	s.limit = yield * limit
	s.before, s.found = s.limit, s.limit
	s.first, s.since, s.cuts = now, 0, 1
}

// goOn cuts the rate at a sign that follows one.
func (s *seeker) goOn(now time.Time, share float64) {
	s.setRate(now, s.rate*share)
	s.cuts++
	if s.limit = s.rate / settleShare; s.limit < forgotten*s.before {
		s.limit = 0
	}
}

func (s *seeker) setRate(now time.Time, rate float64) {
	s.rate, s.cut, s.used, s.delay = max(rate, s.least), now, 0, 0
}

// endSeries is called when there is no sign any more. How far it had to be cut tells less
// of the limit than what was granted before: part of it was for the queue to get shorter.
func (s *seeker) endSeries() {
	if s.cuts > 1 && s.limit > 0 {
		s.limit = (3*s.before + s.rate/settleShare) / 4
		s.found = s.limit
	}
	s.cuts = 0
}

// queued gives way to a queue, or finds that there is none.
func (s *seeker) queued(now time.Time, took, delay time.Duration) {
	// by which a queue of our own is shorter now
	held := time.Duration((1 - s.rate/s.before) * float64(took))
	switch {
	case s.cuts == 0:
		s.startSeries(now, 1, 1, 0.7)
		s.probe = probeTime
		return
	case s.delay == 0, delay <= s.delay-held/2: // as it was at the cut; it gets shorter
		s.delay = delay
	case s.rate > experiment*s.before:
		s.goOn(now, queueCut)
	case now.Sub(s.refused) > stillRefused:
		s.slower += delay
		s.limit, s.rate, s.cuts = s.before, settleShare*s.before, 0
	}
}

// throttled takes in a refusal of a request that went out at sent. One of many tells: those
// sent before the rate was cut say nothing of what it is now.
func (s *seeker) throttled(now, sent time.Time) {
	s.refused = now
	if sent.Before(s.cut) {
		return
	}
	s.held++
	switch {
	case !s.limited:
		s.setRate(now, s.rate/2)
	case s.cuts == 0:
		s.startSeries(now, documentedQueue, yieldShare, 0.5)
		s.probe = max(refusedProbeTime, s.timeOf(probeRequests))
	default:
		s.goOn(now, 1-0.1*float64(min(s.cuts, 4)))
	}
	s.again(now)
}

// heldDown tells whether Coupa refuses requests although the limiter gives way.
func (s *seeker) heldDown() bool { return s.held > 1 }

// proven is the highest rate that answers of the last half minute show to be granted: in a span
// the bucket can't have taken more than the rate gave and so many that are queued; and since the
// last sign, when it was as full as now, no more than the rate gave.
func (s *seeker) proven(now time.Time, queued float64) float64 {
	s.forward(now)
	best, n := 0.0, 0
	for i := 1; i < grantedSlots; i++ {
		n += s.granted[(s.newest-int64(i)+grantedSlots)%grantedSlots]
		if i >= shortestSpan && i&(i-1) == 0 {
			best = max(best, (float64(n)-queued)/(float64(i)*grantedSlot.Seconds()))
		}
	}
	if span := now.Sub(s.first); !s.first.IsZero() && span >= shortestBetweenSigns {
		best = max(best, float64(s.since)/span.Seconds())
	}
	return best
}

// forward empties the slots that have begun since the newest.
func (s *seeker) forward(now time.Time) {
	slot := now.UnixNano() / int64(grantedSlot)
	if slot-s.newest >= grantedSlots {
		s.granted, s.newest = [grantedSlots]int{}, slot
		return
	}
	for s.newest < slot {
		s.newest++
		s.granted[s.newest%grantedSlots] = 0
	}
}

// usual is the low quantile of the latency of one kind of request.
type usual struct {
	latency time.Duration
	answers int
}

// take moves it by a step that is small against the value: up for each answer above
// it, and down by so much more for one below that it comes to rest at the quantile.
func (u *usual) take(latency time.Duration) {
	u.answers++
	step := steadyStep
	switch {
	case u.answers == 1:
		u.latency = latency
		return
	case u.answers <= firstAnswers:
		u.latency = min(u.latency, latency)
		return
	case u.answers <= fewAnswers:
		step = quickStep
	}
	if latency > u.latency {
		step *= lowQuantile
	} else {
		step *= lowQuantile - 1
	}
	u.latency += time.Duration(step * float64(u.latency))
}
