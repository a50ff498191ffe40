package config

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// mostCompared is how much of a name counts, in bytes: the time goes with the length, and no key is longer.
const mostCompared = 80

// nearest is the candidate that takes the fewest edits to become name, the first one of equals; letter case and the
// choice among '-', '_' and '.' cost nothing. "" when there are no candidates.
func nearest(name string, candidates []string) string {
	best, least := "", -1
	name = strings.ToValidUTF8(name[:min(len(name), mostCompared)], "")
	for _, c := range candidates {
		d := levenshtein.ComputeDistance(folded(name), folded(c))
		if least < 0 || d < least {
			best, least = c, d
		}
	}
	return best
}

// folded evens out what people commonly confuse in keys.
func folded(name string) string {
	return strings.NewReplacer("-", ".", "_", ".").Replace(strings.ToLower(name))
}
