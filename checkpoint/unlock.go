//go:build !windows

package checkpoint

import (
	"os"
	"syscall"
)

// unlock takes bbolt's lock from a file and closes it. Closing alone does not: where the file is mapped,
// which nobody can undo any more, what holds the lock lives on.
func unlock(file *os.File) {
	_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
	_ = file.Close()
}
