package main

import (
	"fmt"
	"time"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/verify"
)

// comparing says how far a comparison is.
type comparing struct {
	meter
	objects int

	nth      int // object
	path     string
	progress verify.Progress
	speed    status.Speed
}

func newComparing(a *app, objects int) *comparing {
	c := &comparing{objects: objects}
	c.meter = newMeter(a, func(s stage) {
		done := ""
		if s.total > 0 {
			done = share(s.done, s.total)
		}
		left := ""
		if s.left > 0 {
			left = short(s.left)
		}
		p := c.progress
		a.log.Info("comparing", "object", c.path, "reading", p.Reading, "done", orDash(done), "left", orDash(left), "rows", p.Rows, "records", p.Records)
	})
	return c
}

// begin goes on to the next object.
func (c *comparing) begin(path string) {
	c.nth++
	c.path, c.progress = path, verify.Progress{}
}

// tell says how far it is, unless it did just now.
func (c *comparing) tell(p verify.Progress) {
	now := time.Now()
	if p.Reading != c.progress.Reading {
		c.speed = status.Speed{}
	}
	c.progress = p
	c.speed.Note(now, p.Done)
	if !c.due(now) {
		return
	}
	c.show(stage{
		what: fmt.Sprintf("%s (%d of %d): reading %s", c.path, c.nth, c.objects, p.Reading), done: p.Done, total: p.Total, left: c.speed.Left(p.Total - p.Done),
		counts: fmt.Sprintf("%d rows, %d records", p.Rows, p.Records),
	})
}
