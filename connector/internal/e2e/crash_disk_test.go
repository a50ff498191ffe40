//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// disk is below a state.dir and can be full.
type disk interface {
	fill(s *scene, m *actor)
	heal(s *scene, m *actor)
}

// newDisk mounts a small file system at dir. Where that is not
// allowed, files of the worker are kept from growing instead.
func newDisk(s *scene, dir string) disk {
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m")
	if err != nil {
		s.Logf("no file system can be mounted (%v): a full disk is a limit on the size of files", err)
		return fileLimit{}
	}
	s.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // after the processes have ended
	return smallDisk(filepath.Join(dir, "ballast"))
}

// smallDisk is filled with a file.
type smallDisk string

func (d smallDisk) fill(s *scene, _ *actor) {
	f, err := os.OpenFile(string(d), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4 << 10} {
		block := make([]byte, size)
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			s.Fatalf("filling the disk: %v", err)
		}
	}
}

func (d smallDisk) heal(s *scene, _ *actor) {
	if err := os.Remove(string(d)); err != nil {
		s.Fatal(err)
	}
}

// fileLimit is RLIMIT_FSIZE of a process that runs: its files grow no more.
type fileLimit struct{}

func (fileLimit) fill(s *scene, m *actor) {
	if !m.up() {
		return
	}
	largest := int64(0)
	_ = filepath.WalkDir(m.state, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			largest = max(largest, info.Size())
		}
		return nil
	})
	limit(s, m, fmt.Sprint(largest))
}

func (fileLimit) heal(s *scene, m *actor) {
	if m.up() {
		limit(s, m, "unlimited")
	}
}

func limit(s *scene, m *actor, size string) {
	cmd := exec.Command("prlimit", "--pid", fmt.Sprint(m.cmd.Process.Pid), "--fsize="+size+":unlimited")
	if out, err := cmd.CombinedOutput(); err != nil && m.running() {
		s.Fatalf("prlimit: %v: %s", err, out)
	}
}
