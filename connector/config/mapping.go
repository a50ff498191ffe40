package config

import (
	"errors"
	"fmt"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/mapping"
)

// Keys of mappings.
const (
	mappingFileKey = "mapping.file"
	mappingKey     = "mapping"
	hashKey        = "mapping.hash.key"
)

// leastHashKey is the length of a key with which hashes can't be undone by trying keys, in bytes.
const leastHashKey = 16

// Rewriter makes what changes the object's rows by its mapping;
// nil: they stay as they are. One goroutine at a time may use it.
func (o Object) Rewriter() *mapping.Rewriter {
	if o.Mapping == nil {
		return nil
	}
	r := o.Mapping.Rewriter(string(o.hashKey))
	r.KeepUnreadable = o.KeepsUnreadable()
	return r
}

// readMapping reads the worker's mapping and checks it for every object that it names.
func (w *Worker) readMapping(v *values) {
	w.mapping = v.mappingFile(w.MappingFile)
	if w.mapping == nil {
		return
	}
	for _, path := range w.mapping.Objects() {
		_, err := mapping.Compile(path, w.mapping)
		v.mappingProblems(mappingFileKey, w.MappingFile, err)
	}
}

// readMapping reads the connector's mapping, from the file
// or the key, and checks it for the connector's objects.
func (c *Connector) readMapping(v *values) {
	text, inline := v.resolved[mappingKey]
	_, file := v.raw[mappingFileKey]
	switch {
	case inline && file:
		v.problem(mappingKey, "", "is given beside "+mappingFileKey, "keep one of them")
		return
	case inline:
		layer, err := mapping.Parse("", []byte(text))
		v.mappingProblems(mappingKey, "", err)
		c.mapping = layer
	case file:
		c.mapping = v.mappingFile(c.MappingFile)
	}
	v.problems = append(v.problems, c.mapObjects(nil)...)
}

// mappingFile reads a mapping; nil: there is none, or there are problems.
func (v *values) mappingFile(path string) *mapping.Layer {
	if path == "" {
		return nil
	}
	text, f := readSmall(path)
	if f != nil {
		v.problem(mappingFileKey, path, f.message, f.remedy)
		return nil
	}
	layer, err := mapping.Parse(path, text)
	v.mappingProblems(mappingFileKey, path, err)
	return layer
}

func (v *values) mappingProblems(key, value string, err error) {
	v.problems = append(v.problems, mappingProblems(v.file, key, value, err)...)
}

// mappingProblems tells what is wrong with a mapping as problems of the key that it was given by.
func mappingProblems(file, key, value string, err error) Problems {
	if err == nil {
		return nil
	}
	var found mapping.Problems
	if !errors.As(err, &found) {
		return Problems{{File: file, Key: key, Value: value, Message: err.Error()}}
	}
	var all Problems
	for _, p := range found {
		remedy := p.Remedy
		p.Remedy = ""
		all = append(all, Problem{File: file, Key: key, Value: value, Message: p.Error(), Remedy: remedy})
	}
	return all
}

// MapWith lays the connector's mapping over that of a worker, for each of its objects, as CheckBeside does,
// and looks at nothing else. The error is Problems: of rules that are right by themselves and not together.
func (c *Connector) MapWith(w *Worker) error { return c.mapObjects(w.mapping).orNil() }

func (c *Connector) mapObjects(under *mapping.Layer) Problems {
	key, value := mappingFileKey, c.MappingFile
	if _, inline := c.Raw[mappingKey]; inline {
		key, value = mappingKey, ""
	}
	var problems Problems
	hashed := ""
	for i := range c.Objects {
		o := &c.Objects[i]
		m, err := mapping.Compile(o.Path, under, c.mapping)
		problems = append(problems, mappingProblems(c.File, key, value, err)...)
		if o.Mapping, o.hashKey = m, c.HashKey; m != nil && m.NeedsKey() && hashed == "" {
			hashed = o.Path
		}
		if err := o.checkTenantField(); err != nil && len(problems) == 0 {
			problems = append(problems, Problem{File: c.File, Key: deciding(c.Raw, o.Path, tenantFieldKey), Value: o.TenantField, Message: err.Error()})
		}
	}
	if _, given := c.Raw[hashKey]; hashed != "" && !given {
		problems = append(problems, Problem{File: c.File, Key: hashKey, Message: "required, because the mapping hashes a field of " + hashed,
			Remedy: "give a secret of at least 16 characters, e.g. ${env:COUPASTREAM_HASH_KEY}"})
	}
	return problems
}

// checkTenantField gives the error of a name that a field of the object's rows, or of their lines, has
// already.
func (o Object) checkTenantField() error {
	if o.TenantField == "" {
		return nil
	}
	schema, err := schemas.For(o.Path, o.SchemaOptions())
	if err == nil && o.Lines != LinesEmbedded {
		_, err = schema.Split(o.Lines == LinesBoth)
	}
	return err
}

// hashSecret stores the key of hashes.
func hashSecret(c *Connector, value string) *fault {
	if len(value) < leastHashKey {
		return &fault{fmt.Sprintf("has less than %d characters, so that it could be found by trying", leastHashKey), "give a random one, e.g. what openssl rand -hex 32 prints"}
	}
	c.HashKey = coupa.Secret(value)
	return nil
}
