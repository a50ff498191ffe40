package rowtext

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth bounds how many objects and arrays may enclose a value,
// so that no row can exhaust the stack. Coupa nests about ten deep.
const MaxDepth = 64

// Scanner reads one row of JSON from left to right. It is strict (RFC
// 8259), with one allowance that encoding/json makes too: bytes that are
// not UTF-8, and surrogates without their other half, read as U+FFFD.
//
// Its methods stand at the first byte of what they read and leave Pos behind its last.
type Scanner struct {
	Row []byte
	Pos int // of the byte that is read next
	// unquoted holds texts that had to be rewritten. It grows
	// until the row ends, so what Text returned stays valid.
	unquoted []byte
}

// Reset begins another row.
func (s *Scanner) Reset(row []byte) { *s = Scanner{Row: row, unquoted: s.unquoted[:0]} }

// Syntax makes the error for the byte at offset.
func (s *Scanner) Syntax(offset int, reason string) error {
	if offset >= len(s.Row) {
		reason = "the row ends too early"
	}
	return &SyntaxError{Offset: offset, Reason: reason}
}

// Next skips white space and gives the byte that follows, 0 at
// the row's end (a 0 byte in a row is refused by all callers).
func (s *Scanner) Next() byte {
	for s.Pos < len(s.Row) {
		switch c := s.Row[s.Pos]; c {
		case ' ', '\t', '\n', '\r':
			s.Pos++
		default:
			return c
		}
	}
	return 0
}

// Member steps to the next member of an object: first stands behind the brace, later ones behind
// the value before. It gives the key and stops at the value, or tells that the object ended.
func (s *Scanner) Member(first bool) (key []byte, more bool, err error) {
	switch c := s.Next(); {
	case c == '}':
		s.Pos++
		return nil, false, nil
	case first:
	case c != ',':
		return nil, false, s.Syntax(s.Pos, "a comma or } is missing")
	default:
		s.Pos++
	}
	if s.Next() != '"' {
		return nil, false, s.Syntax(s.Pos, "an object's key is missing")
	}
	if key, err = s.Text(); err != nil {
		return nil, false, err
	}
	if s.Next() != ':' {
		return nil, false, s.Syntax(s.Pos, "the colon behind a key is missing")
	}
	s.Pos++
	s.Next()
	return key, true, nil
}

// Element steps to the next element of an array as member does in an object.
func (s *Scanner) Element(first bool) (more bool, err error) {
	switch c := s.Next(); {
	case c == ']' && first:
		s.Pos++
		return false, nil
	case first:
		return true, nil
	case c == ']':
		s.Pos++
		return false, nil
	case c != ',':
		return false, s.Syntax(s.Pos, "a comma or ] is missing")
	}
	s.Pos++
	s.Next()
	return true, nil
}

// Peek gives the byte at Pos, 0 at the row's end.
func (s *Scanner) Peek() byte {
	if s.Pos < len(s.Row) {
		return s.Row[s.Pos]
	}
	return 0
}

// Literal reads true, false or null.
func (s *Scanner) Literal(word string) error {
	end := s.Pos + len(word)
	if end > len(s.Row) || string(s.Row[s.Pos:end]) != word {
		return s.Syntax(s.Pos, "a value is missing")
	}
	s.Pos = end
	return nil
}

// Number reads a number and gives its text.
func (s *Scanner) Number() ([]byte, error) {
	start := s.Pos
	if s.Peek() == '-' {
		s.Pos++
	}
	switch c := s.Peek(); {
	case c == '0':
		s.Pos++
	case c >= '1' && c <= '9':
		s.digits()
	default:
		return nil, s.Syntax(start, "a value is missing")
	}
	if s.Peek() == '.' {
		s.Pos++
		if !s.digits() {
			return nil, s.Syntax(s.Pos, "a number's fraction has no digits")
		}
	}
	if c := s.Peek(); c == 'e' || c == 'E' {
		s.Pos++
		if c := s.Peek(); c == '+' || c == '-' {
			s.Pos++
		}
		if !s.digits() {
			return nil, s.Syntax(s.Pos, "a number's exponent has no digits")
		}
	}
	return s.Row[start:s.Pos], nil
}

// digits passes over digits and tells whether there was one.
func (s *Scanner) digits() bool {
	start := s.Pos
	for s.Pos < len(s.Row) && s.Row[s.Pos]-'0' <= 9 {
		s.Pos++
	}
	return s.Pos > start
}

// Text reads a string and gives its characters as valid
// UTF-8: a piece of the row where that needs no rewriting.
func (s *Scanner) Text() ([]byte, error) {
	body, plain, err := s.Quoted()
	if err != nil || plain {
		return body, err
	}
	start := len(s.unquoted)
	s.unquoted = appendUnquoted(s.unquoted, body)
	return s.unquoted[start:len(s.unquoted):len(s.unquoted)], nil
}

// Byte-wise constants for eight bytes at once.
const (
	each  = 0x0101010101010101
	highs = 0x8080808080808080
)

// Quoted reads a string and gives what stands between its quotes; plain tells that this is valid UTF-8
// without escapes. Eight bytes at a time are tested for a quote, a backslash and control characters:
// (w - n·each) &^ w & highs has its lowest bit at the first byte below n.
func (s *Scanner) Quoted() (body []byte, plain bool, err error) {
	row, start := s.Row, s.Pos+1
	escaped, seen := false, uint64(0) // bytes of the text, several in one
	for i := start; ; {
		for i+8 <= len(row) {
			w := binary.LittleEndian.Uint64(row[i:])
			quote, slash := w^'"'*each, w^'\\'*each
			if found := ((w-' '*each)&^w | (quote-each)&^quote | (slash-each)&^slash) & highs; found != 0 {
				seen |= w & (found&-found - 1)
				i += bits.TrailingZeros64(found) / 8
				break
			}
			seen |= w
			i += 8
		}
		if i >= len(row) {
			return nil, false, s.Syntax(len(row), "")
		}
		switch c := row[i]; {
		case c == '"':
			s.Pos = i + 1
			body = row[start:i:i]
			return body, !escaped && (seen&highs == 0 || utf8.Valid(body)), nil
		case c == '\\':
			n := escapeLen(row[i:])
			if n == 0 {
				return nil, false, s.Syntax(i, "an escape in a string is wrong")
			}
			escaped = true
			i += n
		case c < ' ':
			return nil, false, s.Syntax(i, "a control character in a string is not escaped")
		default: // of the row's last seven bytes
			seen |= uint64(c) // its high bit alone counts
			i++
		}
	}
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

// Skip passes over a value of any kind and checks it. depth counts the objects and arrays around it.
func (s *Scanner) Skip(depth int) error {
	switch c := s.Peek(); c {
	case '{', '[':
		return s.skipInside(c == '{', depth)
	case '"':
		_, _, err := s.Quoted()
		return err
	case 't':
		return s.Literal("true")
	case 'f':
		return s.Literal("false")
	case 'n':
		return s.Literal("null")
	}
	_, err := s.Number()
	return err
}

func (s *Scanner) skipInside(object bool, depth int) error {
	if err := s.Enter(depth); err != nil {
		return err
	}
	for first := true; ; first = false {
		var more bool
		var err error
		if object {
			_, more, err = s.Member(first)
		} else {
			more, err = s.Element(first)
		}
		if err != nil || !more {
			return err
		}
		if err := s.Skip(depth + 1); err != nil {
			return err
		}
	}
}

// Enter passes the brace or bracket that opens a container.
func (s *Scanner) Enter(depth int) error {
	if depth >= MaxDepth {
		return s.Syntax(s.Pos, "objects and arrays are nested too deeply")
	}
	s.Pos++
	return nil
}
