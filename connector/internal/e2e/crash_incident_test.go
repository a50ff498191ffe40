//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

const atRandom = "kill -9 at a random moment"

// The kinds of incidents of a single worker.
var (
	killAtPoint  = kind{name: "kill -9 at a step", strike: strikeAtPoint, missed: atRandom}
	killAtRandom = kind{name: atRandom, strike: strikeAtRandom}
	terminate    = kind{name: "SIGTERM", strike: strikeTerminate}
	freeze       = kind{name: "SIGSTOP, then SIGCONT", strike: strikeFreeze}
	stateDeleted = kind{name: "state.dir deleted at a kill -9", strike: strikeDeleted}
	stateOlder   = kind{name: "state.dir replaced by an older copy at a kill -9", strike: strikeOlder}
	stateForeign = kind{name: "state.dir of another group put in its place at a kill -9", strike: strikeForeign}
	stateCorrupt = kind{name: "a state file damaged at a kill -9", strike: strikeCorrupt}
	diskFull     = kind{name: "the disk of state.dir full for a while", strike: strikeDiskFull}
	coupaFault   = kind{name: "Coupa", strike: strikeCoupa}
	coupaAway    = kind{name: "Coupa: stopped for a while", strike: strikeAway}
)

func coupaFaults() []string {
	return []string{
		"throttle", "unavailable", "html", "error", "login", "reset", "truncate", "hang", "hang-body", "redirect", "unauthorized",
		"web-403", "web-404", "web-504", "bom", "blanks", "endless-row", "drip",
	}
}

// strikeAtPoint starts a worker that kills itself at a point.
// If it does not come there, it is killed all the same.
func strikeAtPoint(s *scene, i *incident) {
	m := s.vacant()
	m.start(fmt.Sprintf("%s:%s@%d=kill", i.point, i.side, countFor(s.random, i.point, i.aim)))
	if !m.killedWithin(5 * time.Second) {
		i.atRandom = true
		m.kill()
	}
	s.struck(i, m, "kill -9")
	s.takenOver(i)
}

func strikeAtRandom(s *scene, i *incident) {
	s.strikeAt(i)
	s.takenOver(i)
}

// strikeAt kills a worker at a moment and gives it back.
func (s *scene) strikeAt(i *incident) *actor {
	var m *actor
	if i.aim == starting {
		m = s.vacant()
		m.start("")
		s.while(20*time.Millisecond, 700*time.Millisecond)
	} else {
		m = s.worker()
		s.moment(i)
	}
	s.supervise()
	m.kill()
	s.struck(i, m, "kill -9")
	return m
}

func strikeTerminate(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	s.struck(i, m, "")
	m.terminate()
	s.lost("SIGTERM")
}

func strikeFreeze(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	s.struck(i, m, "")
	m.signal(syscall.SIGSTOP)
	s.while(500*time.Millisecond, 3*time.Second)
	m.signal(syscall.SIGCONT)
}

func strikeDeleted(s *scene, i *incident) {
	m := s.strikeAt(i)
	empty(s, m.state)
}

// strikeOlder kills twice: the copy is what the first left.
func strikeOlder(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	m.kill()
	old := filepath.Join(s.dir, "older")
	replace(s, m.state, old)
	m.start("")
	m.awaitRestored()
	s.moment(i)
	m.kill()
	s.struck(i, m, "kill -9")
	replace(s, old, m.state)
}

// strikeForeign puts the files of another group, which read
// the same tenant, where a worker looks for its own.
func strikeForeign(s *scene, i *incident) {
	m := s.strikeAt(i)
	stranger := s.stranger(m)
	files, err := filepath.Glob(filepath.Join(stranger, "*", "*.db"))
	own, err2 := filepath.Glob(filepath.Join(m.state, "*", "*.db"))
	if err != nil || err2 != nil || len(files) == 0 {
		s.Fatalf("the other group left no state in %s: %v", stranger, err)
	}
	for _, path := range own {
		data, err := os.ReadFile(files[0])
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			s.Fatal(err)
		}
	}
}

// stranger runs a worker of another group for as long as it takes to have a state, and gives its state.dir.
func (s *scene) stranger(m *actor) string {
	dir := filepath.Join(s.dir, "stranger")
	state := dir + "-state"
	if _, err := os.Stat(state); err == nil {
		return state
	}
	other := &actor{scene: s, name: "stranger", state: state, logs: dir}
	worker := altered(s, m.args[1], dir+"-worker.json", func(c map[string]any) {
		c["group.id"], c["state.dir"] = s.group+"-stranger", state
		delete(c, "group.instance.id")
	})
	connector := altered(s, m.args[2], dir+"-connector.json", func(c map[string]any) {
		c["config"].(map[string]any)["topic.template"] = "${tenant}.stranger.${object}"
	})
	other.args = []string{"run", worker, connector}
	other.start("")
	other.awaitRestored()
	if err := await(s.Context(), "the other group's state", 10*time.Second, func() error {
		if !other.said("shard restored") {
			return errors.New("not yet")
		}
		files, _ := filepath.Glob(filepath.Join(state, "*", "*.db"))
		if len(files) == 0 {
			return errors.New("no file in " + state)
		}
		return nil
	}); err != nil {
		s.fault("%v", err)
	}
	s.while(500*time.Millisecond, time.Second)
	other.kill()
	return state
}

// altered writes a changed copy of a JSON file and gives its path.
func altered(s *scene, from, to string, change func(map[string]any)) string {
	data, err := os.ReadFile(from)
	content := map[string]any{}
	if err == nil {
		err = json.Unmarshal(data, &content)
	}
	if err != nil {
		s.Fatal(err)
	}
	change(content)
	write(s, to, content)
	return to
}

// strikeCorrupt overwrites a stretch of a state file, or cuts the file.
func strikeCorrupt(s *scene, i *incident) {
	m := s.strikeAt(i)
	files, err := filepath.Glob(filepath.Join(m.state, "*", "*.db"))
	if err != nil || len(files) == 0 {
		i.note = "there was no file yet"
		return
	}
	path := files[s.random.IntN(len(files))]
	if err := damage(s.random, path); err != nil {
		s.Fatal(err)
	}
}

func damage(random *rand.Rand, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	from := random.Int64N(info.Size())
	if random.IntN(5) == 0 {
		return f.Truncate(from)
	}
	bytes := make([]byte, 1<<random.IntN(14))
	if random.IntN(4) > 0 { // else zeros, as a file system may leave them
		for k := range bytes {
			bytes[k] = byte(random.Uint32())
		}
	}
	_, err = f.WriteAt(bytes, from)
	return err
}

// strikeDiskFull fills the disk below a worker that runs or that starts.
// The worker may end then, and is started again when there is room.
func strikeDiskFull(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	s.struck(i, m, "")
	s.disk.fill(s, m)
	if s.random.IntN(2) == 0 {
		m.kill()
		empty(s, m.state)
		s.disk.fill(s, m)
		m.start("")
	}
	s.while(500*time.Millisecond, 2*time.Second)
	s.disk.heal(s, m)
	if !m.running() {
		if status := m.cmd.ProcessState.ExitCode(); status != 1 || !m.said("state.dir") {
			s.fault("a full disk: %s ended with status %d, want 1 and a word on state.dir\n%s", m.name, status, tail(m.stderr, 5))
		}
		i.note = "the worker ended"
		m.start("")
	}
}

// strikeCoupa makes some requests go wrong in one way.
func strikeCoupa(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	s.struck(i, m, "")
	fault := coupatest.Fault{Kind: coupatest.FaultKind(i.detail), Count: 1 + s.random.IntN(3), After: s.random.IntN(3)}
	if s.random.IntN(3) == 0 {
		fault.RetryAfter = time.Second
	}
	switch fault.Kind {
	case coupatest.Blanks:
		fault.Bytes = 512 << 10 // as many as are read over
	case coupatest.EndlessRow:
		fault.Count = 1 // a page that has one twice stops its object, until somebody looks
	}
	s.tenants[0].answer(s, fault)
	s.while(300*time.Millisecond, time.Second)
}

func strikeAway(s *scene, i *incident) {
	m := s.worker()
	s.moment(i)
	s.struck(i, m, "")
	s.tenants[0].signal(syscall.SIGSTOP)
	s.while(500*time.Millisecond, 3*time.Second)
	s.tenants[0].signal(syscall.SIGCONT)
}

// empty removes what is in a folder; the folder itself may be where a disk is mounted.
func empty(s *scene, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			s.Fatal(err)
		}
	}
}

// replace makes the folder to a copy of from. Files that come and
// go meanwhile are passed over, as `cp -r` of a live folder may.
func replace(s *scene, from, to string) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		s.Fatal(err)
	}
	empty(s, to)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		rel, err2 := filepath.Rel(from, path)
		switch {
		case err != nil || err2 != nil:
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	})
	if err != nil {
		s.Fatal(err)
	}
}
