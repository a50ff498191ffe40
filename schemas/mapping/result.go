package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

// compute adds the computed fields to the row in r.buf.
func (r *Rewriter) compute(row []byte) error {
	r.inputs.absent = r.KeepUnreadable
	in, err := r.inputs.read(r.m.top, row)
	if err != nil {
		return err
	}
	vars := map[string]any{"row": in}
	for _, c := range r.m.computed {
		v, err := c.evaluate(vars)
		if err != nil {
			return &rowtext.FieldError{Path: c.name, Err: err}
		}
		if v == nil {
			continue
		}
		if r.buf, err = c.append(r.buf, v); err != nil {
			return &rowtext.FieldError{Path: c.name, Err: err}
		}
	}
	return nil
}

// evaluate gives the expression's value; nil for null, or where the row has nothing that it needs.
func (c *computed) evaluate(vars map[string]any) (ref.Val, error) {
	v, _, err := c.program.Eval(vars)
	if err != nil {
		if isAbsent(err) {
			return nil, nil
		}
		return nil, failure(err)
	}
	if o, ok := v.(*types.Optional); ok {
		if !o.HasValue() {
			return nil, nil
		}
		v = o.GetValue()
	}
	if v == types.NullValue {
		return nil, nil
	}
	return v, nil
}

// isAbsent tells whether an expression failed for want of a
// value. CEL's own error of a key that a map lacks has no type.
func isAbsent(err error) bool {
	return errors.Is(err, errAbsent) || strings.HasPrefix(err.Error(), "no such key")
}

// failure says why an expression failed. CEL's own words may hold
// values of the row, so just the known ones of them are told.
func failure(err error) error {
	var unfit *errUnfit
	if errors.As(err, &unfit) {
		return fmt.Errorf("its expression can't be evaluated: %w than expressions know it by; correct it in Coupa", unfit)
	}
	for _, known := range []string{
		"division by zero", "modulus by zero", "integer overflow", "timestamp overflow", "duration overflow", "range error",
		"cost limit exceeded", "index out of bounds", "no such overload", "type conversion error",
		errTooLong, errTooManyParts,
	} {
		if strings.Contains(err.Error(), known) {
			return fmt.Errorf("its expression can't be evaluated: %s; correct the row in Coupa, or the expression", known)
		}
	}
	return errors.New("its expression can't be evaluated: a value is none that a function or a conversion takes; correct the row in Coupa, or the expression")
}

var errNoResult = errors.New("the result of its expression has no form in the field's type; correct the row in Coupa, or the expression")

// append adds the field with its value to an object that lacks its closing brace.
func (c *computed) append(dst []byte, v ref.Val) ([]byte, error) {
	text, err := c.text(v)
	if err != nil {
		return dst, err
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return dst, errNoResult
	}
	key, err := json.Marshal(schematext.ComputedKey(c.name))
	if err != nil {
		return dst, err
	}
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(append(dst, key...), ':')
	return append(dst, quoted...), nil
}

// text is the value as the encoder reads it for the field's type: numbers and booleans too, exactly.
func (c *computed) text(v ref.Val) (string, error) {
	switch k := kindOf(c.typ); v := v.(type) {
	case types.String:
		return c.fromString(k, string(v))
	case types.Bool:
		if k == kindBoolean {
			return strconv.FormatBool(bool(v)), nil
		}
	case types.Int:
		n := strconv.FormatInt(int64(v), 10)
		if k == kindLong || k == kindInt && v == types.Int(int32(v)) || k == kindDecimal && fits(n, c.typ.Precision, c.typ.Scale) {
			return n, nil
		}
	case types.Double:
		return c.fromDouble(k, float64(v))
	case types.Timestamp:
		switch k {
		case kindTimestamp:
			return v.UTC().Format(time.RFC3339Nano), nil
		case kindDate:
			return v.UTC().Format(time.DateOnly), nil
		}
	}
	return "", errNoResult
}

func (c *computed) fromString(k kind, s string) (string, error) {
	ok := false
	switch k {
	case kindString:
		ok = true
	case kindDecimal:
		ok = isNumber(s) && fits(s, c.typ.Precision, c.typ.Scale)
	case kindDate:
		_, err := time.Parse(time.DateOnly, s)
		ok = err == nil
	case kindTimestamp:
		_, err := time.Parse(time.RFC3339, s)
		ok = err == nil
	}
	if !ok {
		return "", errNoResult
	}
	return s, nil
}

// fromDouble takes what an expression has made a double; for a decimal
// it is rounded to the scale, as the expression asked for by its type.
func (c *computed) fromDouble(k kind, f float64) (string, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "", errNoResult
	}
	switch k {
	case kindDouble:
		return strconv.FormatFloat(f, 'g', -1, 64), nil
	case kindDecimal:
		n := strconv.FormatFloat(f, 'f', c.typ.Scale, 64)
		if fits(n, c.typ.Precision, c.typ.Scale) {
			return n, nil
		}
	}
	return "", errNoResult
}
