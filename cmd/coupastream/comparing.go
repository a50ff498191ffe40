package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/verify"
)

// comparing says how far a comparison is: on a terminal in one line that is
// written over, else in the log now and then.
type comparing struct {
	w        io.Writer
	log      *slog.Logger
	terminal bool
	objects  int

	nth   int // object
	path  string
	read  string // what is being read of it
	speed status.Speed
	said  time.Time
	shown bool // a line stands there
}

// How often it is said.
const (
	onTerminalEvery = 200 * time.Millisecond
	inLogEvery      = 10 * time.Second
)

func newComparing(a *app, objects int) *comparing {
	file, ok := a.stderr.(*os.File)
	return &comparing{w: a.stderr, log: a.log, terminal: ok && term.IsTerminal(int(file.Fd())), objects: objects, said: time.Now()}
}

// begin goes on to the next object.
func (c *comparing) begin(path string) {
	c.nth++
	c.path, c.read = path, ""
}

// tell says how far it is, unless it did just now.
func (c *comparing) tell(p verify.Progress) {
	now := time.Now()
	if p.Reading != c.read {
		c.read, c.speed = p.Reading, status.Speed{}
	}
	c.speed.Note(now, p.Done)
	every := inLogEvery
	if c.terminal {
		every = onTerminalEvery
	}
	if now.Sub(c.said) < every {
		return
	}
	c.said = now
	share, left := "", ""
	if p.Total > 0 {
		share = fmt.Sprintf("%d%%", 100*p.Done/p.Total)
		if d := c.speed.Left(p.Total - p.Done); d > 0 {
			left = short(d)
		}
	}
	if !c.terminal {
		c.log.Info("comparing", "object", c.path, "reading", p.Reading, "done", orDash(share), "left", orDash(left), "rows", p.Rows, "records", p.Records)
		return
	}
	line := fmt.Sprintf("%s (%d of %d): reading %s", c.path, c.nth, c.objects, p.Reading)
	if share != "" {
		line += ", " + share
	}
	if left != "" {
		line += ", " + left + " left"
	}
	fmt.Fprintf(c.w, "\r\x1b[K%s; %d rows, %d records", line, p.Rows, p.Records)
	c.shown = true
}

// clear takes the line away.
func (c *comparing) clear() {
	if c.shown {
		fmt.Fprint(c.w, "\r\x1b[K")
		c.shown = false
	}
}
