package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Whoever approves deletes is told what the sweep saw; at a terminal he is asked, too.
func TestApprovingDeletesSaysWhatTheSweepSaw(t *testing.T) {
	const (
		look    = "GET /connectors/acme/health"
		approve = "POST /connectors/acme/deletes/invoices/approve"
		done    = "acme: deletes of invoices approved\n"
		saw     = "invoices of acme: 3 of 4 rows are missing, Coupa showed 1\n  why it waits: more than half of the object is missing (3 of 4 rows)\n  ids: 7, 9, …\n"
	)
	waits := `{"name":"acme","tasks":[{"object":"suppliers","deletes":null},
		{"object":"invoices","deletes":{"stage":"waiting","known":4,"shown":1,"missing":3,"examples":[7,9],"why":"more than half of the object is missing (3 of 4 rows)"}}]}`
	for _, c := range []struct {
		name     string
		terminal bool
		flags    string
		typed    string
		health   string
		asked    []string
		stdout   string
		stderr   string
		status   int
	}{
		{"yes", true, "", "y\n", waits, []string{look, approve}, done, saw + "Delete them? [y/N] ", 0},
		{"no", true, "", "\n", waits, []string{look}, "", saw + "Delete them? [y/N] coupastream: nothing was approved\n", 1},
		{"the end of what is typed", true, "", "", waits, []string{look}, "", saw + "Delete them? [y/N] coupastream: nothing was approved\n", 1},
		{"said before", true, "--yes", "", waits, []string{look, approve}, done, saw, 0},
		{"a script", false, "", "", waits, []string{look, approve}, done, saw, 0},
		{"of what does not wait the worker says so", true, "", "", strings.Replace(waits, "waiting", "resting", 1), []string{look, approve}, done, "", 0},
	} {
		a := &answers{given: map[string]any{look: json.RawMessage(c.health), approve: 202}}
		address := worker(t, a)
		var stdout, stderr bytes.Buffer
		env := func(name string) (string, bool) { return address, name == urlVariable }
		one := &app{stdin: strings.NewReader(c.typed), env: env, stdout: &stdout, stderr: &stderr, interactive: c.terminal}
		status := one.execute(t.Context(), append([]string{"deletes", "approve", "acme", "invoices"}, strings.Fields(c.flags)...))
		for i, asked := range a.asked { // with their bodies
			a.asked[i] = strings.TrimSpace(asked)
		}
		if status != c.status || stdout.String() != c.stdout || stderr.String() != c.stderr || !slices.Equal(a.asked, c.asked) {
			t.Errorf("%s: status %d, stdout %q, stderr %q, asked %q", c.name, status, stdout.String(), stderr.String(), a.asked)
		}
	}
}
