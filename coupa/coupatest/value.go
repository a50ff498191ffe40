package coupatest

import (
	"strconv"
	"time"
)

// The words that values are made of. Those of texts are JSON already: Rails
// escapes <, > and & and leaves other scripts as they are.
var (
	plainWords = [...]string{"steel", "cable", "license", "renewal", "consulting", "freight", "pallet", "toner", "laptop", "service", "annual", "bracket", "filter", "onsite", "support", "module"}
	textWords  = [...]string{"Ersatzteile für Büro", "株式会社東京", "naïve café", "five \\\"inch\\\" bolts", "C:\\\\share\\\\po", "line one\\nline two", "tab\\there", "\\u003cp\\u003eHello \\u003cb\\u003eworld\\u003c/b\\u003e\\u003c/p\\u003e", "R\\u0026D", "🚚 delivery", "\\ud83d\\ude80", "Zażółć gęślą", "Поставка", "100 % cotton", "see https://example.com/a?b=1\\u0026c=2", "a/b"}
	firstNames = [...]string{"Ana", "Bjørn", "Chloé", "Dmitri", "Erin", "Fatima", "Grace", "Hiro", "Inés", "Jamal", "Keiko", "Liam"}
	lastNames  = [...]string{"Müller", "O'Neil", "Santos", "Tanaka", "Kowalski", "Nguyen", "Smith", "Öztürk", "García", "Okafor"}
	companies  = [...]string{"Acme Steel", "Bürotechnik GmbH", "東京電機", "Globex", "Initech", "Łódź Logistics", "Café Supply S.A.", "Stark \\u0026 Sons", "Wayne Freight", "Umbrella Labs"}
	cities     = [...]string{"San Mateo", "München", "東京", "São Paulo", "Kraków", "Austin", "Zürich", "Dublin"}
	states     = [...]string{"CA", "BY", "TX", "SP", "NY", "WA"}
	streets    = [...]string{"Main St", "Königsallee", "Rua Augusta", "Sycamore Avenue", "Market Street"}
)

const (
	day  = 24 * 60 * 60
	year = 365 * day
)

// scalar appends the value of a field that has no child.
func (p *painter) scalar(dst []byte, f *field, s *subject, h uint64) []byte {
	switch f.kind {
	case kindID:
		return strconv.AppendInt(dst, s.id, 10)
	case kindCreated:
		return p.stamp(dst, s.created, f.utc)
	case kindUpdated:
		return p.stamp(dst, s.updated, f.utc)
	case kindIndex:
		return appendNumber(dst, int64(s.index+1), f.quoted)
	case kindCount:
		return appendNumber(dst, int64(len(s.row.lines)), f.quoted)
	case kindParent:
		return strconv.AppendInt(dst, s.row.id, 10)
	case kindExported:
		return strconv.AppendBool(dst, s.row.exported != 0)
	case kindExportedAt:
		if s.row.exported == 0 {
			return append(dst, "null"...)
		}
		return p.stamp(dst, s.row.exported, false)
	case kindBool:
		return strconv.AppendBool(dst, h&1 == 1)
	case kindInt:
		return strconv.AppendUint(dst, h%uint64(max(f.arg, 2)), 10)
	case kindFloat:
		return appendFloat(dst, h)
	case kindDecimal:
		return appendDecimal(dst, h, f.arg)
	case kindTime:
		return p.stamp(dst, s.created+int64(h%(7*day)), false)
	case kindDay, kindDayEnd, kindDate:
		return p.calendar(dst, f.kind, s.created+int64(h%(70*day))-10*day)
	}
	return p.text(dst, f, s, h)
}

// text appends the value of a field that is some string.
func (p *painter) text(dst []byte, f *field, s *subject, h uint64) []byte {
	dst = append(dst, '"')
	switch f.kind {
	case kindText:
		dst = appendText(dst, h, 3+int(h>>60))
	case kindDigits:
		dst = appendPadded(dst, h>>8, f.arg)
	case kindCode:
		dst = appendPadded(append(dst, f.prefix...), uint64(s.id), 6)
	case kindEnum:
		dst = append(dst, f.words[h%uint64(len(f.words))]...)
	case kindEmail:
		dst = append(strconv.AppendInt(append(dst, "user"...), s.id, 10), "@example.com"...)
	case kindLogin:
		dst = strconv.AppendInt(append(dst, "user"...), s.id, 10)
	case kindFirst:
		dst = append(dst, pick(firstNames[:], mix(s.hash, 1))...)
	case kindLast:
		dst = append(dst, pick(lastNames[:], mix(s.hash, 2))...)
	case kindFull:
		dst = append(append(dst, pick(firstNames[:], mix(s.hash, 1))...), ' ')
		dst = append(dst, pick(lastNames[:], mix(s.hash, 2))...)
	case kindCompany:
		dst = append(append(dst, pick(companies[:], h)...), ' ')
		dst = strconv.AppendInt(dst, s.id, 10)
	case kindCity:
		dst = append(dst, pick(cities[:], h)...)
	case kindState:
		dst = append(dst, pick(states[:], h)...)
	case kindStreet:
		dst = append(strconv.AppendUint(dst, 1+h%999, 10), ' ')
		dst = append(dst, pick(streets[:], h>>20)...)
	case kindURL:
		dst = strconv.AppendUint(append(dst, "https://example.com/"...), h%1e6, 10)
	case kindUUID:
		dst = appendUUID(dst, h)
	default:
		dst = append(dst, pick(plainWords[:], h)...)
	}
	return append(dst, '"')
}

// stamp appends an instant: whole seconds, in the company's zone or in Z.
func (p *painter) stamp(dst []byte, unix int64, utc bool) []byte {
	if utc {
		return time.Unix(unix, 0).UTC().AppendFormat(dst, `"2006-01-02T15:04:05Z"`)
	}
	return time.Unix(unix, 0).In(p.zone).AppendFormat(dst, `"2006-01-02T15:04:05-07:00"`)
}

// calendar appends the company's calendar day on which unix falls.
func (p *painter) calendar(dst []byte, k kind, unix int64) []byte {
	t := time.Unix(unix, 0).In(p.zone)
	switch k {
	case kindDate:
		return t.AppendFormat(dst, `"2006-01-02"`)
	case kindDayEnd:
		t = time.Date(t.Year(), t.Month(), t.Day(), 23, 59, 59, 0, p.zone)
	default:
		t = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, p.zone)
	}
	return t.AppendFormat(dst, `"2006-01-02T15:04:05-07:00"`)
}

func appendNumber(dst []byte, n int64, quoted bool) []byte {
	if !quoted {
		return strconv.AppendInt(dst, n, 10)
	}
	return append(strconv.AppendInt(append(dst, '"'), n, 10), '"')
}

// appendDecimal appends a decimal as Coupa sends it: a string, with one digit
// after the point or with as many as the column has.
func appendDecimal(dst []byte, h uint64, scale int) []byte {
	dst = append(dst, '"')
	if h%32 == 0 {
		dst = append(dst, '-')
	}
	dst = append(strconv.AppendUint(dst, h>>8%100_000, 10), '.')
	digits := 2
	switch {
	case h>>58 == 0:
		digits = scale
	case h>>58 < 12:
		digits = 1
	}
	for range max(1, min(digits, scale)) {
		h = mix(h, 7)
		dst = append(dst, '0'+byte(h%10))
	}
	return append(dst, '"')
}

// appendFloat appends a number as Ruby prints floats.
func appendFloat(dst []byte, h uint64) []byte {
	switch h % 16 {
	case 0:
		return append(dst, "0.0"...)
	case 1:
		return append(dst, "1.0e-05"...)
	case 2:
		return append(dst, "-0.5"...)
	}
	return strconv.AppendFloat(dst, float64(h>>8%10_000)/100, 'f', 1+int(h>>40&1), 64)
}

// appendPadded appends n's last digits, at least so many.
func appendPadded(dst []byte, n uint64, digits int) []byte {
	limit := uint64(1)
	for range digits {
		limit *= 10
	}
	if n >= limit {
		n %= limit * 1000
	}
	for limit /= 10; limit > n && limit > 1; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendUint(dst, n, 10)
}

func appendText(dst []byte, h uint64, words int) []byte {
	for i := range words {
		if i > 0 {
			dst = append(dst, ' ')
		}
		h = mix(h, 3)
		if h%8 == 0 {
			dst = append(dst, pick(textWords[:], h>>8)...)
		} else {
			dst = append(dst, pick(plainWords[:], h>>8)...)
		}
	}
	return dst
}

// appendPadding appends n bytes of words, to bring a row to its size.
func appendPadding(dst []byte, h uint64, n int) []byte {
	end := len(dst) + n
	for len(dst) < end {
		h = mix(h, 5)
		dst = strconv.AppendUint(append(append(dst, ' '), pick(plainWords[:], h)...), h>>50, 10)
	}
	return dst[:end]
}

func appendUUID(dst []byte, h uint64) []byte {
	const hex = "0123456789abcdef"
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			dst = append(dst, '-')
		}
		dst = append(dst, hex[h&15])
		h = mix(h, 11)
	}
	return dst
}

func pick(words []string, h uint64) string { return words[h%uint64(len(words))] }
