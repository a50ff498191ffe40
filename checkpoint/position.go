package checkpoint

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// WalkKind says what a walk reads.
type WalkKind uint8

const (
	Poll     WalkKind = iota // changes by the rows' own updated-at
	Lines                    // changes of lines alone: From bounds the lines' updated-at
	Snapshot                 // the backfill: rows as they are, beside the polls
	Closing                  // the end of a backfill once more, for rows that became visible late
	Asked                    // a snapshot that somebody asked for
	// rows published before their lines had topics of their own, once more for those
	Split
	Undated // ids and stamps of all rows, for those without a stamp
)

// walkKinds are the kinds as records name them.
var walkKinds = [...]string{Poll: "poll", Lines: "lines", Snapshot: "snapshot", Closing: "closing", Asked: "asked", Split: "split", Undated: "undated"}

// String names the kind as records do: "poll", "lines", "snapshot", "closing", "asked", "split", "undated".
func (k WalkKind) String() string {
	if int(k) < len(walkKinds) {
		return walkKinds[k]
	}
	return fmt.Sprintf("WalkKind(%d)", uint8(k))
}

func parseWalkKind(s string) (WalkKind, error) {
	if i := slices.Index(walkKinds[:], s); i >= 0 {
		return WalkKind(i), nil
	}
	return 0, fmt.Errorf("unknown kind of walk %q: %w", s, ErrNewer)
}

// Range is the ids (After, Through]; Through 0 means no upper end.
type Range struct{ After, Through int64 }

// Walk is a pass over one window of time, in id order, that is not finished.
type Walk struct {
	Kind     WalkKind
	From, To time.Time // the window: closed below, open above; zero: no bound
	Ranges   []Range   // what is left to read
	Rows     int64     // rows read so far
}

// Position is where a stream is.
type Position struct {
	Seq uint64 // the stream's commits, counted from 1 without a gap
	// every row with updated-at before it is published, but for what Backfill has still to read
	Mark time.Time
	// Lines: every change of a line stamped before it is
	// published. Zero: not begun, or the object has no lines.
	Lines time.Time
	// Floor is how far back the ledger is complete: every published version with updated-at at or after
	// it has its entry. What lies before it must not be read again, or it would be published twice.
	Floor time.Time
	// when each depth of look-back was last finished, shortest depth first; nil, or a zero time: never
	Looked   []time.Time
	Walk     *Walk // the poll or line walk under way; nil: none
	Backfill *Walk // the backfill beside it; nil: none
	// snapshots that were asked for, oldest first: those under way, and some that have ended
	Requests []Request
	// LineTopics: lines go to topics of their own, those of what Backfill has still to read excepted.
	LineTopics bool
	// LineEpoch is another one whenever all that is published of lines
	// is to go out again: digests of rows' states are of one epoch.
	LineEpoch uint64
	// Moved are rows between which lines have moved, by id, to be read once more for their lines.
	Moved []int64
	// Passed are rows that Coupa failed to send, by id: the walks went on behind them, and they are
	// not covered until they are read.
	Passed []int64
	// Round is the search under way for rows without updated-at, whose From is when it began, by the
	// worker's clock; nil: none. Rounded is when the last one ended; zero: never.
	Round   *Walk
	Rounded time.Time
	Learned Learned
	Sweep   *Sweep // nil: deletes are not looked for, and no sets of ids are kept
	// Topics are those of the rows and of their lines, and those of names that the stream had before.
	Topics []Topic
	// Again: rows stamped before it were published before positions were moved, and what is read of them
	// again after that was asked for. Zero: positions were never moved.
	Again time.Time
}

// Learned is what polls have learned of how often the
// stream's object changes, and of its instance; 0 is not known.
type Learned struct {
	Rows, Lines float64 // changes a second, of rows and of lines alone
	Rate        float64 // requests a second that the instance took under load
}

func (l Learned) check() error {
	for _, n := range []float64{l.Rows, l.Lines, l.Rate} {
		if !(n >= 0 && n <= math.MaxFloat32) {
			return fmt.Errorf("%v is no rate", n)
		}
	}
	return nil
}

// Request is a snapshot that somebody asked for: rows as
// they are, published whether or not they were before.
type Request struct {
	ID    string
	State RequestState
	Asked time.Time
	Ended time.Time // zero: it has not
	// From and To are the window; zero: no bound.
	From, To time.Time
	All      bool    // no bound, condition or id was given
	Filter   string  // further conditions, as a query string
	IDs      []int64 // rows that are left to read, in order; nil: all of the window
	Walk     *Walk   // the walk under way, over the window or over the first of IDs; nil: none
	Rows     int64   // read, but for those of Walk
	Why      string  // of one that has failed
}

// RequestState is how far a request is.
type RequestState string

// The states of a request.
const (
	RequestRunning   RequestState = "RUNNING"
	RequestPaused    RequestState = "PAUSED"
	RequestDone      RequestState = "DONE"
	RequestCancelled RequestState = "CANCELLED"
	RequestFailed    RequestState = "FAILED"
)

// Over tells whether nothing more comes of the request.
func (r Request) Over() bool { return r.State != RequestRunning && r.State != RequestPaused }

// endedRequests are kept, so that who asked can see what came of it.
const endedRequests = 10

// AddRequest adds a request, and drops the oldest of those that have ended before.
func (p *Position) AddRequest(r Request) {
	ended := 0
	for _, r := range p.Requests {
		if r.Over() {
			ended++
		}
	}
	p.Requests = append(slices.DeleteFunc(p.Requests, func(r Request) bool {
		if !r.Over() || ended < endedRequests {
			return false
		}
		ended--
		return true
	}), r)
}

// Request is that with the id; nil: there is none.
func (p *Position) Request(id string) *Request {
	if i := slices.IndexFunc(p.Requests, func(r Request) bool { return r.ID == id }); i >= 0 {
		return &p.Requests[i]
	}
	return nil
}

// End ends the request, now.
func (r *Request) End(s RequestState) {
	if r.Walk != nil {
		r.Rows += r.Walk.Rows
	}
	r.State, r.Ended, r.Walk, r.IDs = s, time.Now().UTC(), nil, nil
}

// Clone is a copy that shares nothing with p.
func (p Position) Clone() Position {
	p.Looked = slices.Clone(p.Looked)
	p.Walk, p.Backfill, p.Round = p.Walk.clone(), p.Backfill.clone(), p.Round.clone()
	p.Sweep = p.Sweep.clone()
	p.Moved, p.Passed = slices.Clone(p.Moved), slices.Clone(p.Passed)
	p.Topics = slices.Clone(p.Topics)
	p.Requests = slices.Clone(p.Requests)
	for i := range p.Requests {
		r := &p.Requests[i]
		r.IDs, r.Walk = slices.Clone(r.IDs), r.Walk.clone()
	}
	return p
}

func (w *Walk) clone() *Walk {
	if w == nil {
		return nil
	}
	c := *w
	c.Ranges = slices.Clone(w.Ranges)
	return &c
}

func (p Position) check() error {
	times := append([]time.Time{p.Mark, p.Lines, p.Floor, p.Rounded, p.Again}, p.Looked...)
	walks := []*Walk{p.Walk, p.Backfill, p.Round}
	for _, r := range p.Requests {
		walks, times = append(walks, r.Walk), append(times, r.Asked, r.Ended, r.From, r.To)
	}
	for _, w := range walks {
		if w == nil {
			continue
		}
		times = append(times, w.From, w.To)
		if int(w.Kind) >= len(walkKinds) {
			return fmt.Errorf("position %d: a walk is of the unknown kind %v", p.Seq, w.Kind)
		}
	}
	if p.Sweep != nil {
		times = append(times, p.Sweep.Since, p.Sweep.Began, p.Sweep.Ended, p.Sweep.Approved)
	}
	if err := errors.Join(p.Learned.check(), p.Sweep.check()); err != nil {
		return fmt.Errorf("position %d: %w", p.Seq, err)
	}
	for _, t := range p.Topics {
		if err := t.check(); err != nil {
			return fmt.Errorf("position %d: %w", p.Seq, err)
		}
	}
	for _, t := range times {
		if s := t.Unix(); s < minUnix || s > maxUnix {
			return fmt.Errorf("position %d: times lie in the years 1 to 9999", p.Seq)
		}
	}
	return nil
}

// positionJSON is the value of a position; the order of members is the order of fields.
type positionJSON struct {
	Seq      uint64        `json:"seq"`
	Mark     string        `json:"mark,omitempty"`
	Lines    string        `json:"lines,omitempty"`
	Floor    string        `json:"floor,omitempty"`
	Looked   []string      `json:"looked,omitempty"`
	Walk     *walkJSON     `json:"walk,omitempty"`
	Backfill *walkJSON     `json:"backfill,omitempty"`
	Requests []requestJSON `json:"requests,omitempty"`
	Split    bool          `json:"line_topics,omitempty"`
	Epoch    uint64        `json:"line_epoch,omitempty"`
	Moved    []int64       `json:"moved,omitempty"`
	Passed   []int64       `json:"passed,omitempty"`
	Round    *walkJSON     `json:"round,omitempty"`
	Rounded  string        `json:"rounded,omitempty"`
	Again    string        `json:"again,omitempty"`
	Topics   []topicJSON   `json:"topics,omitempty"`
	Learned  *learnedJSON  `json:"learned,omitempty"`
	Sweep    *sweepJSON    `json:"sweep,omitempty"`
}

type learnedJSON struct {
	Rows  float64 `json:"rows,omitempty"`
	Lines float64 `json:"lines,omitempty"`
	Rate  float64 `json:"rate,omitempty"`
}

type requestJSON struct {
	ID     string       `json:"id"`
	State  RequestState `json:"state"`
	Asked  string       `json:"asked"`
	Ended  string       `json:"ended,omitempty"`
	Filter string       `json:"filter,omitempty"`
	IDs    []int64      `json:"ids,omitempty"`
	From   string       `json:"from,omitempty"`
	To     string       `json:"to,omitempty"`
	Rows   int64        `json:"rows"`
	Walk   *walkJSON    `json:"walk,omitempty"`
	Why    string       `json:"why,omitempty"`
	All    bool         `json:"all,omitempty"`
}

type walkJSON struct {
	Kind   string     `json:"kind"`
	From   string     `json:"from,omitempty"`
	To     string     `json:"to,omitempty"`
	Ranges [][2]int64 `json:"ranges"`
	Rows   int64      `json:"rows"`
}

func encodePosition(p Position) []byte {
	v := positionJSON{
		Seq: p.Seq, Mark: formatTime(p.Mark), Lines: formatTime(p.Lines), Floor: formatTime(p.Floor),
		Walk: walkForm(p.Walk), Backfill: walkForm(p.Backfill), Split: p.LineTopics, Epoch: p.LineEpoch, Moved: p.Moved, Passed: p.Passed,
		Round: walkForm(p.Round), Rounded: formatTime(p.Rounded), Again: formatTime(p.Again), Topics: topicForms(p.Topics), Sweep: sweepForm(p.Sweep),
	}
	if p.Learned != (Learned{}) {
		v.Learned = (*learnedJSON)(&p.Learned)
	}
	for _, t := range p.Looked {
		v.Looked = append(v.Looked, formatTime(t))
	}
	for _, r := range p.Requests {
		v.Requests = append(v.Requests, requestJSON{
			ID: r.ID, State: r.State, Asked: formatTime(r.Asked), Ended: formatTime(r.Ended), From: formatTime(r.From), To: formatTime(r.To),
			Filter: r.Filter, IDs: r.IDs, Rows: r.Rows, Walk: walkForm(r.Walk), Why: r.Why, All: r.All,
		})
	}
	return marshal(v)
}

func walkForm(w *Walk) *walkJSON {
	if w == nil {
		return nil
	}
	ranges := make([][2]int64, 0, len(w.Ranges))
	for _, r := range w.Ranges {
		ranges = append(ranges, [2]int64{r.After, r.Through})
	}
	return &walkJSON{Kind: w.Kind.String(), From: formatTime(w.From), To: formatTime(w.To), Ranges: ranges, Rows: w.Rows}
}

func decodePosition(value []byte) (Position, error) {
	var v positionJSON
	if err := unmarshal(value, &v); err != nil {
		return Position{}, err
	}
	if v.Seq == 0 {
		return Position{}, errors.New("seq is 0 or absent")
	}
	var errs [9]error
	p := Position{Seq: v.Seq, LineTopics: v.Split, LineEpoch: v.Epoch, Moved: v.Moved, Passed: v.Passed}
	p.Mark, errs[0] = parseTime(v.Mark)
	p.Lines, errs[1] = parseTime(v.Lines)
	p.Floor, errs[2] = parseTime(v.Floor)
	p.Walk, errs[3] = v.Walk.walk()
	p.Backfill, errs[4] = v.Backfill.walk()
	p.Round, errs[5] = v.Round.walk()
	p.Rounded, errs[6] = parseTime(v.Rounded)
	p.Again, errs[7] = parseTime(v.Again)
	p.Sweep, errs[8] = v.Sweep.sweep()
	if v.Learned != nil {
		p.Learned = Learned(*v.Learned)
	}
	for _, s := range v.Looked {
		t, err := parseTime(s)
		if err != nil {
			return Position{}, err
		}
		p.Looked = append(p.Looked, t)
	}
	for _, r := range v.Requests {
		request, err := r.request()
		if err != nil {
			return Position{}, fmt.Errorf("request %q: %w", r.ID, err)
		}
		p.Requests = append(p.Requests, request)
	}
	for _, form := range v.Topics {
		topic, err := form.topic()
		if err != nil {
			return Position{}, err
		}
		p.Topics = append(p.Topics, topic)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return Position{}, err
	}
	return p, p.check()
}

func (r requestJSON) request() (Request, error) {
	switch r.State {
	case RequestRunning, RequestPaused, RequestDone, RequestCancelled, RequestFailed:
	default:
		return Request{}, fmt.Errorf("unknown state %q: %w", r.State, ErrNewer)
	}
	var errs [5]error
	out := Request{ID: r.ID, State: r.State, Filter: r.Filter, IDs: r.IDs, Rows: r.Rows, Why: r.Why, All: r.All}
	out.Asked, errs[0] = parseTime(r.Asked)
	out.Ended, errs[1] = parseTime(r.Ended)
	out.From, errs[2] = parseTime(r.From)
	out.To, errs[3] = parseTime(r.To)
	out.Walk, errs[4] = r.Walk.walk()
	return out, errors.Join(errs[:]...)
}

func (w *walkJSON) walk() (*Walk, error) {
	if w == nil {
		return nil, nil
	}
	kind, errKind := parseWalkKind(w.Kind)
	from, errFrom := parseTime(w.From)
	to, errTo := parseTime(w.To)
	out := &Walk{Kind: kind, From: from, To: to, Rows: w.Rows}
	for _, r := range w.Ranges {
		out.Ranges = append(out.Ranges, Range{After: r[0], Through: r[1]})
	}
	return out, errors.Join(errKind, errFrom, errTo)
}

// formatTime prints RFC 3339 in UTC, and the zero time as "".
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err
}
