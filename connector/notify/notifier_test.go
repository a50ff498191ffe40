package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// receiver is a webhook in process. It answers by turns, and with 204 from then on.
type receiver struct {
	mu      sync.Mutex
	answers []int // 0: none at all; -1: it hangs
	header  http.Header
	got     []*http.Request
	bodies  []string
	at      []time.Time
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	status := http.StatusNoContent
	if len(r.answers) > 0 {
		status, r.answers = r.answers[0], r.answers[1:]
	}
	r.got, r.bodies, r.at = append(r.got, req), append(r.bodies, string(body)), append(r.at, time.Now())
	r.mu.Unlock()
	switch status {
	case 0:
		return nil, errors.New("connection refused")
	case -1:
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	header := r.header
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, Request: req}, nil
}

// notifier sends by transports; the second is for what is not the operator's.
func notifier(own, foreign http.RoundTripper, log io.Writer) *Notifier {
	return New(Config{Client: &http.Client{Transport: own}, Foreign: &http.Client{Transport: foreign}, Log: slog.New(slog.NewTextHandler(log, nil))})
}

var (
	hook  = Webhook{URL: "https://hooks.example.com/T0/secret-path", Secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
	event = Event{ID: "msg_1", Type: TaskFailed, Timestamp: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), Data: Data{Connector: "acme", Tenant: "acme", Object: "users", Message: "no"}}
)

func TestASignatureIsThatOfStandardWebhooks(t *testing.T) {
	// The example of the specification's reference libraries.
	got := sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAnEventIsRepeatedUntilItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answers: []int{500, 0, 429, -1, 503}}
		n := notifier(r, nil, io.Discard)
		defer n.Close()
		second := event
		second.ID = "msg_2"
		n.Post(hook, event)
		n.Post(hook, second)
		<-time.After(time.Hour)
		synctest.Wait()
		if len(r.got) != 7 {
			t.Fatalf("%d requests, want five that fail, then one for each event", len(r.got))
		}
		for i, req := range r.got {
			id := "msg_1"
			if i == 6 {
				id = "msg_2"
			}
			if got := req.Header.Get("webhook-id"); got != id {
				t.Errorf("request %d is of %s, want %s: events keep their order", i, got, id)
			}
			if got := req.Header.Get("webhook-timestamp"); got != fmt.Sprint(r.at[i].Unix()) {
				t.Errorf("request %d of %v says %s", i, r.at[i], got)
			}
			if got, want := req.Header.Get("webhook-signature"), sign(hook.Secret, id, r.at[i], []byte(r.bodies[i])); got != want {
				t.Errorf("request %d is signed %s, want %s", i, got, want)
			}
		}
		var e Event
		if err := json.Unmarshal([]byte(r.bodies[0]), &e); err != nil || e != event {
			t.Errorf("%s (%v)", r.bodies[0], err)
		}
	})
}

func TestWhatCantBeSentIsDroppedWithAWordThatHoldsNoSecret(t *testing.T) {
	for _, c := range []struct {
		name     string
		answer   int
		requests int
	}{{"gone", 410, 1}, {"a redirect", 302, 1}, {"not found", 404, 1}, {"down for good", 503, attempts}} {
		synctest.Test(t, func(t *testing.T) {
			r := &receiver{header: http.Header{"Location": {"https://other.example.com/"}}}
			for range attempts {
				r.answers = append(r.answers, c.answer)
			}
			var log bytes.Buffer
			n := notifier(r, nil, &log)
			n.Post(hook, event)
			<-time.After(24 * time.Hour)
			n.Close()
			if len(r.got) != c.requests {
				t.Errorf("%s: %d requests, want %d", c.name, len(r.got), c.requests)
			}
			if text := log.String(); strings.Count(text, "\n") != 1 || strings.Contains(text, "secret-path") || strings.Contains(text, "MDEy") || !strings.Contains(text, "hooks.example.com") {
				t.Errorf("%s: the log says %s", c.name, text)
			}
		})
	}
}

func TestSendingNeverWaitsAndAnAddressThatHangsHoldsNoOtherUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging, well := &receiver{}, &receiver{}
		for range 10_000 {
			hanging.answers = append(hanging.answers, -1)
		}
		var log bytes.Buffer
		n := notifier(hanging, well, &log)
		began := time.Now()
		for range 2 * queued {
			n.Post(hook, event)
		}
		n.Post(Webhook{URL: "https://other.example.com/", Foreign: true}, event)
		if took := time.Since(began); took != 0 {
			t.Errorf("sending took %v", took)
		}
		synctest.Wait()
		if len(well.got) != 1 || well.got[0].Header.Get("webhook-signature") != "" {
			t.Errorf("%d requests at the other address, which has no secret", len(well.got))
		}
		n.Close()
		if dropped := strings.Count(log.String(), "is dropped"); dropped < queued-1 || dropped > queued {
			t.Errorf("%d of %d were dropped", dropped, 2*queued)
		}
		n.Post(hook, event) // does no harm
	})
}

// Who is about to end sends what waits, also what has to be repeated, and waits for nobody for ever.
func TestFinishSendsWhatWaitsForAsLongAsItMay(t *testing.T) {
	for name, c := range map[string]struct {
		answers []int
		took    time.Duration
		got     int
	}{
		"two that are taken":     {nil, 0, 2},
		"one has to be repeated": {[]int{503}, 2 * time.Second, 3},
		"an address that hangs":  {[]int{-1, -1, -1}, 10 * time.Second, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &receiver{answers: c.answers}
			n := notifier(r, r, io.Discard)
			for range 2 {
				n.Post(hook, newEvent(TokenFailed, time.Now(), Data{Connector: "acme"}))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			began := time.Now()
			n.Finish(ctx)
			if took := time.Since(began); took > c.took || len(r.got) != c.got {
				t.Errorf("%s: %d requests in %v, want %d in %v at most", name, len(r.got), took, c.got, c.took)
			}
			n.Post(hook, newEvent(TokenFailed, time.Now(), Data{Connector: "acme"}))
			synctest.Wait()
			if len(r.got) != c.got {
				t.Errorf("%s: something is sent after the end", name)
			}
		})
	}
}

func TestAWebhookIsPostedOverHTTP(t *testing.T) {
	got := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r }))
	defer server.Close()
	n := notifier(http.DefaultTransport, http.DefaultTransport, io.Discard)
	defer n.Close()
	n.Post(Webhook{URL: server.URL + "/hook", Secret: coupa.Secret(strings.Repeat("k", 24))}, event)
	if r := <-got; r.Method != http.MethodPost || r.URL.Path != "/hook" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
}
