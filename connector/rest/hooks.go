package rest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/status"
)

// ringer is asked by those who ring: the part of the owner that keeps nobody waiting.
type ringer interface {
	Ring(name, object string) error
}

// hookRoutes are the doorbell, for call outs of Coupa's Process Automator.
func (a *API) hookRoutes() []route {
	if !a.o.Hooks {
		return nil
	}
	return []route{
		{method: "POST", path: "/hooks/token", do: a.grantToken, heedless: true},
		{method: "POST", path: "/hooks/{name}/{object}", do: a.ring, heedless: true},
	}
}

// grantToken says that there are no tokens: where there are accounts, the Guard before the API answers.
func (a *API) grantToken(*request) (*answer, error) {
	return nil, &apiError{http.StatusNotFound, "There are no tokens where there are no accounts: set rest.auth.file"}
}

// ring has an object polled soon. Nobody waits for that, nor for another worker's being told.
func (a *API) ring(r *request) (*answer, error) {
	name := r.path["name"]
	err := a.ringer.Ring(name, r.path["object"])
	other, elsewhere := errors.AsType[*connector.NotOwnerError](err)
	switch {
	case errors.Is(err, connector.ErrNoDoorbell):
		return nil, &apiError{http.StatusNotFound, "Connector " + name + ": " + err.Error()}
	case elsewhere && mayForward(r):
		a.relays.pass(a, r, other.Owner)
	case elsewhere: // who passed it on knew less of the group than this worker
	case err != nil:
		return nil, a.failed(err, name, notFound)
	}
	return empty(http.StatusAccepted), nil
}

// relays pass rings on to other workers: of one object's one at a time, by a goroutine
// that ends with the rings, and what rings meanwhile as one more.
type relays struct {
	log *slog.Logger

	mu       sync.Mutex
	underway map[string]*relay // by path
	told     time.Time         // when the log was last told that one was not passed on
}

// relay is the last ring of an object: who rang, and who is to hear it.
type relay struct {
	ctx   context.Context // of who rang, without an end
	from  http.Header
	to    status.Owner
	waits bool // it is not passed on yet
}

// relayPause is how long the next ring of an object waits for more to come.
const relayPause = 200 * time.Millisecond

// pass passes a ring on, in the name of who rang.
func (l *relays) pass(a *API, r *request, to status.Owner) {
	path := r.URL.EscapedPath()
	l.mu.Lock()
	defer l.mu.Unlock()
	begun := l.underway[path] != nil
	l.underway[path] = &relay{ctx: context.WithoutCancel(r.Context()), from: r.Header.Clone(), to: to, waits: true}
	if begun {
		return
	}
	go func() {
		for one := l.next(path); one != nil; one = l.next(path) {
			l.passOne(a, one, path)
			<-time.After(relayPause)
		}
	}()
}

// next is the ring that is to be passed on; nil: there is none, and nothing is under way.
func (l *relays) next(path string) *relay {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.underway[path]
	if !one.waits {
		delete(l.underway, path)
		return nil
	}
	l.underway[path] = &relay{}
	return one
}

// passOne passes one ring on. What fails is not tried again: the object is polled all the same, a little
// later.
func (l *relays) passOne(a *API, one *relay, path string) {
	ctx, cancel := context.WithTimeout(one.ctx, peerRead)
	defer cancel()
	got, err := a.ask(ctx, one.from, one.to, http.MethodPost, path, nil, nil)
	if err == nil && got.status == http.StatusAccepted {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := a.now(); now.Sub(l.told) >= time.Minute {
		l.told = now
		code := 0
		if got != nil {
			code = got.status
		}
		l.log.Warn("a doorbell was not passed on to the worker that runs the connector; the object is polled in its turn", "path", path, "worker", one.to.WorkerID, "status", code, "error", err)
	}
}
