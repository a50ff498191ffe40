package stream

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
)

// Offset is the committed position, and whether there is one.
func (p *Poller) Offset() (o status.Offset, there bool) {
	pos := p.shard.Position(p.stream)
	// one that is read whole has a position from its first reading on
	if pos.Seq == 0 || pos.Mark.IsZero() && (!p.object.IsWhole() || pos.Walk == nil) {
		return status.Offset{}, false
	}
	return offsetOf(p.stream, pos), true
}

// IsAt tells of a stream that is read whole, which can't be moved, that it is to go on where it
// is: what offset told may be given back.
func (p *Poller) IsAt(o status.Offset) bool {
	now := offsetOf(p.stream, p.shard.Position(p.stream))
	return p.object.IsWhole() && !o.Reset && now.UpdatedAt.Equal(o.UpdatedAt) && now.ID == o.ID
}

func offsetOf(st checkpoint.Stream, pos checkpoint.Position) status.Offset {
	o := status.Offset{Tenant: st.Tenant, Object: st.Object, UpdatedAt: pos.Mark}
	walk := pos.Backfill
	if walk == nil {
		walk = pos.Walk
	}
	if walk != nil && len(walk.Ranges) > 0 {
		o.ID = walk.Ranges[0].After
	}
	return o
}

// CheckOffset tells what is wrong with an offset that the stream is to be moved to.
func (p *Poller) CheckOffset(o status.Offset) *config.Problem {
	object := p.object
	switch {
	case o.Reset:
		return nil
	case object.IsWhole():
		return &config.Problem{Key: "offset", Message: object.Path + " has no updated-at and is read whole", Remedy: "reset it (an offset of null) to have all rows published again"}
	case o.UpdatedAt.IsZero():
		return &config.Problem{Key: "offset.updated_at", Message: "is missing", Remedy: "give an instant in RFC 3339, or null for the offset to begin anew"}
	case o.UpdatedAt.After(time.Now().Add(time.Hour)):
		return &config.Problem{Key: "offset.updated_at", Value: o.UpdatedAt.Format(time.RFC3339), Message: "lies in the future, and nothing would be published until then", Remedy: "give an instant that has passed"}
	case o.ID < 0:
		return &config.Problem{Key: "offset.id", Value: fmt.Sprint(o.ID), Message: "is negative", Remedy: "leave it out, or give the id above which rows are to be published again"}
	}
	return nil
}

// positionAt is what a request makes of a stream's position. Seq is the shard's affair.
func positionAt(o status.Offset, object *config.Object) checkpoint.Position {
	if o.Reset {
		return checkpoint.Position{}
	}
	at := o.UpdatedAt.Truncate(time.Second).UTC()
	pos := checkpoint.Position{Mark: at, Lines: at, Floor: at}
	for range LookBackDepths(object) {
		pos.Looked = append(pos.Looked, at)
	}
	if o.ID > 0 {
		pos.Backfill = &checkpoint.Walk{Kind: checkpoint.Snapshot, To: at, Ranges: []checkpoint.Range{{After: o.ID}}}
	}
	return pos
}

// keepSplit lets a position that was moved go on reading again for
// lines what lies before its mark; after a backfill, all of it.
func keepSplit(pos *checkpoint.Position, left checkpoint.Walk) {
	if pos.Backfill != nil {
		pos.LineTopics = false
		return
	}
	if pos.Mark.Before(left.To) {
		left.To = pos.Mark
	}
	if left.From.Before(left.To) {
		pos.Backfill = &left
	}
}

// Move commits another position of a stream whose poller does not run, and drops the stream's ledger in the
// same transaction. Lines are published again as rows are: states of rows are of an epoch that has passed.
func (p *Poller) Move(ctx context.Context, o status.Offset) error {
	to := positionAt(o, p.object)
	chunks, err := p.shard.Ledger().ExpiredChunks(p.stream, math.MaxInt64, math.MaxInt)
	if err != nil {
		return fmt.Errorf("reading the ledger of %v: %w", p.stream, err)
	}
	before := p.shard.Position(p.stream)
	again, err := p.publishedEnd(before)
	if err != nil {
		return err
	}
	// rows have no stamps; or where they were published before is known to another group
	if p.object.IsWhole() || before.Seq == 0 && !o.Reset {
		again = time.Now().UTC().Truncate(time.Second)
	}
	sub := &shard.Submission{
		Expired: chunks,
		Move: func(pos *checkpoint.Position) {
			was := *pos
			*pos = to.Clone()
			pos.Seq, pos.LineTopics, pos.LineEpoch = was.Seq, was.LineTopics, was.LineEpoch+1
			pos.Requests, pos.Moved, pos.Topics = was.Requests, was.Moved, checkpoint.Filled(was.Topics, time.Now())
			pos.Again = clock.Later(was.Again, again)
			for i := range pos.Requests { // their windows are of the position before
				if r := &pos.Requests[i]; !r.Over() {
					r.End(checkpoint.RequestCancelled)
				}
			}
			if isSplitting(was) && !o.Reset {
				keepSplit(pos, *was.Backfill)
			}
		},
	}
	if err := p.submitAlone(ctx, sub); err != nil {
		return fmt.Errorf("moving %v: %w", p.stream, err)
	}
	p.doubt.forget()
	p.task.Update(func(t *status.TaskStatus) { t.Mark = to.Mark })
	return nil
}
