package stream

import (
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/coupa"
)

// A row of id 7 was published with stamp 100 and digest 1.
func TestWhatBecomesOfARowByWhatWasPublished(t *testing.T) {
	ahead := func(to int64) (s seen) {
		s.ofPoll(time.Unix(to, 0), time.Minute, true)
		return s
	}
	behind := ahead(131)
	behind.settled = 0
	for _, c := range []struct {
		name   string
		walk   seen
		id, at int64
		digest uint64
		want   verdict
	}{
		{"unknown", ahead(99), 8, 50, 1, fresh},
		{"as published", ahead(99), 7, 100, 1, duplicate},
		{"as published before", ahead(200), 7, 90, 2, duplicate},
		{"newer", ahead(99), 7, 101, 1, fresh},
		{"other content, not settled", ahead(100), 7, 100, 3, held},
		{"other content, settled", ahead(101), 7, 100, 3, fresh},
		{"other content, no poll", seen{}, 7, 100, 3, fresh},
		{"older, lately", ahead(130), 7, 99, 3, stale},
		{"older for long", ahead(131), 7, 99, 3, setBack},
		{"older for long, by a poll that stays behind", behind, 7, 99, 3, setBack},
		{"older, no poll", seen{}, 7, 99, 3, stale},
	} {
		s := c.walk
		s.latest = map[int64]int64{7: 100}
		s.versions = map[record.Version]struct{}{{ID: 7, UpdatedAt: 100, Digest: 1}: {}, {ID: 7, UpdatedAt: 90, Digest: 2}: {}}
		if got := s.decide(coupa.Row{ID: c.id, UpdatedAt: time.Unix(c.at, 0), Digest: c.digest}); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
