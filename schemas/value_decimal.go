package schemas

import (
	"math/big"
	"math/bits"
)

// decimal is a number in decimal notation as it was read: ±digits × 10^exp. Nothing of it is rounded.
type decimal struct {
	negative bool
	whole    []byte // digits before the point
	fraction []byte // digits behind it
	exp      int    // of the last digit, so -len(fraction) where no exponent is written
}

// parseDecimal reads [+-] digits [. digits] [e [+-] digits].
// At least one digit must stand before or behind the point.
func parseDecimal(text []byte) (decimal, bool) {
	var d decimal
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		d.negative = text[0] == '-'
		text = text[1:]
	}
	d.whole, text = leadingDigits(text)
	if len(text) > 0 && text[0] == '.' {
		d.fraction, text = leadingDigits(text[1:])
	}
	if len(d.whole)+len(d.fraction) == 0 {
		return d, false
	}
	if len(text) > 0 && text[0]|0x20 == 'e' {
		exp, ok := parseExponent(text[1:])
		d.exp = exp - len(d.fraction)
		return d, ok
	}
	d.exp = -len(d.fraction)
	return d, len(text) == 0
}

func leadingDigits(text []byte) (digits, rest []byte) {
	i := 0
	for i < len(text) && text[i]-'0' <= 9 {
		i++
	}
	return text[:i], text[i:]
}

// exponentLimit stands for any larger exponent: no number of such a size fits a
// precision that a schema may have, and its sum with the length of a row stays an int.
const exponentLimit = 1 << 40

func parseExponent(text []byte) (int, bool) {
	sign := 1
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			sign = -1
		}
		text = text[1:]
	}
	digits, rest := leadingDigits(text)
	exp := 0
	for _, c := range digits {
		exp = min(exp*10+int(c-'0'), exponentLimit)
	}
	return sign * exp, len(digits) > 0 && len(rest) == 0
}

// significant cuts zeros that don't change the value from both ends. The digits of zero vanish.
func (d decimal) significant() decimal {
	d.whole = trimLeft(d.whole)
	if len(d.whole) == 0 {
		d.fraction = trimLeft(d.fraction)
	}
	n := len(d.fraction)
	d.fraction = trimRight(d.fraction)
	d.exp += n - len(d.fraction)
	if len(d.fraction) == 0 {
		n = len(d.whole)
		d.whole = trimRight(d.whole)
		d.exp += n - len(d.whole)
	}
	return d
}

func trimLeft(digits []byte) []byte {
	for len(digits) > 0 && digits[0] == '0' {
		digits = digits[1:]
	}
	return digits
}

func trimRight(digits []byte) []byte {
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	return digits
}

func (d decimal) digits() int { return len(d.whole) + len(d.fraction) }

// coefficient is the number that the digits make, of which there may be 19.
func (d decimal) coefficient() uint64 {
	var c uint64
	for _, digit := range d.whole {
		c = c*10 + uint64(digit-'0')
	}
	for _, digit := range d.fraction {
		c = c*10 + uint64(digit-'0')
	}
	return c
}

// appendDecimal appends the Avro decimal of precision and scale, exactly: two's complement, big-endian,
// of as few bytes as hold it. A number that needs more digits than either allows is a misfit.
func (e *Encoder) appendDecimal(out []byte, d decimal, precision, scale int) ([]byte, verdict, error) {
	d = d.significant()
	if d.digits() == 0 {
		return append(out, 2, 0), stored, nil
	}
	shift := d.exp + scale // zeros that the unscaled number has behind the digits
	if shift < 0 || d.digits()+shift > precision {
		return out, misfit, nil
	}
	if d.digits() <= 19 && d.digits()+shift <= 38 { // below 10^38, and so below 2^127
		hi, lo := e.timesTen(d.coefficient(), shift)
		return appendInt128(out, d.negative, hi, lo), stored, nil
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
	sign := byte(0)
	if negative {
		var carry uint64
		lo, carry = bits.Add64(^lo, 1, 0)
		hi, _ = bits.Add64(^hi, 0, carry)
		sign = 0xff
	}
	n := 16
	at := func(i int) byte { // byte i from the lowest
		if i < 8 {
			return byte(lo >> (8 * i))
		}
		return byte(hi >> (8 * (i - 8)))
	}
	for n > 1 && at(n-1) == sign && (at(n-2)^sign) < 0x80 {
		n--
	}
	out = append(out, byte(n<<1))
	for i := n - 1; i >= 0; i-- {
		out = append(out, at(i))
	}
	return out
}

// appendBig appends ±digits × 10^shift as Avro bytes, whatever its size.
func appendBig(out []byte, d decimal, shift int) []byte {
	text := make([]byte, 0, d.digits()+shift)
	text = append(append(text, d.whole...), d.fraction...)
	for range shift {
		text = append(text, '0')
	}
	v, _ := new(big.Int).SetString(string(text), 10) // digits alone always make one
	if !d.negative {
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
func (e *Encoder) asLong(d decimal) (int64, bool) {
	d = d.significant()
	if d.digits() == 0 {
		return 0, true
	}
	if d.exp < 0 || d.digits()+d.exp > 19 {
		return 0, false
	}
	u := d.coefficient() * e.tens[d.exp] // below 10^19
	if d.negative {
		return int64(-u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}
