package lineage

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/schemas"
)

// Task is an object of a connector that this worker runs, as it is.
type Task struct {
	Connector string
	Host      string // of the Coupa instance
	Object    *config.Object
	Topics    []string // the rows', and those of lines
	State     status.State
	Trace     string          // why it is FAILED
	Schema    *schemas.Schema // that rows are encoded by, lines included; nil: not known yet
}

// About is what events tell of the worker.
type About struct {
	Group   string // group.id, which is the namespace of jobs
	Broker  string // one of bootstrap.servers, which names the datasets' namespace
	Version string // of coupastream
}

// Watch knows what was told of tasks. It belongs to one goroutine.
type Watch struct {
	about About
	runs  map[key]*run
	next  int // the task at which Due looks first
}

type key struct{ connector, object string }

// run is what was told of a task.
type run struct {
	task   Task // as it was then
	id     string
	open   bool
	failed bool            // told as FAILED, and not running since
	schema *schemas.Schema // of the last RUNNING; nil: there was none
}

// NewWatch knows of no task.
func NewWatch(about About) *Watch { return &Watch{about: about, runs: map[key]*run{}} }

// Due gives the next event of tasks as they are now, which counts as told once told is called; nil: none is.
// Tasks that are not among them are not this worker's any more.
func (w *Watch) Due(now time.Time, tasks []Task) (e *Event, told func()) {
	for range tasks {
		w.next %= len(tasks)
		if e, told = w.due(now, tasks[w.next]); e != nil {
			return e, told
		}
		w.next++
	}
	return w.ended(now, tasks)
}

// due is what is due of a task that is there.
func (w *Watch) due(now time.Time, t Task) (*Event, func()) {
	k := key{t.Connector, t.Object.Path}
	r := w.runs[k]
	if r == nil {
		r = &run{}
	}
	is := *r
	is.task = t
	told := func() {
		w.runs[k] = &is
		w.next++ // the others come before what is due of it then
	}
	switch running, failed := t.State == status.Running, t.State == status.Failed; {
	case !r.open && (running || failed && !r.failed):
		is.id, is.open, is.failed, is.schema = newRunID(now), true, false, nil
		return w.event(now, "START", &is), told
	case !r.open:
		return nil, nil
	case failed:
		is.open, is.failed, is.schema = false, true, nil
		e := w.event(now, "FAIL", &is)
		e.Run.Facets["errorMessage"] = errorFacet{w.base("1-0-1/ErrorMessageRunFacet"), cmp.Or(t.Trace, "unknown"), "Go"}
		return e, told
	case !running:
		is.open, is.schema = false, nil
		return w.event(now, "COMPLETE", &is), told
	case t.Schema != nil && t.Schema != r.schema && (r.schema == nil || t.Schema.JSON() != r.schema.JSON()):
		is.schema = t.Schema
		e := w.event(now, "RUNNING", &is)
		e.Outputs = w.outputs(t)
		return e, told
	}
	return nil, nil
}

// ended is what is due of a task that is not there any more.
func (w *Watch) ended(now time.Time, tasks []Task) (*Event, func()) {
	there := make(map[key]bool, len(tasks))
	for _, t := range tasks {
		there[key{t.Connector, t.Object.Path}] = true
	}
	gone := slices.DeleteFunc(slices.Collect(maps.Keys(w.runs)), func(k key) bool { return there[k] })
	slices.SortFunc(gone, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.connector, b.connector), cmp.Compare(a.object, b.object))
	})
	for _, k := range gone {
		if r := w.runs[k]; r.open {
			return w.event(now, "COMPLETE", r), func() { delete(w.runs, k) }
		}
		delete(w.runs, k)
	}
	return nil, nil
}

// event is one of a run, with its datasets by their names.
func (w *Watch) event(now time.Time, kind string, r *run) *Event {
	e := &Event{
		Type: kind, Time: now.UTC(), Producer: w.producer(), SchemaURL: spec,
		Run: Run{ID: r.id, Facets: map[string]any{"processing_engine": engineFacet{w.base("1-1-1/ProcessingEngineRunFacet"), "coupastream", w.about.Version}}},
		Job: Job{Namespace: w.about.Group, Name: r.task.Connector + "." + r.task.Object.Path, Facets: map[string]any{
			"jobType": jobTypeFacet{w.base("2-0-3/JobTypeJobFacet"), "STREAMING", "COUPASTREAM", "TASK"},
		}},
		Inputs: []Dataset{r.task.input()},
	}
	for _, topic := range r.task.Topics {
		e.Outputs = append(e.Outputs, Dataset{Namespace: w.kafka(), Name: topic})
	}
	return e
}

func (w *Watch) producer() string {
	return "https://github.com/coupastream/coupastream/tree/" + w.about.Version
}

// base names the facet, "1-1-1/ProcessingEngineRunFacet".
func (w *Watch) base(facet string) base {
	name := facet[len("1-1-1/"):]
	return base{w.producer(), facets + facet + ".json#/$defs/" + name}
}

func (w *Watch) kafka() string { return "kafka://" + w.about.Broker }

// input is the dataset that the task reads.
func (t Task) input() Dataset { return Dataset{Namespace: "coupa://" + t.Host, Name: t.Object.Path} }
