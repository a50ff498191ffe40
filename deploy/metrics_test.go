package deploy

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// fixed are names with their labels that dashboards and alerts may rely on besides those of
// METRICS.md: Kafka Connect's, as Strimzi's rules give them, and those of other exporters.
func fixed() map[string][]string {
	stream, tenant := []string{"tenant", "object"}, []string{"tenant"}
	return map[string][]string{
		"kafka_connect_worker_connector_count":                {},
		"kafka_connect_worker_task_count":                     {},
		"kafka_connect_worker_connector_failed_task_count":    {"connector"},
		"kafka_connect_connector_status":                      {"connector", "status"},
		"kafka_connect_connector_task_status":                 {"connector", "task", "status"},
		"kafka_connect_source_task_source_record_poll_total":  {"connector", "task"},
		"kafka_connect_source_task_source_record_write_total": {"connector", "task"},

		"coupastream_freshness_seconds":       stream,
		"coupastream_poll_interval_seconds":   stream,
		"coupastream_requests_total":          {"tenant", "object", "status"},
		"coupastream_rate_limit":              tenant,
		"coupastream_rate":                    tenant,
		"coupastream_page_fill_ratio":         stream,
		"coupastream_row_bytes":               {"object"},
		"coupastream_token_age_seconds":       tenant,
		"coupastream_token_failures_total":    tenant,
		"coupastream_schema_versions_total":   stream,
		"coupastream_lookback_finds_total":    stream,
		"coupastream_condition":               {"tenant", "object", "condition"},
		"coupastream_task_restarts_total":     stream,
		"coupastream_doorbells_total":         stream,
		"coupastream_doorbell_polls_total":    stream,
		"coupastream_backfill_progress_ratio": stream,

		"process_resident_memory_bytes": {},
		"process_cpu_seconds_total":     {},
		"process_start_time_seconds":    {},
		"up":                            {},
		"ALERTS":                        {"alertname", "alertstate"},
	}
}

// metrics are all names that there are, with their labels.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	known := fixed()
	for name, labels := range documentedMetrics(t) {
		known[name] = labels
	}
	return known
}

// documentedMetrics reads the tables of METRICS.md: | `name` | type | `label`, `label` | meaning |
func documentedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)`[^|]*\\|[^|]*\\|([^|]*)\\|").FindAllStringSubmatch(read(t, "METRICS.md"), -1)
	if len(rows) < 10 {
		t.Fatalf("METRICS.md has %d rows of metrics that can be read", len(rows))
	}
	table := map[string][]string{}
	for _, r := range rows {
		table[r[1]] = labelsIn(r[2])
	}
	return table
}

func labelsIn(text string) []string { return regexp.MustCompile(`[a-z_]+`).FindAllString(text, -1) }

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// rule is an alert.
type rule struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) []rule {
	t.Helper()
	var all []rule
	for _, path := range []string{"prometheus/alerts.yaml", "prometheus/alerts_optional.yaml"} {
		var file struct {
			Groups []struct{ Rules []rule }
		}
		if err := yaml.Unmarshal([]byte(read(t, path)), &file); err != nil {
			t.Fatal(err)
		}
		for _, g := range file.Groups {
			all = append(all, g.Rules...)
		}
	}
	if len(all) == 0 {
		t.Fatal("no alerts")
	}
	return all
}

// dashboardQueries are the dashboard's expressions, by the panel's title.
func dashboardQueries(t *testing.T) map[string][]string {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/coupastream.json")), &d); err != nil {
		t.Fatal(err)
	}
	queries := map[string][]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries[p.Title] = append(queries[p.Title], target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" { // the one that every dashboard has is Grafana's own
			queries["annotation "+a.Name] = []string{a.Expr}
		}
	}
	for _, v := range d.Templating.List {
		if inner, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			metric, label, _ := strings.Cut(strings.TrimSuffix(inner, ")"), ", ")
			queries["variable "+v.Name] = []string{"max by (" + label + ") (" + metric + ")"}
		}
	}
	return queries
}

// wrongNames lists the metrics and labels of an expression that there are not.
func wrongNames(expr string, known map[string][]string) []string {
	var wrong []string
	var labels []string // of all metrics in the expression
	everywhere := []string{"job", "instance", "le"}
	for _, use := range regexp.MustCompile(`\b((?:coupastream|kafka_connect|process|go)_[a-z0-9_]+|up|ALERTS)\b(\{[^}]*\})?`).FindAllStringSubmatch(expr, -1) {
		name := use[1]
		own, ok := known[name]
		if base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, ""); !ok {
			own, ok = known[base]
		}
		if !ok {
			wrong = append(wrong, "metric "+name)
			continue
		}
		own = append(slices.Clone(own), everywhere...)
		labels = append(labels, own...)
		for _, m := range regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"`).FindAllStringSubmatch(use[2], -1) {
			if !slices.Contains(own, m[1]) {
				wrong = append(wrong, "label "+m[1]+" of "+name)
			}
		}
	}
	if len(labels) == 0 {
		wrong = append(wrong, "no metric at all")
	}
	for _, by := range regexp.MustCompile(`\b(?:by|without)\s*\(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
		for _, label := range labelsIn(by[1]) {
			if !slices.Contains(labels, label) {
				wrong = append(wrong, "label "+label)
			}
		}
	}
	return wrong
}

func TestMisspelledNamesAreFound(t *testing.T) {
	for expr, want := range map[string][]string{
		`rate(coupastream_row_read_total[5m])`:                                 {"metric coupastream_row_read_total", "no metric at all"},
		`sum by (shard) (coupastream_freshness_seconds)`:                       {"label shard"},
		`coupastream_rate{object="users"}`:                                     {"label object of coupastream_rate"},
		`sum by (le) (rate(coupastream_lateness_seconds_bucket[5m]))`:          nil,
		`max by (tenant) (coupastream_condition{job="x", condition="STUCK"})`:  nil,
		`sum(rate(coupastream_transactions_total{outcome="committed"}[5m]))`:   {"label outcome of coupastream_transactions_total"},
		`kafka_connect_connector_task_status{connector=~"a.*", status="fail"}`: nil,
	} {
		if got := wrongNames(expr, metrics(t)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

func TestAlertsAndDashboardUseMetricsThatThereAre(t *testing.T) {
	known := metrics(t)
	for _, a := range alerts(t) {
		for _, wrong := range wrongNames(a.Expr, known) {
			t.Errorf("alert %s: there is no %s", a.Alert, wrong)
		}
	}
	for panel, queries := range dashboardQueries(t) {
		for _, q := range queries {
			for _, wrong := range wrongNames(q, known) {
				t.Errorf("dashboard, %s: there is no %s in %s", panel, wrong, q)
			}
		}
	}
}

func TestDashboardsPanelsAreWhole(t *testing.T) {
	var d struct {
		UID    string
		Panels []struct {
			ID          int
			Type, Title string
			Description string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/coupastream.json")), &d); err != nil {
		t.Fatal(err)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %d %q: id given twice, or no title, description or query", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies over %q, or beyond the edge", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
}

func TestEveryAlertHasItsRunbookAndItsTest(t *testing.T) {
	runbook := read(t, "RUNBOOK.md")
	tests := read(t, "prometheus/alerts_test.yaml") + read(t, "prometheus/alerts_seconds_test.yaml") + read(t, "prometheus/alerts_optional_test.yaml")
	names := map[string]bool{}
	for _, a := range alerts(t) {
		names[a.Alert] = true
		if !strings.Contains(runbook, "\n## "+a.Alert+"\n") {
			t.Errorf("RUNBOOK.md has no section %s", a.Alert)
		}
		if want := "/deploy/RUNBOOK.md#" + strings.ToLower(a.Alert); !strings.HasSuffix(a.Annotations["runbook_url"], want) {
			t.Errorf("%s: runbook_url %q, want …%s", a.Alert, a.Annotations["runbook_url"], want)
		}
		if a.Annotations["summary"] == "" || !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			t.Errorf("%s: no summary, or severity %q", a.Alert, a.Labels["severity"])
		}
		if !regexp.MustCompile(`alertname: ` + a.Alert + `\n\s+exp_alerts:\n\s+- exp_labels`).MatchString(tests) {
			t.Errorf("%s is never seen to fire in alerts_test.yaml", a.Alert)
		}
	}
	for _, section := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(runbook, -1) {
		if !names[section[1]] {
			t.Errorf("RUNBOOK.md has a section %s, and there is no such alert", section[1])
		}
	}
	for _, link := range regexp.MustCompile(`\]\(#([a-z]+)\)`).FindAllStringSubmatch(runbook, -1) {
		if !slices.ContainsFunc(alerts(t), func(a rule) bool { return strings.ToLower(a.Alert) == link[1] }) {
			t.Errorf("RUNBOOK.md links to #%s, which is no section", link[1])
		}
	}
}
