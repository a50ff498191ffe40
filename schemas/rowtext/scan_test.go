package rowtext

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// A text that goes on for any number of words of eight bytes, with anything special at
// any place of it, reads as encoding/json reads it.
func TestTextsOfAllLengths(t *testing.T) {
	t.Parallel()
	for _, special := range []string{"", `\"`, `\\`, `\u00e9`, `\ud83d\ude80`, `\ud83d`, "é", "\x7f", "\xff", "\x1f", "\n", `\x`, `\u12g4`} {
		for length := range 20 {
			for at := range length + 1 {
				for _, behind := range []string{"", `,"next":"value"}`} {
					body := strings.Repeat("a", at) + special + strings.Repeat("b", length-at)
					row := `"` + body + `"`
					var want string
					wrong := json.Unmarshal([]byte(row), &want)
					s := Scanner{Row: []byte(row + behind)}
					got, err := s.Text()
					if (err == nil) != (wrong == nil) || err == nil && (string(got) != want || s.Pos != len(row)) {
						t.Fatalf("%q with %q behind it: %q, %v at %d; encoding/json: %q, %v", row, behind, got, err, s.Pos, want, wrong)
					}
					s = Scanner{Row: []byte(row + behind)}
					_, plain, err := s.Quoted()
					if err == nil && plain != (!strings.Contains(body, `\`) && utf8.ValidString(body)) {
						t.Fatalf("%q with %q behind it: plain is %t", row, behind, plain)
					}
				}
			}
		}
	}
}

func TestTextsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	for length := range 20 {
		s := Scanner{Row: []byte(`"` + strings.Repeat("a", length))}
		if _, err := s.Text(); err == nil || !strings.Contains(err.Error(), "too early") {
			t.Errorf("%s: %v", s.Row, err)
		}
	}
}
