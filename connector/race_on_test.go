//go:build race

package connector

// shortHistories is fewer under the race detector, which makes each ten times as long.
const shortHistories = 60
