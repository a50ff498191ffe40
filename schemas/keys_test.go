package schemas

import (
	"fmt"
	"strings"
	"testing"
)

// Keys of all lengths are found, and those that have one length and one beginning and end, so one hash.
func TestKeysLeadToTheirFields(t *testing.T) {
	t.Parallel()
	var table keyTable
	if _, known := table.find([]byte("id")); known {
		t.Error("a table without keys knows one")
	}
	var keys []string
	for n := range 40 {
		keys = append(keys, strings.Repeat("k", n))
	}
	for n := range 300 {
		keys = append(keys, fmt.Sprintf("the-same-%03d-the-same", n))
	}
	for i, key := range keys {
		if _, known := table.find([]byte(key)); known {
			t.Fatalf("%q is known before it is there", key)
		}
		table.add(key, keyMatch{field: i, twin: i%2 == 0})
	}
	for i, key := range keys {
		if m, known := table.find([]byte(key)); !known || m.field != i || m.twin != (i%2 == 0) {
			t.Errorf("%q leads to %+v, %t, not to field %d", key, m, known, i)
		}
	}
}
