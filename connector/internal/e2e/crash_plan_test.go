//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/internal/failpoint"
)

// situation is what a worker was about when an incident struck.
type situation string

// The situations. A plan aims at one; what is counted is the one that was found.
const (
	snapshot  situation = "reading the history"
	streaming situation = "streaming"
	starting  situation = "starting and restoring"
)

func situations() []situation { return []situation{snapshot, streaming, starting} }

// kind is a sort of incident: a row of the table.
type kind struct {
	name string
	// strike carries it out. It leaves the parts healed, and workers running or not.
	strike func(*scene, *incident)
	// missed is the row of those that did not come to their point in time.
	missed string
}

// incident is one of a scene: what was planned, and what came of it.
type incident struct {
	kind   kind
	aim    situation
	detail string          // of Coupa's faults: which
	point  failpoint.Point // of failpoints: where, and on which side
	side   string

	at       time.Time
	found    situation
	atRandom bool // the point was not reached in time: a kill -9 at a random moment instead
	note     string
}

func (i *incident) String() string {
	s := i.kind.name
	if i.detail != "" {
		s += ": " + i.detail
	}
	if i.point != "" {
		s += fmt.Sprintf(" %s:%s", i.point, i.side)
	}
	return s
}

// class is a sort of scene, by what it takes.
type class string

const (
	single class = "one worker"
	group  class = "several workers"
	broker class = "broker and registry"
	three  class = "three brokers" // there are, instead of one
)

// alone tells whether no other scene runs while one of the class does.
func (c class) alone() bool { return c == broker || c == three }

// classes are those of scenes on a rig of so many brokers.
func classes(brokers int) []class {
	if brokers > 1 {
		return []class{single, group, three}
	}
	return []class{single, group, broker}
}

// scenePlan is a scene's incidents. It depends on the seed
// and the number alone, so that a scene can be had again.
type scenePlan struct {
	number    int // from 1
	class     class
	incidents []*incident
	random    *rand.Rand
}

// plan cuts n incidents into scenes. Each class deals its incidents from a deck that holds every kind
// in every situation, shuffled anew when it is used up, so that all of them are met equally often.
// brokers is how many there are that may be struck.
func plan(seed uint64, n, brokers int) []*scenePlan {
	dealt := map[class]int{}
	var scenes []*scenePlan
	for number := 1; n > 0; number++ {
		c := classOf(number, brokers)
		size := min(n, sceneSize(c))
		n -= size
		s := &scenePlan{number: number, class: c, random: rand.New(rand.NewPCG(seed, uint64(number)))}
		for range size {
			s.incidents = append(s.incidents, deal(seed, c, dealt[c]))
			dealt[c]++
		}
		// The history is read at the beginning.
		slices.SortStableFunc(s.incidents, func(a, b *incident) int {
			return boolOrder(a.aim == snapshot) - boolOrder(b.aim == snapshot)
		})
		scenes = append(scenes, s)
	}
	return scenes
}

func boolOrder(first bool) int {
	if first {
		return 0
	}
	return 1
}

func classOf(number, brokers int) class {
	switch {
	case brokers > 1 && number%3 != 0:
		return three
	case brokers == 1 && number%5 == 3:
		return broker
	case number%2 == 0:
		return group
	default:
		return single
	}
}

// sceneSize is how many incidents a scene has. Where brokers are struck one takes as long as three others;
// with three brokers two minutes at the end are the most of a scene of a few.
func sceneSize(c class) int {
	switch c {
	case broker:
		return 6
	case three:
		return 15
	}
	return 20
}

// deal gives the nth incident of a class.
func deal(seed uint64, c class, n int) *incident {
	d := deck(c)
	order := rand.New(rand.NewPCG(seed, uint64(n/len(d))<<8|uint64(len(d)))).Perm(len(d))
	card := d[order[n%len(d)]]
	return &card
}

// deck is every incident of a class, once.
func deck(c class) []incident {
	switch c {
	case broker:
		return brokerDeck()
	case three:
		return brokersDeck()
	case group:
		return groupDeck()
	default:
		return singleDeck()
	}
}

func singleDeck() []incident {
	var d []incident
	add := func(k kind, aims ...situation) {
		for _, aim := range aims {
			d = append(d, incident{kind: k, aim: aim})
		}
	}
	for _, i := range atEachPoint(killAtPoint, failpoint.Points(), snapshot, streaming) {
		d = append(d, i)
		if i.point == failpoint.Commit { // where most is at stake
			d = append(d, i)
		}
	}
	add(killAtRandom, snapshot, snapshot, streaming, streaming, starting, starting, starting)
	add(terminate, snapshot, streaming)
	add(freeze, snapshot, streaming)
	add(stateDeleted, snapshot, streaming)
	add(stateOlder, snapshot, streaming)
	add(stateForeign, snapshot, streaming)
	add(stateCorrupt, snapshot, streaming, streaming)
	add(diskFull, snapshot, streaming, streaming)
	for _, fault := range coupaFaults() {
		for _, aim := range []situation{snapshot, streaming} {
			d = append(d, incident{kind: coupaFault, aim: aim, detail: fault})
		}
	}
	add(coupaAway, snapshot, streaming)
	return d
}

// atEachPoint is a kind at each of some points on both sides. A
// worker restores when it starts, whatever it does then.
func atEachPoint(k kind, points []failpoint.Point, aims ...situation) []incident {
	var d []incident
	for _, p := range points {
		for _, side := range []string{"before", "after"} {
			for _, aim := range aims {
				if p == failpoint.Restore {
					aim = starting
				}
				d = append(d, incident{kind: k, aim: aim, point: p, side: side})
			}
		}
	}
	return d
}

// steps are the ten of a row, and those of a mark, which tenants of several workers have.
func steps() []failpoint.Point { return slices.Concat(failpoint.Points(), failpoint.Marks()) }

func groupDeck() []incident {
	points := steps()
	d := atEachPoint(killAtPoint, points, streaming)
	d = append(d, atEachPoint(zombieAtPoint, points, streaming)...)
	for _, k := range []kind{join, join, leave, leave, leave, zombie, zombie, zombie, stateOfOther, stateOfOther} {
		d = append(d, incident{kind: k, aim: streaming})
	}
	for _, aim := range []situation{snapshot, streaming, streaming, streaming, starting} {
		d = append(d, incident{kind: killAtRandom, aim: aim})
	}
	for _, what := range requests() {
		d = append(d, incident{kind: requested, aim: streaming, detail: what})
	}
	return d
}

func brokerDeck() []incident {
	var d []incident
	for _, c := range []struct {
		k    kind
		aims []situation
	}{
		{brokerKilled, []situation{snapshot, streaming, streaming, starting}},
		{brokerFrozen, []situation{snapshot, streaming}},
		{brokerAndWorkerKilled, []situation{snapshot, streaming}},
		{registryKilled, []situation{streaming, starting}},
	} {
		for _, aim := range c.aims {
			d = append(d, incident{kind: c.k, aim: aim})
		}
	}
	return d
}

// countFor draws after how many passes a point acts: soon enough
// to be reached, and all over the first pages and batches.
func countFor(random *rand.Rand, p failpoint.Point, aim situation) int {
	most := map[failpoint.Point]int{
		failpoint.Fetch: 12, failpoint.Decode: 250, failpoint.Decide: 250, failpoint.Encode: 30, failpoint.Restore: 1,
		failpoint.Stamps: 2, failpoint.Export: 10, failpoint.Marked: 1, // a marker's first turn
	}[p]
	if most == 0 { // the steps of a batch
		most = 6
	}
	if aim == snapshot {
		most = map[failpoint.Point]int{failpoint.Fetch: 5, failpoint.Decode: 200, failpoint.Decide: 200, failpoint.Encode: 200, failpoint.Restore: 1}[p]
		if most == 0 {
			most = 4
		}
	}
	return 1 + random.IntN(most)
}

func TestASceneIsTheSameHoweverManyAreDrawn(t *testing.T) {
	few, many := plan(7, 200, 1), plan(7, 1000, 1)
	for n, s := range few[:len(few)-1] { // the last one may be cut short
		if s.class != many[n].class || !slices.EqualFunc(s.incidents, many[n].incidents, same) || s.random.Uint64() != many[n].random.Uint64() {
			t.Errorf("scene %d of 200 incidents is another one than of 1000", s.number)
		}
	}
	if other := plan(8, 200, 1); slices.EqualFunc(few[0].incidents, other[0].incidents, same) {
		t.Error("another seed gives the same scene")
	}
}

func TestEveryIncidentIsDealtEquallyOften(t *testing.T) {
	for _, c := range []class{single, group, broker, three} {
		const rounds = 3
		d, dealt := deck(c), map[string]int{}
		for n := range rounds * len(d) {
			dealt[deal(7, c, n).planned()]++
		}
		for _, i := range d {
			dealt[i.planned()] -= rounds
		}
		for i, n := range dealt {
			if n != 0 {
				t.Errorf("%s: %s is dealt %+d times more than %d", c, i, n, rounds)
			}
		}
	}
}

func same(a, b *incident) bool { return a.planned() == b.planned() }

// planned is what sets an incident apart before it has struck.
func (i *incident) planned() string { return fmt.Sprintf("%v, %s", i, i.aim) }
