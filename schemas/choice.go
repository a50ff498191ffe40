package schemas

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

// choice appends a plain value in the branch of its own type, else in the
// first branch that holds it exactly, else as its text in the branch of
// strings. The byte before it is the branch's number, as put wrote it.
func (e *Encoder) choice(out []byte, n *planNode, c byte) ([]byte, verdict, error) {
	if c == '{' || c == '[' {
		return out, misfit, nil
	}
	text, err := e.plainText(c)
	if err != nil {
		return out, misfit, err
	}
	start := len(out)
	out, branch := e.branch(out, n, c, text)
	switch {
	case branch > 0:
		out[start-1] = byte(branch) << 1
		return out, stored, nil
	case c == '"' && len(text) == 0:
		return out, blank, nil
	}
	return out, misfit, nil
}

// branch appends the plain value in the branch that takes it, and gives the number of that, 0 for none.
func (e *Encoder) branch(out []byte, n *planNode, c byte, text []byte) ([]byte, int) {
	if len(n.branches) == 1 {
		if out, ok := e.exactly(out, &n.branches[0], c, text); ok {
			return out, 1
		}
		return out, 0
	}
	own := branchKind(custom.TypeOf(c, text))
	for turn := range 3 {
		for i := range n.branches {
			b := &n.branches[i]
			if branchTurn(b.kind, own) != turn {
				continue
			}
			if out, ok := e.exactly(out, b, c, text); ok {
				return out, i + 1
			}
		}
	}
	return out, 0
}

// branchTurn says in which round a branch is tried for a value whose own kind is own.
func branchTurn(branch, own planKind) int {
	switch branch {
	case own:
		return 0
	case kindString:
		return 2
	}
	return 1
}

func branchKind(t custom.Type) planKind {
	switch t {
	case custom.Boolean:
		return kindBoolean
	case custom.Long:
		return kindLong
	case custom.Decimal:
		return kindDecimal
	case custom.Instant:
		return kindTimestamp
	}
	return kindString
}

// plainText reads the plain value at pos, which begins with c.
func (e *Encoder) plainText(c byte) ([]byte, error) {
	start := e.in.Pos
	switch c {
	case '"':
		return e.in.Text()
	case 't':
		err := e.in.Literal("true")
		return e.in.Row[start:e.in.Pos], err
	case 'f':
		err := e.in.Literal("false")
		return e.in.Row[start:e.in.Pos], err
	}
	return e.in.Number()
}

// exactly appends the plain value as n if n holds just that.
func (e *Encoder) exactly(out []byte, n *planNode, c byte, text []byte) ([]byte, bool) {
	isBoolean := c == 't' || c == 'f'
	switch {
	case n.kind == kindString:
		return appendText(out, text), true
	case isBoolean && n.kind == kindBoolean && c == 't':
		return append(out, 1), true
	case isBoolean && n.kind == kindBoolean:
		return append(out, 0), true
	case isBoolean || n.kind == kindBoolean:
		return out, false
	case n.kind == kindTimestamp:
		ms, ok := custom.ExactInstant(text)
		return binary.AppendVarint(out, ms), ok && rowtext.InReach(ms) && c == '"'
	}
	d, ok := custom.ExactNumber(text)
	if c != '"' {
		d, ok = rowtext.ParseDecimal(text)
	}
	if !ok {
		return out, false
	}
	return e.exactNumber(out, n, d, text)
}

func (e *Encoder) exactNumber(out []byte, n *planNode, d rowtext.Decimal, text []byte) ([]byte, bool) {
	switch n.kind {
	case kindLong:
		v, ok := e.asLong(d)
		return binary.AppendVarint(out, v), ok
	case kindDecimal:
		out, v, _ := e.appendDecimal(out, d, n.precision, n.scale)
		return out, v == stored
	case kindDouble:
		f, err := strconv.ParseFloat(string(text), 64)
		return binary.LittleEndian.AppendUint64(out, math.Float64bits(f)), err == nil
	}
	return out, false
}
