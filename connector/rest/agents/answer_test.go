package agents

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAnswersAreWithinBounds(t *testing.T) {
	const noted = 100 // bytes of what says that something is left out
	long := func(n int) string {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(`{"id": %d, "of": [1, 2, 3]}`, i)
		}
		return `{"b": "first", "a": [` + strings.Join(items, ",") + `]}`
	}
	for _, c := range []struct {
		name, text string
		most       int
		want       string // "": it is as long as it may be, at most
		json       bool
	}{
		{"what fits stays in its order, without white space", "{\"b\": 12345678901234567890,\n \"a\": [ 1 ]}\n", 100, `{"b":12345678901234567890,"a":[1]}`, true},
		{"several values", "{\"a\": 1}\n\"and a word\"\n", 100, "{\"a\":1}\n\"and a word\"", false},
		{"nothing", "", 100, "", false},
		{"text", "plain text", 100, "plain text", false},
		{"a list that is too long says how many items are missing", `{"a": [1, 2, 3, 4, 5], "b": "` + strings.Repeat("x", 20) + `", "c": [` + strings.Repeat("1,", 100) + `1]}`, 150,
			`{"a":[1,2,3,4,5],"b":"xxxxxxxxxxxxxxxxxxxx","c":[1,1,1,1,1,1,1,1,1,1,"… 91 more, left out because the answer is too long; ask for less"]}`, true},
		{"a list that is shortened several times", long(5000), 1000, "", true},
		{"what no list makes long", `"` + strings.Repeat("ö", 1000) + `"`, 201, "", false},
		{"text that is cut within a letter", strings.Repeat("ö", 1000), 201, "", false},
		{"bytes that are no text", strings.Repeat("a\xff", 1000), 201, "", false},
	} {
		got := within([]byte(c.text), c.most)
		if c.want != "" && got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
		if len(got) > c.most+noted || !utf8.ValidString(got) {
			t.Errorf("%s: %d bytes: %s", c.name, len(got), got)
		}
		if c.want == "" && c.text != "" && !strings.Contains(got, "; ask for less") {
			t.Errorf("%s: nothing says that something is missing: %s", c.name, got)
		}
		if c.json && !json.Valid([]byte(got)) {
			t.Errorf("%s: not JSON: %s", c.name, got)
		}
	}
	if got := within([]byte(long(5000)), 1000); !strings.Contains(got, `"… 4970 more`) && !strings.Contains(got, `"… 4990 more`) {
		t.Errorf("what is missing is not counted from the beginning: %s", got)
	}
}
