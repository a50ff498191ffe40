//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tutorial's commands run as they stand, each terminal in a shell of its own, and print what it says.
// Ports alone are others, as those of the text may be taken. What only shows something is tried until it is
// there, as a reader does.
func TestTheTutorialHolds(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil || testing.Short() {
		t.Skip("needs curl, and half a minute")
	}
	t.Parallel()
	text, err := os.ReadFile("../../deploy/TUTORIAL.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", programEnv, os.Args[0])
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "coupastream"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	ports := strings.NewReplacer(freePorts(t, "9092", "8081", "8083", "8084", "8090")...)
	dev := ports.Replace(" --kafka-port 9092 --registry-port 8081 --rest-port 8083 --coupa-port 8090")
	terminals := map[string]*terminal{}
	var last *terminal
	var command string
	for _, block := range regexp.MustCompile("(?ms)^```(sh|text)(.*?)\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
		kind, which, body := block[1], strings.TrimSpace(block[2]), ports.Replace(block[3])
		if terminals[which] == nil {
			terminals[which] = newTerminal(t, dir, ports.Replace("http://127.0.0.1:8083"))
		}
		if kind == "sh" {
			last, command = terminals[which], strings.Replace(body, "coupastream dev", "coupastream dev"+dev, 1)
			last.run(command)
			continue
		}
		terminals[which].await(t, body, func() {
			if terminals[which] == last && which == "" {
				last.run(command)
			}
		})
	}
}

// terminal is a shell, and all that was printed there.
type terminal struct {
	in   *os.File
	mu   sync.Mutex
	out  bytes.Buffer
	more chan struct{} // a signal: something was printed
}

func newTerminal(t *testing.T, dir, worker string) *terminal {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &terminal{in: w, more: make(chan struct{}, 1)}
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, r, s, s
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "COUPASTREAM_URL="+worker, "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it runs ends with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.Close()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = r.Close()
		if t.Failed() {
			t.Logf("a terminal:\n%s", s.printed())
		}
	})
	return s
}

func (s *terminal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Write(p)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *terminal) printed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func (s *terminal) run(command string) { _, _ = s.in.WriteString(command) }

// await waits until what was printed holds the lines of a text, in this order; again runs the command again.
func (s *terminal) await(t *testing.T, lines string, again func()) {
	t.Helper()
	want := patternOf(lines)
	end, tick := time.After(2*time.Minute), time.NewTicker(2*time.Second)
	defer tick.Stop()
	for !want.MatchString(s.printed()) {
		select {
		case <-s.more:
		case <-tick.C:
			again()
		case <-end:
			t.Fatalf("the tutorial says\n%s", lines)
		}
	}
}

// patternOf is what a text of the tutorial stands for: … is anything, of a line or of lines.
func patternOf(lines string) *regexp.Regexp {
	var parts []string
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "…" || line == "" {
			continue
		}
		quoted := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
		parts = append(parts, regexp.MustCompile(` +`).ReplaceAllString(quoted, " +"))
	}
	return regexp.MustCompile("(?m)^ *" + strings.Join(parts, ".*\n(?:.*\n)*? *"))
}

// freePorts gives, for each port, another one that is free, as strings.NewReplacer wants them.
func freePorts(t *testing.T, ports ...string) (pairs []string) {
	t.Helper()
	for _, port := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, other, _ := net.SplitHostPort(l.Addr().String())
		pairs = append(pairs, port, other)
	}
	return pairs
}
