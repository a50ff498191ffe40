//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a child in the background. Its output goes to a
// file; the end of that file is shown when a test fails.
type process struct {
	cmd    *exec.Cmd
	stdout string // paths
	stderr string
	done   chan struct{} // closed when it has ended
}

// launch starts a child that ends with the test at the latest, also when the test itself is killed.
func launch(tb testing.TB, logs, name string, args ...string) *process {
	tb.Helper()
	return launchWith(tb, nil, logs, name, args...)
}

// launchWith is launch with additions to the environment.
func launchWith(tb testing.TB, env []string, logs, name string, args ...string) *process {
	tb.Helper()
	_, err := os.Stat(logs + ".err")
	first := err != nil // of the processes that write to this log
	p := &process{cmd: exec.Command(name, args...), stdout: logs + ".out", stderr: logs + ".err", done: make(chan struct{})}
	out, err := os.OpenFile(p.stdout, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		tb.Fatal(err)
	}
	defer out.Close()
	errs, err := os.OpenFile(p.stderr, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		tb.Fatal(err)
	}
	defer errs.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, errs
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit status is in cmd.ProcessState
		close(p.done)
	}()
	tb.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		if tb.Failed() && first {
			tb.Logf("end of %s:\n%s", p.stderr, tail(p.stderr, 15))
		}
	})
	return p
}

// signal sends s and does not mind a process that has ended.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(s)
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// wait gives the exit status, or an error when the process still runs after d.
func (p *process) wait(d time.Duration) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(d):
		return 0, fmt.Errorf("%s still runs after %v", p.cmd.Args[1], d)
	}
}

// running tells whether it has not ended.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// usage is what a process has used since it began.
type usage struct {
	cpu      time.Duration // user and system
	peak     int64         // bytes: the most that was resident at once
	resident int64         // bytes, now
}

// usage reads Linux's /proc, whose CPU times count in hundredths of a second.
func (p *process) usage(tb testing.TB) usage {
	tb.Helper()
	proc := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	stat, err := os.ReadFile(proc + "stat")
	status, err2 := os.ReadFile(proc + "status")
	if err := errors.Join(err, err2); err != nil {
		tb.Fatalf("reading what the process used: %v", err)
	}
	// The second field is the name in brackets, which may hold
	// blanks; utime and stime are the 12th and 13th after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	utime, err := strconv.Atoi(fields[11])
	stime, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err, err2); err != nil {
		tb.Fatalf("reading %sstat: %v", proc, err)
	}
	u := usage{cpu: time.Duration(utime+stime) * 10 * time.Millisecond}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			u.peak = kib << 10
		}
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			u.resident = kib << 10
		}
	}
	return u
}

// tail gives the last lines of a file.
func tail(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// errEnded ends an await: the process that it waits for is gone.
var errEnded = errors.New("the process has ended")

// await asks again every tenth of a second until cond holds.
// An error of cond is the reason shown at the deadline.
func await(ctx context.Context, what string, d time.Duration, cond func() error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return nil
		}
		if errors.Is(err, errEnded) {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s: %w", d, what, err)
		case <-tick.C:
		}
	}
}
