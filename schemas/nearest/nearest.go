// Package nearest finds what was probably meant by a name that is not known: a key, a field, an object.
package nearest

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// mostCompared is how much of a name counts, in bytes: the time goes with
// the length, names come over REST, and none that is known is longer.
const mostCompared = 80

// Of is the candidate that takes the fewest edits to become name, the first
// one of equals; letter case, and the choice among the characters of alike,
// cost nothing: what people commonly confuse. "" where none is near: a name of
// which more than a third is to be changed was not meant.
func Of(name string, candidates []string, alike string) string {
	folded := func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(alike, r) {
				return '-'
			}
			return r
		}, strings.ToLower(s))
	}
	best, least := "", -1
	name = folded(strings.ToValidUTF8(name[:min(len(name), mostCompared)], ""))
	for _, c := range candidates {
		if d := levenshtein.ComputeDistance(name, folded(c)); least < 0 || d < least {
			best, least = c, d
		}
	}
	if 3*least > max(len(name), len(best), 3) {
		return ""
	}
	return best
}
