package contract_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/contract"
)

func parsed(t *testing.T, worker, connector map[string]string) (*config.Worker, *config.Connector) {
	t.Helper()
	none := func(string) (string, bool) { return "", false }
	w := map[string]string{"bootstrap.servers": "a:9092,b:9092", "schema.registry.url": "https://registry:8081", "schema.registry.basic.auth.user.info": "u:hunter2"}
	for key, value := range worker {
		w[key] = value
	}
	settings, err := config.ParseWorker(w, none)
	if err != nil {
		t.Fatal(err)
	}
	c := map[string]string{"name": "acme", "coupa.url": "https://acme.coupahost.com", "coupa.client.id": "id", "coupa.client.secret": "hunter2", "coupa.objects": "invoices"}
	for key, value := range connector {
		c[key] = value
	}
	read, err := config.ParseConnector(c, none)
	if err == nil {
		err = config.CheckTogether(settings, []*config.Connector{read})
	}
	if err != nil {
		t.Fatal(err)
	}
	return settings, read
}

func of(t *testing.T, settings *config.Worker, c *config.Connector, paths ...string) *contract.Document {
	t.Helper()
	d, err := contract.Of(settings, c, paths)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// property follows names, with a dot between, into a topic; through the items of lists.
func property(t *testing.T, topic contract.Topic, path string) contract.Property {
	t.Helper()
	p := contract.Property{Properties: topic.Properties}
	for name := range strings.SplitSeq(path, ".") {
		if p.Items != nil {
			p = *p.Items
		}
		i := slices.IndexFunc(p.Properties, func(p contract.Property) bool { return p.Name == name })
		if i < 0 {
			t.Fatalf("%s has no %s", topic.Name, path)
		}
		p = p.Properties[i]
	}
	return p
}

func TestAContractTellsWhatTheTopicsHold(t *testing.T) {
	t.Parallel()
	settings, c := parsed(t, map[string]string{"topic.creation.default.cleanup.policy": "compact", "sasl.password": "hunter2", "sasl.username": "u", "sasl.mechanism": "PLAIN", "security.protocol": "SASL_SSL"}, map[string]string{
		"coupa.objects": "invoices, suppliers, coupa_pay/invoices", "object.invoices.lines": "topics", "object.suppliers.value.format": "json", "freshness.objective.ms": "90000",
		"mapping.hash.key": strings.Repeat("k", 32), "mapping": "objects: {invoices: {fields: {requester-email: {hash: true}, created-by.email: {mask: x}, status: {rename: state}}, compute: {who: {expression: row.requester_email, type: string, doc: W}}}}",
	})
	d := of(t, settings, c)
	var topics []string
	for _, s := range d.Schema {
		topics = append(topics, s.Name+" "+s.PhysicalName)
	}
	want := "invoices coupa.invoices, invoices_invoice_lines coupa.invoices.invoice_lines, invoices_invoice_charges coupa.invoices.invoice_charges, invoices_tax_lines coupa.invoices.tax_lines, " +
		"suppliers coupa.suppliers, coupa_pay_invoices coupa.coupa_pay_invoices"
	if got := strings.Join(topics, ", "); got != want {
		t.Errorf("topics %s, want %s", got, want)
	}
	invoices, lines, suppliers := d.Schema[0], d.Schema[1], d.Schema[4]
	for _, c := range []struct {
		topic contract.Topic
		path  string
		want  string // name as Coupa has it, types, tags, what it has besides
	}{
		{invoices, "id", "id integer long [] [{key id}] required"},
		{invoices, "state", "status string string [] []"},
		{invoices, "gross_total", "gross-total number decimal(38,9) [] []"},
		{invoices, "invoice_date", "invoice-date date date [] []"},
		{invoices, "created_at", "created-at timestamp timestamp-millis [] []"},
		{invoices, "supplier", "supplier object record [] []"},
		{invoices, "supplier.id", "id integer long [] []"},
		{invoices, "unmapped", "  map [] []"},
		{invoices, "requester_email", "requester-email string string [] [{mapping hash}]"},
		{invoices, "created_by.email", "email string string [] [{mapping mask}]"},
		{invoices, "updated_by.email", "email string string [PII PII_EMAIL] []"},
		{invoices, "who", " string string [PII PII_EMAIL] []"},
		{lines, "parent_id", " integer long [] [] required"},
		{lines, "id", "id integer long [] [{key id}]"},
		{lines, "account_allocations.amount", "amount number decimal(38,6) [] []"},
		{suppliers, "created_at", "created-at timestamp string [] []"},
		{suppliers, "savings_pct", "savings-pct number number [] []"},
		{suppliers, "contacts", "contacts array array [] []"},
		{suppliers, "contacts.phone_work.number", "number string string [PII PII_PHONE] []"},
		{suppliers, "unmapped", "  map [] []"},
	} {
		p := property(t, c.topic, c.path)
		text := strings.NewReplacer("map[", "[", "Property:", "", "Value:", "").Replace(strings.Join([]string{p.BusinessName, p.LogicalType, p.PhysicalType, brackets(p.Tags), customs(p.Custom)}, " "))
		if p.Required {
			text += " required"
		}
		if text != c.want {
			t.Errorf("%s: %s is %q, want %q", c.topic.Name, c.path, text, c.want)
		}
		if p.Description == "" {
			t.Errorf("%s: %s has no description", c.topic.Name, c.path)
		}
	}
	if got := brackets(suppliers.Tags); got != "[PII PII_EMAIL PII_ID PII_NAME PII_PHONE PII_TAX]" || len(lines.Quality) == 0 {
		t.Errorf("suppliers have the tags %s, lines the rules %v", got, lines.Quality)
	}
	text, err := json.Marshal(d)
	if err != nil || strings.Contains(string(text), "hunter2") || strings.Contains(string(text), strings.Repeat("k", 32)) {
		t.Errorf("a secret stands in the contract (%v)", err)
	}
	for _, part := range []string{
		`"servers":[{"server":"kafka-avro","type":"kafka","host":"a:9092,b:9092","format":"avro","customProperties":[{"property":"security.protocol","value":"SASL_SSL"},{"property":"schema.registry.url","value":"https://registry:8081"}]},` +
			`{"server":"kafka-json","type":"kafka","host":"a:9092,b:9092","format":"json","customProperties":[{"property":"security.protocol","value":"SASL_SSL"}]}]`,
		`{"property":"latency","value":90,"unit":"s","element":"invoices_tax_lines"`,
		`{"property":"retention","value":"unlimited","element":"suppliers"`,
		`"tenant":"acme"`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the contract lacks %s", part)
		}
	}
}

func brackets(all []string) string { return "[" + strings.Join(all, " ") + "]" }

func customs(all []contract.Custom) string {
	var texts []string
	for _, c := range all {
		texts = append(texts, "{"+c.Property+" "+c.Value+"}")
	}
	return brackets(texts)
}

func TestAContractHasAnotherVersionWhereAnythingIsAnother(t *testing.T) {
	t.Parallel()
	settings, c := parsed(t, nil, nil)
	one := of(t, settings, c)
	if again := of(t, settings, c, "invoices"); again.Version != one.Version || len(one.Version) != 12 {
		t.Errorf("the same contract has the versions %s and %s", one.Version, again.Version)
	}
	alone := of(t, nil, c)
	if alone.Version == one.Version || alone.Servers != nil || alone.SLA != nil {
		t.Errorf("without a worker there are %v and %v, version %s", alone.Servers, alone.SLA, alone.Version)
	}
	_, other := parsed(t, nil, map[string]string{"decimal.handling.mode": "string"})
	if of(t, settings, other).Version == one.Version {
		t.Error("another schema has the version of the one before")
	}
}

func TestAContractOfAnObjectThatIsNotStreamedIsRefused(t *testing.T) {
	t.Parallel()
	settings, c := parsed(t, nil, nil)
	_, err := contract.Of(settings, c, []string{"invoices", "users"})
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Value != "users" {
		t.Errorf("error %v", err)
	}
}

// In an envelope the row stands in two places, and its lists and records are shown in both.
func TestAnEnvelopeIsDescribedWithItsRow(t *testing.T) {
	t.Parallel()
	settings, c := parsed(t, nil, map[string]string{"envelope": "debezium"})
	topic := of(t, settings, c).Schema[0]
	for _, path := range []string{"before.requester_email", "after.requester_email"} {
		if p := property(t, topic, path); brackets(p.Tags) != "[PII PII_EMAIL]" {
			t.Errorf("%s has the tags %s", path, brackets(p.Tags))
		}
	}
	if p := property(t, topic, "op"); !p.Required || p.LogicalType != "string" {
		t.Errorf("op is %+v", p)
	}
}

// The schemas are those that a contract tells of in its own words.
func TestSchemasAreThoseOfTheTopics(t *testing.T) {
	for format, root := range map[string]string{"avro": `"type":"record"`, "jsonschema": `"$schema"`, "json": `"$schema"`} {
		_, c := parsed(t, nil, map[string]string{"coupa.objects": "invoices, currencies", "lines": "topics", "value.format": format})
		all, err := contract.Schemas(c, []string{"invoices"})
		if err != nil {
			t.Fatal(err)
		}
		d := of(t, nil, c, "invoices")
		if len(all) != len(d.Schema) || len(all) < 2 {
			t.Fatalf("%s: %d schemas of %d topics", format, len(all), len(d.Schema))
		}
		for i, s := range all {
			if s.Object != "invoices" || s.Topic != d.Schema[i].PhysicalName || s.Format != format || !json.Valid(s.Schema) || !strings.Contains(string(s.Schema), root) {
				t.Errorf("%s: %s of %s: %.100s", format, s.Topic, s.Object, s.Schema)
			}
		}
	}
	_, c := parsed(t, nil, nil)
	if _, err := contract.Schemas(c, []string{"users"}); !errors.As(err, new(config.Problems)) {
		t.Errorf("of an object that there is not: %v", err)
	}
}
