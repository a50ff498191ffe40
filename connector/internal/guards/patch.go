package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// guard is a patch that takes one away.
type guard struct {
	name        string // of the file, without .patch
	guard, lost string
	test, pkg   string
	hunks       []hunk
}

// hunk is a piece of text, and what takes its place.
type hunk struct {
	path     string
	old, new []byte
}

// load reads the patches of the tree at root, in order of name.
func load(root string) ([]*guard, error) {
	paths, err := filepath.Glob(filepath.Join(root, patches, "*.patch"))
	if err != nil {
		return nil, err
	}
	var guards []*guard
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		g, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		g.name = strings.TrimSuffix(filepath.Base(path), ".patch")
		guards = append(guards, g)
	}
	return guards, nil
}

// parse reads a patch.
func parse(text string) (*guard, error) {
	g := &guard{}
	keys := map[string]*string{"guard": &g.guard, "lost": &g.lost, "test": &g.test, "package": &g.pkg}
	path := ""
	for line := range strings.Lines(text) {
		var at *hunk
		if n := len(g.hunks); n > 0 && g.hunks[n-1].path == path {
			at = &g.hunks[n-1]
		}
		file, isFile := strings.CutPrefix(line, "+++ b/")
		switch {
		case isFile:
			path = strings.TrimSpace(file)
		case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "diff --git"), strings.HasPrefix(line, "index "):
			path = ""
		case strings.HasPrefix(line, "@@ ") && path != "":
			g.hunks = append(g.hunks, hunk{path: path})
		case at != nil && line[0] == ' ':
			at.old, at.new = append(at.old, line[1:]...), append(at.new, line[1:]...)
		case at != nil && line[0] == '-':
			at.old = append(at.old, line[1:]...)
		case at != nil && line[0] == '+':
			at.new = append(at.new, line[1:]...)
		case len(g.hunks) == 0:
			key, value, _ := strings.Cut(line, ":")
			if keys[key] == nil || *keys[key] != "" {
				return nil, fmt.Errorf("%q is no line of a head", line)
			}
			*keys[key] = strings.TrimSpace(value)
		default:
			return nil, fmt.Errorf("%q is no line of a diff", line)
		}
	}
	for key, value := range keys {
		if *value == "" {
			return nil, fmt.Errorf("it has no %s", key)
		}
	}
	if len(g.hunks) == 0 {
		return nil, errors.New("it has no diff")
	}
	return g, nil
}

// apply gives the files of the tree at root that the patch changes, as they are with it.
func (g *guard) apply(root string) (map[string][]byte, error) {
	changed := map[string][]byte{}
	for _, h := range g.hunks {
		text, ok := changed[h.path]
		if !ok {
			var err error
			if text, err = os.ReadFile(filepath.Join(root, filepath.FromSlash(h.path))); err != nil {
				return nil, err
			}
		}
		if n := bytes.Count(text, h.old); n != 1 || bytes.Equal(h.old, h.new) {
			return nil, fmt.Errorf("the patch does not apply: %s has %d times\n%s", h.path, n, h.old)
		}
		changed[h.path] = bytes.Replace(text, h.old, h.new, 1)
	}
	return changed, nil
}

const (
	tableBegins = "<!-- The table of `go run ./connector/internal/guards -write`. -->\n"
	tableEnds   = "<!-- Its end. -->\n"
)

// table is that of PROOF.md.
func table(guards []*guard) string {
	var b strings.Builder
	b.WriteString("\n| guard | without it | said by |\n|---|---|---|\n")
	for _, g := range guards {
		fmt.Fprintf(&b, "| [%s](internal/guards/%s.patch) | %s | `%s` in `%s` |\n", g.guard, g.name, g.lost, g.test, strings.TrimPrefix(g.pkg, "./"))
	}
	return b.String() + "\n"
}

// divide gives what stands in a text before the table, the table, and what stands behind it.
func divide(text string) (before, table, behind string, err error) {
	before, rest, begins := strings.Cut(text, tableBegins)
	table, behind, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		return "", "", "", fmt.Errorf("%s lacks %s or %s", proof, strings.TrimSpace(tableBegins), strings.TrimSpace(tableEnds))
	}
	return before + tableBegins, table, tableEnds + behind, nil
}

func writeTable(path string, guards []*guard) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, _, behind, err := divide(string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(before+table(guards)+behind), 0o644)
}
