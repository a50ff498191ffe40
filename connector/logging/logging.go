// Package logging gives loggers names, and names levels that can be
// changed while the program runs, as Kafka Connect's /admin/loggers does.
//
// A name is a path with dots: connector, connector.task. A logger has the level of its own
// name if one was set, or else that of the nearest name above it; above all of them is root.
package logging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
)

// Root is the name above all names.
const Root = "root"

// All is the level that lets everything pass.
const All slog.Level = math.MinInt

// Bounds of what can be set from outside.
const (
	maxSet  = 1000 // names with a level of their own
	maxName = 200  // bytes
)

// ErrTooMany refuses a level for yet another name.
var ErrTooMany = errors.New("levels are set for a thousand loggers that do not exist; set those of loggers that do")

// levels are the names of levels, which are Log4j's.
func levels() map[string]slog.Level {
	return map[string]slog.Level{
		"ALL": All, "TRACE": slog.LevelDebug - 4, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "ERROR": slog.LevelError,
		"FATAL": slog.LevelError + 4, "OFF": math.MaxInt,
	}
}

// ParseLevel gives a level's name as Log4j writes it; letter case does not matter.
func ParseLevel(name string) (string, bool) {
	upper := strings.ToUpper(name)
	_, known := levels()[upper]
	return upper, known
}

// CheckName tells whether a logger can have the name.
func CheckName(name string) error {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("the name of a logger has up to %d printable bytes", maxName)
	}
	return nil
}

// Level is the level that a logger has.
type Level struct {
	Name     string    // INFO
	Modified time.Time // when it was set; zero: it is as the program started, or follows from a name above
}

// Levels are the levels of all loggers of a program.
type Levels struct {
	out slog.Handler

	mu    sync.Mutex
	known map[string]*node // loggers that were made, and names whose level was set
}

// node is a name. level is its effective level, changed under Levels.mu and read by every record.
type node struct {
	level atomic.Int64
	own   Level // zero: it follows from a name above
}

// New makes levels for records that go to out, which lets every
// level pass. root is the name of the level at the start.
func New(out slog.Handler, root string) (*Levels, error) {
	name, known := ParseLevel(root)
	if !known {
		return nil, fmt.Errorf("%q is not a level", root)
	}
	l := &Levels{out: out, known: map[string]*node{Root: {own: Level{Name: name}}}}
	l.apply()
	return l, nil
}

// Logger makes the logger of a name. Its records carry the name as the attribute logger, but for root's.
func (l *Levels) Logger(name string) *slog.Logger {
	out := l.out
	if name != Root {
		out = out.WithAttrs([]slog.Attr{slog.String("logger", name)})
	}
	return slog.New(&handler{out: out, bare: l.out, levels: l, node: l.node(name)})
}

// Named gives log another name: a logger with its attributes, but the name's
// level. A logger that does not come from Levels is given back as it is.
func Named(log *slog.Logger, name string) *slog.Logger {
	h, ours := log.Handler().(*handler)
	if !ours {
		return log
	}
	return slog.New(&handler{out: h.bare.WithAttrs([]slog.Attr{slog.String("logger", name)}), bare: h.bare, levels: h.levels, node: h.levels.node(name)})
}

// node finds or makes a name.
func (l *Levels) node(name string) *node {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.known[name]
	if n == nil {
		n = &node{}
		l.known[name] = n
		l.apply()
	}
	return n
}

// apply works out every effective level. The lock is held.
func (l *Levels) apply() {
	numbers := levels()
	for name, n := range l.known {
		n.level.Store(int64(numbers[l.effective(name).Name]))
	}
}

// effective is the level of the nearest name, itself included, that has one of its own. The lock is held.
func (l *Levels) effective(name string) Level {
	for above := name; above != ""; {
		if n := l.known[above]; n != nil && n.own.Name != "" {
			return n.own
		}
		dot := strings.LastIndexByte(above, '.')
		if dot < 0 {
			break
		}
		above = above[:dot]
	}
	return l.known[Root].own
}

// Get gives the level of one logger, if there is such a one.
func (l *Levels) Get(name string) (Level, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.known[name]
	if n == nil {
		return Level{}, false
	}
	return l.shown(name, n), true
}

// shown is the effective level, with the time at which this very name was set. The lock is held.
func (l *Levels) shown(name string, n *node) Level {
	return Level{l.effective(name).Name, n.own.Modified}
}

// All gives the levels of all loggers.
func (l *Levels) All() map[string]Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]Level, len(l.known))
	for name, n := range l.known {
		all[name] = l.shown(name, n)
	}
	return all
}

// Set sets the level of a name and of all that are below it, and gives their
// names, sorted. A name that no logger has yet is kept for when there is one.
func (l *Levels) Set(name, level string) ([]string, error) {
	level, known := ParseLevel(level)
	if !known {
		return nil, fmt.Errorf("%q is not a level", level)
	}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[name] == nil {
		if len(l.known) >= maxSet {
			return nil, ErrTooMany
		}
		l.known[name] = &node{}
	}
	now := time.Now()
	var touched []string
	for _, below := range slices.Sorted(maps.Keys(l.known)) {
		if below == name || name == Root || strings.HasPrefix(below, name+".") {
			l.known[below].own = Level{level, now}
			touched = append(touched, below)
		}
	}
	l.apply()
	return touched, nil
}

// handler lets a record pass if its logger's level does.
type handler struct {
	out    slog.Handler // with the attributes of the logger, its name among them
	bare   slog.Handler // the same without the name
	levels *Levels
	node   *node
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return int64(level) >= h.node.level.Load()
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error { return h.out.Handle(ctx, r) }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.out, with.bare = h.out.WithAttrs(attrs), h.bare.WithAttrs(attrs)
	return &with
}

func (h *handler) WithGroup(name string) slog.Handler {
	with := *h
	with.out, with.bare = h.out.WithGroup(name), h.bare.WithGroup(name)
	return &with
}
