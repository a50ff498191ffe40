//go:build race

package connector

// raced: the race detector makes everything ten times as long, so less of the same is done.
const raced = true
