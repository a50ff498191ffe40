//go:build !race

package connector

const shortHistories = 400
