package connector

import (
	"github.com/coupastream/coupastream/checkpoint"
	"github.com/twmb/franz-go/pkg/kgo"
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
	Bytes     int // of the value
}

// tell tells of the records of a submission that was committed, and of where its stream is then.
func (s *shard) tell(sub *submission, position checkpoint.Position) {
	sub.task.update(func(t *TaskStatus) {
		t.Published += int64(len(sub.records) - sub.buried)
		for _, r := range sub.lineRecords {
			if r.own {
				t.Published++
			} else {
				t.Lines++
			}
		}
		if sub.buried > 0 {
			t.DeadLetters, t.DeadLetter = t.DeadLetters+int64(sub.buried), sub.cause
		}
		t.Committed = position
		t.Silent += int64(sub.silent)
		t.Trimmed += int64(sub.trimmed)
		t.Late += int64(len(sub.late))
		for _, by := range sub.late {
			t.Lateness = max(t.Lateness, by)
		}
	})
	for _, by := range sub.late {
		s.meter.late(sub.stream.Object, by)
	}
	if s.published == nil {
		return
	}
	for i, r := range sub.records {
		s.published(publication(sub.stream, sub.rows[i].id, r))
	}
	for _, r := range sub.lineRecords {
		s.published(publication(sub.stream, r.id, r.Record))
	}
}

func publication(st checkpoint.Stream, id int64, r *kgo.Record) Publication {
	p := Publication{Stream: st, ID: id, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Bytes: len(r.Value)}
	for _, h := range r.Headers {
		switch h.Key {
		case HeaderOp:
			p.Op = string(h.Value)
		case HeaderUpdatedAt:
			p.UpdatedAt = string(h.Value)
		}
	}
	return p
}
