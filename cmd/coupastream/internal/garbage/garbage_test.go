package garbage

import "testing"

func TestGarbageIsBoundedWhereMuchIsInUse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		live uint64 // MiB
		want int
	}{{0, 100}, {192, 100}, {193, 90}, {400, 40}, {4000, 20}} {
		if got := percent(tt.live << 20); got != tt.want {
			t.Errorf("%d MiB in use: %d, want %d", tt.live, got, tt.want)
		}
	}
}
