package catalogue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Catalogue is the three files, read and checked against each other.
type Catalogue struct {
	collections map[string]string            // path → object of its rows
	objects     map[string]map[string]string // object → field → type, corrections applied
	values      map[string]map[string]values // object → field → what is described of its values
	choice      selection
	leaveOut    map[string]bool // "Object.field" or "field"
	full        map[string]bool // "Object.field"

	leaveOutOfParts map[string]bool   // "Object.field"
	custom          map[string]bool   // object
	text            map[string]bool   // "Object.field": described as text, typed more narrowly
	personal        map[string]string // "Object.field" or "field" → tag
}

// values is what Coupa's description says of a text: its
// longest length in characters, or the values that it may have.
type values struct {
	Max    int
	Values []string
}

// selection is selection.yaml.
type selection struct {
	Streams      []string                     `yaml:"streams"`
	Below        []string                     `yaml:"below"`
	Types        map[string]string            `yaml:"types"`
	Objects      map[string]map[string]string `yaml:"objects"`
	References   map[string][]string          `yaml:"references"`
	Full         []string                     `yaml:"full"`
	CustomFields []string                     `yaml:"custom-fields"`
	LeaveOut     []leftOut                    `yaml:"leave-out"`
	PartsLack    []leftOut                    `yaml:"leave-out-of-parts"`
	Order        map[string][]string          `yaml:"order"`
	Docs         map[string]string            `yaml:"docs"`
	Personal     map[string][]string          `yaml:"personal"`
}

// leftOut is what the schemas leave out for one reason.
type leftOut struct {
	Reason string   `yaml:"reason"`
	Fields []string `yaml:"fields"`
}

// Load reads objects.json, values.json and selection.yaml from dir.
// The error lists every name in selection.yaml that leads nowhere.
func Load(dir fs.FS) (*Catalogue, error) {
	c := &Catalogue{leaveOut: map[string]bool{}, leaveOutOfParts: map[string]bool{}, full: map[string]bool{}, custom: map[string]bool{}, text: map[string]bool{}, personal: map[string]string{}}
	if err := c.readObjects(dir); err != nil {
		return nil, err
	}
	if err := c.readSelection(dir); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	c.apply()
	return c, nil
}

// Streams gives the paths of the collections that have a schema, in the order of selection.yaml.
func (c *Catalogue) Streams() []string { return slices.Clone(c.choice.Streams) }

func (c *Catalogue) readObjects(dir fs.FS) error {
	text, err := fs.ReadFile(dir, "objects.json")
	if err != nil {
		return fmt.Errorf("reading the catalogue: %w", err)
	}
	var file struct {
		Collections map[string]string
		Objects     map[string]map[string]string
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("reading objects.json: %w", err)
	}
	c.collections, c.objects = file.Collections, file.Objects
	if text, err = fs.ReadFile(dir, "values.json"); err != nil {
		return fmt.Errorf("reading the catalogue: %w", err)
	}
	if err := json.Unmarshal(text, &c.values); err != nil {
		return fmt.Errorf("reading values.json: %w", err)
	}
	return nil
}

func (c *Catalogue) readSelection(dir fs.FS) error {
	file, err := dir.Open("selection.yaml")
	if err != nil {
		return fmt.Errorf("reading the catalogue: %w", err)
	}
	defer file.Close()
	dec := yaml.NewDecoder(file)
	dec.KnownFields(true)
	if err := dec.Decode(&c.choice); err != nil {
		return fmt.Errorf("reading selection.yaml: %w", err)
	}
	maps.Copy(c.objects, c.choice.Objects)
	return nil
}

// apply makes the choices into sets, once they are known to be sound.
func (c *Catalogue) apply() {
	for at, typ := range c.choice.Types {
		object, field, _ := strings.Cut(at, ".")
		c.text[at] = c.objects[object][field] == "string" && !strings.Contains(typ, ":")
		c.objects[object][field] = typ
	}
	for _, group := range c.choice.LeaveOut {
		for _, at := range group.Fields {
			c.leaveOut[at] = true
		}
	}
	for _, group := range c.choice.PartsLack {
		for _, at := range group.Fields {
			c.leaveOutOfParts[at] = true
		}
	}
	for _, at := range c.choice.Full {
		c.full[at] = true
	}
	for _, object := range c.choice.CustomFields {
		c.custom[object] = true
	}
	for tag, places := range c.choice.Personal {
		for _, at := range places {
			c.personal[at] = tag
		}
	}
}

// check finds what selection.yaml names and objects.json lacks.
func (c *Catalogue) check() error {
	var errs []error
	miss := func(section, name string) {
		errs = append(errs, fmt.Errorf("selection.yaml, %s: objects.json has no %s; correct or remove it", section, name))
	}
	fields := func(section, object string, names []string) {
		for _, name := range names {
			if _, ok := c.objects[object][name]; !ok {
				miss(section, object+"."+name)
			}
		}
	}
	places := func(section string, places []string) {
		for _, at := range places {
			object, field, two := strings.Cut(at, ".")
			if two {
				fields(section, object, []string{field})
			} else if !c.anywhere(at) {
				miss(section, at)
			}
		}
	}
	for _, path := range c.choice.Streams {
		if c.collections[path] == "" {
			miss("streams", path)
		}
	}
	for _, path := range c.choice.Below {
		if parent, _, _ := strings.Cut(path, "/"); !slices.Contains(c.choice.Streams, path) || c.collections[parent] == "" {
			miss("below", path)
		}
	}
	places("types", sortedKeys(c.choice.Types))
	places("full", c.choice.Full)
	places("docs", sortedKeys(c.choice.Docs))
	for _, group := range c.choice.LeaveOut {
		places("leave-out", group.Fields)
	}
	for _, group := range c.choice.PartsLack {
		places("leave-out-of-parts", group.Fields)
		for _, at := range group.Fields {
			if object, _, _ := strings.Cut(at, "."); !c.streamed(object) {
				errs = append(errs, fmt.Errorf("selection.yaml, leave-out-of-parts: no stream has rows of %s; move %s to leave-out", object, at))
			}
		}
	}
	for _, object := range sortedKeys(c.choice.References) {
		fields("references", object, c.choice.References[object])
	}
	for _, object := range sortedKeys(c.choice.Order) {
		fields("order", object, c.choice.Order[object])
	}
	tagged := map[string]string{}
	for _, tag := range sortedKeys(c.choice.Personal) {
		places("personal", c.choice.Personal[tag])
		for _, at := range c.choice.Personal[tag] {
			if tagged[at] != "" {
				errs = append(errs, fmt.Errorf("selection.yaml, personal: %s is listed under %s and %s; keep one", at, tagged[at], tag))
			}
			tagged[at] = tag
		}
	}
	for _, object := range c.choice.CustomFields {
		if c.objects[object] == nil {
			miss("custom-fields", object)
		}
	}
	return errors.Join(errs...)
}

// streamed tells whether a collection that has a schema has rows of the object.
func (c *Catalogue) streamed(object string) bool {
	return slices.ContainsFunc(c.choice.Streams, func(path string) bool { return c.collections[path] == object })
}

// anywhere tells whether some object has the field.
func (c *Catalogue) anywhere(field string) bool {
	for _, fields := range c.objects {
		if _, ok := fields[field]; ok {
			return true
		}
	}
	return false
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
