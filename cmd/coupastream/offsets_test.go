package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Somebody at a terminal is told what will happen, and asked; a script has decided.
func TestMovingAPositionAsksAtATerminal(t *testing.T) {
	const (
		weigh = `PATCH /connectors/acme/offsets/invoices?dry_run=true {"updated_at":"2026-01-01T00:00:00Z","id":0}`
		move  = `PATCH /connectors/acme/offsets/invoices {"updated_at":"2026-01-01T00:00:00Z","id":0}`
		moved = "acme: invoices goes on from 2026-01-01T00:00:00Z\n"
		asked = "invoices of acme is at 2026-02-01T00:00:00Z\n  go out again: about 1344 rows\n  left out for good: rows that could not be counted: Coupa answers 503\n"
	)
	weights := json.RawMessage(`{"message":"m","objects":[{"object":"invoices","from":"2026-02-01T00:00:00Z","again":{"rows":1344,"about":true},"left_out":{"rows":null,"about":false,"trace":"Coupa answers 503"}}]}`)
	for _, c := range []struct {
		name     string
		terminal bool
		flags    string
		typed    string
		asked    []string
		stdout   string
		stderr   string
		status   int
	}{
		{"yes", true, "", "yes\n", []string{weigh, move}, moved, asked + "Move it? [y/N] ", 0},
		{"no", true, "", "\n", []string{weigh}, "", asked + "Move it? [y/N] coupastream: nothing was moved\n", 1},
		{"the end of what is typed", true, "", "", []string{weigh}, "", asked + "Move it? [y/N] coupastream: nothing was moved\n", 1},
		{"said before", true, "--yes", "", []string{move}, moved, "", 0},
		{"a script", false, "", "", []string{move}, moved, "", 0},
		{"a script that gives a reason", false, "--reason why", "", []string{strings.Replace(move, " {", "?reason=why {", 1)}, moved, "", 0},
		{"only to be told", false, "--dry-run", "", []string{weigh}, asked, "", 0},
	} {
		a := &answers{given: map[string]any{"PATCH /connectors/acme/offsets/invoices?dry_run=true": weights,
			"PATCH /connectors/acme/offsets/invoices": 204, "PATCH /connectors/acme/offsets/invoices?reason=why": 204}}
		address := worker(t, a)
		var stdout, stderr bytes.Buffer
		env := func(name string) (string, bool) { return address, name == urlVariable }
		one := &app{stdin: strings.NewReader(c.typed), env: env, stdout: &stdout, stderr: &stderr, interactive: c.terminal}
		args := append(strings.Fields("offsets set acme invoices --updated-at 2026-01-01"), strings.Fields(c.flags)...)
		if status := one.execute(t.Context(), args); status != c.status || stdout.String() != c.stdout || stderr.String() != c.stderr || !slices.Equal(a.asked, c.asked) {
			t.Errorf("%s: status %d, stdout %q, stderr %q, asked %q", c.name, status, stdout.String(), stderr.String(), a.asked)
		}
	}
}
