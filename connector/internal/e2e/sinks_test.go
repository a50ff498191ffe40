//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// sinksFolder has a page for each sink, and the files that users take from it, which are those that run here.
const sinksFolder = "../../../deploy/sinks/"

// sink is a data platform, or a consumer's program, that reads the topics of a tenant. sinks.sh runs it and
// has it print what its tables hold.
type sink struct {
	name    string // of sinks.sh
	what    string
	tables  []string // that it has: all, where none are named
	group   string   // in which it commits positions, which pass the last marker
	appends bool     // it has no deletes: deleted rows are there, as they were last
}

var sinks = []sink{
	{name: "duckdb", what: "[Polars, DuckDB](duckdb.md)"},
	{name: "postgresql_rows", what: "[PostgreSQL](postgresql.md), rows"},
	{name: "postgresql_changes", what: "[PostgreSQL](postgresql.md), changes", tables: enveloped},
	{name: "clickhouse", what: "[ClickHouse](clickhouse.md), changes", tables: enveloped},
	{name: "flink_upsert", what: "[Flink SQL](flink.md), upsert-kafka"},
	{name: "flink_append", what: "[Flink SQL](flink.md), kafka", appends: true},
	{name: "iceberg_rows", what: "[Iceberg](iceberg.md), rows", appends: true},
	{name: "iceberg_changes", what: "[Iceberg](iceberg.md), changes", tables: enveloped},
	{name: "spark", what: "[Spark](spark.md)"},
	{name: "python", what: "[Python](../consumers/python/table.py)", tables: invoicesAlone, group: "table-python"},
	{name: "go", what: "[Go](../consumers/go/main.go)", tables: invoicesAlone, group: "table-go"},
	{name: "java", what: "[Java](../consumers/java/Table.java)", tables: invoicesAlone, group: "table-java"},
	{name: "node", what: "[Node](../consumers/node/table.js)", tables: invoicesAlone, group: "table-node"},
}

// enveloped are the tables of topics in Debezium's envelope.
var enveloped = []string{"invoices", "purchase_orders", "suppliers"}

// invoicesAlone is what the programs in deploy/consumers keep a table of.
var invoicesAlone = []string{"invoices"}

// sinkTables are the tables of a sink, each made of one topic.
var sinkTables = []string{"invoices", "invoice_lines", "purchase_orders", "suppliers"}

// measure is what a table holds: sums, which no order of rows changes. What a sink does not measure is left
// out of what it prints, and not compared.
type measure struct {
	Rows    *int64  `json:"rows"`
	IDs     *int64  `json:"ids"`
	Amount  *string `json:"amount"`  // exact: gross_total, total, or the custom field budget
	Days    *int64  `json:"days"`    // since 1970, of invoice_date
	Seconds *int64  `json:"seconds"` // since 1970, of updated_at
	Late    *int64  `json:"late"`    // rows with the custom field that appeared while the connector ran
}

// TestSinks publishes a tenant's rows, with custom fields, one of which appears later, and deletes, and has
// each sink read the topics. Its tables must be what the tenant has. E2E_SINKS names those to try, by comma;
// E2E_SINKS_TABLE is the document that gets
// their lines of the table of results.
func TestSinks(t *testing.T) {
	p := start(t, "")
	before, after := p.publishForSinks(t)
	for _, s := range sinks {
		if only := os.Getenv("E2E_SINKS"); only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			want := after
			if s.appends {
				want = before
			}
			result := p.compareSink(t, s, want)
			if document := os.Getenv("E2E_SINKS_TABLE"); document != "" {
				writeSinkResult(t, document, s, result)
			}
		})
	}
}

// publishForSinks runs a worker with the two connectors of the pages until all is published, and gives what
// the tenant has before rows are deleted, and after.
func (p *parts) publishForSinks(t *testing.T) (before, after map[string]measure) {
	const rows = 120
	tenant := p.tenant(t, "acme", "--objects", "invoices,purchase_orders,suppliers", "--rows", fmt.Sprint(rows), "--changes-per-second", "5")
	custom := func(through int, value string) {
		for _, object := range []string{"invoices", "purchase_orders", "suppliers"} {
			for _, id := range slices.Sorted(maps.Keys(tenant.ids(t, object)))[:through] {
				body := json.RawMessage(fmt.Sprintf(value, id))
				tenant.must(t, http.MethodPost, fmt.Sprintf("/_tenant/objects/%s/%d/members/custom-fields", object, id), body, nil)
			}
		}
	}
	custom(60, `{"budget":%d.25,"region":"0042"}`)
	w := p.worker(t, tenant, connectorOfPage(t, "acme.yaml"))
	changes := p.worker(t, tenant.as("changes"+p.run), connectorOfPage(t, "changes.yaml"))
	w.beside = []*worker{changes}
	topics := []string{"coupa.invoices.invoice_lines"}
	for _, object := range w.objects {
		topics = append(topics, "coupa."+object, "changes."+object)
	}
	adm := p.admin(t)
	settle := func() {
		t.Helper()
		if err := atRest(t.Context(), adm, topics, 20*time.Second, 5*time.Minute); err != nil {
			t.Fatal(err)
		}
		w.alive(t)
	}
	w.start()
	if err := await(t.Context(), "the history", 5*time.Minute, func() error {
		ends, err := endOffsets(t.Context(), adm, topics)
		for _, topic := range topics {
			if ends[topic] < rows {
				err = errors.Join(err, fmt.Errorf("%s has %d of %d", topic, ends[topic], rows))
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	custom(20, `{"budget":%d.75,"region":"0042","reviewed":true}`)
	tenant.pause(t)
	settle()
	before = tenant.measures(t)
	both := []*worker{w, changes}
	for _, connector := range both { // so that no sweep sees some of the deletes alone
		connector.ask(t, w.listener, http.MethodPut, "/pause")
	}
	for _, object := range w.objects {
		ids := slices.Sorted(maps.Keys(tenant.ids(t, object)))
		for _, i := range []int{5, 50, 90} {
			tenant.must(t, http.MethodDelete, fmt.Sprintf("/_tenant/objects/%s/%d", object, ids[i]), nil, nil)
		}
	}
	for _, connector := range both {
		connector.ask(t, w.listener, http.MethodPut, "/resume")
	}
	for _, connector := range both {
		for _, object := range []string{"purchase_orders", "suppliers"} { // which Coupa's API can't delete
			connector.ask(t, w.listener, http.MethodPost, "/deletes/"+object+"/approve")
		}
	}
	settle()
	w.stop(t)
	return before, tenant.measures(t)
}

// ask sends a request about a connector until it is taken: a sweep can be approved when it waits for that.
func (w *worker) ask(t *testing.T, listener, method, path string) {
	t.Helper()
	if err := await(t.Context(), path, 2*time.Minute, func() error {
		req, err := http.NewRequestWithContext(t.Context(), method, listener+"/connectors/"+w.tenant.name+path, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			return fmt.Errorf("%s: %s", path, resp.Status)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// connectorOfPage are the keys of a connector file that a page shows, but for where Coupa is.
func connectorOfPage(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(sinksFolder + file)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{"topic.template": "coupa.${object}", "deletes.interval.ms": "3000", "overlap.ms": "5000"}
	if err := yaml.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"name", "tenant", "coupa.url", "coupa.client.id", "coupa.client.secret"} {
		delete(keys, key)
	}
	keys["coupa.objects"] = strings.ReplaceAll(keys["coupa.objects"], " ", "")
	return keys
}

// measures is what the tables of a sink have to hold: what the tenant has.
func (t *tenant) measures(tb testing.TB) map[string]measure {
	tb.Helper()
	all := map[string]measure{}
	type row struct {
		ID        int64
		UpdatedAt time.Time       `json:"updated-at"`
		Gross     json.RawMessage `json:"gross-total"`
		Date      json.RawMessage `json:"invoice-date"`
		Total     json.RawMessage `json:"total"`
		Lines     json.RawMessage `json:"invoice-lines"`
		Custom    json.RawMessage `json:"custom-fields"`
	}
	type custom struct {
		Budget   json.RawMessage
		Reviewed bool
	}
	type sum struct {
		rows, ids, days, seconds, late int64
		amount                         big.Rat
	}
	add := func(s *sum, r row, raw json.RawMessage) {
		s.rows++
		s.ids += r.ID
		s.seconds += r.UpdatedAt.Unix()
		if day, _, ok := strings.Cut(strings.Trim(string(r.Date), `"`), "T"); ok {
			at, err := time.Parse(time.DateOnly, day)
			if err != nil {
				tb.Fatal(err)
			}
			s.days += at.Unix() / (24 * 60 * 60)
		}
		if amount := strings.Trim(string(raw), `"`); amount != "" && amount != "null" {
			n, ok := new(big.Rat).SetString(amount)
			if !ok {
				tb.Fatalf("an amount %q", amount)
			}
			s.amount.Add(&s.amount, n)
		}
	}
	for _, object := range []string{"invoices", "purchase_orders", "suppliers"} {
		body, err := get(tb.Context(), t.url+"/_tenant/rows?object="+object)
		if err != nil {
			tb.Fatal(err)
		}
		var rows, lines sum
		for line := range strings.Lines(string(body)) {
			var answer struct{ Row json.RawMessage }
			err := json.Unmarshal([]byte(line), &answer)
			var r row
			if err == nil {
				err = json.Unmarshal(answer.Row, &r)
			}
			if err != nil {
				tb.Fatalf("%v: %s", err, line)
			}
			// An object or a list without a value may be "" or [] as well.
			var own custom
			_ = json.Unmarshal(r.Custom, &own)
			if own.Reviewed {
				rows.late++
			}
			if object == "invoices" {
				own.Budget = r.Gross
			}
			add(&rows, r, own.Budget)
			var of []row
			_ = json.Unmarshal(r.Lines, &of)
			for _, l := range of {
				add(&lines, l, l.Total)
			}
		}
		told := func(s *sum) measure {
			amount := s.amount.FloatString(20)
			return measure{&s.rows, &s.ids, &amount, &s.days, &s.seconds, &s.late}
		}
		all[object] = told(&rows)
		if object == "invoices" {
			all["invoice_lines"] = told(&lines)
		}
	}
	return all
}

// compareSink runs a sink, compares its tables with what they have to be, and gives its line of the table of
// results.
func (p *parts) compareSink(t *testing.T, s sink, want map[string]measure) string {
	folder := filepath.Join(p.dir, "sink-"+s.name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "./sinks.sh", s.name, p.bootstrap, p.registry, folder)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	got, version := map[string]measure{}, ""
	for line := range strings.Lines(string(out)) {
		var told struct {
			Version, Table string
			measure
		}
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if told.Table == "" {
			version = told.Version
		} else {
			got[told.Table] = told.measure
		}
	}
	if s.group != "" {
		lags, err := p.admin(t).Lag(t.Context(), s.group)
		lag := lags[s.group]
		if err == nil {
			err = lag.Error()
		}
		if err != nil || lag.Lag.Total() != 0 {
			t.Errorf("the lag of %s is %d, want 0 (%v)", s.group, lag.Lag.Total(), err)
		}
	}
	cells := []string{s.what, version}
	for _, table := range sinkTables {
		if s.tables != nil && !slices.Contains(s.tables, table) {
			cells = append(cells, "")
			continue
		}
		if wrong := got[table].differs(want[table]); wrong != "" {
			t.Errorf("%s: %s", table, wrong)
			cells = append(cells, "**differs**")
			continue
		}
		cell := fmt.Sprint(*got[table].Rows)
		if amount := got[table].Amount; amount != nil {
			cell += ", " + trimZeros(*amount)
		}
		cells = append(cells, cell)
	}
	verdict := "equal"
	switch {
	case t.Failed():
		verdict = "**differs**"
	case s.appends:
		verdict = "equal, with the deleted rows"
	}
	return "| " + strings.Join(append(cells, verdict, time.Now().UTC().Format(time.DateOnly)), " | ") + " |\n"
}

// differs says in what a table is not what it has to be.
func (m measure) differs(want measure) string {
	if m.Rows == nil {
		return "the table is not there"
	}
	var wrong []string
	for _, c := range []struct {
		what      string
		got, want *int64
	}{
		{"rows", m.Rows, want.Rows}, {"sum of ids", m.IDs, want.IDs}, {"sum of days", m.Days, want.Days},
		{"sum of updated_at", m.Seconds, want.Seconds}, {"rows with the later field", m.Late, want.Late},
	} {
		if c.got != nil && *c.got != *c.want {
			wrong = append(wrong, fmt.Sprintf("%s: %d, want %d", c.what, *c.got, *c.want))
		}
	}
	if m.Amount != nil {
		if got, ok := new(big.Rat).SetString(*m.Amount); !ok || got.FloatString(20) != *want.Amount {
			wrong = append(wrong, fmt.Sprintf("amount: %s, want %s", *m.Amount, *want.Amount))
		}
	}
	return strings.Join(wrong, "; ")
}

func trimZeros(amount string) string {
	if strings.Contains(amount, ".") {
		amount = strings.TrimRight(amount, "0")
	}
	return strings.TrimSuffix(amount, ".")
}

// writeSinkResult puts a sink's line into the table between the marks in a document, in place of its former
// one.
func writeSinkResult(t *testing.T, document string, s sink, line string) {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(text), "<!-- results -->\n")
	former, after, ended := strings.Cut(rest, "<!-- end of results -->")
	if !begun || !ended {
		t.Fatalf("%s has no marks", document)
	}
	table := "| | version | " + strings.Join(sinkTables, " | ") + " | verdict | date |\n" + strings.Repeat("|---", len(sinkTables)+4) + "|\n"
	for _, other := range sinks {
		if other.name == s.name {
			table += line
			continue
		}
		for old := range strings.Lines(former) {
			if strings.HasPrefix(old, "| "+other.what+" |") {
				table += old
			}
		}
	}
	if err := os.WriteFile(document, []byte(before+"<!-- results -->\n"+table+"<!-- end of results -->"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
