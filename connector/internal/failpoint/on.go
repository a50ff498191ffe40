//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Action is what happens at a point.
type Action string

// The actions.
const (
	Kill  Action = "kill"
	Stop  Action = "stop"
	Error Action = "error"
)

// Injected is the error of a point that was armed with Error. It passes by itself.
type Injected struct {
	Point Point
	Side  string // before or after
}

func (e *Injected) Error() string { return fmt.Sprintf("failpoint %s:%s", e.Point, e.Side) }

// Temporary says that trying again helps.
func (e *Injected) Temporary() bool { return true }

var (
	mu    sync.Mutex
	armed = map[string]*arming{}
)

type arming struct {
	left   int // hits until it acts
	action Action
	hit    chan struct{}
}

func init() {
	if err := parse(os.Getenv("COUPASTREAM_FAILPOINTS")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func parse(text string) error {
	for item := range strings.SplitSeq(text, ",") {
		if item == "" {
			continue
		}
		where, action, _ := strings.Cut(item, "=")
		where, count, counted := strings.Cut(where, "@")
		name, side, _ := strings.Cut(where, ":")
		n := 1
		var err error
		if counted {
			n, err = strconv.Atoi(count)
		}
		known := slices.Contains(append(Points(), Marks()...), Point(name)) && (side == "before" || side == "after") && slices.Contains([]Action{Kill, Stop, Error}, Action(action))
		if err != nil || n < 1 || !known {
			return fmt.Errorf("COUPASTREAM_FAILPOINTS: %q is not point:before|after[@count]=kill|stop|error", item)
		}
		Set(Point(name), side, n, Action(action))
	}
	return nil
}

// Set arms a point: the nth time that it is passed, on the given side
// ("before" or "after"), it acts, once. The channel is closed then.
func Set(p Point, side string, nth int, a Action) <-chan struct{} {
	mu.Lock()
	defer mu.Unlock()
	x := &arming{left: nth, action: a, hit: make(chan struct{})}
	armed[string(p)+":"+side] = x
	return x.hit
}

// Clear disarms every point.
func Clear() {
	mu.Lock()
	defer mu.Unlock()
	clear(armed)
}

// Before is passed when a step is about to be carried out; with an error it must not be.
func Before(p Point) error { return pass(p, "before") }

// After is passed when a step was carried out; with an error its answer must be taken as lost.
func After(p Point) error { return pass(p, "after") }

func pass(p Point, side string) error {
	mu.Lock()
	defer mu.Unlock()
	x := armed[string(p)+":"+side]
	if x == nil {
		return nil
	}
	if x.left--; x.left > 0 {
		return nil
	}
	delete(armed, string(p)+":"+side)
	close(x.hit)
	switch x.action {
	case Kill:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case Stop:
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		return nil
	default:
		return &Injected{p, side}
	}
}
