package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestEveryDeclarationIsSound(t *testing.T) {
	sound(t, workerSettings())
	sound(t, connectorSettings())
	sound(t, objectSettings())
	for _, keys := range [][]Key{WorkerKeys(), ConnectorKeys()} {
		seen := map[string]bool{}
		for _, k := range keys {
			if seen[k.Name] {
				t.Errorf("%s is declared twice", k.Name)
			}
			seen[k.Name] = true
		}
	}
}

// sound assigns defaults, and checks what the reference needs.
func sound[T any](t *testing.T, settings []setting[T]) {
	t.Helper()
	for _, s := range settings {
		if f := s.assign(new(T), s.Default); s.Default != "" && f != nil {
			t.Errorf("%s: the default %q is refused: %s", s.Name, s.Default, f.message)
		}
		if s.Doc == "" || !strings.HasSuffix(s.Doc, ".") || strings.Contains(s.Doc, "|") {
			t.Errorf("%s: the documentation must be sentences without a bar: %q", s.Name, s.Doc)
		}
		if s.Required && s.Example == "" {
			t.Errorf("%s: a required key needs an example for its remedy", s.Name)
		}
	}
}

// TestDefaultsAndRefusalsAreThePublishedOnes pins what users rely on, for every key there is.
func TestDefaultsAndRefusalsAreThePublishedOnes(t *testing.T) {
	var b strings.Builder
	publish(&b, "worker", workerSettings())
	publish(&b, "connector", connectorSettings())
	publish(&b, "object", objectSettings())
	golden(t, "testdata/keys.golden", b.String())
}

// publish writes the default of each key, and what is said to values that hardly any key takes.
func publish[T any](b *strings.Builder, kind string, settings []setting[T]) {
	for _, s := range settings {
		fmt.Fprintf(b, "%s %s = %s\n", kind, s.Name, s.Default)
		for _, odd := range []string{"", "-1", "x y", "99999999999999999999"} {
			if f := s.assign(new(T), odd); f != nil {
				fmt.Fprintf(b, "\t%q: %s; %s\n", odd, f.message, f.remedy)
			}
		}
	}
}

func TestReferenceShowsEveryKey(t *testing.T) {
	reference := Reference()
	for _, k := range append(WorkerKeys(), ConnectorKeys()...) {
		if !strings.Contains(reference, "| `"+k.Name+"` |") {
			t.Errorf("%s is missing", k.Name)
		}
	}
}
