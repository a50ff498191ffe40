package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/replay"
)

func TestReplayNeedsATopicOfDeadLetters(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"worker.yaml": "bootstrap.servers: 127.0.0.1:1\nschema.registry.url: http://127.0.0.1:1\n",
		"acme.yaml":   "name: acme\ncoupa.url: https://acme.coupahost.com\ncoupa.client.id: id\ncoupa.client.secret: s3cret\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{"replay", "deadletters"} {
		if got := ask(t, "http://127.0.0.1:1", command, "acme.yaml", "--worker", "worker.yaml"); got.status != 2 || !strings.Contains(got.stderr, "acme.yaml: there are no dead letters without errors.deadletterqueue.topic.name") {
			t.Errorf("%s: %+v", command, got)
		}
	}
}

func TestReplayPrintsTheSnapshotForRowsThatOnlyAWorkerCanSend(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	done := []replay.Result{{Object: "suppliers", Replayed: 3}, {Object: "invoices", Failing: 2, Reason: "lines", Snapshot: []int64{17, 4711}}}
	if err := a.printReplayed("acme", done, "text"); !errors.Is(err, errStillDead) {
		t.Errorf("%v with letters left", err)
	}
	if want := "\n  coupastream snapshot start acme --object invoices --ids 17,4711\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%q, want %q at the end", out.String(), want)
	}
}
