package mapping

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"time"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// kind is a type of a value, without its parameters.
type kind string

const (
	kindString    kind = "string"
	kindBoolean   kind = "boolean"
	kindInt       kind = "int"
	kindLong      kind = "long"
	kindDouble    kind = "double"
	kindDecimal   kind = "decimal"
	kindDate      kind = "date"
	kindTimestamp kind = "timestamp-millis"
)

// typeNames is the remedy for a type that is none.
const typeNames = "string, boolean, int, long, double, decimal(precision,scale), date or timestamp-millis"

// kindOf is the kind of a plain type; "" for any other.
func kindOf(t schematext.Type) kind {
	switch {
	case t.Record != nil || t.Items != nil || t.Values != "" || len(t.Branches) > 0:
		return ""
	case t.Logical != "":
		return kind(t.Logical)
	}
	switch k := kind(t.Name); k {
	case kindString, kindBoolean, kindInt, kindLong, kindDouble:
		return k
	}
	return ""
}

var decimalPattern = regexp.MustCompile(`^decimal\( *(\d{1,3}) *, *(\d{1,3}) *\)$`)

// maxPrecision is that of the shipped schemas' decimals.
const maxPrecision = 38

// typeNamed gives the type of a name; the message is "" if there is one. Types are nullable.
func typeNamed(name string) (t schematext.Type, message string) {
	if m := decimalPattern.FindStringSubmatch(name); m != nil {
		p, _ := strconv.Atoi(m[1]) // digits alone, and few
		s, _ := strconv.Atoi(m[2])
		if p < 1 || p > maxPrecision || s > p {
			return t, fmt.Sprintf("decimal has a precision of 1 to %d and a scale of 0 to the precision", maxPrecision)
		}
		return schematext.Type{Nullable: true, Name: "bytes", Logical: "decimal", Precision: p, Scale: s}, ""
	}
	switch kind(name) {
	case kindString, kindBoolean, kindInt, kindLong, kindDouble:
		return schematext.Type{Nullable: true, Name: name}, ""
	case kindDate:
		return schematext.Type{Nullable: true, Name: "int", Logical: "date"}, ""
	case kindTimestamp:
		return schematext.Type{Nullable: true, Name: "long", Logical: "timestamp-millis"}, ""
	}
	return t, fmt.Sprintf("%q is no type", name)
}

// retypes lists what a kind may become: where each value has one exact form, or can be told to have none.
var retypes = map[kind][]kind{
	kindString:    {kindString, kindBoolean, kindInt, kindLong, kindDecimal, kindDate, kindTimestamp},
	kindBoolean:   {kindString, kindBoolean},
	kindInt:       {kindString, kindInt, kindLong, kindDecimal},
	kindLong:      {kindString, kindInt, kindLong, kindDecimal},
	kindDecimal:   {kindString, kindInt, kindLong, kindDecimal},
	kindDouble:    {kindString, kindDouble},
	kindDate:      {kindString, kindDate},
	kindTimestamp: {kindString, kindTimestamp},
}

// isOf tells whether a mask's constant is a value of a type.
func isOf(constant string, t schematext.Type) bool {
	switch kindOf(t) {
	case kindString:
		return true
	case kindBoolean:
		return constant == "true" || constant == "false"
	case kindInt:
		_, err := strconv.ParseInt(constant, 10, 32)
		return err == nil
	case kindLong:
		_, err := strconv.ParseInt(constant, 10, 64)
		return err == nil
	case kindDouble:
		return isNumber(constant)
	case kindDecimal:
		return isNumber(constant) && fits(constant, t.Precision, t.Scale)
	case kindDate:
		_, err := time.Parse(time.DateOnly, constant)
		return err == nil
	case kindTimestamp:
		_, err := time.Parse(time.RFC3339, constant)
		return err == nil
	}
	return false
}

// isNumber tells whether a text is a JSON number, the only form of one that is free of surprises.
func isNumber(text string) bool {
	c := text + " "
	return (c[0] == '-' || c[0] >= '0' && c[0] <= '9') && json.Valid([]byte(text))
}

// fits tells whether a number has an exact form as a decimal.
func fits(number string, precision, scale int) bool {
	if len(number) > 2*maxPrecision { // so that no exponent can make work
		return false
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return false
	}
	tens := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	r.Mul(r, new(big.Rat).SetInt(tens))
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return r.IsInt() && r.Num().CmpAbs(limit) < 0
}
