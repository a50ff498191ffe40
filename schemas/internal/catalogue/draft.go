package catalogue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/avroname"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// namespace is that of every record.
const namespace = "coupa"

// Draft makes the schema of a collection's rows.
func (c *Catalogue) Draft(path string) (*schematext.Record, error) {
	object := c.collections[path]
	if object == "" {
		return nil, fmt.Errorf("drafting the schema of %s: objects.json has no such collection", path)
	}
	d := drafter{Catalogue: c, defined: map[string]bool{}}
	row, err := d.row(object)
	if err == nil && slices.Contains(c.choice.Below, path) {
		err = addParent(row)
	}
	if err != nil {
		return nil, fmt.Errorf("drafting the schema of %s: %w", path, err)
	}
	return row, nil
}

// addParent puts the id of the row that a row is below behind its own id.
func addParent(row *schematext.Record) error {
	if slices.ContainsFunc(row.Fields, func(f schematext.Field) bool { return f.Name == schemas.ParentField }) {
		return fmt.Errorf("a field of %s is named %s, which is the name of its parent's id; leave it out", row.Object, schemas.ParentField)
	}
	id := slices.IndexFunc(row.Fields, func(f schematext.Field) bool { return f.CoupaName == "id" })
	row.Fields = slices.Insert(row.Fields, id+1, schematext.Field{
		Name: schemas.ParentField, Type: schematext.Type{Name: "long"}, Role: schematext.RoleParent,
		Doc: "Id of the row that this one is below.", CoupaName: schematext.ComputedKey(schemas.ParentField),
	})
	return nil
}

// drafter makes one schema.
type drafter struct {
	*Catalogue
	defined map[string]bool // records that stand in the text already, by name
	open    []string        // records on the way from the row to the view being made
}

// row is the full view of the row's object; its id alone is never null. It has custom fields
// whatever the object: any may have them, and what is not asked for would be missed in silence.
func (d *drafter) row(object string) (*schematext.Record, error) {
	t, err := d.fullView(avroname.Of(object), object, d.fieldsInFull(object))
	if err != nil {
		return nil, err
	}
	row := t.Record
	row.Namespace = namespace
	row.Doc = "A row of Coupa's " + object + "; field names are Coupa's, with - as _."
	id := slices.IndexFunc(row.Fields, func(f schematext.Field) bool { return f.CoupaName == "id" })
	if id < 0 {
		return nil, fmt.Errorf("object %s has no id", object)
	}
	row.Fields[id].Type.Nullable = false
	if !d.custom[object] {
		last := len(row.Fields) - 1
		row.Fields = append(row.Fields[:last], d.closing(true)...)
	}
	return row, nil
}

// part is the full view of an object within another's row. It has a name of its own where
// rows of the object are streamed, whose record has an id that is never null, and custom fields.
func (d *drafter) part(object string) (schematext.Type, error) {
	name := avroname.Of(object)
	if d.streamed(object) {
		name += "Part"
	}
	fields := slices.DeleteFunc(d.fieldsInFull(object), func(field string) bool { return d.leaveOutOfParts[object+"."+field] })
	return d.fullView(name, object, fields)
}

// fullView shows the fields of an object, its parts among them.
func (d *drafter) fullView(name, object string, fields []string) (schematext.Type, error) {
	if slices.Contains(d.open, name) {
		return schematext.Type{}, fmt.Errorf("%s would contain itself in full (%s); take one of these out of `full`", object, strings.Join(d.open, " → "))
	}
	d.open = append(d.open, name)
	defer func() { d.open = d.open[:len(d.open)-1] }()
	return d.view(name, object, fields)
}

// reference shows what identifies an object.
func (d *drafter) reference(object string) (schematext.Type, error) {
	name := avroname.Of(object) + "Ref"
	if slices.Contains(d.open, name) {
		return schematext.Type{}, fmt.Errorf("the reference to %s holds itself (%s); take one of these out of `references`", object, strings.Join(d.open, " → "))
	}
	d.open = append(d.open, name)
	defer func() { d.open = d.open[:len(d.open)-1] }()
	return d.view(name, object, d.identity(object))
}

// view makes a record of an object's fields, or names it where it stands in the text already.
func (d *drafter) view(name, object string, fields []string) (schematext.Type, error) {
	if d.defined[name] {
		return schematext.Type{Name: name}, nil
	}
	d.defined[name] = true
	if len(fields) == 0 {
		return schematext.Type{}, fmt.Errorf("object %s has no field to show; leave it out", object)
	}
	r := &schematext.Record{Type: "record", Name: name, Object: object}
	avro := avroname.Fields(namingOrder(fields))
	named := map[string]string{}
	for i, field := range namingOrder(fields) {
		named[field] = avro[i]
	}
	for _, field := range fields {
		typ, err := d.fieldType(object, field)
		if err != nil {
			return schematext.Type{}, fmt.Errorf("%s.%s: %w", object, field, err)
		}
		f := schematext.Field{Name: named[field], Type: typ, Doc: d.doc(object, field, typ), CoupaName: field}
		if !strings.Contains(d.objects[object][field], ":") {
			f.Tags = d.tags(object, field)
		}
		if d.text[object+"."+field] {
			f.CoupaType = schematext.TypeText
		}
		r.Fields = append(r.Fields, f)
	}
	full := !strings.HasSuffix(name, "Ref")
	r.Fields = append(r.Fields, d.closing(full && d.custom[object])...)
	return schematext.Type{Record: r}, nil
}

// tags are those of a field with personal data: what is listed for the object's field counts before
// what is listed for all fields of that name.
func (d *drafter) tags(object, field string) []string {
	switch kind := cmp.Or(d.personal[object+"."+field], d.personal[field]); kind {
	case "":
		return nil
	case schematext.TagPII:
		return []string{schematext.TagPII}
	default:
		return []string{schematext.TagPII, kind}
	}
}

// closing are the fields at the end of every record.
func (d *drafter) closing(custom bool) []schematext.Field {
	text := schematext.Type{Nullable: true, Values: "string"}
	unmapped := schematext.Field{Name: "unmapped", Type: text, Role: schematext.RoleUnmapped,
		Doc: "JSON text, by Coupa's key, of what this record has no field for or cannot hold exactly."}
	if !custom {
		return []schematext.Field{unmapped}
	}
	return []schematext.Field{{Name: "custom_fields", Type: text, Role: schematext.RoleCustomFields, CoupaName: "custom-fields",
		Doc: "JSON text of each custom field, by its API name."}, unmapped}
}

// fieldType is the nullable Avro type of a field.
func (d *drafter) fieldType(object, field string) (schematext.Type, error) {
	kind, target, association := strings.Cut(d.objects[object][field], ":")
	if !association {
		return plainType(kind, field)
	}
	if d.objects[target] == nil {
		return schematext.Type{}, fmt.Errorf("its type %s:%s is of no known object", kind, target)
	}
	show := d.reference
	if d.full[object+"."+field] {
		show = d.part
	}
	t, err := show(target)
	if err != nil {
		return t, err
	}
	if kind == "array" {
		return schematext.Type{Nullable: true, Items: &t}, nil
	}
	t.Nullable = true
	return t, nil
}
