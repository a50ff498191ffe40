//go:build linux || darwin

package preflight

import "syscall"

// freeBytes is how much this user may still write where a folder is.
func freeBytes(folder string) (uint64, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true
}
