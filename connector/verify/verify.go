package verify

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
)

// Config says what is compared.
type Config struct {
	Kafka  []kgo.Opt // how brokers are reached
	Source connector.Source
	Tenant string
	Object config.Object
	// Progress is told now and then how far the comparison is; nil: nobody.
	Progress func(rows, records int64)
}

// Difference is the kind of a finding.
type Difference string

// What can differ.
const (
	Missing Difference = "missing" // in Coupa, not in the topic
	// in the topic in an older version than Coupa's; of a line: as of another row than Coupa's
	Stale     Difference = "stale"
	Duplicate Difference = "duplicate" // published more than once with the same updated-at and content
	Extra     Difference = "extra"     // in the topic, and gone from Coupa
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
	// Until is the instant before which rows were compared: what changed later may be on its way.
	Until    time.Time `json:"until"`
	Findings []Finding `json:"findings"` // by kind, then id
	// Truncated tells that the topic has lost its beginning
	// to its retention: what is missing may have been there.
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

// idsPerRequest is how many rows are asked for by id at once: a page.
const idsPerRequest = 50

// Object compares one object. Coupa is read first and the topic after it, so that a row published meanwhile
// counts as there. The memory it takes is some 150 bytes a row. Of rows without updated-at just the ids are
// compared; and what stands in an envelope, which tells when it was read, is never a Duplicate.
func Object(ctx context.Context, cfg Config) (Report, error) {
	resource, _ := coupa.LookupResource(cfg.Object.Path)
	c := comparison{cfg: cfg, rows: map[int64]time.Time{}, undated: !resource.UpdatedAt, below: resource.Parent != ""}
	c.Report = Report{Object: cfg.Object.Path, Topic: cfg.Object.Topic, Findings: []Finding{}}
	now, err := cfg.Source.Now(ctx)
	if err != nil {
		return c.Report, err
	}
	c.Until = now.Add(-cfg.onItsWay()).Truncate(time.Second).UTC()
	if err := c.readCoupa(ctx); err != nil {
		return c.Report, fmt.Errorf("reading %s from Coupa: %w", cfg.Object.Path, err)
	}
	if err := c.readTopic(ctx); err != nil {
		return c.Report, fmt.Errorf("reading topic %s: %w", cfg.Object.Topic, err)
	}
	if err := c.compare(ctx); err != nil {
		return c.Report, fmt.Errorf("asking Coupa again for what differs in %s: %w", cfg.Object.Path, err)
	}
	return c.Report, nil
}

// onItsWay is how long a change may take to its topic: two polls.
func (cfg Config) onItsWay() time.Duration { return cfg.Object.Settle + 2*cfg.Object.PollInterval }

// comparison is one run of Object.
type comparison struct {
	cfg Config
	Report
	rows  map[int64]time.Time // of Coupa, as far as they are compared
	topic topicContent
	// rows have no updated-at: nothing tells their versions apart, so only their ids are compared
	undated bool
	below   bool // rows are below others, and can't be asked for by their ids
}

// readCoupa lists ids and stamps of all rows that changed before Until.
func (c *comparison) readCoupa(ctx context.Context) error {
	q := coupa.Query{Path: c.Object, Priority: coupa.PriorityBackfill}
	if c.undated {
		q.Fields = `["id"]`
	} else {
		q.Window, q.Fields = coupa.Window{To: c.Until}, `["id","updated_at"]`
	}
	for last := false; !last; {
		page, err := c.cfg.fetch(ctx, &q, func(r coupa.Row) { c.rows[r.ID] = r.UpdatedAt })
		if err != nil {
			return err
		}
		last = page.Empty
		c.Rows = int64(len(c.rows))
		c.progress()
	}
	return nil
}

// backoff is between tries of a request that failed for a cause that passes.
var backoff = coupa.Backoff{Base: time.Second, Max: 30 * time.Second}

// tries is how often a request is tried in turn.
const tries = 8

// fetch reads a page and moves q behind it. What passes by itself is waited out for some minutes.
func (cfg Config) fetch(ctx context.Context, q *coupa.Query, row func(coupa.Row)) (coupa.Page, error) {
	for try := 0; ; try++ {
		page, err := cfg.Source.Fetch(ctx, *q, func(r coupa.Row) error {
			if r.StampErr != nil {
				return r.StampErr
			}
			row(r)
			if q.IDs == nil {
				q.After = r.Reached()
			}
			return nil
		})
		if q.IDs == nil {
			q.After = max(q.After, page.LastID)
		}
		kind := coupa.KindOf(err)
		if err == nil || try == tries || kind != coupa.Retry && kind != coupa.Throttled {
			return page, err
		}
		select {
		case <-ctx.Done():
			return page, ctx.Err()
		case <-time.After(backoff.Delay(try, 0)):
		}
	}
}

func (c *comparison) progress() {
	if c.cfg.Progress != nil {
		c.cfg.Progress(c.Rows, c.Records)
	}
}

// compare finds the differences. What looks gone from Coupa
// is asked for by id: it may have changed since Until.
func (c *comparison) compare(ctx context.Context) error {
	from := c.expectedFrom()
	for id, at := range c.rows {
		in, ok := c.topic.latest[id]
		switch {
		case !ok || in.deleted:
			if !at.Before(from) {
				c.find(Missing, id, at, in)
			}
		case in.updatedAt.Before(at):
			c.find(Stale, id, at, in)
		}
	}
	for id := range c.topic.repeated {
		c.find(Duplicate, id, c.rows[id], c.topic.latest[id])
	}
	var unseen []int64
	for id, in := range c.topic.latest {
		if _, ok := c.rows[id]; !ok && !in.deleted {
			unseen = append(unseen, id)
		}
	}
	slices.Sort(unseen)
	if err := c.confirmGone(ctx, unseen); err != nil {
		return err
	}
	c.sort()
	return nil
}

// sort puts the findings in order: by kind, then id.
func (r *Report) sort() {
	order := []Difference{Missing, Stale, Duplicate, Extra}
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Difference), slices.Index(order, b.Difference)), cmp.Compare(a.ID, b.ID))
	})
}

// confirmGone asks Coupa for rows of the topic that were not found: by
// their ids, or where it can't be asked so, for all rows once more.
func (c *comparison) confirmGone(ctx context.Context, ids []int64) error {
	if !c.below {
		for some := range slices.Chunk(ids, idsPerRequest) {
			if err := c.askFor(ctx, some); err != nil {
				return err
			}
		}
		return nil
	}
	if len(ids) > 0 {
		if err := c.readCoupa(ctx); err != nil {
			return err
		}
	}
	c.findGone(slices.DeleteFunc(ids, func(id int64) bool {
		_, there := c.rows[id]
		return there
	}))
	return nil
}

func (c *comparison) askFor(ctx context.Context, ids []int64) error {
	gone := map[int64]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	q := coupa.Query{Path: c.Object, IDs: ids, Fields: `["id","updated_at"]`, Priority: coupa.PriorityBackfill}
	if _, err := c.cfg.fetch(ctx, &q, func(r coupa.Row) { delete(gone, r.ID) }); err != nil {
		return err
	}
	c.findGone(slices.Sorted(maps.Keys(gone)))
	return nil
}

func (c *comparison) findGone(ids []int64) {
	for _, id := range ids {
		c.find(Extra, id, time.Time{}, c.topic.latest[id])
	}
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
