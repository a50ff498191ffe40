package lineage

import (
	"cmp"
	"fmt"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/schemas"
)

// outputs are the topics of a task with their fields and what these are made of. One whose lines can't be
// taken apart has no more than a name: the task says why.
func (w *Watch) outputs(t Task) []Dataset {
	split, err := t.Schema.Unsplit(), error(nil)
	if t.Object.Lines != config.LinesEmbedded {
		split, err = t.Schema.Split(t.Object.Lines == config.LinesBoth)
	}
	if err != nil {
		return []Dataset{{Namespace: w.kafka(), Name: t.Object.Topic}}
	}
	all := []Dataset{w.output(t, t.Object.Topic, split.Row.Members(""))}
	for _, l := range split.Lists {
		all = append(all, w.output(t, t.Object.LineTopic(l.Name), l.Schema.Members(l.Coupa)))
	}
	return all
}

func (w *Watch) output(t Task, topic string, members []schemas.Member) Dataset {
	c := columns{from: t.input(), all: map[string]column{}}
	if t.Object.Mapping != nil {
		c.reads = t.Object.Mapping.Reads()
	}
	c.add("", members)
	return Dataset{Namespace: w.kafka(), Name: topic, Facets: map[string]any{
		"schema":        schemaFacet{w.base("1-2-0/SchemaDatasetFacet"), fields(members)},
		"columnLineage": columnFacet{w.base("1-2-0/ColumnLineageDatasetFacet"), c.all},
	}}
}

func fields(members []schemas.Member) []Field {
	all := make([]Field, len(members))
	for i, m := range members {
		all[i] = Field{Name: m.Name, Type: typeOf(m), Description: m.Doc, Fields: fields(inner(m))}
	}
	return all
}

// inner are the fields within a field, of a list those of its items.
func inner(m schemas.Member) []schemas.Member {
	if m.Items != nil {
		return m.Items.Members
	}
	return m.Members
}

func typeOf(m schemas.Member) string {
	switch {
	case m.Items != nil:
		return "array<" + typeOf(*m.Items) + ">"
	case m.Logical == "decimal":
		return fmt.Sprintf("decimal(%d,%d)", m.Precision, m.Scale)
	}
	return cmp.Or(m.Logical, m.Type)
}

// columns collects what fields are made of, by their paths.
type columns struct {
	from  Dataset
	reads map[string][]string // of computed fields
	all   map[string]column
}

// add takes in the fields at a path that are single values, and go back to Coupa's.
func (c columns) add(path string, members []schemas.Member) {
	for _, m := range members {
		at := path + m.Name
		if within := inner(m); within != nil {
			c.add(at+".", within)
			continue
		}
		how := Transformation{Type: "DIRECT", Subtype: "IDENTITY"}
		if m.Hidden != "" {
			how = Transformation{Type: "DIRECT", Subtype: "TRANSFORMATION", Description: m.Hidden, Masking: true}
		}
		paths := []string{m.Path}
		if m.Computed {
			how, paths = Transformation{Type: "DIRECT", Subtype: "TRANSFORMATION", Description: "expression"}, c.reads[m.Name]
		}
		var inputs []InputField
		for _, p := range paths {
			if p != "" {
				inputs = append(inputs, InputField{c.from.Namespace, c.from.Name, p, []Transformation{how}})
			}
		}
		if inputs != nil {
			c.all[at] = column{inputs}
		}
	}
}
