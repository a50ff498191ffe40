package polls

import (
	"math"
	"time"
)

const (
	// halfLife is how long it takes until half of what was learned is forgotten, while an object changes as
	// it uses to; while it is silent it takes restful times as long.
	halfLife = 4 * time.Hour
	restful  = 64
	// doubted is how many changes a silence should have had before it is taken for rest.
	doubted = 5
	// known is how long a pace that was stored counts to have been learned, and assumed that of a new
	// object, which is newPace changes a second.
	known   = time.Hour
	assumed = 10 * time.Minute
	newPace = 1.0 / 200
)

// pace is how often an object changes, learned from what its polls find.
// It goes by the time that the polls cover, not by when they are made.
type pace struct {
	changes float64       // that are remembered
	over    float64       // seconds in which they were
	silence time.Duration // since a poll last found a change
}

// learned is the pace of an object that was found to change so often a second; 0: it is new.
func learned(changes float64) pace {
	if changes <= 0 {
		return pace{changes: newPace * assumed.Seconds(), over: assumed.Seconds()}
	}
	return pace{changes: changes * known.Seconds(), over: known.Seconds()}
}

// note takes in a poll that has found so many changes in the time since the one before.
func (p *pace) note(changes int, since time.Duration) {
	if since <= 0 {
		return
	}
	p.silence += since
	if changes > 0 {
		p.silence = 0
	}
	seconds := since.Seconds()
	rate := min(1, float64(changes)/seconds)
	if p.rests() {
		seconds /= restful
	}
	kept := math.Exp2(-seconds / halfLife.Seconds())
	weight := (1 - kept) * halfLife.Seconds() / math.Ln2 // what is left of the seconds at their end
	p.changes, p.over = p.changes*kept+rate*weight, p.over*kept+weight
}

// usual is how often the object changes while it is in use, in changes a second.
func (p pace) usual() float64 { return p.changes / p.over }

// now is how often it seems to change at present: no more often than its silence lets believe.
func (p pace) now() float64 {
	if p.rests() {
		return doubted / p.silence.Seconds()
	}
	return p.usual()
}

func (p pace) rests() bool { return p.usual()*p.silence.Seconds() > doubted }
