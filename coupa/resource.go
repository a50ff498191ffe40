package coupa

import (
	"bytes"
	_ "embed"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Resource is a collection of Coupa's API. Where a fact stands behind a reason, it is in catalogue.yaml.
type Resource struct {
	Path      string   // below /api
	Object    string   // Coupa's name of the object, as in its API description
	Scopes    []string // scopes that reading it takes
	UpdatedAt bool     // rows carry updated-at and can be asked for by it
	ByContent bool     // updated-at does not show every change: rows must be compared whole besides
	// collection of lines that carry an updated-at of their own, as a filter spells it; "": none
	Lines    string
	Exported bool    // rows carry Coupa's exported flag
	Export   Export  // how the flag is set
	Deletes  bool    // Coupa has an operation that deletes rows
	Below    []Below // collections of each row: <Path>/{id}/<Name>
	// path of the collection whose rows these are below, as one of Below; "": they are at the top
	Parent string
	Doc    string // one sentence for people
}

// Export is how the exported flag of a collection's rows is set.
type Export string

// The ways to set it.
const (
	ExportNone   Export = "none"
	ExportFlag   Export = "flag"   // PUT <Path>/{id}?exported=true
	ExportAction Export = "action" // PUT <Path>/{id}/export
)

// Below is a collection that each row of another one has.
type Below struct {
	Name   string `yaml:"name"`
	Object string `yaml:"object"` // Coupa's name of the rows' object
	// where a stream has these: "row", the row itself; or the path of another collection
	In string `yaml:"in"`
}

//go:embed catalogue.yaml
var catalogueYAML []byte

// resources reads the catalogue, once.
var resources = sync.OnceValue(func() []Resource {
	var entries []struct {
		Path      string   `yaml:"path"`
		Object    string   `yaml:"object"`
		Scopes    []string `yaml:"scopes"`
		UpdatedAt *bool    `yaml:"updated-at"`
		ByContent bool     `yaml:"by-content"`
		Lines     string   `yaml:"lines"`
		Exported  bool     `yaml:"exported"`
		Export    Export   `yaml:"export"`
		Deletes   bool     `yaml:"deletes"`
		Below     []Below  `yaml:"below"`
		Parent    string   `yaml:"parent"`
		Doc       string   `yaml:"doc"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(catalogueYAML))
	dec.KnownFields(true)
	if err := dec.Decode(&entries); err != nil {
		panic("coupa/catalogue.yaml: " + err.Error()) // a file of this very program
	}
	all := make([]Resource, len(entries))
	for i, e := range entries {
		switch {
		case !e.Exported:
			e.Export = ExportNone
		case e.Export == "":
			e.Export = ExportFlag
		}
		all[i] = Resource{e.Path, e.Object, e.Scopes, e.UpdatedAt == nil || *e.UpdatedAt, e.ByContent, e.Lines, e.Exported, e.Export, e.Deletes, e.Below, e.Parent, e.Doc}
	}
	return all
})

// Resources returns the collections of Coupa's public API description, in the order in which they are shown.
func Resources() []Resource { return slices.Clone(resources()) }

// LookupResource finds a collection by its path.
func LookupResource(path string) (Resource, bool) {
	i := slices.IndexFunc(resources(), func(r Resource) bool { return r.Path == path })
	if i < 0 {
		return Resource{}, false
	}
	return resources()[i], true
}

// Scopes returns the scopes that reading these collections takes,
// sorted, each once. Paths that are not in the catalogue add none.
func Scopes(paths []string) []string {
	var scopes []string
	for _, path := range paths {
		r, _ := LookupResource(path)
		scopes = append(scopes, r.Scopes...)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// WriteScopes returns the scopes that setting the exported flag takes beside those of reading: "Export" is a
// permission of <service>.<object>.write (rossum, "OAuth scopes").
func WriteScopes(paths []string) []string {
	scopes := Scopes(paths)
	for i, s := range scopes {
		if read, is := strings.CutSuffix(s, ".read"); is {
			scopes[i] = read + ".write"
		}
	}
	return scopes
}
