package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// meter says how far something is that takes long: at a terminal in one line with a bar, which is written
// over, elsewhere in whole lines, now and then.
type meter struct {
	w     io.Writer
	width int // of the terminal, in characters; 0: w is none
	paint palette
	plain func(stage) // elsewhere

	said  time.Time
	shown bool // a line stands there
}

// stage is how far it is.
type stage struct {
	what        string        // is being done
	done, total int64         // a total of 0 is not known
	left        time.Duration // 0: not known
	counts      string        // of what was done
}

// How often it is said.
const (
	onTerminalEvery = 200 * time.Millisecond
	elsewhereEvery  = 10 * time.Second
)

func newMeter(a *app, plain func(stage)) meter {
	m := meter{w: a.stderr, plain: plain, said: time.Now()}
	if file, ok := a.terminal(a.stderr); ok {
		m.paint.colours = a.painting()
		width, _, _ := term.GetSize(int(file.Fd()))
		m.width = cmp.Or(width, 80)
	}
	return m
}

// due tells whether it is time to say how far it is; that is then taken to be done.
func (m *meter) due(now time.Time) bool {
	every := elsewhereEvery
	if m.width > 0 {
		every = onTerminalEvery
	}
	if now.Sub(m.said) < every {
		return false
	}
	m.said = now
	return true
}

// show says how far it is.
func (m *meter) show(s stage) {
	if m.width == 0 {
		m.plain(s)
		return
	}
	drawn, line := "", s.what
	if s.counts != "" {
		line += "; " + s.counts
	}
	if s.total > 0 {
		drawn, line = bar(s.done, s.total, 20)+" ", shareText(s.done, s.total, s.left)+"  "+line
	}
	if cut := []rune(line); len(cut) > m.width-1-len([]rune(drawn)) {
		line = string(cut[:max(0, m.width-1-len([]rune(drawn)))])
	}
	fmt.Fprintf(m.w, "\r\x1b[K%s%s", m.paint.in(green, drawn), line)
	m.shown = true
}

// clear takes the line away.
func (m *meter) clear() {
	if m.shown {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.shown = false
	}
}

// bar is a picture of how much is done.
func bar(done, total int64, width int) string {
	full := int(min(int64(width), int64(width)*done/total))
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

func share(done, total int64) string { return fmt.Sprintf("%d%%", min(100, 100*done/total)) }

// shareText is the share that is done, and the time that is left where that is known.
func shareText(done, total int64, left time.Duration) string {
	text := share(done, total)
	if left > 0 {
		text += ", " + short(left) + " left"
	}
	return text
}

// colour is one of a terminal's, as its sequence has it. All sequences are of one length, so that columns of
// which every cell has one stay aligned.
type colour string

const (
	usual  colour = "39"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
)

// palette is what may be used to show something.
type palette struct{ colours, bars bool }

func (p palette) in(c colour, text string) string {
	if !p.colours || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// state is a cell of a column of states or conditions.
func (p palette) state(name string) string { return p.in(cmp.Or(colours[name], usual), name) }

// colours are those of states and conditions: what needs somebody, and what is held up or was stopped.
var colours = map[string]colour{
	"RUNNING": green, "FAILED": red, "UNASSIGNED": yellow, "PAUSED": yellow, "STOPPED": yellow, "RESTARTING": yellow,
	"STUCK": red, "BLIND": red, "INCOMPLETE": yellow, "WAITING": yellow, "UNMARKED": yellow, "THROTTLED": yellow,
}

// palette is that of what goes to stdout.
func (a *app) palette() palette {
	_, is := a.terminal(a.stdout)
	return palette{is && a.painting(), is}
}

// terminal is what a writer writes to, if that is one that lines can be written over on.
func (a *app) terminal(w io.Writer) (file *os.File, is bool) {
	if file, is = w.(*os.File); !is || !term.IsTerminal(int(file.Fd())) {
		return nil, false
	}
	kind, _ := a.env("TERM")
	return file, kind != "dumb"
}

// painting tells whether colours are wanted, see no-color.org.
func (a *app) painting() bool {
	without, _ := a.env("NO_COLOR")
	return without == ""
}
