package mapping_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas/mapping"
)

func TestEveryMistakeIsToldWithItsPlaceAndARemedy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"no YAML", "objects: [", "m.yaml: it is not YAML: line 1: did not find expected node content; quote values"},
		{"nothing", "", "m.yaml: the mapping is empty; write objects:"},
		{"no map", "- a", "m.yaml:1:1: a map belongs here; write objects:"},
		{"unknown key", "object:\n  invoices: {}", "m.yaml:1:1: object: unknown key; the nearest is objects"},
		{"unknown object", "objects:\n  invoice:\n    choose: [id]", "m.yaml:2:3: objects.invoice: unknown object; the nearest is invoices"},
		{"unknown rule", invoices("leaveout: [status]"), "m.yaml:3:5: objects.invoices.leaveout: unknown key; the nearest is leave-out"},
		{"given twice", invoices("choose: [status]\nchoose: [paid]"), "m.yaml:4:5: objects.invoices.choose: it is given in line 3 already; keep one"},
		{"no list", invoices("leave-out: status"), "m.yaml:3:16: objects.invoices.leave-out: a list of paths belongs here; write e.g. leave-out: [invoice-number"},
		{"unknown field", invoices("leave-out: [status, suplier.name]"), "m.yaml:3:25: objects.invoices.leave-out.suplier.name: unknown field suplier.name; the nearest is supplier.name"},
		{"unknown field without rules", invoices("fields: {suplier: null}"), "unknown field suplier; the nearest is supplier"},
		{"Avro's name", invoices("leave-out: [invoice_number]"), "the nearest is invoice-number; Coupa's names are meant"},
		{"within a plain field", invoices("leave-out: [status.name]"), "unknown field status.name; the nearest is"},
		{"custom field without a name", invoices("leave-out: [custom-fields.]"), "a custom field has a name"},
		{"the key", invoices("leave-out: [id]"), "m.yaml:3:17: objects.invoices.leave-out.id: id stays always"},
		{"both ways", invoices("choose: [status]\nleave-out: [status]"), "m.yaml:4:17: objects.invoices.leave-out.status: status is chosen, and left out; keep one of them"},
		{"what is not shipped", invoices("choose: [image-scan]"), "image-scan is not among the fields that coupastream ships, so it can't be chosen"},
		{"rename of what is not shipped", invoices("fields: {image-scan: {rename: scan}}"), "image-scan has no field of its own"},
		{"rules for what goes", invoices("leave-out: [supplier]\nfields: {supplier.name: {rename: s}}"), "m.yaml:4:14: objects.invoices.fields.supplier.name: supplier.name is not kept"},
		{"rules for what was not chosen", invoices("choose: [status]\nfields: {supplier.name: {rename: s}}"), "supplier.name is not kept"},
		{"custom field not chosen", invoices("choose: [status]\nfields: {custom-fields.x: {hash: true}}"), "custom-fields.x is not kept"},
		{"no name", invoices("fields: {status: {rename: the-state}}"), `m.yaml:3:31: objects.invoices.fields.status.rename: "the-state" is no name of an Avro field; write a name of letters, digits and _ that does not begin with a digit, e.g. the_state`},
		{"name taken", invoices("fields: {status: {rename: paid}}"), "the record has a field paid already, for paid; give it another name"},
		{"name taken by a rename", invoices("fields: {status: {rename: x}, paid: {rename: x}}"), "m.yaml:3:50: objects.invoices.fields.paid.rename: the record has a field x already, for status"},
		{"name of what has no field", invoices("fields: {status: {rename: unmapped}}"), "the record has a field unmapped already"},
		{"no type", invoices("fields: {total-with-taxes: {retype: number}}"), `m.yaml:3:41: objects.invoices.fields.total-with-taxes.retype: "number" is no type; write string, boolean`},
		{"decimal of nothing", invoices("fields: {status: {retype: \"decimal(40,2)\"}}"), "decimal has a precision of 1 to 38"},
		{"lossy type", invoices("fields: {total-with-taxes: {retype: double}}"), "decimal can't become double without loss; it can become string, int, long, decimal; or compute a field from it"},
		{"type of an object", invoices("fields: {supplier: {retype: string}}"), "supplier is no single value; name a field inside it"},
		{"type of a custom field", invoices("fields: {custom-fields.x: {retype: string}}"), "custom-fields.x has no field of its own in the shipped schema"},
		{"mask and hash", invoices("fields: {status: {mask: x, hash: true}}"), "it is both masked and hashed; keep one"},
		{"mask of another type", invoices("fields: {invoice-date: {mask: \"***\"}}"), "m.yaml:3:29: objects.invoices.fields.invoice-date.mask: the mask is no date, which the field is; add retype: string"},
		{"mask of the key", invoices("fields: {id: {mask: \"1\"}}"), "id is in the key and the headers of every record"},
		{"end of a number", invoices("fields: {total-with-taxes: {mask: {keep-last: 2}}}"), "total-with-taxes is no string"},
		{"no number", invoices("fields: {status: {mask: {keep-last: all}}}"), "m.yaml:3:41: objects.invoices.fields.status.mask.keep-last: it is a number of characters"},
		{"hash that is no string", invoices("fields: {status: {hash: true, retype: boolean}}"), "a hash is a string; leave retype out"},
		{"hash of what", invoices("fields: {status: {hash: sha1}}"), "it is true or false"},
		{"no rule", invoices("fields: {status: {}}"), "there is no rule; write rename, retype, mask or hash"},
		{"no expression", invoices("compute: {x: {type: long}}"), "m.yaml:3:15: objects.invoices.compute.x: it has no expression"},
		{"no type of a computed field", invoices("compute: {x: {expression: \"1\"}}"), "it has no type; write string, boolean"},
		{"computed name taken", invoices("compute: {status: {expression: \"1\", type: long}}"), "m.yaml:3:15: objects.invoices.compute.status: the record has a field status already, for status"},
		{"computed name that is none", invoices("compute: {a-b: {expression: \"1\", type: long}}"), `"a-b" is no name of an Avro field`},
		{"syntax", invoices("compute: {x: {expression: \"1 +\", type: long}}"), "m.yaml:3:35: objects.invoices.compute.x.expression: Syntax error: mismatched input '<EOF>'; write it as CEL has it"},
		{"unknown variable", invoices("compute: {x: {expression: \"1 + total\", type: long}}"), "m.yaml:3:36: objects.invoices.compute.x.expression: undeclared reference to 'total'; a field is row.NAME"},
		{"unknown field of the row", invoices("compute:\n  x: {expression: \"row.totl\", type: long}"), "m.yaml:4:27: objects.invoices.compute.x.expression: undefined field 'totl'; the nearest is total; row's fields have"},
		{"field nearly right", invoices("compute:\n  x: {expression: \"row.suplier.name\", type: string}"), "undefined field 'suplier'; the nearest is supplier"},
		{"field without row", invoices("compute:\n  x: {expression: \"status\", type: string}"), "undeclared reference to 'status'; write row.status"},
		{"one = for two", invoices("compute:\n  x: {expression: \"row.status = 'new'\", type: boolean}"), "; write == to compare"},
		{"in a block", invoices("compute:\n  x:\n    type: long\n    expression: |\n      1 +\n      row.nothing"), "m.yaml:8:1: objects.invoices.compute.x.expression (character 4 of the line): undefined field 'nothing'"},
		{"numbers of two types", invoices("compute: {x: {expression: \"double(row.total_with_taxes) * 2\", type: double}}"), "found no matching overload for '_*_' applied to '(double, int)'; both sides must be of one type: write 2.0 for 2"},
		{"a decimal taken for a number", invoices("compute: {x: {expression: \"row.total_with_taxes * 2.0\", type: double}}"), "found no matching overload for '_*_' applied to '(string, double)'; decimals are texts here, so that they stay exact: write double(…)"},
		{"result of another type", invoices("compute: {x: {expression: \"row.status\", type: long}}"), "m.yaml:3:31: objects.invoices.compute.x.expression: the expression gives string, from which no long is made; let it give int, e.g. with int(…); or give another type"},
		{"a pattern", invoices("compute: {x: {expression: \"row.status.matches('(')\", type: boolean}}"), "invalid matches argument"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := mapping.Parse("m.yaml", []byte(test.text))
			if _, more := mapping.Compile("invoices", l); err == nil {
				err = more
			} else if more != nil {
				t.Errorf("beside it: %v", more)
			}
			var problems mapping.Problems
			if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got:\n%v\nwant one problem with:\n%s", err, test.want)
			}
			for _, p := range problems {
				if p.Remedy == "" {
					t.Errorf("%v: it has no remedy", p)
				}
			}
		})
	}
}

func invoices(rules string) string { return under("invoices", rules) }

func TestAllMistakesAreToldAtOnceInTheOrderOfTheFile(t *testing.T) {
	t.Parallel()
	_, err := mapping.Parse("", []byte("objects:\n  nothing: {}\n  invoices:\n    choose: id\n    fields: {status: {hash: 1}}"))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "line 2, column 3: ") || !strings.HasPrefix(lines[2], "line 5, column 29: ") {
		t.Errorf("got:\n%v", err)
	}
	l, err := mapping.Parse("m.yaml", []byte(invoices("compute: {x: {expression: \"y\", type: z}}\nleave-out: [nothing, id]")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = mapping.Compile("invoices", l)
	if n := strings.Count(err.Error(), "\n"); n != 2 || !strings.HasPrefix(err.Error(), "m.yaml:3:") {
		t.Errorf("got:\n%v", err)
	}
}
