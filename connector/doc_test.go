package connector_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/coupastream/coupastream/connector/internal/failpoint"
)

// rowsOf are the first words of doc.go's preformatted lines that fit.
func rowsOf(t *testing.T, path string, row *regexp.Regexp) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range row.FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	return names
}

// TestTheTableOfWalksIsThatOfTheCode: each kind of walk in doc.go is a value in rules.go, in the same order.
func TestTheTableOfWalksIsThatOfTheCode(t *testing.T) {
	told := rowsOf(t, "doc.go", regexp.MustCompile(`(?m)^//\t([a-z]+) .* stream/\w+\.go`))
	code := rowsOf(t, "stream/rules.go", regexp.MustCompile(`(?m)^\t([a-z]+)Rules +=`))
	if len(code) == 0 || !slices.Equal(told, code) {
		t.Errorf("doc.go has the walks %q, rules.go %q", told, code)
	}
}

// TestTheTenStepsAreThoseOfTheFailpoints: what tests fail at is what doc.go tells, in the same order.
func TestTheTenStepsAreThoseOfTheFailpoints(t *testing.T) {
	told := rowsOf(t, "doc.go", regexp.MustCompile(`(?m)^//\t[0-9]+ ([a-z]+) `))
	var points []string
	for _, p := range failpoint.Points() {
		points = append(points, string(p))
	}
	if !slices.Equal(told, points) {
		t.Errorf("doc.go has the steps %q, the failpoints are %q", told, points)
	}
}
