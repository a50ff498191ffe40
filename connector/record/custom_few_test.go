package record

import (
	"strings"
	"testing"
)

func TestALineOfTheLogNamesAFewFields(t *testing.T) {
	many := []string{}
	for range 100 {
		many = append(many, "Supplier.custom-fields.region [string]")
	}
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{"a [string]", "b [long]"}, "a [string], b [long]"},
		{many, strings.TrimSuffix(strings.Repeat(many[0]+", ", 4), ", ") + " and 96 more"},
		{[]string{strings.Repeat("x", 300)}, "1, the first of which has a long name"},
	} {
		if got := few(test.names); got != test.want || len(got) > mostNamed {
			t.Errorf("got %s\nwant %s", got, test.want)
		}
	}
}
