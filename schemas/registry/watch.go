package registry

import (
	"context"
	"slices"
	"time"
)

// DefaultCheckInterval is how often Watch looks an id up again.
const DefaultCheckInterval = 5 * time.Minute

// lookupPause is between two look-ups of Watch, failurePause
// between two while the registry can't be asked.
const (
	lookupPause  = time.Second
	failurePause = 10 * time.Second
)

// Watch finds out, until ctx ends, whether ids still are those of their schemas. Each is looked up under its
// subject every CheckInterval, and soon where a request failed or a connection has ended; they have their
// turns, one a second at most. After the first that the registry does not have, or has by another id, all
// are looked up at once. Those are not given any more, so that the schemas are registered anew, and
// [Client.Generation] moves.
func (r *Client) Watch(ctx context.Context) {
	var next time.Time // before which nothing is looked up
	failing := false
	for ctx.Err() == nil {
		if r.alarm.Swap(false) {
			r.checkAll(ctx)
			continue
		}
		oldest, at := r.nextCheck()
		if at.Before(next) {
			at = next
		}
		if oldest == nil || time.Now().Before(at) {
			r.await(ctx, oldest != nil, at)
			continue
		}
		right, err := r.check(ctx, *oldest)
		next = time.Now().Add(lookupPause)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			next = time.Now().Add(failurePause)
			if !failing {
				r.log.Warn("schema ids can't be looked up again; it is tried until that works", "error", err)
			}
		case !right:
			r.log.Error("the schema registry does not have a schema any more by the id that it gave: it was emptied, replaced, or filled without its ids; all ids are looked up, and schemas registered anew",
				"subject", oldest.subject, "id", oldest.id, "remedy", "see what happened to the registry, and deploy/RUNBOOK.md, CoupastreamSchemaIdsChanged")
			r.raise()
		}
		failing = err != nil
	}
}

// await waits until at, if there is anything to wait for, and no longer than until something wakes it.
func (r *Client) await(ctx context.Context, planned bool, at time.Time) {
	var due <-chan time.Time
	if planned {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-r.woken:
	case <-due:
	}
}

// nextCheck is the id that was looked up longest ago and when it is to be again; nil: there is none.
func (r *Client) nextCheck() (*pending, time.Time) {
	all := r.inUse()
	if len(all) == 0 {
		return nil, time.Time{}
	}
	oldest := slices.MinFunc(all, pending.compare)
	return &oldest, oldest.checked.Add(r.interval)
}

// check looks an id up. An error: the registry has not said anything of it.
func (r *Client) check(ctx context.Context, p pending) (right bool, err error) {
	asked, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	id, err := r.lookup(asked, p.idKey)
	switch {
	case err == nil && id == p.id:
		r.confirm(p)
		return true, nil
	case err == nil, isUnknown(err):
		r.drop(p)
		return false, nil
	}
	r.suspect()
	return false, explain(p.subject, readSubject, err)
}

// checkAll looks all ids up, one after the other.
func (r *Client) checkAll(ctx context.Context) {
	r.generation.Add(1) // for what is known to be wrong already
	all := r.inUse()
	slices.SortFunc(all, pending.compare)
	wrong := 0
	for _, p := range all {
		right, err := r.check(ctx, p)
		if err != nil { // the others have their turns
			break
		}
		if !right {
			wrong++
		}
	}
	if wrong > 0 {
		r.generation.Add(1)
		r.log.Error("further ids are not those of their schemas any more", "looked_up", len(all), "wrong", wrong)
	}
}
