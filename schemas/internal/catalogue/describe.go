package catalogue

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// fixedDocs are of fields that mean the same in every object.
var fixedDocs = map[string]string{
	"id":         "Coupa's id.",
	"created-at": "When it was created.",
	"updated-at": "When it was last changed.",
	"created-by": "Who created it",
	"updated-by": "Who changed it last",
}

// doc says what a field holds: what selection.yaml says, else
// what follows from its name and from what Coupa describes of it.
func (d *drafter) doc(object, field string, typ schematext.Type) string {
	if doc := d.choice.Docs[object+"."+field]; doc != "" {
		return doc
	}
	what := fixedDocs[field]
	if strings.HasSuffix(what, ".") {
		return what
	}
	if what == "" {
		what = sentence(field)
	}
	kind, target, association := strings.Cut(d.objects[object][field], ":")
	if association {
		return d.docOfAssociation(what, kind == "array", d.full[object+"."+field], target)
	}
	v := d.values[object][field]
	switch {
	case typ.Name == "boolean":
		return what + "; true or false."
	case typ.Logical == "date":
		return what + "; the calendar day that Coupa shows."
	case typ.Logical == "timestamp-millis":
		return what + "; an instant."
	case typ.Name == "string" && len(v.Values) > 0:
		return what + "; known values: " + strings.Join(v.Values, ", ") + "."
	case typ.Name == "string" && v.Max > 0:
		return fmt.Sprintf("%s; at most %d characters.", what, v.Max)
	}
	return what + "."
}

func (d *drafter) docOfAssociation(what string, many, full bool, target string) string {
	shown := "in full"
	if !full {
		shown = strings.Join(d.identity(target), ", ")
	}
	if many {
		shown += " of each"
		if full {
			shown = "each in full"
		}
	}
	return what + ": " + shown + "."
}

// spelled are words of Coupa's names that are written otherwise in a text.
var spelled = map[string]string{
	"api": "API", "ap": "AP", "asn": "ASN", "cxml": "cXML", "edi": "EDI", "erp": "ERP", "gl": "GL", "iban": "IBAN", "ip": "IP", "po": "PO", "sku": "SKU", "sso": "SSO", "swift": "SWIFT",
	"uom": "UOM", "url": "URL", "vat": "VAT", "xml": "XML",
}

// sentence turns a name of Coupa's into the beginning of a sentence: "po-number" into "PO number".
func sentence(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' })
	for i, w := range words {
		if s, ok := spelled[w]; ok {
			words[i] = s
		}
	}
	text := []rune(strings.Join(words, " "))
	if len(words) == 0 || spelled[strings.ToLower(words[0])] == words[0] {
		return string(text)
	}
	text[0] = unicode.ToUpper(text[0])
	return string(text)
}
