//go:build e2e

package e2e

import (
	"fmt"
	"syscall"
	"time"
)

const zombieAtRandom = "zombie: SIGSTOP until others have taken over, then SIGCONT"

// The kinds of incidents of several workers of one group.
var (
	join          = kind{name: "a worker joins", strike: strikeJoin}
	leave         = kind{name: "a worker leaves (SIGTERM)", strike: strikeLeave}
	zombie        = kind{name: zombieAtRandom, strike: strikeZombie}
	zombieAtPoint = kind{name: "zombie at a step", strike: strikeZombieAtPoint, missed: zombieAtRandom}
	stateOfOther  = kind{name: "state.dir of another worker copied over at a kill -9", strike: strikeCopied}
)

// sessionTimeout is the workers' session.timeout.ms: the
// others take over when a worker was not heard of for so long.
const sessionTimeout = 2 * time.Second

// sessionTimeout is longer for a lone worker that is held until its sessions with
// the brokers end: it is still a member then, and goes on with its transaction.
func (s *scene) sessionTimeout() time.Duration {
	if s.class == three && !s.several() {
		return 2 * session
	}
	return sessionTimeout
}

func strikeJoin(s *scene, i *incident) {
	m := s.vacant()
	m.start("")
	s.while(0, 3*time.Second)
	s.struck(i, m, "")
}

func strikeLeave(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	s.struck(i, m, "")
	m.terminate()
	s.lost("SIGTERM")
	s.takenOver(i)
}

// takenOver waits, every other time, until all tenants have been heard of since the incident,
// so that the next one does not come before anybody has taken over; the other times it does.
func (s *scene) takenOver(i *incident) {
	if !s.several() || s.random.IntN(2) == 0 {
		return
	}
	if len(s.up()) == 0 {
		s.pick(s.members).start("")
	}
	err := await(s.Context(), "the others to take over", 30*time.Second, func() error {
		for _, t := range s.tenants {
			if _, ok := s.watch.firstAfter(i.at, s.topicsOf(t)); !ok {
				return fmt.Errorf("no record of %s since", t.name)
			}
		}
		return nil
	})
	if err != nil {
		s.fault("%v", err)
	}
}

func strikeZombie(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	s.struck(i, m, "")
	s.haunt(m)
}

// haunt stops a worker until the others have its shards, and lets it go on.
func (s *scene) haunt(m *actor) {
	m.signal(syscall.SIGSTOP)
	if len(s.up()) < 2 { // somebody must be there to take over
		s.pick(s.down()).start("")
	}
	s.while(2*sessionTimeout, 2*sessionTimeout+time.Second)
	m.signal(syscall.SIGCONT)
	s.while(300*time.Millisecond, time.Second)
}

// strikeZombieAtPoint starts a worker that stops itself at a
// point. If it does not come there, it is stopped all the same.
func strikeZombieAtPoint(s *scene, i *incident) {
	m := s.vacant()
	m.start(fmt.Sprintf("%s:%s@%d=stop", i.point, i.side, countFor(s.random, i.point, i.aim)))
	i.atRandom = await(s.Context(), "the worker to stop", 6*time.Second, func() error {
		if !m.stopped() {
			return fmt.Errorf("it has not come to %s", i.point)
		}
		return nil
	}) != nil
	s.struck(i, m, "")
	s.haunt(m)
	if i.atRandom {
		m.kill() // or it would stop when it comes there in the end
	}
}

func strikeCopied(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	m.kill()
	s.struck(i, m, "kill -9")
	if up := s.up(); len(up) > 0 {
		replace(s, s.pick(up).state, m.state)
	}
	m.start("")
}
