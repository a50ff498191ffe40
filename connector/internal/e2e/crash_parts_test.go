//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The kinds of incidents of broker and registry. No other scene runs meanwhile.
var (
	brokerKilled          = kind{name: "broker: kill -9, then started again", strike: strikeBroker}
	brokerAndWorkerKilled = kind{name: "broker and worker: kill -9 of both", strike: strikeBoth}
	brokerFrozen          = kind{name: "broker: SIGSTOP, then SIGCONT", strike: strikeBrokerFrozen}
	registryKilled        = kind{name: "registry: kill -9, then started again", strike: strikeRegistry}
)

// rig has kafka.sh do something; the scene can't go on without.
func (s *scene) rig(verb string, brokers ...string) {
	s.Helper()
	if err := s.p.rig(verb, brokers...); err != nil {
		s.Fatalf("kafka.sh %s: %v", verb, err)
	}
}

// goesOn waits for a record that is younger than this moment. Three
// brokers take longer than one to agree on who leads what.
func (s *scene) goesOn(after string) {
	s.Helper()
	begun := time.Now()
	err := await(s.Context(), "a record", s.patience(), func() error {
		s.supervise()
		return s.watch.since(begun)
	})
	if err != nil {
		s.fault("after %s: %v", after, err)
	}
}

func strikeBroker(s *scene, i *incident) {
	m := s.beginning(i)
	s.struck(i, m, "")
	s.rig("kill-broker")
	s.while(0, 2*time.Second)
	s.rig("start-broker")
	s.goesOn("the broker was killed")
}

// beginning gives a worker in the situation that is aimed at: for starting, one that has just been started.
func (s *scene) beginning(i *incident) *actor {
	if i.aim != starting {
		m := s.worker()
		s.moment(i)
		return m
	}
	m := s.vacant()
	m.start("")
	s.while(0, 400*time.Millisecond)
	return m
}

func strikeBoth(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	s.struck(i, m, "")
	s.rig("kill-broker")
	s.while(0, 300*time.Millisecond)
	m.kill()
	if s.random.IntN(2) == 0 { // the worker comes back first
		m.start("")
		s.while(0, time.Second)
	}
	s.rig("start-broker")
	if !m.running() {
		m.start("")
	}
	s.goesOn("broker and worker were killed")
}

// strikeBrokerFrozen stops the broker for less or more than its session with the controller lasts.
func strikeBrokerFrozen(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	s.struck(i, m, "")
	broker := s.pid("broker")
	_ = syscall.Kill(broker, syscall.SIGSTOP)
	s.while(500*time.Millisecond, 5*time.Second)
	_ = syscall.Kill(broker, syscall.SIGCONT)
	s.goesOn("the broker was stopped")
}

func (s *scene) pid(part string) int {
	text, err := os.ReadFile(filepath.Join(s.p.rigDir, part+".pid"))
	if err != nil {
		s.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		s.Fatal(fmt.Errorf("%s.pid: %w", part, err))
	}
	return pid
}

// strikeRegistry kills the registry below a worker that streams, or before one starts.
func strikeRegistry(s *scene, i *incident) {
	var m *actor
	if i.aim == starting {
		m = s.vacant()
		s.rig("kill-registry")
		m.start("")
		s.while(0, time.Second)
		s.struck(i, m, "")
	} else {
		m = s.worker()
		s.moment(i)
		s.struck(i, m, "")
		s.rig("kill-registry")
	}
	s.while(0, time.Second)
	s.rig("start-registry")
	s.goesOn("the registry was killed")
}
