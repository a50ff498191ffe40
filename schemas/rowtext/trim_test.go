package rowtext

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTrimCutsTheLongestTextsToOneLengthAndNothingElse(t *testing.T) {
	t.Parallel()
	long, longer, short := strings.Repeat("a", 1000), strings.Repeat("b", 3000), strings.Repeat("c", 90)
	row := []byte(`{"id":7, "total":"1` + strings.Repeat("0", 60) + `.00","note":"` + long + `","lines":[{"id":1,"text":"` + short + `"},{"id":2,"text":"` + longer + `"}], "x":null}`)
	for _, c := range []struct {
		excess int
		cuts   []Cut
	}{
		{1, []Cut{{"lines[1].text", 3000, 2999}}},
		{2000, []Cut{{"lines[1].text", 3000, 1000}}},
		{2200, []Cut{{"note", 1000, 900}, {"lines[1].text", 3000, 900}}},
		{3800, []Cut{{"note", 1000, 100}, {"lines[1].text", 3000, 100}}},
		{9999, []Cut{{"note", 1000, 100}, {"lines[1].text", 3000, 100}}},
	} {
		got, cuts, err := Trim(row, c.excess)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(cuts, c.cuts) {
			t.Errorf("less %d bytes: %v, want %v", c.excess, cuts, c.cuts)
		}
		want := string(row)
		for _, cut := range c.cuts {
			letter := map[int]string{1000: "a", 3000: "b"}[cut.Bytes]
			want = strings.Replace(want, strings.Repeat(letter, cut.Bytes), strings.Repeat(letter, cut.Kept), 1)
		}
		if string(got) != want {
			t.Errorf("less %d bytes: the row is\n%.300s", c.excess, got)
		}
	}
	if got, cuts, err := Trim([]byte(`{"id":7,"note":"`+short+`"}`), 50); err != nil || len(cuts) > 0 || len(got) != len(short)+18 {
		t.Errorf("a row of short texts: %s, %v, %v", got, cuts, err)
	}
	if _, _, err := Trim([]byte(`{"id":7,"note":"`+long), 50); err == nil {
		t.Error("half a row was trimmed")
	}
}

func FuzzTrim(f *testing.F) {
	f.Add(`{"a":"`+strings.Repeat(`\ud83d\ude00`, 40)+`"}`, 17)
	f.Add(`{"a":["`+strings.Repeat(`é\n\u00e9😀`, 40)+`",{"b":"`+strings.Repeat("x", 400)+`"}]}`, 333)
	f.Add(`{"a":"`+strings.Repeat(`\ud83d`, 40)+strings.Repeat("\xff", 99)+`"}`, 1)
	f.Fuzz(func(t *testing.T, row string, excess int) {
		if excess < 0 || excess > 1<<20 {
			return
		}
		got, cuts, err := Trim([]byte(row), excess)
		if err != nil {
			return
		}
		var before, after any
		if json.Unmarshal([]byte(row), &before) != nil {
			return // something follows the row
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%v: %q", err, got)
		}
		removed := 0
		for _, c := range cuts {
			removed += c.Bytes - c.Kept
			if c.Kept >= c.Bytes || c.Kept > 0 && c.Kept < ShortText-12 {
				t.Errorf("%+v", c)
			}
		}
		if removed != len(row)-len(got) {
			t.Errorf("the cuts tell of %d bytes, %d are gone", removed, len(row)-len(got))
		}
		prefix(t, before, after)
	})
}

// prefix fails unless after is before with some of its texts shortened between two characters.
func prefix(t *testing.T, before, after any) {
	switch b := before.(type) {
	case string:
		a, ok := after.(string)
		if !ok || !strings.HasPrefix(b, a) || !utf8.ValidString(a) {
			t.Errorf("%q became %q", before, after)
		}
	case map[string]any:
		a, ok := after.(map[string]any)
		if !ok || len(a) != len(b) {
			t.Fatalf("%v became %v", before, after)
		}
		for k := range b {
			prefix(t, b[k], a[k])
		}
	case []any:
		a, ok := after.([]any)
		if !ok || len(a) != len(b) {
			t.Fatalf("%v became %v", before, after)
		}
		for i := range b {
			prefix(t, b[i], a[i])
		}
	default:
		if !reflect.DeepEqual(before, after) {
			t.Errorf("%v became %v", before, after)
		}
	}
}
