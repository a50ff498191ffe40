package schemas

import (
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how many objects and arrays may enclose a value,
// so that no row can exhaust the stack. Coupa nests about ten deep.
const maxDepth = 64

// scanner reads one row of JSON from left to right. It is strict (RFC
// 8259), with one allowance that encoding/json makes too: bytes that are
// not UTF-8, and surrogates without their other half, read as U+FFFD.
//
// Its methods stand at the first byte of what they read and leave pos behind its last.
type scanner struct {
	row []byte
	pos int
	// unquoted holds texts that had to be rewritten. It grows
	// until the row ends, so what text returned stays valid.
	unquoted []byte
}

// syntax makes the error for the byte at offset.
func (s *scanner) syntax(offset int, reason string) error {
	if offset >= len(s.row) {
		reason = "the row ends too early"
	}
	return &SyntaxError{Offset: offset, Reason: reason}
}

// next skips white space and gives the byte that follows, 0 at
// the row's end (a 0 byte in a row is refused by all callers).
func (s *scanner) next() byte {
	for s.pos < len(s.row) {
		switch c := s.row[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// member steps to the next member of an object: first stands behind the brace, later ones behind
// the value before. It gives the key and stops at the value, or tells that the object ended.
func (s *scanner) member(first bool) (key []byte, more bool, err error) {
	switch c := s.next(); {
	case c == '}':
		s.pos++
		return nil, false, nil
	case first:
	case c != ',':
		return nil, false, s.syntax(s.pos, "a comma or } is missing")
	default:
		s.pos++
	}
	if s.next() != '"' {
		return nil, false, s.syntax(s.pos, "an object's key is missing")
	}
	if key, err = s.text(); err != nil {
		return nil, false, err
	}
	if s.next() != ':' {
		return nil, false, s.syntax(s.pos, "the colon behind a key is missing")
	}
	s.pos++
	s.next()
	return key, true, nil
}

// element steps to the next element of an array as member does in an object.
func (s *scanner) element(first bool) (more bool, err error) {
	switch c := s.next(); {
	case c == ']' && first:
		s.pos++
		return false, nil
	case first:
		return true, nil
	case c == ']':
		s.pos++
		return false, nil
	case c != ',':
		return false, s.syntax(s.pos, "a comma or ] is missing")
	}
	s.pos++
	s.next()
	return true, nil
}

// peek gives the byte at pos, 0 at the row's end.
func (s *scanner) peek() byte {
	if s.pos < len(s.row) {
		return s.row[s.pos]
	}
	return 0
}

// literal reads true, false or null.
func (s *scanner) literal(word string) error {
	end := s.pos + len(word)
	if end > len(s.row) || string(s.row[s.pos:end]) != word {
		return s.syntax(s.pos, "a value is missing")
	}
	s.pos = end
	return nil
}

// number reads a number and gives its text.
func (s *scanner) number() ([]byte, error) {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	switch c := s.peek(); {
	case c == '0':
		s.pos++
	case c >= '1' && c <= '9':
		s.digits()
	default:
		return nil, s.syntax(start, "a value is missing")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return nil, s.syntax(s.pos, "a number's fraction has no digits")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return nil, s.syntax(s.pos, "a number's exponent has no digits")
		}
	}
	return s.row[start:s.pos], nil
}

// digits passes over digits and tells whether there was one.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.row) && s.row[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos > start
}

// text reads a string and gives its characters as valid
// UTF-8: a piece of the row where that needs no rewriting.
func (s *scanner) text() ([]byte, error) {
	body, plain, err := s.quoted()
	if err != nil || plain {
		return body, err
	}
	start := len(s.unquoted)
	s.unquoted = appendUnquoted(s.unquoted, body)
	return s.unquoted[start:len(s.unquoted):len(s.unquoted)], nil
}

// quoted reads a string and gives what stands between its
// quotes; plain tells that this is valid UTF-8 without escapes.
func (s *scanner) quoted() (body []byte, plain bool, err error) {
	start := s.pos + 1
	escaped, seen := false, byte(0)
	for i := start; i < len(s.row); i++ {
		switch c := s.row[i]; {
		case c == '"':
			s.pos = i + 1
			body = s.row[start:i:i]
			return body, !escaped && (seen < utf8.RuneSelf || utf8.Valid(body)), nil
		case c == '\\':
			n := escapeLen(s.row[i:])
			if n == 0 {
				return nil, false, s.syntax(i, "an escape in a string is wrong")
			}
			escaped = true
			i += n - 1
		case c < ' ':
			return nil, false, s.syntax(i, "a control character in a string is not escaped")
		default:
			seen |= c
		}
	}
	return nil, false, s.syntax(len(s.row), "")
}

// escapeLen is the length of the escape that b begins with, 0 when it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hexRune(b); ok {
			return 6
		}
	}
	return 0
}

// hexRune reads the \uXXXX that b begins with.
func hexRune(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendUnquoted appends what body, the inside of a string whose escapes are known to be right, stands for.
func appendUnquoted(dst, body []byte) []byte {
	for i := 0; i < len(body); {
		c := body[i]
		switch {
		case c != '\\' && c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		case c != '\\':
			r, n := utf8.DecodeRune(body[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		case body[i+1] != 'u':
			dst = append(dst, unescaped(body[i+1]))
			i += 2
		default:
			r, _ := hexRune(body[i:])
			i += 6
			if low, ok := hexRune(body[i:]); ok && utf16.IsSurrogate(r) {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					r, i = pair, i+6
				}
			}
			dst = utf8.AppendRune(dst, r) // a surrogate left alone becomes U+FFFD here
		}
	}
	return dst
}

// unescaped is the character that a backslash before c stands for.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// skip passes over a value of any kind and checks it. depth counts the objects and arrays around it.
func (s *scanner) skip(depth int) error {
	switch c := s.peek(); c {
	case '{', '[':
		return s.skipInside(c == '{', depth)
	case '"':
		_, _, err := s.quoted()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	_, err := s.number()
	return err
}

func (s *scanner) skipInside(object bool, depth int) error {
	if err := s.enter(depth); err != nil {
		return err
	}
	for first := true; ; first = false {
		var more bool
		var err error
		if object {
			_, more, err = s.member(first)
		} else {
			more, err = s.element(first)
		}
		if err != nil || !more {
			return err
		}
		if err := s.skip(depth + 1); err != nil {
			return err
		}
	}
}

// enter passes the brace or bracket that opens a container.
func (s *scanner) enter(depth int) error {
	if depth >= maxDepth {
		return s.syntax(s.pos, "objects and arrays are nested too deeply")
	}
	s.pos++
	return nil
}
