package ui

import (
	"math"
	"slices"
	"time"

	"github.com/coupastream/coupastream/connector/rest"
)

// maxTrouble bounds what an error's text takes of an event: the overview needs its beginning.
const maxTrouble = 240

// The events' data.
type (
	event struct {
		At   int64 `json:"at"`
		Now  int64 `json:"now"`
		Full bool  `json:"full,omitempty"`
		// why the source could not be read the last time
		Trouble    string                `json:"trouble,omitempty"`
		Connectors map[string]*connector `json:"connectors,omitempty"`
		Removed    []string              `json:"removed,omitempty"`
	}
	connector struct {
		head
		Whole bool         `json:"whole,omitempty"` // tasks are all that there are
		Tasks map[int]task `json:"tasks,omitempty"`
	}
	head struct {
		Tenant     string  `json:"tenant"`
		State      string  `json:"state"`
		Trace      string  `json:"trace,omitempty"`
		Worker     string  `json:"worker,omitempty"`
		Limit      float64 `json:"limit,omitempty"`
		Current    float64 `json:"current,omitempty"`
		Used       float64 `json:"used,omitempty"`
		TokenError string  `json:"token_error,omitempty"`
	}
	task struct {
		Object    string `json:"object"`
		State     string `json:"state"`
		Condition string `json:"condition,omitempty"`
		Proven    int64  `json:"proven,omitempty"`
		Published int64  `json:"published,omitempty"`
		Errors    int    `json:"errors,omitempty"`
		Trouble   string `json:"trouble,omitempty"`
		Done      int64  `json:"done,omitempty"`
		Total     int64  `json:"total,omitempty"`
	}
)

func headOf(c rest.Health) head {
	h := head{Tenant: c.Tenant, State: c.State, Trace: cut(c.Trace), Worker: c.WorkerID}
	if c.Rate != nil {
		h.Limit, h.Current, h.Used = round(c.Rate.Limit), round(c.Rate.Current), round(c.Rate.Used)
	}
	if c.Token != nil {
		h.TokenError = cut(c.Token.Trouble)
	}
	return h
}

func taskOf(t rest.TaskHealth) task {
	v := task{Object: t.Object, State: t.State, Condition: t.Condition, Published: t.Published, Errors: len(t.Errors), Trouble: cut(t.Trace)}
	if t.Proven != nil {
		v.Proven = t.Proven.UnixMilli()
	}
	if t.Progress != nil {
		v.Done, v.Total = t.Progress.Done, t.Progress.Total
	}
	return v
}

// millis of an instant, 0 for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// round keeps a digit after the point: finer changes of a rate are not worth an event.
func round(f float64) float64 { return math.Round(f*10) / 10 }

func cut(s string) string {
	if r := []rune(s); len(r) > maxTrouble {
		return string(r[:maxTrouble]) + "…"
	}
	return s
}

// overview is what was read, with the version in which each part
// changed last, so that what changed since any version can be told.
type overview struct {
	version    uint64
	connectors map[string]*known
	removed    map[string]uint64
	floor      uint64 // what was removed up to this version is forgotten
}

type known struct {
	head    head
	changed uint64 // head or a task
	whole   uint64 // the set of tasks
	tasks   map[int]*knownTask
}

type knownTask struct {
	task    task
	changed uint64
}

// maxRemoved is how many removed connectors are remembered for streams that come back.
const maxRemoved = 1000

// update compares what was read with what is known, and says whether that is a new version.
func (o *overview) update(connectors []rest.Health) bool {
	next, any := o.version+1, false
	seen := make(map[string]bool, len(connectors))
	for _, c := range connectors {
		seen[c.Name] = true
		k := o.connectors[c.Name]
		if k == nil {
			k = &known{whole: next, changed: next, tasks: map[int]*knownTask{}}
			o.connectors[c.Name] = k
			delete(o.removed, c.Name)
		}
		if h := headOf(c); h != k.head {
			k.head, k.changed = h, next
		}
		for _, t := range c.Tasks {
			v, was := taskOf(t), k.tasks[t.ID]
			if was != nil && was.task == v {
				continue
			}
			if was == nil {
				k.whole = next
			}
			k.tasks[t.ID], k.changed = &knownTask{v, next}, next
		}
		if len(c.Tasks) < len(k.tasks) {
			for id := range k.tasks {
				if !slices.ContainsFunc(c.Tasks, func(t rest.TaskHealth) bool { return t.ID == id }) {
					delete(k.tasks, id)
				}
			}
			k.whole, k.changed = next, next
		}
		any = any || k.changed == next
	}
	for name := range o.connectors {
		if !seen[name] {
			delete(o.connectors, name)
			o.removed[name], any = next, true
		}
	}
	if len(o.removed) > maxRemoved {
		clear(o.removed)
		o.floor = next
	}
	if any {
		o.version = next
	}
	return any
}

// since tells what changed after a version.
func (o *overview) since(version uint64) event {
	e := event{Full: version == 0 || version < o.floor || version > o.version, Connectors: map[string]*connector{}}
	if e.Full {
		version = 0
	}
	for name, k := range o.connectors {
		if k.changed <= version {
			continue
		}
		c := &connector{head: k.head, Whole: k.whole > version, Tasks: map[int]task{}}
		for id, t := range k.tasks {
			if c.Whole || t.changed > version {
				c.Tasks[id] = t.task
			}
		}
		e.Connectors[name] = c
	}
	if !e.Full {
		for name, at := range o.removed {
			if at > version {
				e.Removed = append(e.Removed, name)
			}
		}
		slices.Sort(e.Removed)
	}
	return e
}
