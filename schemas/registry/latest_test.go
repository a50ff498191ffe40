package registry_test

import (
	"testing"

	"github.com/coupastream/coupastream/schemas/registry"
)

func TestLatestIsWhatWasRegisteredLast(t *testing.T) {
	fake, _ := strictRegistry(t)
	r := client(t, registry.Config{URLs: []string{fake.URL()}})
	if text, err := r.Latest(t.Context(), subject); text != "" || err != nil {
		t.Errorf("of a subject that is not there: %q, %v", text, err)
	}
	for _, schema := range []string{first, added} {
		if _, err := r.Register(t.Context(), subject, schema); err != nil {
			t.Fatal(err)
		}
		if text, err := r.Latest(t.Context(), subject); text != schema || err != nil {
			t.Errorf("%q, %v; want %q", text, err, schema)
		}
	}
	fake.Close()
	if _, err := r.Latest(t.Context(), subject); err == nil {
		t.Error("no registry, and no error")
	}
}
