package mapping_test

import (
	"fmt"
	"log"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/mapping"
)

// A mapping is read, checked against the object's schema and put into it. Its rewriter changes each
// row before the schema's plan encodes it.
func ExampleCompile() {
	layer, err := mapping.Parse("mapping.yaml", []byte(`
objects:
  suppliers:
    choose: [name, primary-contact.email]
    fields:
      name: {rename: title}
      primary-contact.email: {mask: "***"}
    compute:
      label: {expression: row.name + " (" + string(row.id) + ")", type: string}
`))
	if err != nil {
		log.Fatal(err)
	}
	m, err := mapping.Compile("suppliers", layer)
	if err != nil {
		log.Fatal(err)
	}
	schema, err := schemas.For("suppliers", schemas.Options{Mapping: m})
	if err != nil {
		log.Fatal(err)
	}
	plan, err := schema.Plan()
	if err != nil {
		log.Fatal(err)
	}
	rows, encoder := m.Rewriter(""), plan.Encoder()
	row, err := rows.Row([]byte(`{"id":7,"name":"Acme","status":"active","primary-contact":{"email":"jo@acme.example"}}`))
	if err != nil {
		log.Fatal(err)
	}
	value, err := encoder.Append(nil, row)
	if err != nil {
		log.Fatal(err)
	}
	text, err := plan.AppendJSON(nil, value)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", text)
	// Output: {"id":7,"title":"Acme","primary_contact":{"email":"***"},"label":"Acme (7)"}
}
