package coupa

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// split returns the rows of a body, whose lines are called lines,
// copied, and the error at its end; nil where the body was whole.
func split(src io.Reader) ([]row, error) {
	return splitIn(src, &room{large: NewLargeRows(nil)}, defaultRowBytes)
}

// splitIn is split with a room.
func splitIn(src io.Reader, in *room, most int) ([]row, error) {
	r := newRows(context.Background(), src, in, most, "lines")
	defer r.release()
	if err := r.open(); err != nil {
		return nil, err
	}
	var all []row
	for {
		one, err := r.next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		one.text, one.id, one.updated = bytes.Clone(one.text), bytes.Clone(one.id), bytes.Clone(one.updated)
		all = append(all, one)
	}
}

func digest(t testing.TB, text string) uint64 {
	t.Helper()
	s := scanner{data: []byte(text)}
	d, err := s.row()
	if err != nil || s.pos != len(text) {
		t.Fatalf("scanning %s: %v after %d bytes", text, err, s.pos)
	}
	return d
}

func TestSameContentHasTheSameDigest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, a, b string
		same       bool
	}{
		{"order of keys", `{"a":1,"b":[2,{"c":3,"d":4}]}`, `{"b":[2,{"d":4,"c":3}],"a":1}`, true},
		{"white space", `{"a":1,"b":[2,3],"c":{}}`, "{ \"a\" :\t1 ,\r\n\"b\" : [ 2 , 3 ] , \"c\" : { } }", true},
		{"a null member is an absent one", `{"a":1}`, `{"b":null,"a":1}`, true},
		{"also further down", `{"a":{"x":1}}`, `{"a":{"x":1,"y":null}}`, true},
		{"all null is an empty object", `{"a":{}}`, `{"a":{"x":null}}`, true},
		{"an empty object is not absent", `{"a":{}}`, `{}`, false},
		{"another value", `{"a":1}`, `{"a":2}`, false},
		{"another key", `{"a":1}`, `{"b":1}`, false},
		{"a text is not a number", `{"a":1}`, `{"a":"1"}`, false},
		{"a text is not a literal", `{"a":true}`, `{"a":"true"}`, false},
		{"an empty text is not null", `{"a":""}`, `{"a":null}`, false},
		{"scale counts", `{"a":"1.0"}`, `{"a":"1.00"}`, false},
		{"values that change places", `{"a":1,"b":2}`, `{"a":2,"b":1}`, false},
		{"members that change places", `{"a":{"x":1},"b":{"y":2}}`, `{"a":{"y":2},"b":{"x":1}}`, false},
		{"order of elements", `{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{"an element's depth", `{"a":[[1],2]}`, `{"a":[1,[2]]}`, false},
		{"an element that is null", `{"a":[1,null]}`, `{"a":[1]}`, false},
		{"an empty array", `{"a":[]}`, `{"a":{}}`, false},
		{"the same element twice", `{"a":[1,1]}`, `{"a":[1]}`, false},
		{"the same object twice", `{"a":[{"x":1},{"x":1}]}`, `{"a":[{"x":1}]}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if same := digest(t, tt.a) == digest(t, tt.b); same != tt.same {
				t.Errorf("%s and %s: same digest %t, want %t", tt.a, tt.b, same, tt.same)
			}
		})
	}
}

// The digest is kept in checkpoints: another one makes every row of the look-back look new after an upgrade.
func TestDigestIsPinned(t *testing.T) {
	t.Parallel()
	const text = `{"id":7,"updated-at":"2024-03-01T00:00:00-08:00","total":"1.50","paid":false,"rate":-1.5e3,"lines":[{"id":1},null,[]],"note":"\u00e9\n"}`
	if got := digest(t, text); got != 0x4db7bb743496642 {
		t.Errorf("digest %#x", got)
	}
}

// Texts that differ in a bit, a place or their length are what a digest must tell apart.
func TestDigestsOfTextsSpread(t *testing.T) {
	t.Parallel()
	seen := map[uint64]string{}
	note := func(text []byte) {
		d := digestOf(text, tagString)
		if other, ok := seen[d]; ok && other != string(text) {
			t.Fatalf("%q and %q have one digest", other, text)
		}
		seen[d] = string(text)
	}
	for n := range 70 {
		text := bytes.Repeat([]byte("0"), n)
		note(text)
		was, flips := digestOf(text, tagString), 0
		for bit := range 8 * n {
			text[bit/8] ^= 1 << (bit % 8)
			note(text)
			flipped := bits.OnesCount64(was ^ digestOf(text, tagString))
			if flips += flipped; flipped < 8 {
				t.Errorf("bit %d of %d bytes flips %d bits", bit, n, flipped)
			}
			text[bit/8] ^= 1 << (bit % 8)
		}
		if n > 0 && (flips < 28*8*n || flips > 36*8*n) {
			t.Errorf("a bit of %d bytes flips %d bits of the digest on average", n, flips/(8*n))
		}
	}
	for i := range 100_000 {
		note(strconv.AppendInt(nil, int64(i), 10))
		note(fmt.Appendf(nil, "%d.%02d", i/100, i%100))
	}
}

var malformed = []string{
	`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{"a" 1}`, `{a:1}`, `{1:1}`, `{"a":1]`, `{"a":[1}`, `{"a":[1,]}`, `{"a":[,1]}`,
	`{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":1e+}`, `{"a":+1}`, `{"a":0x1}`, `{"a":NaN}`, `{"a":nul}`, `{"a":True}`, `{"a":truee}`,
	`{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\u12"}`, "{\"a\":\"\n\"}", "{\"a\":\"1234567\x1f\"}", `{"a":'b'}`, `{"a":"b}`, `{"a":1}}`, "{\"a\":\u00a01}", "{\x00}", `{"a":1}x`,
}

func TestMalformedRowsAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range malformed {
		if json.Valid([]byte(text)) {
			t.Fatalf("%q is valid", text)
		}
		if _, err := split(strings.NewReader("[" + text + "]")); err == nil {
			t.Errorf("[%s] passed", text)
		}
	}
}

func TestWellFormedRowsPass(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, `{ }`, `{"a":[]}`, `{"a":[ ]}`, `{"":""}`, `{"a":-0}`, `{"a":0.10}`, `{"a":1E-5}`, `{"a":-12.5e+07}`, `{"a":"\"\\\/\b\f\n\r\t\u00Ff"}`,
		"{\"a\":\"\x7f\"}", `{"a":"ééééééééé€😀"}`, "{\"a\":\"\xff\xfe\"}", `{"a":null,"a":true,"b":false}`, strings.Repeat(`{"a":[`, 4000) + strings.Repeat(`]}`, 4000),
	} {
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is not valid", text)
		}
		for _, src := range []io.Reader{strings.NewReader("[" + text + "]"), iotest.DataErrReader(strings.NewReader("[" + text + "]"))} {
			got, err := split(src)
			if err != nil || len(got) != 1 || string(got[0].text) != text {
				t.Errorf("[%.100s]: %d rows, %v", text, len(got), err)
			}
		}
	}
}

func TestRowsNestNoDeeperThanJSONMay(t *testing.T) {
	t.Parallel()
	deep := `[` + strings.Repeat(`{"a":`, 20000) + `1` + strings.Repeat(`}`, 20000) + `]`
	if _, err := split(strings.NewReader(deep)); err == nil {
		t.Error("20,000 levels passed")
	}
}

func TestNewestLineIsFound(t *testing.T) {
	t.Parallel()
	const none = "0001-01-01T00:00:00Z"
	tests := []struct {
		name, text string
		want       string // nothing: some line's updated-at is no instant
	}{
		{"with hyphens", `{"order-lines":[{"id":1,"updated-at":"2024-03-01T00:00:00Z"}]}`, "2024-03-01T00:00:00Z"},
		{"with underscores", `{"order_lines":[{"updated_at":"2024-03-01T00:00:00Z"}]}`, "2024-03-01T00:00:00Z"},
		{"the newest is first", `{"order-lines":[{"updated-at":"2024-03-02T00:00:00Z"},{"updated-at":"2024-03-01T00:00:00Z"}]}`, "2024-03-02T00:00:00Z"},
		{"the newest is last", `{"order-lines":[{"updated-at":"2024-03-01T00:00:00Z"},{"updated-at":"2024-03-02T00:00:00Z"}]}`, "2024-03-02T00:00:00Z"},
		{"the newest is between equal ones", `{"order-lines":[{"updated-at":"2024-03-01T00:00:00Z"},{"updated-at":"2024-03-02T00:00:00Z"},{"updated-at":"2024-03-01T00:00:00Z"}]}`, "2024-03-02T00:00:00Z"},
		{"the newest as an instant, not as text", `{"order-lines":[{"updated-at":"2024-03-10T03:00:00-07:00"},{"updated-at":"2024-03-10T01:59:59-08:00"}]}`, "2024-03-10T10:00:00Z"},
		{"white space", `{ "order-lines" : [ { "updated-at" : "2024-03-01T00:00:00Z" } ] }`, "2024-03-01T00:00:00Z"},
		{"no such collection", `{"invoice-lines":[{"updated-at":"2024-03-01T00:00:00Z"}]}`, none},
		{"no lines", `{"order-lines":[]}`, none},
		{"null instead of lines", `{"order-lines":null}`, none},
		{"lines that are not stamped", `{"order-lines":[{"id":1},{"updated-at":null},{"updated-at":""},null,7,[]]}`, none},
		{"one that is stamped", `{"order-lines":[{"updated-at":null},{"updated-at":"2024-03-01T00:00:00Z"},{}]}`, "2024-03-01T00:00:00Z"},
		{"the row's own stamp does not count", `{"updated-at":"2024-03-01T00:00:00Z","order-lines":[{}],"updated_at":"2024-03-01T00:00:00Z"}`, none},
		{"nor one further down", `{"order-lines":[{"item":{"updated-at":"2024-03-01T00:00:00Z"},"taxes":[{"updated-at":"2024-03-01T00:00:00Z"}]}]}`, none},
		{"nor one inside another list", `{"order-lines":[[{"updated-at":"2024-03-01T00:00:00Z"}]]}`, none},
		{"nor one of an object in the collection's place", `{"order-lines":{"a":{"updated-at":"2024-03-01T00:00:00Z"}}}`, none},
		{"nor one of a collection of that name further down", `{"contract":{"order-lines":[{"updated-at":"2024-03-01T00:00:00Z"}]}}`, none},
		{"nor one of the collection after it", `{"order-lines":[{}],"comments":[{"updated-at":"2024-03-01T00:00:00Z"}]}`, none},
		{"no instant", `{"order-lines":[{"updated-at":"2024-03-01T00:00:00Z"},{"updated-at":"2024-03-32T00:00:00Z"}]}`, ""},
		{"no instant, twice", `{"order-lines":[{"updated-at":17},{"updated-at":17},{"updated-at":"2024-03-01T00:00:00Z"}]}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scanner{data: []byte(tt.text), lines: lineStamps{name: "order_lines"}}
			d, err := s.row()
			if err != nil || d != digest(t, tt.text) {
				t.Errorf("%v, digest %x, want %x", err, d, digest(t, tt.text))
			}
			if got := s.lines.newest.Format(time.RFC3339); s.lines.invalid != (tt.want == "") || !s.lines.invalid && got != tt.want {
				t.Errorf("got %s, invalid %t; want %q", got, s.lines.invalid, tt.want)
			}
			s = scanner{data: []byte(tt.text)}
			if _, err := s.row(); err != nil || !s.lines.newest.IsZero() || s.lines.invalid {
				t.Errorf("without a collection: %s, %t, %v", s.lines.newest, s.lines.invalid, err)
			}
		})
	}
}

func TestScanningAllocatesNothing(t *testing.T) {
	text := []byte(`{"id":1,"updated-at":"2024-03-01T00:00:00Z","order-lines":[{"updated-at":"2024-03-10T03:00:00-07:00"},{"updated-at":"2024-03-10T01:59:59-08:00"}]}`)
	if n := testing.AllocsPerRun(100, func() {
		s := scanner{data: text, lines: lineStamps{name: "order_lines"}}
		if _, err := s.row(); err != nil || s.lines.newest.IsZero() {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever the pieces that a body arrives in, and wherever the buffer ends, the rows are the same.
func TestPiecesDoNotMatter(t *testing.T) {
	t.Parallel()
	histories(t, piecesDoNotMatter)
}

func piecesDoNotMatter(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(7, seed))
	var body strings.Builder
	var want []string
	for i := range 60 {
		size := 10 + r.IntN(3000)
		if i%20 == 7 {
			size = 300_000
		}
		text := `{"id":` + strconv.Itoa(i+1) + `,"updated-at":"2024-01-01T00:00:00Z","lines":[{"updated-at":"2024-01-02T00:00:00Z"}],"text":"` + strings.Repeat(`x\n`, size/3) + `"}`
		body.WriteString(map[bool]string{true: "[ ", false: " ,\n"}[i == 0] + text)
		want = append(want, text)
	}
	body.WriteString("\n]\n")
	whole, err := split(strings.NewReader(body.String()))
	if err != nil || len(whole) != len(want) {
		t.Fatalf("%d rows: %v", len(whole), err)
	}
	for i, one := range whole {
		if string(one.text) != want[i] || string(one.id) != strconv.Itoa(i+1) || string(one.updated) != `"2024-01-01T00:00:00Z"` || bound(one.linesAt) != "2024-01-02T00:00:00Z" || one.digest != digest(t, want[i]) {
			t.Fatalf("row %d: id %s, updated %s", i, one.id, one.updated)
		}
	}
	for _, src := range []io.Reader{
		iotest.OneByteReader(strings.NewReader(body.String())),
		iotest.HalfReader(strings.NewReader(body.String())),
		iotest.DataErrReader(strings.NewReader(body.String())),
		pieces{strings.NewReader(body.String()), r},
	} {
		got, err := split(src)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%T: %d rows, %v", src, len(got), err)
		}
		for i := range got {
			if !bytes.Equal(got[i].text, whole[i].text) || got[i].digest != whole[i].digest || !got[i].linesAt.Equal(whole[i].linesAt) {
				t.Fatalf("%T: row %d differs", src, i)
			}
		}
	}
}

type pieces struct {
	src io.Reader
	r   *rand.Rand
}

func (p pieces) Read(b []byte) (int, error) { return p.src.Read(b[:min(len(b), p.r.IntN(5000))]) }

func TestEveryCutIsNoticed(t *testing.T) {
	t.Parallel()
	body := ` [ {"id":1,"a":[true,null,-1.5e2,"\u00e9"]} , {"id":2} ]`
	for n := range len(body) {
		if _, err := split(strings.NewReader(body[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", body[:n], err)
		}
	}
}

func TestMemoryIsBoundedByTheLargestRow(t *testing.T) {
	t.Parallel()
	text := `{"id":1,"text":"` + strings.Repeat("x", 2000) + `"}`
	body := "[" + strings.Repeat(text+",", 10_000) + text + "]"
	r := newRows(t.Context(), strings.NewReader(body), &room{large: NewLargeRows(nil)}, defaultRowBytes, "")
	if err := r.open(); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, err = r.next()
	}
	if err != io.EOF || len(r.buf) != firstBuffer {
		t.Errorf("a page of %d bytes took a buffer of %d (%v)", len(body), len(r.buf), err)
	}
}

func TestInstants(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want string // nothing: refused
	}{
		{`"2024-03-10T01:59:59-08:00"`, "2024-03-10T09:59:59Z"},
		{`"2024-03-10T03:00:00-07:00"`, "2024-03-10T10:00:00Z"},
		{`"2024-02-29T23:30:00+05:45"`, "2024-02-29T17:45:00Z"},
		{`"2000-02-29T00:00:00Z"`, "2000-02-29T00:00:00Z"},
		{`"0001-01-01T00:00:01Z"`, "0001-01-01T00:00:01Z"},
		{`"0000-02-29T00:00:00Z"`, "0000-02-29T00:00:00Z"},
		{`"9999-12-31T23:59:59Z"`, "9999-12-31T23:59:59Z"},
		{`"2100-02-29T00:00:00Z"`, ""},
		{`"2024-04-31T00:00:00Z"`, ""},
		{`"2024-12-31T23:59:59Z"`, "2024-12-31T23:59:59Z"},
		{`"1999-01-01T00:00:00+14:00"`, "1998-12-31T10:00:00Z"},
		{`"2024-01-01T00:00:00.999Z"`, "2024-01-01T00:00:00Z"},
		{`"2024-01-01T00:00:00.123456-08:00"`, "2024-01-01T08:00:00Z"},
		{`null`, "0001-01-01T00:00:00Z"},
		{`""`, "0001-01-01T00:00:00Z"},
		{``, "0001-01-01T00:00:00Z"},
		{`"2023-02-29T00:00:00Z"`, ""},
		{`"2024-13-01T00:00:00Z"`, ""},
		{`"2024-01-01T24:00:00Z"`, ""},
		{`"2024-01-01T00:60:00Z"`, ""},
		{`"2024-01-01T00:00:00"`, ""},
		{`"2024-01-01 00:00:00Z"`, ""},
		{`"2024-01-01T00:00:00+0100"`, ""},
		{`"2024-01-01T00:00:00*01:00"`, ""},
		{`"2024-01-01"`, ""},
		{`"-"`, ""},
		{`{}`, ""},
		{`17`, ""},
	}
	for _, tt := range tests {
		got, ok := parseInstant([]byte(tt.text))
		if ok != (tt.want != "") || ok && got.Format(time.RFC3339Nano) != tt.want {
			t.Errorf("%s: %s, %t; want %q", tt.text, got, ok, tt.want)
		}
	}
}

func TestInstantsAgreeWithTheStandardLibrary(t *testing.T) {
	t.Parallel()
	histories(t, func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(3, seed))
		for range 5000 {
			zone := time.FixedZone("", (r.IntN(2*14*60)-14*60)*60)
			want := time.Unix(r.Int64N(4e9), 0).In(zone)
			got, ok := fastInstant([]byte(want.Format(time.RFC3339)))
			if !ok || !got.Equal(want) {
				t.Fatalf("%s: %s, %t", want.Format(time.RFC3339), got, ok)
			}
		}
	})
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		`1`: 1, `"12"`: 12, `999999999999999999`: 999999999999999999,
		`0`: 0, `-1`: 0, `1.0`: 0, `1e3`: 0, `""`: 0, `"a"`: 0, `null`: 0, `true`: 0, `9223372036854775808`: 0, ``: 0, `{}`: 0,
	} {
		if got, ok := parseID([]byte(text)); ok != (want > 0) || ok && got != want {
			t.Errorf("%s: %d, %t; want %d", text, got, ok, want)
		}
	}
}
