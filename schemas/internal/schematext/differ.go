package schematext

import (
	"fmt"
	"slices"
	"strings"
)

// Difference is what readers of two versions of a record would take for one thing, and is two.
type Difference struct {
	Path string // of the field: its name in Avro, behind those of the records around it; of a rule, Coupa's
	Was  string // in the last version: the type, or what a mapping does to the values
	Is   string // in the next one
	// Widens tells that a union may have both, so that readers can tell which a value is of.
	Widens bool
}

func (d Difference) String() string { return fmt.Sprintf("%s was %s, is %s", d.Path, d.Was, d.Is) }

// Differences compares what two versions of a record have in common: the types of fields, with precision
// and scale, wherever they stand, and what a mapping hides. Fields that one of them has alone are none, nor
// are docs, tags and properties; a type that a union has besides is none either. What becomes of a record
// that is no record any more, and of whatever can't be null, every registry sees by itself.
func Differences(last, next *Record) []Difference {
	d := differ{last: last.Records(), next: next.Records(), compared: map[[2]string]bool{}}
	d.records("", last, next)
	return append(d.found, RuleDifferences(last.Rules, next.Rules)...)
}

// differ compares two schemas; records that stand in several places are compared once.
type differ struct {
	last, next map[string]*Record
	compared   map[[2]string]bool
	found      []Difference
}

func (d *differ) records(path string, last, next *Record) {
	pair := [2]string{last.Name, next.Name}
	if d.compared[pair] {
		return
	}
	d.compared[pair] = true
	for _, f := range next.Fields {
		if i := slices.IndexFunc(last.Fields, func(l Field) bool { return l.Name == f.Name }); i >= 0 {
			d.types(strings.TrimPrefix(path+"."+f.Name, "."), last.Fields[i].Type, f.Type)
		}
	}
}

func (d *differ) types(path string, last, next Type) {
	if last.Items != nil && next.Items != nil {
		d.types(path, *last.Items, *next.Items)
		return
	}
	if last.Items == nil && next.Items == nil {
		if was, is := last.Inner(d.last), next.Inner(d.next); was != nil && is != nil {
			d.records(path, was, is)
			return
		}
	}
	was, is := plainOf(last, d.last), plainOf(next, d.next)
	if len(was) == 0 || len(is) == 0 {
		return
	}
	clash := false // two of one type, which a union has once
	for _, one := range was {
		clash = clash || slices.ContainsFunc(is, func(b Type) bool { return b.Name == one.Name && !sameType(b, one) })
	}
	lost := slices.ContainsFunc(was, func(one Type) bool {
		return !slices.ContainsFunc(is, func(b Type) bool { return sameType(b, one) })
	})
	if clash || lost {
		d.found = append(d.found, Difference{Path: path, Was: spell(was), Is: spell(is), Widens: !clash && next.Nullable})
	}
}

// plainOf lists the plain types of a union; none where a record, an array or a map is among them.
func plainOf(t Type, records map[string]*Record) []Type {
	branches := t.Branches
	if len(branches) == 0 {
		branches = []Type{t}
	}
	var plain []Type
	for _, b := range branches {
		if b.Nullable = false; !isPrimitive(b) || records[b.Name] != nil {
			return nil
		}
		plain = append(plain, b)
	}
	return plain
}

// spell writes types for people.
func spell(types []Type) string {
	var names []string
	for _, t := range types {
		switch {
		case t.Logical == "decimal":
			names = append(names, fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale))
		case t.Logical != "":
			names = append(names, t.Logical)
		default:
			names = append(names, t.Name)
		}
	}
	return strings.Join(names, " or ")
}

// RuleDifferences compares what two mappings hide, each as a record's Rules.
func RuleDifferences(last, next []string) []Difference {
	was, is := rulesByPath(last), rulesByPath(next)
	var found []Difference
	for path, rule := range was {
		if is[path] != rule {
			found = append(found, Difference{Path: path, Was: spellRule(rule), Is: spellRule(is[path])})
		}
	}
	for path, rule := range is {
		if was[path] == "" {
			found = append(found, Difference{Path: path, Was: spellRule(""), Is: spellRule(rule)})
		}
	}
	slices.SortFunc(found, func(a, b Difference) int { return strings.Compare(a.Path, b.Path) })
	return found
}

func rulesByPath(rules []string) map[string]string {
	all := map[string]string{}
	for _, r := range rules {
		rule, path, _ := strings.Cut(r, " ")
		all[path] = rule
	}
	return all
}

func spellRule(rule string) string {
	if rule == "" {
		return "shown as Coupa sends it"
	}
	return "hidden by " + rule
}

// RulesBelow gives those of a record's Rules that are of a path, a list's or an association's.
func RulesBelow(rules []string, path string) []string {
	return slices.DeleteFunc(slices.Clone(rules), func(r string) bool { return !isBelow(r, path) })
}

// RulesBeside gives those that are not.
func RulesBeside(rules []string, path string) []string {
	return slices.DeleteFunc(slices.Clone(rules), func(r string) bool { return isBelow(r, path) })
}

func isBelow(rule, path string) bool {
	_, of, _ := strings.Cut(rule, " ")
	return of == path || strings.HasPrefix(of, path+".")
}
