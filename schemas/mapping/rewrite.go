package mapping

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"strings"
	"unicode/utf8"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

// Rewriter changes rows by a mapping. One goroutine at a time may use it.
type Rewriter struct {
	// KeepUnreadable lets expressions see nothing in place of a value that can't be read as its field's
	// type, as the encoder's mode of that name does. To be set before the first row.
	KeepUnreadable bool

	m      *Mapping
	mac    hash.Hash // nil: nothing is hashed
	cursor rowtext.Cursor
	buf    []byte
	inputs input
}

// Rewriter makes one. key is mapping.hash.key; it may be empty unless NeedsKey.
func (m *Mapping) Rewriter(key string) *Rewriter {
	r := &Rewriter{m: m}
	if m.hashes {
		r.mac = hmac.New(sha256.New, []byte(key))
	}
	return r
}

// Row gives the JSON that the schema's plan encodes, of a row as Coupa sent it. It is valid
// until the next call. The error is a *rowtext.FieldError, which never shows a value.
func (r *Rewriter) Row(row []byte) ([]byte, error) {
	if !r.m.guards && len(r.m.computed) == 0 {
		return row, nil
	}
	if err := r.guard(row); err != nil {
		return nil, err
	}
	if len(r.m.computed) > 0 {
		if err := r.compute(row); err != nil {
			return nil, err
		}
	}
	r.buf = append(r.buf, '}')
	return r.buf, nil
}

// Guarded gives a row with what is left out taken away and what is masked or hashed in its
// place, under Coupa's names and with nothing computed: what may be shown of it wherever
// it goes. It is valid until the next call. On error nothing of the row may be shown.
func (r *Rewriter) Guarded(row []byte) ([]byte, error) {
	if !r.m.guards {
		return row, nil
	}
	if err := r.guard(row); err != nil {
		return nil, err
	}
	r.buf = append(r.buf, '}')
	return r.buf, nil
}

// guard writes the row without what the rules hide, but for its closing brace.
func (r *Rewriter) guard(row []byte) error {
	r.cursor.Open(row)
	r.buf = r.buf[:0]
	if !r.m.guards {
		if _, err := r.cursor.Skip(); err != nil {
			return err
		}
		if err := r.cursor.Close(); err != nil {
			return err
		}
		r.buf = append(r.buf, bytes.TrimRight(row, " \t\r\n")...)
	} else {
		if err := r.object(r.m.top); err != nil {
			return err
		}
		if err := r.cursor.Close(); err != nil {
			return err
		}
	}
	if len(r.buf) < 2 || r.buf[0] != '{' && bytes.TrimLeft(r.buf, " \t\r\n")[0] != '{' {
		return &rowtext.FieldError{Err: errors.New("a row is an object")}
	}
	r.buf = r.buf[:len(r.buf)-1]
	return nil
}

// object copies the object at the cursor by the rules of its place.
func (r *Rewriter) object(p *place) error {
	r.buf = append(r.buf, '{')
	empty := true
	err := r.cursor.Object(func(key []byte, at int) error {
		start := len(r.buf)
		if !empty {
			r.buf = append(r.buf, ',')
		}
		r.buf = append(r.buf, r.cursor.Since(at)...)
		kept, err := r.member(p, key)
		if err != nil {
			return err
		}
		if !kept {
			r.buf = r.buf[:start]
			return nil
		}
		empty = false
		return nil
	})
	r.buf = append(r.buf, '}')
	return err
}

// member copies the value at the cursor, which an object has under key; kept is false if it goes.
func (r *Rewriter) member(p *place, key []byte) (kept bool, err error) {
	child, extra, global := p.rulesFor(key)
	path := func() string { return join(p.path, string(key)) }
	switch {
	case child != nil && !child.kept(), child == nil && global && !p.keepsGlobal(string(key)), child == nil && !global && !p.keepsExtra(extra):
		_, err = r.cursor.Skip()
		return false, err
	case child != nil && child.guards && child.isObject():
		return true, r.within(child)
	case child != nil:
		extra = &child.rules
	}
	if extra != nil && extra.hides() {
		return true, r.hide(extra, path)
	}
	value, err := r.cursor.Skip()
	r.buf = append(r.buf, value...)
	return true, err
}

// rulesFor gives the place that a key leads to, or the rules of a
// member that has none: global tells that these are of custom-fields.
func (p *place) rulesFor(key []byte) (child *place, extra *rules, global bool) {
	if child = p.byKey[string(key)]; child != nil {
		return child, nil, false
	}
	if p.role == schematext.RoleCustomFields {
		return nil, p.extra[string(key)], false
	}
	plain := key
	if bytes.IndexByte(key, '_') >= 0 {
		plain = bytes.ReplaceAll(key, []byte("_"), []byte("-"))
		if child = p.byKey[string(plain)]; child != nil {
			return child, nil, false
		}
	}
	if extra = p.extra[string(plain)]; extra != nil {
		return nil, extra, false
	}
	if custom := p.custom(); custom != nil && !p.documents(string(plain)) {
		if extra = custom.extra[string(key)]; extra == nil {
			extra = custom.extra[string(plain)]
		}
		return nil, extra, true
	}
	return nil, nil, false
}

// within copies the object or list of objects at the cursor.
func (r *Rewriter) within(p *place) error {
	switch r.cursor.First() {
	case '{':
		return r.object(p)
	case '[':
		return r.list(p)
	case 'n':
		_, err := r.cursor.Skip()
		r.buf = append(r.buf, "null"...)
		return err
	}
	value, err := r.cursor.Skip()
	if err == nil && string(value) != `""` {
		err = &rowtext.FieldError{Path: p.path, Err: errors.New("is no object, so that the mapping can't tell what in it is to be hidden; correct it in Coupa, or leave the field out")}
	}
	r.buf = append(r.buf, `""`...)
	return err
}

func (r *Rewriter) list(p *place) error {
	r.buf = append(r.buf, '[')
	first := true
	err := r.cursor.List(func() error {
		if !first {
			r.buf = append(r.buf, ',')
		}
		first = false
		return r.within(p)
	})
	r.buf = append(r.buf, ']')
	return err
}

// masked stands for what is not shown.
const masked = "***"

// hide puts the mask or the hash of the value at the cursor in its place.
func (r *Rewriter) hide(rules *rules, path func() string) error {
	c := r.cursor.First()
	var text []byte
	var err error
	if c == '"' {
		text, err = r.cursor.Text()
	} else {
		text, err = r.cursor.Skip()
	}
	switch {
	case err != nil:
		return err
	case c == '"' && len(text) == 0:
		r.buf = append(r.buf, `""`...)
		return nil
	case c == 'n':
		r.buf = append(r.buf, text...)
		return nil
	case rules.hash:
		r.buf = append(r.buf, '"')
		r.mac.Reset()
		r.mac.Write(text)
		var sum [sha256.Size]byte
		r.buf = hex.AppendEncode(r.buf, r.mac.Sum(sum[:0]))
		r.buf = append(r.buf, '"')
		return nil
	}
	shown := rules.mask.constant
	if n := rules.mask.keepLast; n > 0 {
		shown = lastOf(text, n, c == '{' || c == '[')
	}
	quoted, err := json.Marshal(shown)
	if err != nil {
		return &rowtext.FieldError{Path: path(), Err: errors.New("its mask is no text")}
	}
	r.buf = append(r.buf, quoted...)
	return nil
}

// lastOf shows the last n characters of a text that has twice as many.
func lastOf(text []byte, n int, nested bool) string {
	if nested || utf8.RuneCount(text) < 2*n {
		return masked
	}
	at := len(text)
	for range n {
		_, size := utf8.DecodeLastRune(text[:at])
		at -= size
	}
	return masked + strings.ToValidUTF8(string(text[at:]), "\uFFFD")
}
