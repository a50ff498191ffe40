package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../.."

func TestEachGuardCanBeTakenAway(t *testing.T) {
	guards, err := load(root)
	if err != nil || len(guards) == 0 {
		t.Fatalf("%d guards, %v", len(guards), err)
	}
	for _, g := range guards {
		changed, err := g.apply(root)
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
		for path := range changed {
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				t.Errorf("%s changes %s, which no guard stands in", g.name, path)
			}
		}
		if !hasTest(t, g) {
			t.Errorf("%s: %s has no %s", g.name, g.pkg, g.test)
		}
	}
}

// hasTest tells whether a guard's test is there.
func hasTest(t *testing.T, g *guard) bool {
	files, err := filepath.Glob(filepath.Join(root, g.pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(g.test, "/")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

func TestTheProofHasAllGuards(t *testing.T) {
	guards, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, proof))
	if err != nil {
		t.Fatal(err)
	}
	if _, told, _, err := divide(string(text)); err != nil || told != table(guards) {
		t.Errorf("%s has another table than the patches give (%v): go run ./connector/internal/guards -write", proof, err)
	}
}

const head = "guard: a lock\nlost: the horse\ntest: TestHorse\npackage: ./stable\n"

func TestAPatchIsAppliedWhereItsLinesStand(t *testing.T) {
	const before = "a\n\tb\nc\nd\nb\n"
	diff := func(lines string) string { return head + "--- a/stable/door.go\n+++ b/stable/door.go\n" + lines }
	for name, c := range map[string]struct{ patch, want, fails string }{
		"a line goes":         {diff("@@ -1,3 +1,2 @@\n a\n-\tb\n c\n"), "a\nc\nd\nb\n", ""},
		"whatever its number": {diff("@@ -71,3 +81,3 @@\n a\n-\tb\n+\te\n c\n"), "a\n\te\nc\nd\nb\n", ""},
		"two places":          {diff("@@ -1 +1 @@\n-a\n+e\n@@ -3 +3 @@\n-c\n+f\n"), "e\n\tb\nf\nd\nb\n", ""},
		"no such place":       {diff("@@ -1,2 +1 @@\n a\n-c\n"), "", "0 times"},
		"places alike":        {diff("@@ -5 +5,0 @@\n-b\n"), "", "2 times"},
		"nothing changes":     {diff("@@ -1 +1 @@\n a\n"), "", "does not apply"},
		"no diff":             {head, "", "no diff"},
		"no test":             {strings.Replace(diff("@@ -1 +1 @@\n-a\n"), "test", "tset", 1), "", "no line of a head"},
		"no reason":           {strings.Replace(diff("@@ -1 +1 @@\n-a\n"), "lost: the horse\n", "", 1), "", "no lost"},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "stable"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "stable", "door.go"), []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := parse(c.patch)
		var changed map[string][]byte
		if err == nil {
			changed, err = g.apply(dir)
		}
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v, want %q", name, err, c.fails)
		}
		if got := string(changed["stable/door.go"]); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
