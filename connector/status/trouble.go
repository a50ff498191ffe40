package status

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/coupa"
)

// TroubleOf tells of an error what happened and, apart from it, what a person can do.
func TroubleOf(err error, now time.Time) Trouble {
	t := Trouble{At: now, Message: err.Error(), Remedy: remedyOf(err)}
	if before, found := strings.CutSuffix(t.Message, "; "+t.Remedy); found {
		t.Message = before
	}
	return t
}

// remedyOf is what a person can do about an error, as the error itself says; "" where it
// passes by itself, or its message says it in a place of its own.
func remedyOf(err error) string {
	var told interface{ Remedy() string }
	if errors.As(err, &told) {
		return told.Remedy()
	}
	return ""
}

// IsTemporary reports whether an error is worth trying again soon without anybody's help.
func IsTemporary(err error) bool {
	var own interface{ Temporary() bool }
	if errors.As(err, &own) {
		return own.Temporary()
	}
	return kerr.IsRetriable(err) || errors.Is(err, kgo.ErrRecordTimeout) || errors.Is(err, context.DeadlineExceeded)
}

// Passes reports whether an error may be over without anybody's help: one that is temporary, and one of
// an incident at Coupa, which answers what its contract excludes or refuses the tokens that it issues.
func Passes(err error) bool {
	kind, fromCoupa := kindOf(err)
	return IsTemporary(err) || fromCoupa && (kind == coupa.Broken || kind == coupa.Reauthenticate)
}

// kindOf classes an error for the condition of a task: what Coupa said, if it was Coupa.
func kindOf(err error) (kind coupa.Kind, fromCoupa bool) {
	var asked *coupa.Error
	if !errors.As(err, &asked) {
		return 0, false
	}
	if asked.Status == http.StatusTooManyRequests || asked.Status == http.StatusServiceUnavailable {
		return coupa.Throttled, true
	}
	return asked.Kind, true
}

// remember puts a trouble in front of those that are kept. What is said again only gets the newer time.
func remember(kept []Trouble, t Trouble) []Trouble {
	for i, k := range kept {
		if k.Message == t.Message {
			all := append([]Trouble{t}, kept[:i]...)
			return append(all, kept[i+1:]...)
		}
	}
	return append([]Trouble{t}, kept[:min(len(kept), maxTroubles-1)]...)
}

// Trouble is something that went wrong with a task.
type Trouble struct {
	At      time.Time
	Message string
	Remedy  string // what a person can do; "" where it passes by itself
}

// maxTroubles is how many are kept per task.
const maxTroubles = 10
