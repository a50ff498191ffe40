package coupatest

import (
	"encoding/json"
	"fmt"
)

// selection is a parsed `fields` parameter: which members of an object are asked
// for, by normal name.
type selection struct {
	all   bool
	names map[string]*selection
}

// parseFields reads the value of `fields`: a JSON array of names and one-key
// objects, {"custom_fields":{}} meaning all custom fields. "" selects everything.
func parseFields(text string) (*selection, error) {
	if text == "" {
		return &selection{all: true}, nil
	}
	var list []any
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("fields is not a JSON array: %w", err)
	}
	return selectList(list)
}

func selectList(list []any) (*selection, error) {
	s := &selection{names: map[string]*selection{}}
	for _, item := range list {
		switch item := item.(type) {
		case string:
			s.names[normal(item)] = &selection{all: true}
		case map[string]any:
			for name, value := range item {
				sub, err := selectValue(value)
				if err != nil {
					return nil, err
				}
				s.names[normal(name)] = sub
			}
		default:
			return nil, fmt.Errorf("fields: %v is neither a name nor an object", item)
		}
	}
	return s, nil
}

func selectValue(value any) (*selection, error) {
	switch value := value.(type) {
	case []any:
		return selectList(value)
	case map[string]any:
		if len(value) == 0 {
			return &selection{all: true}, nil
		}
		return selectList([]any{value})
	}
	return nil, fmt.Errorf("fields: %v is neither an array nor an object", value)
}

// sub is the selection below name, nil when name is not asked for.
func (s *selection) sub(name string) *selection {
	if s.all {
		return s
	}
	return s.names[normal(name)]
}

// plan is a selection worked out for a shape: what to render, in order.
type plan struct {
	sel   *selection
	items []item
}

type item struct {
	*field
	sub *plan // of an association
}

// compile works out s for a shape that stands depth associations below the row.
// A selection by name may go as deep as it likes; "everything" stops at the
// identifying members of references below the first level.
func (s *selection) compile(sh *shape, depth int) *plan {
	p := &plan{sel: s}
	for i := range sh.fields {
		f := &sh.fields[i]
		sub := s.sub(f.name)
		if sub == nil || s.all && depth >= 2 && (f.child != nil || !identifies(f.name)) {
			continue
		}
		it := item{field: f}
		switch f.kind {
		case kindLines:
			it.sub = sub.compile(f.child, depth)
		case kindRef, kindList, kindEmbed:
			it.sub = sub.compile(f.child, depth+1)
		}
		p.items = append(p.items, it)
	}
	return p
}

// leanFields is a `fields` value of the size that a connector with a schema
// asks for: every own member, of references the id and a name, the lines
// likewise, and all custom fields.
func leanFields(sh *shape) string {
	text, err := json.Marshal(leanList(sh, true))
	if err != nil {
		panic(err) // strings and maps only
	}
	return string(text)
}

func leanList(sh *shape, row bool) []any {
	var list []any
	for i := range sh.fields {
		f := &sh.fields[i]
		switch {
		case f.kind == kindLines:
			list = append(list, map[string]any{f.name: leanList(f.child, true)})
		case f.kind == kindEmbed:
			list = append(list, map[string]any{f.name: map[string]any{}})
		case f.child != nil && !row:
		case f.child != nil:
			if sub := leanList(f.child, false); len(sub) > 0 {
				list = append(list, map[string]any{f.name: sub})
			}
		case row || f.name == "id" || len(list) < 2 && identifies(f.name) && f.kind != kindBool:
			list = append(list, f.name)
		}
	}
	return list
}

// project cuts raw JSON down to a selection, for members that were set by hand.
// Members keep their order only if nothing is cut.
func project(raw []byte, s *selection) []byte {
	if s.all {
		return raw
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && list != nil {
		for i := range list {
			list[i] = project(list[i], s)
		}
		return mustJSON(list, raw)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || object == nil {
		return raw
	}
	for name, value := range object {
		if sub := s.sub(name); sub != nil {
			object[name] = project(value, sub)
		} else {
			delete(object, name)
		}
	}
	return mustJSON(object, raw)
}

func mustJSON(value any, otherwise []byte) []byte {
	if out, err := json.Marshal(value); err == nil {
		return out
	}
	return otherwise
}
