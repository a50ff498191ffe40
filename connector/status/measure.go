package status

import (
	"math"
	"time"
)

// measureStep is the length of a sample. As Kafka's clients do by
// default, two are kept, so a measure is of the last 30 to 60 s.
const measureStep = 30 * time.Second

// Measure is the average, the highest and the pace of what
// was noted of late, as Kafka Connect's metrics have it.
type Measure struct {
	samples [2]sample // the present one, and the one before
}

type sample struct {
	began    time.Time
	n        int
	sum, top float64
}

// Note takes in a value.
func (m *Measure) Note(now time.Time, v float64) {
	m.turn(now)
	s := &m.samples[0]
	if s.n == 0 || v > s.top {
		s.top = v
	}
	s.n++
	s.sum += v
}

// turn begins a new sample where the present one is over.
func (m *Measure) turn(now time.Time) {
	switch age := now.Sub(m.samples[0].began); {
	case age >= 2*measureStep:
		m.samples = [2]sample{{began: now}, {}}
	case age >= measureStep:
		m.samples = [2]sample{{began: m.samples[0].began.Add(measureStep)}, m.samples[0]}
	}
}

// Reading is what a measure shows. Average and Highest are NaN where nothing was noted of late.
type Reading struct {
	Average, Highest float64
	Rate             float64 // of the sum, a second
}

// Share is the average; 0 where nothing was noted.
func (r Reading) Share() float64 {
	if math.IsNaN(r.Average) {
		return 0
	}
	return r.Average
}

// Read is what was noted of late.
func (m *Measure) Read(now time.Time) Reading {
	m.turn(now)
	r := Reading{math.NaN(), math.NaN(), 0}
	n, sum, began := 0, 0.0, m.samples[0].began
	for _, s := range m.samples {
		if s.n == 0 {
			continue
		}
		if n == 0 || s.top > r.Highest {
			r.Highest = s.top
		}
		n += s.n
		sum += s.sum
	}
	if n == 0 {
		return r
	}
	if before := m.samples[1]; !before.began.IsZero() {
		began = before.began
	}
	r.Average = sum / float64(n)
	r.Rate = sum / max(now.Sub(began), measureStep).Seconds()
	return r
}
