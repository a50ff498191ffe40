package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("another process uses this state.dir: stop it, or give this one a state.dir of its own")

const (
	lockWait    = 2 * time.Second // a forerunner that is just closing gets this long
	asidesKept  = 2               // older files that were set aside are removed
	compactFrom = 1 << 20         // bytes; a smaller file is not worth compacting
	asideInfix  = ".aside-"
)

// unusable is a file that has to be set aside.
type unusable struct{ reason string }

func (u *unusable) Error() string { return u.reason }

func unusablef(format string, args ...any) error {
	return &unusable{fmt.Sprintf(format, args...)}
}

// load opens the file at path, checks all of it and lays it out where it is new. The error is
// *unusable where the file should be set aside, anything else where the place is at fault.
func load(path string, id Identity, maxSize int) (*bbolt.DB, counts, error) {
	db, err := openFile(path, maxSize)
	if err != nil {
		return nil, counts{}, err
	}
	n, err := inspect(db, id)
	if err != nil {
		_ = db.Close()
		return nil, counts{}, err
	}
	if wasteful(db) {
		db, err = compact(db, maxSize)
	}
	return db, n, err
}

// openFile opens the file and takes its lock, without a look at what is in it.
func openFile(path string, maxSize int) (*bbolt.DB, error) {
	return openBy(bbolt.Open, path, maxSize)
}

// openBy is openFile by a function that opens files as bbolt does. Where that panics over what it finds, as
// over a damaged list of free pages, it has the lock already, which is taken from it: or nobody could open
// the file again while this process lives.
func openBy(open func(string, os.FileMode, *bbolt.Options) (*bbolt.DB, error), path string, maxSize int) (db *bbolt.DB, err error) {
	var file *os.File
	panicked := true
	err = guard(func() error {
		db, err = open(path, 0o600, &bbolt.Options{
			Timeout:      lockWait,
			FreelistType: bbolt.FreelistMapType,
			MaxSize:      maxSize,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				var err error
				file, err = os.OpenFile(name, flag, mode)
				return file, err
			},
		})
		panicked = false
		return err
	})
	if panicked && file != nil {
		unlock(file)
	}
	var place *fs.PathError
	var number syscall.Errno
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("checkpoint: %s: %w", path, ErrLocked)
	case errors.As(err, &place), errors.As(err, &number):
		return nil, placeError(path, err)
	default:
		return nil, unusablef("it is not a readable state file: %v", err)
	}
}

// guard runs fn and turns a panic, also one over a page that the file does not hold, into *unusable.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = unusablef("it is damaged: %v", r)
		}
	}()
	return fn()
}

// wasteful: most of the file's pages are free. A bbolt file never shrinks by itself, and writes its
// list of free pages with every commit.
func wasteful(db *bbolt.DB) bool {
	free, size := space(db)
	return size >= compactFrom && free > size/2
}

// space gives the bytes in free pages and in all pages in use so far; zeros for a closed file.
func space(db *bbolt.DB) (free, size int64) {
	stats := db.Stats()
	_ = db.View(func(tx *bbolt.Tx) error {
		free = int64(stats.FreePageN+stats.PendingPageN) * int64(db.Info().PageSize)
		size = tx.Size()
		return nil
	})
	return free, size
}

// compact replaces the file by a copy without free pages and returns what is open now: where the copy
// can't be made, the file as it was. The copy takes the name while the lock on the old file is held.
func compact(db *bbolt.DB, maxSize int) (*bbolt.DB, error) {
	path := db.Path()
	tmp := path + ".compact"
	if err := copyTo(tmp, db); err != nil {
		_ = os.Remove(tmp)
		return db, nil
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return db, nil
	}
	_ = db.Close()
	return openFile(path, maxSize)
}

func copyTo(tmp string, db *bbolt.DB) error {
	_ = os.Remove(tmp)
	dst, err := bbolt.Open(tmp, 0o600, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	if err := bbolt.Compact(dst, db, 1<<20); err != nil {
		_ = dst.Close()
		return err
	}
	return errors.Join(dst.Sync(), dst.Close())
}

// moveAside renames the file, so that a new one can take its place, and removes all but the youngest
// of those that were set aside before.
func moveAside(path string) (to string, err error) {
	const stamp = "20060102T150405.000000000Z"
	to = path + asideInfix + time.Now().UTC().Format(stamp)
	if err := os.Rename(path, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", placeError(path, err)
	}
	for old := asides(path); len(old) > asidesKept; old = old[1:] {
		_ = os.Remove(old[0]) // one too many does no harm
	}
	return to, nil
}

// syncFolder makes durable which file has which name. Windows has no call for that, and keeps the
// order in which names change; nor have some file systems, which are taken as they are.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return placeError(dir, err)
	}
	err = f.Sync()
	_ = f.Close()
	if err == nil || errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return placeError(dir, err)
}

// asides lists the files set aside beside path, oldest first.
func asides(path string) []string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(path), e.Name())
		if strings.HasPrefix(name, path+asideInfix) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}
