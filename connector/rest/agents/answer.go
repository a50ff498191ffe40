package agents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// mostAnswer is how many bytes of an answer an agent gets: what it is told takes place in all that it
// does from then on.
const mostAnswer = 64 << 10

// tried is how many items of a list are left, in turn, until all of the answer fits.
var tried = []int{1000, 300, 100, 30, 10, 3, 1}

// within gives an answer as it is told: JSON without the white space in it, and where that is too long, with
// lists that say how many items were left out. If that is too long, too, and of other texts, it is as much
// as fits.
func within(text []byte, most int) string {
	var compact bytes.Buffer
	if json.Compact(&compact, text) == nil && compact.Len() <= most {
		return compact.String()
	}
	values, err := valuesOf(text)
	if err != nil {
		return cut(strings.ToValidUTF8(string(text), "�"), most)
	}
	short := written(values)
	for _, items := range tried {
		if len(short) <= most {
			break
		}
		for i := range values {
			values[i] = shortened(values[i], items)
		}
		short = written(values)
	}
	return cut(short, most)
}

// valuesOf reads JSON values, one after the other.
func valuesOf(text []byte) (values []any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for {
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return values, nil
		} else if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
}

// written is JSON of values that were read from it, a line each.
func written(values []any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, v := range values {
		_ = e.Encode(v) // it came from JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// leftOut is the last item of a list that was longer.
type leftOut struct{ items int }

func (l leftOut) MarshalJSON() ([]byte, error) {
	return json.Marshal(fmt.Sprintf("… %d more, left out because the answer is too long; ask for less", l.items))
}

// shortened leaves a value's lists with that many items at most.
func shortened(v any, most int) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = shortened(value, most)
		}
	case []any:
		out := leftOut{}
		if n := len(v); n > 0 {
			if before, is := v[n-1].(leftOut); is {
				out, v = before, v[:n-1]
			}
		}
		if n := len(v); n > most {
			out.items, v = out.items+n-most, v[:most]
		}
		for i := range v {
			v[i] = shortened(v[i], most)
		}
		if out.items > 0 {
			return append(v[:len(v):len(v)], out)
		}
		return v
	}
	return v
}

// cut is the beginning of a text that is too long, and says so.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s\n… cut off: these are %d of %d bytes; ask for less", text[:end], end, len(text))
}
