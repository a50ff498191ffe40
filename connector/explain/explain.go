package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// Request says which row is asked for, and how much may be read for it.
type Request struct {
	Object string
	ID     int64
	// UpdatedAt is a version of the row, in whole seconds; zero: the one that Coupa shows now.
	UpdatedAt time.Time
	// Most is how many bytes of each topic's log are read at most; 0: [Usual].
	Most int64
	// Progress is told now and then which topic is searched; nil: nobody. It must not block for long.
	Progress func(Progress)
}

// Usual is how many bytes of a topic are read where nobody says how many.
const Usual = 256 << 20

// Bounds of the time that an answer may take.
const (
	coupaPatience  = 20 * time.Second // for Coupa, with the wait for a turn within the rate
	searchPatience = 45 * time.Second // for all topics
	// Patience is the longest time that a whole answer takes.
	Patience = coupaPatience + searchPatience + 15*time.Second
)

// Config is what an answer is made of.
type Config struct {
	Request
	Connector string
	Tenant    string
	Stream    config.Object
	Kafka     []kgo.Opt
	Source    Source
	// Key is the key of a row's records as they are made now; false: none is known.
	Key func(id int64) ([]byte, bool)
	// Known tells what is known of the stream, and of the row. It is called when Coupa was asked.
	Known func(context.Context) (Known, error)
	// LookBacks are how far look-backs go and how often, shortest first.
	LookBacks []LookBack
}

// Source is the Coupa instance.
type Source interface {
	Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error)
}

// Known is what the worker that runs the stream knows, all of one moment.
type Known struct {
	Task     status.TaskStatus
	Position checkpoint.Position
	Entries  []checkpoint.Entry // of the row, in the ledger's order
	// Slowed is since when Coupa slows the instance down; zero: it does not.
	Slowed time.Time
	Ahead  time.Duration // of Coupa's clock, before this machine's
}

// LookBack is one depth of look-backs.
type LookBack struct {
	Depth time.Duration
	Every time.Duration
}

// Answer is what is known of a row. It holds stamps, ids and places, and no other value of the row.
type Answer struct {
	Connector string    `json:"connector"`
	Tenant    string    `json:"tenant"`
	Object    string    `json:"object"`
	ID        int64     `json:"id"`
	At        time.Time `json:"at"` // when the answer was made
	Case      Case      `json:"case"`
	Sentence  string    `json:"sentence"`
	Next      string    `json:"next"` // what to do
	Coupa     Coupa     `json:"coupa"`
	Record    *Record   `json:"record"`            // the last one in the topic; null: none was found
	Version   *Record   `json:"version,omitempty"` // the one of the version that was asked for
	Letter    *Record   `json:"dead_letter"`       // the last one of the row; null: none was found
	Searches  []Search  `json:"searches"`          // of the row's topic, its lines', and that of dead letters
	Ledger    Ledger    `json:"ledger"`
	State     State     `json:"stream"`
}

// Ledger is what the ledger has of the row.
type Ledger struct {
	Floor    *time.Time  `json:"floor"`    // from where on it knows every version that was published
	Versions []Published `json:"versions"` // oldest first
}

// Published is a version of the row that was published, or went to the dead letter topic.
type Published struct {
	UpdatedAt *time.Time `json:"updated_at"` // null: the row has none
	// the newest updated-at of its lines, where it is kept under that
	LinesAt *time.Time `json:"lines_updated_at,omitempty"`
}

// State is how the stream is.
type State struct {
	State       status.State     `json:"state"`
	Condition   status.Condition `json:"condition,omitempty"`
	Trace       string           `json:"trace,omitempty"`
	NextTry     *time.Time       `json:"next_try,omitempty"`
	CircuitOpen bool             `json:"circuit_open"`
	Interval    int64            `json:"interval_ms"` // between two polls, at present
	Mark        *time.Time       `json:"mark"`
	LinesMark   *time.Time       `json:"lines_mark,omitempty"`
	Backfill    *Walk            `json:"backfill"` // null: none is under way
	LookBacks   []Looked         `json:"look_backs"`
	Sweep       *Swept           `json:"sweep"`  // null: deletes are not looked for
	Passed      bool             `json:"passed"` // Coupa fails to send the row, and walks go on behind it
}

// Swept is the last sweep for deletes.
type Swept struct {
	Since *time.Time `json:"since"` // from when on a row that is deleted is found
	Ended *time.Time `json:"ended"` // null: none was read to its end
	Why   string     `json:"waits_for_approval,omitempty"`
}

// Walk is a walk under way.
type Walk struct {
	Kind  string     `json:"kind"`
	From  *time.Time `json:"from"`
	To    *time.Time `json:"to"`
	Rows  int64      `json:"rows"`
	Total int64      `json:"total"` // 0: not known
	Holds bool       `json:"has_row_to_read"`
}

// Looked is one depth of look-backs, and when the last one ended.
type Looked struct {
	Depth int64      `json:"depth_ms"`
	Every int64      `json:"every_ms"`
	Last  *time.Time `json:"last"`
}

// Row answers why a row is in its topic or is not. An error is of what keeps it from knowing anything: the
// end of ctx, or what Known gives. What can't be read beside that stands in the answer.
func Row(ctx context.Context, cfg Config) (*Answer, error) {
	if cfg.Most == 0 {
		cfg.Most = Usual
	}
	cl, err := kgo.NewClient(slices.Clone(cfg.Kafka)...)
	if err != nil {
		return nil, fmt.Errorf("Kafka client: %w", err)
	}
	defer cl.Close()
	f := &facts{cfg: &cfg, object: cfg.Stream, row: &wanted{id: cfg.ID, version: cfg.UpdatedAt}}
	f.resource, _ = coupa.LookupResource(cfg.Stream.Path)
	f.askCoupa(ctx)
	if f.Known, err = cfg.Known(ctx); err != nil {
		return nil, err
	}
	searching, stop := context.WithTimeout(ctx, searchPatience)
	defer stop()
	f.rows = cfg.find(searching, cl, cfg.Stream.Topic, f.Position.Partitions(cfg.Stream.Topic), f.row)
	if f.row.last.stamp().After(f.updatedAt()) && f.coupa.Shown { // it may have changed since Coupa was asked
		f.askCoupa(ctx)
	}
	f.findLines(searching, cl)
	if topic := cfg.Stream.DLQTopic; topic != "" {
		letter := &wanted{id: cfg.ID}
		f.letters = cfg.find(searching, cl, topic, 0, letter)
		f.letter = letter.last
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	f.now = time.Now().UTC()
	return f.answer(), nil
}

// findLines looks for the last record of each line where lines have topics.
func (f *facts) findLines(ctx context.Context, cl *kgo.Client) {
	for _, topic := range f.object.LineTopics() {
		list := strings.TrimPrefix(topic, f.object.LineTopic(""))
		of := map[int64]*wanted{}
		var ids []*wanted
		for _, l := range f.coupa.Lines {
			if l.List == list && of[l.ID] == nil {
				of[l.ID] = &wanted{id: l.ID}
				ids = append(ids, of[l.ID])
			}
		}
		if len(ids) == 0 {
			continue
		}
		f.lines = append(f.lines, f.cfg.find(ctx, cl, topic, f.Position.Partitions(topic), ids...))
		for i, l := range f.coupa.Lines {
			if l.List == list {
				f.coupa.Lines[i].Record = of[l.ID].last
			}
		}
	}
}

// answer puts together what is told.
func (f *facts) answer() *Answer {
	a := &Answer{
		Connector: f.cfg.Connector, Tenant: f.cfg.Tenant, Object: f.object.Path, ID: f.cfg.ID, At: f.now, Coupa: f.coupa,
		Record: f.row.last, Version: f.row.exact, Letter: f.letter, Searches: append([]Search{f.rows}, f.lines...),
		Ledger: Ledger{Floor: instant(f.Position.Floor), Versions: []Published{}},
	}
	if f.letters.Topic != "" {
		a.Searches = append(a.Searches, f.letters)
	}
	for _, e := range f.Entries {
		p := Published{}
		if e.UpdatedAt != 0 {
			p.UpdatedAt = instant(time.Unix(e.UpdatedAt, 0))
			if e.At != e.UpdatedAt {
				p.LinesAt = instant(time.Unix(e.At, 0))
			}
		}
		a.Ledger.Versions = append(a.Ledger.Versions, p)
	}
	a.State = f.state()
	i := slices.IndexFunc(rules, func(r rule) bool { return r.holds(f) }) // the last one does
	a.Case, a.Sentence, a.Next = rules[i].Case, rules[i].says(f), rules[i].next(f)
	if f.letters.Error != "" && a.Case != "published" {
		a.Next += fmt.Sprintf(" Whether it is a dead letter is not known: topic %s could not be read: %s", f.letters.Topic, f.letters.Error)
	}
	return a
}

func (f *facts) state() State {
	t := f.Task
	s := State{
		State: t.State, Condition: t.Condition, Trace: t.Trace, NextTry: instant(t.NextTry), CircuitOpen: t.CircuitOpen, Interval: t.Interval.Milliseconds(),
		Mark: instant(f.mark()), LinesMark: instant(f.Position.Lines), LookBacks: []Looked{}, Passed: f.isPassed(),
	}
	if w := f.Position.Backfill; w != nil {
		s.Backfill = &Walk{Kind: w.Kind.String(), From: instant(w.From), To: instant(w.To), Rows: w.Rows, Total: t.Progress.Total, Holds: f.inRanges(w)}
	}
	if d := t.Deletes; d != nil {
		s.Sweep = &Swept{Since: instant(d.Since), Ended: instant(d.Ended), Why: d.Why}
	}
	for i, l := range f.cfg.LookBacks {
		s.LookBacks = append(s.LookBacks, Looked{Depth: l.Depth.Milliseconds(), Every: l.Every.Milliseconds(), Last: instant(f.looked(i))})
	}
	return s
}

// instant is a time as it is told; nil: it is zero.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
