package avroname

import (
	"fmt"
	"regexp"
)

// Segment gives an Avro name for any text, another one for each: letters and digits stand for themselves,
// an underscore is two, and every other byte is an underscore and its two hexadecimal digits, as is a digit
// that comes first. acme-eu → acme_2deu, 3m → _33m.
func Segment(text string) string {
	var name []byte
	for i := range len(text) {
		c := text[i]
		switch {
		case c == '_':
			name = append(name, "__"...)
		case !avroRune(rune(c)), i == 0 && c >= '0' && c <= '9':
			name = fmt.Appendf(name, "_%02x", c)
		default:
			name = append(name, c)
		}
	}
	return string(name)
}

var namespace = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

// IsNamespace tells whether a text is Avro names with dots between.
func IsNamespace(text string) bool { return namespace.MatchString(text) }
