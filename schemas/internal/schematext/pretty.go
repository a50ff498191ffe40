package schematext

import (
	"bytes"
	"encoding/json"
)

// Pretty writes the schema for people: one line a field, a record
// in place indented below its field. It ends with a newline.
func Pretty(r *Record) ([]byte, error) {
	var b bytes.Buffer
	if err := prettyRecord(&b, r, ""); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// prettyRecord writes a record; indent is that of the line on which it begins.
func prettyRecord(b *bytes.Buffer, r *Record, indent string) error {
	head := *r
	head.Fields = []Field{}
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	b.Write(bytes.TrimSuffix(text, []byte("]}"))) // up to the bracket that opens the fields
	for i, f := range r.Fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n" + indent + "  ")
		if err := prettyField(b, f, indent+"  "); err != nil {
			return err
		}
	}
	b.WriteString("\n" + indent + "]}")
	return nil
}

// prettyField writes a field on one line, but for a record that its type defines.
func prettyField(b *bytes.Buffer, f Field, indent string) error {
	inner := f.Type.Record
	if f.Type.Items != nil {
		inner = f.Type.Items.Record
	}
	if inner == nil {
		text, err := json.Marshal(f)
		b.Write(text)
		return err
	}
	// A name that no schema can have keeps the place of the record.
	const place = "\u0000"
	short := Type{Nullable: f.Type.Nullable, Name: place}
	if f.Type.Items != nil {
		short = Type{Nullable: f.Type.Nullable, Items: &Type{Nullable: f.Type.Items.Nullable, Name: place}}
	}
	f.Type = short
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	before, after, _ := bytes.Cut(text, []byte(`"\u0000"`))
	b.Write(before)
	if err := prettyRecord(b, inner, indent); err != nil {
		return err
	}
	b.Write(after)
	return nil
}
