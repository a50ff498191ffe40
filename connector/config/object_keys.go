package config

import (
	"slices"
	"sync"
	"time"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/registry"
)

// templateKey and namespaceKey are the keys whose values hold placeholders.
const (
	templateKey  = "topic.template"
	namespaceKey = "schema.namespace"
)

// linesKey says where lines go, deadLetterKey where rows that can't go, exportedKey what a flag is used for.
const (
	linesKey      = "lines"
	exportedKey   = "exported.mode"
	deadLetterKey = "errors.deadletterqueue.topic.name"
)

// unmappedKey and decimalsKey say what form records have; toleranceKey and conflictKey may want values
// kept in unmapped.
const (
	tenantFieldKey = "tenant.field"

	unmappedKey  = "unmapped"
	decimalsKey  = "decimal.handling.mode"
	toleranceKey = "errors.tolerance"
	conflictKey  = "custom.fields.conflict"
)

// objectSettings is the table of keys that may differ from object to object.
var objectSettings = sync.OnceValue(func() []setting[Object] {
	all := slices.Concat(grouped("Polling", pollSettings()), grouped("Records", recordSettings()), grouped("Error Handling", handlingSettings()))
	for i := range all {
		all[i].PerObject = true
	}
	return all
})

func pollSettings() []setting[Object] {
	return []setting[Object]{
		{Key{Name: templateKey, Type: String, Importance: High, Default: "coupa.${object}",
			Doc: "Name of an object's topic; `${object}` (with `_` for `/`) and `${tenant}` are replaced."},
			topicTemplate},
		{Key{Name: "poll.interval.ms", Type: String, Importance: High, Default: "auto", Example: "5000",
			Doc: "Time from one poll of an object to the next: a number, or `auto`: polls share `poll.rate.share` of the rate by how often objects change, between 1 s and 60 s."},
			orAuto(func(o *Object) *bool { return &o.PollAuto }, millis(func(o *Object) *time.Duration { return &o.PollInterval }, 1))},
		{Key{Name: "overlap.ms", Type: Long, Importance: Medium, Default: "60000", Doc: "How far each poll looks back behind its mark."},
			millis(func(o *Object) *time.Duration { return &o.Overlap }, 0)},
		{Key{Name: "lookback.ms", Type: Long, Importance: Medium, Default: "604800000", Doc: "How far the deeper, rarer look-backs go; 0: none."},
			millis(func(o *Object) *time.Duration { return &o.Lookback }, 0)},
		{Key{Name: "settle.ms", Type: Long, Importance: Low, Default: "2000", Doc: "How far a stream's mark stays behind Coupa's clock. Rows beyond the mark may go out before it; where lines have topics of their own, polls stay behind too."},
			millis(func(o *Object) *time.Duration { return &o.Settle }, 0)},
		{Key{Name: "reread.interval.ms", Type: Long, Importance: Low, Default: "3600000",
			Doc: "Time from one reading of all rows to the next, for objects whose `updated-at` does not show every change: `currencies`, `budget_line_adjustments`, `budget_lines`, and those that are read through the rows that they are below, as `contracts/legal_documents`."},
			millis(func(o *Object) *time.Duration { return &o.Reread }, 1)},
		{Key{Name: "initial.from", Type: String, Importance: Medium, Default: "earliest",
			Doc: "Where a stream begins: `earliest`, `latest`, a date (its 00:00 in UTC) or an RFC 3339 instant, of the years 1900 to 2100."}, initialFrom},
		{Key{Name: "row.max.bytes", Type: Long, Importance: Low, Default: "67108864",
			Doc: "Longest row that is read, in bytes of its JSON; a longer one stops its object, with the id before it."},
			whole(func(o *Object) *int { return &o.RowBytes }, leastRowBytes, mostRowBytes)},
		{Key{Name: "freshness.objective.ms", Type: Long, Importance: Medium, Default: "0", Example: "300000",
			Doc: "How far an object may be behind Coupa before that is notified; 0: as far as it likes."},
			millis(func(o *Object) *time.Duration { return &o.Freshness }, 0)},
	}
}

// The least of row.max.bytes is what a row with all its fields has, the most is what one
// row may cost a worker's memory: several times its length, while it is encoded.
const (
	leastRowBytes = 64 << 10
	mostRowBytes  = 1 << 30
)

func recordSettings() []setting[Object] {
	return []setting[Object]{
		{Key{Name: "fields", Type: String, Importance: Medium, Default: "schema", Values: []string{"schema", "all"},
			Doc: "Ask Coupa for just the schema's fields, or for everything."},
			text(func(o *Object) *string { return &o.Fields })},
		{Key{Name: "custom.fields", Type: String, Importance: Medium, Default: "auto", Values: []string{"auto", "typed", "map", "off"},
			Doc: "How custom fields stand in records: `typed` as fields of their own types, added to the schema as they appear; `map` as JSON text by name; `off` not at all. " +
				"`auto` is what the topic's schema has, and for a new one `typed` if the worker's connectors give it rows of one tenant alone, else `map`."},
			text(func(o *Object) *string { return &o.CustomFields })},
		{Key{Name: conflictKey, Type: String, Importance: Medium, Default: "unmapped", Values: []string{"unmapped", "widen"},
			Doc: "What becomes of a value that is not of its typed custom field's type: `unmapped` keeps it as JSON text there, and a number is learned as a decimal; `widen` makes the field a union of both types " +
				"where the registry allows it, which typed tables can't follow."},
			text(func(o *Object) *string { return &o.CustomConflict })},
		{Key{Name: unmappedKey, Type: String, Importance: Medium, Default: string(schemas.UnmappedMap),
			Values: []string{string(schemas.UnmappedMap), string(schemas.UnmappedJSON), string(schemas.UnmappedOff)},
			Doc: "Where a record has what it has no field for or can't hold exactly, nested records likewise: `map`, as JSON text by Coupa's name; `json`, as one text of a JSON object, for sinks that take no maps; " +
				"`off`, nowhere: it is left out and counted. An object of another form than its connector's wants a `schema.namespace` of its own."},
			named(func(o *Object) *schemas.UnmappedMode { return &o.Unmapped })},
		{Key{Name: tenantFieldKey, Type: String, Importance: Low, Example: "tenant",
			Doc: "Name of a field with the tenant, a string that is the first field of rows, and behind `parent_id` of lines, for sinks that drop keys; left out: none."},
			text(func(o *Object) *string { return &o.TenantField }, fieldName)},
		{Key{Name: namespaceKey, Type: String, Importance: Low, Default: schemas.DefaultNamespace, Example: "coupa.${tenant}",
			Doc: "Namespace of the records in schemas of values, for who builds classes of two tenants or forms in one place; `${tenant}` is replaced, with `_` and two hexadecimal digits for each character that no Avro name has " +
				"(`acme-eu`: `acme_2deu`; `_` is two). The key stays `coupa.Key`. A topic that has records wants a new one with another namespace."},
			namespaceTemplate},
		{Key{Name: decimalsKey, Type: String, Importance: Medium, Default: "precise", Values: []string{"precise", "string", "double"},
			Doc: "Avro decimal, string or double. An object of another form than its connector's wants a `schema.namespace` of its own."},
			named(func(o *Object) *schemas.DecimalMode { return &o.Decimals })},
		{Key{Name: "value.format", Type: String, Importance: High, Default: FormatAvro, Values: []string{FormatAvro, FormatJSON, FormatJSONSchema},
			Doc: "Format of values and keys: `avro`; `json` without a schema, for those without a registry; `jsonschema` with a JSON Schema in the registry."},
			text(func(o *Object) *string { return &o.ValueFormat })},
		{Key{Name: "envelope", Type: String, Importance: Medium, Default: "none", Values: []string{"none", EnvelopeDebezium},
			Doc: "`debezium` puts rows into Debezium's envelope: before (null, but for deletes), after, source, op, ts_ms."},
			text(func(o *Object) *string { return &o.Envelope })},
		{Key{Name: linesKey, Type: String, Importance: Medium, Default: LinesEmbedded, Values: []string{LinesEmbedded, LinesTopics, LinesBoth},
			Doc: "Where the lines of rows go: `embedded` in the rows' records; `topics` in records of their own, to the topic of the object with a dot and the list's name behind it " +
				"(`coupa.invoices.invoice_lines`), by the line's id; `both`. Objects without lines pay no heed to it."},
			text(func(o *Object) *string { return &o.Lines })},
		{Key{Name: "key.subject.name.strategy", Type: String, Importance: Low, Default: "TopicNameStrategy", Values: subjectStrategies(),
			Doc: "Subject of the key's schema in the registry."},
			named(func(o *Object) *registry.SubjectStrategy { return &o.KeySubject })},
		{Key{Name: "value.subject.name.strategy", Type: String, Importance: Low, Default: "TopicNameStrategy", Values: subjectStrategies(),
			Doc: "Subject of the value's schema in the registry."},
			named(func(o *Object) *registry.SubjectStrategy { return &o.ValueSubject })},
		{Key{Name: "auto.register.schemas", Type: Boolean, Importance: Low, Default: "true", Values: []string{"true", "false"},
			Doc: "With false the schema must be in the registry already."},
			truth(func(o *Object) *bool { return &o.AutoRegister })},
	}
}

func subjectStrategies() []string {
	return []string{"TopicNameStrategy", "RecordNameStrategy", "TopicRecordNameStrategy"}
}

func handlingSettings() []setting[Object] {
	return []setting[Object]{
		{Key{Name: toleranceKey, Type: String, Importance: Medium, Default: ToleranceNone, Values: []string{ToleranceNone, ToleranceAll, ToleranceUnmapped},
			Doc: "What happens with a row that has a value which can't be read as its field's type: `none` stops the object, `all` sends the row to the dead letter topic and goes on, " +
				"`unmapped` keeps the value as JSON text in `unmapped`, the field null, and publishes the row; one that has no place even so goes to the dead letter topic if one is named, or stops the object."},
			text(func(o *Object) *string { return &o.ErrorsTolerance })},
		{Key{Name: "record.oversize", Type: String, Importance: Medium, Default: "fail", Values: []string{"fail", "deadletter", "trim"},
			Doc: "What happens with a record that is larger than its topic takes: `fail` stops the object, `deadletter` sends the row to the dead letter topic, `trim` cuts its longest texts, " +
				"which the header `coupa.trimmed` lists."},
			text(func(o *Object) *string { return &o.Oversize })},
		{Key{Name: "schema.conflict", Type: String, Importance: Medium, Default: "halt", Values: []string{"halt", "deadletter", "widen"},
			Doc: "What happens when the registry refuses the schema of an object's values, since the subject's versions contradict it, or takes it although readers of one version would bend " +
				"values of the other (another scale, decimal for string, other masks): `halt` stops the object, " +
				"`deadletter` sends its rows to the dead letter topic, `widen` offers a schema that has the last version's fields and types besides, where Avro has a union of both."},
			text(func(o *Object) *string { return &o.SchemaConflict })},
		{Key{Name: deadLetterKey, Type: String, Importance: Low,
			Doc: "Dead letter topic for `errors.tolerance=all` or `unmapped`, `record.oversize=deadletter` and `schema.conflict=deadletter`; several objects and connectors may share one."},
			text(func(o *Object) *string { return &o.DLQTopic }, topicName)},
		{Key{Name: exportedKey, Type: String, Importance: Low, Default: ExportedOff, Values: []string{ExportedOff, ExportedFilter, ExportedMark},
			Doc: "Use of Coupa's exported flag, by which integrations tell what is new to them. `filter` reads rows that do not have it (`exported=false`) and no others; `mark` does so, and sets it on each row once the row's record is committed, which takes a scope to write. " +
				"This is for an integration that has the flag to itself and wants each document once. It is no change capture: changes over Coupa's API do not take the flag back, so that they are not seen any more, and neither are those of lines of rows that have it (`coupastream objects` shows which objects have the flag)."},
			text(func(o *Object) *string { return &o.ExportedMode })},
		{Key{Name: "deletes", Type: String, Importance: Medium, Default: "off", Values: []string{"off", "sweep"},
			Doc: "What is done to find rows that were deleted in Coupa: `off`, or `sweep`: sweeps over the ids find them, and tombstones are published. Rows that are hidden from the API client look the same, so what looks like more than deletes waits for approval. It has no effect for objects that are read through the rows that they are below."},
			text(func(o *Object) *string { return &o.Deletes })},
		{Key{Name: "deletes.interval.ms", Type: Long, Importance: Low, Default: "86400000", Doc: "Time from the beginning of one sweep for deletes to the next."},
			millis(func(o *Object) *time.Duration { return &o.DeletesInterval }, 1000)},
		{Key{Name: "deletes.max.ratio", Type: Double, Importance: Medium, Default: "0.01", Doc: "A sweep waits for approval when a larger share of an object's rows is missing, and more than 20 of them."},
			fraction(func(o *Object) *float64 { return &o.DeletesRatio }, 0)},
	}
}
