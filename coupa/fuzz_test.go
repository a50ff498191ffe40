package coupa

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

var seeds = []string{
	`[]`, ` [ ] `, `[{}]`, `[{},{}]`, `[{"id":1,"updated-at":"2024-03-01T00:00:00-08:00","a":null}]`,
	`[{"id":"7","lines":[{"id":1,"price":"1.50"},{"id":2,"price":null}],"supplier":{"name":"A \"B\" \\ \u00e9"}}]`,
	`[{"a":-0.5e+10,"b":[[],[{}],""],"c":true,"d":false}]`, `{"errors":{}}`, `[1]`, `[null]`, `null`, `[{}`, `[{},]`, `[,{}]`, `[{}]x`, "[{\"a\":\"\xff\"}]",
	`[{"lines":[{"updated-at":"2024-03-01T00:00:00Z"},{"updated_at":"2024-03-01T00:00:00-08:00"},{"updated-at":7},[{"updated-at":null}]]}]`,
	`[{"a":"12345678\"12345678"}]`, `[{"id":1,"id":2}]`, `[{"a":1}{"b":2}]`,
	"\xef\xbb\xbf[{}]", "\xef\xbb[]", " \xef\xbb\xbf[]", "\xef\xbb\xbf\xef\xbb\xbf[]", "\xef", "[{\"\xc3\":\"\xc3\xa9\xed\xa0\x80\"}]",
}

// FuzzRows: a body passes exactly if encoding/json takes it
// for an array of objects, and its rows are encoding/json's.
func FuzzRows(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	for _, s := range malformed {
		f.Add([]byte("[" + s + "]"))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		want, valid := reference(body)
		got, err := split(bytes.NewReader(body))
		if (err == nil) != valid {
			t.Fatalf("error %v, encoding/json takes it: %t", err, valid)
		}
		small, smallErr := split(iotest.OneByteReader(bytes.NewReader(body)))
		if (smallErr == nil) != valid || len(small) != len(got) {
			t.Fatalf("in single bytes: %d rows and %v; in one piece: %d and %v", len(small), smallErr, len(got), err)
		}
		for i := range got {
			if valid && !bytes.Equal(got[i].text, want[i]) {
				t.Fatalf("row %d is %q, want %q", i, got[i].text, want[i])
			}
			if !json.Valid(got[i].text) || small[i].digest != got[i].digest || !small[i].linesAt.Equal(got[i].linesAt) || small[i].linesBad != got[i].linesBad {
				t.Fatalf("row %d: %q", i, got[i].text)
			}
		}
		for i := range got {
			if utf8.Valid(got[i].text) != (got[i].malformed == 0) || small[i].malformed != got[i].malformed {
				t.Fatalf("row %d: %d texts of %q are not UTF-8", i, got[i].malformed, got[i].text)
			}
		}
		if valid && len(got) != len(want) {
			t.Fatalf("%d rows, want %d", len(got), len(want))
		}
	})
}

// reference is what encoding/json makes of a body.
func reference(body []byte) ([]json.RawMessage, bool) {
	var rows []json.RawMessage
	body = bytes.TrimPrefix(body, byteOrderMark)
	if err := json.Unmarshal(body, &rows); err != nil || rows == nil {
		return nil, false
	}
	for _, r := range rows {
		if !bytes.HasPrefix(r, []byte("{")) {
			return nil, false
		}
	}
	return rows, true
}

// FuzzDigest: a row written anew with its keys in another
// order, other white space and added nulls has the same digest.
func FuzzDigest(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")), uint64(i))
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		text = bytes.TrimSpace(text)
		if !json.Valid(text) || text[0] != '{' {
			return
		}
		r := rand.New(rand.NewPCG(seed, 1))
		again := string(rewrite(r, text))
		if digest(t, string(text)) != digest(t, again) {
			t.Errorf("%s\nand %s\ndiffer in their digest", text, again)
		}
	})
}

// rewrite returns valid JSON with the members of its objects shuffled,
// nulls and white space strewn in. Scalars stay to the byte.
func rewrite(r *rand.Rand, text []byte) []byte {
	text = bytes.TrimSpace(text)
	if text[0] != '{' && text[0] != '[' {
		return text
	}
	var parts [][]byte
	for _, part := range elements(text) {
		if text[0] == '[' {
			parts = append(parts, rewrite(r, part))
			continue
		}
		key := part[:keyLength(part)]
		value := bytes.TrimSpace(part[len(key):])
		parts = append(parts, append(append(bytes.Clone(key), space(r)+":"+space(r)...), rewrite(r, value[1:])...))
	}
	if text[0] == '{' {
		if r.IntN(3) == 0 {
			parts = append(parts, []byte(`"added":null`))
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	}
	body := bytes.Join(parts, []byte(space(r)+","+space(r)))
	return append(append([]byte(string(text[0])+space(r)), body...), space(r)+string(text[len(text)-1])...)
}

func space(r *rand.Rand) string { return []string{"", "", " ", "\n\t", "\r\n"}[r.IntN(5)] }

// elements cuts the inside of a valid object or array at the commas of its own level.
func elements(text []byte) [][]byte {
	var parts [][]byte
	inside := text[1 : len(text)-1]
	depth, from := 0, 0
	for i := 0; i < len(inside); i++ {
		switch inside[i] {
		case '"':
			i += keyLength(inside[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				parts, from = append(parts, bytes.TrimSpace(inside[from:i])), i+1
			}
		}
	}
	if rest := bytes.TrimSpace(inside[from:]); len(rest) > 0 {
		parts = append(parts, rest)
	}
	return parts
}

// keyLength is the length of the string at the start of text, with its quotes.
func keyLength(text []byte) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}
