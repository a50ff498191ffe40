package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// house has two rooms. In the upper one main.go uses step.go and leaf.go, step.go uses leaf.go, and leaf.go
// has one arrow back to main.go, by a field. The lower room is used once.
var house = map[string]string{
	"go.mod": "module made.up/house\n\ngo 1.26\n",
	"doc.go": "// Package house: leaf.go, step.go, main.go.\npackage house\n",
	"main.go": `package house

import "made.up/house/cellar"

type Main struct{ depth int }

func (m *Main) Run() int { return step(m) + leaf(m) + cellar.Depth }
`,
	"step.go": `package house

func step(m *Main) int { local := leaf(m); return local }
`,
	"leaf.go": `package house

func leaf(m interface{ Run() int }) int {
	if m, ok := m.(*Main); ok {
		return m.depth
	}
	return step(nil)
}
`,
	"main_test.go":    "package house\n\nvar _ = leaf\n",
	"cellar/depth.go": "package cellar\n\nconst Depth = 1\n",
}

// chdir writes the house and goes there.
func chdir(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range house {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func TestArrows(t *testing.T) {
	chdir(t)
	rooms, err := load([]string{"./..."})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(rooms, func(r *room) bool { return len(r.files) == 4 })
	if i < 0 || len(rooms) != 2 {
		t.Fatalf("%d rooms, and the one of four files is number %d", len(rooms), i)
	}
	got := map[string]string{}
	for a, uses := range rooms[i].arrows {
		got[a.from+" "+a.to] = strings.Join(slices.Sorted(maps.Keys(uses)), " ")
	}
	want := map[string]string{
		"main.go step.go": "step", "main.go leaf.go": "leaf", "step.go leaf.go": "leaf",
		"step.go main.go": "Main", "leaf.go main.go": "Main depth", "leaf.go step.go": "step",
	}
	if !maps.Equal(got, want) {
		t.Errorf("arrows %v, want %v", got, want)
	}
	if rooms[i].out != 1 {
		t.Errorf("%d arrows to other rooms, want 1", rooms[i].out)
	}
}

func TestReport(t *testing.T) {
	chdir(t)
	for named, want := range map[string][]string{
		"":       {"files lines arrows circles upward floors out room", "4 20 6 6 3 3 1 made.up/house"},
		"doc.go": {"4 20 6 6 3 3 1 made.up/house", "made.up/house: leaf.go step.go main.go doc.go", "main.go → leaf.go: leaf", "1 3 0 0 0 1 0 cellar"},
	} {
		rooms, err := load([]string{"./..."})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := report(&out, rooms, named, true); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(out.String()) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		for _, line := range want {
			if !slices.Contains(lines, line) {
				t.Errorf("-map %q: no line %q in\n%s", named, line, out.String())
			}
		}
	}
}

// TestFewestUpward has a chain whose files are named against it, with two short cuts and one arrow back.
func TestFewestUpward(t *testing.T) {
	r := &room{files: []string{"a", "b", "c", "d", "e"}, arrows: map[arrow]map[string]bool{}}
	for _, a := range []arrow{{"e", "d"}, {"d", "c"}, {"c", "b"}, {"b", "a"}, {"e", "c"}, {"c", "a"}, {"a", "e"}} {
		r.arrows[a] = map[string]bool{}
	}
	order := fewestUpward(r)
	p := planOf(r, order)
	if strings.Join(order, "") != "edcba" || !slices.Equal(p.upward, []arrow{{"a", "e"}}) || p.circles != 7 || p.floors != 5 {
		t.Errorf("order %v, upward %v, circles %d, floors %d", order, p.upward, p.circles, p.floors)
	}
	if p := planOf(r, r.files); len(p.upward) != 6 || p.floors != 2 {
		t.Errorf("as they are named: upward %v, floors %d", p.upward, p.floors)
	}
}
