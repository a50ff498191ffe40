package mapping

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	"go.yaml.in/yaml/v3"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
	"github.com/coupastream/coupastream/schemas/nearest"
)

// computed is a field whose values are an expression's.
type computed struct {
	name    string
	typ     schematext.Type
	doc     string
	program cel.Program
	reads   []*place // the fields that the expression names, in its order
	at      position
}

// maxCost bounds an evaluation, in CEL's units, of which a step takes
// about one: a row of 10 000 lines can be gone through many times.
const maxCost = 2_000_000

// errAbsent says that a row has nothing where an expression needs a value.
var errAbsent = errors.New("the row has no value there")

// compute compiles the expressions.
func (c *compiler) compute(all []computation) {
	if len(all) == 0 {
		return
	}
	env, err := c.environment()
	if err != nil {
		c.wrong(all[0].position, "this is a fault of coupastream: report it", "expressions can't be compiled: %v", err)
		return
	}
	for _, one := range all {
		c.computation(env, one)
	}
}

// environment declares row, and what of the libraries of CEL is of use.
func (c *compiler) environment() (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	p := &provider{Registry: registry, places: map[string]*place{}}
	p.add(c.top)
	return cel.NewEnv(append([]cel.EnvOption{cel.CustomTypeProvider(p), cel.CustomTypeAdapter(registry), cel.OptionalTypes(), cel.DefaultUTCTimeZone(true),
		ext.Strings(), ext.Math(), ext.Lists(), ext.Bindings(),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals()),
		cel.Variable("row", cel.ObjectType(c.top.celName()))}, bounded()...)...)
}

func (c *compiler) computation(env *cel.Env, one computation) {
	if !avroName.MatchString(one.path) {
		c.wrong(one.position, "write a name of letters, digits and _ that does not begin with a digit", "%q is no name of an Avro field", one.path)
		return
	}
	typ, message := typeNamed(one.typ.path)
	if message != "" {
		c.wrong(one.typ.position, "write "+typeNames, "%s", message)
		return
	}
	checked, issues := env.Compile(one.expression.path)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			message, remedy := c.explain(oneLine(e.Message), one.expression.path)
			c.wrong(one.place(e.Location.Line(), e.Location.Column()), remedy, "%s", message)
			if strings.HasPrefix(message, syntaxError) {
				break // the others follow from it
			}
		}
		return
	}
	if want, ok := results(checked.OutputType(), kindOf(typ)); !ok {
		c.wrong(one.expression.position, want, "the expression gives %s, from which no %s is made", checked.OutputType(), one.typ.path)
		return
	}
	program, err := env.Program(checked, cel.CostTracking(sizes{}), cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		c.wrong(one.expression.position, "write it in another way", "the expression can't be made a program: %s", oneLine(err.Error()))
		return
	}
	reads := c.use(checked.NativeRep())
	c.computed = append(c.computed, &computed{name: one.path, typ: typ, doc: one.doc, program: program, reads: reads, at: one.position})
}

// place is where a position of an expression, line from 1 and column from
// 0, is in the file: exactly where the expression stands on one line.
func (one computation) place(line, column int) position {
	at := one.expression.position
	switch {
	case one.source&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		at.line += line
		at.column = 1
		at.path = fmt.Sprintf("%s (character %d of the line)", at.path, column+1)
	case line > 1:
		at.path = fmt.Sprintf("%s (line %d, character %d)", at.path, line, column+1)
	default:
		at.column += column
		if one.source&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			at.column++
		}
	}
	return at
}

// What CEL says of an expression that it does not take.
var (
	undefinedField = regexp.MustCompile(`^undefined field '(.+)'`)
	undeclared     = regexp.MustCompile(`^undeclared reference to '(.+?)'`)
	noOverload     = regexp.MustCompile(`^found no matching overload for '(.+)' applied to '\((.*)\)'`)
	assigned       = regexp.MustCompile(`[^=!<>]=[^=]`)
)

const syntaxError = "Syntax error"

// explain says what CEL means, and what to write.
func (c *compiler) explain(message, expression string) (said, remedy string) {
	const names = "row's fields have their Avro names, as in coupastream schema OBJECT"
	said, _, _ = strings.Cut(message, " expecting {") // all that a grammar would take there
	if m := undefinedField.FindStringSubmatch(message); m != nil {
		if near := nearest.Of(m[1], c.top.allNames(), "-_"); near != "" && near != m[1] {
			return said, "the nearest is " + near + "; " + names
		}
		return said, names
	}
	if m := undeclared.FindStringSubmatch(message); m != nil {
		if slices.ContainsFunc(c.top.fields, func(f *place) bool { return f.name == m[1] }) {
			return said, "write row." + m[1]
		}
		return said, "a field is row.NAME, and a text is in quotes; " + names
	}
	if m := noOverload.FindStringSubmatch(message); m != nil {
		switch {
		case strings.Contains(m[2], "string") && strings.ContainsAny(m[1], "+-*/%<>"):
			return said, "decimals are texts here, so that they stay exact: write double(…) around one to reckon with it, and 2.0 for 2 beside it"
		case strings.Contains(m[2], "double") && strings.Contains(m[2], "int"):
			return said, "both sides must be of one type: write 2.0 for 2, or double(…) around the other"
		}
		return said, "convert one side with string(…), int(…), double(…) or timestamp(…), so that both are of one type"
	}
	if strings.HasPrefix(message, syntaxError) {
		if assigned.MatchString(expression) {
			return said, "write == to compare"
		}
		return said, "write it as CEL has it, e.g. row.status == 'approved' ? 1 : 0"
	}
	return said, names
}

// allNames are the Avro names of all fields of the row, also within others.
func (p *place) allNames() (names []string) {
	for _, f := range p.fields {
		names = append(append(names, f.name), f.allNames()...)
	}
	return names
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// present is the type of what an optional value holds, or the type itself.
func present(t *cel.Type) *cel.Type {
	if t.TypeName() == "optional_type" && len(t.Parameters()) == 1 {
		return t.Parameters()[0]
	}
	return t
}

// results tells whether a field of a kind is made of what an expression gives, or what to write instead.
func results(out *cel.Type, k kind) (instead string, ok bool) {
	out = present(out)
	takes := map[kind][]*cel.Type{
		kindString: {cel.StringType}, kindBoolean: {cel.BoolType}, kindInt: {cel.IntType}, kindLong: {cel.IntType}, kindDouble: {cel.DoubleType},
		kindDecimal: {cel.StringType, cel.IntType, cel.DoubleType}, kindDate: {cel.StringType, cel.TimestampType},
		kindTimestamp: {cel.TimestampType, cel.StringType},
	}[k]
	var names []string
	for _, t := range append(takes, cel.DynType, cel.NullType) {
		if out.IsExactType(t) {
			return "", true
		}
		names = append(names, t.TypeName())
	}
	return "let it give " + strings.Join(names[:len(takes)], " or ") + ", e.g. with " + names[0] + "(…); or give another type", false
}

// use marks what an expression needs of a row, and gives the fields that it names.
func (c *compiler) use(checked *ast.AST) (reads []*place) {
	places := map[string]*place{}
	c.top.byName(places)
	mark := func(expr ast.Expr, field string) {
		at := places[present(checked.GetType(expr.ID())).TypeName()]
		read := at.celField(field)
		for f := read; f != nil; f = f.parent {
			f.used = true
		}
		if read != nil && !slices.Contains(reads, read) {
			reads = append(reads, read)
		}
	}
	ast.PreOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			mark(e.AsSelect().Operand(), e.AsSelect().FieldName())
		case ast.CallKind:
			if call := e.AsCall(); call.FunctionName() == "_?._" && call.Args()[1].Kind() == ast.LiteralKind {
				if name, ok := call.Args()[1].AsLiteral().(types.String); ok {
					mark(call.Args()[0], string(name))
				}
			}
		}
	}))
	return reads
}

// celName is the name of the place's type in expressions, for a place that is a record.
func (p *place) celName() string {
	if p.parent == nil {
		return "Row"
	}
	return p.parent.celName() + "." + p.name
}

func (p *place) byName(all map[string]*place) {
	if p.byKey != nil {
		all[p.celName()] = p
	}
	for _, f := range p.fields {
		f.byName(all)
	}
}

// celField is the field that an expression calls by its Avro name; nil for none, and in what is no place.
func (p *place) celField(name string) *place {
	if p == nil {
		return nil
	}
	for _, f := range p.fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

// celType is the type of the place's values in expressions.
func (p *place) celType() *cel.Type {
	if p.role == schematext.RoleCustomFields {
		return cel.MapType(cel.StringType, cel.DynType)
	}
	t := cel.DynType
	switch k := kindOf(p.typ); {
	case p.byKey != nil:
		t = cel.ObjectType(p.celName())
	case k == kindBoolean:
		t = cel.BoolType
	case k == kindInt, k == kindLong:
		t = cel.IntType
	case k == kindDouble:
		t = cel.DoubleType
	case k == kindTimestamp:
		t = cel.TimestampType
	case k != "":
		t = cel.StringType
	}
	if p.typ.Items != nil && p.byKey != nil {
		return cel.ListType(t)
	}
	return t
}

// provider knows the types of an object's records.
type provider struct {
	*types.Registry
	places map[string]*place
}

func (p *provider) add(at *place) { at.byName(p.places) }

// FindStructType is of types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.places[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames is of types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	at, ok := p.places[name]
	if !ok {
		return p.Registry.FindStructFieldNames(name)
	}
	var names []string
	for _, f := range at.fields {
		names = append(names, f.name)
	}
	return names, true
}

// FindStructFieldType is of types.Provider.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	at, ok := p.places[name]
	if !ok {
		return p.Registry.FindStructFieldType(name, field)
	}
	f := at.celField(field)
	if f == nil {
		return nil, false
	}
	return &types.FieldType{
		Type:  f.celType(),
		IsSet: func(of any) bool { o, ok := of.(*object); return ok && o.fields[field] != nil },
		GetFrom: func(of any) (any, error) {
			if o, ok := of.(*object); ok && o.fields[field] != nil {
				return o.fields[field], nil
			}
			return nil, errAbsent
		},
	}, true
}

// NewValue is of types.Provider. Expressions make no objects.
func (p *provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if _, ok := p.places[name]; ok {
		return types.NewErr("an object of a row can't be made")
	}
	return p.Registry.NewValue(name, fields)
}
