package coupa

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	firstBuffer = 64 << 10
	keptBuffer  = 1 << 20 // larger buffers are left to the garbage collector
)

// errNoArray: the body is JSON, but not an array.
var errNoArray = errors.New("the body is not an array")

// errNoObject: an element of the array is not an object.
var errNoObject = errors.New("the row is not an object")

// rows splits a body, an array of objects, into its elements while it arrives. It holds 64 KiB, or twice
// the largest row.
type rows struct {
	src   io.Reader
	buf   []byte
	start int   // first byte not taken yet
	end   int   // end of what was read
	taken int64 // bytes of the body before buf[0]
	bytes int64 // bytes read in all
	began bool  // a row was taken
	ended bool  // src is at its end
	pool  *sync.Pool
	lines string // collection of lines to look into; "": none
	scan  scanner
}

// row is one element: its text, valid until the next one is asked for, and what the scanner found.
type row struct {
	text        []byte
	id, updated []byte    // JSON values; empty where absent
	linesAt     time.Time // newest updated-at of its lines, UTC; zero where none is stamped
	linesBad    bool      // some line's updated-at is no instant
	digest      uint64
}

// newRows starts on a body with a buffer from the pool; release gives it
// back. lines names the rows' collection of lines, as a filter spells it.
func newRows(src io.Reader, pool *sync.Pool, lines string) *rows {
	if b, ok := pool.Get().(*[]byte); ok {
		return &rows{src: src, buf: *b, pool: pool, lines: lines}
	}
	return &rows{src: src, buf: make([]byte, firstBuffer), pool: pool, lines: lines}
}

// release gives the buffer back; no row may be used any more.
func (r *rows) release() {
	if len(r.buf) <= keptBuffer {
		b := r.buf
		r.pool.Put(&b)
	}
	r.buf = nil
}

// open takes the bracket that starts the array.
func (r *rows) open() error {
	c, err := r.peek()
	if err != nil {
		return err
	}
	if c != '[' {
		return errNoArray
	}
	r.start++
	return nil
}

// next takes the next row. After the last one it reads the body to its end and
// returns io.EOF; a body that ends before the array does is io.ErrUnexpectedEOF.
func (r *rows) next() (row, error) {
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
			text := s.data[:s.pos]
			r.start += s.pos
			return row{
				text: text, id: text[s.id.from:s.id.to], updated: text[s.updated.from:s.updated.to],
				linesAt: s.lines.newest, linesBad: s.lines.invalid, digest: digest,
			}, nil
		case !errors.Is(err, errShort):
			return row{}, r.syntax(r.scan.pos)
		}
		if err := r.fill(2 * (r.end - r.start)); err != nil {
			return row{}, err
		}
	}
}

// peek returns the next byte that is not white space without taking it.
func (r *rows) peek() (byte, error) {
	for {
		for ; r.start < r.end; r.start++ {
			if c := r.buf[r.start]; !isSpace(c) {
				return c, nil
			}
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
	r.makeRoom(want)
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
func (r *rows) makeRoom(want int) {
	if r.start == 0 && want <= len(r.buf) {
		return
	}
	buf := r.buf
	if want > len(buf) {
		buf = make([]byte, want)
	}
	copy(buf, r.buf[r.start:r.end])
	r.taken += int64(r.start)
	r.buf, r.start, r.end = buf, 0, r.end-r.start
}

// syntax describes what is not JSON, offset bytes after start. The text itself stays out of it.
func (r *rows) syntax(offset int) error {
	return fmt.Errorf("byte %d of the body: %w", r.taken+int64(r.start+offset), errSyntax)
}
