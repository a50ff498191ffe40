package rowtext

// Cursor reads JSON from left to right, for those who rewrite rows before they are encoded.
// It is as strict as the encoder, and holds nothing but the text. It stands at the first byte
// of a value, and behind it once the value was read by one of Object, List, Text and Skip.
//
// One goroutine at a time may use it. Errors are *FieldError.
type Cursor struct {
	scan  Scanner
	depth int
}

// Open stands the cursor at the value that a text begins with.
func (c *Cursor) Open(text []byte) {
	c.scan.Reset(text)
	c.depth = 0
	c.scan.Next()
}

// Close makes sure that nothing but white space follows what was read.
func (c *Cursor) Close() error {
	if c.scan.Next() != 0 || c.scan.Pos < len(c.scan.Row) {
		return AsFieldError(c.scan.Syntax(c.scan.Pos, "something follows the row"))
	}
	return nil
}

// First is the first byte of the value: one of {["tfn- and the digits if it is one.
func (c *Cursor) First() byte { return c.scan.Peek() }

// At is the offset of the cursor in the text.
func (c *Cursor) At() int { return c.scan.Pos }

// Since is the text from an offset to the cursor.
func (c *Cursor) Since(at int) []byte { return c.scan.Row[at:c.scan.Pos] }

// Object reads an object: take is called at the value of each member, which it must
// read, with the key and the offset of its opening quote. The key is valid until Open.
func (c *Cursor) Object(take func(key []byte, at int) error) error {
	if c.scan.Peek() != '{' {
		return AsFieldError(c.scan.Syntax(c.scan.Pos, "an object is missing"))
	}
	if err := c.scan.Enter(c.depth); err != nil {
		return AsFieldError(err)
	}
	c.depth++
	for first := true; ; first = false {
		at := c.keyAt(first)
		key, more, err := c.scan.Member(first)
		if err != nil {
			return AsFieldError(err)
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
	start := c.scan.Pos
	defer func() { c.scan.Pos = start }()
	if c.scan.Next() == ',' && !first {
		c.scan.Pos++
		c.scan.Next()
	}
	return c.scan.Pos
}

// List reads a list: take is called at each element, which it must read.
func (c *Cursor) List(take func() error) error {
	if c.scan.Peek() != '[' {
		return AsFieldError(c.scan.Syntax(c.scan.Pos, "a list is missing"))
	}
	if err := c.scan.Enter(c.depth); err != nil {
		return AsFieldError(err)
	}
	c.depth++
	for first := true; ; first = false {
		more, err := c.scan.Element(first)
		if err != nil {
			return AsFieldError(err)
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
	if c.scan.Peek() != '"' {
		return nil, AsFieldError(c.scan.Syntax(c.scan.Pos, "a text is missing"))
	}
	text, err := c.scan.Text()
	if err != nil {
		return nil, AsFieldError(err)
	}
	return text, nil
}

// Skip reads a value of any kind and gives its JSON.
func (c *Cursor) Skip() ([]byte, error) {
	start := c.scan.Pos
	if err := c.scan.Skip(c.depth); err != nil {
		return nil, AsFieldError(err)
	}
	return c.scan.Row[start:c.scan.Pos], nil
}
