package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// Config says what is compared.
type Config struct {
	Kafka  []kgo.Opt // how brokers are reached
	Source Source
	// Schemas has the schemas that values were written by; nil where the object needs no registry.
	Schemas Schemas
	Tenant  string
	Object  config.Object
	// Since bounds what is compared: rows stamped then or later, and what the topics were given since. Zero:
	// all. What Coupa can't be asked for by updated-at has no such bound.
	Since time.Time
	// Strict: what is there twice because somebody asked for it is a Duplicate too.
	Strict bool
	// Interval is what passes from one poll to the next at present, where that is known to be longer than
	// the object's poll.interval.ms.
	Interval time.Duration
	// Progress is told now and then how far the comparison is; nil: nobody.
	Progress func(Progress)
}

// Progress is how far the comparison of an object is.
type Progress struct {
	Reading       string // "Coupa", or a topic's name
	Done, Total   int64  // ids, or records, of that; a total of 0 is not known
	Rows, Records int64  // rows, or lines, read from Coupa and records of theirs until now
}

// Difference is the kind of a finding.
type Difference string

// What can differ.
const (
	Missing Difference = "missing" // in Coupa, not in the topic
	// in the topic in an older version than Coupa's; of a line: as of another row than Coupa's
	Stale Difference = "stale"
	// in the topic in Coupa's version, but with other lines, or lines in other versions, than Coupa's
	StaleLines Difference = "stale_lines"
	// published more than once with the same updated-at and content since it
	// was last deleted, though nobody asked for that
	Duplicate Difference = "duplicate"
	Extra     Difference = "extra" // in the topic, and gone from Coupa
	// Coupa fails to send the row, so that nothing is known of it but its id
	NotCovered Difference = "not_covered"
)

// Finding is one row, or one line of a row, that differs.
type Finding struct {
	Difference Difference `json:"difference"`
	ID         int64      `json:"id"`
	// the row that a line is of in Coupa, or where it is extra, in the topic
	Row       int64     `json:"row,omitempty"`
	RowGone   bool      `json:"row_gone,omitempty"`        // Row is gone from Coupa
	Coupa     time.Time `json:"coupa_updated_at,omitzero"` // Coupa's version of the row
	Topic     time.Time `json:"topic_updated_at,omitzero"` // the newest in the topic
	Deleted   bool      `json:"deleted,omitempty"`         // the topic's last record of it is a delete
	Partition int32     `json:"partition"`                 // where that stands; 0 where there is none
	Offset    int64     `json:"offset"`
}

// Report is what the comparison of one object, or of one list of its rows' lines, found.
type Report struct {
	Object  string `json:"object"`
	List    string `json:"list,omitempty"` // of lines that have a topic of their own, by its field; else ""
	Topic   string `json:"topic"`
	Rows    int64  `json:"rows"`    // of Coupa's that were compared, or lines
	Records int64  `json:"records"` // of them that the topic holds
	// Requested is how many of the records are there once more because somebody asked for them.
	Requested int64 `json:"requested"`
	// Undated is how many of the rows have no updated-at, though others of the object do.
	Undated int64 `json:"without_updated_at"`
	// Exported is how many rows have Coupa's exported flag, by which they are not streamed: they are not
	// compared.
	Exported int64 `json:"exported,omitempty"`
	// Spread is how many ids have versions in several partitions, where nothing orders them: the topic's
	// number of partitions was raised while they went by that number. No record takes them together again.
	Spread int64 `json:"in_several_partitions,omitempty"`
	// Skipped are ranges of ids that Coupa was not asked for: it shows nothing of
	// many ids around them, though there are rows with higher ones.
	Skipped []Range `json:"skipped,omitempty"`
	// Since is the instant from which on rows were compared; zero: from the beginning. Until is that before
	// which they were: what changed later may be on its way.
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until"`
	Findings []Finding `json:"findings"` // by kind, then id
	// Truncated tells that the topic has lost the beginning of what
	// was compared to its retention: what is missing may have been there.
	Truncated bool `json:"truncated"`
}

// Count is the number of findings of a kind.
func (r Report) Count(d Difference) int {
	n := 0
	for _, f := range r.Findings {
		if f.Difference == d {
			n++
		}
	}
	return n
}

// Range is ids, the first and the last among them.
type Range struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// Object compares one object. Coupa is read first and the topic after it, so that a row published meanwhile
// counts as there. Rows are compared by updated-at, and where lines stay in their rows, by the ids and
// updated-at of these; what has no updated-at, in an object that has it, by content. What differs in lines
// or content, and rows without updated-at that are missing, are looked at again after two polls, on both
// sides. So is a row that Coupa has although the topic's last record of it is a delete. The memory it takes
// is some 200 bytes a row. Of objects without updated-at just the ids are compared; and what stands in an
// envelope, which tells when it was read, is never a Duplicate.
func Object(ctx context.Context, cfg Config) (Report, error) {
	resource, _ := coupa.LookupResource(cfg.Object.Path)
	c := comparison{cfg: cfg, rows: map[int64]coupaRow{}, failed: map[int64]bool{}, exported: map[int64]bool{}, undated: !resource.UpdatedAt, below: resource.Parent != ""}
	c.Report = Report{Object: cfg.Object.Path, Topic: cfg.Object.Topic, Findings: []Finding{}}
	c.values = values{cfg: cfg, undated: c.undated, readers: map[int]*schemas.Reader{}}
	if !c.undated && cfg.Object.Lines != config.LinesTopics {
		c.values.list = resource.Lines
	}
	now, err := cfg.Source.Now(ctx)
	if err != nil {
		return c.Report, err
	}
	c.Until = now.Add(-cfg.onItsWay()).Truncate(time.Second).UTC()
	if !c.undated && !c.below {
		c.Since = cfg.since()
	}
	if err := c.readCoupa(ctx); err != nil {
		return c.Report, fmt.Errorf("reading %s from Coupa: %w", cfg.Object.Path, err)
	}
	if err := c.readTopic(ctx); err != nil {
		return c.Report, fmt.Errorf("reading topic %s: %w", cfg.Object.Topic, err)
	}
	c.Spread, c.Requested = int64(len(c.topic.spread)), c.topic.requested
	if err := c.compare(ctx); err != nil {
		return c.Report, fmt.Errorf("looking again at what differs in %s: %w", cfg.Object.Path, err)
	}
	return c.Report, nil
}

// onItsWay is how long a change may take to its topic: two polls that
// stay behind, and the few seconds for which a short page may hide it.
func (cfg Config) onItsWay() time.Duration {
	return cfg.Object.Settle + 2*max(cfg.Object.PollInterval, cfg.Interval) + 3*time.Second
}

// since is Since as Coupa stamps rows: in whole seconds.
func (cfg Config) since() time.Time { return cfg.Since.Truncate(time.Second).UTC() }

// comparison is one run of Object.
type comparison struct {
	cfg Config
	Report
	values values
	rows   map[int64]coupaRow // of Coupa, as far as they are compared
	topic  topicContent
	// what the topic has last of the rows that are compared by content
	contents map[int64]content
	failed   map[int64]bool // rows that Coupa fails to send
	exported map[int64]bool // rows that are not streamed
	// rows have no updated-at: nothing tells their versions apart, so only their ids are compared
	undated bool
	below   bool // rows are below others, and can't be asked for by their ids
}

// query asks for what rows are compared by.
func (c *comparison) query() coupa.Query {
	q := coupa.Query{Path: c.Object, Priority: coupa.PriorityBackfill}
	switch list := c.values.list; {
	case c.undated:
		q.Fields = `["id"]`
	case list == "":
		q.Fields = `["id","updated_at"` + c.cfg.flag() + `]`
	default:
		q.Fields = fmt.Sprintf(`["id","updated_at",{%q:["id","updated_at"]}%s]`, list, c.cfg.flag())
	}
	return q
}

// readCoupa lists all rows since Since but those that changed at Until or later.
func (c *comparison) readCoupa(ctx context.Context) error {
	q := c.query()
	q.Window.From = c.Since
	left, err := c.cfg.walk(ctx, q, c.takeRow, c.progress)
	c.Skipped = left.skipped
	c.leaveOut(left.failed)
	return err
}

// leaveOut takes in which rows Coupa fails to send: they are not compared.
func (c *comparison) leaveOut(failed []int64) {
	for _, id := range failed {
		c.failed[id] = true
	}
}

// flag is what to ask for besides, to know which rows are not streamed.
func (cfg Config) flag() string {
	if !cfg.Object.ReadsUnexported() {
		return ""
	}
	return `,"exported"`
}

// isExported tells whether a row is not streamed for its exported flag.
func (cfg Config) isExported(r coupa.Row) bool { return cfg.Object.ReadsUnexported() && r.IsExported() }

// takeRow takes in a row of Coupa.
func (c *comparison) takeRow(r coupa.Row) {
	if c.cfg.isExported(r) {
		c.passOver(r.ID)
		return
	}
	if !r.UpdatedAt.Before(c.Until) {
		return
	}
	before, known := c.rows[r.ID]
	if !known {
		c.Rows++
	}
	if known && before.at.IsZero() && !c.undated {
		c.Undated--
	}
	if r.UpdatedAt.IsZero() && !c.undated {
		c.Undated++
	}
	c.rows[r.ID] = c.values.ofCoupa(r, c.Until)
}

// passOver takes a row that is exported out of what is compared.
func (c *comparison) passOver(id int64) {
	if c.exported[id] {
		return
	}
	c.exported[id] = true
	c.Exported++
	if before, known := c.rows[id]; known {
		c.Rows--
		if before.at.IsZero() && !c.undated {
			c.Undated--
		}
		delete(c.rows, id)
	}
}

func (c *comparison) progress(reading string, done, total int64) {
	c.cfg.tell(Progress{reading, done, total, c.Rows, c.Records})
}

func (cfg Config) tell(p Progress) {
	if cfg.Progress != nil {
		cfg.Progress(p)
	}
}

// compare finds the differences. What looks gone from Coupa is asked for by
// id: it may have changed since Until, or have been left out of an answer.
func (c *comparison) compare(ctx context.Context) error {
	var unseen []int64
	for id, in := range c.topic.latest {
		// that a row is deleted is shown by the walk, if that was over all rows
		if _, ok := c.rows[id]; !ok && !c.failed[id] && !c.exported[id] && (!in.deleted || !c.Since.IsZero()) {
			unseen = append(unseen, id)
		}
	}
	slices.Sort(unseen)
	if err := c.confirmGone(ctx, unseen); err != nil {
		return err
	}
	from := c.expectedFrom()
	var suspects []suspect
	for id, row := range c.rows {
		in, ok := c.topic.latest[id]
		switch d := row.differs(in, ok && !in.deleted, from); {
		case d == StaleLines, d != "" && row.at.IsZero() && !c.undated,
			// it may have gone since Coupa was read
			d != "" && in.deleted && !c.below,
			// nothing bounds by how much clocks differ: the whole topic tells
			d == Missing && !c.Since.IsZero():
			suspects = append(suspects, suspect{id: id, Difference: d, row: row})
		case d != "":
			c.find(d, id, row.at, in)
		}
	}
	for id := range c.topic.repeated {
		c.find(Duplicate, id, c.rows[id].at, c.topic.latest[id])
	}
	if err := c.confirm(ctx, suspects, from); err != nil {
		return err
	}
	for id := range c.failed {
		c.find(NotCovered, id, c.rows[id].at, c.topic.latest[id])
	}
	c.sort()
	return nil
}

// sort puts the findings in order: by kind, then id.
func (r *Report) sort() {
	order := []Difference{Missing, Stale, StaleLines, Duplicate, Extra, NotCovered}
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Difference), slices.Index(order, b.Difference)), cmp.Compare(a.ID, b.ID))
	})
}

// confirmGone asks Coupa for rows of the topic that were not found: by
// their ids, or where it can't be asked so, for all rows once more.
func (c *comparison) confirmGone(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	there := map[int64]bool{}
	take := func(r coupa.Row) {
		there[r.ID] = true
		c.takeRow(r)
	}
	var left gaps
	var err error
	if c.below {
		left, err = c.cfg.walk(ctx, c.query(), take, c.progress)
	} else {
		left.failed, err = c.cfg.ask(ctx, c.query(), ids, take)
	}
	c.leaveOut(left.failed)
	for _, id := range ids {
		if err == nil && !there[id] && !c.failed[id] && !c.topic.latest[id].deleted {
			c.find(Extra, id, time.Time{}, c.topic.latest[id])
		}
	}
	return err
}

// expectedFrom is the stamp from which on rows are in the topic, by initial.from. Nothing tells
// when a stream that began with latest did; the oldest stamp that it published is what is known.
func (c *comparison) expectedFrom() time.Time {
	return c.cfg.expectedFrom(c.topic.oldest, c.Until)
}

func (cfg Config) expectedFrom(oldest, until time.Time) time.Time {
	switch {
	case !cfg.Object.InitialFrom.Latest:
		return cfg.Object.InitialFrom.At.Truncate(time.Second)
	case oldest.IsZero():
		return until
	}
	return oldest
}

func (c *comparison) find(d Difference, id int64, at time.Time, in place) {
	c.Findings = append(c.Findings, in.finding(d, id, at.UTC()))
}
