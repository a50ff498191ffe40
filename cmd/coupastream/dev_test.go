package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	out := &awaited{texts: []string{"  upsert  ", "snapshot  coupa.invoices", " login=\"user"}, then: cancel}
	var logs bytes.Buffer
	args := []string{"dev", "--rows", "200", "--changes-per-second", "20", "--kafka-port", "0", "--registry-port", "0", "--coupa-port", "0", "--rest-port", "0"}
	if status := run(ctx, args, os.LookupEnv, out, &logs); status != exitDone {
		t.Errorf("status %d\n%s", status, logs.String())
	}
	for _, want := range []string{"Kafka ", "Schema Registry ", "REST ", "Status page ", "/ui/\n", "Coupa ", "kcat -C -b ", " login=\"user", "snapshot  coupa.invoices", "--- stopped after "} {
		if !strings.Contains(out.buf.String(), want) {
			t.Errorf("%q is not in the output\n%s", want, out.buf.String())
		}
	}
}

func TestDevShowsWholeRecordsInEachForm(t *testing.T) {
	for _, format := range []string{"avro", "json", "jsonschema"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := &awaited{texts: []string{`"topic":"coupa.users"`}, then: cancel}
			var logs bytes.Buffer
			args := []string{"dev", "--json", "--value-format", format, "--rows", "20", "--kafka-port", "0", "--registry-port", "0", "--coupa-port", "0", "--rest-port", "0"}
			if status := run(ctx, args, os.LookupEnv, out, &logs); status != exitDone {
				t.Errorf("status %d\n%s", status, logs.String())
			}
			for line := range strings.Lines(out.buf.String()) {
				var change struct {
					Topic string
					ID    int64
					Value struct {
						ID    int64
						Login string
					}
				}
				err := json.Unmarshal([]byte(line), &change)
				if err != nil || change.ID == 0 || change.Value.ID != change.ID || (change.Value.Login == "") == (change.Topic == "coupa.users") {
					t.Errorf("%v: %s", err, line)
				}
			}
		})
	}
}

func TestDevSaysWhichPortsWereTaken(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &devPrinter{w: &out}
	p.addresses("127.0.0.1:41000", "http://127.0.0.1:8081", "http://127.0.0.1:8083", "http://127.0.0.1:8090",
		devSettings{kafkaPort: 9092, registryPort: 8081, restPort: 8083, coupaPort: 8090, format: "json"})
	if got := out.String(); !strings.HasPrefix(got, "Port 9092 is taken: Kafka has another one.") || strings.Count(got, "is taken") != 1 {
		t.Errorf("%s", got)
	}
}
