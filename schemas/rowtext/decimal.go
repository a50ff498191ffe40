package rowtext

// Decimal is a number in decimal notation as it was read: ±digits × 10^exp. Nothing of it is rounded.
type Decimal struct {
	Negative bool
	Whole    []byte // digits before the point
	Fraction []byte // digits behind it
	Exp      int    // of the last digit, so -len(Fraction) where no exponent is written
}

// ParseDecimal reads [+-] digits [. digits] [e [+-] digits].
// At least one digit must stand before or behind the point.
func ParseDecimal(text []byte) (Decimal, bool) {
	var d Decimal
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		d.Negative = text[0] == '-'
		text = text[1:]
	}
	d.Whole, text = LeadingDigits(text)
	if len(text) > 0 && text[0] == '.' {
		d.Fraction, text = LeadingDigits(text[1:])
	}
	if len(d.Whole)+len(d.Fraction) == 0 {
		return d, false
	}
	if len(text) > 0 && text[0]|0x20 == 'e' {
		exp, ok := parseExponent(text[1:])
		d.Exp = exp - len(d.Fraction)
		return d, ok
	}
	d.Exp = -len(d.Fraction)
	return d, len(text) == 0
}

// LeadingDigits gives the decimal digits that a text begins with, and what stands behind them.
func LeadingDigits(text []byte) (digits, rest []byte) {
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
	digits, rest := LeadingDigits(text)
	exp := 0
	for _, c := range digits {
		exp = min(exp*10+int(c-'0'), exponentLimit)
	}
	return sign * exp, len(digits) > 0 && len(rest) == 0
}

// Significant cuts zeros that don't change the value from both ends. The digits of zero vanish.
func (d Decimal) Significant() Decimal {
	d.Whole = trimLeft(d.Whole)
	if len(d.Whole) == 0 {
		d.Fraction = trimLeft(d.Fraction)
	}
	n := len(d.Fraction)
	d.Fraction = trimRight(d.Fraction)
	d.Exp += n - len(d.Fraction)
	if len(d.Fraction) == 0 {
		n = len(d.Whole)
		d.Whole = trimRight(d.Whole)
		d.Exp += n - len(d.Whole)
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

// Digits is how many digits there are.
func (d Decimal) Digits() int { return len(d.Whole) + len(d.Fraction) }

// Coefficient is the number that the digits make, of which there may be 19.
func (d Decimal) Coefficient() uint64 {
	var c uint64
	for _, digit := range d.Whole {
		c = c*10 + uint64(digit-'0')
	}
	for _, digit := range d.Fraction {
		c = c*10 + uint64(digit-'0')
	}
	return c
}

// ParseInteger reads up to 18 digits and nothing else, as nearly all ids are.
func ParseInteger(text []byte) (int64, bool) {
	if len(text) == 0 || len(text) > 18 {
		return 0, false
	}
	var v int64
	for _, c := range text {
		if c-'0' > 9 {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	return v, true
}
