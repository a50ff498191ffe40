package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestARegistryIsRequiredWhereRecordsHaveSchemas(t *testing.T) {
	worker := &Worker{File: "worker.yaml"}
	of := func(format string) []*Connector {
		c, err := ParseConnector(map[string]string{
			"name": "acme", "coupa.url": "https://acme.coupahost.com", "coupa.client.id": "x", "coupa.client.secret": "${env:S}",
			"coupa.objects": "invoices", "value.format": format,
		}, func(string) (string, bool) { return "s", true })
		if err != nil {
			t.Fatal(err)
		}
		return []*Connector{c}
	}
	if err := CheckTogether(worker, of("json")); err != nil {
		t.Error(err)
	}
	for _, format := range []string{"avro", "jsonschema"} {
		want := "worker.yaml: schema.registry.url: required, since invoices of acme has value.format=" + format
		if err := CheckTogether(worker, of(format)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		worker := &Worker{Registry: Registry{URLs: []string{"http://localhost:8081"}}}
		if err := CheckTogether(worker, of(format)); err != nil {
			t.Error(err)
		}
	}
}

func TestConnectorsOfOneRunMustNotClash(t *testing.T) {
	connector := func(file string, changes ...string) *Connector {
		raw := minimal("coupa.objects", "invoices,suppliers")
		for i := 0; i < len(changes); i += 2 {
			raw[changes[i]] = changes[i+1]
		}
		c, err := ParseConnector(raw, env)
		if err != nil {
			t.Fatal(err)
		}
		c.File = file
		return c
	}
	for _, test := range []struct {
		name   string
		second *Connector
		want   []string
	}{
		{"another tenant with a topic shared", connector("b.yaml", "name", "b", "tenant", "b"), nil},
		{"other objects of the same tenant", connector("b.yaml", "name", "b", "coupa.objects", "users"), nil},
		{"the same name", connector("b.yaml", "tenant", "b"),
			[]string{`b.yaml: name = "acme": the name of another connector (a.yaml) too; give each a name of its own`}},
		{"the same object of the same tenant", connector("b.yaml", "name", "b", "coupa.objects", "suppliers"),
			[]string{`b.yaml: coupa.objects: suppliers of tenant acme is streamed by acme (a.yaml) too; stream it once, or give the instances different tenants`}},
		{"another object in the same topic", connector("b.yaml", "name", "b", "tenant", "b", "coupa.objects", "users", "topic.template", "coupa.invoices"),
			[]string{`b.yaml: topic.template = "coupa.invoices": puts users into coupa.invoices, where another connector puts invoices; give each a topic of its own`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if err := CheckTogether(nil, []*Connector{connector("a.yaml"), test.second}); err != nil {
				got = err.Error()
			}
			if want := strings.Join(test.want, "\n"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestTopicsHoldOneThingEach(t *testing.T) {
	w, err := ParseWorker(map[string]string{"bootstrap.servers": "localhost:9092", "group.id": "g", "state.dir": t.TempDir(),
		"schema.registry.url": "http://localhost:8081", "config.storage.topic": "configs", "notifications.topic": "told.invoice_lines"}, env)
	if err != nil {
		t.Fatal(err)
	}
	dead := []string{"errors.tolerance", "all", "errors.deadletterqueue.topic.name"}
	for _, test := range []struct {
		name string
		with []string
		want string // "": all is well
	}{
		{"rows among the checkpoints", []string{"topic.template", "g-checkpoints"}, `topic.template = "g-checkpoints": puts invoices into g-checkpoints, where the worker puts its checkpoints; `},
		{"rows by another template", []string{"topic.template", "${object}-checkpoints", "tenant", "g", "object.invoices.topic.template", "${tenant}-checkpoints"},
			`object.invoices.topic.template = "${tenant}-checkpoints": puts invoices into g-checkpoints, where the worker puts its checkpoints; `},
		{"lines among notifications", []string{"lines", "topics", "topic.template", "told"}, `lines = "topics": puts invoice_lines of invoices into told.invoice_lines, where the worker puts notifications; `},
		{"dead letters among the configuration", append(dead, "configs"), `errors.deadletterqueue.topic.name = "configs": puts dead letters into configs, where the worker puts the configuration of connectors; `},
		{"notifications among the checkpoints", []string{"notifications.topic", "g-checkpoints"}, `notifications.topic = "g-checkpoints": puts notifications into g-checkpoints, where the worker puts its checkpoints; `},
		{"rows among notifications", []string{"topic.template", "told.invoice_lines"}, `topic.template = "told.invoice_lines": puts invoices into told.invoice_lines, where the worker puts notifications; `},
		{"the worker's topic of notifications", []string{"notifications.topic", "told.invoice_lines"}, ""},
		{"dead letters among another object's rows", []string{"coupa.objects", "invoices, users", "object.invoices.errors.tolerance", "all", "object.invoices.errors.deadletterqueue.topic.name", "coupa.users"},
			`object.invoices.errors.deadletterqueue.topic.name = "coupa.users": puts dead letters into coupa.users, where this connector puts users; `},
		{"notifications among its own rows", []string{"notifications.topic", "coupa.invoices"}, `notifications.topic = "coupa.invoices": puts notifications into coupa.invoices, where this connector puts invoices; `},
		{"dead letters among another's rows", append(dead, "coupa.suppliers"), `errors.deadletterqueue.topic.name = "coupa.suppliers": puts dead letters into coupa.suppliers, where another connector puts suppliers; `},
		{"dead letters with another's", append(dead, "dead"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			other, err := ParseConnector(minimal(append(dead, "dead", "name", "other", "tenant", "other", "coupa.objects", "suppliers")...), env)
			if err != nil {
				t.Fatal(err)
			}
			c, err := ParseConnector(minimal(append([]string{"coupa.objects", "invoices"}, test.with...)...), env)
			if err != nil {
				t.Fatal(err)
			}
			beside, together := CheckBeside(w, c, []*Connector{other}), CheckTogether(w, []*Connector{other, c})
			if test.want == "" && (beside != nil || together != nil) {
				t.Errorf("%v, %v", beside, together)
			}
			if want := test.want + "give each a topic of its own"; test.want != "" && (beside == nil || beside.Error() != want || together == nil || together.Error() != want) {
				t.Errorf("%v\n%v\nwant %s", beside, together, want)
			}
		})
	}
	for _, topic := range []string{"g-checkpoints", "g-configs"} {
		_, err := ParseWorker(map[string]string{"bootstrap.servers": "localhost:9092", "group.id": "g", "state.dir": t.TempDir(), "notifications.topic": topic}, env)
		if err == nil || !strings.Contains(err.Error(), `notifications.topic = "`+topic+`": is where the worker puts `) {
			t.Errorf("%v", err)
		}
	}
}

func TestTheRateIsFoundUnlessANumberIsGiven(t *testing.T) {
	for _, test := range []struct {
		key, value string
		most       float64
		pace       string
		auto       bool
	}{
		{"tenant", "acme", 25, "auto, at most 25", true},
		{"coupa.rate.limit", "AUTO", 25, "auto, at most 25", true},
		{"coupa.rate.limit.max", "60", 60, "auto, at most 60", true},
		{"coupa.rate.limit", "15", 15, "15", false},
		{"coupa.rate.limit", "0", 0, "0", false},
	} {
		c, err := ParseConnector(minimal(test.key, test.value), env)
		if err != nil {
			t.Fatal(err)
		}
		s := c.Limiter().Stats()
		if s.Limit != test.most || c.MostRequests() != test.most || c.Pace() != test.pace || s.Auto != test.auto {
			t.Errorf("%s = %s: %+v, at most %v, %s; want %+v", test.key, test.value, s, c.MostRequests(), c.Pace(), test)
		}
	}
	for _, value := range []string{"0", "-0.0", "-1", "0.0009", "auto", "NaN"} {
		if _, err := ParseConnector(minimal("coupa.rate.limit.max", value), env); err == nil {
			t.Errorf("coupa.rate.limit.max = %s is taken", value)
		}
	}
}

func TestTheLeastRateIsOneThatIsEverReached(t *testing.T) {
	for value, ok := range map[string]bool{"0": true, "0.001": true, "15": true, "1e-300": false, "0.0009": false} {
		if _, err := ParseConnector(minimal("coupa.rate.limit", value), env); (err == nil) != ok {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// A key of a megabyte, compared with every key that there is, would take minutes.
func TestTheNearestKeyIsLookedForWithinBounds(t *testing.T) {
	raw := minimal("coupa.cliend.id"+strings.Repeat("x", 1<<20), "v")
	for i := range 2 * mostSuggested {
		raw[fmt.Sprintf("coupa.client.id%d", i)] = "v"
	}
	_, err := ParseConnector(raw, env)
	if err == nil || strings.Count(err.Error(), "the nearest one is") != mostSuggested-1 || strings.Count(err.Error(), "unknown key; coupastream config lists all") != mostSuggested+2 {
		t.Errorf("%.300v", err)
	}
}

func TestInitialFromIsATimeThatMarksCanBe(t *testing.T) {
	for value, ok := range map[string]bool{
		"earliest": true, "latest": true, "2026-01-01T00:00:00Z": true, "1900-01-01T00:00:00Z": true, "2100-12-31T23:59:59Z": true,
		"9999-12-31T23:59:59Z": false, "0001-01-01T00:00:00Z": false, "1899-12-31T23:59:59Z": false, "2101-01-01T00:30:00+01:00": true,
	} {
		_, err := ParseConnector(minimal("initial.from", value), env)
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(), `initial.from = "`+value+`": lies outside the years 1900 to 2100; write earliest`) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestTenantIsTheFirstLabelOfTheHost(t *testing.T) {
	for url, want := range map[string]string{
		"https://acme.coupahost.com":       "acme",
		"https://ACME-test.coupahost.com":  "ACME-test",
		"http://localhost:8090":            "localhost",
		"https://acme.coupahost.com:8443/": "acme",
	} {
		c, err := ParseConnector(minimal("coupa.url", url), env)
		if err != nil || c.Tenant != want {
			t.Errorf("%s: got %v (%v), want %s", url, c, err, want)
		}
	}
}

func TestScopesComeFromTheObjects(t *testing.T) {
	c, err := ParseConnector(minimal("coupa.objects", "suppliers, invoices"), env)
	if err != nil {
		t.Fatal(err)
	}
	if want := "core.invoice.read core.supplier.read"; c.Scope != want || strings.Join(c.Coupa().Scopes, " ") != want {
		t.Errorf("got %q, want %q", c.Scope, want)
	}
}

func TestEachObjectHasItsBoundOfARow(t *testing.T) {
	c, err := ParseConnector(minimal("coupa.objects", "suppliers, invoices", "object.invoices.row.max.bytes", "1000000"), env)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Coupa().RowBytesOf; len(got) != 2 || got["suppliers"] != 64<<20 || got["invoices"] != 1_000_000 {
		t.Errorf("%v", got)
	}
	for _, bound := range []string{"65535", "1073741825", "64 MiB"} {
		if _, err := ParseConnector(minimal("row.max.bytes", bound), env); err == nil || !strings.Contains(err.Error(), "row.max.bytes") {
			t.Errorf("%s: %v", bound, err)
		}
	}
}

func TestUnreadableFilesAreOneProblem(t *testing.T) {
	for path, want := range map[string]string{
		"testdata/nowhere.yaml": "testdata/nowhere.yaml: there is no such file; check the path",
		"testdata":              "testdata: unknown kind of file; name it .yaml, .json or .properties",
	} {
		if _, _, err := Load(path, env); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestAConnectorFileIsReadForSendingAsItIs(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "flat.yaml", "name: acme\ncoupa.client.secret: ${env:NOT_SET_HERE}\ncoupa.objects: [invoices, users]\n")
	write(t, "nested.json", `{"name": "acme", "config": {"coupa.client.secret": "${env:NOT_SET_HERE}", "coupa.objects": "invoices,users"}}`)
	write(t, "nameless.yaml", "coupa.url: https://acme.coupahost.com\n")
	for _, path := range []string{"flat.yaml", "nested.json"} {
		raw, err := ReadConnector(path)
		if err != nil || len(raw) != 3 || raw["name"] != "acme" || raw["coupa.client.secret"] != "${env:NOT_SET_HERE}" || raw["coupa.objects"] != "invoices,users" {
			t.Errorf("%s: %v, %v", path, raw, err)
		}
	}
	if _, err := ReadConnector("nameless.yaml"); err == nil || err.Error() != "nameless.yaml: name: required, but not given; give a value, e.g. acme" {
		t.Errorf("%v", err)
	}
}

// A file that another one names is beside it, wherever the program is started.
func TestFilesAreBesideTheFileThatNamesThem(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "mapping.yaml"), "objects: {users: {leave-out: [email]}}\n")
	write(t, filepath.Join(folder, "acme.yaml"), "name: acme\ncoupa.url: https://acme.coupahost.com\ncoupa.client.id: a\ncoupa.client.secret: b\ncoupa.objects: users\nmapping.file: mapping.yaml\n")
	c, err := LoadConnector(filepath.Join(folder, "acme.yaml"), env)
	if err != nil || c.MappingFile != filepath.Join(folder, "mapping.yaml") || c.Raw[mappingFileKey] != "mapping.yaml" {
		t.Fatalf("%+v, %v", c, err)
	}
	write(t, filepath.Join(folder, "worker.yaml"), "bootstrap.servers: a:9092\nschema.registry.url: http://a:8081\nsecurity.protocol: SSL\nssl.ca.location: certs/ca.pem\nssl.certificate.location: /etc/client.pem\nssl.key.location: /etc/client.key\n")
	w, err := LoadWorker(filepath.Join(folder, "worker.yaml"), env)
	if err != nil || w.Security.CA != filepath.Join(folder, "certs", "ca.pem") || w.Security.Cert != "/etc/client.pem" {
		t.Errorf("%+v, %v", w, err)
	}
}
