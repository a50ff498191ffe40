package config

import "strings"

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
