package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// Lines compares the lines of an object's rows with the topics that they have of their own: a
// report for each list, none where lines stay in their rows. Compared is which lines there are
// and which rows they are of; what they hold came with the row. Of lines nothing tells when
// one came or went, so what differs is looked at again after two polls, on both sides: what
// stands in the report differed both times. The memory it takes is some 150 bytes a line.
//
// With Since, lines are those of rows stamped then or later. A line that has not changed went out
// before, so that of these just what has a stamp of its own since then has to be in the topic.
func Lines(ctx context.Context, cfg Config) ([]Report, error) {
	lists, err := cfg.lists()
	if err != nil || len(lists) == 0 {
		return nil, err
	}
	now, err := cfg.Source.Now(ctx)
	if err != nil {
		return nil, err
	}
	until := now.Add(-cfg.onItsWay()).Truncate(time.Second).UTC()
	all := make([]*lineComparison, len(lists))
	fields, stamped := `["id","updated_at"`, ""
	if !cfg.Since.IsZero() {
		resource, _ := coupa.LookupResource(cfg.Object.Path)
		stamped = underscored(resource.Lines)
	}
	for i, l := range lists {
		all[i] = &lineComparison{cfg: cfg, coupa: l.Coupa, Report: Report{Object: cfg.Object.Path, List: l.Name, Topic: cfg.Object.LineTopic(l.Name), Since: cfg.since(), Until: until, Findings: []Finding{}}}
		of := `["id"]`
		if all[i].stamped = underscored(l.Coupa) == stamped; all[i].stamped {
			of = `["id","updated_at"]`
		}
		fields += fmt.Sprintf(`,{%q:%s}`, underscored(l.Coupa), of)
	}
	q := coupa.Query{Path: cfg.Object.Path, Fields: fields + cfg.flag() + "]", Priority: coupa.PriorityBackfill}
	first := newCoupaLines(len(all))
	walked := q
	walked.Window.From = cfg.since()
	left, err := cfg.walk(ctx, walked, func(r coupa.Row) {
		if r.UpdatedAt.Before(until) {
			first.take(r, all)
		}
	}, func(reading string, done, total int64) {
		cfg.tell(Progress{reading, done, total, int64(len(first.rows)), 0})
	})
	if err != nil {
		return nil, fmt.Errorf("reading lines of %s from Coupa: %w", cfg.Object.Path, err)
	}
	first.leaveOut(left.failed)
	suspected := map[int64]bool{} // rows
	for i, c := range all {
		c.Rows, c.Skipped = int64(len(first.lists[i].lines)), left.skipped
		if c.topic, err = c.readTopic(ctx, c.Since); err != nil {
			return nil, err
		}
		c.Spread, c.Requested = int64(len(c.topic.spread)), c.topic.requested
		c.suspects = c.differing(c.topic, first, i)
		for _, f := range c.suspects {
			suspected[f.Row] = true
		}
	}
	if len(suspected) > 0 {
		if err := recheck(ctx, q, all, slices.Sorted(maps.Keys(suspected))); err != nil {
			return nil, err
		}
	}
	reports := make([]Report, len(all))
	for i, c := range all {
		for id := range c.topic.repeated {
			c.Findings = append(c.Findings, c.topic.latest[id].finding(Duplicate, id, time.Time{}))
		}
		c.sort()
		reports[i] = c.Report
	}
	return reports, nil
}

// lists are those whose lines have topics of their own, as the object's mapping leaves and names them.
func (cfg Config) lists() ([]schemas.List, error) {
	resource, _ := coupa.LookupResource(cfg.Object.Path)
	if !resource.UpdatedAt || cfg.Object.Lines == "" || cfg.Object.Lines == config.LinesEmbedded {
		return nil, nil
	}
	schema, err := schemas.For(cfg.Object.Path, cfg.Object.SchemaOptions())
	if err != nil {
		return nil, err
	}
	split, err := schema.Split(true)
	if err != nil {
		return nil, err
	}
	return split.Lists, nil
}

// lineComparison is that of one list.
type lineComparison struct {
	cfg Config
	Report
	coupa    string // the list as Coupa spells it
	stamped  bool   // lines are asked for with their updated-at
	topic    topicContent
	suspects []Finding // of the first look
}

// lineAt is a line in Coupa.
type lineAt struct {
	row int64
	at  time.Time // the row's
	own int64     // Unix seconds of the line's own, where it is asked for; else unstamped
}

// coupaLines is what Coupa has of each list, and the rows that there are.
type coupaLines struct {
	lists []coupaList
	rows  map[int64]bool
}

// coupaList is what Coupa has of one list: its lines by id, and the rows whose value can't be read as
// a list of lines. Of such a row the topic keeps the lines that it had: nothing tells which there are.
type coupaList struct {
	lines  map[int64]lineAt
	unread map[int64]bool
}

func newCoupaLines(lists int) coupaLines {
	found := coupaLines{lists: make([]coupaList, lists), rows: map[int64]bool{}}
	for i := range found.lists {
		found.lists[i] = coupaList{map[int64]lineAt{}, map[int64]bool{}}
	}
	return found
}

// take takes in a row of Coupa.
func (found coupaLines) take(r coupa.Row, all []*lineComparison) {
	found.rows[r.ID] = true
	if all[0].cfg.isExported(r) { // the topic has the lines that it had before
		found.leaveOut([]int64{r.ID})
		return
	}
	for i, c := range all {
		lines, ok := linesIn(r.JSON, c.coupa)
		// the row of a line without an id can't go
		if ok = ok && !slices.ContainsFunc(lines, func(l lineVersion) bool { return l.id <= 0 }); !ok {
			found.lists[i].unread[r.ID], lines = true, nil
		}
		for _, l := range lines {
			found.lists[i].lines[l.id] = lineAt{r.ID, r.UpdatedAt, l.at}
		}
	}
}

// leaveOut takes in which rows are not compared, as those that Coupa
// fails to send: nothing tells which lines the topic is to have of them.
func (found coupaLines) leaveOut(rows []int64) {
	for _, list := range found.lists {
		for _, id := range rows {
			list.unread[id] = true
		}
	}
}

// listIn is the value of a list in a row, whose key may come
// with hyphens or underscores; nil: there is none.
func listIn(row []byte, list string) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(row, &members); err != nil {
		return nil, err
	}
	if text, there := members[strings.ReplaceAll(list, "_", "-")]; there {
		return text, nil
	}
	return members[underscored(list)], nil
}

func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

// readTopic gives what the topic was given since an instant; zero: all of it.
func (c *lineComparison) readTopic(ctx context.Context, since time.Time) (t topicContent, err error) {
	t, c.Records = newTopicContent(), 0
	c.Truncated, err = c.cfg.read(ctx, c.Topic, since, func(r *kgo.Record, id int64) error {
		at, err := record.StampOf(r)
		if err != nil {
			return err
		}
		var row int64
		if !isDelete(r) {
			if row, err = schemas.ParseParent(r.Value); err != nil {
				return err
			}
		}
		c.Records++
		t.add(id, place{row: row, updatedAt: at, partition: r.Partition, offset: r.Offset, deleted: isDelete(r)}, r, c.cfg.Strict)
		return nil
	}, func(reading string, done, total int64) {
		c.cfg.tell(Progress{reading, done, total, c.Rows, c.Records})
	})
	if err != nil {
		return t, fmt.Errorf("reading topic %s: %w", c.Topic, err)
	}
	return t, nil
}

// differing compares what is known of the topic with the lines of Coupa's i-th list.
func (c *lineComparison) differing(topic topicContent, found coupaLines, i int) (all []Finding) {
	in, bounded := found.lists[i], !c.Since.IsZero()
	from := c.cfg.expectedFrom(topic.oldest, c.Until)
	for id, l := range in.lines {
		last, ok := topic.latest[id]
		f := last.finding(Missing, id, l.at.UTC())
		f.Row = l.row
		switch {
		case last.deleted, !ok && !l.at.Before(from) && (!bounded || l.own >= c.Since.Unix()):
		case ok && !last.deleted && last.row != l.row:
			f.Difference = Stale
		default:
			continue
		}
		all = append(all, f)
	}
	for id, last := range topic.latest {
		if bounded && !found.rows[last.row] { // nothing tells what lines that row has
			continue
		}
		if _, ok := in.lines[id]; !ok && !last.deleted && !in.unread[last.row] {
			all = append(all, last.finding(Extra, id, time.Time{}))
		}
	}
	return all
}

// recheck looks at the suspects once more, when what was on its way
// has arrived: what still differs as it did before is a finding.
func recheck(ctx context.Context, q coupa.Query, all []*lineComparison, rows []int64) error {
	if !clock.Sleep(ctx, all[0].cfg.onItsWay()) {
		return ctx.Err()
	}
	now := newCoupaLines(len(all))
	failed, err := all[0].cfg.ask(ctx, q, rows, func(r coupa.Row) { now.take(r, all) })
	if err != nil {
		return fmt.Errorf("asking Coupa again for what differs in lines of %s: %w", q.Path, err)
	}
	now.leaveOut(failed)
	for i, c := range all {
		if len(c.suspects) == 0 {
			continue
		}
		truncated, records := c.Truncated, c.Records
		topic, err := c.readTopic(ctx, time.Time{})
		if err != nil {
			return err
		}
		if !c.Since.IsZero() {
			c.Truncated, c.Records = truncated, records
		}
		was := map[int64]Finding{}
		for _, f := range c.suspects {
			was[f.ID] = f
		}
		for _, f := range c.differing(topic, now, i) {
			if before, ok := was[f.ID]; ok && before.Difference == f.Difference && before.Row == f.Row {
				f.RowGone = !now.rows[f.Row]
				c.Findings = append(c.Findings, f)
			}
		}
	}
	return nil
}
