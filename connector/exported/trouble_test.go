package exported

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/connector/record"
)

// A row counts as gone that was not shown for a day, asked for again and again; one that was shown in
// between, or was published anew, begins from the start.
func TestARowIsGoneThatIsNotShownForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &trouble{held: map[int64]hold{}, unseen: map[int64]time.Time{}}
		row := record.Stamps{ID: 7, UpdatedAt: 100}
		// turn is one in which the row waits: it is asked for unless it is held.
		turn := func(shown bool) (gone bool) {
			m.turn++
			if !m.holds(row, time.Now()) && !shown {
				if gone = m.isGone(row.ID); !gone {
					m.hold(row, unseenAgain, false)
				}
			}
			m.over()
			time.Sleep(unseenAgain / 2)
			return gone
		}
		for i := range 40 {
			if turn(i == 38) { // when it is asked for
				t.Fatalf("gone in turn %d", i)
			}
		}
		turns := 0
		for !turn(false) {
			if turns++; turns > 100 {
				t.Fatal("it is never gone")
			}
		}
		if turns < 45 || turns > 51 {
			t.Errorf("gone %d half hours after it was shown", turns)
		}
		turn(false)
		row.UpdatedAt = 200
		if m.holds(row, time.Now()) {
			t.Error("a row that was published anew is left alone for what it was")
		}
	})
}

func TestARowIsAsItWasPublishedByItsStamps(t *testing.T) {
	t.Parallel()
	published := record.Stamps{ID: 7, UpdatedAt: 100, LinesAt: 102}
	for name, k := range map[string]struct {
		now, published record.Stamps
		want           bool
	}{
		"the same":                {published, published, true},
		"its own has moved":       {record.Stamps{ID: 7, UpdatedAt: 101, LinesAt: 102}, published, false},
		"was set back":            {record.Stamps{ID: 7, UpdatedAt: 99, LinesAt: 102}, published, false},
		"a line's has moved":      {record.Stamps{ID: 7, UpdatedAt: 100, LinesAt: 103}, published, false},
		"its newest line is gone": {record.Stamps{ID: 7, UpdatedAt: 100, LinesAt: 90}, published, true},
		"published without lines": {published, record.Stamps{ID: 7, UpdatedAt: 100}, true},
	} {
		if got := isAs(k.now, k.published); got != k.want {
			t.Errorf("%s: %v, want %v", name, got, k.want)
		}
	}
}
