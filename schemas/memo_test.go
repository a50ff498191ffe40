package schemas

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/schemas/custom"
)

// A schema that a tenant's custom fields have outgrown is not kept.
func TestSchemasOfCustomFieldsAreKeptWhileTheyAreUsed(t *testing.T) {
	var keys []shape
	for i := range 20 {
		c := discovered(t, fmt.Sprintf(`{"memo-%d":1}`, i))
		keys = append(keys, shapeOf("users", Options{Custom: usersOf(t, c)}))
	}
	used, err := For("users", Options{Custom: usersOf(t, discovered(t, `{"memo-0":1}`))})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 20; i++ {
		if _, err := For("users", Options{Custom: usersOf(t, discovered(t, fmt.Sprintf(`{"memo-%d":1}`, i)))}); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for left := 1; left > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d schemas that nobody uses are kept", left)
		}
		runtime.GC()
		left = 0
		for _, key := range keys[1:] {
			if _, there := made.Load(key); there {
				left++
			}
		}
	}
	if again, err := For("users", Options{Custom: usersOf(t, discovered(t, `{"memo-0":1}`))}); err != nil || again != used {
		t.Errorf("the schema in use was made again (%v)", err)
	}
}

// usersOf gives the fields of an invoice to users.
func usersOf(t *testing.T, c *custom.Fields) *custom.Fields {
	t.Helper()
	of := new(custom.Fields)
	if err := json.Unmarshal([]byte(strings.Replace(mustMarshal(t, c), `"InvoiceHeader"`, `"User"`, 1)), of); err != nil {
		t.Fatal(err)
	}
	return of
}
