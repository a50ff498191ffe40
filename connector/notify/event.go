package notify

import (
	"crypto/rand"
	"strings"
	"time"
)

// Types of events. The part before the dot is the value of notifications.events that asks for them.
const (
	TokenFailed     = "token.failed"
	TokenRecovered  = "token.recovered"
	TaskFailed      = "task.failed"
	TaskRecovered   = "task.recovered"
	FreshnessMissed = "freshness.missed"
	FreshnessMet    = "freshness.met"
	SchemaChanged   = "schema.changed"
	BackfillDone    = "backfill.done"
	RateLimited     = "rate.limited"
	RateRecovered   = "rate.recovered"
)

// Event is something that happened, as it is sent: JSON in the form that Standard Webhooks recommends.
type Event struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      Data      `json:"data"`
}

// Data says what it happened to. What does not belong to an event is left out.
type Data struct {
	Connector string     `json:"connector"`
	Tenant    string     `json:"tenant"`
	Object    string     `json:"object,omitempty"`
	Message   string     `json:"message"`
	Remedy    string     `json:"remedy,omitempty"`
	Since     *time.Time `json:"since,omitempty"`        // when a trouble began that is over
	Freshness int64      `json:"freshness_ms,omitempty"` // how far behind the object is
	Objective int64      `json:"objective_ms,omitempty"` // freshness.objective.ms
	Subject   string     `json:"subject,omitempty"`      // of a schema
	SchemaID  int        `json:"schema_id,omitempty"`
	Limit     float64    `json:"rate_limit,omitempty"` // requests a second: allowed now
	Ceiling   float64    `json:"rate_ceiling,omitempty"`
}

func newEvent(kind string, at time.Time, d Data) Event {
	return Event{ID: "msg_" + rand.Text(), Type: kind, Timestamp: at.UTC(), Data: d}
}

// Kind is the value of notifications.events that asks for the event.
func (e Event) Kind() string {
	kind, _, _ := strings.Cut(e.Type, ".")
	return kind
}
