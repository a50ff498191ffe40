package notify

import (
	"fmt"
	"time"
)

// How long things must be so before they are told.
const (
	// calm is how long a trouble must be over: one that comes back sooner is the same one.
	calm = time.Minute
	// sustained is how long Coupa must slow the worker down:
	// that it does so now and then is nothing to act on.
	sustained = 5 * time.Minute
)

// Connector is what a connector that runs on this worker is like at one time.
type Connector struct {
	Name, Tenant   string
	TokenTrouble   string    // why there is no token; "": there is one
	ThrottledSince time.Time // when Coupa began to slow the worker down; zero: it does not
	Limit, Ceiling float64   // requests a second
	Objects        []Object
}

// Object is one of its objects, if it runs.
type Object struct {
	Name            string
	Failed          bool
	Message, Remedy string        // of its last error
	Freshness       time.Duration // how far it is behind
	Objective       time.Duration // 0: none
	// when what was there before the stream began was read
	// to its end; zero: it was not, since the worker began
	Backfilled time.Time
	Schemas    int64 // that its records had since the start, after the first
	Subject    string
	SchemaID   int // the last one
}

// Watch makes events of what connectors are like. The zero Watch knows none.
type Watch struct {
	connectors map[string]*watched
	looked     time.Time // when it was looked last
}

type watched struct {
	token, rate alarm
	objects     map[string]*watchedObject
}

type watchedObject struct {
	failed, late alarm
	schemas      int64
}

// alarm tells of the beginning and the end of a trouble.
type alarm struct {
	on    bool
	began time.Time // of the trouble, or of the suspicion of one
	well  time.Time // since when there is none, while it is on; zero: there is
}

type edge uint8

const (
	none edge = iota
	raised
	cleared
)

// note takes in whether there is trouble now; after says how long there must be before it is told.
func (a *alarm) note(now time.Time, bad bool, after time.Duration) edge {
	switch {
	case bad && a.on:
		a.well = time.Time{}
	case bad:
		if a.began.IsZero() {
			a.began = now
		}
		if now.Sub(a.began) >= after {
			a.on = true
			return raised
		}
	case !a.on:
		a.began = time.Time{}
	case a.well.IsZero():
		a.well = now
	case now.Sub(a.well) >= calm:
		*a = alarm{}
		return cleared
	}
	return none
}

// Look takes in what the connectors are like that run on this worker, and
// gives what has happened since the last look. A connector that is not among
// them any more is forgotten: whoever runs it then tells of its troubles.
func (w *Watch) Look(now time.Time, all []Connector) []Event {
	var events []Event
	seen := map[string]*watched{}
	for _, c := range all {
		k := w.connectors[c.Name]
		if k == nil {
			k = &watched{}
		}
		seen[c.Name] = k
		events = append(events, k.look(w.looked, now, c)...)
	}
	w.connectors, w.looked = seen, now
	return events
}

func (k *watched) look(before, now time.Time, c Connector) []Event {
	var events []Event
	tell := func(kind string, d Data) {
		d.Connector, d.Tenant = c.Name, c.Tenant
		events = append(events, newEvent(kind, now, d))
	}
	began := k.token.began
	switch k.token.note(now, c.TokenTrouble != "", 0) {
	case raised:
		tell(TokenFailed, Data{Message: c.TokenTrouble})
	case cleared:
		tell(TokenRecovered, Data{Message: "there is a token again", Since: &began})
	}
	began = k.rate.began
	switch k.rate.note(now, !c.ThrottledSince.IsZero(), sustained) {
	case raised:
		tell(RateLimited, Data{Message: fmt.Sprintf("Coupa has slowed the worker down for %v", now.Sub(c.ThrottledSince).Round(time.Second)), Limit: c.Limit, Ceiling: c.Ceiling,
			Remedy: "lower coupa.rate.limit to what Coupa grants, or find out who else uses the instance's limit"})
	case cleared:
		tell(RateRecovered, Data{Message: "Coupa slows the worker down no more", Since: &began, Limit: c.Limit, Ceiling: c.Ceiling})
	}
	objects := map[string]*watchedObject{}
	for _, o := range c.Objects {
		ko := k.objects[o.Name]
		if ko == nil {
			ko = &watchedObject{schemas: o.Schemas}
		}
		objects[o.Name] = ko
		ko.look(before, now, o, func(kind string, d Data) {
			d.Object = o.Name
			tell(kind, d)
		})
	}
	k.objects = objects
	return events
}

func (k *watchedObject) look(before, now time.Time, o Object, tell func(string, Data)) {
	began := k.failed.began
	switch k.failed.note(now, o.Failed, 0) {
	case raised:
		tell(TaskFailed, Data{Message: o.Message, Remedy: o.Remedy})
	case cleared:
		tell(TaskRecovered, Data{Message: o.Name + " is read again", Since: &began})
	}
	began = k.late.began
	d := Data{Freshness: o.Freshness.Milliseconds(), Objective: o.Objective.Milliseconds()}
	switch k.late.note(now, o.Objective > 0 && o.Freshness > o.Objective, 0) {
	case raised:
		d.Message = fmt.Sprintf("%s is %v behind Coupa, and the objective is %v", o.Name, o.Freshness.Round(time.Second), o.Objective)
		if o.Message != "" && o.Failed {
			d.Message += ": " + o.Message
		}
		d.Remedy = o.Remedy
		tell(FreshnessMissed, d)
	case cleared:
		d.Message, d.Since = fmt.Sprintf("%s is %v behind Coupa", o.Name, o.Freshness.Round(time.Second)), &began
		tell(FreshnessMet, d)
	}
	if o.Schemas > k.schemas {
		tell(SchemaChanged, Data{Message: "records of " + o.Name + " have a new version of their schema", Subject: o.Subject, SchemaID: o.SchemaID})
	}
	// in the time from look to look, however short the backfill was
	if !o.Backfilled.IsZero() && !o.Backfilled.Before(before) && o.Backfilled.Before(now) {
		tell(BackfillDone, Data{Message: "what was there before the stream of " + o.Name + " began is published"})
	}
	k.schemas = o.Schemas
}
