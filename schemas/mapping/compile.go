package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/avroname"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// Mapping is the rules for one object, checked against its schema. It never changes and may be shared.
type Mapping struct {
	top      *place
	guards   bool // rows are changed before they are encoded
	hashes   bool
	computed []*computed
	hash     string
}

var _ schemas.Mapping = (*Mapping)(nil)

// Compile checks what layers say of an object, a later one over an earlier, and makes one mapping of
// it; nil if they say nothing. path is the object's, one of schemas.Objects. The error is Problems.
func Compile(path string, layers ...*Layer) (*Mapping, error) {
	layers = slices.DeleteFunc(slices.Clone(layers), func(l *Layer) bool { return l == nil || l.objects[path] == nil })
	switch len(layers) {
	case 0:
		return nil, nil
	case 1: // a worker's mapping is that of a thousand connectors
		made, _ := layers[0].compiled.LoadOrStore(path, sync.OnceValues(func() (*Mapping, error) { return compile(path, layers) }))
		return made.(func() (*Mapping, error))()
	}
	return compile(path, layers)
}

func compile(path string, layers []*Layer) (*Mapping, error) {
	all := merged(path, layers)
	base, err := schemas.For(path, schemas.Options{})
	if err != nil {
		return nil, err
	}
	row, err := schematext.Parse([]byte(base.JSON()))
	if err != nil {
		return nil, err
	}
	c := compiler{top: treeOf(row)}
	c.choose(all.choose)
	c.leaveOut(all.leaveOut)
	ruled := false
	for _, f := range all.fields {
		if f.none {
			c.find(f.named)
			continue
		}
		c.field(f)
		ruled = true
	}
	c.compute(all.compute)
	c.names()
	if err := c.problems.orNil(); err != nil {
		return nil, err
	}
	m := &Mapping{top: c.top, computed: c.computed, guards: c.top.settle(), hashes: c.hashes, hash: digest(all)}
	if !m.guards && len(m.computed) == 0 && !ruled {
		return nil, nil // every rule was taken back
	}
	return m, nil
}

// Hash is equal for mappings of an object with equal rules.
func (m *Mapping) Hash() string { return m.hash }

// NeedsKey tells whether a field is hashed, so that Rewriter needs a key.
func (m *Mapping) NeedsKey() bool { return m.hashes }

// digest covers all that a schema depends on, and more.
func digest(s *section) string {
	type plain struct{ Path, Rename, Retype, Mask, Expression, Type, Doc string }
	var all []plain
	list := func(kind string, names []named) {
		for _, n := range names {
			all = append(all, plain{Path: kind + n.path})
		}
		if names != nil {
			all = append(all, plain{Path: kind})
		}
	}
	list("choose ", s.choose)
	list("leave-out ", s.leaveOut)
	for _, f := range s.fields {
		if f.none {
			continue
		}
		masked := fmt.Sprint(f.hash)
		if f.mask != nil {
			masked = fmt.Sprint(*f.mask)
		}
		all = append(all, plain{Path: "field " + f.path, Rename: f.rename.path, Retype: f.retype.path, Mask: masked})
	}
	for _, c := range s.compute {
		all = append(all, plain{Path: "compute " + c.path, Expression: c.expression.path, Type: c.typ.path, Doc: c.doc})
	}
	text, _ := json.Marshal(all) // of texts: it can't fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// compiler puts rules into the places of an object.
type compiler struct {
	top      *place
	computed []*computed
	hashes   bool
	problems Problems

	suggested int // paths that were probably meant
}

// What is told of a mapping at most: mappings come over REST, and to look for what was meant takes its time.
const (
	mostProblems  = 100
	mostSuggested = 5 // of an object
)

func (c *compiler) wrong(at position, remedy, format string, args ...any) {
	c.problems = append(c.problems, at.problem(remedy, format, args...))
}

// find follows a path of a rule; false: there is a problem.
func (c *compiler) find(n named) (target, bool) {
	t, ok := c.top.find(n.path)
	switch {
	case ok:
		return t, true
	case len(c.problems) >= mostProblems: // that is another object's mapping, or no mapping
		return t, false
	case t.place != nil:
		c.wrong(n.position, "write e.g. custom-fields.cost-center", "a custom field has a name")
	default:
		remedy := "Coupa's names are meant, custom-fields.NAME for a custom field"
		if c.suggested++; c.suggested <= mostSuggested {
			remedy = oneOf(n.path, c.top.paths()) + "; " + remedy
		}
		c.wrong(n.position, remedy, "unknown field %s", n.path)
	}
	return t, false
}

func (c *compiler) choose(paths []named) {
	if paths == nil {
		return
	}
	c.top.partly = true
	for _, n := range paths {
		t, ok := c.find(n)
		switch {
		case !ok:
			continue
		case t.extra != "" && t.role != schematext.RoleCustomFields:
			c.wrong(n.position, "leave it out", "%s is not among the fields that coupastream ships, so it can't be chosen", n.path)
			continue
		}
		t.rules().chosen = true
		up := t.place.parent
		if t.extra != "" {
			up = t.place
		}
		for ; up != nil; up = up.parent {
			up.partly = true
		}
	}
}

func (c *compiler) leaveOut(paths []named) {
	for _, n := range paths {
		t, ok := c.find(n)
		if !ok {
			continue
		}
		if r := t.rules(); r.chosen {
			c.wrong(n.position, "keep one of them", "%s is chosen, and left out", n.path)
			continue
		}
		if t.parent != nil && t.parent.parent == nil && t.extra == "" && (t.key == "id" || t.key == "updated-at") {
			c.wrong(n.position, "take it out of the list", "%s stays always: it is the key of the records, or tells their order", n.path)
			continue
		}
		t.rules().leftOut = true
	}
}

// field puts the rules of one path.
func (c *compiler) field(f fieldRules) {
	t, ok := c.find(f.named)
	if !ok {
		return
	}
	r := t.rules()
	plainField := t.extra == "" && kindOf(t.typ) != ""
	kept := t.place.keptThrough()
	if t.extra != "" {
		kept = kept && t.place.keepsExtra(r)
	}
	switch {
	case !kept:
		c.wrong(f.position, "take it out of fields, or of leave-out and choose", "%s is not kept, so nothing can become of it", f.path)
		return
	case t.extra != "" && (f.rename.path != "" || f.retype.path != ""):
		c.wrong(f.position, "mask, hash or leave it out, or compute a field from it", "%s has no field of its own in the shipped schema, to be renamed or to get another type", f.path)
		return
	case t.extra == "" && !plainField && (f.retype.path != "" || f.mask != nil || f.hash):
		c.wrong(f.position, "name a field inside it, or leave it out", "%s is no single value", f.path)
		return
	case t.extra == "" && t.parent.parent == nil && t.key == "id" && (f.retype.path != "" || f.mask != nil || f.hash),
		t.extra == "" && t.parent.parent == nil && t.key == "updated-at" && (f.mask != nil || f.hash):
		c.wrong(f.position, "leave it as it is", "%s is in the key and the headers of every record", f.path)
		return
	}
	c.rename(r, t, f.rename)
	c.retype(r, t, f.retype)
	c.hide(r, t, f)
}

var avroName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c *compiler) rename(r *rules, t target, to named) {
	if to.path == "" {
		return
	}
	if !avroName.MatchString(to.path) {
		c.wrong(to.position, "write a name of letters, digits and _ that does not begin with a digit, e.g. "+avroname.Fields([]string{to.path})[0], "%q is no name of an Avro field", to.path)
		return
	}
	r.rename, r.renamed = to.path, to.position
}

func (c *compiler) retype(r *rules, t target, to named) {
	if to.path == "" {
		return
	}
	typ, message := typeNamed(to.path)
	if message != "" {
		c.wrong(to.position, "write "+strings.Replace(typeNames, "double, ", "", 1), "%s", message)
		return
	}
	from := kindOf(t.typ)
	if !slices.Contains(retypes[from], kindOf(typ)) {
		var can []string
		for _, k := range retypes[from] {
			can = append(can, string(k))
		}
		c.wrong(to.position, "it can become "+strings.Join(can, ", ")+"; or compute a field from it", "%s can't become %s without loss", from, to.path)
		return
	}
	r.retype = typ
}

// hide puts mask and hash.
func (c *compiler) hide(r *rules, t target, f fieldRules) {
	if f.mask == nil && !f.hash {
		return
	}
	c.hashes = c.hashes || f.hash
	r.mask, r.hash = f.mask, f.hash
	if t.extra != "" {
		return
	}
	is := t.typ
	if r.retype.Name != "" {
		is = r.retype
	}
	switch {
	case f.hash && r.retype.Name != "" && kindOf(r.retype) != kindString:
		c.wrong(f.masked, "leave retype out", "a hash is a string")
	case f.hash && kindOf(t.typ) != kindString:
		r.retype = schematext.Type{Nullable: true, Name: string(kindString)}
	case f.hash:
	case f.mask.keepLast > 0 && kindOf(is) != kindString:
		c.wrong(f.masked, "add retype: string, or give a constant", "%s is no string, of which characters could be kept", t.path)
	case f.mask.keepLast == 0 && !isOf(f.mask.constant, is):
		c.wrong(f.masked, fmt.Sprintf("add retype: string, or give a constant of type %s", kindOf(is)), "the mask is no %s, which the field is", kindOf(is))
	}
}

// names refuses two fields of one name.
func (c *compiler) names() {
	c.namesOf(c.top, c.computed)
}

func (c *compiler) namesOf(p *place, computed []*computed) {
	taken := map[string]string{avroname.Fields([]string{schematext.RoleUnmapped})[0]: "what has no field"}
	for _, f := range p.fields {
		if f.kept() && f.rename == "" {
			taken[f.name] = f.path
		}
	}
	claim := func(name, what string, at position) {
		if other, is := taken[name]; is {
			c.wrong(at, "give it another name", "the record has a field %s already, for %s", name, other)
			return
		}
		taken[name] = what
	}
	for _, f := range p.fields {
		if f.kept() && f.rename != "" {
			claim(f.rename, f.path, f.renamed)
		}
		c.namesOf(f, nil)
	}
	for _, f := range computed {
		claim(f.name, "an expression", f.at)
	}
}
