//go:build failpoints

package main

import (
	"os"
	"time"
)

// tokenHold is how long a fresh token rests before its first use: COUPASTREAM_TOKEN_HOLD in a
// build with failpoints, so that a crash test that starts hundreds of workers on a simulated
// tenant does not wait five seconds each time; 0, as long as Coupa asks for, without it.
func tokenHold() time.Duration {
	hold, _ := time.ParseDuration(os.Getenv("COUPASTREAM_TOKEN_HOLD"))
	return hold
}
