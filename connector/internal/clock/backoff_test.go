package clock

import (
	"testing"
	"time"
)

func TestBackoffDelay(t *testing.T) {
	almost := func() float64 { return 1 }
	tests := []struct {
		name    string
		backoff Backoff
		attempt int
		after   time.Duration
		want    time.Duration
	}{
		{"the first", Backoff{Base: time.Second, Max: time.Minute, Rand: almost}, 0, 0, time.Second},
		{"the fourth", Backoff{Base: time.Second, Max: time.Minute, Rand: almost}, 3, 0, 8 * time.Second},
		{"the cap", Backoff{Base: time.Second, Max: time.Minute, Rand: almost}, 6, 0, time.Minute},
		{"far beyond the cap", Backoff{Base: time.Second, Max: time.Minute, Rand: almost}, 1 << 40, 0, time.Minute},
		{"a cap below the base", Backoff{Base: time.Second, Max: time.Millisecond, Rand: almost}, 0, 0, time.Millisecond},
		{"half the jitter", Backoff{Base: time.Second, Max: time.Minute, Rand: func() float64 { return 0.5 }}, 1, 0, time.Second},
		{"a pause that was asked for", Backoff{Base: time.Second, Max: time.Minute, Rand: func() float64 { return 0.5 }}, 9, 5 * time.Minute, 5*time.Minute + 500*time.Millisecond},
		{"the defaults", Backoff{Rand: almost}, 100, 0, time.Minute},
		{"the default base", Backoff{Rand: almost}, 0, 0, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.backoff.Delay(tt.attempt, tt.after); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	for range 1000 {
		if d := (Backoff{}).Delay(3, 0); d < 0 || d >= 8*time.Second {
			t.Fatalf("the zero value gave %s", d)
		}
	}
}
