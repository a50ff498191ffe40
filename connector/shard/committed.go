package shard

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
)

// Publication is a record that was committed.
type Publication struct {
	Stream    checkpoint.Stream
	ID        int64 // of the row; of the line where the topic is of lines
	Op        string
	UpdatedAt string // RFC 3339, UTC
	Topic     string
	Partition int32
	Offset    int64
	Value     []byte // as it was produced; nothing of it may be kept. nil: a tombstone
}

// tell tells of the records of a submission that was committed, and of where its stream is then.
func (s *Shard) tell(sub *Submission, position checkpoint.Position) {
	sub.Task.Update(func(t *status.TaskStatus) {
		t.Published += int64(len(sub.Records) - sub.Buried)
		for _, r := range sub.lineRecords {
			if r.isRow {
				t.Published++
			} else {
				t.Lines++
			}
		}
		t.Gone += int64(len(sub.Gone))
		if sub.Buried > 0 {
			t.DeadLetters, t.DeadLetter = t.DeadLetters+int64(sub.Buried), sub.Cause
		}
		t.Committed = position
		t.Silent += int64(sub.Silent)
		t.SetBack += int64(sub.SetBack)
		t.Trimmed += int64(sub.Trimmed)
		t.CountUnreadable(sub.Unreadable)
		t.CountLeftOut(sub.LeftOut)
		t.Malformed += int64(sub.Malformed)
		t.Late += int64(len(sub.Late))
		for _, by := range sub.Late {
			t.Lateness, t.LatenessNow = max(t.Lateness, by), max(t.LatenessNow, by)
		}
	})
	for _, by := range sub.Late {
		s.Meter.Late(sub.Stream.Object, by)
	}
	if s.Published == nil {
		return
	}
	for i, r := range sub.Records {
		s.Published(publication(sub.Stream, sub.Rows[i].ID, r))
	}
	for _, r := range sub.lineRecords {
		s.Published(publication(sub.Stream, r.id, r.Record))
	}
}

func publication(st checkpoint.Stream, id int64, r *kgo.Record) Publication {
	return Publication{
		Stream: st, ID: id, Op: record.Header(r, record.HeaderOp), UpdatedAt: record.Header(r, record.HeaderUpdatedAt),
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Value: r.Value,
	}
}
