package shard

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
)

// A poll has handed over row 7 since what runs beside it has read that row and row 8. What a snapshot has
// read with the same updated-at may be the older content; a backfill meets no stamp of the polls'.
func TestNoRowComesBehindWhatPollsHaveGivenMeanwhile(t *testing.T) {
	st := checkpoint.Stream{Tenant: "acme", Object: "invoices"}
	task := status.NewTask(0, &config.Object{Path: "invoices"}, status.Running, nil, func() {})
	for name, c := range map[string]struct {
		beside  checkpoint.Position
		repeats bool
		polled  int64 // updated-at of row 7
		want    int   // rows that are left
	}{
		"a backfill, and a later version":      {checkpoint.Position{Seq: 1, Backfill: &checkpoint.Walk{}}, false, 101, 1},
		"a backfill, and one of the same time": {checkpoint.Position{Seq: 1, Backfill: &checkpoint.Walk{}}, false, 100, 2},
		"a snapshot, and one of the same time": {checkpoint.Position{Seq: 1, Requests: []checkpoint.Request{{State: checkpoint.RequestRunning}}}, true, 100, 1},
		"a snapshot, and an earlier version":   {checkpoint.Position{Seq: 1, Requests: []checkpoint.Request{{State: checkpoint.RequestRunning}}}, true, 99, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Shard{positions: map[checkpoint.Stream]checkpoint.Position{st: c.beside}, ahead: map[checkpoint.Stream]map[int64]int64{}}
			s.receive(&Submission{Stream: st, Task: task, Records: []*kgo.Record{{}}, Rows: []record.Version{{ID: 7, UpdatedAt: c.polled, Digest: 2}}})
			sub := &Submission{
				Stream: st, Task: task, Backfill: true, Repeats: c.repeats,
				Records: []*kgo.Record{{}, {}}, Rows: []record.Version{{ID: 7, UpdatedAt: 100, Digest: 1}, {ID: 8, UpdatedAt: 100, Digest: 1}},
				Entries:  []checkpoint.Entry{{ID: 7, At: 100, UpdatedAt: 100, Digest: 1}, {ID: 8, At: 100, UpdatedAt: 100, Digest: 1}},
				Unmarked: []record.Stamps{{ID: 7, UpdatedAt: 100}, {ID: 8, UpdatedAt: 100}},
			}
			s.receive(sub)
			if len(sub.Rows) != c.want || sub.Rows[len(sub.Rows)-1].ID != 8 || len(sub.Records) != c.want || len(sub.Entries) != c.want || len(sub.Unmarked) != c.want {
				t.Errorf("rows %v, %d records, entries %v, to mark %v; want %d, row 8 among them", sub.Rows, len(sub.Records), sub.Entries, sub.Unmarked, c.want)
			}
		})
	}
}
