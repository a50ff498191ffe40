package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/logging"
	"github.com/coupastream/coupastream/connector/preflight"
	"github.com/coupastream/coupastream/connector/transport"
	"github.com/coupastream/coupastream/schemas/registry"
)

// checklist prints what was tried, a line each, as soon as it is known. It may be told by any goroutine.
type checklist struct {
	w      io.Writer
	marks  bool // somebody sits there: marks with colours in place of words
	asJSON bool

	mu            sync.Mutex
	tried         int
	wrong, failed int             // not ok, for somebody to change; not ok, and may pass by itself
	files         map[string]bool // those with something that is not ok
}

// words and marks of the verdicts, as wide as each other.
var (
	verdictWords = map[preflight.Verdict]string{preflight.OK: "ok         ", preflight.NotOK: "not ok     ", preflight.NotTried: "not tried  "}
	verdictMarks = map[preflight.Verdict]string{preflight.OK: "\x1b[32m✓\x1b[0m ", preflight.NotOK: "\x1b[31m✗\x1b[0m ", preflight.NotTried: "\x1b[33m–\x1b[0m "}
)

func (l *checklist) tell(f preflight.Finding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.Verdict != preflight.NotTried {
		l.tried++
	}
	if f.Verdict == preflight.NotOK {
		if f.Passes {
			l.failed++
		} else {
			l.wrong++
		}
		if l.files == nil {
			l.files = map[string]bool{}
		}
		l.files[f.File] = true
	}
	if l.asJSON {
		_ = json.NewEncoder(l.w).Encode(f)
		return
	}
	begin := verdictWords[f.Verdict]
	if l.marks {
		begin = verdictMarks[f.Verdict]
	}
	line := begin + f.Check
	if f.Detail != "" {
		line += ": " + f.Detail
	}
	if f.Remedy != "" {
		line += "; " + f.Remedy
	}
	fmt.Fprintln(l.w, line)
}

// good tells of a file with which nothing is wrong.
func (l *checklist) good(file string) {
	if l.asJSON {
		l.tell(preflight.Finding{Check: "file", Verdict: preflight.OK, File: file})
		return
	}
	fmt.Fprintln(l.w, file+": ok")
}

// mentions tells whether something that a file needs is not ok.
func (l *checklist) mentions(file string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.files[file]
}

// outcome is the command's error: wrong configuration comes first, because it decides the exit status.
func (l *checklist) outcome(problems config.Problems) error {
	var err error
	if n := l.wrong + l.failed; n > 0 {
		err = fmt.Errorf("%d of %d things that were tried are not ok", n, l.tried)
	}
	switch {
	case len(problems) > 0 && err != nil:
		return append(problems, config.Problem{Message: err.Error()})
	case len(problems) > 0:
		return problems
	case l.wrong > 0:
		return usageError{err}
	}
	return err
}

// tryOnline tries all that a run of the files needs. Without a worker's file that is Coupa alone.
func (a *app) tryOnline(ctx context.Context, worker *config.Worker, connectors []*config.Connector, list *checklist) {
	if worker == nil {
		list.tell(preflight.Finding{Check: "brokers, topics, registry, state.dir", Verdict: preflight.NotTried, Detail: "no worker's file is given"})
	} else if err := a.tryWorker(ctx, worker, connectors, list); err != nil {
		list.tell(preflight.Finding{Check: "worker", Verdict: preflight.NotOK, Detail: err.Error(), File: worker.File})
	}
	for _, c := range connectors {
		a.probe(ctx, c, list.tell)
	}
}

// tryWorker tries what lies outside of Coupa.
func (a *app) tryWorker(ctx context.Context, worker *config.Worker, connectors []*config.Connector, list *checklist) error {
	kafka, err := transport.Kafka(ctx, worker, a.log)
	if err != nil {
		return err
	}
	var schemas *registry.Client
	if len(worker.Registry.URLs) > 0 {
		// what the registry said earlier says nothing of now, and nothing is kept
		if schemas, err = registryClient(worker, "", logging.Named(a.log, "schemas")); err != nil {
			return err
		}
	}
	preflight.Try(ctx, preflight.Config{Settings: worker, Connectors: connectors, Kafka: kafka, Registry: schemas, Version: version()}, list.tell)
	return nil
}
