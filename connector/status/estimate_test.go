package status

import (
	"testing"

	"github.com/coupastream/coupastream/checkpoint"
)

func TestAWalksRowsAreEstimatedFromItsIDs(t *testing.T) {
	for _, c := range []struct {
		name  string
		rows  int64
		left  []checkpoint.Range
		maxID int64
		want  int64
	}{
		{"a fourth of the ids in one range that is open above", 250, []checkpoint.Range{{After: 500}}, 2000, 1000},
		{"two ranges, half of each", 100, []checkpoint.Range{{After: 500, Through: 1000}, {After: 1500}}, 2000, 200},
		{"it is drained", 321, nil, 2000, 321},
		{"ids came after the highest that was known", 40, []checkpoint.Range{{After: 2100}}, 2000, 40},
		{"nothing was read yet", 0, []checkpoint.Range{{}}, 2000, 0},
		{"the highest id is not known", 50, []checkpoint.Range{{After: 50}}, 0, 0},
	} {
		if got := Estimate(c.rows, c.left, c.maxID); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
