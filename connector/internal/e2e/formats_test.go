//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/registry"
)

// formats streams six objects, each in another form, and reads them with librdkafka
// from Python, where fastavro and jsonschema decode by what the registry has. Every
// row must be there once, with the key, the time and the texts that the tenant has; in
// the envelope as it is, too, where Debezium's ExtractNewRecordState has unwrapped it.
func (p *parts) formats(t *testing.T) {
	const rows = 400
	forms := map[string]struct {
		form     string // of consume.py
		envelope bool
	}{
		"suppliers":       {"avro", false},
		"invoices":        {"avro", true},
		"users":           {"json", true},
		"requisitions":    {"json", false},
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
	untagged := p.untagged(t, tenant.name+".suppliers-value", "suppliers")
	w.start()
	w.readsHistory(t, rows)
	if err := atRest(t.Context(), p.admin(t), w.topicNames(), 2*time.Second, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.alive(t)
	read := p.consumed(t, tenant, "./consumer.sh", append([]string{p.bootstrap, p.registry}, topics...)...)
	for object, topic := range w.topics() {
		rows := map[int64]map[string]any{}
		for id, value := range read[topic] {
			rows[id] = rowIn(t, topic, value, forms[object].envelope, tenant.name)
		}
		p.compare(t, tenant, object, rows)
	}
	p.unwrapped(t, tenant, w.topics()["invoices"], w.topics()["users"])
	p.tagged(t, tenant.name+".suppliers-value", untagged)
	p.tagged(t, tenant.name+".invoices-value", untagged)
	p.tagged(t, tenant.name+".contracts-value", untagged)
	w.stop(t)
}

var tags = regexp.MustCompile(`,"confluent:tags":\[[^]]*\]`)

// untagged registers an object's schema as it would be without tags of personal data, and gives its id.
func (p *parts) untagged(t *testing.T, subject, object string) int {
	t.Helper()
	s, err := schemas.For(object, schemas.Options{Custom: new(custom.Fields)})
	if err != nil {
		t.Fatal(err)
	}
	return p.idOf(t, subject, tags.ReplaceAllString(s.JSON(), ""))
}

// tagged wants tags in a subject's last version, which follows one without them as another version, and
// which is the same when it is registered again.
func (p *parts) tagged(t *testing.T, subject string, untagged int) {
	t.Helper()
	text := p.latest(t, subject)
	one, again := p.idOf(t, subject, text), p.idOf(t, subject, text)
	if !tags.MatchString(text) || one != again || one == untagged {
		t.Errorf("%s: the last version has the ids %d and %d, without tags %d: %.2000s", subject, one, again, untagged, text)
	}
}

// idOf registers a schema, of which nothing is known yet, and gives its id.
func (p *parts) idOf(t *testing.T, subject, text string) int {
	t.Helper()
	r, err := registry.New(registry.Config{URLs: []string{p.registry}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.Register(t.Context(), subject, text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// unwrapped reads a topic of enveloped Avro through ExtractNewRecordState: what comes out are the
// rows. Of JSON without a schema it can't tell that there is an envelope, and lets it pass as it is.
func (p *parts) unwrapped(t *testing.T, tenant *tenant, invoices, users string) {
	t.Helper()
	read := p.consumed(t, tenant, "./java.sh", "unwrap", p.bootstrap, p.apicurio(), "avro="+invoices, "json="+users)
	p.compare(t, tenant, "invoices", read[invoices])
	for id, row := range read[invoices] {
		if at, err := time.Parse(time.RFC3339, fmt.Sprint(row["updated_at"])); err != nil || row["__op"] != "r" || row["__source_ts_ms"] != float64(at.UnixMilli()) {
			t.Fatalf("invoice %d: op %v of %v, updated at %v", id, row["__op"], row["__source_ts_ms"], row["updated_at"])
		}
	}
	rows := map[int64]map[string]any{}
	for id, value := range read[users] {
		rows[id] = rowIn(t, users, value, true, tenant.name)
	}
	p.compare(t, tenant, "users", rows)
}

// apicurio is the registry by its own API.
func (p *parts) apicurio() string {
	return strings.Replace(p.registry, "/apis/ccompat/v7", "/apis/registry/v2", 1)
}

// consumed runs a consumer and gives the values that it prints, by topic and id.
func (p *parts) consumed(t *testing.T, tenant *tenant, name string, args ...string) map[string]map[int64]map[string]any {
	t.Helper()
	read := map[string]map[int64]map[string]any{}
	for _, r := range p.records(t, name, args...) {
		if read[r.Topic] == nil {
			read[r.Topic] = map[int64]map[string]any{}
		}
		if read[r.Topic][r.Key.ID] != nil || r.Key.Tenant != tenant.name {
			t.Errorf("%s: key %+v is there twice, or another tenant's", r.Topic, r.Key)
		}
		read[r.Topic][r.Key.ID] = r.Value
	}
	return read
}

// records runs a consumer and gives what it prints.
func (p *parts) records(t *testing.T, name string, args ...string) []consumed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var read []consumed
	for d := json.NewDecoder(out); d.More(); {
		var r consumed
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		read = append(read, r)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return read
}

// consumed is a line of a consumer: a record, of a tombstone without a value.
type consumed struct {
	Topic   string
	Headers map[string]string // consume.py alone tells them
	Key     struct {
		Tenant string
		ID     int64
	}
	Value map[string]any
}

// rowIn is the row in a value, which an envelope says to be there as of a snapshot.
func rowIn(t *testing.T, topic string, value map[string]any, enveloped bool, tenant string) map[string]any {
	t.Helper()
	if !enveloped {
		return value
	}
	after, _ := value["after"].(map[string]any)
	source, _ := value["source"].(map[string]any)
	if after == nil || value["before"] != nil || value["op"] != "r" || source["db"] != tenant || source["snapshot"] != "true" {
		t.Errorf("%s: the envelope is %v", topic, value)
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
