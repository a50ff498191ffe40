package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// pseudoTerminal makes a terminal of 60 columns, and gives what was written to it once it is closed.
func pseudoTerminal(t *testing.T) (terminal *os.File, written func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	control := func(request uintptr, argument unsafe.Pointer) {
		if _, _, err := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(argument)); err != 0 {
			t.Fatal(err)
		}
	}
	var locked, number uint32
	size := struct{ rows, columns, x, y uint16 }{25, 60, 0, 0}
	control(syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	control(syscall.TIOCGPTN, unsafe.Pointer(&number))
	control(syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	if terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	all := make(chan string)
	go func() {
		text, _ := io.ReadAll(master) // it fails when the other end is closed
		all <- strings.ReplaceAll(string(text), "\r\n", "\n")
	}()
	return terminal, func() string {
		_ = terminal.Close()
		return <-all
	}
}

// atTerminal runs the program for somebody who sits at a terminal, and gives what is shown there of its
// results and of what else it says.
func atTerminal(t *testing.T, address string, more map[string]string, args ...string) (stdout, stderr string) {
	t.Helper()
	env := func(name string) (string, bool) {
		if name == urlVariable {
			return address, true
		}
		value, is := more[name]
		return value, is
	}
	out, shown := pseudoTerminal(t)
	errs, said := pseudoTerminal(t)
	if status := run(t.Context(), args, env, out, errs); status != 0 {
		t.Errorf("exit status %d", status)
	}
	return shown(), said()
}

// sequences are those of a terminal that say how text looks.
var sequences = regexp.MustCompile("\x1b\\[[0-9]*m")

func TestATerminalShowsColoursAndBars(t *testing.T) {
	address := worker(t, &answers{given: healthy()})
	bars := strings.Replace(ask(t, address, "status", "acme").stdout, "PROGRESS             ", "PROGRESS                        ", 1)
	for name, c := range map[string]struct {
		env                  map[string]string
		colours, progressBar bool
	}{
		"as it is":         {nil, true, true},
		"without colours":  {map[string]string{"NO_COLOR": "1"}, false, true},
		"one that is dumb": {map[string]string{"TERM": "dumb"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			shown, _ := atTerminal(t, address, c.env, "status", "acme")
			if got := strings.Contains(shown, "\x1b[32mRUNNING\x1b[0m") && strings.Contains(shown, "\x1b[31mFAILED\x1b[0m"); got != c.colours {
				t.Errorf("colours: %v\n%q", got, shown)
			}
			if got := strings.Contains(shown, "  ████░░░░░░ 400 of 1000 rows, 40%, 3m left  "); got != c.progressBar {
				t.Errorf("a bar: %v\n%s", got, shown)
			}
			if !c.colours && sequences.MatchString(shown) {
				t.Errorf("%q", shown)
			}
			aligned := regexp.MustCompile(` +`).ReplaceAllString(sequences.ReplaceAllString(strings.Replace(shown, "████░░░░░░ ", "", 1), ""), " ")
			if want := regexp.MustCompile(` +`).ReplaceAllString(bars, " "); aligned != want {
				t.Errorf("%s\nwant\n%s", aligned, want)
			}
			header, first, _ := strings.Cut(sequences.ReplaceAllString(shown[strings.Index(shown, "TASK"):], ""), "\n")
			if at := strings.Index(header, "MARK"); !strings.HasPrefix(first[at:], "2026-01-02T03:04:03Z") {
				t.Errorf("the columns are not aligned:\n%s\n%s", header, first)
			}
		})
	}
}

func TestATerminalShowsHowFarASnapshotIs(t *testing.T) {
	snapshot := map[string]any{"id": "s1", "object": "invoices", "state": "RUNNING", "rows": 10, "total": 40, "left_ms": 90000}
	asked := 0
	address := worker(t, &answers{given: map[string]any{
		"POST /connectors/acme/snapshots": snapshot,
		"GET /connectors/acme/snapshots": func() any {
			if asked++; asked > 1 {
				snapshot["state"] = "DONE"
			}
			return []any{snapshot}
		},
	}})
	shown, said := atTerminal(t, address, nil, "snapshot", "start", "acme", "--object", "invoices", "--wait")
	line := "\r\x1b[K\x1b[32m█████░░░░░░░░░░░░░░░ \x1b[0m25%, 1m30s left  acme invoices; 10 of "
	if said != line+"\r\x1b[K" {
		t.Errorf("%q, want the line, cut at the terminal's width, and then nothing of it", said)
	}
	if !strings.Contains(shown, "DONE") || bytes.ContainsRune([]byte(shown), '█') {
		t.Errorf("%s", shown)
	}
}
