package rest

import (
	"time"

	"github.com/coupastream/coupastream/connector/status"
)

// Health is what is known of a connector beside the states that Kafka Connect has:
// GET /connectors/{name}/health, and GET /connectors?expand=health by name. Instants
// are RFC 3339 in UTC, null where there is none; durations are milliseconds.
type Health struct {
	Name     string       `json:"name"`
	Tenant   string       `json:"tenant"`
	State    string       `json:"state"`
	Trace    string       `json:"trace,omitempty"` // why it is FAILED, or why its owner could not be asked
	FromFile bool         `json:"from_file"`       // its configuration can't be changed over REST
	WorkerID string       `json:"worker_id"`       // who runs its tasks; "": nobody, as far as is known
	Rate     *RateHealth  `json:"rate"`            // null where the owner did not tell
	Token    *TokenHealth `json:"token"`           // as rate
	// how far the Date of Coupa's answers is ahead of its owner's clock, below 0: behind; as rate
	ClockAhead *int64       `json:"clock_ahead_ms"`
	Tasks      []TaskHealth `json:"tasks"`
}

// TaskHealth is one object of a connector.
type TaskHealth struct {
	ID     int    `json:"id"`
	Object string `json:"object"`
	Topic  string `json:"topic"`
	State  string `json:"state"` // Connect's
	// IDLE, BUSY, THROTTLED, STUCK, BLIND, INCOMPLETE, WAITING, UNMARKED,
	// BACKFILLING; "" where the task does not run
	Condition string `json:"condition"`
	Trace     string `json:"trace,omitempty"`
	// every change stamped before it is published, but for a backfill's
	Mark *time.Time `json:"mark"`
	// the mark after the last poll; before the first one, when the task began
	Proven    *time.Time `json:"proven"`
	Freshness *int64     `json:"freshness_ms"` // from proven to now; null of what is paused or stopped
	Interval  int64      `json:"interval_ms"`  // from one reading to the next, at present
	// the last comparison with Coupa; null: none was told of
	Verified *VerifiedHealth `json:"verified"`

	Backfilling bool            `json:"backfilling"`
	Progress    *ProgressHealth `json:"progress"` // of the backfill or snapshot under way; null: none is

	Rows      int64 `json:"rows"`      // read from Coupa since the start
	Published int64 `json:"published"` // records committed since the start
	Dropped   int64 `json:"dropped"`   // rows read again and dropped as published
	Polls     int64 `json:"polls"`     // drained
	// rows that became visible only after the mark had passed them
	Late     int64 `json:"late"`
	Lateness int64 `json:"lateness_ms"` // of the latest of them
	Silent   int64 `json:"silent"`      // changes published that did not move updated-at
	// rows that a look-back found and the ledger did not know
	LookbackFinds int64            `json:"lookback_finds"`
	DeadLetters   int64            `json:"dead_letters"` // rows that went to the dead letter topic
	DeadLetter    string           `json:"dead_letter,omitempty"`
	Waiting       *int64           `json:"dead_letters_waiting,omitempty"` // that nobody has replayed
	Trimmed       int64            `json:"trimmed"`                        // records whose texts were cut
	Malformed     int64            `json:"malformed_texts"`                // see [status.TaskStatus]
	Unfit         map[string]int64 `json:"custom_fields_in_unmapped,omitempty"`
	PageRequests  int              `json:"requests_per_page,omitempty"` // that a page with rows takes
	Unreadable    map[string]int64 `json:"unreadable_in_unmapped,omitempty"`
	LeftOut       map[string]int64 `json:"left_out,omitempty"`  // with unmapped=off, by field
	Undated       int64            `json:"without_updated_at"`  // known rows that have none
	Round         int64            `json:"search_ms,omitempty"` // that the last search for such rows took
	// with exported.mode=mark: rows published that are not marked as exported yet,
	// those that need no mark any more, and marks that failed, since the start
	MarksWaiting int64 `json:"marks_waiting,omitempty"`
	Marked       int64 `json:"marked,omitempty"`
	MarksFailed  int64 `json:"marks_failed,omitempty"`
	// rows that Coupa fails to send, by id; a hundred at most
	Passed []int64 `json:"not_covered,omitempty"`

	Deletes *DeletesHealth `json:"deletes"` // null: they are not looked for, or the worker has just begun

	Errors         []TroubleHealth `json:"errors"`   // newest first, ten at most
	Notices        []TroubleHealth `json:"notices"`  // what stays so until a person acts
	Restarts       int             `json:"restarts"` // of itself, since it last worked
	NextTry        *time.Time      `json:"next_try"`
	CircuitOpen    bool            `json:"circuit_open"`
	SchemaVersions []SchemaHealth  `json:"schema_versions"` // oldest first
}

// ProgressHealth is how far a backfill or a sweep is, in rows; a total of 0 is not known, nor is null time
// left.
type ProgressHealth struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Left  *int64 `json:"left_ms"`
}

func progressHealth(p status.Progress) *ProgressHealth {
	if p == (status.Progress{}) {
		return nil
	}
	h := &ProgressHealth{Done: p.Done, Total: p.Total}
	if left := p.Left.Milliseconds(); left > 0 {
		h.Left = &left
	}
	return h
}

// TroubleHealth is something that went wrong, and what a person can do.
type TroubleHealth struct {
	At      time.Time `json:"at"`
	Message string    `json:"message"`
	Remedy  string    `json:"remedy,omitempty"`
}

// SchemaHealth is a version of a schema that records carry.
type SchemaHealth struct {
	At      time.Time `json:"at"`
	Subject string    `json:"subject"`
	ID      int       `json:"id"`
}

// RateHealth is the pace of requests to the Coupa instance, in requests a second; a limit of 0 is none.
type RateHealth struct {
	Limit          float64       `json:"limit"`
	Auto           bool          `json:"auto"` // the limit is found, below limit
	Current        float64       `json:"current"`
	Used           float64       `json:"used"`
	Waiting        WaitingHealth `json:"waiting"`
	ThrottledSince *time.Time    `json:"throttled_since"`
	History        []Point       `json:"history"` // of the last hour, oldest first
}

// WaitingHealth counts the requests that wait for their turn.
type WaitingHealth struct {
	Poll     int `json:"poll"`
	Snapshot int `json:"snapshot"`
	Backfill int `json:"backfill"`
	Sweep    int `json:"sweep"`
}

// Point is what the instance and the connector's objects were like at one time.
type Point struct {
	At        time.Time `json:"at"`
	Current   float64   `json:"current"`
	Used      float64   `json:"used"`
	Freshness *int64    `json:"freshness_ms"` // of the object that was furthest behind; null: none ran
	Published int64     `json:"published"`    // records of all objects since the start, lines among them
	Lateness  int64     `json:"lateness_ms"`  // of the latest row since the point before; 0: none was late
}

// TokenHealth is the connector's access token.
type TokenHealth struct {
	Age       int64  `json:"age_ms"`
	ExpiresIn int64  `json:"expires_in_ms"`
	Trouble   string `json:"trouble,omitempty"` // why there is none
}

// HealthOf makes a connector's health from its status. Rate
// and token are there if this worker runs the connector.
func HealthOf(c status.ConnectorStatus, now time.Time) Health {
	h := Health{
		Name: c.Name, Tenant: c.Tenant, State: string(c.State), Trace: c.Trace, FromFile: c.FromFile, WorkerID: c.Owner.WorkerID,
		Tasks: []TaskHealth{},
	}
	if c.Owner.Local {
		h.Rate, h.Token = rateHealth(c.Rate), &TokenHealth{c.Token.Age.Milliseconds(), c.Token.ExpiresIn.Milliseconds(), c.Token.Trouble}
		ahead := c.ClockAhead.Milliseconds()
		h.ClockAhead = &ahead
	}
	for _, t := range c.Tasks {
		h.Tasks = append(h.Tasks, taskHealth(t, now))
	}
	return h
}

func taskHealth(t status.TaskStatus, now time.Time) TaskHealth {
	h := TaskHealth{
		ID: t.ID, Object: t.Object, Topic: t.Topic, State: string(t.State), Condition: string(t.Condition), Trace: t.Trace,
		Mark: instant(t.Mark), Proven: instant(t.Proven), Interval: t.Interval.Milliseconds(), Verified: verifiedHealth(t.Verified),
		Backfilling: t.Snapshot,
		Rows:        t.Rows, Published: t.Published, Dropped: t.Dropped, Polls: t.Polls, Late: t.Late, Lateness: t.Lateness.Milliseconds(), Silent: t.Silent,
		LookbackFinds: t.LookbackFinds, DeadLetters: t.DeadLetters, DeadLetter: t.DeadLetter, Trimmed: t.Trimmed, Malformed: t.Malformed, Unfit: t.Unfit, Unreadable: t.Unreadable, LeftOut: t.LeftOut,
		PageRequests: t.PageRequests, Undated: t.Undated, Round: t.Round.Milliseconds(), Passed: t.Committed.Passed[:min(len(t.Committed.Passed), 100)],
		MarksWaiting: t.Marking.Waiting, Marked: t.Marking.Marked, MarksFailed: t.Marking.Failed,
		Deletes: deletesHealth(t.Deletes), Progress: progressHealth(t.Progress),
		Errors: []TroubleHealth{}, Notices: []TroubleHealth{}, Restarts: t.Restarts, NextTry: instant(t.NextTry), CircuitOpen: t.CircuitOpen, SchemaVersions: []SchemaHealth{},
	}
	if !t.Proven.IsZero() && t.State != status.Paused && t.State != status.Stopped {
		freshness := max(0, now.Sub(t.Proven)).Milliseconds()
		h.Freshness = &freshness
	}
	if t.Letters.Counted {
		h.Waiting = &t.Letters.Waiting
	}
	for _, e := range t.Errors {
		h.Errors = append(h.Errors, TroubleHealth{e.At.UTC(), e.Message, e.Remedy})
	}
	for _, n := range t.Notices {
		h.Notices = append(h.Notices, TroubleHealth{n.At.UTC(), n.Message, n.Remedy})
	}
	for _, v := range t.SchemaVersions {
		h.SchemaVersions = append(h.SchemaVersions, SchemaHealth{v.At.UTC(), v.Subject, v.ID})
	}
	return h
}

func rateHealth(r status.RateStatus) *RateHealth {
	h := &RateHealth{
		Limit: r.Limit, Auto: r.Auto, Current: r.Current, Used: r.Used, ThrottledSince: instant(r.ThrottledSince),
		Waiting: WaitingHealth{Poll: r.Waiting[0], Snapshot: r.Waiting[1], Backfill: r.Waiting[2], Sweep: r.Waiting[3]},
		History: []Point{},
	}
	for _, p := range r.History {
		point := Point{At: p.At.UTC(), Current: p.Current, Used: p.Used, Published: p.Published, Lateness: p.Lateness.Milliseconds()}
		if !p.Proven.IsZero() {
			freshness := max(0, p.At.Sub(p.Proven)).Milliseconds()
			point.Freshness = &freshness
		}
		h.History = append(h.History, point)
	}
	return h
}

// instant is t in UTC; nil where there is none.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
