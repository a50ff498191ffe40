package security

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coupastream/coupastream/connector/internal/reload"
)

// authenticator finds out who sends requests.
type authenticator struct {
	accounts *reload.Value[*accounts]
	failures *failures
	log      *slog.Logger
	// a place for each hash that is computed at one time: they take memory and a core each
	hashing chan struct{}

	mu  sync.Mutex
	of  *accounts         // whose users known remembers
	key [sha256.Size]byte // of known; random
	// by user and password, so that a client that asks often does not cost a hash each time
	known map[[sha256.Size]byte]Caller
}

const (
	hashesAtOnce = 2
	mostKnown    = 1000
)

func newAuthenticator(path string, log *slog.Logger) (*authenticator, error) {
	file, err := reload.New(accountsKey, []string{path}, log, func() (*accounts, error) { return loadAccounts(path) })
	if err != nil {
		return nil, err
	}
	a := &authenticator{accounts: file, failures: newFailures(), log: log, hashing: make(chan struct{}, hashesAtOnce)}
	_, _ = rand.Read(a.key[:]) // never fails
	return a, nil
}

// caller tells who sent a request. Credentials in the Authorization header count
// before a certificate: a worker that forwards a request for somebody shows its own.
func (a *authenticator) caller(r *http.Request) (Caller, *problem) {
	list := a.accounts.Get()
	header := r.Header.Get("Authorization")
	if header == "" {
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			if c, ok := list.certificate(r.TLS.VerifiedChains[0][0]); ok {
				return c, nil
			}
		}
		return Caller{}, a.unauthorized(list, "give a user and password, or a token, of the worker's rest.auth.file")
	}
	if name, password, ok := basicAuth(r); ok {
		return a.password(r.Context(), list, r.RemoteAddr, name, password)
	}
	if scheme, text, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Bearer") {
		text = strings.TrimSpace(text)
		if c, ok := list.token(text); ok {
			return c, nil
		}
		switch c, until, ok := list.granted(text); {
		case ok && time.Now().Before(until.Add(grantSlack)):
			return c, nil
		case ok: // it was right, so that it is no guess
			return Caller{}, a.unauthorized(list, "the token has expired; get another one by POST "+tokenPath)
		}
	}
	if wait, _ := a.failures.attempt(r.RemoteAddr); wait > 0 {
		return Caller{}, a.slowDown(r.RemoteAddr, wait)
	}
	return Caller{}, a.refused(list, r.RemoteAddr)
}

func (a *authenticator) password(ctx context.Context, list *accounts, remote, name, password string) (Caller, *problem) {
	digest := hmac.New(sha256.New, a.key[:])
	fmt.Fprintf(digest, "%d:%s:%s", len(name), name, password)
	id := [sha256.Size]byte(digest.Sum(nil))
	if c, ok := a.remembered(list, id); ok {
		return c, nil
	}
	wait, succeeded := a.failures.attempt(remote)
	if wait > 0 {
		return Caller{}, a.slowDown(remote, wait)
	}
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return Caller{}, &problem{status: http.StatusServiceUnavailable, message: "the request ended while it waited"}
	}
	c, ok := list.password(name, password)
	if !ok {
		return Caller{}, a.refused(list, remote)
	}
	succeeded()
	a.remember(list, id, c)
	return c, nil
}

func (a *authenticator) remembered(list *accounts, id [sha256.Size]byte) (Caller, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of != list {
		return Caller{}, false
	}
	c, ok := a.known[id]
	return c, ok
}

func (a *authenticator) remember(list *accounts, id [sha256.Size]byte, c Caller) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of != list || len(a.known) >= mostKnown {
		a.of, a.known = list, map[[sha256.Size]byte]Caller{}
	}
	a.known[id] = c
}

const basicChallenge = `Basic realm="coupastream", charset="UTF-8"`

// unauthorized asks for credentials of the kinds that there are.
func (a *authenticator) unauthorized(list *accounts, what string) *problem {
	p := &problem{status: http.StatusUnauthorized, message: what}
	if len(list.users) > 0 {
		p.challenges = append(p.challenges, basicChallenge)
	}
	if len(list.tokens) > 0 || len(list.users) == 0 || list.grants() {
		p.challenges = append(p.challenges, `Bearer realm="coupastream"`)
	}
	return p
}

// refused says no, and never why: that would tell which users there are. What
// was sent is not logged either: people type passwords into the wrong field.
func (a *authenticator) refused(list *accounts, remote string) *problem {
	a.log.Debug("credentials were refused", "from", remote)
	return a.unauthorized(list, "the user, password or token is not one of the worker's rest.auth.file")
}

func (a *authenticator) slowDown(remote string, wait time.Duration) *problem {
	if a.failures.shouldLog(remote) {
		a.log.Warn("many attempts to log in have failed; further ones are turned away", "from", remote, "for", wait)
	}
	return &problem{status: http.StatusTooManyRequests, message: "too many attempts to log in have failed; wait, and look at user, password and token",
		retryAfter: strconv.Itoa(int(wait/time.Second) + 1)}
}
