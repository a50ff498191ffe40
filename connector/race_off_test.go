//go:build !race

package connector

const raced = false
