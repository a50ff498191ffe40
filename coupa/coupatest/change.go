package coupatest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Option changes how a row is created.
type Option func(*creation)

type creation struct {
	late  time.Duration
	stamp time.Time
	lines int
}

// Late makes the row visible so long after the second that it is stamped with,
// as a save that commits late does.
func Late(by time.Duration) Option { return func(c *creation) { c.late = by } }

// Stamped gives the row this created-at and updated-at instead of the time now.
func Stamped(at time.Time) Option { return func(c *creation) { c.stamp = at } }

// Lines gives the row so many lines.
func Lines(n int) Option { return func(c *creation) { c.lines = min(n, linesOfOne) } }

// Create adds a row with the next id. The result is the zero Version if the
// object is not served; so it is of the other methods, also for unknown ids.
func (t *Tenant) Create(object string, options ...Option) Version {
	return t.version(object, t.create(object, options...))
}

func (t *Tenant) create(object string, options ...Option) *version {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := creation{lines: -1, stamp: t.stamp()}
	for _, option := range options {
		option(&c)
	}
	tb := t.tables[object]
	if tb == nil {
		return nil
	}
	id := tb.lastID + 1
	v := t.newVersion(tb, id, c.stamp.Unix())
	if c.lines >= 0 && tb.Lines != "" {
		v.lines = t.firstLines(id, c.lines, v.created, v.updated)
	}
	return t.put(tb, v, c.late)
}

// CreateLate is Create with Late.
func (t *Tenant) CreateLate(object string, by time.Duration) Version {
	return t.Create(object, Late(by))
}

// Tie creates n rows of one updated-at.
func (t *Tenant) Tie(object string, n int) []Version {
	at := time.Now()
	out := make([]Version, n)
	for i := range out {
		out[i] = t.Create(object, Stamped(at))
	}
	return out
}

// Update changes a row's own members and one of its lines, which is stamped up
// to two seconds after the header. Every eighth update of a row adds a line.
func (t *Tenant) Update(object string, id int64) Version {
	return t.version(object, t.update(object, id, 0))
}

// UpdateLate is Update that becomes visible so long after the second that the row
// is stamped with; until then readers see the row as it was. Changes made to the
// row meanwhile become visible no earlier.
func (t *Tenant) UpdateLate(object string, id int64, by time.Duration) Version {
	return t.version(object, t.update(object, id, by))
}

func (t *Tenant) update(object string, id int64, late time.Duration) *version {
	return t.change(object, id, late, func(tb *table, v *version, now int64) bool {
		v.gen++
		v.updated = now
		if tb.Path == "purchase_orders" {
			v.exported = 0 // a new version of an order is sent again
		}
		if v.gen%8 == 0 && tb.Lines != "" && t.cfg.RowBytes == 0 && len(v.lines) < linesOfOne {
			next := int64(1)
			if len(v.lines) > 0 {
				next = v.lines[len(v.lines)-1].id + 1
			} else {
				next += id * (linesOfOne + 1)
			}
			v.lines = append(v.lines, line{id: next, created: now + 1, updated: now + 1})
		} else if len(v.lines) > 0 {
			v.touch(int(mix(uint64(id), uint64(v.gen))%uint64(len(v.lines))), now+int64(v.gen%3))
		}
		return true
	})
}

// UpdateInSteps is Update whose save is seen half done: at once its row, and so long after that its line,
// or where it has none, the row once more. The stamp of the row is that of the first step.
func (t *Tenant) UpdateInSteps(object string, id int64, apart time.Duration) Version {
	t.change(object, id, 0, func(_ *table, v *version, now int64) bool {
		v.gen++
		v.updated = now
		return true
	})
	return t.version(object, t.change(object, id, apart, func(_ *table, v *version, now int64) bool {
		if len(v.lines) == 0 {
			v.gen++
			return true
		}
		v.touch(int(mix(uint64(id), uint64(v.gen))%uint64(len(v.lines))), now+int64(apart/time.Second))
		return true
	}))
}

// UpdateLine changes one line of a row and nothing else: the header's updated-at
// stays where it was. For an object without lines, or a row without, it does
// nothing and returns the zero Version.
func (t *Tenant) UpdateLine(object string, id int64) Version {
	return t.version(object, t.updateLine(object, id, 0))
}

// UpdateLineLate is UpdateLine that becomes visible so long after the second that
// the line is stamped with, as UpdateLate does.
func (t *Tenant) UpdateLineLate(object string, id int64, by time.Duration) Version {
	return t.version(object, t.updateLine(object, id, by))
}

func (t *Tenant) updateLine(object string, id int64, late time.Duration) *version {
	return t.change(object, id, late, func(tb *table, v *version, now int64) bool {
		if len(v.lines) == 0 {
			return false
		}
		k := 0
		for i := range v.lines { // in turns: the one that changed least often
			if v.lines[i].gen < v.lines[k].gen {
				k = i
			}
		}
		v.touch(k, now)
		return true
	})
}

// RemoveLine removes the last line that is left of a row, and nothing else changes: conditions
// still find the line's stamp, and the row no longer shows it. Nobody outside knows whether
// Coupa does so; its parameter show_deleted_lines says that such lines are kept.
func (t *Tenant) RemoveLine(object string, id int64) Version {
	return t.version(object, t.change(object, id, 0, func(_ *table, v *version, now int64) bool {
		for k := range slices.Backward(v.lines) {
			if !v.lines[k].removed {
				v.touch(k, now)
				v.lines[k].removed = true
				return true
			}
		}
		return false
	}))
}

// touch changes a line. A line's stamp never goes back.
func (v *version) touch(k int, stamp int64) {
	v.lines[k].gen++
	v.lines[k].updated = max(v.lines[k].updated, stamp)
}

// SetMember sets one member of a row to rawJSON, or overrides the one that it
// has, and moves the row's updated-at. key is spelled as it is to be sent
// ("invoice-number"); the member stays as set through later updates.
func (t *Tenant) SetMember(object string, id int64, key, rawJSON string) Version {
	return t.setMember(object, id, key, rawJSON, true)
}

// SetSilent is SetMember that leaves updated-at where it is.
func (t *Tenant) SetSilent(object string, id int64, key, rawJSON string) Version {
	return t.setMember(object, id, key, rawJSON, false)
}

func (t *Tenant) setMember(object string, id int64, key, rawJSON string, stamped bool) Version {
	return t.version(object, t.change(object, id, 0, func(tb *table, v *version, now int64) bool {
		if stamped {
			v.updated = now
		}
		m := member{name: key, key: strconv.Quote(key) + ":", value: []byte(rawJSON)}
		tb.byHand[normal(key)] = true
		for i := range v.set {
			if v.set[i].name == key {
				v.set[i] = m
				return true
			}
		}
		v.set = append(v.set, m)
		return true
	}))
}

// SetRaw puts a row exactly as given, JSON or not, at id. `fields` does not cut
// it. It is found in windows by the updated-at that it holds, or by the time now
// if it holds none that can be read. Update makes an ordinary row of it again.
func (t *Tenant) SetRaw(object string, id int64, raw []byte) Version {
	var stamps struct {
		Created time.Time `json:"created-at"`
		Updated time.Time `json:"updated-at"`
	}
	v := &version{id: id, raw: bytes.Clone(raw), created: time.Now().Unix(), updated: time.Now().Unix()}
	if json.Unmarshal(raw, &stamps) == nil && !stamps.Updated.IsZero() {
		v.created, v.updated = stamps.Created.Unix(), stamps.Updated.Unix()
	}
	t.mu.Lock()
	if tb := t.tables[object]; tb != nil {
		v = t.put(tb, v, 0)
	} else {
		v = nil
	}
	t.mu.Unlock()
	return t.version(object, v)
}

// Delete removes a row: it is in no page any more and a request for it alone is
// answered 404. It reports whether there was one.
func (t *Tenant) Delete(object string, id int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	tb := t.tables[object]
	if tb == nil || tb.row(id) == nil {
		return false
	}
	r := tb.row(id)
	r.gone, r.deletes = true, r.deletes+1
	return true
}

// Deletes is how often rows of an object were removed, by id, of those that were.
func (t *Tenant) Deletes(object string) map[int64]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[int64]int{}
	if tb := t.tables[object]; tb != nil {
		for _, r := range tb.rows {
			if r.deletes > 0 {
				all[r.id] = r.deletes
			}
		}
	}
	return all
}

// Undelete brings a row back that was removed, as it was. It reports whether there was one.
func (t *Tenant) Undelete(object string, id int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	tb := t.tables[object]
	if tb == nil {
		return false
	}
	i := tb.find(id)
	if i == len(tb.rows) || tb.rows[i].id != id || !tb.rows[i].gone {
		return false
	}
	tb.rows[i].gone = false
	return true
}

// Hide takes rows out of the API client's sight, as rights do that are withdrawn, and brings all others
// back. Rows that are hidden change as before; no answer tells them from rows that were removed.
func (t *Tenant) Hide(object string, hide func(id int64) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tb := t.tables[object]; tb != nil {
		for _, r := range tb.rows {
			r.hidden = hide(r.id)
		}
	}
}

// Rewind makes an object what it was when the row of an id was its last one, as a refresh from an older
// copy does: rows above it are removed, and their ids are given again.
func (t *Tenant) Rewind(object string, through int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tb := t.tables[object]; tb != nil {
		for _, r := range tb.rows[tb.find(through+1):] {
			r.gone, r.deletes = true, r.deletes+1
		}
		tb.lastID = through
	}
}

// SetParent puts a row, of a collection below another one,
// below another of its rows. The row itself does not change.
func (t *Tenant) SetParent(object string, id, parent int64) Version {
	return t.version(object, t.change(object, id, 0, func(_ *table, v *version, _ int64) bool {
		v.parent = parent
		return true
	}))
}

// MarkExported sets a row's exported flag as PUT ?exported=true does. The row's
// updated-at stays but for Config.MarksStamp: whether Coupa moves it is not documented.
func (t *Tenant) MarkExported(object string, id int64) Version {
	return t.setExported(object, id, func(now int64) int64 { return now })
}

// ResetExported takes a row's exported flag back, as Coupa does for a new version of an order, and where it
// is set up so for changes that users make; changes over the API never do (Compass, "Invoices Integration
// into your ERP"). Here Update of an order does it by itself, and no other change.
func (t *Tenant) ResetExported(object string, id int64) Version {
	return t.setExported(object, id, func(int64) int64 { return 0 })
}

func (t *Tenant) setExported(object string, id int64, to func(now int64) int64) Version {
	return t.version(object, t.change(object, id, 0, func(tb *table, v *version, now int64) bool {
		if v.exported = to(now); t.cfg.MarksStamp {
			v.updated = now
		}
		v.checked = tb.row(id).checked
		return tb.shape.byName["exported"] != nil
	}))
}

// change makes the next version of a row; edit says no to leave it alone.
func (t *Tenant) change(object string, id int64, late time.Duration, edit func(tb *table, v *version, now int64) bool) *version {
	t.mu.Lock()
	defer t.mu.Unlock()
	tb := t.tables[object]
	if tb == nil {
		return nil
	}
	r := tb.row(id)
	if r == nil {
		return nil
	}
	v := r.last().next()
	if !edit(tb, v, t.stamp().Unix()) {
		return nil
	}
	return t.put(tb, v, late)
}

// stamp is the time by the clock of one of the servers; mu is held.
func (t *Tenant) stamp() time.Time {
	if len(t.cfg.Clocks) == 0 {
		return time.Now()
	}
	return time.Now().Add(t.clock(t.rng.Uint64()))
}

// clock is how far the clock of a server is ahead, by its number modulo how many there are.
func (t *Tenant) clock(server uint64) time.Duration {
	if len(t.cfg.Clocks) == 0 {
		return 0
	}
	return t.cfg.Clocks[server%uint64(len(t.cfg.Clocks))]
}

// put makes v visible now or later. It waits for a version of the same row that
// is still to become visible, as a second save waits for the lock of the first.
func (t *Tenant) put(tb *table, v *version, late time.Duration) *version {
	now := time.Now()
	t.seq++
	v.seq = t.seq
	v.visible = now.Add(late).UnixNano()
	if r := tb.row(v.id); r != nil {
		v.visible = max(v.visible, r.last().visible)
	}
	t.settled = max(t.settled, v.visible)
	t.cached.Add(-tb.put(v, now))
	return v
}

// version is v as callers get it, the zero Version for nil.
func (t *Tenant) version(object string, v *version) Version {
	if v == nil {
		return Version{}
	}
	return t.export(t.tables[object], v)
}
