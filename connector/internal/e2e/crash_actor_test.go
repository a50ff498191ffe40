//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// actor is one worker of a scene: a state.dir of its own, one
// process after the other. Its log is that of all of them.
type actor struct {
	*process
	scene *scene
	name  string
	state string   // state.dir
	args  []string // its worker file and all connector files
	logs  string
	url   string // of its REST API
	from  int64  // where the log of the process that runs now begins
}

// actor writes the worker file of another worker.
func (s *scene) actor(connectors []string) *actor {
	s.Helper()
	name := fmt.Sprintf("worker-%d", len(s.members))
	m := &actor{scene: s, name: name, state: filepath.Join(s.dir, name+"-state"), logs: filepath.Join(s.dir, name),
		url: fmt.Sprintf("http://127.0.0.1:%d", freePort(s))}
	if err := os.MkdirAll(m.state, 0o755); err != nil {
		s.Fatal(err)
	}
	settings := map[string]string{
		"bootstrap.servers":           s.bootstrap(),
		"schema.registry.url":         s.registry(),
		"group.id":                    s.group,
		"state.dir":                   m.state,
		"session.timeout.ms":          fmt.Sprint(s.sessionTimeout().Milliseconds()),
		"heartbeat.interval.ms":       "400",
		"listeners":                   m.url,
		"checkpoint.topic.partitions": fmt.Sprint(s.partitions()),
	}
	maps.Copy(settings, s.login())
	if s.rings() {
		settings["hooks.enabled"], settings["rest.auth.file"] = "true", s.accounts
	}
	if s.static() {
		settings["group.instance.id"] = name
	}
	path := m.logs + ".json"
	write(s, path, settings)
	m.args = append([]string{"run", path}, connectors...)
	s.members = append(s.members, m)
	return m
}

// start runs it, with points armed as package failpoint spells them; "" for none.
func (m *actor) start(points string) {
	m.scene.Helper()
	m.from = 0
	if info, err := os.Stat(m.logs + ".err"); err == nil {
		m.from = info.Size()
	}
	m.process = launchWith(m.scene, append(m.scene.secrets(), "COUPASTREAM_FAILPOINTS="+points, "COUPASTREAM_TOKEN_HOLD=1ms"), m.logs, m.scene.p.binary, m.args...)
	m.scene.tally.add(func(t *tally) { t.starts++ })
}

// up tells whether it has a process that runs.
func (m *actor) up() bool { return m.process != nil && m.running() }

// said tells whether the process that was started last has logged a text.
func (m *actor) said(text string) bool {
	f, err := os.Open(m.logs + ".err")
	if err != nil {
		return false
	}
	defer f.Close()
	log, err := io.ReadAll(io.NewSectionReader(f, m.from, 64<<20))
	return err == nil && strings.Contains(string(log), text)
}

// restored tells whether it owned a shard, and had restored it.
func (m *actor) restored() bool { return m.said("shard restored") }

// awaitRestored waits until it owns a shard. A member of several need not get one.
func (m *actor) awaitRestored() {
	m.scene.Helper()
	err := await(m.scene.Context(), m.name+" to restore its shards", 30*time.Second, func() error {
		if !m.running() {
			return fmt.Errorf("%w: %s", errEnded, tail(m.stderr, 3))
		}
		if !m.restored() {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil {
		m.scene.fault("%v", err)
	}
}

// killedWithin waits for the process to be ended by a kill -9 of its own making. Any other end is a fault.
func (m *actor) killedWithin(d time.Duration) bool {
	m.scene.Helper()
	if _, err := m.wait(d); err != nil {
		return false
	}
	if status, ok := m.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL && !m.scene.excused(m) {
		m.scene.fault("%s ended by itself: %v\n%s", m.name, m.cmd.ProcessState, tail(m.stderr, 5))
	}
	return true
}

// terminate is SIGTERM. The process must end by itself, with
// status 0, within the five seconds that are promised.
func (m *actor) terminate() {
	m.scene.Helper()
	_ = await(m.scene.Context(), m.name+" to begin", 5*time.Second, func() error {
		// before that, the Go runtime has not asked for signals
		if m.running() && !m.said("worker starting") {
			return errors.New("not yet")
		}
		return nil
	})
	begun := time.Now()
	m.signal(syscall.SIGTERM)
	status, err := m.wait(20 * time.Second)
	switch took := time.Since(begun).Round(time.Millisecond); {
	case err != nil:
		m.scene.fault("SIGTERM: %s: %v", m.name, err)
		m.kill()
	case status != 0 && !m.scene.excused(m) || took > 5*time.Second:
		m.scene.fault("SIGTERM: %s ended after %v with status %d, want 0 within 5s\n%s", m.name, took, status, tail(m.stderr, 5))
	}
}

// stopped tells whether the process is stopped by SIGSTOP, by the third field of Linux's /proc/…/stat.
func (p *process) stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	_, after, found := strings.Cut(string(stat), ") ")
	return err == nil && found && strings.HasPrefix(after, "T")
}
