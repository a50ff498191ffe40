//go:build !failpoints

package main

import "time"

// tokenHold is how long a fresh token rests before its first use: 0, as long as Coupa asks for.
func tokenHold() time.Duration { return 0 }
