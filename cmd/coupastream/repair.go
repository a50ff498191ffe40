package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/verify"
)

// idsPerSnapshot is how many rows one snapshot is asked to read: a worker takes so many at a time.
const idsPerSnapshot = connector.MaxSnapshotIDs

// errRemains is the outcome of a repair that could not mend everything.
var errRemains = errors.New("what is in a topic twice, or gone from Coupa, stays there")

// repair has a running worker read again what is missing or stale.
func (r *remote) repair(ctx context.Context, c *client.Client, name string, reports []verify.Report) error {
	remains := false
	for _, report := range reports {
		ids := repairable(report)
		remains = remains || len(ids) < len(report.Findings)
		for part := range slices.Chunk(ids, idsPerSnapshot) {
			s, err := c.StartSnapshot(ctx, name, client.SnapshotRequest{Object: report.Object, IDs: part})
			if err != nil {
				return fmt.Errorf("asking for %d rows of %s: %w", len(part), report.Object, err)
			}
			if _, err := r.waitForSnapshot(ctx, c, name, s.ID); err != nil {
				return err
			}
			fmt.Fprintf(r.stderr, "%s: %d rows were read again\n", report.Object, len(part))
		}
	}
	if remains {
		return errRemains
	}
	return nil
}

// repairable are the ids of rows whose version in Coupa is not in the topic, each once.
func repairable(report verify.Report) []int64 {
	var ids []int64
	for _, f := range report.Findings {
		if f.Difference == verify.Missing || f.Difference == verify.Stale {
			ids = append(ids, f.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
