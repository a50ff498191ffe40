package lineage

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
)

var update = flag.Bool("update", false, "write testdata/events.ndjson, which openlineage-python reads (make lineage)")

var (
	at    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	about = About{Group: "coupastream", Broker: "broker:9092", Version: "v1.2.3"}
)

// connector is one that streams departments and invoices, with rules.
func connector(t *testing.T) *config.Connector {
	t.Helper()
	c, err := config.ParseConnector(map[string]string{
		"name": "acme", "coupa.url": "https://acme.coupahost.com", "coupa.client.id": "id", "coupa.client.secret": "hunter2", "coupa.objects": "departments, purchase_orders", "custom.fields": "typed",
		"object.purchase_orders.lines": "topics", "mapping.hash.key": strings.Repeat("k", 32), "mapping": `objects:
  departments:
    fields: {name: {rename: title}, created-by.email: {hash: true}, created-by.login: {mask: x}}
    compute: {who: {expression: "row.created_by.login + row.name", type: string}}
  purchase_orders:
    choose: [po-number, order-lines.id, order-lines.description]`,
	}, func(string) (string, bool) { return "", false })
	if err == nil {
		err = config.CheckBeside(&config.Worker{Registry: config.Registry{URLs: []string{"http://registry:8081"}}}, c, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func task(t *testing.T, c *config.Connector, i int, state status.State) Task {
	t.Helper()
	o := &c.Objects[i]
	s, err := schemas.For(o.Path, o.SchemaOptions())
	if err != nil {
		t.Fatal(err)
	}
	return Task{Connector: c.Name, Host: c.Host(), Object: o, Topics: []string{o.Topic}, State: state, Schema: s}
}

// all gives what is due of tasks, and counts it as told.
func all(w *Watch, tasks ...Task) (events []*Event) {
	for {
		e, told := w.Due(at, tasks)
		if e == nil {
			return events
		}
		told()
		events = append(events, e)
	}
}

func kinds(events []*Event) string {
	var texts []string
	for _, e := range events {
		texts = append(texts, e.Job.Name+" "+e.Type)
	}
	return strings.Join(texts, ", ")
}

func TestARunIsToldFromItsStartToItsEnd(t *testing.T) {
	t.Parallel()
	c := connector(t)
	w := NewWatch(about)
	is := task(t, c, 0, status.Running)
	unknown := is
	unknown.Schema = nil
	grown := is
	o := c.Objects[0].SchemaOptions()
	fields := new(custom.Fields)
	if err := fields.UnmarshalJSON([]byte(`{"Department":[{"name":"region","types":["string"]}]}`)); err != nil {
		t.Fatal(err)
	}
	o.Custom = fields
	var err error
	if grown.Schema, err = schemas.For("departments", o); err != nil {
		t.Fatal(err)
	}
	down, up := is, is
	down.State, down.Trace, up.State = status.Failed, "HTTP 403: scope missing", status.Paused
	runs := map[string]bool{}
	for _, step := range []struct {
		tasks []Task
		want  string
	}{
		{[]Task{up}, ""},
		{[]Task{unknown}, "acme.departments START"},
		{[]Task{unknown}, ""},
		{[]Task{is}, "acme.departments RUNNING"},
		{[]Task{is}, ""},
		{[]Task{grown}, "acme.departments RUNNING"},
		{[]Task{down}, "acme.departments FAIL"},
		{[]Task{down}, ""},
		{[]Task{grown}, "acme.departments START, acme.departments RUNNING"},
		{[]Task{up}, "acme.departments COMPLETE"},
		{[]Task{down}, "acme.departments START, acme.departments FAIL"},
		{[]Task{up}, ""},
		{[]Task{is}, "acme.departments START, acme.departments RUNNING"},
		{nil, "acme.departments COMPLETE"},
		{nil, ""},
	} {
		events := all(w, step.tasks...)
		if got := kinds(events); got != step.want {
			t.Fatalf("%s: %q, want %q", kindsOf(step.tasks), got, step.want)
		}
		for _, e := range events {
			if e.Type == "START" == runs[e.Run.ID] {
				t.Errorf("%s of the run %s: each has one start", e.Type, e.Run.ID)
			}
			runs[e.Run.ID] = true
			text, err := json.Marshal(e)
			if e.Type == "FAIL" != strings.Contains(string(text), `"message":"HTTP 403: scope missing"`) {
				t.Errorf("%s: %s (%v)", e.Type, text, err)
			}
			if strings.Contains(string(text), "hunter2") {
				t.Error("a secret stands in an event")
			}
		}
	}
	if len(runs) != 4 {
		t.Errorf("%d runs, want 4", len(runs))
	}
	if len(w.runs) != 0 {
		t.Errorf("%d tasks are remembered that are gone", len(w.runs))
	}
}

func kindsOf(tasks []Task) string {
	if len(tasks) == 0 {
		return "gone"
	}
	return string(tasks[0].State)
}

// What was not taken is due again, as what is so by then.
func TestWhatWasNotTakenIsDueAgain(t *testing.T) {
	t.Parallel()
	c := connector(t)
	w := NewWatch(about)
	is := task(t, c, 0, status.Running)
	for range 3 {
		if e, _ := w.Due(at, []Task{is}); e == nil || e.Type != "START" {
			t.Fatalf("%+v is due, want START", e)
		}
	}
	if e, _ := w.Due(at, nil); e != nil {
		t.Errorf("a run of which nobody knows is told as ended: %+v", e)
	}
}

// One that changes all the time keeps no other from being told.
func TestATaskThatFlapsKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	c := connector(t)
	w := NewWatch(about)
	told := map[string]int{}
	for i := range 10 {
		flaps, other := task(t, c, 0, status.Running), task(t, c, 1, status.Running)
		if i%2 > 0 {
			flaps.State = status.Failed
		}
		if e, took := w.Due(at, []Task{flaps, other}); e != nil {
			took()
			told[e.Job.Name]++
		}
	}
	if told["acme.purchase_orders"] == 0 {
		t.Errorf("told are %v", told)
	}
}

var runID = regexp.MustCompile(`"runId":"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`)

// The events are kept, so that what reads them can be tried without a worker.
func TestEventsAreThoseThatOpenLineageReads(t *testing.T) {
	t.Parallel()
	c := connector(t)
	w := NewWatch(about)
	down := task(t, c, 1, status.Failed)
	down.Trace = "HTTP 403: scope missing"
	events := append(all(w, task(t, c, 0, status.Running), task(t, c, 1, status.Running)), all(w, down)...)
	var text bytes.Buffer
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if !runID.Match(line) {
			t.Errorf("the run of %s has no UUID of version 7", line)
		}
		text.Write(append(runID.ReplaceAll(line, []byte(`"runId":"019b7c5e-1234-7abc-8def-0123456789ab"`)), '\n'))
	}
	for _, part := range []string{
		`"inputs":[{"namespace":"coupa://acme.coupahost.com","name":"departments"}],"outputs":[{"namespace":"kafka://broker:9092","name":"coupa.departments"}]`,
		`"title":{"inputFields":[{"namespace":"coupa://acme.coupahost.com","name":"departments","field":"name","transformations":[{"type":"DIRECT","subtype":"IDENTITY","masking":false}]}]}`,
		`"created_by.email":{"inputFields":[{"namespace":"coupa://acme.coupahost.com","name":"departments","field":"created-by.email","transformations":[{"type":"DIRECT","subtype":"TRANSFORMATION","description":"hash","masking":true}]}]}`,
		`"who":{"inputFields":[{"namespace":"coupa://acme.coupahost.com","name":"departments","field":"created-by.login","transformations":[{"type":"DIRECT","subtype":"TRANSFORMATION","description":"expression","masking":false}]},{"namespace":"coupa://acme.coupahost.com","name":"departments","field":"name"`,
		`"name":"coupa.purchase_orders.order_lines","facets":{"columnLineage":`,
		`"description":{"inputFields":[{"namespace":"coupa://acme.coupahost.com","name":"purchase_orders","field":"order-lines.description"`,
	} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the events lack %s", part)
		}
	}
	const file = "testdata/events.ndjson"
	if *update {
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(want, text.Bytes()) {
		t.Errorf("the events are not those of %s (%v); write them with -update, and have them read: make lineage", file, err)
	}
}
