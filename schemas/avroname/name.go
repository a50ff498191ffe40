// Package avroname makes Avro names of Coupa's. It is a leaf: it imports nothing of ours.
package avroname

import (
	"fmt"
	"strings"
)

// Fields gives the Avro names of the fields of one record,
// in the order of their Coupa names. The rules, in turn:
//
//  1. A hyphen becomes an underscore: invoice-number → invoice_number.
//  2. A trailing run of other characters that Avro does not know is cut (Coupa
//     ends the name of a question with one): show-tax-information? →
//     show_tax_information. Elsewhere each such character becomes an underscore.
//  3. A name that begins with a digit, or of which nothing is
//     left, gets an underscore in front: 1099-type → _1099_type.
//  4. A name that an earlier one has taken gets the lowest number from 2 on that makes it unique:
//     is-default, is-default? → is_default, is_default__2.
//
// So the same names in the same order always give the same fields, and names put after them change none of
// them: a later version of a schema may add fields only behind the ones that could claim the same name.
func Fields(coupa []string) []string {
	names := make([]string, len(coupa))
	taken := make(map[string]bool, len(coupa))
	for i, c := range coupa {
		base := Of(c)
		name := base
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s__%d", base, n)
		}
		names[i], taken[name] = name, true
	}
	return names
}

// Of gives the Avro name of one name of Coupa's, by rules 1 to 3 of Fields: that of a
// field which has no other beside it, or of the record of an object: Asn-Header → Asn_Header.
func Of(coupa string) string {
	name := strings.TrimRightFunc(coupa, func(r rune) bool { return r != '-' && !avroRune(r) })
	name = strings.Map(func(r rune) rune {
		if avroRune(r) {
			return r
		}
		return '_'
	}, name)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	return name
}

// avroRune tells whether an Avro name may hold the character (a digit not at its start).
func avroRune(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
