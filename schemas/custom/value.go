package custom

import (
	"bytes"
	"strconv"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// A custom decimal is Avro's decimal of these digits.
const (
	precision = 38
	scale     = 9
)

// TypeOf is the type of a plain value: first is its first byte in the row, text what it says.
func TypeOf(first byte, text []byte) Type {
	switch first {
	case 't', 'f':
		return Boolean
	case '"':
		return textType(text)
	}
	if !bytes.ContainsAny(text, ".eE") {
		if _, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return Long
		}
	}
	if d, _ := rowtext.ParseDecimal(text); fitsDecimal(d) { // every JSON number is one
		return Decimal
	}
	return String
}

// textType is the type of a text. Digits without a point are
// no number: they may be a code, as of a cost centre.
func textType(text []byte) Type {
	if d, ok := ExactNumber(text); ok && len(d.Fraction) > 0 && fitsDecimal(d) {
		return Decimal
	}
	if _, ok := ExactInstant(text); ok {
		return Instant
	}
	return String
}

// ExactNumber reads a text that spells a number as a program does: no
// plus, no exponent, no zeros in front, a digit on both sides of a point.
func ExactNumber(text []byte) (rowtext.Decimal, bool) {
	d, ok := rowtext.ParseDecimal(text)
	if !ok || text[0] == '+' || len(d.Whole) == 0 || len(d.Whole) > 1 && d.Whole[0] == '0' {
		return d, false
	}
	return d, text[len(text)-1] != '.' && !bytes.ContainsAny(text, "eE")
}

func fitsDecimal(d rowtext.Decimal) bool {
	d = d.Significant()
	shift := d.Exp + scale
	return d.Digits() == 0 || shift >= 0 && d.Digits()+shift <= precision
}

// ExactInstant reads an instant with a time of day and an offset that milliseconds
// hold. A leap second is none: in milliseconds since 1970 it is the next one.
func ExactInstant(text []byte) (ms int64, ok bool) {
	if len(text) < 20 || text[17] == '6' {
		return 0, false
	}
	if text[19] == '.' {
		if fraction, _ := rowtext.LeadingDigits(text[20:]); len(fraction) > 3 {
			return 0, false
		}
	}
	return rowtext.ParseInstant(text)
}
