package mapping

import (
	"errors"
	"reflect"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

// object is an object of a row, of which just the fields are
// there that expressions need and that have a value.
type object struct {
	typ    *types.Type
	fields map[string]ref.Val // by Avro name
}

// ConvertToNative is of ref.Val.
func (o *object) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("an object of a row has no other form")
}

// ConvertToType is of ref.Val.
func (o *object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return o.typ
	}
	return types.NewErr("no such overload")
}

// Equal is of ref.Val: objects are not compared, since they are not there in full.
func (o *object) Equal(ref.Val) ref.Val { return types.NewErr("no such overload") }

// Type is of ref.Val.
func (o *object) Type() ref.Type { return o.typ }

// Value is of ref.Val.
func (o *object) Value() any { return o }

// input reads from a row what expressions need.
type input struct {
	cursor rowtext.Cursor
	absent bool // a value that is not of its field's type is none
}

func (in *input) read(top *place, row []byte) (ref.Val, error) {
	in.cursor.Open(row)
	return in.object(top)
}

// object reads the object at the cursor.
func (in *input) object(p *place) (ref.Val, error) {
	o := &object{typ: types.NewObjectType(p.celName()), fields: map[string]ref.Val{}}
	err := in.cursor.Object(func(key []byte, _ int) error {
		child, _, _ := p.rulesFor(key)
		if child == nil || !child.used {
			_, err := in.cursor.Skip()
			return err
		}
		v, err := in.value(child)
		if err != nil {
			return err
		}
		if v == nil {
			delete(o.fields, child.name)
			return nil
		}
		o.fields[child.name] = v
		return nil
	})
	return o, err
}

// value reads the value at the cursor; nil for none. What is not
// of the field's type is an error where an expression comes to it.
func (in *input) value(p *place) (ref.Val, error) {
	switch c := in.cursor.First(); {
	case p.role == schematext.RoleCustomFields && c == '{', p.byKey == nil && p.celType() == types.DynType:
		return in.any()
	case p.byKey != nil && c == '{':
		o, err := in.object(p)
		if err == nil && p.typ.Items != nil {
			return list([]ref.Val{o}), nil
		}
		return o, err
	case p.byKey != nil && c == '[' && p.typ.Items != nil:
		return in.list(p)
	case c == '{' || c == '[':
		_, err := in.cursor.Skip()
		return in.unfit(p), err
	}
	text, quoted, err := in.plain()
	if err != nil || text == "null" && !quoted || text == "" && kindOf(p.typ) != kindString {
		return nil, err
	}
	if !p.isObject() {
		if v := scalar(p, text, quoted); v != nil {
			return v, nil
		}
	}
	return in.unfit(p), nil
}

// plain reads a value that is no object and no list, as text.
func (in *input) plain() (text string, quoted bool, err error) {
	if in.cursor.First() == '"' {
		b, err := in.cursor.Text()
		return string(b), true, err
	}
	b, err := in.cursor.Skip()
	return string(b), false, err
}

func (in *input) list(p *place) (ref.Val, error) {
	all := []ref.Val{}
	err := in.cursor.List(func() error {
		switch in.cursor.First() {
		case '{':
			o, err := in.object(p)
			all = append(all, o)
			return err
		case 'n':
			_, err := in.cursor.Skip()
			return err
		}
		_, err := in.cursor.Skip()
		if v := in.unfit(p); v != nil {
			all = append(all, v)
		}
		return err
	})
	return list(all), err
}

func list(all []ref.Val) ref.Val { return types.NewRefValList(types.DefaultTypeAdapter, all) }

// any reads a custom field's value, or all custom fields, whatever they are.
func (in *input) any() (ref.Val, error) {
	switch c := in.cursor.First(); c {
	case '{':
		all := map[ref.Val]ref.Val{}
		err := in.cursor.Object(func(key []byte, _ int) error {
			name := types.String(key)
			v, err := in.any()
			if delete(all, name); v != nil {
				all[name] = v
			}
			return err
		})
		return types.NewRefValMap(types.DefaultTypeAdapter, all), err
	case '[':
		all := []ref.Val{}
		err := in.cursor.List(func() error {
			v, err := in.any()
			if v == nil {
				v = types.NullValue
			}
			all = append(all, v)
			return err
		})
		return list(all), err
	}
	text, quoted, err := in.plain()
	switch {
	case err != nil, text == "null" && !quoted:
		return nil, err
	case quoted:
		return types.String(text), nil
	case text == "true", text == "false":
		return types.Bool(text == "true"), nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return types.Int(n), nil
	}
	return types.String(text), nil
}

// scalar reads a text or number as the field's type has it; nil: it is not of that type.
func scalar(p *place, text string, quoted bool) ref.Val {
	switch kindOf(p.typ) {
	case kindString:
		return types.String(text)
	case kindBoolean:
		switch text {
		case "true", "1":
			return types.True
		case "false", "0":
			return types.False
		}
	case kindInt, kindLong:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return types.Int(n)
		}
	case kindDouble:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return types.Double(f)
		}
	case kindDecimal:
		if isNumber(text) {
			return types.String(text)
		}
	case kindDate:
		if day, ok := dayOf(text); ok && quoted {
			return types.String(day)
		}
	case kindTimestamp:
		for _, form := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(form, text); err == nil && quoted && rowtext.InReach(t.UnixMilli()) {
				return types.Timestamp{Time: t}
			}
		}
	}
	return nil
}

// dayOf is the calendar day as written, whatever the hour and offset.
func dayOf(text string) (string, bool) {
	if len(text) < len(time.DateOnly) {
		return "", false
	}
	day := text[:len(time.DateOnly)]
	_, err := time.Parse(time.DateOnly, day)
	return day, err == nil
}

// errUnfit is told with the path of the value.
type errUnfit struct{ path string }

func (e *errUnfit) Error() string { return e.path + " has a value of another type" }

// unfit stands for a value that is not of its field's type.
func (in *input) unfit(p *place) ref.Val {
	if in.absent {
		return nil
	}
	return types.WrapErr(&errUnfit{p.path})
}
