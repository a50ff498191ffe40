package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/coupa"
)

// coupaRow is what a row of Coupa is compared by.
type coupaRow struct {
	at    time.Time
	lines uint64 // digest of the ids and updated-at of its lines
	// how its lines and what else it has are compared
	how howCompared
}

type howCompared uint8

const (
	byStamp   howCompared = iota // its own updated-at
	byLines                      // that, and its lines
	byContent                    // what it holds, since it has no updated-at, or one of its lines has none
)

// differs tells how a row differs from its last record, "" if it does not. there: it has a record
// that is no delete. Of a row that is to be compared by content it says StaleLines: that is to be seen.
func (row coupaRow) differs(in place, there bool, from time.Time) Difference {
	switch {
	case !there && !in.deleted && row.at.Before(from):
		return ""
	case !there:
		return Missing
	case in.updatedAt.Before(row.at):
		return Stale
	case row.how == byContent && (row.at.IsZero() || !in.updatedAt.After(row.at)):
		return StaleLines
	case row.how == byLines && in.updatedAt.Equal(row.at) && !in.withoutLines && in.lines != row.lines:
		return StaleLines
	}
	return ""
}

// suspect is a row that seemed to differ.
type suspect struct {
	id int64
	Difference
	row     coupaRow
	content uint64 // digest of what Coupa has, where it is compared by content
}

// confirm looks at suspects once more, when what was on its way has arrived.
// What is the same in Coupa and still differs is a finding.
func (c *comparison) confirm(ctx context.Context, suspects []suspect, from time.Time) error {
	suspects, err := c.differing(ctx, suspects, from)
	if err != nil || len(suspects) == 0 {
		return err
	}
	if !clock.Sleep(ctx, c.cfg.onItsWay()) {
		return ctx.Err()
	}
	was := map[int64]suspect{}
	for _, s := range suspects {
		was[s.id] = s
	}
	if err := c.rereadTopic(ctx, was); err != nil {
		return err
	}
	now := map[int64]coupaRow{}
	take := func(r coupa.Row) {
		if now[r.ID] = c.values.ofCoupa(r, c.Until); c.cfg.isExported(r) { // since then
			delete(now, r.ID)
			c.passOver(r.ID)
		}
	}
	failed, err := c.cfg.ask(ctx, c.query(), idsOf(suspects), take)
	if err != nil {
		return err
	}
	c.leaveOut(failed)
	var still []suspect
	for _, s := range suspects {
		if now[s.id] == s.row {
			still = append(still, s)
		}
	}
	if still, err = c.differing(ctx, still, from); err != nil {
		return err
	}
	for _, s := range still {
		// what was missing where the topic was not read from its beginning may be there in an older version
		if before := was[s.id]; (s.Difference == before.Difference || before.Difference == Missing) && s.content == before.content {
			c.find(s.Difference, s.id, s.row.at, c.topic.latest[s.id])
		}
	}
	return nil
}

// differing are the suspects that differ from what is known of the
// topic: for those that are compared by content, Coupa is asked for it.
func (c *comparison) differing(ctx context.Context, suspects []suspect, from time.Time) (differ []suspect, err error) {
	var whole []int64
	for _, s := range suspects {
		in, ok := c.topic.latest[s.id]
		switch s.Difference = s.row.differs(in, ok && !in.deleted, from); {
		case s.Difference == "":
		case s.Difference != Missing && s.row.how == byContent:
			whole = append(whole, s.id)
		default:
			differ = append(differ, s)
		}
	}
	if len(whole) == 0 {
		return differ, nil
	}
	differs := map[int64]suspect{}
	failed, err := c.cfg.ask(ctx, coupa.Query{Path: c.Object, Priority: coupa.PriorityBackfill}, whole, func(r coupa.Row) {
		in, ok := c.contents[r.ID]
		if !ok {
			return
		}
		// a row that can't be encoded is none that the topic has
		if sum, err := c.values.sumAs(in.schema, r.JSON); err != nil || sum != in.sum {
			s := suspect{id: r.ID, row: c.rows[r.ID], content: sum, Difference: Stale}
			if !s.row.at.IsZero() {
				s.Difference = StaleLines
			}
			differs[r.ID] = s
		}
	})
	c.leaveOut(failed)
	return slices.AppendSeq(differ, maps.Values(differs)), err
}

func idsOf(suspects []suspect) []int64 {
	ids := make([]int64, len(suspects))
	for i, s := range suspects {
		ids[i] = s.id
	}
	return ids
}

// rereadTopic reads anew what the topic says of suspects.
func (c *comparison) rereadTopic(ctx context.Context, of map[int64]suspect) error {
	_, err := c.cfg.read(ctx, c.Topic, time.Time{}, func(r *kgo.Record, id int64) error {
		if _, ok := of[id]; !ok {
			return nil
		}
		in, err := c.placeOf(ctx, r, id)
		c.topic.latest[id] = in
		return err
	}, c.progress)
	if err != nil {
		return fmt.Errorf("reading topic %s again: %w", c.Topic, err)
	}
	return nil
}
