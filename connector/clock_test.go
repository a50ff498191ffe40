package connector

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
