package security

import (
	"context"
	"net/http"
	"slices"
)

// Role says what somebody may do.
type Role string

// The roles, from the one that may do least.
const (
	Hook     Role = "hook"      // POST to a doorbell, and nothing else
	ReadOnly Role = "read-only" // GET, HEAD and OPTIONS, and what agents ask by these
	Admin    Role = "admin"     // everything
)

var roles = []Role{Hook, ReadOnly, Admin}

// IsRole tells whether there is such a role.
func (r Role) IsRole() bool { return slices.Contains(roles, r) }

// may tells whether a role allows a method of a path.
func (r Role) may(method, path string) bool {
	switch r {
	case Admin:
		return true
	case ReadOnly:
		return Reads(method) || AsksAsAgent(path)
	case Hook:
		return rings(method, path)
	}
	return false
}

// refusal is what is said to somebody who may not do what he asks for.
func (r Role) refusal() string {
	if r == Hook {
		return "the role hook rings doorbells, by POST /hooks/{connector}/{object}; use another account"
	}
	return "the role read-only changes nothing; use an account with the role admin"
}

// Reads tells whether requests of a method change nothing: GET, HEAD and OPTIONS.
func Reads(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// agentsPath is where agents ask.
const agentsPath = "/mcp"

// AsksAsAgent tells whether a path is that where agents ask. Sending something there changes nothing: what is
// asked for is a request of its own, and is looked at as that.
func AsksAsAgent(path string) bool { return cleanPath(path) == agentsPath }

// Caller is who sent a request.
type Caller struct {
	Name string // of the account; "" where nobody was asked
	Role Role
}

type admissionKey struct{}

// admission is what a guard has found out about a request.
type admission struct {
	caller  Caller
	recheck func() bool // whether it would let the request through now
}

func admitted(ctx context.Context, caller Caller, recheck func() bool) context.Context {
	return context.WithValue(ctx, admissionKey{}, admission{caller, recheck})
}

// CallerOf tells who sent the request of a context that a Guard let through.
// Without a Guard before it everybody is an administrator without a name.
func CallerOf(ctx context.Context) Caller {
	if a, ok := ctx.Value(admissionKey{}).(admission); ok {
		return a.caller
	}
	return Caller{Role: Admin}
}

// StillAdmitted tells whether the Guard would let the request of a context through once more: answers
// that last ask now and then, since an account or a certificate's authority may be gone meanwhile.
func StillAdmitted(ctx context.Context) bool {
	a, ok := ctx.Value(admissionKey{}).(admission)
	return !ok || a.recheck()
}
