package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Places that refuse root too.
func TestOpenTellsOfAPlaceThatTakesNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	if err := os.Symlink("/dev/full", full); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a folder that takes no folder":     "/proc/coupastream/shard-0.db",
		"a file system that is read-only":   "/sys/coupastream/shard-0.db",
		"a file that is read-only":          "/proc/sys/kernel/ostype",
		"a new file on a disk that is full": full,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(path, testIdentity())
			if !errors.Is(err, ErrPlace) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "state.dir needs a writable disk") {
				t.Errorf("got %v", err)
			}
		})
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}
