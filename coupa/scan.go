package coupa

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"time"
	"unicode/utf8"
)

var (
	// errShort: the data ends before the row does.
	errShort = errors.New("row goes on")
	// errSyntax: the data is not JSON at the scanner's position.
	errSyntax = errors.New("not JSON")
)

// deepest is how far values may nest, as encoding/json has it.
const deepest = 10000

// span is a part of a row; zero where there is none.
type span struct{ from, to int }

// lineDepth is how deep the members of a line are: the row is at 1, its collection of lines at 2.
const lineDepth = 3

// scanner goes once over the JSON text of a row: it validates it as strictly
// as encoding/json, notes where the row's own id and updated-at are and when
// its lines were stamped, and computes the digest. It allocates nothing.
//
// The digest is kept in checkpoints: changing how it is computed makes every row of the look-back look new.
// TestDigestIsPinned holds it.
type scanner struct {
	data    []byte
	pos     int // next byte; at the offending byte after errSyntax
	depth   int // open objects and arrays, the page's own array not counted
	id      span
	updated span
	lines   lineStamps
	// texts so far, keys included, with bytes that are not UTF-8
	malformed int
}

// lineStamps is what a scanner finds out about the collection of lines of a row.
type lineStamps struct {
	name    string    // the collection as a filter spells it; "": none
	inside  bool      // the scanner is inside of it
	last    span      // the updated-at looked at last: lines of one save share it to the letter
	newest  time.Time // of the lines so far, UTC; zero where none is stamped
	invalid bool      // some line's updated-at is no instant
}

// Seeds of the digest: one a type of value, so that "1", 1 and [1] differ.
const (
	tagString  = 0x9e3779b97f4a7c15
	tagLiteral = 0xd1b54a32d192ed03
	tagObject  = 0x8cb92ba72f3d8dd7
	tagArray   = 0xaef17502108ef2d9
	tagKey     = 0x589965cc75374cc3
	nullDigest = 0x2545f4914f6cdd1d
)

// mixDigest makes one digest of two; their order counts. Ledgers hold what comes of it:
// if it changed, every row that is read again would be published again.
func mixDigest(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return hi ^ lo
}

// digestOf is the digest of bytes, in the manner of wyhash: nearly all keys and values have 16 at most
// and take two multiplications. The last words overlap the ones before, and the length tells texts
// apart that have the same words.
func digestOf(b []byte, tag uint64) uint64 {
	n := len(b)
	for ; len(b) > 16; b = b[16:] {
		tag = mixDigest(binary.LittleEndian.Uint64(b)^tag, binary.LittleEndian.Uint64(b[8:]))
	}
	var first, last uint64
	switch left := len(b); {
	case left >= 8:
		first, last = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[left-8:])
	case left >= 4:
		first, last = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[left-4:]))
	case left > 0:
		first, last = uint64(b[0])<<8|uint64(b[left/2]), uint64(b[left-1])
	}
	return mixDigest(mixDigest(first^tag, last), uint64(n))
}

// row scans one object, which must start at pos.
func (s *scanner) row() (uint64, error) {
	if s.pos >= len(s.data) {
		return 0, errShort
	}
	if s.data[s.pos] != '{' {
		return 0, errSyntax
	}
	return s.object()
}

// value scans a value that starts at pos. The digest of null is nullDigest.
func (s *scanner) value() (uint64, error) {
	if s.pos >= len(s.data) {
		return 0, errShort
	}
	start := s.pos
	var err error
	switch c := s.data[start]; {
	case c == '"':
		if err = s.text(); err != nil {
			return 0, err
		}
		return digestOf(s.data[start+1:s.pos-1], tagString), nil
	case c == '{':
		return s.object()
	case c == '[':
		return s.array()
	case c == 'n':
		return nullDigest, s.literal("null")
	case c == 't':
		err = s.literal("true")
	case c == 'f':
		err = s.literal("false")
	default:
		err = s.number()
	}
	if err != nil {
		return 0, err
	}
	return digestOf(s.data[start:s.pos], tagLiteral), nil
}

// object sums its members, so that their order does not count, and leaves out those that are null.
func (s *scanner) object() (uint64, error) {
	if s.depth++; s.depth >= deepest {
		return 0, errSyntax
	}
	s.pos++
	var sum, members uint64
	c, err := s.peek()
	if err != nil {
		return 0, err
	}
	for c != '}' {
		if c != '"' {
			return 0, errSyntax
		}
		digest, null, err := s.member()
		if err != nil {
			return 0, err
		}
		if !null {
			sum += digest
			members++
		}
		if c, err = s.after('}'); err != nil {
			return 0, err
		}
	}
	s.pos++
	s.depth--
	return mixDigest(sum, tagObject+members), nil
}

// member scans a key, the colon and the value.
func (s *scanner) member() (digest uint64, null bool, err error) {
	start := s.pos
	if err := s.text(); err != nil {
		return 0, false, err
	}
	key := s.data[start+1 : s.pos-1]
	c, err := s.peek()
	if err != nil {
		return 0, false, err
	}
	if c != ':' {
		return 0, false, errSyntax
	}
	s.pos++
	if c, err = s.peek(); err != nil {
		return 0, false, err
	}
	at := s.pos
	if s.depth == 1 {
		s.lines.inside = c == '[' && s.lines.named(key)
	}
	value, err := s.value()
	if err != nil {
		return 0, false, err
	}
	switch {
	case s.depth == 1:
		s.note(key, span{at, s.pos})
	case s.depth == lineDepth && s.lines.inside && isUpdatedAt(key):
		s.noteLine(span{at, s.pos})
	}
	return mixDigest(digestOf(key, tagKey), value), c == 'n', nil
}

// note keeps where the members that every walk needs are.
// Legacy endpoints answer with underscores (API "Addresses").
func (s *scanner) note(key []byte, at span) {
	switch string(key) {
	case "id":
		s.id = at
	case "updated-at", "updated_at":
		s.updated = at
	}
}

func isUpdatedAt(key []byte) bool { return string(key) == "updated-at" || string(key) == "updated_at" }

// noteLine takes in a line's own updated-at.
func (s *scanner) noteLine(at span) {
	l := &s.lines
	value := s.data[at.from:at.to]
	if string(value) == string(s.data[l.last.from:l.last.to]) {
		return
	}
	l.last = at
	stamped, ok := parseInstant(value)
	if !ok {
		l.invalid = true
	}
	if stamped.After(l.newest) {
		l.newest = stamped
	}
}

// named tells whether a key is the collection's name, with hyphens or underscores.
func (l *lineStamps) named(key []byte) bool {
	if len(key) != len(l.name) || len(key) == 0 {
		return false
	}
	for i, c := range key {
		if c == '-' {
			c = '_'
		}
		if c != l.name[i] {
			return false
		}
	}
	return true
}

// array chains its elements: their order counts, and so does a null among them.
func (s *scanner) array() (uint64, error) {
	if s.depth++; s.depth >= deepest {
		return 0, errSyntax
	}
	s.pos++
	digest := uint64(tagArray)
	c, err := s.peek()
	if err != nil {
		return 0, err
	}
	for c != ']' {
		value, err := s.value()
		if err != nil {
			return 0, err
		}
		digest = mixDigest(digest, value)
		if c, err = s.after(']'); err != nil {
			return 0, err
		}
	}
	s.pos++
	s.depth--
	return digest, nil
}

// after goes past the comma that follows an element, if another follows, and
// returns the byte that comes then: closing one, or the first of the next element.
func (s *scanner) after(closing byte) (byte, error) {
	c, err := s.peek()
	if err != nil || c == closing {
		return c, err
	}
	if c != ',' {
		return 0, errSyntax
	}
	s.pos++
	if c, err = s.peek(); err == nil && c == closing {
		return 0, errSyntax
	}
	return c, err
}

// peek goes past white space and returns the byte that follows without taking it.
func (s *scanner) peek() (byte, error) {
	for s.pos < len(s.data) {
		if c := s.data[s.pos]; !isSpace(c) {
			return c, nil
		}
		s.pos++
	}
	return 0, errShort
}

// isSpace asks first what settles it for nearly every byte.
func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t') }

// Byte-wise constants for eight bytes at once.
const (
	each  = 0x0101010101010101
	highs = 0x8080808080808080
)

// text scans a string that starts at pos. Eight bytes at a time are tested for a quote, a backslash
// and control characters: (w - n·each) &^ w & highs has its lowest bit at the first byte below n.
func (s *scanner) text() error {
	data, i := s.data, s.pos+1
	seen := uint64(0) // all bytes looked at: without a high bit among them the text is ASCII
	for {
		for i+8 <= len(data) {
			w := binary.LittleEndian.Uint64(data[i:])
			seen |= w
			quote, slash := w^'"'*each, w^'\\'*each
			found := ((w-' '*each)&^w | (quote-each)&^quote | (slash-each)&^slash) & highs
			if found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
			i += 8
		}
		if i >= len(data) {
			return errShort
		}
		switch c := data[i]; {
		case c == '"':
			if seen&highs != 0 {
				s.judge(data[s.pos+1 : i])
			}
			s.pos = i + 1
			return nil
		case c == '\\':
			n, err := escape(data[i:])
			if err != nil {
				s.pos = i
				return err
			}
			i += n
		case c < ' ':
			s.pos = i
			return errSyntax
		default:
			seen |= uint64(c)
			i++
		}
	}
}

// judge counts a text with bytes that are not ASCII if they are no UTF-8 either.
func (s *scanner) judge(text []byte) {
	if !utf8.Valid(text) {
		s.malformed++
	}
}

// escape returns the length of the escape sequence at the start of data.
func escape(data []byte) (int, error) {
	if len(data) < 2 {
		return 0, errShort
	}
	switch data[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
	default:
		return 0, errSyntax
	}
	for i := 2; i < 6; i++ {
		if i >= len(data) {
			return 0, errShort
		}
		if c := data[i] | 0x20; (data[i] < '0' || data[i] > '9') && (c < 'a' || c > 'f') {
			return 0, errSyntax
		}
	}
	return 6, nil
}

// literal scans null, true or false.
func (s *scanner) literal(want string) error {
	rest := s.data[s.pos:]
	if len(rest) < len(want) {
		return errShort
	}
	if string(rest[:len(want)]) != want {
		return errSyntax
	}
	s.pos += len(want)
	return nil
}

// number scans a number. One that reaches the end of the data may go on, and in any case its row does.
func (s *scanner) number() error {
	if s.data[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.pos == len(s.data) {
		return errShort
	}
	return nil
}

// digits scans one digit or more.
func (s *scanner) digits() error {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	switch {
	case s.pos > start:
		return nil
	case s.pos == len(s.data):
		return errShort
	default:
		return errSyntax
	}
}
