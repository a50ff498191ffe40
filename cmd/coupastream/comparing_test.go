package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/connector/verify"
)

// Elsewhere than at a terminal there are lines in the log, now and then, with the share of what is being read
// and the time that the rest of it takes at the speed of late; a terminal has one line, written over.
func TestAComparisonSaysHowFarItIs(t *testing.T) {
	for _, width := range []int{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			c := newComparing(&app{stderr: &out, log: slog.New(slog.NewTextHandler(&out, nil)), env: func(string) (string, bool) { return "", false }}, 2)
			c.width = width
			c.begin("users")
			c.begin("invoices")
			for n := range int64(31) {
				c.tell(verify.Progress{Reading: "Coupa", Done: 100 * n, Total: 12000, Rows: 90 * n})
				time.Sleep(time.Second)
			}
			c.tell(verify.Progress{Reading: "coupa.invoices", Done: 5, Records: 4})
			c.clear()
			c.clear()
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if width == 0 {
				if len(lines) != 3 || !strings.Contains(lines[1], `object=invoices reading=Coupa done=16% left=1m40s rows=1800 records=0`) {
					t.Errorf("%q", lines)
				}
				return
			}
			frames := strings.Split(out.String(), "\r\x1b[K")
			if len(lines) != 1 || len(frames) != 33 || frames[20] != "███░░░░░░░░░░░░░░░░░ 16%, 1m40s left  invoices (2 of 2): reading Coupa; 1800 rows, 0 records" ||
				frames[31] != "invoices (2 of 2): reading coupa.invoices; 0 rows, 4 records" || frames[32] != "" {
				t.Errorf("%d lines, %d frames: %q", len(lines), len(frames), frames)
			}
		})
	}
}
