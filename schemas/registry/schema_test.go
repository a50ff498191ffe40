package registry_test

import (
	"testing"

	"github.com/coupastream/coupastream/schemas/registry"
)

func TestASchemaIsFoundByItsID(t *testing.T) {
	fake, _ := strictRegistry(t)
	r := client(t, registry.Config{URLs: []string{fake.URL()}})
	id, err := r.Register(t.Context(), subject, first)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := r.Schema(t.Context(), id); text != first || err != nil {
		t.Errorf("%q, %v; want %q", text, err, first)
	}
	if _, err := r.Schema(t.Context(), id+100); err == nil {
		t.Error("an id that no schema has, and no error")
	}
}
