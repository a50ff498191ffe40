package config

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestEveryDeclarationIsSound(t *testing.T) {
	sound(t, workerSettings())
	sound(t, connectorSettings())
	sound(t, objectSettings())
	for _, keys := range [][]Key{WorkerKeys(), ConnectorKeys()} {
		seen := map[string]bool{}
		for _, k := range keys {
			if seen[k.Name] {
				t.Errorf("%s is declared twice", k.Name)
			}
			seen[k.Name] = true
		}
	}
}

// sound assigns defaults, and checks what the reference needs.
func sound[T any](t *testing.T, settings []setting[T]) {
	t.Helper()
	for _, s := range settings {
		if f := s.assign(new(T), s.Default); s.Default != "" && f != nil {
			t.Errorf("%s: the default %q is refused: %s", s.Name, s.Default, f.message)
		}
		if s.Doc == "" || !strings.HasSuffix(s.Doc, ".") || strings.Contains(s.Doc, "|") {
			t.Errorf("%s: the documentation must be sentences without a bar: %q", s.Name, s.Doc)
		}
		if s.Required && s.Example == "" {
			t.Errorf("%s: a required key needs an example for its remedy", s.Name)
		}
		for value := range s.Refused {
			if !slices.Contains(s.Values, value) {
				t.Errorf("%s: refuses %q, which is none of its values", s.Name, value)
			}
		}
	}
}

// TestDefaultsAreThePublishedOnes pins what users rely on.
func TestDefaultsAreThePublishedOnes(t *testing.T) {
	want := map[string]string{
		"security.protocol": "PLAINTEXT", "group.id": "coupastream", "state.dir": "./state", "listeners": "http://127.0.0.1:8083",
		"session.timeout.ms": "10000", "heartbeat.interval.ms": "1000", "checkpoint.topic.partitions": "8", "transaction.commit.interval.ms": "100", "topic.creation.default.partitions": "3",
		"topic.creation.default.replication.factor": "-1", "topic.creation.default.cleanup.policy": "delete",
		"connector.class": "CoupaSource", "coupa.token.path": "/oauth2/token", "topic.template": "coupa.${object}",
		"coupa.objects":    "invoices, purchase_orders, suppliers, requisitions, expense_reports, contracts, users",
		"poll.interval.ms": "30000", "overlap.ms": "60000", "lookback.ms": "604800000", "settle.ms": "2000", "initial.from": "earliest", "freshness.objective.ms": "0", "otel.traces.sampler.ratio": "1", "metrics.per.object": "auto",
		"coupa.rate.limit": "15", "coupa.request.timeout.ms": "60000", "fields": "schema", "custom.fields": "auto",
		"decimal.handling.mode": "precise", "key.subject.name.strategy": "TopicNameStrategy",
		"value.subject.name.strategy": "TopicNameStrategy", "auto.register.schemas": "true", "errors.tolerance": "none",
		"record.oversize": "fail", "value.format": "avro", "envelope": "none", "lines": "embedded", "reread.interval.ms": "3600000", "schema.conflict": "halt",
		"listeners.https.ssl.client.auth": "none", "egress.allowed.hosts": "*.coupahost.com, *.coupacloud.com",
		"config.providers.env.param.allowlist.pattern": "COUPA(STREAM)?_.*",
		"config.providers.file.param.allowed.paths":    "/run/secrets/coupa, /etc/coupastream/secrets",
		"config.providers.dir.param.allowed.paths":     "/run/secrets/coupa, /etc/coupastream/secrets",
		"exported.mode": "off", "deletes": "off", "initial_state": "RUNNING",
	}
	for _, k := range append(WorkerKeys(), ConnectorKeys()...) {
		if k.Default != want[k.Name] {
			t.Errorf("%s: default %q, want %q", k.Name, k.Default, want[k.Name])
		}
		delete(want, k.Name)
	}
	for name := range want {
		t.Errorf("%s is not declared", name)
	}
}

func TestReferenceShowsEveryKey(t *testing.T) {
	reference := Reference()
	for _, k := range append(WorkerKeys(), ConnectorKeys()...) {
		if !strings.Contains(reference, "| `"+k.Name+"` |") {
			t.Errorf("%s is missing", k.Name)
		}
	}
}

func TestUpdateReferenceReplacesJustTheMarkedPart(t *testing.T) {
	updated, err := UpdateReference([]byte("# Title\n" + referenceBegin + "\nold\n" + referenceEnd + "\nrest\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Title\n" + referenceBegin + "\n\n" + Reference() + "\n" + referenceEnd + "\nrest\n"; string(updated) != want {
		t.Errorf("got:\n%s", updated)
	}
	again, err := UpdateReference(updated)
	if err != nil || !bytes.Equal(again, updated) {
		t.Errorf("a second update changed the document (%v)", err)
	}
	if _, err := UpdateReference([]byte("no marks")); err == nil {
		t.Error("a document without the marks was accepted")
	}
}

// TestReadmeHoldsTheReference fails when a declaration was
// changed and the README was not: go generate updates it.
func TestReadmeHoldsTheReference(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	updated, err := UpdateReference(readme)
	if err != nil {
		t.Fatal("README.md: ", err)
	}
	if !bytes.Equal(readme, updated) {
		t.Error("README.md does not hold the present reference; run: go generate ./connector/config")
	}
}
