package mapping

import "slices"

// merged is what layers together say of an object, each of which says something.
func merged(object string, layers []*Layer) *section {
	all := &section{}
	for _, l := range layers {
		all.put(l.objects[object])
	}
	all.compute = slices.DeleteFunc(all.compute, func(c computation) bool { return c.none })
	return all
}

// put lays another layer over s. What it says of a path takes the place of all that s says of it.
func (s *section) put(over *section) {
	without := func(list []named, path string) []named {
		return slices.DeleteFunc(list, func(n named) bool { return n.path == path })
	}
	if over.choose != nil {
		s.choose = slices.Clone(over.choose)
		for _, n := range over.choose {
			s.leaveOut = without(s.leaveOut, n.path)
		}
	}
	for _, n := range over.leaveOut {
		s.leaveOut = append(without(s.leaveOut, n.path), n)
		if over.choose == nil {
			s.choose = without(s.choose, n.path)
		}
		s.fields = slices.DeleteFunc(s.fields, func(f fieldRules) bool { return f.path == n.path })
	}
	for _, f := range over.fields {
		if !slices.ContainsFunc(over.leaveOut, func(n named) bool { return n.path == f.path }) {
			s.leaveOut = without(s.leaveOut, f.path)
		}
		s.fields = slices.DeleteFunc(s.fields, func(other fieldRules) bool { return other.path == f.path })
		s.fields = append(s.fields, f)
	}
	for _, c := range over.compute {
		s.compute = slices.DeleteFunc(s.compute, func(other computation) bool { return other.path == c.path })
		s.compute = append(s.compute, c)
	}
}
