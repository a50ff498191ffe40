// Package reload keeps what was made from files, and makes it again when they change.
package reload

import (
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// Value is a value that is made from files, and made again when they change. Safe for concurrent use.
type Value[T any] struct {
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

// Interval is how often files are looked at, at most.
const Interval = time.Second

// New makes the value for the first time. what names the files in the log, paths of "" are left out.
func New[T any](what string, paths []string, log *slog.Logger, load func() (T, error)) (*Value[T], error) {
	paths = slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return path == "" })
	r := &Value[T]{what: what, paths: paths, load: load, log: log, looked: time.Now(), stamps: stampsOf(paths)}
	var err error
	r.value, err = load()
	return r, err
}

// Get gives the value by the files as they are, give or take
// a second. While they can't be used it is the former one.
func (r *Value[T]) Get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < Interval {
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

// LookAgain lets the next Get look at the files, however soon it comes: what they held was of no use.
func (r *Value[T]) LookAgain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked = time.Time{}
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
