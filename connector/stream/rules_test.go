package stream

import (
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
)

// What a walk hands over is taken out where polls have overtaken it, by the walk's rules:
// of a snapshot that was asked for, versions of the same stamp too.
func TestASubmissionSaysWhatMayOvertakeIt(t *testing.T) {
	for _, c := range []struct {
		name              string
		rules             walkRules
		backfill, repeats bool
	}{
		{"a poll", pollRules, false, false},
		{"a walk by lines", linesRules, false, false},
		{"rows between which lines have moved", movedRules, false, false},
		{"a backfill", backfillRules, true, false},
		{"its closing", closingRules, true, false},
		{"rows read again for their lines", splitRules, true, true},
		{"a snapshot", snapshotRules, true, true},
	} {
		p := New(Config{Object: &config.Object{Path: "invoices"}})
		ps := &pass{p: p, rules: c.rules, spans: []*span{{}}, persisted: new(time.Time)}
		ps.submit(&record.Chunk{Entries: []checkpoint.Entry{{ID: 7}}}, false)
		if sub := ps.pending[0]; sub.Backfill != c.backfill || sub.Repeats != c.repeats {
			t.Errorf("%s: backfill %v, repeats %v", c.name, sub.Backfill, sub.Repeats)
		}
	}
}
