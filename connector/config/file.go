package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// document is a configuration file as a flat map.
type document struct {
	file   string
	values map[string]string // by key, as given: not trimmed, references not resolved
	worker *Worker           // of a connector that came over REST: what that may reach
}

// member is one key of a file with what stands behind it, whatever the file's format.
type member struct {
	key     string
	line    int
	kind    memberKind
	text    string   // scalar
	items   []string // list
	members []member // nested
	fault   *fault   // a value that can't be taken, whatever its key
}

type memberKind uint8

const (
	scalar memberKind = iota
	list
	nested
	null
)

// maxFileBytes bounds a configuration file: more is surely the wrong file.
const maxFileBytes = 1 << 20

// readDocument reads a file by its suffix and flattens it. The document is
// usable (for telling a worker from a connector) even when there are problems.
func readDocument(path string) (document, Problems) {
	doc := document{file: path, values: map[string]string{}}
	parse, content, f := open(path)
	if f != nil {
		return doc, Problems{{File: path, Message: f.message, Remedy: f.remedy}}
	}
	members, f := parse(content)
	if f != nil {
		return doc, Problems{{File: path, Message: f.message, Remedy: f.remedy}}
	}
	if len(members) == 0 {
		return doc, Problems{{File: path, Message: "the file has no keys", Remedy: "write one key = value per setting"}}
	}
	flat := flattener{doc: doc, lines: map[string]int{}, lists: listKeys()}
	flat.file(members)
	return doc, flat.problems
}

type parser func(content []byte) ([]member, *fault)

// open chooses the parser by the suffix and reads the file, without a byte order mark.
func open(path string) (parser, []byte, *fault) {
	var parse parser
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml":
		parse = parseYAML
	case ".json":
		parse = parseJSON
	case ".properties":
		parse = parseProperties
	default:
		return nil, nil, &fault{"unknown kind of file", "name it .yaml, .json or .properties"}
	}
	content, f := readSmall(path)
	if f != nil {
		return nil, nil, f
	}
	return parse, bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")), nil
}

// readSmall reads a file of at most maxFileBytes. Faults do not repeat the path.
func readSmall(path string) ([]byte, *fault) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxFileBytes {
		return nil, &fault{fmt.Sprintf("the file has more than %d bytes", maxFileBytes), "is it the right one?"}
	}
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &fault{"there is no such file", "check the path"}
	case errors.Is(err, fs.ErrPermission):
		return nil, &fault{"no permission to read the file", "let the user that runs coupastream read it"}
	case err != nil:
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return nil, &fault{"cannot read the file: " + err.Error(), "check the path"}
	}
	return content, nil
}

// flattener turns members into the flat map, reporting what has no place in one.
type flattener struct {
	doc      document
	lines    map[string]int // where each key stands
	lists    map[string]bool
	problems Problems
}

// file takes a whole file: the flat map, or what would be
// POSTed to /connectors (name, config, initial_state).
func (f *flattener) file(members []member) {
	var beside []member
	if i := slices.IndexFunc(members, isConfig); i >= 0 {
		members, beside = members[i].members, slices.Delete(slices.Clone(members), i, i+1)
	}
	for _, m := range members {
		f.add(m)
	}
	for _, m := range beside {
		f.addBeside(m)
	}
}

func isConfig(m member) bool { return m.key == "config" && m.kind == nested }

// addBeside takes a key that stands beside config. Both places
// may hold the same name, as in Kafka Connect's answers.
func (f *flattener) addBeside(m member) {
	if m.key != "name" && m.key != "initial_state" {
		f.problem(m.key, "stands beside config", "only name and initial_state stand there; move it into config")
		return
	}
	inside, twice := f.doc.values[m.key]
	switch {
	case !twice:
		f.add(m)
	case m.kind != scalar || m.text != inside:
		f.problem(m.key, "stands beside config and in it with different values", "keep one")
	}
}

// add takes one key, which may stand only once.
func (f *flattener) add(m member) {
	if first, twice := f.lines[m.key]; twice {
		f.problem(m.key, fmt.Sprintf("given twice, in lines %d and %d", first, m.line), "keep one")
		return
	}
	f.lines[m.key] = m.line
	if text, ok := f.textOf(m); ok {
		f.doc.values[m.key] = text
	}
}

// textOf is the member's value as a string.
func (f *flattener) textOf(m member) (string, bool) {
	switch {
	case m.fault != nil:
		f.problem(m.key, m.fault.message, m.fault.remedy)
	case m.kind == null:
		f.problem(m.key, "has no value", "give one, or leave the key out")
	case m.kind == nested && m.key == mappingKey:
		f.problem(m.key, "holds a map, but values are text", "write "+mappingKey+": | and indent the map below it; or put it into a file and give "+mappingFileKey)
	case m.kind == nested:
		f.problem(m.key, "holds a map, but keys are flat", "write "+joined(m)+" as one key")
	case m.kind == list && !f.lists[m.key]:
		f.problem(m.key, "takes one value, not a list", "write the value without brackets or dashes")
	case m.kind == list:
		return strings.Join(m.items, ","), true
	default:
		return m.text, true
	}
	return "", false
}

func (f *flattener) problem(key, message, remedy string) {
	f.problems = append(f.problems, Problem{File: f.doc.file, Key: key, Message: message, Remedy: remedy})
}

// joined is the flat key that a nested map's first member would have.
func joined(m member) string {
	key := m.key
	for m.kind == nested && len(m.members) > 0 {
		m = m.members[0]
		key += "." + m.key
	}
	return key
}

// listKeys is the set of keys whose values may be lists.
func listKeys() map[string]bool {
	lists := map[string]bool{}
	for _, k := range append(WorkerKeys(), ConnectorKeys()...) {
		lists[k.Name] = k.Type == List
	}
	return lists
}
