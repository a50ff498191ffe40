//go:build e2e

package e2e

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// TestLostRegistry has a registry of its own, which comes back empty, as one in memory does, and gives
// the first ids to somebody else. Records carry ids that mean their schemas within a minute.
func TestLostRegistry(t *testing.T) {
	t.Parallel()
	nightly(t)
	p := start(t, "")
	if p.rigDir == "" {
		t.Skip("the registry is not this run's own")
	}
	w := p.worker(t, p.tenant(t, "lost", "--rows", "50", "--changes-per-second", "10"), map[string]string{"coupa.objects": "invoices,users"})
	w.start()
	client, err := sr.NewClient(sr.URLs(p.registry))
	if err != nil {
		t.Fatal(err)
	}
	readable := func(what string, since time.Time) {
		t.Helper()
		for topic, name := range map[string]string{w.tenant.name + ".invoices": "InvoiceHeader", w.tenant.name + ".users": "User"} {
			bad, all := unreadable(t, p, client, topic, name, since)
			if t.Logf("%s: %d of %d records of %s can't be read", what, bad, all, topic); bad > 0 || all == 0 {
				t.Errorf("%s: %d of %d records of %s can't be read", what, bad, all, topic)
			}
		}
	}
	began := time.Now()
	elapse(t, 20*time.Second)
	readable("before", began)

	for _, step := range []func() error{
		func() error { return p.rig("kill-registry") },
		func() error { return removeAll(filepath.Join(p.rigDir, "registry-db*")) },
		func() error { return p.rig("start-registry") },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"A", "B", "C"} {
		if _, err := client.CreateSchema(t.Context(), "other-"+name, sr.Schema{Schema: `{"type":"fixed","size":1,"name":"` + name + `"}`}); err != nil {
			t.Fatal(err)
		}
	}
	elapse(t, time.Minute)
	noticed := time.Now()
	elapse(t, 20*time.Second)
	w.alive(t)
	readable("a minute after it is back", noticed)
	if text, err := os.ReadFile(w.logs + ".err"); err != nil || !strings.Contains(string(text), "level=ERROR") || !strings.Contains(string(text), "CoupastreamSchemaIdsChanged") {
		t.Errorf("the log does not tell of it, %v", err)
	}
	w.stop(t)
}

// removeAll removes the files that a pattern matches.
func removeAll(pattern string) error {
	files, err := filepath.Glob(pattern)
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return err
}

// unreadable counts the records of a topic since a time whose ids do not name the schemas of key and value.
func unreadable(t *testing.T, p *parts, client *sr.Client, topic, value string, since time.Time) (bad, all int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.bootstrap), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AfterMilli(since.UnixMilli())))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	names := map[uint32]string{}
	named := func(framed []byte, name string) bool {
		id := binary.BigEndian.Uint32(framed[1:])
		if _, known := names[id]; !known {
			s, _ := client.SchemaByID(t.Context(), int(id)) // one that is not there has no text
			names[id] = s.Schema
		}
		return strings.Contains(names[id], `"name":"`+name+`"`)
	}
	until := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return bad, all
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Timestamp.After(until) {
				return
			}
			if all++; !named(r.Key, "Key") || !named(r.Value, value) {
				bad++
			}
		})
	}
}
