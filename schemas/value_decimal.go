package schemas

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// appendDecimal appends the Avro decimal of precision and scale, exactly: two's complement, big-endian,
// of as few bytes as hold it. A number that needs more digits than either allows is a misfit.
func (e *Encoder) appendDecimal(out []byte, d rowtext.Decimal, precision, scale int) ([]byte, verdict, error) {
	if d.Digits() > 19 || d.Exp+scale < 0 || d.Digits()+d.Exp+scale > min(precision, 38) {
		d = d.Significant() // it may fit without zeros
	}
	if d.Digits() == 0 {
		return append(out, 2, 0), stored, nil
	}
	shift := d.Exp + scale // zeros that the unscaled number has behind the digits
	if shift < 0 || d.Digits()+shift > precision {
		return out, misfit, nil
	}
	if d.Digits() <= 19 && d.Digits()+shift <= 38 { // below 10^38, and so below 2^127
		c := d.Coefficient()
		if c == 0 {
			return append(out, 2, 0), stored, nil
		}
		hi, lo := e.timesTen(c, shift)
		return appendInt128(out, d.Negative, hi, lo), stored, nil
	}
	return appendBig(out, d, shift), stored, nil
}

// timesTen is c × 10^shift, which must be below 2^128, in two words.
func (e *Encoder) timesTen(c uint64, shift int) (hi, lo uint64) {
	first := min(shift, len(e.tens)-1)
	hi, lo = bits.Mul64(c, e.tens[first])
	if rest := shift - first; rest > 0 {
		carry, low := bits.Mul64(lo, e.tens[rest])
		hi, lo = hi*e.tens[rest]+carry, low
	}
	return hi, lo
}

// appendInt128 appends a number of magnitude below 2^127 and not 0 as Avro bytes.
func appendInt128(out []byte, negative bool, hi, lo uint64) []byte {
	sign := uint64(0)
	if negative {
		var carry uint64
		lo, carry = bits.Add64(^lo, 1, 0)
		hi, _ = bits.Add64(^hi, 0, carry)
		sign = math.MaxUint64
	}
	n := bits.Len64(lo^sign)/8 + 1 // a bit more than differ from the sign, in whole bytes
	if hi != sign {
		n = bits.Len64(hi^sign)/8 + 9
	}
	var number [16]byte
	binary.BigEndian.PutUint64(number[:], hi)
	binary.BigEndian.PutUint64(number[8:], lo)
	return append(append(out, byte(n<<1)), number[16-n:]...)
}

// appendBig appends ±digits × 10^shift as Avro bytes, whatever its size.
func appendBig(out []byte, d rowtext.Decimal, shift int) []byte {
	text := make([]byte, 0, d.Digits()+shift)
	text = append(append(text, d.Whole...), d.Fraction...)
	for range shift {
		text = append(text, '0')
	}
	v, _ := new(big.Int).SetString(string(text), 10) // digits alone always make one
	if !d.Negative {
		b := v.Bytes()
		if b[0] >= 0x80 {
			b = append([]byte{0}, b...)
		}
		return appendText(out, b)
	}
	// -v in n bytes is 2^(8n) - v, n the least with v <= 2^(8n-1).
	n := new(big.Int).Sub(v, big.NewInt(1)).BitLen()/8 + 1
	modulus := new(big.Int).Lsh(big.NewInt(1), uint(8*n))
	return appendText(out, modulus.Sub(modulus, v).FillBytes(make([]byte, n)))
}

// asLong gives the number as 64 bits where it is whole and fits.
func (e *Encoder) asLong(d rowtext.Decimal) (int64, bool) {
	if d.Exp != 0 || len(d.Whole) > 19 {
		d = d.Significant()
	}
	if d.Digits() == 0 {
		return 0, true
	}
	if d.Exp < 0 || d.Digits()+d.Exp > 19 {
		return 0, false
	}
	u := d.Coefficient() * e.tens[d.Exp] // below 10^19
	if d.Negative {
		return int64(-u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}
