package registry

import (
	"cmp"
	"time"
)

// given is an id that the registry gave a schema under a subject.
type given struct {
	id      int
	checked time.Time // when the registry last said so; zero: it is to be looked up soon
	stale   bool      // whoever wants it asks the registry again first
	wrong   bool      // the registry has shown that it is not the schema's any more
}

// Replacement is a schema that got another id than it had.
type Replacement struct {
	At       time.Time
	From, To int
}

// Replaced tells of the last schema under a subject that got another id, since the client was made or
// between two processes, as far as CacheFile tells; false where there is none.
func (r *Client) Replaced(subject string) (Replacement, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.replaced[subject]
	return last, ok
}

// Generation is another number as soon as ids that were given
// may be wrong: all that is made of ids is to be made again.
func (r *Client) Generation() uint64 { return r.generation.Load() }

// Forget lets the ids of a subject be asked for again by whoever wants one next.
// Without the registry they are given as before.
func (r *Client) Forget(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, g := range r.ids {
		if k.subject == subject {
			g.stale = true
		}
	}
}

// known is the id in memory, 0 for none: registries count from 1.
func (r *Client) known(k idKey) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.ids[k]; g != nil && !g.stale && !g.wrong {
		return g.id
	}
	return 0
}

// remember takes in what the registry has said. Another
// id than before raises the alarm for all others.
func (r *Client) remember(k idKey, id int) {
	r.mu.Lock()
	former := r.kept.former(k)
	before := r.ids[k]
	if before != nil {
		former = before.id
	}
	r.ids[k] = &given{id: id, checked: time.Now()}
	if former != 0 && former != id {
		r.replaced[k.subject] = Replacement{time.Now(), former, id}
	}
	r.mu.Unlock()
	r.wake() // there was none to look up, perhaps
	switch {
	case former != 0 && former != id:
		r.log.Error("the schema registry gives a schema another id than before; records with the former one can't be read, or are read as something else", "subject", k.subject,
			"former", former, "id", id, "remedy", "give the registry its former content back, or publish again what went out since it lost it: deploy/RUNBOOK.md, CoupastreamSchemaIdsChanged")
		r.generation.Add(1)
		r.raise()
	case before != nil && before.wrong:
		r.log.Warn("the schema is registered again, by the same id as before", "subject", k.subject, "id", id)
	}
}

// resume makes the id that was given before count again, 0 where there is none that may be right.
func (r *Client) resume(k idKey) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.ids[k]
	if g == nil {
		g = &given{id: r.kept.find(k)}
	}
	if g.wrong || checkID(g.id, nil) != nil {
		return 0
	}
	r.ids[k] = &given{id: g.id}
	return g.id
}

// suspect lets all ids be looked up soon: the registry was not reached, or a connection to it has ended.
func (r *Client) suspect() {
	r.mu.Lock()
	for _, g := range r.ids {
		g.checked = time.Time{}
	}
	r.mu.Unlock()
	r.wake()
}

// raise lets all ids be looked up at once.
func (r *Client) raise() {
	r.alarm.Store(true)
	r.wake()
}

func (r *Client) wake() {
	select {
	case r.woken <- struct{}{}:
	default: // it has not been heard yet
	}
}

// pending is an id that is to be looked up.
type pending struct {
	idKey
	id      int
	checked time.Time
}

// compare orders ids by how long ago the registry confirmed them.
func (p pending) compare(other pending) int {
	return cmp.Or(p.checked.Compare(other.checked), cmp.Compare(p.subject, other.subject), cmp.Compare(p.schema, other.schema))
}

// inUse are the ids that are given without asking.
func (r *Client) inUse() []pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []pending
	for k, g := range r.ids {
		if !g.wrong {
			all = append(all, pending{k, g.id, g.checked})
		}
	}
	return all
}

// confirm notes that the registry has an id as it is given.
func (r *Client) confirm(p pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.ids[p.idKey]; g != nil && g.id == p.id {
		g.checked = time.Now()
	}
}

// drop notes that an id is wrong, unless the registry has given another one meanwhile.
func (r *Client) drop(p pending) {
	r.mu.Lock()
	g := r.ids[p.idKey]
	is := g != nil && g.id == p.id
	if is {
		g.wrong = true
	}
	r.mu.Unlock()
	if is {
		r.kept.drop(p.idKey)
	}
}
