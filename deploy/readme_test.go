package deploy

import (
	"os"
	"strings"
	"testing"
)

// figure is a cell of a table of the page of figures: of the row that begins so, in a section.
func figure(t *testing.T, section, row string, column int) string {
	t.Helper()
	_, text, _ := strings.Cut(read(t, "../connector/FIGURES.md"), "\n## "+section)
	text, _, _ = strings.Cut(text, "\n## ")
	_, line, found := strings.Cut(text, "\n| "+row+" |")
	line, _, _ = strings.Cut(line, "\n")
	cells := strings.Split(line, "|")
	if !found || len(cells) < column {
		t.Fatalf("FIGURES.md has no row %q of %d cells in %s", row, column, section)
	}
	return strings.TrimSpace(cells[column-1])
}

// What README says of the cost is what was measured last.
func TestReadmeSaysWhatTheFiguresSay(t *testing.T) {
	readme := read(t, "../README.md")
	delay, rest := "From Coupa to the topic", "Memory by streams"
	for _, said := range []string{
		figure(t, delay, "auto", 1) + " for half of all changes, " + figure(t, delay, "auto", 2) + " for 99 of 100; " +
			figure(t, delay, "1000", 1) + " and " + figure(t, delay, "1000", 2) + " with `poll.interval.ms: 1000`",
		figure(t, "Requests a day", "all seven", 1) + " a day for seven objects while nothing changes; " + figure(t, delay, "auto", 3) + " a second with a change a second",
		figure(t, "How long a backfill takes", "auto", 4) + " at the 25 requests a second",
		figure(t, "What a record costs", "most memory held", 1) + " at the most while 100,000 invoices are published; " + figure(t, rest, "200x20", 3) + " for 4,000 streams at rest",
		figure(t, "What a record costs", "CPU a record", 1) + " a record",
	} {
		if !strings.Contains(readme, said) {
			t.Errorf("README.md does not say %q", said)
		}
	}
}

// The first page stays one that is read, with a picture that is not long in coming.
func TestReadmeIsShort(t *testing.T) {
	if n := strings.Count(read(t, "../README.md"), "\n"); n > 260 {
		t.Errorf("README.md has %d lines, want 260 at most", n)
	}
	if picture, err := os.Stat("status-page.png"); err != nil || picture.Size() > 200<<10 {
		t.Errorf("status-page.png: %v, %v", picture, err)
	}
}
