package connector

import (
	"flag"
	"runtime/debug"
	"testing"
)

// TestMain runs more tests beside each other than there are processors, since they wait for
// the disk, unless -parallel says otherwise. Collecting garbage is a quarter of their work
// with the heap as small as they need it, so it may be larger.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(1 << 30)
	m.Run()
}
