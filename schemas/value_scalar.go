package schemas

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

var (
	errNoNumber  = errors.New("the text is no number; correct it in Coupa")
	errNoBoolean = errors.New("the text is neither true nor false; correct it in Coupa")
	errNoInstant = errors.New("the text is no RFC 3339 instant or date; correct it in Coupa")
	errNoDate    = errors.New("the text is no calendar date; correct it in Coupa")
)

// scalar appends the value at pos, which begins with c, as n.
func (e *Encoder) scalar(out []byte, n *planNode, c byte) ([]byte, verdict, error) {
	switch c {
	case '"':
		text, err := e.in.Text()
		if err != nil {
			return out, misfit, err
		}
		out, v, err := e.fromText(out, n, text)
		if err != nil && !n.text && e.KeepUnreadable {
			e.unreadable = err
		}
		if err != nil && (n.text || e.KeepUnreadable) {
			return out, misfit, nil
		}
		return out, v, err
	case '{', '[':
		return out, misfit, nil
	case 't', 'f':
		return e.fromBoolean(out, n, c == 't')
	}
	text, err := e.in.Number()
	if err != nil {
		return out, misfit, err
	}
	return e.fromNumber(out, n, text)
}

func (e *Encoder) fromText(out []byte, n *planNode, text []byte) ([]byte, verdict, error) {
	if n.kind == kindString {
		return appendText(out, text), stored, nil
	}
	if len(text) == 0 {
		return out, blank, nil
	}
	switch n.kind {
	case kindTimestamp:
		ms, ok := rowtext.ParseInstant(text)
		if !ok {
			return out, misfit, errNoInstant
		}
		if !rowtext.InReach(ms) {
			return out, misfit, nil
		}
		return binary.AppendVarint(out, ms), stored, nil
	case kindDate:
		day, ok := rowtext.ParseDate(text)
		if !ok {
			return out, misfit, errNoDate
		}
		return binary.AppendVarint(out, day), stored, nil
	case kindBoolean:
		return booleanText(out, text)
	}
	d, ok := rowtext.ParseDecimal(text)
	if !ok {
		return out, misfit, errNoNumber
	}
	return e.numeric(out, n, d, text)
}

func (e *Encoder) fromBoolean(out []byte, n *planNode, b bool) ([]byte, verdict, error) {
	word, bit := "false", byte(0)
	if b {
		word, bit = "true", 1
	}
	err := e.in.Literal(word)
	switch n.kind {
	case kindBoolean:
		return append(out, bit), stored, err
	case kindString:
		out = binary.AppendVarint(out, int64(len(word)))
		return append(out, word...), stored, err
	}
	return out, misfit, err
}

// fromNumber appends a JSON number. The number of an instant
// or date is kept as a misfit: no unit is agreed for it.
func (e *Encoder) fromNumber(out []byte, n *planNode, text []byte) ([]byte, verdict, error) {
	switch n.kind {
	case kindString:
		return appendText(out, text), stored, nil
	case kindTimestamp, kindDate:
		return out, misfit, nil
	case kindBoolean:
		if string(text) == "0" || string(text) == "1" {
			return append(out, text[0]-'0'), stored, nil
		}
		return out, misfit, nil
	case kindLong:
		if v, ok := rowtext.ParseInteger(text); ok {
			return binary.AppendVarint(out, v), stored, nil
		}
	}
	d, _ := rowtext.ParseDecimal(text) // every JSON number is one
	return e.numeric(out, n, d, text)
}

func booleanText(out, text []byte) ([]byte, verdict, error) {
	switch string(text) {
	case "true", "1":
		return append(out, 1), stored, nil
	case "false", "0":
		return append(out, 0), stored, nil
	}
	return out, misfit, errNoBoolean
}

// numeric appends the number d, which text spells.
func (e *Encoder) numeric(out []byte, n *planNode, d rowtext.Decimal, text []byte) ([]byte, verdict, error) {
	switch n.kind {
	case kindDecimal:
		return e.appendDecimal(out, d, n.precision, n.scale)
	case kindDouble:
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			return out, misfit, nil // too large for any double
		}
		return binary.LittleEndian.AppendUint64(out, math.Float64bits(f)), stored, nil
	}
	v, ok := e.asLong(d)
	if !ok || n.kind == kindInt && v != int64(int32(v)) {
		return out, misfit, nil
	}
	return binary.AppendVarint(out, v), stored, nil
}
