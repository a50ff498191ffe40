package connector

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// condition is that of the only connector's object.
func (h *harness) condition(object string) TaskStatus {
	h.t.Helper()
	for _, c := range h.running.Connectors() {
		for _, task := range c.Tasks {
			if task.Object == object {
				return task
			}
		}
	}
	h.t.Fatalf("no task of %s", object)
	return TaskStatus{}
}

func TestConditionsTellWhatAnObjectIsLike(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 401, Rows: 120, Objects: []string{"users"}}, func(h *harness) {
		expect := func(want Condition, why string) TaskStatus {
			t.Helper()
			s := h.condition("users")
			if s.Condition != want {
				t.Errorf("%s: %q, want %q (%s)", why, s.Condition, want, s.Trace)
			}
			return s
		}
		h.start()
		h.settle()
		s := expect(Idle, "nothing changes")
		if behind := time.Since(s.Proven); behind > 5*time.Second {
			t.Errorf("proven up to %v ago with a poll each second", behind)
		}
		h.tenant.Update("users", 3)
		h.pass(3500 * time.Millisecond)
		h.tenant.Update("users", 4)
		h.pass(time.Millisecond)
		proven := h.condition("users").Proven

		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Throttle429, Count: -1})
		h.pass(30 * time.Second)
		s = expect(Throttled, "Coupa answers 429")
		if s.Proven.Sub(proven) > 2*time.Second {
			t.Errorf("proven from %v to %v without an answer", proven, s.Proven)
		}
		h.tenant.ClearFaults()
		h.pass(5 * time.Minute)
		expect(Idle, "the throttling is over")

		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Unavailable503, Count: -1})
		h.pass(5 * time.Minute)
		h.tenant.ClearFaults()
		h.pass(5 * time.Minute)
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.ServerError500, Count: -1})
		h.pass(5 * time.Minute)
		s = expect(Stuck, "Coupa answers 500 to everything")
		if len(s.Errors) == 0 {
			t.Error("no error is remembered")
		}
		h.tenant.ClearFaults()
		h.pass(5 * time.Minute)
		s = expect(Idle, "Coupa answers again")
		if s.Answers["200"] == 0 || s.Answers["500"] == 0 || s.Answers["429"] == 0 {
			t.Errorf("answers %v", s.Answers)
		}
		h.check("users")
	})
}

// curtain is an instance that shows no row to the API client while it is drawn.
type curtain struct {
	Source
	drawn *atomic.Bool
}

func (c curtain) Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error) {
	if !c.drawn.Load() {
		return c.Source.Fetch(ctx, q, yield)
	}
	page, err := c.Source.Fetch(ctx, q, func(coupa.Row) error { return nil })
	return coupa.Page{LastID: q.After, Empty: true, Date: page.Date, Latency: page.Latency}, err
}

func (c curtain) MaxID(ctx context.Context, q coupa.Query) (int64, error) {
	if !c.drawn.Load() {
		return c.Source.MaxID(ctx, q)
	}
	return 0, ctx.Err()
}

func TestAnObjectWhoseRowsVanishIsBlindAndProvesNothing(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 402, Rows: 120, Objects: []string{"users", "suppliers"}}, func(h *harness) {
		var drawn atomic.Bool
		h.source = func(s Source) Source { return curtain{s, &drawn} }
		h.start()
		h.settle()
		h.pass(5 * time.Minute)
		h.tenant.Update("users", 3)
		h.pass(10 * time.Second)
		drawn.Store(true)
		h.pass(5 * time.Second)
		s := h.condition("users")
		if s.Condition != Blind || len(s.Errors) == 0 || s.Errors[0].Remedy == "" {
			t.Errorf("%q with %v although a row that was published 10 s ago is not there any more", s.Condition, s.Errors)
		}
		if other := h.condition("suppliers"); other.Condition != Idle {
			t.Errorf("%q of an object in which nothing changed for minutes, before it is looked after", other.Condition)
		}
		h.pass(10 * time.Minute)
		if other := h.condition("suppliers"); other.Condition != Blind {
			t.Errorf("%q of an object that shows no row", other.Condition)
		}
		if now := h.condition("users"); !now.Proven.Equal(s.Proven) {
			t.Errorf("proven up to %v, and later %v, without a row to be seen", s.Proven, now.Proven)
		}
		drawn.Store(false)
		h.pass(2 * time.Minute)
		for _, object := range []string{"users", "suppliers"} {
			if s := h.condition(object); s.Condition != Idle || time.Since(s.Proven) > 5*time.Second {
				t.Errorf("%s: %q, proven %v ago, with its rows back", object, s.Condition, time.Since(s.Proven))
			}
		}
		h.check("users")
	})
}

func TestAnObjectThatNeverHadARowIsIdle(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 403, Rows: -1, Objects: []string{"users"}}, func(h *harness) {
		var drawn atomic.Bool
		drawn.Store(true)
		h.source = func(s Source) Source { return curtain{s, &drawn} }
		h.start()
		h.pass(25 * time.Minute)
		if s := h.condition("users"); s.Condition != Idle {
			t.Errorf("%q (%s)", s.Condition, s.Trace)
		}
	})
}

func TestAnObjectWithoutItsScopeIsBlind(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 404, Rows: 120, Objects: []string{"users"}}, func(h *harness) {
		h.start()
		h.settle()
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Forbidden403, Count: -1})
		h.pass(time.Minute)
		s := h.condition("users")
		if s.State != Failed || s.Condition != Blind {
			t.Errorf("%s, %q without its scope", s.State, s.Condition)
		}
		if len(s.Errors) != 1 || s.Errors[0].Remedy == "" {
			t.Errorf("%v, want one error with its remedy", s.Errors)
		}
		h.tenant.ClearFaults()
		h.pass(20 * time.Minute)
		if s := h.condition("users"); s.State != Running || s.Condition != Idle {
			t.Errorf("%s, %q with the scope again", s.State, s.Condition)
		}
	})
}

func TestABackfillTellsHowFarItIs(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 405, Rows: 3000, Objects: []string{"users"}}, func(h *harness) {
		h.keys["coupa.rate.limit"], h.keys["poll.interval.ms"] = "1", "20000"
		h.start()
		h.pass(40 * time.Second)
		s := h.condition("users")
		p := s.Progress
		if s.Condition != Backfilling || p.Done == 0 || p.Done >= 2500 {
			t.Fatalf("%q, %+v", s.Condition, p)
		}
		if p.Total < 2400 || p.Total > 3600 || p.Left <= 0 {
			t.Errorf("%+v of 3000 rows", p)
		}
		began := time.Now()
		for h.condition("users").Condition == Backfilling {
			h.pass(time.Second)
		}
		if took := time.Since(began); p.Left < took/2 || p.Left > 2*took {
			t.Errorf("%v were said to be left, and it took %v", p.Left, took)
		}
		if s := h.condition("users"); s.Progress != (Progress{}) || len(s.SchemaVersions) == 0 {
			t.Errorf("%+v, schemas %v, when it is over", s.Progress, s.SchemaVersions)
		}
		h.check("users")
	})
}

func TestTheRateIsToldForTheLastHour(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 406, Rows: 20, Objects: []string{"users"}}, func(h *harness) {
		h.keys["coupa.rate.limit"] = "10"
		r := h.start()
		h.pass(2 * time.Hour)
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Throttle429, Count: 3})
		h.pass(5 * time.Second)
		c := r.Connectors()[0]
		if c.Rate.Limit != 10 || c.Rate.Current >= 10 || c.Rate.Used < 0.5 || c.Rate.Used > 1.5 || c.Rate.ThrottledSince.IsZero() {
			t.Errorf("%+v with a poll a second, throttled", c.Rate)
		}
		if n := len(c.Rate.History); n != 120 {
			t.Errorf("%d points of the last hour, want one each 30 s", n)
		}
		if c.Token.Age < 2*time.Hour || c.Token.ExpiresIn < time.Hour || c.Token.Trouble != "" {
			t.Errorf("%+v", c.Token)
		}
		h.stop()
		if c := r.Connectors()[0]; len(c.Rate.History) != 0 || c.Tasks[0].Condition != "" {
			t.Errorf("%+v of a worker that does not run the connector", c)
		}
	})
}
