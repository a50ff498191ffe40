package lineage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
)

// catalog answers by turns, and with 201 from then on.
type catalog struct {
	answers []int // 0: none at all; -1: it hangs
	got     []*http.Request
	types   []string
	at      []time.Time
}

func (c *catalog) RoundTrip(req *http.Request) (*http.Response, error) {
	var e Event
	if err := json.NewDecoder(req.Body).Decode(&e); err != nil {
		return nil, err
	}
	c.got, c.types, c.at = append(c.got, req), append(c.types, e.Type), append(c.at, time.Now())
	answer := http.StatusCreated
	if len(c.answers) > 0 {
		answer, c.answers = c.answers[0], c.answers[1:]
	}
	switch answer {
	case 0:
		return nil, errors.New("connection refused")
	case -1:
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return &http.Response{StatusCode: answer, Header: http.Header{"Location": {"https://elsewhere.example.com"}}, Body: http.NoBody, Request: req}, nil
}

type heard struct {
	counts map[string]int
	log    bytes.Buffer
}

func emitter(c *catalog, url string) (*Emitter, *heard) {
	h := &heard{counts: map[string]int{}}
	return New(Config{
		URL: url, Key: "hunter2", About: about, Client: &http.Client{Transport: c}, Count: func(result string) { h.counts[result]++ }, Log: slog.New(slog.NewTextHandler(&h.log, nil)),
	}), h
}

func running(objects ...string) (tasks []Task) {
	for _, path := range objects {
		tasks = append(tasks, Task{Connector: "acme", Host: "acme.coupahost.com", Object: &config.Object{Path: path, Topic: "coupa." + path}, Topics: []string{"coupa." + path}, State: status.Running})
	}
	return tasks
}

func TestEventsGoWhereTheAddressSaysWithTheKey(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"http://catalog:5000":                  "http://catalog:5000/api/v1/lineage",
		"http://catalog:5000/":                 "http://catalog:5000/api/v1/lineage",
		"https://catalog/openlineage/take?x=y": "https://catalog/openlineage/take?x=y",
	} {
		c := &catalog{}
		e, _ := emitter(c, given)
		e.Round(t.Context(), running("users"))
		if len(c.got) != 1 || c.got[0].URL.String() != want || c.got[0].Header.Get("Authorization") != "Bearer hunter2" || c.got[0].Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %+v", given, c.got)
		}
	}
}

// No more than sixty requests go in any minute, and what waits is told in the minutes after that.
func TestAtMostSixtyAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &catalog{}
		e, _ := emitter(c, "http://catalog")
		var tasks []Task
		for i := range 100 {
			tasks = append(tasks, running("object"+string(rune('0'+i/10))+string(rune('0'+i%10)))...)
		}
		for range 12 {
			e.Round(t.Context(), tasks)
			time.Sleep(10 * time.Second)
		}
		if len(c.got) != len(tasks) {
			t.Errorf("%d requests for %d tasks", len(c.got), len(tasks))
		}
		for i := perMinute; i < len(c.at); i++ {
			if gap := c.at[i].Sub(c.at[i-perMinute]); gap < time.Minute {
				t.Errorf("requests %d and %d are %v apart", i-perMinute, i, gap)
			}
		}
	})
}

// A catalog that is away, hangs or fails is told later what is so by then; what it refuses is dropped.
// No round takes longer than a request may, and nothing in the log shows a key or an address.
func TestWhatFailsIsToldLaterAndWhatIsRefusedIsDropped(t *testing.T) {
	for name, test := range map[string]struct {
		answer int
		types  string // of all requests, after three rounds
		counts map[string]int
	}{
		"taken":             {201, "START", map[string]int{taken: 1}},
		"away":              {0, "START START", map[string]int{failed: 1, taken: 1}},
		"hangs":             {-1, "START START", map[string]int{failed: 1, taken: 1}},
		"broken":            {503, "START START", map[string]int{failed: 1, taken: 1}},
		"too many":          {429, "START START", map[string]int{failed: 1, taken: 1}},
		"a redirect":        {302, "START START", map[string]int{failed: 1, taken: 1}},
		"no such key":       {401, "START", map[string]int{refused: 1}},
		"it makes no sense": {422, "START", map[string]int{refused: 1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &catalog{answers: []int{test.answer}}
			e, h := emitter(c, "https://catalog/secret-path?token=hunter2")
			for range 3 {
				began := time.Now()
				e.Round(t.Context(), running("users"))
				if took := time.Since(began); took > requestTime {
					t.Errorf("%s: a round took %v", name, took)
				}
			}
			if got := strings.Join(c.types, " "); got != test.types {
				t.Errorf("%s: sent are %s, want %s", name, got, test.types)
			}
			for result, n := range test.counts {
				if h.counts[result] != n {
					t.Errorf("%s: counted are %v, want %v", name, h.counts, test.counts)
				}
			}
			if text := h.log.String(); strings.Contains(text, "hunter2") || strings.Contains(text, "secret-path") || (test.answer == 201) != (text == "") {
				t.Errorf("%s: the log says %s", name, text)
			}
		})
	}
}

func TestARoundEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &catalog{answers: []int{-1}}
		e, h := emitter(c, "http://catalog")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		e.Round(ctx, running("users"))
		if took := time.Since(began); took != time.Second || len(h.counts) != 0 {
			t.Errorf("it took %v, counted are %v", took, h.counts)
		}
	})
}
