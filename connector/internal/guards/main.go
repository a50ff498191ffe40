// Command guards takes each guard of the core away, alone, and sees that a test says so: `make guards`.
//
// A guard is a patch file beside this one, NAME.patch. It begins with what stands in the table of PROOF.md:
//
//	guard:   what it is
//	lost:    what comes of its absence
//	test:    the test that fails then, and that alone is run
//	package: the test's, as ./connector/shard
//
// and goes on with the diff, as `git diff -U2` writes it. A patch is applied to a copy: the build sees the
// changed files in place of the tree's (go test -overlay), so that several go on side by side and nothing
// is left behind. It counts if the diff applies, the code compiles, and the test fails by itself within a
// minute; and if the same test passes with the guard.
//
// Where a hunk belongs is told by its lines, which have to stand in the file once. Its line numbers do not
// count, which any change above moves.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	patches = "connector/internal/guards"
	proof   = "connector/PROOF.md"
)

func main() {
	write := flag.Bool("write", false, "write the table of "+proof+", and run nothing")
	jobs := flag.Int("jobs", runtime.NumCPU(), "how many go on side by side")
	within := flag.Duration("within", time.Minute, "how long a test may take to fail")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "guards [-write] [-jobs N] [-within TIME] [NAME...] in the root of the tree; without names, all")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(os.Stdout, *write, *jobs, *within, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "guards:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, write bool, jobs int, within time.Duration, names []string) error {
	guards, err := load(".")
	if err != nil {
		return err
	}
	if write {
		return writeTable(proof, guards)
	}
	if len(names) > 0 {
		guards = slices.DeleteFunc(guards, func(g *guard) bool { return !slices.Contains(names, g.name) })
	}
	if len(guards) < max(1, len(names)) {
		return fmt.Errorf("%s has no patches for all of the names %q", patches, names)
	}
	began := time.Now()
	if err := pass(guards, within); err != nil {
		return fmt.Errorf("with all guards in place: %w", err)
	}
	fmt.Fprintf(out, "%5.0f s  all tests pass with all guards in place\n", time.Since(began).Seconds())

	var mu sync.Mutex
	var unnoticed []string
	var running sync.WaitGroup
	next := make(chan *guard)
	for range max(1, jobs) {
		running.Go(func() {
			for g := range next {
				began := time.Now()
				err := g.isMissed(within)
				mu.Lock()
				fmt.Fprintf(out, "%5.0f s  %-24s %s\n", time.Since(began).Seconds(), g.name, cmp.Or(complaint(err), g.test+" fails"))
				if err != nil {
					unnoticed = append(unnoticed, g.name)
				}
				mu.Unlock()
			}
		})
	}
	for _, g := range guards {
		next <- g
	}
	close(next)
	running.Wait()
	if len(unnoticed) > 0 {
		slices.Sort(unnoticed)
		return fmt.Errorf("of %d guards, nothing shows that these are missed: %s", len(guards), strings.Join(unnoticed, " "))
	}
	fmt.Fprintf(out, "%d guards, each missed by its test, in %.0f s\n", len(guards), time.Since(began).Seconds())
	return nil
}

func complaint(err error) string {
	if err == nil {
		return ""
	}
	return "NOT MISSED: " + err.Error()
}

// pass runs the tests of all guards, with the guards in place.
func pass(guards []*guard, within time.Duration) error {
	var tests, packages []string
	for _, g := range guards {
		top, _, _ := strings.Cut(g.test, "/")
		tests, packages = append(tests, regexp.QuoteMeta(top)), append(packages, g.pkg)
	}
	slices.Sort(packages)
	told, err := goTest("^("+strings.Join(tests, "|")+")$", 10*within, "", slices.Compact(packages)...)
	if err != nil {
		return err
	}
	for _, g := range guards {
		if outcome := told.outcomes[g.test]; outcome != "pass" {
			return fmt.Errorf("%s of %s: %s\n%s", g.test, g.pkg, cmp.Or(outcome, "no such test has run"), told.output)
		}
	}
	return nil
}

// isMissed takes the guard away and runs its test; nil: that has failed.
func (g *guard) isMissed(within time.Duration) error {
	dir, err := os.MkdirTemp("", "guard-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	changed, err := g.apply(".")
	if err != nil {
		return err
	}
	replace := map[string]string{}
	for path, text := range changed {
		in, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		replace[in] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[in], text, 0o600); err != nil {
			return err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	at := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(at, overlay, 0o600); err != nil {
		return err
	}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(g.test), "/", "$/^") + "$"
	told, err := goTest(pattern, within, at, g.pkg)
	switch outcome := told.outcomes[g.test]; {
	case told.endless:
		return fmt.Errorf("%s does not end within %v", g.test, within)
	case err != nil:
		return err
	case outcome == "":
		return fmt.Errorf("%s has not run", g.test)
	case outcome != "fail":
		return fmt.Errorf("%s: %s", g.test, outcome)
	}
	return nil
}

// telling is what a run of go test told.
type telling struct {
	outcomes map[string]string // of tests: pass, fail or skip
	endless  bool              // the time was over
	output   string
}

// goTest runs tests. The error is of the build, or of go test itself.
func goTest(pattern string, within time.Duration, overlay string, packages ...string) (telling, error) {
	args := []string{"test", "-json", "-vet=off", "-count=1", "-timeout=" + within.String(), "-overlay=" + overlay, "-run=" + pattern}
	cmd := exec.Command("go", append(args, packages...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return telling{}, err
	}
	told := telling{outcomes: map[string]string{}}
	broken := ""
	for events := json.NewDecoder(bytes.NewReader(out)); events.More(); {
		var event struct{ Action, Test, Output, FailedBuild string }
		if err := events.Decode(&event); err != nil {
			return told, fmt.Errorf("what go test said: %w", err)
		}
		told.output += event.Output
		told.endless = told.endless || strings.Contains(event.Output, "panic: test timed out")
		broken = cmp.Or(broken, event.FailedBuild)
		if event.Test != "" && slices.Contains([]string{"pass", "fail", "skip"}, event.Action) {
			told.outcomes[event.Test] = event.Action
		}
	}
	switch {
	case broken != "":
		return told, fmt.Errorf("%s does not compile:\n%s", broken, told.output)
	case err != nil && len(told.outcomes) == 0:
		return told, fmt.Errorf("go test: %w\n%s%s", err, told.output, &stderr)
	}
	return told, nil
}
