package connector

import (
	"testing"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A poll has handed over a row since the snapshot read it. Both have the
// same updated-at, and what the snapshot read may be the older content.
func TestASnapshotGivesNoRowThatPollsHaveGivenMeanwhile(t *testing.T) {
	st := checkpoint.Stream{Tenant: "acme", Object: "invoices"}
	task := newTask(0, config.Object{Path: "invoices"}, Running, nil, func() {})
	s := &shard{
		positions: map[checkpoint.Stream]checkpoint.Position{st: {Seq: 1, Requests: []checkpoint.Request{{State: checkpoint.RequestRunning}}}},
		ahead:     map[checkpoint.Stream]map[int64]int64{},
	}
	s.receive(&submission{stream: st, task: task, records: []*kgo.Record{{}}, rows: []version{{id: 7, updatedAt: 100, digest: 2}}})
	sub := &submission{
		stream: st, task: task, backfill: true, repeats: true,
		records: []*kgo.Record{{}, {}}, rows: []version{{id: 7, updatedAt: 100, digest: 1}, {id: 8, updatedAt: 100, digest: 1}},
		entries: []checkpoint.Entry{{ID: 7, At: 100, UpdatedAt: 100, Digest: 1}, {ID: 8, At: 100, UpdatedAt: 100, Digest: 1}},
	}
	s.receive(sub)
	if len(sub.rows) != 1 || sub.rows[0].id != 8 || len(sub.records) != 1 || len(sub.entries) != 1 {
		t.Errorf("rows %v, %d records, entries %v; want row 8 alone", sub.rows, len(sub.records), sub.entries)
	}
}
