package security

import (
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// reloaded is a value that is made from files, and made again when they change.
type reloaded[T any] struct {
	what  string // the files, in words for the log
	paths []string
	load  func() (T, error)
	log   *slog.Logger

	mu     sync.Mutex
	value  T
	looked time.Time
	stamps []stamp // of the files that value, or the last failure, was made from
}

// stamp tells versions of a file apart.
type stamp struct {
	size     int64
	modified time.Time
}

// lookEvery is how often files are looked at, at most.
const lookEvery = time.Second

// newReloaded makes the value for the first time. paths of "" are left out.
func newReloaded[T any](what string, paths []string, log *slog.Logger, load func() (T, error)) (*reloaded[T], error) {
	paths = slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return path == "" })
	r := &reloaded[T]{what: what, paths: paths, load: load, log: log, looked: time.Now(), stamps: stampsOf(paths)}
	var err error
	r.value, err = load()
	return r, err
}

// get gives the value by the files as they are, give or take
// a second. While they can't be used it is the former one.
func (r *reloaded[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < lookEvery {
		return r.value
	}
	r.looked = time.Now()
	stamps := stampsOf(r.paths) // before they are read: a change meanwhile is seen the next time
	if slices.Equal(stamps, r.stamps) {
		return r.value
	}
	r.stamps = stamps
	value, err := r.load()
	if err != nil {
		r.log.Error("changed files can't be used; what they held before stays in force", "files", r.what, "error", err)
		return r.value
	}
	r.log.Info("changed files were read again", "files", r.what)
	r.value = value
	return value
}

func stampsOf(paths []string) []stamp {
	stamps := make([]stamp, len(paths))
	for i, path := range paths {
		var info fs.FileInfo
		if info, _ = os.Stat(path); info != nil {
			stamps[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return stamps
}
