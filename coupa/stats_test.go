package coupa

import (
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestALimiterTellsItsPaceOfTheLastMinute(t *testing.T) {
	t.Parallel()
	for _, rps := range []float64{0, 10} {
		synctest.Test(t, func(t *testing.T) {
			l := NewLimiter(rps)
			for range 30 {
				if err := l.Wait(t.Context(), PriorityPoll); err != nil {
					t.Fatal(err)
				}
				pass(time.Second)
			}
			if s := l.Stats(); s.Used != 0.5 || s.Limit != rps || s.Current != rps {
				t.Errorf("limit %v: %+v after 30 turns in 30 s, want 0.5 a second of the minute", rps, s)
			}
			pass(44 * time.Second)
			if s := l.Stats(); s.Used != 0.25 {
				t.Errorf("limit %v: used %v with the last half of the turns within a minute, want 0.25", rps, s.Used)
			}
			pass(time.Hour)
			if s := l.Stats(); s.Used != 0 {
				t.Errorf("limit %v: used %v after an hour without a turn", rps, s.Used)
			}
		})
	}
}

func TestALimiterIsThrottledFromTheFirstRefusalUntilItIsBackAtItsCeiling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(20)
		began := time.Now()
		l.throttled(began)
		pass(10 * time.Second)
		l.throttled(time.Now())
		if s := l.Stats(); !s.ThrottledSince.Equal(began) || !s.Throttled.Equal(began.Add(10*time.Second)) || s.Current != 5 {
			t.Errorf("%+v, want throttled since the first refusal, last by the second", s)
		}
		for range 20 {
			pass(time.Second)
			l.succeeded(time.Now(), kind{}, 0)
		}
		if s := l.Stats(); !s.ThrottledSince.IsZero() || s.Current != 20 {
			t.Errorf("%+v, want no throttling at the ceiling", s)
		}
	})
}

func TestAClientTellsWhyThereIsNoTokenAndHowOldOneIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		f := &fake{api: pages(`[]`), lifetime: 3600}
		f.grant = func(n int, _ *http.Request) *http.Response {
			if refuse {
				return answer(401, `{"error":"invalid_client"}`)
			}
			return f.token(n)
		}
		c := newClient(t, f)
		if s := c.Token(); s != (TokenStats{}) {
			t.Errorf("%+v before the first request", s)
		}
		if err := c.CheckToken(t.Context()); err == nil {
			t.Fatal("no error for a refused client")
		}
		if s := c.Token(); KindOf(s.Failed) != Misconfigured || !s.Issued.IsZero() {
			t.Errorf("%+v, want the reason and no token", s)
		}
		refuse = false
		pass(mintShared)
		issued := time.Now()
		if err := c.CheckToken(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := c.Token(); s.Failed != nil || !s.Issued.Equal(issued) || s.Expires.Sub(issued).Round(time.Second) != time.Hour {
			t.Errorf("%+v, want a token of an hour", s)
		}
		pass(2 * time.Hour)
		if s := c.Token(); !s.Issued.IsZero() {
			t.Errorf("%+v, want none behind its time", s)
		}
	})
}

func TestAnswersAreCountedByResourceAndStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		statuses := []int{200, 429, 429, 418, 599, 302, 204}
		c := newClient(t, &fake{api: func(n int, _ *http.Request) *http.Response { return answer(statuses[n-1], `[]`) }})
		for range statuses {
			_, _, _ = collect(t.Context(), c, Query{Path: "invoices"})
		}
		want := map[string]uint64{"200": 1, "429": 2, "4xx": 1, "5xx": 1, "3xx": 1, "2xx": 1}
		if got := c.Answers("invoices"); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if got := c.Answers("users"); len(got) != 0 {
			t.Errorf("%v of a resource that nobody asked for", got)
		}
	})
}
