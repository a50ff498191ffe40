package shard

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
)

// A poll has handed over a row since the snapshot read it. Both have the
// same updated-at, and what the snapshot read may be the older content.
func TestASnapshotGivesNoRowThatPollsHaveGivenMeanwhile(t *testing.T) {
	st := checkpoint.Stream{Tenant: "acme", Object: "invoices"}
	task := status.NewTask(0, &config.Object{Path: "invoices"}, status.Running, nil, func() {})
	s := &Shard{
		positions: map[checkpoint.Stream]checkpoint.Position{st: {Seq: 1, Requests: []checkpoint.Request{{State: checkpoint.RequestRunning}}}},
		ahead:     map[checkpoint.Stream]map[int64]int64{},
	}
	s.receive(&Submission{Stream: st, Task: task, Records: []*kgo.Record{{}}, Rows: []record.Version{{ID: 7, UpdatedAt: 100, Digest: 2}}})
	sub := &Submission{
		Stream: st, Task: task, Backfill: true, Repeats: true,
		Records: []*kgo.Record{{}, {}}, Rows: []record.Version{{ID: 7, UpdatedAt: 100, Digest: 1}, {ID: 8, UpdatedAt: 100, Digest: 1}},
		Entries:  []checkpoint.Entry{{ID: 7, At: 100, UpdatedAt: 100, Digest: 1}, {ID: 8, At: 100, UpdatedAt: 100, Digest: 1}},
		Unmarked: []record.Stamps{{ID: 7, UpdatedAt: 100}, {ID: 8, UpdatedAt: 100}},
	}
	s.receive(sub)
	if len(sub.Rows) != 1 || sub.Rows[0].ID != 8 || len(sub.Records) != 1 || len(sub.Entries) != 1 || len(sub.Unmarked) != 1 {
		t.Errorf("rows %v, %d records, entries %v, to mark %v; want row 8 alone", sub.Rows, len(sub.Records), sub.Entries, sub.Unmarked)
	}
}
