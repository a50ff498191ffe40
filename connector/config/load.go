package config

import (
	"fmt"
	"slices"
	"strings"
)

// Load reads a file that is either a worker's or a connector's, by its content:
// exactly one of the results is not nil when there is no error. The error is Problems.
func Load(path string, env Lookup) (*Worker, *Connector, error) {
	doc, problems := readDocument(path)
	worker, connector := 0, 0
	for name := range doc.values {
		worker += count(WorkerKeys(), name)
		connector += count(ConnectorKeys(), name)
	}
	switch {
	case len(doc.values) == 0 && len(problems) > 0:
		return nil, nil, problems
	case worker > connector:
		w, err := parseWorker(doc, problems, env)
		return w, nil, err
	case connector > 0:
		c, err := parseConnector(doc, problems, env)
		return nil, c, err
	}
	return nil, nil, append(problems, Problem{File: path, Message: "neither a worker nor a connector file",
		Remedy: "a worker file has bootstrap.servers, a connector file coupa.url"})
}

// ReadConnector reads a connector file as it is to be sent to a worker: flat,
// references unresolved, and not checked but for its name. The error is Problems.
func ReadConnector(path string) (map[string]string, error) {
	doc, problems := readDocument(path)
	if len(problems) == 0 && strings.TrimSpace(doc.values["name"]) == "" {
		problems = Problems{{File: path, Key: "name", Message: "required, but not given", Remedy: "give a value, e.g. acme"}}
	}
	return doc.values, problems.orNil()
}

// checkRegistry wants a schema registry where records have schemas.
func checkRegistry(worker *Worker, connectors []*Connector) Problems {
	if worker == nil || len(worker.Registry.URLs) > 0 {
		return nil
	}
	for _, c := range connectors {
		for _, o := range c.Objects {
			if o.NeedsRegistry() {
				return Problems{{worker.File, "schema.registry.url", "", fmt.Sprintf("required, since %s of %s has value.format=%s", o.Path, c.Name, o.ValueFormat),
					"give a value, e.g. http://localhost:8081, or write value.format = json there"}}
			}
		}
	}
	return nil
}

// count is 1 when name is among the keys.
func count(keys []Key, name string) int {
	if has(keys, name) {
		return 1
	}
	return 0
}

// CheckTogether looks at connectors that are to run in one group. Two of them may not have one name, may
// not stream the same object of the same tenant, and may not put different things into one topic. worker
// is the one that runs them, if that is known: it has a schema registry if an object needs one, its
// mapping is put under those of the connectors, and its own topics are not theirs. The error is Problems.
func CheckTogether(worker *Worker, connectors []*Connector) error {
	problems := checkRegistry(worker, connectors)
	t := newTaken(worker)
	for _, c := range connectors {
		if worker != nil {
			problems = append(problems, c.mapObjects(worker.mapping)...)
		}
		problems = append(problems, t.add(c)...)
	}
	return problems.orNil()
}

// CheckBeside does the same for a connector that is to be added to others,
// which were checked before. Call it before the connector's objects are used,
// which have their mapping then. The error is Problems, of the connector alone.
func CheckBeside(worker *Worker, c *Connector, others []*Connector) error {
	t := newTaken(worker)
	for _, other := range others {
		_ = t.add(other) // was told when that one came
	}
	problems := append(checkRegistry(worker, []*Connector{c}), c.mapObjects(worker.mapping)...)
	return append(problems, t.add(c)...).orNil()
}

// taken is what connectors, and the worker, have for themselves.
type taken struct {
	names   map[string]*Connector
	streams map[stream]*Connector
	topics  map[string]use
}

type stream struct{ tenant, path string }

// use is what a connector, or the worker if by is nil, puts into a topic.
type use struct {
	by   *Connector
	what string
}

// What stands in topics besides rows.
const (
	deadLetters   = "dead letters"
	notifications = "notifications"
)

func newTaken(worker *Worker) taken {
	t := taken{map[string]*Connector{}, map[stream]*Connector{}, map[string]use{}}
	if worker != nil {
		for topic, what := range worker.topics() {
			t.topics[topic] = use{nil, what}
		}
	}
	return t
}

// add tells what of a connector is taken already, and takes the rest.
func (t taken) add(c *Connector) Problems {
	var problems Problems
	clash := func(key, value, message, remedy string) {
		problems = append(problems, Problem{c.File, key, value, message, remedy})
	}
	if other := t.names[c.Name]; other != nil {
		clash("name", c.Name, "the name of another connector"+fileOf(other)+" too", "give each a name of its own")
	}
	t.names[c.Name] = c
	for _, o := range c.Objects {
		s := stream{c.Tenant, o.Path}
		if other := t.streams[s]; other != nil {
			clash("coupa.objects", "", fmt.Sprintf("%s of tenant %s is streamed by %s%s too", o.Path, c.Tenant, other.Name, fileOf(other)),
				"stream it once, or give the instances different tenants")
		}
		t.streams[s] = c
	}
	for _, w := range c.writes() {
		other, used := t.topics[w.topic]
		if !used || other.what == w.what {
			t.topics[w.topic] = use{c, w.what}
			continue
		}
		who := "another connector"
		switch other.by {
		case nil:
			who = "the worker"
		case c:
			who = "this connector"
		}
		clash(w.key, w.value, fmt.Sprintf("puts %s into %s, where %s puts %s", w.what, w.topic, who, other.what), "give each a topic of its own")
	}
	return problems
}

// writing is a topic that a connector writes to, what it puts there, and the key and value that say so.
type writing struct{ key, value, topic, what string }

// writes are the topics that a connector writes to, each once
// for each thing that is put there; those of rows first.
func (c *Connector) writes() []writing {
	var all []writing
	add := func(key, value, topic, what string) {
		if topic != "" && !slices.ContainsFunc(all, func(w writing) bool { return w.topic == topic && w.what == what }) {
			all = append(all, writing{key, value, topic, what})
		}
	}
	for _, o := range c.Objects {
		add(deciding(c.Raw, o.Path, templateKey), o.template, o.Topic, o.Path)
	}
	for _, o := range c.Objects {
		for _, list := range o.linesOf() {
			add(deciding(c.Raw, o.Path, linesKey), o.Lines, o.LineTopic(list), list+" of "+o.Path)
		}
		add(deciding(c.Raw, o.Path, deadLetterKey), o.DLQTopic, o.DLQTopic, deadLetters)
	}
	add(notificationTopicKey, c.Notifications.Topic, c.Notifications.Topic, notifications)
	return all
}

// fileOf names a connector's file.
func fileOf(c *Connector) string {
	if c.File == "" {
		return ""
	}
	return " (" + c.File + ")"
}
