package schemas

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// histories is how many random runs a property gets: short, or the count in the environment variable HISTORIES.
func histories(t testing.TB, short int) int {
	t.Helper()
	text := os.Getenv("HISTORIES")
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("HISTORIES is %q, and should be a count", text)
	}
	return n
}

// inShapes runs a test of random rows of every object, each in as many shapes as histories says: in the
// decimal modes in turn, with its custom fields in one of the forms ("map", "off", "typed"). The short
// form has each object in every mode, and every mode with each form of some objects; from three times
// as many runs as there are forms on, each object is in every shape.
func inShapes(t *testing.T, forms []string, test func(t *testing.T, g rowMaker, path string, o Options)) {
	modes := []DecimalMode{DecimalPrecise, DecimalString, DecimalDouble}
	runs := histories(t, len(modes))
	for i, path := range Objects() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for run := range runs {
				mode, form := run%len(modes), (i+run%len(modes)+run/len(modes))%len(forms)
				g := rowMaker{Rand: rand.New(rand.NewPCG(uint64(100*i+form), uint64(run))), custom: forms[form] != "off"}
				o := Options{Decimals: modes[mode], WithoutCustomFields: forms[form] == "off"}
				if forms[form] == "typed" {
					o.Custom = g.taught(t, path)
				}
				test(t, g, path, o)
			}
		})
	}
}
