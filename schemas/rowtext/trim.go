package rowtext

import (
	"slices"
	"strconv"
	"unicode/utf8"
)

// ShortText is the length in bytes that Trim leaves of every text at least.
const ShortText = 100

// Cut is a text of a row that was shortened.
type Cut struct {
	Path  string `json:"path"`  // Coupa's names, "invoice-lines[3].description"
	Bytes int    `json:"bytes"` // of the text as Coupa sent it, in its JSON
	Kept  int    `json:"kept"`
}

// Trim makes a row, one JSON object, shorter by at least the given number of bytes: its
// longest texts are cut to one common length, which is as large as that allows and no less
// than ShortText. So the shorter texts, and all that is no text, stay whole. A text is cut
// between two characters. The cuts are in the row's order; there are none, and the row is
// as it was, if no text is longer than ShortText. What is returned may be shortened by
// less than was asked for: the texts did not yield more. The row itself is not changed.
func Trim(row []byte, excess int) (trimmed []byte, cuts []Cut, err error) {
	t := trimmer{scan: Scanner{Row: row}}
	t.scan.Next()
	if err := t.value("", 0); err != nil {
		return nil, nil, AsFieldError(err)
	}
	level := t.level(excess)
	trimmed, from := make([]byte, 0, len(row)), 0
	for _, x := range t.texts {
		body := row[x.start:x.end]
		if len(body) <= level {
			continue
		}
		kept := wholeCharacters(body, level)
		trimmed = append(append(trimmed, row[from:x.start]...), body[:kept]...)
		from = x.end
		cuts = append(cuts, Cut{Path: x.path, Bytes: len(body), Kept: kept})
	}
	return append(trimmed, row[from:]...), cuts, nil
}

// trimmer finds the texts of a row that are longer than ShortText.
type trimmer struct {
	scan  Scanner
	texts []longText
}

type longText struct {
	path       string
	start, end int // of what stands between the quotes
}

func (t *trimmer) value(path string, depth int) error {
	switch t.scan.Peek() {
	case '{':
		return t.members(path, depth)
	case '[':
		return t.elements(path, depth)
	case '"':
		start := t.scan.Pos + 1
		if _, _, err := t.scan.Quoted(); err != nil {
			return err
		}
		if end := t.scan.Pos - 1; end-start > ShortText {
			t.texts = append(t.texts, longText{path, start, end})
		}
		return nil
	}
	return t.scan.Skip(depth)
}

func (t *trimmer) members(path string, depth int) error {
	if err := t.scan.Enter(depth); err != nil {
		return err
	}
	for first := true; ; first = false {
		key, more, err := t.scan.Member(first)
		if err != nil || !more {
			return err
		}
		inner := string(key)
		if path != "" {
			inner = path + "." + inner
		}
		if err := t.value(inner, depth+1); err != nil {
			return err
		}
	}
}

func (t *trimmer) elements(path string, depth int) error {
	if err := t.scan.Enter(depth); err != nil {
		return err
	}
	for i := 0; ; i++ {
		more, err := t.scan.Element(i == 0)
		if err != nil || !more {
			return err
		}
		if err := t.value(path+"["+strconv.Itoa(i)+"]", depth+1); err != nil {
			return err
		}
	}
}

// level is the length to cut texts to so that excess bytes go, ShortText if that does not suffice.
func (t *trimmer) level(excess int) int {
	lengths := make([]int, len(t.texts))
	for i, x := range t.texts {
		lengths[i] = x.end - x.start
	}
	slices.SortFunc(lengths, func(a, b int) int { return b - a })
	sum := 0
	for i, n := range lengths {
		sum += n
		next := ShortText
		if i+1 < len(lengths) {
			next = lengths[i+1]
		}
		if room := sum - excess; room >= (i+1)*next {
			return room / (i + 1)
		}
	}
	return ShortText
}

// wholeCharacters is the length of the longest start of body, the inside of a
// JSON string, that has at most limit bytes and ends between two characters.
func wholeCharacters(body []byte, limit int) int {
	for i := 0; ; {
		n := 1
		if body[i] == '\\' {
			n = escapeLen(body[i:])
			if r, ok := hexRune(body[i:]); ok && r >= 0xd800 && r < 0xdc00 {
				if low, ok := hexRune(body[i+6:]); ok && low >= 0xdc00 && low < 0xe000 {
					n += 6
				}
			}
		} else {
			_, n = utf8.DecodeRune(body[i:])
		}
		if i+n > limit {
			return i
		}
		i += n
	}
}
