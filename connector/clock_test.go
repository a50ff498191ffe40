package connector

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

type skewed struct {
	next http.RoundTripper
	by   *atomic.Int64 // nanoseconds, for answers of the API
	mint *atomic.Int64 // for answers of the token endpoint
}

func (s skewed) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := s.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	by := time.Duration(s.by.Load())
	if strings.HasPrefix(req.URL.Path, "/oauth2/") {
		by = time.Duration(s.mint.Load())
	}
	if at, ok := http.ParseTime(res.Header.Get("Date")); ok == nil {
		res.Header.Set("Date", at.Add(by).UTC().Format(http.TimeFormat))
	}
	return res, nil
}

func (h *harness) skew(by, mint *atomic.Int64) {
	h.source = func(stream.Source) stream.Source {
		c, err := coupa.New(coupa.Config{URL: "http://127.0.0.1", ClientID: "id", ClientSecret: "secret", Transport: skewed{h.tenant.Transport(), by, mint}})
		if err != nil {
			h.t.Fatal(err)
		}
		return c
	}
}

func TestAClockThatRanAheadForAWhileLosesNothing(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 103, Rows: 60}, func(h *harness) {
		var by, mint atomic.Int64
		h.skew(&by, &mint)
		h.start()
		h.settle()
		by.Store(int64(10 * time.Minute)) // one server's NTP is off
		h.pass(10 * time.Second)
		by.Store(0)
		h.pass(time.Minute)
		h.tenant.Update("invoices", 5)
		h.pass(2 * time.Minute)
		h.pass(25 * time.Minute)
		h.check("invoices")
	})
}

func TestATokenAnswerWithAnOldDateDoesNotStallTheStreams(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 104, Rows: 60, TokenTTL: 10 * time.Minute}, func(h *harness) {
		var by, mint atomic.Int64
		h.skew(&by, &mint)
		h.start()
		h.settle()
		mint.Store(int64(-time.Hour))
		h.pass(11 * time.Minute) // the token is renewed
		mint.Store(0)
		v := h.tenant.Update("invoices", 5)
		h.pass(20 * time.Minute)
		found := false
		for _, rec := range h.records("coupa.invoices") {
			found = found || rec.id == v.ID && rec.updatedAt == v.UpdatedAt.UTC().Format(time.RFC3339)
		}
		if !found {
			t.Error("20 minutes after a change it is not published, and no request is made")
		}
	})
}

type everyThird struct {
	next http.RoundTripper
	n    *atomic.Int64
}

func (s everyThird) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := s.next.RoundTrip(req)
	if at, ok := http.ParseTime(res.Header.Get("Date")); err == nil && ok == nil && s.n.Add(1)%3 == 0 {
		res.Header.Set("Date", at.Add(10*time.Minute).UTC().Format(http.TimeFormat))
	}
	return res, err
}

func TestOneServerOfThreeThatRunsAheadLosesNothing(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 133, Rows: 60}, func(h *harness) {
		var n atomic.Int64
		h.source = func(stream.Source) stream.Source {
			c, err := coupa.New(coupa.Config{URL: "http://127.0.0.1", ClientID: "id", ClientSecret: "secret", Transport: everyThird{h.tenant.Transport(), &n}})
			if err != nil {
				h.t.Fatal(err)
			}
			return c
		}
		h.start()
		h.settle()
		for i := range 10 {
			h.tenant.Update("invoices", int64(i+1))
			h.pass(3 * time.Minute)
		}
		h.pass(25 * time.Minute)
		h.check("invoices")
	})
}

func TestADateThatIsAlwaysAheadOfTheStampsIsNoticed(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 134, Rows: 60}, func(h *harness) {
		var by, mint atomic.Int64
		by.Store(int64(2 * time.Minute))
		mint.Store(int64(2 * time.Minute))
		h.skew(&by, &mint)
		h.start()
		h.settle()
		for i := range 5 {
			h.tenant.Update("invoices", int64(i+1))
			h.pass(3 * time.Minute)
		}
		if !strings.Contains(h.log.String(), "Coupa's clock and this machine's differ") {
			t.Error("nothing is said of it")
		}
	})
}

// both lets a source's Now run ahead too, as where this machine's clock is as wrong as Coupa's.
type both struct {
	stream.Source
	by *atomic.Int64
}

func (b both) Now(ctx context.Context) (time.Time, error) {
	now, err := b.Source.Now(ctx)
	return now.Add(time.Duration(b.by.Load())), err
}

// Two changes a second, while clocks run ahead for some minutes and when they are right again.
func TestClocksThatRunAheadLoseNothingForLongerThanAMinute(t *testing.T) {
	longRaced(t)
	for _, c := range []struct {
		name    string
		by      time.Duration
		bounded bool // by this machine's clock, which is right
	}{
		{"Coupa's, an hour", time.Hour, true},
		{"Coupa's, by less than what is bounded", 40 * time.Second, true},
		{"both, an hour", time.Hour, false},
		{"both, two minutes", 2 * time.Minute, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 760, Rows: 60, Objects: []string{"users", "suppliers"}}, func(h *harness) {
				h.keys["overlap.ms"] = "5000"
				var by, mint, ours atomic.Int64
				h.skew(&by, &mint)
				if !c.bounded {
					skewed := h.source
					h.source = func(s stream.Source) stream.Source { return both{skewed(s), &ours} }
				}
				h.start()
				h.settle()
				by.Store(int64(c.by))
				change := func(seconds int) {
					for range seconds / 2 {
						h.tenant.Create("users")
						h.pass(2 * time.Second)
						s := h.task("acme", "users")
						if s.Proven.After(time.Now()) || time.Since(s.Proven) < time.Second {
							t.Fatalf("%v are said to be proven at %v", s.Proven, time.Now())
						}
					}
				}
				change(330) // longer than what an answer said of the time counts
				if !c.bounded {
					ours.Store(int64(c.by))
				}
				change(180)
				s := h.task("acme", "users")
				if says := strings.Contains(s.Trace, "ahead of this machine's clock"); says != (c.by > time.Minute) || s.State != status.Running {
					t.Errorf("%s %q", s.State, s.Trace)
				}
				if ahead := h.running.Connectors()[0].ClockAhead; ahead < c.by-2*time.Second || ahead > c.by {
					t.Errorf("the clock is said to be %v ahead", ahead)
				}
				if n := strings.Count(h.log.String(), "Coupa's clock and this machine's differ"); n != 1 {
					t.Errorf("the log says so %d times", n)
				}
				if there := int64(len(h.tenant.Rows("users"))); c.bounded && (time.Since(s.Proven) > 10*time.Second || s.Published < there-20) {
					t.Errorf("%d rows of %d are published, proven until %v", s.Published, there, s.Proven)
				}
				by.Store(0)
				ours.Store(0)
				change(60)
				h.pass(5 * time.Second)
				h.check("users")
				if s := h.task("acme", "users"); s.Trace != "" {
					t.Errorf("afterwards: %q", s.Trace)
				}
			})
		})
	}
}

func TestAClockThatIsBehindIsSaidInTheTrace(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 761, Rows: 20, Objects: []string{"users"}}, func(h *harness) {
		var by, mint atomic.Int64
		h.skew(&by, &mint)
		h.start()
		h.settle()
		by.Store(int64(-time.Hour))
		h.pass(15 * time.Second)
		by.Store(0)
		h.pass(time.Minute)
		if s := h.task("acme", "users"); !strings.Contains(s.Trace, "1h0m1s behind this machine's clock") && !strings.Contains(s.Trace, "1h0m0s behind this machine's clock") {
			t.Errorf("%s %q", s.State, s.Trace)
		}
		h.pass(5 * time.Minute)
		if s := h.task("acme", "users"); s.Trace != "" {
			t.Errorf("afterwards: %q", s.Trace)
		}
	})
}

func TestInitialFromInTheFutureWaits(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 109, Rows: 60}, func(h *harness) {
		h.keys["initial.from"] = time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
		h.start()
		h.settle()
		h.pass(time.Minute)
		h.tenant.Update("invoices", 5)
		h.settle()
		if n := len(h.records("coupa.invoices")); n != 0 {
			t.Errorf("%d records of before initial.from", n)
		}
	})
}

func TestLatestIsWhenTheStreamWasFirstStarted(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 102, Rows: 60}, func(h *harness) {
		h.keys["initial.from"] = "latest"
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Forbidden403, Object: "invoices", Count: -1})
		h.start()
		h.pass(time.Minute)
		v := h.tenant.Update("invoices", 5)
		h.pass(10 * time.Minute)
		h.tenant.ClearFaults()
		// By itself it might wait an hour: its circuit may be open.
		if _, err := h.running.Restart(h.t.Context(), "acme", RestartRequest{IncludeTasks: true, OnlyFailed: true}); err != nil {
			t.Fatal(err)
		}
		h.pass(2 * time.Minute)
		found := false
		for _, r := range h.records("coupa.invoices") {
			found = found || r.id == v.ID
		}
		if !found {
			t.Error("a change made a minute after the start was never published")
		}
	})
}

func TestLatestIsKeptFromTheStartOn(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 125, Rows: 60}, func(h *harness) {
		h.keys["initial.from"], h.keys["poll.interval.ms"] = "latest", "30000"
		h.start()
		h.pass(3 * time.Second)
		seq := h.running.Connectors()[0].Tasks[0].Committed.Seq
		h.stop()
		v := h.tenant.Update("invoices", 5)
		h.pass(10 * time.Minute)
		h.start()
		h.pass(10 * time.Minute)
		for _, r := range h.records("coupa.invoices") {
			if r.id == v.ID {
				return
			}
		}
		t.Errorf("a change made after the first start was never published (commits before the restart: %d)", seq)
	})
}
