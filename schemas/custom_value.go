package schemas

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// A custom decimal is Avro's decimal of these digits.
const (
	customPrecision = 38
	customScale     = 9
)

// plainType is the type of a plain value: first is its first byte in the row, text what it says.
func plainType(first byte, text []byte) CustomType {
	switch first {
	case 't', 'f':
		return CustomBoolean
	case '"':
		return textType(text)
	}
	if !bytes.ContainsAny(text, ".eE") {
		if _, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return CustomLong
		}
	}
	if d, _ := rowtext.ParseDecimal(text); fitsCustomDecimal(d) { // every JSON number is one
		return CustomDecimal
	}
	return CustomString
}

// textType is the type of a text. Digits without a point are
// no number: they may be a code, as of a cost centre.
func textType(text []byte) CustomType {
	if d, ok := plainNumber(text); ok && len(d.Fraction) > 0 && fitsCustomDecimal(d) {
		return CustomDecimal
	}
	if _, ok := exactInstant(text); ok {
		return CustomInstant
	}
	return CustomString
}

// plainNumber reads a text that spells a number as a program does: no
// plus, no exponent, no zeros in front, a digit on both sides of a point.
func plainNumber(text []byte) (rowtext.Decimal, bool) {
	d, ok := rowtext.ParseDecimal(text)
	if !ok || text[0] == '+' || len(d.Whole) == 0 || len(d.Whole) > 1 && d.Whole[0] == '0' {
		return d, false
	}
	return d, text[len(text)-1] != '.' && !bytes.ContainsAny(text, "eE")
}

func fitsCustomDecimal(d rowtext.Decimal) bool {
	d = d.Significant()
	shift := d.Exp + customScale
	return d.Digits() == 0 || shift >= 0 && d.Digits()+shift <= customPrecision
}

// exactInstant reads an instant with a time of day and an offset that milliseconds
// hold. A leap second is none: in milliseconds since 1970 it is the next one.
func exactInstant(text []byte) (ms int64, ok bool) {
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

// choice appends a plain value in the branch of its own type, else in the
// first branch that holds it exactly, else as its text in the branch of
// strings. The byte before it is the branch's number, as put wrote it.
func (e *Encoder) choice(out []byte, n *planNode, c byte) ([]byte, verdict, error) {
	if c == '{' || c == '[' {
		return out, misfit, nil
	}
	text, err := e.plainText(c)
	if err != nil {
		return out, misfit, err
	}
	start := len(out)
	out, branch := e.branch(out, n, c, text)
	switch {
	case branch > 0:
		out[start-1] = byte(branch) << 1
		return out, stored, nil
	case c == '"' && len(text) == 0:
		return out, blank, nil
	}
	return out, misfit, nil
}

// branch appends the plain value in the branch that takes it, and gives the number of that, 0 for none.
func (e *Encoder) branch(out []byte, n *planNode, c byte, text []byte) ([]byte, int) {
	if len(n.branches) == 1 {
		if out, ok := e.exactly(out, &n.branches[0], c, text); ok {
			return out, 1
		}
		return out, 0
	}
	own := branchKind(plainType(c, text))
	for turn := range 3 {
		for i := range n.branches {
			b := &n.branches[i]
			if branchTurn(b.kind, own) != turn {
				continue
			}
			if out, ok := e.exactly(out, b, c, text); ok {
				return out, i + 1
			}
		}
	}
	return out, 0
}

// branchTurn says in which round a branch is tried for a value whose own kind is own.
func branchTurn(branch, own planKind) int {
	switch branch {
	case own:
		return 0
	case kindString:
		return 2
	}
	return 1
}

func branchKind(t CustomType) planKind {
	switch t {
	case CustomBoolean:
		return kindBoolean
	case CustomLong:
		return kindLong
	case CustomDecimal:
		return kindDecimal
	case CustomInstant:
		return kindTimestamp
	}
	return kindString
}

// plainText reads the plain value at pos, which begins with c.
func (e *Encoder) plainText(c byte) ([]byte, error) {
	start := e.in.Pos
	switch c {
	case '"':
		return e.in.Text()
	case 't':
		err := e.in.Literal("true")
		return e.in.Row[start:e.in.Pos], err
	case 'f':
		err := e.in.Literal("false")
		return e.in.Row[start:e.in.Pos], err
	}
	return e.in.Number()
}

// exactly appends the plain value as n if n holds just that.
func (e *Encoder) exactly(out []byte, n *planNode, c byte, text []byte) ([]byte, bool) {
	isBoolean := c == 't' || c == 'f'
	switch {
	case n.kind == kindString:
		return appendText(out, text), true
	case isBoolean && n.kind == kindBoolean && c == 't':
		return append(out, 1), true
	case isBoolean && n.kind == kindBoolean:
		return append(out, 0), true
	case isBoolean || n.kind == kindBoolean:
		return out, false
	case n.kind == kindTimestamp:
		ms, ok := exactInstant(text)
		return binary.AppendVarint(out, ms), ok && c == '"'
	}
	d, ok := plainNumber(text)
	if c != '"' {
		d, ok = rowtext.ParseDecimal(text)
	}
	if !ok {
		return out, false
	}
	return e.exactNumber(out, n, d, text)
}

func (e *Encoder) exactNumber(out []byte, n *planNode, d rowtext.Decimal, text []byte) ([]byte, bool) {
	switch n.kind {
	case kindLong:
		v, ok := e.asLong(d)
		return binary.AppendVarint(out, v), ok
	case kindDecimal:
		out, v, _ := e.appendDecimal(out, d, n.precision, n.scale)
		return out, v == stored
	case kindDouble:
		f, err := strconv.ParseFloat(string(text), 64)
		return binary.LittleEndian.AppendUint64(out, math.Float64bits(f)), err == nil
	}
	return out, false
}
