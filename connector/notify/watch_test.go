package notify

import (
	"slices"
	"testing"
	"time"
)

func TestAnEventTellsOfAChangeAlone(t *testing.T) {
	well := Connector{Name: "acme", Tenant: "acme", Objects: []Object{{Name: "users", Schemas: 1}}}
	with := func(change func(*Connector, *Object)) Connector {
		c := well
		c.Objects = slices.Clone(c.Objects)
		change(&c, &c.Objects[0])
		return c
	}
	failed := with(func(_ *Connector, o *Object) { o.Failed, o.Message, o.Remedy = true, "403", "grant it" })
	late := with(func(_ *Connector, o *Object) { o.Freshness, o.Objective = 6*time.Minute, 5*time.Minute })
	inTime := with(func(_ *Connector, o *Object) { o.Freshness, o.Objective = time.Second, 5*time.Minute })
	noToken := with(func(c *Connector, _ *Object) { c.TokenTrouble = "invalid_client" })
	slow := with(func(c *Connector, _ *Object) { c.ThrottledSince = time.Unix(1, 0) })
	changed := with(func(_ *Connector, o *Object) { o.Schemas, o.Subject, o.SchemaID = 2, "coupa.users-value", 7 })
	start := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	filled := func(after time.Duration) Connector {
		return with(func(_ *Connector, o *Object) { o.Backfilled = start.Add(after) })
	}
	gone := Connector{}
	type look struct {
		after time.Duration
		is    Connector
		want  []string
	}
	for _, c := range []struct {
		name  string
		looks []look
	}{
		{"nothing is wrong", []look{{0, well, nil}, {time.Hour, well, nil}}},
		{"a task fails and recovers", []look{{0, well, nil}, {10 * time.Second, failed, []string{TaskFailed}}, {time.Hour, failed, nil},
			{10 * time.Second, well, nil}, {59 * time.Second, well, nil}, {time.Second, well, []string{TaskRecovered}}, {time.Hour, well, nil}}},
		{"a task that comes and goes within a minute is one trouble", []look{{0, failed, []string{TaskFailed}}, {30 * time.Second, well, nil}, {30 * time.Second, failed, nil},
			{30 * time.Second, well, nil}, {30 * time.Second, failed, nil}, {30 * time.Second, well, nil}, {time.Minute, well, []string{TaskRecovered}}}},
		{"freshness", []look{{0, inTime, nil}, {time.Minute, late, []string{FreshnessMissed}}, {time.Hour, late, nil}, {time.Second, inTime, nil}, {time.Minute, inTime, []string{FreshnessMet}}}},
		{"an object without an objective is never late", []look{{0, with(func(_ *Connector, o *Object) { o.Freshness = 1000 * time.Hour }), nil}}},
		{"a token", []look{{0, noToken, []string{TokenFailed}}, {time.Minute, well, nil}, {time.Minute, well, []string{TokenRecovered}}, {time.Minute, noToken, []string{TokenFailed}}}},
		{"throttling for a moment is nothing to tell", []look{{0, slow, nil}, {4 * time.Minute, slow, nil}, {time.Second, well, nil}, {time.Hour, slow, nil}, {4 * time.Minute, slow, nil}}},
		{"throttling that goes on is", []look{{0, slow, nil}, {5 * time.Minute, slow, []string{RateLimited}}, {time.Second, well, nil}, {time.Minute, well, []string{RateRecovered}}, {time.Second, slow, nil}}},
		{"a schema changes", []look{{0, well, nil}, {time.Second, changed, []string{SchemaChanged}}, {time.Second, changed, nil}}},
		{"a backfill ends", []look{{0, well, nil}, {2 * time.Second, filled(time.Second), []string{BackfillDone}}, {time.Second, filled(time.Second), nil}}},
		{"a backfill ends before anybody looks", []look{{time.Second, filled(0), []string{BackfillDone}}, {time.Second, filled(0), nil}}},
		{"a backfill ends while it is looked", []look{{time.Second, filled(time.Second), nil}, {time.Second, filled(time.Second), []string{BackfillDone}}, {time.Second, filled(time.Second), nil}}},
		{"a backfill has ended before a pause", []look{{time.Second, filled(0), []string{BackfillDone}}, {time.Second, gone, nil}, {time.Second, filled(0), nil}}},
		{"whoever takes over tells of what is wrong", []look{{0, failed, []string{TaskFailed}}, {time.Second, gone, nil}, {time.Second, failed, []string{TaskFailed}}}},
	} {
		var w Watch
		now := start
		for i, l := range c.looks {
			now = now.Add(l.after)
			var all []Connector
			if l.is.Name != "" {
				all = []Connector{l.is}
			}
			var got []string
			for _, e := range w.Look(now, all) {
				got = append(got, e.Type)
				if e.ID == "" || e.Data.Connector != "acme" || e.Data.Message == "" {
					t.Errorf("%s: look %d: %+v", c.name, i, e)
				}
			}
			if !slices.Equal(got, l.want) {
				t.Errorf("%s: look %d: %v, want %v", c.name, i, got, l.want)
			}
		}
	}
}
