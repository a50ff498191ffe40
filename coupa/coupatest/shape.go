package coupatest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

//go:embed shapes.json
var shapesJSON []byte

// kind says how the value of a field is made and rendered.
type kind uint8

const (
	kindID kind = iota
	kindCreated
	kindUpdated
	kindIndex      // number of a line, from 1
	kindCount      // number of lines
	kindParent     // id of the row that a line belongs to
	kindExported   // the exported flag
	kindExportedAt // when it was set, or null
	kindBool
	kindInt
	kindFloat   // a JSON number
	kindDecimal // a JSON string of digits
	kindTime    // an instant
	kindDay     // a calendar date: the company's midnight
	kindDayEnd  // a due date: 23:59:59 in the company's zone
	kindDate    // a plain date, no time
	kindText    // words, sometimes with HTML, escapes, other scripts
	kindWord
	kindDigits
	kindCode // a prefix and the id
	kindEnum
	kindEmail
	kindLogin
	kindFirst
	kindLast
	kindFull
	kindCompany
	kindCity
	kindState
	kindStreet
	kindURL
	kindUUID
	kindBlank  // an association that is never filled
	kindBlanks // the same, a list
	kindRef    // an association: one object
	kindList   // an association: several objects
	kindLines  // the row's lines, which have stamps of their own
	kindEmbed  // an object without an id: custom-fields
)

// field is one member of a shape.
type field struct {
	name string
	key  string // `"name":`
	kind kind
	// decimals: digits after the point; lists: most members; digits: how many; ints: the bound
	arg      int
	prefix   string   // codes
	words    []string // enums
	child    *shape   // associations
	present  uint64   // percent of rows with a value
	volatile bool     // changes with every version of its row
	quoted   bool     // an integer that Coupa sends as a string
	utc      bool     // a stamp that comes in Z whatever the company's zone
	hash     uint64
}

// shape is the list of members of one kind of object.
type shape struct {
	name   string
	hash   uint64
	fields []field
	byName map[string]*field // by normal name
}

// resource is one collection under /api.
type resource struct {
	Path     string `json:"path"`
	Type     string `json:"type"`
	Singular string `json:"singular"` // as Coupa's XML and error bodies call a row
	Scope    string `json:"scope"`
	// the member whose objects carry stamps of their own; "" when there is none
	Lines string `json:"lines"`
	Pad   string `json:"pad"` // the text that grows to reach Config.RowBytes
	// path of the collection whose rows these are below: served at <Parent>/{id}/<name>
	Parent string `json:"parent"`
	Asked  bool   `json:"asked"` // served only by tenants whose Config.Objects names it
	shape  *shape
}

// catalogue is shapes.json, read.
type catalogue struct {
	resources map[string]*resource
	order     []string
	shapes    map[string]*shape
}

// theCatalogue is read once and shared: nothing changes it.
var theCatalogue = sync.OnceValue(newCatalogue)

func newCatalogue() *catalogue {
	var file struct {
		Objects []*resource         `json:"objects"`
		Globals []string            `json:"globals"`
		Types   map[string][]string `json:"types"`
	}
	if err := json.Unmarshal(shapesJSON, &file); err != nil {
		panic("coupatest: shapes.json: " + err.Error()) // embedded: wrong only if the build is
	}
	c := &catalogue{resources: map[string]*resource{}, shapes: map[string]*shape{}}
	for name := range file.Types {
		// a reference shares its values with the row it refers to
		base := strings.TrimSuffix(strings.TrimSuffix(name, "Simple"), "Ref")
		c.shapes[name] = &shape{name: name, hash: hashName(base), byName: map[string]*field{}}
	}
	for _, r := range file.Objects {
		file.Types[r.Type] = append(file.Types[r.Type], file.Globals...)
	}
	for name, lines := range file.Types {
		c.shapes[name].fill(lines, c.shapes)
	}
	for _, r := range file.Objects {
		r.shape = c.shapes[r.Type]
		c.resources[r.Path] = r
		if !r.Asked {
			c.order = append(c.order, r.Path)
		}
	}
	return c
}

// fill reads lines of the form "name kind[:argument…] [percent] [~]".
func (s *shape) fill(lines []string, shapes map[string]*shape) {
	s.fields = make([]field, 0, len(lines))
	for _, line := range lines {
		words := strings.Fields(line)
		f := field{name: words[0], key: strconv.Quote(words[0]) + ":", present: 100, hash: hashName(words[0])}
		f.setKind(words[1], shapes)
		for _, w := range words[2:] {
			if w == "~" {
				f.volatile = true
				continue
			}
			percent, err := strconv.ParseUint(w, 10, 7)
			if err != nil {
				panic(fmt.Sprintf("coupatest: shapes.json: %s: %q", s.name, line))
			}
			f.present = percent
		}
		s.fields = append(s.fields, f)
		s.byName[normal(f.name)] = &s.fields[len(s.fields)-1]
	}
}

func (f *field) setKind(text string, shapes map[string]*shape) {
	name, arg, _ := strings.Cut(text, ":")
	kinds := map[string]kind{
		"id": kindID, "created": kindCreated, "createdz": kindCreated, "updated": kindUpdated, "updatedz": kindUpdated,
		"index": kindIndex, "indexs": kindIndex, "count": kindCount, "counts": kindCount, "parent": kindParent,
		"exported": kindExported, "exportedat": kindExportedAt,
		"bool": kindBool, "int": kindInt, "float": kindFloat, "dec": kindDecimal,
		"time": kindTime, "day": kindDay, "dayend": kindDayEnd, "date": kindDate,
		"text": kindText, "word": kindWord, "digits": kindDigits, "code": kindCode, "enum": kindEnum,
		"email": kindEmail, "login": kindLogin, "first": kindFirst, "last": kindLast, "full": kindFull,
		"company": kindCompany, "city": kindCity, "state": kindState, "street": kindStreet, "url": kindURL, "uuid": kindUUID,
		"blank": kindBlank, "blanks": kindBlanks, "ref": kindRef, "list": kindList, "lines": kindLines, "embed": kindEmbed,
	}
	k, ok := kinds[name]
	if !ok {
		panic("coupatest: shapes.json: no kind " + text)
	}
	f.kind = k
	f.quoted = name == "indexs" || name == "counts"
	f.utc = name == "createdz" || name == "updatedz"
	switch k {
	case kindEnum:
		f.words = strings.Split(arg, "|")
	case kindCode:
		f.prefix = arg
	case kindRef, kindList, kindLines, kindEmbed:
		child, most, _ := strings.Cut(arg, ":")
		f.child = shapes[child]
		f.arg, _ = strconv.Atoi(most)
		if f.child == nil {
			panic("coupatest: shapes.json: no type " + child)
		}
	default:
		f.arg, _ = strconv.Atoi(arg)
	}
}

// normal is the spelling under which names meet: Coupa takes order_lines and
// order-lines alike.
func normal(name string) string { return strings.ReplaceAll(name, "_", "-") }

// identifies reports whether a member tells which object a reference means; that
// is what is left of references below the first level.
func identifies(name string) bool {
	switch name {
	case "id", "code", "name", "number", "login", "email", "fullname", "firstname", "lastname", "employee-number", "po-number", "active":
		return true
	}
	return false
}

// hashName is FNV-1a.
func hashName(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix scatters two numbers into one (the finalizer of splitmix64).
func mix(a, b uint64) uint64 {
	z := a + b*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
