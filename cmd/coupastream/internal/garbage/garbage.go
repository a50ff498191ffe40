// Package garbage bounds what a large worker holds of memory that nothing uses any more.
//
// Go's collector runs when there is as much garbage as there is in use (GOGC=100). With thousands of streams
// that is as much again of half a gigabyte, for a worker that makes 20 MB of garbage a second: it would
// collect every half minute. With [Most] it collects twice as often, for half of the memory. Small workers
// stay as they are: what the hot path costs is not touched below Most in use.
package garbage

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Most is about how much garbage there is before it is collected, in bytes.
const Most = 192 << 20

// look is how often the heap is looked at: a start of thousands of streams fills it within seconds.
const look = time.Second

// Bound keeps garbage below Most until ctx ends, unless GOGC is set: then that counts.
func Bound(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for set := 100; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(live)
		if now := percent(live[0].Value.Uint64()); now != set {
			debug.SetGCPercent(now)
			set = now
		}
	}
}

// percent is GOGC for a heap of which so many bytes are in use. It goes in steps of a tenth, since each
// change stops the program for a moment.
func percent(live uint64) int {
	if live <= Most {
		return 100
	}
	return max(20, int(100*Most/live)/10*10)
}
