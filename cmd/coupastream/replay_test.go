package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector"
)

func TestReplayPrintsTheSnapshotForRowsThatOnlyAWorkerCanSend(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	done := []connector.Replayed{{Object: "suppliers", Replayed: 3}, {Object: "invoices", Failing: 2, Reason: "lines", Snapshot: []int64{17, 4711}}}
	if err := a.printReplayed("acme", done, "text"); !errors.Is(err, errStillDead) {
		t.Errorf("%v with letters left", err)
	}
	if want := "\n  coupastream snapshot start acme --object invoices --ids 17,4711\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%q, want %q at the end", out.String(), want)
	}
}
