package coupa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// errNoArray: the body is JSON, but not an array.
var errNoArray = errors.New("the body is not an array")

// errMarkup: the body is HTML or XML, whatever its type says.
var errMarkup = errors.New("the body is markup")

// errNoObject: an element of the array is not an object.
var errNoObject = errors.New("the row is not an object")

// errTooMuch: a row, or the white space before one, is longer than it may be.
var errTooMuch = errors.New("too long")

// byteOrderMark may stand in front of JSON text, and a reader may pass over it (RFC 8259, section 8.1).
var byteOrderMark = []byte("\xef\xbb\xbf")

// rows splits a body, an array of objects, into its elements while it arrives. It holds 64 KiB, or twice
// the largest row, but no more than a row may have.
type rows struct {
	ctx   context.Context // ends the wait for a large buffer
	src   io.Reader
	buf   []byte
	start int   // first byte not taken yet
	end   int   // end of what was read
	taken int64 // bytes of the body before buf[0]
	bytes int64 // bytes read in all
	began bool  // a row was taken
	ended bool  // src is at its end
	blank int   // white space before start that was let go
	room  *room
	most  int    // bytes of a row
	held  int64  // of room.large; 0: buf is a small one
	lines string // collection of lines to look into; "": none
	scan  scanner
}

// row is one element: its text, valid until the next one is asked for, and what the scanner found.
type row struct {
	text        []byte
	id, updated []byte    // JSON values; empty where absent
	linesAt     time.Time // newest updated-at of its lines, UTC; zero where none is stamped
	linesBad    bool      // some line's updated-at is no instant
	malformed   int       // of its texts, keys included, those that are not UTF-8
	digest      uint64
}

// newRows starts on a body with a buffer of the room; release gives it
// back. most is how many bytes a row may have; lines names the rows' collection of
// lines, as a filter spells it.
func newRows(ctx context.Context, src io.Reader, room *room, most int, lines string) *rows {
	return &rows{ctx: ctx, src: src, buf: room.buffer(), room: room, most: most, lines: lines}
}

// release gives the buffer back; no row may be used any more.
func (r *rows) release() {
	r.room.keep(r.buf)
	r.room.large.shrink(r.held)
	r.buf, r.held = nil, 0
}

// open takes the bracket that starts the array.
func (r *rows) open() error {
	c, err := r.peek()
	if err == nil && c == byteOrderMark[0] && r.taken+int64(r.start) == 0 {
		c, err = r.skipMark()
	}
	if err != nil {
		return err
	}
	switch c {
	case '[':
	case '<':
		return errMarkup
	default:
		return errNoArray
	}
	r.start++
	return nil
}

// skipMark passes over a byte order mark and returns the byte that follows.
func (r *rows) skipMark() (byte, error) {
	for r.end-r.start < len(byteOrderMark) {
		if err := r.fill(len(byteOrderMark)); err != nil {
			return 0, err
		}
	}
	if !bytes.HasPrefix(r.buf[r.start:r.end], byteOrderMark) {
		return byteOrderMark[0], nil
	}
	r.start += len(byteOrderMark)
	return r.peek()
}

// next takes the next row. After the last one it reads the body to its end and
// returns io.EOF; a body that ends before the array does is io.ErrUnexpectedEOF.
func (r *rows) next() (row, error) {
	r.giveBack()
	c, err := r.peek()
	if err != nil {
		return row{}, err
	}
	if c == ']' {
		return row{}, r.finish()
	}
	if r.began {
		if c != ',' {
			return row{}, r.syntax(0)
		}
		r.start++
		if c, err = r.peek(); err != nil {
			return row{}, err
		}
	}
	switch {
	case c == '{':
		r.began = true
		return r.object()
	case c == '"' || c == '[' || c == '-' || c >= '0' && c <= '9' || c == 'n' || c == 't' || c == 'f':
		return row{}, errNoObject
	default:
		return row{}, r.syntax(0)
	}
}

// object takes a row. Where the row is not whole yet, it is scanned again only after what there is of
// it has doubled, so that a huge row that arrives in small pieces is scanned twice at most, all in all.
func (r *rows) object() (row, error) {
	for {
		r.scan = scanner{data: r.buf[r.start:r.end], lines: lineStamps{name: r.lines}}
		digest, err := r.scan.row()
		switch {
		case err == nil:
			s := &r.scan
			if s.pos > r.most {
				return row{}, r.tooLong()
			}
			text := s.data[:s.pos]
			r.start += s.pos
			return row{
				text: text, id: text[s.id.from:s.id.to], updated: text[s.updated.from:s.updated.to],
				linesAt: s.lines.newest, linesBad: s.lines.invalid, malformed: s.malformed, digest: digest,
			}, nil
		case !errors.Is(err, errShort):
			return row{}, r.syntax(r.scan.pos)
		}
		have := r.end - r.start
		if have >= r.most {
			return row{}, r.tooLong()
		}
		if err := r.fill(min(2*have, r.most)); err != nil {
			return row{}, err
		}
	}
}

func (r *rows) tooLong() error {
	return fmt.Errorf("it is %w: more than the %d bytes of row.max.bytes", errTooMuch, r.most)
}

// peek returns the next byte that is not white space without taking it.
func (r *rows) peek() (byte, error) {
	for from := r.start; ; from = r.start {
		for ; r.start < r.end; r.start++ {
			if c := r.buf[r.start]; !isSpace(c) {
				r.blank = 0
				return c, nil
			}
		}
		if r.blank += r.start - from; r.blank > mostBlanks {
			return 0, fmt.Errorf("the white space before it is %w: more than %d bytes", errTooMuch, mostBlanks)
		}
		if err := r.fill(1); err != nil {
			return 0, err
		}
	}
}

// finish takes the closing bracket and sees to it that nothing but white space follows.
func (r *rows) finish() error {
	r.start++
	_, err := r.peek()
	switch {
	case err == nil:
		return r.syntax(0)
	case r.ended:
		return io.EOF
	default:
		return err
	}
}

// fill reads until want bytes are there that were not taken, or the body
// ends. A body that ends without giving any more is io.ErrUnexpectedEOF.
func (r *rows) fill(want int) error {
	if err := r.makeRoom(want); err != nil {
		return err
	}
	had := r.end
	for r.end-r.start < want {
		if r.ended {
			return io.ErrUnexpectedEOF
		}
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.bytes += int64(n)
		r.ended = err == io.EOF
		switch {
		case r.ended && r.end > had:
			return nil
		case err != nil && !r.ended:
			return err
		}
	}
	return nil
}

// makeRoom moves what was not taken to the front, into a larger buffer where it needs one.
func (r *rows) makeRoom(want int) error {
	if r.start == 0 && want <= len(r.buf) {
		return nil
	}
	buf := r.buf
	if want > len(buf) {
		if want > keptBuffer {
			if err := r.room.large.grow(r.ctx, r.held, int64(want)); err != nil {
				return err
			}
			r.held = int64(want)
		}
		buf = make([]byte, want)
	}
	r.moveTo(buf)
	return nil
}

// giveBack exchanges a large buffer for a small one as soon as what is in it fits there.
func (r *rows) giveBack() {
	if r.held > 0 && r.end-r.start <= firstBuffer {
		r.moveTo(r.room.buffer())
		r.room.large.shrink(r.held)
		r.held = 0
	}
}

// moveTo goes on in buf with what was not taken yet.
func (r *rows) moveTo(buf []byte) {
	copy(buf, r.buf[r.start:r.end])
	r.taken += int64(r.start)
	r.buf, r.start, r.end = buf, 0, r.end-r.start
}

// syntax describes what is not JSON, offset bytes after start. The text itself stays out of it.
func (r *rows) syntax(offset int) error {
	return fmt.Errorf("byte %d of the body: %w", r.taken+int64(r.start+offset), errSyntax)
}
