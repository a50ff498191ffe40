package security

import (
	"context"
	"net/http"
)

// Role says what somebody may do.
type Role string

// The roles.
const (
	ReadOnly Role = "read-only" // GET, HEAD and OPTIONS
	Admin    Role = "admin"     // everything
)

// may tells whether a role allows a method.
func (r Role) may(method string) bool { return r == Admin || r == ReadOnly && reads(method) }

// reads tells whether a method changes nothing.
func reads(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// Caller is who sent a request.
type Caller struct {
	Name string // of the account; "" where nobody was asked
	Role Role
}

type callerKey struct{}

// CallerOf tells who sent the request of a context that a Guard let through. Without a Guard before it everybody is an administrator without a name.
func CallerOf(ctx context.Context) Caller {
	if c, ok := ctx.Value(callerKey{}).(Caller); ok {
		return c
	}
	return Caller{Role: Admin}
}
