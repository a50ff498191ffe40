package polls

import (
	"math"
	"math/rand/v2"
	"testing"
)

// drawn is a plan's problem: up to 20 walks, of paces from one change in weeks to a hundred a second.
func drawn(random *rand.Rand) (loads []load, budget float64) {
	for range 1 + random.IntN(20) {
		changes := math.Pow(10, -7+9*random.Float64())
		if random.IntN(8) == 0 {
			changes = 0
		}
		loads = append(loads, load{changes, 1 + 9*random.Float64()})
	}
	return loads, math.Pow(10, -2+4*random.Float64())
}

func spent(loads []load, polls []float64) (requests float64) {
	for i, l := range loads {
		requests += l.requests * polls[i]
	}
	return requests
}

// wait is the sum of the squares of how long the changes of a second wait for their polls.
func wait(loads []load, polls []float64) (squares float64) {
	for i, l := range loads {
		squares += l.changes / (3 * polls[i] * polls[i])
	}
	return squares
}

const least = 1.0 / 60

func upper(l load) float64 { return min(1, max(least, perChange*l.changes)) }

func TestAPlanKeepsItsBudgetAndItsBounds(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var scarce, bound, free int
	for range 3000 {
		loads, budget := drawn(random)
		polls := plan(loads, budget)
		took := spent(loads, polls)
		if took > budget*(1+1e-9) {
			t.Fatalf("%v take %v of %v", loads, took, budget)
		}
		atRest := spent(loads, fill(len(loads), least))
		switch {
		case atRest >= budget:
			scarce++
			for _, f := range polls {
				if f > least || f != polls[0] {
					t.Fatalf("where a minute for all takes %v of %v, %v are polled %v times a second", atRest, budget, loads, polls)
				}
			}
			continue
		case took < budget*(1-1e-6):
			free++
		default:
			bound++
		}
		for i, f := range polls {
			if f < least || f > upper(loads[i])*(1+1e-9) {
				t.Fatalf("%v is polled %v times a second", loads[i], f)
			}
			if took < budget*(1-1e-6) && f < upper(loads[i])*(1-1e-9) {
				t.Fatalf("%v is polled %v times a second, and %v of %v is left", loads[i], f, budget-took, budget)
			}
		}
	}
	if scarce < 100 || bound < 100 || free < 100 {
		t.Errorf("%d plans were scarce, %d took all, and %d were free", scarce, bound, free)
	}
}

func fill(n int, f float64) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = f
	}
	return all
}

// No other division of the same requests, in the same bounds, lets changes wait less.
func TestNoOtherPlanWaitsLess(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		loads, budget := drawn(random)
		polls := plan(loads, budget)
		best := wait(loads, polls)
		for range 50 {
			i, j := random.IntN(len(loads)), random.IntN(len(loads))
			other := append([]float64(nil), polls...)
			// some requests of i's are j's
			moved := loads[i].requests * polls[i] * math.Pow(10, -4*random.Float64())
			other[i] -= moved / loads[i].requests
			other[j] += moved / loads[j].requests
			if i == j || other[i] < least || other[j] > upper(loads[j]) {
				continue
			}
			if w := wait(loads, other); w < best*(1-1e-9) {
				t.Fatalf("%v of %v: %v waits %v, %v waits %v", loads, budget, polls, best, other, w)
			}
		}
	}
}

func TestMoreOfEachGivesMore(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	const slack = 1 - 1e-6
	for range 2000 {
		loads, budget := drawn(random)
		i := random.IntN(len(loads))
		polls := plan(loads, budget)
		for n, f := range plan(loads, 2*budget) {
			if f < polls[n]*slack {
				t.Fatalf("%v of %v and of twice that: %v is polled %v and %v times a second", loads, budget, loads[n], polls[n], f)
			}
		}
		was := loads[i]
		loads[i].changes *= 3
		for n, f := range plan(loads, budget) {
			if n == i && f < polls[n]*slack || n != i && f > polls[n]/slack {
				t.Fatalf("%v of %v, and with three times the changes of %v: %v is polled %v and %v times a second", loads, budget, was, loads[n], polls[n], f)
			}
		}
		loads[i] = load{was.changes, 3 * was.requests}
		if f := plan(loads, budget)[i]; f > polls[i]/slack {
			t.Fatalf("%v of %v is polled %v times a second, and %v at three times the requests", was, budget, polls[i], f)
		}
	}
}

func TestPollsGoByTheCubeRoot(t *testing.T) {
	t.Parallel()
	polls := plan([]load{{3, 1}, {0.003, 1}, {0.003, 4}, {0, 1}}, 0.3)
	if got := polls[0] / polls[1]; math.Abs(got-10) > 1e-6 {
		t.Errorf("what changes a thousand times as often is polled %v times as often, want ten", got)
	}
	if polls[2] != least || polls[3] != least {
		t.Errorf("%v, want the last two at rest", polls)
	}
}
