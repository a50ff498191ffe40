package connector

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/notify"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// hooks takes webhooks.
type hooks struct {
	mu     sync.Mutex
	events []notify.Event
}

func (h *hooks) RoundTrip(r *http.Request) (*http.Response, error) {
	var e notify.Event
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
}

// types gives those that were sent of an object since the last call; "" of the connector.
func (h *hooks) types(object string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	h.events = slices.DeleteFunc(h.events, func(e notify.Event) bool {
		if e.Data.Object == object {
			all = append(all, e.Type)
		}
		return e.Data.Object == object
	})
	return all
}

func TestWhatHappensToAConnectorIsNotified(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 411, Rows: 60, Objects: []string{"users", "suppliers"}}, func(h *harness) {
		got := &hooks{}
		h.webhooks = &http.Client{Transport: got}
		h.worker["notifications.webhook.url"] = "https://hooks.example.com/T0/secret-path"
		h.worker["notifications.webhook.secret"] = strings.Repeat("k", 24)
		h.worker["notifications.topic"] = "notices"
		h.keys["object.users.freshness.objective.ms"] = "300000"
		h.start()
		h.pass(2 * time.Minute)
		for object, want := range map[string][]string{"": nil, "users": {"backfill.done"}, "suppliers": {"backfill.done"}} {
			if types := got.types(object); !slices.Equal(types, want) {
				t.Errorf("%q: %v while all is well, want %v", object, types, want)
			}
		}
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Forbidden403, Object: "users", Count: -1})
		h.pass(4 * time.Minute)
		if types := got.types("users"); !slices.Equal(types, []string{notify.TaskFailed}) {
			t.Errorf("%v without the scope", types)
		}
		h.pass(4 * time.Minute)
		if types := got.types("users"); !slices.Equal(types, []string{notify.FreshnessMissed}) {
			t.Errorf("%v behind the objective", types)
		}
		h.tenant.ClearFaults()
		h.pass(30 * time.Minute)
		types := got.types("users")
		slices.Sort(types)
		if !slices.Equal(types, []string{notify.FreshnessMet, notify.TaskRecovered}) {
			t.Errorf("%v with the scope again", types)
		}
		if types := got.types("suppliers"); len(types) != 0 {
			t.Errorf("%v of an object that nothing happened to", types)
		}
		var written []string
		h.each("notices", func(r *kgo.Record) {
			var e notify.Event
			if err := json.Unmarshal(r.Value, &e); err != nil || string(r.Key) != "acme" {
				t.Errorf("%s: %s (%v)", r.Key, r.Value, err)
			}
			written = append(written, e.Type)
		})
		if len(written) != 6 || !slices.Equal(written[:3], []string{notify.BackfillDone, notify.BackfillDone, notify.TaskFailed}) {
			t.Errorf("%v in the topic", written)
		}
		if strings.Contains(h.log.String(), "secret-path") {
			t.Error("the log holds the webhook's address")
		}
	})
}

func TestAConnectorIsNotifiedOfWhatItAsksFor(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 412, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		got := &hooks{}
		h.webhooks = &http.Client{Transport: got}
		h.worker["notifications.webhook.url"] = "https://hooks.example.com/"
		h.keys["notifications.events"] = "rate, token"
		h.keys["coupa.rate.limit"] = "10"
		h.start()
		h.settle()
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Throttle429, Count: -1})
		h.pass(10 * time.Minute)
		h.tenant.ClearFaults()
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Forbidden403, Count: 1})
		h.pass(time.Hour)
		if types := got.types("users"); len(types) != 0 {
			t.Errorf("%v, which was not asked for", types)
		}
		if types := got.types(""); !slices.Equal(types, []string{notify.RateLimited, notify.RateRecovered}) {
			t.Errorf("%v with ten minutes of throttling", types)
		}
	})
}

// A worker that ends at its start would never come to look for what is to be notified.
func TestAWorkerThatCantStartNotifiesBeforeItEnds(t *testing.T) {
	for name, c := range map[string]struct {
		schema bool // the registry refuses it
		object string
		want   string
	}{
		"a wrong secret":              {false, "", notify.TokenFailed},
		"a schema that can't be used": {true, "invoices", notify.TaskFailed},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 413, Rows: 5, Objects: []string{"invoices"}}, func(h *harness) {
				got := &hooks{}
				h.webhooks = &http.Client{Transport: got}
				h.worker["notifications.webhook.url"] = "https://hooks.example.com/"
				h.worker["notifications.topic"] = "notices"
				if c.schema {
					h.refuses()
				} else {
					h.tenant.Inject(coupatest.Fault{Kind: coupatest.Canned, Object: coupatest.TokenRequests, Status: 401, Body: `{"error":"invalid_client"}`, Count: -1})
				}
				r := h.run(h.make())
				if err := <-r.done; err == nil {
					h.t.Error("it started")
				}
				r.cancel()
				if types := got.types(c.object); !slices.Equal(types, []string{c.want}) {
					t.Errorf("%v by webhook, want %s", types, c.want)
				}
				n := 0
				h.each("notices", func(*kgo.Record) { n++ })
				if n != 1 {
					t.Errorf("%d events in the topic, want one", n)
				}
			})
		})
	}
}
