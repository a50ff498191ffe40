package schemas

// Cursor reads JSON from left to right, for those who rewrite rows before they are encoded.
// It is as strict as the encoder, and holds nothing but the text. It stands at the first byte
// of a value, and behind it once the value was read by one of Object, List, Text and Skip.
//
// One goroutine at a time may use it. Errors are *FieldError.
type Cursor struct {
	scanner
	depth int
}

// Open stands the cursor at the value that a text begins with.
func (c *Cursor) Open(text []byte) {
	c.scanner = scanner{row: text, unquoted: c.unquoted[:0]}
	c.depth = 0
	c.next()
}

// Close makes sure that nothing but white space follows what was read.
func (c *Cursor) Close() error {
	if c.next() != 0 || c.pos < len(c.row) {
		return asFieldError(c.syntax(c.pos, "something follows the row"))
	}
	return nil
}

// First is the first byte of the value: one of {["tfn- and the digits if it is one.
func (c *Cursor) First() byte { return c.peek() }

// At is the offset of the cursor in the text.
func (c *Cursor) At() int { return c.pos }

// Since is the text from an offset to the cursor.
func (c *Cursor) Since(at int) []byte { return c.row[at:c.pos] }

// Object reads an object: take is called at the value of each member, which it must
// read, with the key and the offset of its opening quote. The key is valid until Open.
func (c *Cursor) Object(take func(key []byte, at int) error) error {
	if c.peek() != '{' {
		return asFieldError(c.syntax(c.pos, "an object is missing"))
	}
	if err := c.enter(c.depth); err != nil {
		return asFieldError(err)
	}
	c.depth++
	for first := true; ; first = false {
		at := c.keyAt(first)
		key, more, err := c.member(first)
		if err != nil {
			return asFieldError(err)
		}
		if !more {
			c.depth--
			return nil
		}
		if err := take(key, at); err != nil {
			return err
		}
	}
}

// keyAt is the offset of the key that member is to read.
func (c *Cursor) keyAt(first bool) int {
	start := c.pos
	defer func() { c.pos = start }()
	if c.next() == ',' && !first {
		c.pos++
		c.next()
	}
	return c.pos
}

// List reads a list: take is called at each element, which it must read.
func (c *Cursor) List(take func() error) error {
	if c.peek() != '[' {
		return asFieldError(c.syntax(c.pos, "a list is missing"))
	}
	if err := c.enter(c.depth); err != nil {
		return asFieldError(err)
	}
	c.depth++
	for first := true; ; first = false {
		more, err := c.element(first)
		if err != nil {
			return asFieldError(err)
		}
		if !more {
			c.depth--
			return nil
		}
		if err := take(); err != nil {
			return err
		}
	}
}

// Text reads a text and gives its characters as valid UTF-8, until Open.
func (c *Cursor) Text() ([]byte, error) {
	if c.peek() != '"' {
		return nil, asFieldError(c.syntax(c.pos, "a text is missing"))
	}
	text, err := c.text()
	if err != nil {
		return nil, asFieldError(err)
	}
	return text, nil
}

// Skip reads a value of any kind and gives its JSON.
func (c *Cursor) Skip() ([]byte, error) {
	start := c.pos
	if err := c.skip(c.depth); err != nil {
		return nil, asFieldError(err)
	}
	return c.row[start:c.pos], nil
}
