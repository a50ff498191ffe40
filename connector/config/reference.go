package config

import (
	"bytes"
	"errors"
	"strings"
)

// The lines between which a document carries the reference.
const (
	referenceBegin = "<!-- config:begin -->"
	referenceEnd   = "<!-- config:end -->"
)

// Reference is the documentation of every key as Markdown: one table for the worker,
// one for the connector, one for the keys that can be overridden for one object.
func Reference() string {
	var b strings.Builder
	b.WriteString("## Worker\n\n")
	writeTable(&b, WorkerKeys())
	b.WriteString("\n## Connector\n\n")
	writeTable(&b, keysOf(connectorSettings()))
	b.WriteString("\n## Connector, for all objects or for one\n\n")
	b.WriteString("`object.<path>.<key>` overrides one of these for one object: `object.invoices.poll.interval.ms`.\n\n")
	writeTable(&b, keysOf(objectSettings()))
	return b.String()
}

func writeTable(b *strings.Builder, keys []Key) {
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range keys {
		b.WriteString("| `" + k.Name + "` | " + strings.ToLower(string(k.Type)) + " | " + k.DefaultText() + " | " + meaning(k) + " |\n")
	}
}

// DefaultText says, in Markdown, what holds when the key is not given; "": nothing.
func (k Key) DefaultText() string {
	switch {
	case k.Required:
		return "required"
	case k.Derived != "":
		return k.Derived
	case k.Default != "":
		return "`" + k.Default + "`"
	}
	return ""
}

// meaning is the documentation with the closed set of values, if there is one.
func meaning(k Key) string {
	if len(k.Values) == 0 {
		return k.Doc
	}
	values := make([]string, len(k.Values))
	for i, v := range k.Values {
		values[i] = "`" + v + "`"
	}
	return k.Doc + " One of " + strings.Join(values, ", ") + "."
}

// UpdateReference returns a Markdown document with the part between its
// lines <!-- config:begin --> and <!-- config:end --> replaced by Reference.
// It fails when the document does not have these two lines in this order.
func UpdateReference(document []byte) ([]byte, error) {
	before, rest, found := bytes.Cut(document, []byte(referenceBegin+"\n"))
	_, after, closed := bytes.Cut(rest, []byte(referenceEnd))
	if !found || !closed {
		return nil, errors.New("the document has no lines " + referenceBegin + " and " + referenceEnd +
			"; put them where the reference shall stand")
	}
	return bytes.Join([][]byte{before, []byte(referenceBegin + "\n"), []byte("\n" + Reference() + "\n"),
		[]byte(referenceEnd), after}, nil), nil
}
