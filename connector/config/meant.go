package config

import (
	"strings"

	"github.com/coupastream/coupastream/connector/config/internal/foreign"
	"github.com/coupastream/coupastream/schemas/nearest"
)

// meant is the remedy for a name that is not known: the one
// that was probably meant, or else where the known ones are.
func meant(name string, known []string, otherwise string) string {
	if near := nearest.Of(name, known, keyMarks); near != "" {
		return "did you mean " + near + "?"
	}
	return otherwise
}

// otherNames are objects by what other systems call them.
var otherNames = map[string]string{
	"vendor": "suppliers", "bill": "invoices", "po": "purchase_orders", "order": "purchase_orders", "expense": "expense_reports", "employee": "users",
}

// objectMeant is the object that was probably meant by a name that is none's; "": not known.
func objectMeant(name string) string {
	if known := otherNames[strings.ToLower(strings.TrimSuffix(name, "s"))]; known != "" {
		return known
	}
	return nearest.Of(name, catalogue(), keyMarks)
}

// unknownKey says what is wrong with a key that is not one of known.
func unknownKey(name string, known []string) *fault {
	if instead := foreign.Instead(name); instead != "" {
		return &fault{"a key of other connectors", instead}
	}
	if near := nearest.Of(name, known, keyMarks); near != "" {
		return &fault{"unknown key", "the nearest one is " + near}
	}
	return &fault{"unknown key", "coupastream config lists all"}
}

// UnknownKey says the same of a key of neither kind of file.
func UnknownKey(name string) string {
	known, _ := connectorNames()
	f := unknownKey(name, append(names(WorkerKeys()), known...))
	return f.message + "; " + f.remedy
}
