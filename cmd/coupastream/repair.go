package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/verify"
)

// idsPerSnapshot is how many rows one snapshot is asked to read: a worker takes so many at a time.
const idsPerSnapshot = status.MaxSnapshotIDs

// errRemains is the outcome of a repair that could not mend everything.
var errRemains = errors.New("what is in a topic twice, or gone from Coupa, stays there, and so does what Coupa fails to send")

// repair has a running worker read again what is missing or stale.
func (r *remote) repair(ctx context.Context, c *client.Client, name string, reports []verify.Report) error {
	remains := false
	var objects []string
	rows := map[string][]int64{} // by object: a row that differs and has lines that do is read once
	for _, report := range reports {
		ids, others := repairable(report)
		remains = remains || others
		if !slices.Contains(objects, report.Object) {
			objects = append(objects, report.Object)
		}
		rows[report.Object] = append(rows[report.Object], ids...)
	}
	for _, object := range objects {
		ids := slices.Compact(slices.Sorted(slices.Values(rows[object])))
		for part := range slices.Chunk(ids, idsPerSnapshot) {
			s, err := c.StartSnapshot(ctx, name, client.SnapshotRequest{Object: object, IDs: part})
			if err != nil {
				return fmt.Errorf("asking for %d rows of %s: %w", len(part), object, err)
			}
			if _, err := r.waitForSnapshot(ctx, c, name, s.ID); err != nil {
				return err
			}
			fmt.Fprintf(r.stderr, "%s: %d rows were read again\n", object, len(part))
		}
	}
	if remains {
		return errRemains
	}
	return nil
}

// repairable are the ids of rows that mend what differs when they are read again:
// those whose version in Coupa is not in the topic, and those with other lines
// than the lines' topic has. others: some of what differs can't be mended so.
func repairable(report verify.Report) (ids []int64, others bool) {
	for _, f := range report.Findings {
		switch {
		case report.List != "" && f.Difference != verify.Duplicate && !f.RowGone:
			ids = append(ids, f.Row)
		case report.List == "" && slices.Contains([]verify.Difference{verify.Missing, verify.Stale, verify.StaleLines}, f.Difference):
			ids = append(ids, f.ID)
		default:
			others = true
		}
	}
	return ids, others
}
