package mapping

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/coupastream/coupastream/schemas"
)

// Layer is a mapping as it was written: of one file, or of one
// connector. It never changes once it is parsed, and may be shared.
type Layer struct {
	objects  map[string]*section
	compiled sync.Map // path → func() (*Mapping, error): what it gives by itself
}

// section is what a layer says of one object.
type section struct {
	choose   []named
	leaveOut []named
	fields   []fieldRules
	compute  []computation
}

// named is a path, with its place.
type named struct {
	path string
	position
}

// fieldRules is what is to become of a field. The zero value of a rule changes nothing.
type fieldRules struct {
	named
	none   bool // as if no layer had said anything
	rename named
	retype named
	mask   *mask
	hash   bool
	masked position // of mask or hash
}

// mask is what stands in place of a value.
type mask struct {
	constant string
	keepLast int // 0: the constant
}

// computation is a computed field.
type computation struct {
	named
	none       bool
	expression named
	source     yaml.Style // how the expression is written
	typ        named
	doc        string
}

// Objects lists the objects that the layer says something of.
func (l *Layer) Objects() []string {
	var all []string
	for path := range l.objects {
		all = append(all, path)
	}
	slices.Sort(all)
	return all
}

// Parse reads a mapping, one YAML document. file is how problems name it, ""
// for a text that is in no file. The error is Problems; beside it the layer
// holds what is right by itself, so that Compile can tell what else is wrong.
func Parse(file string, text []byte) (*Layer, error) {
	r := reader{file: file, layer: &Layer{objects: map[string]*section{}}}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return r.layer, Problems{{File: file, Message: "the mapping is empty", Remedy: "write objects: and the rules of an object below it"}}
	case err != nil:
		message := regexp.MustCompile(`'[^']*'|".*"`).ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "…")
		return r.layer, Problems{{File: file, Message: "it is not YAML: " + message, Remedy: "quote values that begin with or hold special characters"}}
	}
	if !errors.Is(decoder.Decode(&second), io.EOF) {
		r.problems = append(r.problems, Problem{File: file, Message: "there is more than one YAML document", Remedy: "put each into a file of its own"})
	}
	r.document(doc.Content[0])
	return r.layer, r.problems.orNil()
}

// reader collects a layer and what is wrong with it.
type reader struct {
	file     string
	layer    *Layer
	problems Problems
}

func (r *reader) at(n *yaml.Node, path string) position {
	return position{r.file, n.Line, n.Column, path}
}

func (r *reader) wrong(n *yaml.Node, path, remedy, format string, args ...any) {
	r.problems = append(r.problems, r.at(n, path).problem(remedy, format, args...))
}

// member is a key of a map with its value.
type member struct {
	key, value *yaml.Node
	path       string
}

// members gives the members of a map, each key once. keys are all there may be; nil: any.
func (r *reader) members(n *yaml.Node, path, example string, keys ...string) []member {
	if n = plain(n); n.Kind != yaml.MappingNode {
		r.wrong(n, path, "write "+example, "a map belongs here")
		return nil
	}
	var all []member
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if len(r.problems) >= mostProblems {
			return nil
		}
		key, inner := n.Content[i], n.Content[i].Value
		if path != "" {
			inner = path + "." + inner
		}
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "":
			r.wrong(key, path, "write "+example, "a key is no plain text")
		case first[key.Value] > 0:
			r.wrong(key, inner, "keep one", "it is given in line %d already", first[key.Value])
		case keys != nil && !slices.Contains(keys, key.Value):
			r.wrong(key, inner, oneOf(key.Value, keys), "unknown key")
		default:
			first[key.Value] = key.Line
			all = append(all, member{key, plain(n.Content[i+1]), inner})
		}
	}
	return all
}

// plain follows an alias.
func plain(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.ShortTag() == "!!null" }

func (r *reader) document(n *yaml.Node) {
	for _, top := range r.members(n, "", "objects: {invoices: {leave-out: [image-scan]}}", "objects") {
		for _, m := range r.members(top.value, top.path, "invoices: {leave-out: [image-scan]}") {
			if len(r.problems) >= mostProblems {
				return
			}
			if path := m.key.Value; !slices.Contains(schemas.Objects(), path) {
				r.wrong(m.key, m.path, oneOf(path, schemas.Objects())+" (coupastream objects lists all)", "unknown object")
				continue
			}
			r.layer.objects[m.key.Value] = r.section(m)
		}
	}
}

func (r *reader) section(object member) *section {
	var s section
	for _, m := range r.members(object.value, object.path, "leave-out: [image-scan]", "choose", "leave-out", "fields", "compute") {
		switch m.key.Value {
		case "choose":
			s.choose = r.paths(m)
		case "leave-out":
			s.leaveOut = r.paths(m)
		case "fields":
			s.fields = sound(r, r.members(m.value, m.path, "payment-notes: {mask: \"***\"}"), r.field)
		case "compute":
			s.compute = sound(r, r.members(m.value, m.path, `gross: {expression: "double(row.total) * 1.1", type: double}`), r.computation)
		}
	}
	return &s
}

// sound reads each member, and keeps those with which nothing is wrong.
func sound[T any](r *reader, members []member, read func(member) T) (all []T) {
	for _, m := range members {
		before := len(r.problems)
		if one := read(m); len(r.problems) == before {
			all = append(all, one)
		}
	}
	return all
}

// subject is what a member gives rules for; none: it takes back those of earlier layers.
func (r *reader) subject(m member) (of named, none bool) {
	return named{m.key.Value, r.at(m.key, m.path)}, isNull(m.value)
}

// paths reads a list of paths.
func (r *reader) paths(m member) []named {
	if m.value.Kind != yaml.SequenceNode || len(m.value.Content) == 0 {
		r.wrong(m.value, m.path, "write e.g. "+m.key.Value+": [invoice-number, supplier.name]", "a list of paths belongs here")
		return nil
	}
	var all []named
	for _, item := range m.value.Content {
		item = plain(item)
		path := m.path + "." + item.Value
		switch {
		case item.Kind != yaml.ScalarNode || item.Value == "":
			r.wrong(item, m.path, "write e.g. supplier.name", "a path belongs here")
		case slices.ContainsFunc(all, func(n named) bool { return n.path == item.Value }):
			r.wrong(item, path, "keep one", "it is given twice")
		default:
			all = append(all, named{item.Value, r.at(item, path)})
		}
	}
	return all
}

func (r *reader) field(m member) fieldRules {
	var f fieldRules
	if f.named, f.none = r.subject(m); f.none {
		return f
	}
	rules := r.members(m.value, m.path, `{rename: other_name}, or null for none`, "rename", "retype", "mask", "hash")
	for _, rule := range rules {
		switch rule.key.Value {
		case "rename":
			f.rename = r.scalar(rule, "rename: supplier_title")
		case "retype":
			f.retype = r.scalar(rule, "retype: string")
		case "mask":
			f.mask, f.masked = r.mask(rule), r.at(rule.key, rule.path)
		case "hash":
			f.hash, f.masked = r.truth(rule), r.at(rule.key, rule.path)
		}
	}
	if f.hash && f.mask != nil {
		r.wrong(m.key, m.path, "keep one", "it is both masked and hashed")
	}
	if len(rules) == 0 && m.value.Kind == yaml.MappingNode && len(m.value.Content) == 0 {
		r.wrong(m.key, m.path, "write rename, retype, mask or hash, or null for none", "there is no rule")
	}
	return f
}

func (r *reader) scalar(m member, example string) named {
	if m.value.Kind != yaml.ScalarNode || isNull(m.value) || m.value.Value == "" {
		r.wrong(m.value, m.path, "write e.g. "+example, "a plain value belongs here")
		return named{}
	}
	return named{m.value.Value, r.at(m.value, m.path)}
}

func (r *reader) truth(m member) bool {
	if m.value.Value != "true" && m.value.Value != "false" {
		r.wrong(m.value, m.path, "write true, or leave it out", "it is true or false")
	}
	return m.value.Value == "true"
}

func (r *reader) mask(m member) *mask {
	const example = `mask: "***", or mask: {keep-last: 4}`
	if m.value.Kind == yaml.ScalarNode && !isNull(m.value) {
		return &mask{constant: m.value.Value}
	}
	members := r.members(m.value, m.path, example, "keep-last")
	if len(members) == 1 {
		k := members[0]
		n, err := strconv.Atoi(k.value.Value)
		if err != nil || n < 1 || n > 1000 {
			r.wrong(k.value, k.path, "write e.g. keep-last: 4", "it is a number of characters from 1 to 1000")
		}
		return &mask{keepLast: n}
	}
	if m.value.Kind == yaml.MappingNode && len(m.value.Content) == 0 {
		r.wrong(m.value, m.path, "write "+example, "there is no mask")
	}
	return nil
}

func (r *reader) computation(m member) computation {
	var c computation
	if c.named, c.none = r.subject(m); c.none {
		return c
	}
	before := len(r.problems)
	for _, k := range r.members(m.value, m.path, `{expression: "double(row.total) * 1.1", type: double}`, "expression", "type", "doc") {
		switch k.key.Value {
		case "expression":
			c.expression, c.source = r.scalar(k, `expression: "double(row.total) * 1.1"`), k.value.Style
		case "type":
			c.typ = r.scalar(k, "type: double")
		case "doc":
			c.doc = k.value.Value
		}
	}
	if len(r.problems) > before {
		return c
	}
	if c.expression.path == "" {
		r.wrong(m.key, m.path, `write e.g. expression: "double(row.total) * 1.1"`, "it has no expression")
	}
	if c.typ.path == "" {
		r.wrong(m.key, m.path, "write "+typeNames, "it has no type")
	}
	return c
}
