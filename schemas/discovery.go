package schemas

import (
	"strings"

	"github.com/coupastream/coupastream/schemas/custom"
)

// NewDiscovery makes what learns the custom fields of the object whose
// collection has the path, "invoices". The error is that of For.
func NewDiscovery(path string) (*custom.Discovery, error) {
	s, err := For(path, Options{})
	if err != nil {
		return nil, err
	}
	shape, err := s.shape()
	if err != nil {
		return nil, err
	}
	return custom.NewDiscovery(shape), nil
}

// shapeOfRows is where rows of the schema have their custom fields.
func (s *Schema) shapeOfRows() (*custom.Shape, error) {
	p, err := s.Plan()
	if err != nil {
		return nil, err
	}
	shapes := shaper{documented: documentedOf(s.row), made: map[*planRecord]*custom.Shape{}}
	return shapes.record(p.root), nil
}

// shaper tells the shape of a plan's records: custom fields are looked for where the encoder finds them.
type shaper struct {
	// by record that has custom fields: what else it may have, see plainKey
	documented map[string]map[string]bool
	made       map[*planRecord]*custom.Shape
}

func (m shaper) record(r *planRecord) *custom.Shape {
	if s := m.made[r]; s != nil {
		return s
	}
	s := &custom.Shape{Name: r.name[strings.LastIndexByte(r.name, '.')+1:], Members: make(map[string]custom.Member, len(r.keys.entries))}
	m.made[r] = s
	if r.owner {
		names := m.documented[s.Name]
		s.Documented = func(key string) bool { return names[plainKey(key)] }
	}
	for _, e := range r.keys.entries {
		s.Members[e.key] = m.member(&r.fields[e.field].planNode)
	}
	return s
}

func (m shaper) member(n *planNode) custom.Member {
	switch {
	case n.kind == kindRecord:
		return custom.Member{Record: m.record(n.record)}
	case n.kind == kindArray && n.items.kind == kindRecord:
		return custom.Member{Record: m.record(n.items.record), List: true}
	}
	return custom.Member{Custom: n.kind == kindMap}
}
