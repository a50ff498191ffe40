package schemas

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// histories is how many random runs a property gets: short, or, where the environment
// variable HISTORIES says more, one for each costs of what it says.
func histories(t testing.TB, costs, short int) int {
	t.Helper()
	text := os.Getenv("HISTORIES")
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("HISTORIES is %q, and should be a count", text)
	}
	return max(short, n/costs)
}

var unmappedModes = []UnmappedMode{UnmappedMap, UnmappedJSON, UnmappedOff}

// inShapes runs a test on random rows of every object, as often for each as histories says. A run has one
// of the decimal modes, one of the forms of custom fields ("map", "off", "typed") and one of unmapped. The
// short form takes every object through all modes, and each form with other objects. With HISTORIES=1350
// or more every object is in every mode with every form.
func inShapes(t *testing.T, forms []string, test func(t *testing.T, g rowMaker, path string, o Options)) {
	modes := []DecimalMode{DecimalPrecise, DecimalString, DecimalDouble}
	runs := histories(t, 50, len(modes))
	for i, path := range Objects() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for run := range runs {
				mode, form := run%len(modes), (i+run%len(modes)+run/len(modes))%len(forms)
				g := rowMaker{Rand: rand.New(rand.NewPCG(uint64(100*i+form), uint64(run))), custom: forms[form] != "off"}
				o := Options{Decimals: modes[mode], Unmapped: unmappedModes[(i/len(forms)+run+run/9)%3], WithoutCustomFields: forms[form] == "off"}
				if forms[form] == "typed" {
					o.Custom = g.taught(t, path)
				}
				test(t, g, path, o)
			}
		})
	}
}
