package coupatest

import "time"

// painter makes JSON of versions. It has no state: the same version and plan
// give the same bytes.
type painter struct {
	seed  uint64
	zone  *time.Location
	epoch int64 // unix seconds; reference data is older
}

// subject is the object that is being rendered.
type subject struct {
	hash             uint64
	gen              uint64 // moves volatile members
	id               int64
	created, updated int64
	index            int      // among its siblings
	row              *version // the row it is part of
}

// render appends v as far as the plan asks for. A row set by hand comes as it
// was given, whatever the plan.
func (p *painter) render(dst []byte, r *resource, v *version, pl *plan) []byte {
	if v.raw != nil {
		return append(dst, v.raw...)
	}
	s := subject{
		hash: mix(mix(p.seed, r.shape.hash), uint64(v.id)), gen: uint64(v.gen), id: v.id,
		created: v.created, updated: v.updated, row: v,
	}
	return p.object(dst, pl, &s, r)
}

// object appends one object; r is given for the row itself and nil below it.
func (p *painter) object(dst []byte, pl *plan, s *subject, r *resource) []byte {
	start := len(dst)
	dst = append(dst, '{')
	for i := range pl.items {
		it := &pl.items[i]
		if r != nil && len(s.row.set) > 0 && s.row.member(it.name) != nil {
			continue
		}
		if r != nil && s.row.pad > 0 && it.name == r.Pad {
			dst = append(append(dst, it.key...), '"')
			dst = append(appendPadding(dst, mix(s.hash, s.gen), s.row.pad), '"', ',')
			continue
		}
		dst = p.member(dst, it, s)
	}
	if r != nil {
		for _, m := range s.row.set {
			if sub := pl.sel.sub(m.name); sub != nil {
				dst = append(dst, m.key...)
				dst = append(append(dst, project(m.value, sub)...), ',')
			}
		}
	}
	if len(dst) == start+1 {
		return append(dst, '}')
	}
	dst[len(dst)-1] = '}'
	return dst
}

// member appends `"name":value,`, or nothing when the member is absent.
func (p *painter) member(dst []byte, it *item, s *subject) []byte {
	h := mix(s.hash, it.hash)
	if it.present < 100 && h>>32%100 >= it.present {
		return it.empty(dst, h)
	}
	if it.volatile {
		h = mix(h, s.gen)
	}
	dst = append(dst, it.key...)
	switch it.kind {
	case kindRef:
		dst = p.reference(dst, it, 1+int64(h%it.child.pool()), s.row)
	case kindList:
		dst = p.list(dst, it, s, 1+int(h%uint64(max(1, it.arg))))
	case kindLines:
		dst = p.lines(dst, it, s)
	case kindEmbed:
		child := subject{hash: mix(h, 1), gen: s.gen, id: s.id, created: s.created, row: s.row}
		dst = p.object(dst, it.sub, &child, nil)
	default:
		dst = p.scalar(dst, it.field, s, h)
	}
	return append(dst, ',')
}

// empty appends one of Coupa's ways to say nothing: absent, null, "" or [].
func (f *field) empty(dst []byte, h uint64) []byte {
	way := h >> 40 % 20
	if f.present < 20 && way > 2 || way >= 8 { // what is rarely used is mostly left out
		return dst
	}
	dst = append(dst, f.key...)
	switch {
	case f.kind == kindList || f.kind == kindBlanks:
		if way != 0 {
			return append(dst, "[],"...)
		}
		return append(dst, `"",`...)
	case way == 0 && f.takesBlank():
		return append(dst, `"",`...)
	}
	return append(dst, "null,"...)
}

// takesBlank: strings and associations are sometimes "", numbers never.
func (f *field) takesBlank() bool {
	return f.kind >= kindText && f.kind != kindEmbed
}

// reference appends an object of reference data, which is the same wherever it
// is embedded and older than the tenant's first row.
func (p *painter) reference(dst []byte, it *item, id int64, row *version) []byte {
	h := mix(mix(p.seed, it.child.hash), uint64(id))
	created := p.epoch - year - int64(h%(14*year))
	s := subject{hash: h, id: id, created: created, updated: created + int64(mix(h, 1)%uint64(p.epoch-created)), row: row}
	return p.object(dst, it.sub, &s, nil)
}

// list appends objects that belong to s: approvals, tax lines, taggings.
func (p *painter) list(dst []byte, it *item, s *subject, n int) []byte {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		child := subject{
			hash: mix(mix(s.hash, it.hash), uint64(i)), id: s.id*8 + int64(i) + 1, index: i,
			created: s.created, updated: s.created + int64(i), row: s.row,
		}
		dst = p.object(dst, it.sub, &child, nil)
	}
	return append(dst, ']')
}

func (p *painter) lines(dst []byte, it *item, s *subject) []byte {
	dst = append(dst, '[')
	shown := 0
	for i := range s.row.lines {
		l := &s.row.lines[i]
		if l.removed {
			continue
		}
		if shown++; shown > 1 {
			dst = append(dst, ',')
		}
		child := subject{
			hash: mix(mix(p.seed, it.child.hash), uint64(l.id)), gen: uint64(l.gen), id: l.id, index: i,
			created: l.created, updated: l.updated, row: s.row,
		}
		dst = p.object(dst, it.sub, &child, nil)
	}
	return append(dst, ']')
}

// pool is how many objects of reference data there are of one type.
func (sh *shape) pool() uint64 {
	switch sh.name {
	case "Currency", "Country", "Uom", "AccountType", "ShippingTerm":
		return 6
	case "UserSimple", "SupplierRef":
		return 120
	}
	return 40
}
