package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends as JSON what value, the Avro of one row by this plan,
// holds: for consumers without Avro, the same fields under the same names.
//
//   - A field that is null is left out; so are empty records, which the plan makes null.
//   - A decimal is a number of as many digits as it has, never rounded. Readers that
//     take numbers for doubles lose digits: decimal.handling.mode=string gives texts.
//   - An instant is a text of RFC 3339 in UTC, with milliseconds
//     where there are any; a date is a text of the form 2006-01-02.
//   - What maps, of unmapped and of custom fields, hold as JSON text stands there as the JSON that it is;
//     an unmapped that is one text stays one.
//
// The error says that value is none that an Encoder of this plan made.
func (p *Plan) AppendJSON(dst, value []byte) ([]byte, error) {
	r := renderer{avro: value}
	out := r.record(dst, p.root)
	if r.err == nil && r.pos != len(value) {
		r.err = errNotOurs
	}
	if r.err != nil {
		return dst, r.err
	}
	return out, nil
}

var errNotOurs = errors.New("the value was not encoded by this plan")

// renderer reads one value of Avro from left to right. After an error everything reads as nothing.
type renderer struct {
	avro []byte
	pos  int
	err  error
}

func (r *renderer) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("%w: byte %d", errNotOurs, r.pos)
	}
	r.pos = len(r.avro)
}

func (r *renderer) long() int64 {
	n, read := binary.Varint(r.avro[r.pos:])
	if read <= 0 {
		r.fail()
		return 0
	}
	r.pos += read
	return n
}

// bytes reads a length and as many bytes.
func (r *renderer) bytes() []byte { return r.take(r.long()) }

func (r *renderer) take(n int64) []byte {
	if n < 0 || n > int64(len(r.avro)-r.pos) {
		r.fail()
		return nil
	}
	from := r.pos
	r.pos += int(n)
	return r.avro[from:r.pos]
}

func (r *renderer) record(out []byte, rec *planRecord) []byte {
	out = append(out, '{')
	first := len(out)
	for i := range rec.fields {
		if r.err != nil {
			return out
		}
		f := &rec.fields[i]
		at := len(out)
		if at > first {
			out = append(out, ',')
		}
		out = append(out, f.label...)
		var filled bool
		if out, filled = r.node(out, &f.planNode); !filled {
			out = out[:at]
		}
	}
	return append(out, '}')
}

// node appends a value; filled is false, and nothing is appended, where it is null.
func (r *renderer) node(out []byte, n *planNode) (_ []byte, filled bool) {
	if n.nullable {
		switch branch := r.long(); {
		case branch == 0 || r.err != nil:
			return out, false
		case n.kind == kindChoice && branch > 0 && branch <= int64(len(n.branches)):
			return r.value(out, &n.branches[branch-1]), true
		case n.kind == kindChoice || branch != int64(n.branch/2):
			r.fail()
			return out, false
		}
	}
	return r.value(out, n), true
}

func (r *renderer) value(out []byte, n *planNode) []byte {
	switch n.kind {
	case kindString, kindUnmappedText, kindTenant:
		return appendQuoted(out, r.bytes())
	case kindBoolean:
		b := r.take(1)
		return strconv.AppendBool(out, len(b) == 1 && b[0] == 1)
	case kindInt, kindLong:
		return strconv.AppendInt(out, r.long(), 10)
	case kindDouble:
		return r.double(out)
	case kindDecimal:
		return appendDecimal(out, r.bytes(), n.scale)
	case kindTimestamp:
		out = time.UnixMilli(r.long()).UTC().AppendFormat(append(out, '"'), "2006-01-02T15:04:05.999Z07:00")
		return append(out, '"')
	case kindDate:
		out = time.Unix(r.long()*24*60*60, 0).UTC().AppendFormat(append(out, '"'), time.DateOnly)
		return append(out, '"')
	case kindRecord:
		return r.record(out, n.record)
	case kindArray:
		return r.array(out, n.items)
	case kindMap, kindUnmapped:
		return r.jsonTexts(out)
	}
	r.fail()
	return out
}

func (r *renderer) double(out []byte) []byte {
	b := r.take(8)
	if len(b) < 8 {
		return out
	}
	f := math.Float64frombits(binary.LittleEndian.Uint64(b))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		r.fail()
		return out
	}
	return strconv.AppendFloat(out, f, 'g', -1, 64)
}

// block reads the number of entries that follow, 0 at the end of a list or map.
func (r *renderer) block() int64 {
	n := r.long()
	if n < 0 { // the block's size in bytes follows
		n = -n
		r.long()
	}
	return n
}

func (r *renderer) array(out []byte, items *planNode) []byte {
	out = append(out, '[')
	for first := true; ; {
		n := r.block()
		if n == 0 {
			return append(out, ']')
		}
		for ; n > 0 && r.err == nil; n-- {
			if !first {
				out = append(out, ',')
			}
			first = false
			var filled bool
			if out, filled = r.node(out, items); !filled {
				out = append(out, "null"...)
			}
		}
	}
}

func (r *renderer) jsonTexts(out []byte) []byte {
	out = append(out, '{')
	for first := true; ; {
		n := r.block()
		if n == 0 {
			return append(out, '}')
		}
		for ; n > 0 && r.err == nil; n-- {
			if !first {
				out = append(out, ',')
			}
			first = false
			out = append(appendQuoted(out, r.bytes()), ':')
			out = append(out, r.bytes()...)
		}
	}
}

// appendDecimal appends a two's complement, big-endian number
// with its point at scale, without zeros at the fraction's end.
func appendDecimal(out, unscaled []byte, scale int) []byte {
	var room [40]byte
	digits := room[:0]
	negative := len(unscaled) > 0 && unscaled[0] >= 0x80
	if len(unscaled) <= 16 {
		digits = appendMagnitude(digits, unscaled, negative)
	} else {
		n := new(big.Int).SetBytes(unscaled)
		if negative {
			n.Sub(new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))), n)
		}
		digits = n.Append(nil, 10)
	}
	if negative {
		out = append(out, '-')
	}
	point := len(digits) - scale
	if point <= 0 {
		out = append(out, '0')
	} else {
		out = append(out, digits[:point]...)
	}
	end := len(out)
	out = append(out, '.')
	for ; point < 0; point++ {
		out = append(out, '0')
	}
	for _, d := range digits[max(0, len(digits)-scale):] {
		if out = append(out, d); d != '0' {
			end = len(out)
		}
	}
	return out[:end]
}

// appendMagnitude appends the digits of a number of up to 16 bytes, without
// its sign. 38 digits, the most of the catalogue's decimals, fit there.
func appendMagnitude(out, unscaled []byte, negative bool) []byte {
	var hi, lo uint64
	if negative {
		hi, lo = math.MaxUint64, math.MaxUint64
	}
	for _, b := range unscaled {
		hi, lo = hi<<8|lo>>56, lo<<8|uint64(b)
	}
	if negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	const unit, unitDigits = 10_000_000_000_000_000_000, 19 // hi is 2^63 at most, so that the quotient fits
	above, below := bits.Div64(hi, lo, unit)
	if above == 0 {
		return strconv.AppendUint(out, below, 10)
	}
	out = strconv.AppendUint(out, above, 10)
	var room [20]byte
	tail := strconv.AppendUint(room[:0], below, 10)
	for range unitDigits - len(tail) {
		out = append(out, '0')
	}
	return append(out, tail...)
}

// appendQuoted appends text, which is valid UTF-8, as a JSON string.
func appendQuoted(out, text []byte) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' || c >= utf8.RuneSelf {
			continue
		}
		out = append(out, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(out, text[from:]...), '"')
}
