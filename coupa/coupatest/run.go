package coupatest

import (
	"context"
	"time"
)

// Run changes rows, Config.ChangesPerSecond of them, until ctx ends; it returns
// nil then. Of twenty changes, about eight update a row, six create one, three
// change a line alone, one creates rows with one stamp, one updates a fresh row
// once more, and one is any of these made visible Config.LateBy after its stamp.
func (t *Tenant) Run(ctx context.Context) error {
	if t.cfg.ChangesPerSecond <= 0 || len(t.cfg.Objects) == 0 {
		<-ctx.Done()
		return nil
	}
	interval := time.Duration(float64(time.Second) / t.cfg.ChangesPerSecond)
	next := time.Now().Add(interval)
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		for ; !next.After(time.Now()); next = next.Add(interval) {
			t.step()
		}
		timer.Reset(max(time.Until(next), time.Millisecond))
	}
}

// Pause stops the changes of Run. When it returns, none is under way.
func (t *Tenant) Pause() {
	t.paused.Store(true)
	t.run.Lock()
	defer t.run.Unlock()
}

// Resume lets Run go on.
func (t *Tenant) Resume() { t.paused.Store(false) }

// step makes one change.
func (t *Tenant) step() {
	t.run.Lock()
	defer t.run.Unlock()
	if t.paused.Load() {
		return
	}
	object, what, n := t.draw()
	late := time.Duration(0)
	if what == 19 {
		late, what = max(0, t.cfg.LateBy), int(n%14)
	}
	id := t.someID(object, n)
	switch {
	case id == 0 || what >= 8 && what < 14:
		t.create(object, Late(late))
	case what >= 14 && what < 17:
		if t.updateLine(object, id, 0) == nil {
			t.update(object, id, 0)
		}
	case what == 17:
		at := time.Now()
		for range 2 + n>>32%4 {
			t.create(object, Stamped(at))
		}
	case what == 18:
		t.update(object, t.someID(object, 0), 0)
	default:
		t.update(object, id, late)
	}
}

// draw picks an object, a kind of change, and a number that says which row.
func (t *Tenant) draw() (object string, what int, at uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cfg.Objects[t.rng.IntN(len(t.cfg.Objects))], t.rng.IntN(20), t.rng.Uint64()
}

// someID is the id of a row that is there, 0 if none is: the at-th, counted from
// the newest, 0 for the newest itself.
func (t *Tenant) someID(object string, at uint64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := t.tables[object].rows
	for i := range rows {
		r := rows[len(rows)-1-int((at+uint64(i))%uint64(len(rows)))]
		if !r.gone {
			return r.id
		}
	}
	return 0
}
