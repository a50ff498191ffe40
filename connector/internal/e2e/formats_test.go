//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// formats streams five objects, each in another form, and reads them with librdkafka from Python, where fastavro and jsonschema decode by what the registry
// has. Every row must be there once, with the key, the time and the texts that the tenant has.
func (p *parts) formats(t *testing.T) {
	const rows = 400
	forms := map[string]struct {
		form     string // of consume.py
		envelope bool
	}{
		"suppliers":       {"avro", false},
		"invoices":        {"avro", true},
		"users":           {"json", false},
		"contracts":       {"jsonschema", false},
		"purchase_orders": {"jsonschema", true},
	}
	settings, topics, objects := map[string]string{}, []string{}, []string{}
	for object, f := range forms {
		objects = append(objects, object)
		settings["object."+object+".value.format"] = f.form
		if f.envelope {
			settings["object."+object+".envelope"] = "debezium"
		}
	}
	settings["coupa.objects"] = strings.Join(objects, ",")
	tenant := p.tenant(t, "forms", "--rows", fmt.Sprint(rows), "--changes-per-second", "0")
	w := p.worker(t, tenant, settings)
	for object, f := range forms {
		topics = append(topics, f.form+"="+w.topics()[object])
	}
	w.start()
	if err := atRest(t.Context(), p.admin(t), w.topicNames(), 5*time.Second, 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	w.alive(t)
	cmd := exec.CommandContext(t.Context(), "./consumer.sh", append([]string{p.bootstrap, p.registry}, topics...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]map[int64]map[string]any{} // topic → id → row
	for d := json.NewDecoder(out); d.More(); {
		var r consumed
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if read[r.Topic] == nil {
			read[r.Topic] = map[int64]map[string]any{}
		}
		if read[r.Topic][r.Key.ID] != nil || r.Key.Tenant != tenant.name {
			t.Errorf("%s: key %+v is there twice, or another tenant's", r.Topic, r.Key)
		}
		read[r.Topic][r.Key.ID] = r.row(t, forms[strings.TrimPrefix(r.Topic, tenant.name+".")].envelope, tenant.name)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the consumer: %v", err)
	}
	for object, topic := range w.topics() {
		p.compare(t, tenant, object, read[topic])
	}
	w.stop(t)
}

// consumed is a line of consume.py.
type consumed struct {
	Topic string
	Key   struct {
		Tenant string
		ID     int64
	}
	Value map[string]any
}

// row is the row in the value, which an envelope says to be there as of a snapshot.
func (r consumed) row(t *testing.T, enveloped bool, tenant string) map[string]any {
	t.Helper()
	if !enveloped {
		return r.Value
	}
	after, _ := r.Value["after"].(map[string]any)
	source, _ := r.Value["source"].(map[string]any)
	if after == nil || r.Value["before"] != nil || r.Value["op"] != "r" || source["db"] != tenant || source["snapshot"] != "true" {
		t.Errorf("%s: the envelope is %v", r.Topic, r.Value)
	}
	return after
}

// compare wants every row of the tenant, its time, and those of its texts that the schema has.
func (p *parts) compare(t *testing.T, tenant *tenant, object string, read map[int64]map[string]any) {
	t.Helper()
	resp, err := http.Get(tenant.url + "/_tenant/rows?object=" + url.QueryEscape(object))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	rows, texts := 0, 0
	for d := json.NewDecoder(resp.Body); d.More(); rows++ {
		var want struct {
			ID        int64
			UpdatedAt time.Time `json:"updated_at"`
			Row       map[string]any
		}
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		got := read[want.ID]
		at, err := time.Parse(time.RFC3339, fmt.Sprint(got["updated_at"]))
		if err != nil || !at.Equal(want.UpdatedAt) {
			t.Fatalf("%s %d: updated_at %v, want %v", object, want.ID, got["updated_at"], want.UpdatedAt)
		}
		for _, member := range []string{"name", "number", "invoice-number", "po-number", "status", "login", "fullname"} {
			if text, ok := want.Row[member].(string); ok && text != "" {
				if texts++; got[strings.ReplaceAll(member, "-", "_")] != text {
					t.Errorf("%s %d: %s is %v, want %q", object, want.ID, member, got[strings.ReplaceAll(member, "-", "_")], text)
				}
			}
		}
	}
	if rows != len(read) || texts < rows {
		t.Errorf("%s: %d rows of %d, and %d texts", object, len(read), rows, texts)
	}
	t.Logf("%-16s %d rows, %d texts compared", object, rows, texts)
}
