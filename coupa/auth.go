package coupa

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// What Coupa documents of its tokens (OAuth "Design Considerations", "Getting Started").
const (
	tokenHold     = 5 * time.Second // between the issue of a token and its first use
	tokenRenewal  = 20 * time.Hour  // age at which a token is to be renewed
	tokenLifetime = 24 * time.Hour  // where the answer does not say
	mintPause     = time.Minute     // between attempts to renew a token that still serves
	mintShared    = 3 * time.Second // how long who asks for a token is given the failure of the last request
)

// token is one that Coupa issued, and the times that count for it.
type token struct {
	value   string
	minted  time.Time // when it arrived
	usable  time.Time // not before
	renew   time.Time // from then on a successor is asked for
	expires time.Time // not after
	scopes  string    // granted, sorted, divided by blanks
}

// newToken sets the times: of short-lived tokens at most
// half the life is held back, and renewal is at five sixths.
func newToken(value string, lifetime, hold time.Duration) *token {
	now := time.Now()
	if lifetime <= 0 {
		lifetime = tokenLifetime
	}
	return &token{
		value:   value,
		minted:  now,
		usable:  now.Add(min(hold, lifetime/2)),
		renew:   now.Add(min(tokenRenewal, lifetime/6*5)),
		expires: now.Add(lifetime),
	}
}

// tokens keeps the token of one API client. All callers share it and the request for it, and its failure
// for a short while, so that an endpoint which hangs is waited for once and not by each object in turn.
// A successor is asked for in good time while the present one serves, and held back until it has spread.
type tokens struct {
	mint func(context.Context) (*token, error) // one token request; ends by itself

	mu      sync.Mutex
	current *token    // serves
	next    *token    // issued, held back
	flight  *flight   // request under way, or one that failed just now
	pause   time.Time // no renewal before
	fresh   time.Time // until then flight's failure is everybody's
	failed  error     // why the last request failed; nil: it did not
}

// flight is a token request that any number of callers wait for. It belongs
// to none of them, so that one who gives up does not take it from the others.
type flight struct {
	done chan struct{} // closed when err is set
	err  error
}

func newTokens(mint func(context.Context) (*token, error)) *tokens {
	return &tokens{mint: mint}
}

// get returns a token that may be used now, and waits for one where
// there is none. The error is the token request's, or wraps ctx's.
func (t *tokens) get(ctx context.Context) (*token, error) {
	for {
		current, until, f := t.look()
		switch {
		case current != nil:
			return current, nil
		case f == nil:
			if err := sleep(ctx, time.Until(until)); err != nil {
				return nil, fmt.Errorf("waiting for a new token to be usable: %w", err)
			}
		default:
			if err := f.wait(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// ensure returns when there is a token, be it one that is still held back.
func (t *tokens) ensure(ctx context.Context) error {
	current, _, f := t.look()
	if current != nil || f == nil {
		return nil
	}
	return f.wait(ctx)
}

// drop forgets a token that Coupa refused. Where another caller has already replaced it, nothing happens.
func (t *tokens) drop(refused *token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == refused {
		t.current = nil
	}
}

// granted are the scopes of the token that serves, or that will; "": there is none.
func (t *tokens) granted() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range []*token{t.current, t.next} {
		if one != nil {
			return one.scopes
		}
	}
	return ""
}

// look returns the token that serves, or else until when its successor is held back, or else
// the request to wait for. It starts that request, or one for a successor, where it is time.
func (t *tokens) look() (current *token, until time.Time, f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.flight != nil && t.flight.isDone() && !now.Before(t.fresh) {
		t.flight = nil
	}
	if t.next != nil && !now.Before(t.next.usable) {
		t.current, t.next = t.next, nil
	}
	if t.current != nil && !now.Before(t.current.expires) {
		t.current = nil
	}
	switch {
	case t.current != nil:
		if t.next == nil && t.flight == nil && !now.Before(t.current.renew) && !now.Before(t.pause) {
			t.start()
		}
		return t.current, time.Time{}, nil
	case t.next != nil:
		return nil, t.next.usable, nil
	case t.flight == nil:
		t.start()
	}
	return nil, time.Time{}, t.flight
}

// start sends a token request; mu is held. A failure while the present token serves
// is tried again after a pause; the callers learn of it when there is no token left.
func (t *tokens) start() {
	f := &flight{done: make(chan struct{})}
	t.flight = f
	go func() {
		next, err := t.mint(context.Background())
		t.mu.Lock()
		defer t.mu.Unlock()
		if err == nil {
			t.next = next
			t.flight = nil
		} else {
			t.pause, t.fresh = time.Now().Add(mintPause), time.Now().Add(mintShared)
		}
		t.failed, f.err = err, err
		close(f.done)
	}()
}

func (f *flight) isDone() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// wait returns the outcome of the request, or ctx's error when that ends first.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for a token: %w", ctx.Err())
	}
}
