//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/explain"
	"github.com/coupastream/coupastream/schemas"
)

// explanations asks a worker why rows are in their topic, or are not: rows that Kafka's console consumer
// finds where the answer says, and rows of other cases.
func (p *parts) explanations(t *testing.T) {
	const rows = 300
	tenant := p.tenant(t, "explain", "--rows", fmt.Sprint(rows), "--changes-per-second", "0")
	w := p.worker(t, tenant, map[string]string{"coupa.objects": "suppliers"})
	w.start()
	topic := w.topics()["suppliers"]
	ids := slices.Sorted(maps.Keys(tenant.ids(t, "suppliers")))
	changed, gone := ids[:20], ids[20]
	w.explained(t, ids[rows-1], "published")
	for _, id := range changed {
		tenant.must(t, http.MethodPost, fmt.Sprintf("/_tenant/objects/suppliers/%d", id), nil, nil)
	}
	tenant.must(t, http.MethodDelete, fmt.Sprintf("/_tenant/objects/suppliers/%d", gone), nil, nil)
	for _, id := range changed {
		w.explained(t, id, "published")
	}
	read := p.console(t, topic, rows+len(changed))
	for _, id := range slices.Concat(changed, ids[rows-5:]) {
		a := w.explained(t, id, "published")
		in := read[id]
		if a.Record.Partition != in.partition || a.Record.Offset != in.offset || a.Record.UpdatedAt.Format(time.RFC3339) != in.updatedAt || a.Record.Op != in.op {
			t.Errorf("id %d: %+v, Kafka's consumer finds it in partition %d at offset %d: %s of %s", id, a.Record, in.partition, in.offset, in.op, in.updatedAt)
		}
		if a.Record.Schema == 0 {
			t.Errorf("id %d has no schema", id)
		}
	}
	w.explained(t, gone, "gone_or_hidden")
	w.explained(t, 1<<40, "not_visible")
	run := exec.CommandContext(t.Context(), p.binary, "pause", tenant.name, "--url", w.listener)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tenant.must(t, http.MethodPost, fmt.Sprintf("/_tenant/objects/suppliers/%d", ids[30]), nil, nil)
	w.explained(t, ids[30], "paused")
	w.stop(t)
}

// explained runs `coupastream explain` until the row is of the case; it may be on its way.
func (w *worker) explained(t *testing.T, id int64, want explain.Case) (a explain.Answer) {
	t.Helper()
	// the mark of lines, which tells that a line stamped behind its row's record is read, is written down
	// about once a minute while nothing changes
	if err := await(t.Context(), string(want), 3*time.Minute, func() error {
		var stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), w.parts.binary, "explain", w.tenant.name, "suppliers", strconv.FormatInt(id, 10), "-o", "json", "--url", w.listener)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%w: %s", err, stderr.String())
		}
		a = explain.Answer{}
		if err := json.Unmarshal(out, &a); err != nil {
			return err
		}
		if a.Case != want {
			return fmt.Errorf("id %d is %s: %s", id, a.Case, a.Sentence)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return a
}

// consoled is where Kafka's console consumer finds the last record of an id.
type consoled struct {
	partition     int32
	offset        int64
	updatedAt, op string
}

// console reads a topic by Kafka's console consumer: so many records, by the ids of their keys.
func (p *parts) console(t *testing.T, topic string, records int) map[int64]consoled {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./kafka.sh", "consume", "--bootstrap-server", p.bootstrap, "--topic", topic, "--from-beginning",
		"--isolation-level", "read_committed", "--max-messages", strconv.Itoa(records), "--timeout-ms", "60000",
		"--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true", "--formatter-property", "print.headers=true",
		"--formatter-property", "print.key=true", "--formatter-property", "print.value=false",
		"--formatter-property", "key.deserializer=org.apache.kafka.common.serialization.BytesDeserializer")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the console consumer: %v", err)
	}
	last := map[int64]consoled{}
	for line := range strings.Lines(string(out)) {
		fields := strings.SplitN(strings.TrimRight(line, "\n"), "\t", 4)
		if len(fields) != 4 {
			t.Fatalf("the console consumer says %q", line)
		}
		key := regexp.MustCompile(`\\x[0-9A-F]{2}`).ReplaceAllStringFunc(fields[3], func(hex string) string {
			n, _ := strconv.ParseUint(hex[2:], 16, 8)
			return string([]byte{byte(n)})
		})
		_, id, err := schemas.ParseKey([]byte(key))
		if err != nil {
			t.Fatalf("key %q: %v", fields[3], err)
		}
		var c consoled
		if _, err := fmt.Sscanf(fields[0]+" "+fields[1], "Partition:%d Offset:%d", &c.partition, &c.offset); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for header := range strings.SplitSeq(fields[2], ",") {
			name, value, _ := strings.Cut(header, ":")
			switch name {
			case "coupa.updated_at":
				c.updatedAt = value
			case "coupa.op":
				c.op = value
			}
		}
		last[id] = c
	}
	return last
}
