package config

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// values is a configuration while it is being read: what was
// given, what it resolves to, and what is wrong so far.
type values struct {
	file     string
	raw      map[string]string
	resolved map[string]string
	key      func(name string) Key // the declaration; one that hides its values for names that are not known
	problems Problems
	worker   *Worker // of a connector that came over REST; nil: the configuration is the operator's own
}

// resolveAll resolves the references of every value. A value whose reference fails has
// a problem and counts as not given. before is what is wrong with the document already.
func resolveAll(doc document, before Problems, key func(name string) Key, env Lookup) *values {
	v := &values{file: doc.file, raw: doc.values, resolved: map[string]string{}, key: key, problems: before, worker: doc.worker}
	for _, name := range slices.Sorted(maps.Keys(v.raw)) {
		value, f := "", v.submitted(key(name), v.raw[name])
		if f == nil {
			value, f = resolve(v.raw[name], env)
		}
		if f == nil {
			f = foreignReference(key(name), v.raw[name])
		}
		if f != nil {
			v.fault(name, key(name), f)
			continue
		}
		if key(name).File && value != "" && doc.file != "" && !filepath.IsAbs(value) {
			value = filepath.Join(filepath.Dir(doc.file), value)
		}
		v.resolved[name] = value
	}
	return v
}

// foreignPattern is a reference without a provider.
var foreignPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$\{[^}:]*\}`) })

// foreignReference refuses ${NAME}, which other programs replace and this one
// would take literally. Templates have placeholders of that form of their own.
func foreignReference(k Key, raw string) *fault {
	// its own, or that of an object
	template := func(key string) bool { return k.Name == key || strings.HasSuffix(k.Name, "."+key) }
	if template(templateKey) || template(namespaceKey) || !foreignPattern().MatchString(raw) {
		return nil
	}
	return &fault{"${…} without a provider is not replaced", "write ${env:NAME}, ${file:/path:key} or ${dir:/folder:file}"}
}

// fault reports what is wrong with the value of the key that was written as name.
func (v *values) fault(name string, k Key, f *fault) {
	v.problem(name, shown(k, v.raw[name]), f.message, f.remedy)
}

func (v *values) problem(name, value, message, remedy string) {
	v.problems = append(v.problems, Problem{File: v.file, Key: name, Value: value, Message: message, Remedy: remedy})
}

// mostSuggested is for how many unknown keys the nearest one is looked
// for, which takes its time: who has more has another file in hand.
const mostSuggested = 20

// unknown reports every key that is not one of known, with the nearest one. others are the keys
// of the other kind of file. Values of unknown keys are not shown: one may be a mistyped secret.
func (v *values) unknown(known []string, others []Key, otherFile string) {
	suggested := 0
	for _, name := range slices.Sorted(maps.Keys(v.raw)) {
		if slices.Contains(known, name) || v.problems.touch(name) {
			continue
		}
		if has(others, name) {
			v.problem(name, "", "a key of the "+otherFile+" file", "move it there")
			continue
		}
		near := known
		if suggested++; suggested > mostSuggested {
			near = nil
		}
		f := unknownKey(name, near)
		v.problem(name, "", f.message, f.remedy)
	}
}

// fill reads every setting that is given, and the defaults of the others, into one struct.
func fill[T any](v *values, into *T, settings []setting[T]) {
	for _, s := range settings {
		if s.Default != "" {
			_ = s.assign(into, s.Default) // a test assigns every default
		}
		if _, given := v.raw[s.Name]; !given && s.Required && !v.problems.touch(s.Name) {
			v.problem(s.Name, "", "required, but not given", "give a value"+s.example())
		}
		override(v, into, s, s.Name)
	}
}

// override reads one setting under the name that it has in the file, if it is given.
func override[T any](v *values, into *T, s setting[T], name string) {
	value, given := v.resolved[name]
	if !given {
		return
	}
	if f := s.assign(into, value); f != nil {
		v.fault(name, s.Key, f)
	}
}
