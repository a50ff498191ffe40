package coupa

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Kind says what helps against an error.
type Kind uint8

// The kinds, by remedy.
const (
	// Retry: try again later. Networks, maintenance and unknown errors.
	Retry Kind = iota
	// Throttled: try again later and slower; [Error.RetryAfter] holds what Coupa asked for, if it did.
	Throttled
	// Reauthenticate: Coupa refuses tokens that it has just issued; look at the API client.
	Reauthenticate
	// Scope: the API client lacks a scope; the error names it. Other resources are not concerned.
	Scope
	// BadRow: one row cannot be used.
	BadRow
	// Misconfigured: the request is wrong and stays so until somebody changes the configuration.
	Misconfigured
	// Broken: Coupa did what its contract excludes; going on could lose changes.
	Broken
)

// String returns the kind in words, as used in status texts and metrics.
func (k Kind) String() string {
	names := [...]string{"retry", "throttled", "reauthenticate", "scope", "bad row", "misconfigured", "broken"}
	if int(k) >= len(names) {
		return fmt.Sprintf("kind %d", k)
	}
	return names[k]
}

// Error is a failed exchange with Coupa.
type Error struct {
	Op         string        // what was being done: "reading invoices"
	Kind       Kind          // what helps
	Status     int           // HTTP status; 0: there was no answer, or it was not the trouble
	RetryAfter time.Duration // how long Coupa asks to wait; 0: it did not say. At most an hour
	Hint       string        // what to do next, in words
	// Line is the length of the request line where that may be why the request failed: it is
	// above 4,000 bytes, and nothing as long was answered yet. 0: it is not. A shorter
	// request for the same page tells: see [Client.MaxLine].
	Line int
	Err  error // what happened
}

// Error returns one line: act, status, cause, hint. It holds no secret, no query string and no payload.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Status != 0 {
		b.WriteString(strings.TrimRight(fmt.Sprintf(": %d %s", e.Status, http.StatusText(e.Status)), " "))
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %s", oneLine(e.Err.Error(), 1000))
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Remedy is the hint.
func (e *Error) Remedy() string { return e.Hint }

// Temporary tells whether the same request may succeed later without anybody's doing.
func (e *Error) Temporary() bool { return e.Kind == Retry || e.Kind == Throttled }

// Overtaxed tells whether err may come of asking for too much at once: a server error other than 503,
// or an answer that did not come in time. Gateways answer so to pages that take their server too long.
func Overtaxed(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Retry {
		return false
	}
	return e.Status >= http.StatusInternalServerError || errors.Is(e.Err, errSilent) || errors.Is(e.Err, errDripping)
}

// RetryAfter is the pause that Coupa asked for; 0 where it asked for none, or err is not of Coupa.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// suspect puts a failure down to the length of its request line, if that may be the reason.
func (e *Error) suspect(may bool, line int) {
	if !may {
		return
	}
	e.Line = line
	e.Hint = lineHint(line)
}

// lineHint says what makes a request line shorter.
func lineHint(line int) string {
	return fmt.Sprintf("its request line has %d bytes, which something on the way may not take: ask for less "+
		"(mapping leave-out or choose, custom.fields = off, shorter filters), or for all fields (fields = all)", line)
}

// KindOf returns the kind of the [*Error] in err's chain, and [Retry] for any other error.
// The end of the caller's own context is not a failure of Coupa: test for it first.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Retry
}

// broken describes a breach of Coupa's contract.
func broken(op, format string, args ...any) *Error {
	return &Error{Op: op, Kind: Broken, Err: fmt.Errorf(format, args...)}
}

// misused describes a request that cannot be right.
func misused(op, format string, args ...any) *Error {
	return &Error{Op: op, Kind: Misconfigured, Err: fmt.Errorf(format, args...)}
}

// withoutURL removes the address that net/http puts into its errors: it holds the whole query.
func withoutURL(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}

// misconfigured tells whether a transport says that the configuration has to be changed.
func misconfigured(err error) bool {
	var own interface{ Misconfigured() bool }
	return errors.As(err, &own) && own.Misconfigured()
}

// oneLine makes foreign text fit for an error: without control
// characters, blanks folded, at most limit characters.
func oneLine(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufffd' {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return text
}
