package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// awaited is a writer that calls a function once it has seen all of some texts.
type awaited struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	texts []string
	then  func()
}

func (a *awaited) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buf.Write(p)
	if a.then != nil && !slices.ContainsFunc(a.texts, func(text string) bool { return !strings.Contains(a.buf.String(), text) }) {
		a.then()
		a.then = nil
	}
	return len(p), nil
}

func TestDevPublishesTheSnapshotAndChanges(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &awaited{texts: []string{"  upsert  ", "snapshot  coupa.invoices"}, then: cancel}
	var logs bytes.Buffer
	args := []string{"dev", "--rows", "200", "--changes-per-second", "20", "--kafka-port", "0", "--registry-port", "0", "--coupa-port", "0", "--rest-port", "0"}
	if status := run(ctx, args, os.LookupEnv, out, &logs); status != exitDone {
		t.Errorf("status %d\n%s", status, logs.String())
	}
	for _, want := range []string{"Kafka ", "Schema Registry ", "REST ", "Status page ", "/ui/\n", "Coupa ", "snapshot  coupa.invoices", "--- stopped after "} {
		if !strings.Contains(out.buf.String(), want) {
			t.Errorf("%q is not in the output\n%s", want, out.buf.String())
		}
	}
}
