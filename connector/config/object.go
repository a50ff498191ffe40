package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/avroname"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/mapping"
	"github.com/coupastream/coupastream/schemas/registry"
)

// Object is the configuration of one stream: the connector's keys with the object's overrides.
type Object struct {
	Path         string // resource path, "invoices"
	Topic        string
	Namespace    string        // of records in the values' schemas
	PollInterval time.Duration // of PollAuto: the longest
	PollAuto     bool          // the time from one poll to the next follows from how often objects change
	Overlap      time.Duration
	Lookback     time.Duration // 0: no look-backs
	Settle       time.Duration
	// between two readings of all rows, where updated-at does not show every change
	Reread          time.Duration
	RowBytes        int // longest row, row.max.bytes
	InitialFrom     InitialFrom
	Freshness       time.Duration // objective of freshness; 0: none
	Fields          string        // "schema" or "all"
	CustomFields    string        // "auto", "typed", "map" or "off"
	CustomConflict  string        // "unmapped" or "widen": of values of another type than their field's
	TenantField     string        // of values; "": none
	Unmapped        schemas.UnmappedMode
	Decimals        schemas.DecimalMode
	ValueFormat     string // FormatAvro, FormatJSON or FormatJSONSchema, of keys too
	Envelope        string // "none" or EnvelopeDebezium
	Lines           string // LinesEmbedded, LinesTopics or LinesBoth
	KeySubject      registry.SubjectStrategy
	ValueSubject    registry.SubjectStrategy
	AutoRegister    bool
	ErrorsTolerance string // ToleranceNone, ToleranceAll or ToleranceUnmapped
	// "fail", "deadletter" or "trim": what becomes of a record that is larger than its topic takes
	Oversize string
	// "halt", "deadletter" or "widen": what happens when the registry refuses the values' schema
	SchemaConflict string
	DLQTopic       string // set if one of the three sends rows there; with ToleranceUnmapped it may be set
	ExportedMode   string // ExportedOff, ExportedFilter or ExportedMark
	// a sweep finds rows that were deleted in Coupa, if one has to begin each so often; what it finds
	// beyond a share of the rows waits for approval
	Deletes         string // "off" or "sweep"
	DeletesInterval time.Duration
	DeletesRatio    float64

	Mapping *mapping.Mapping `json:"-"` // nil: records hold what the schema does; see CheckBeside
	hashKey coupa.Secret

	template  string
	namespace string // with its placeholder
}

// Values of value.format and envelope.
const (
	FormatAvro       = "avro"
	FormatJSON       = "json" // without a schema
	FormatJSONSchema = "jsonschema"
	EnvelopeDebezium = "debezium"
)

// Values of lines: where the lines of the object's rows go.
const (
	LinesEmbedded = "embedded" // they stay in the rows' records
	LinesTopics   = "topics"   // to topics of their own
	LinesBoth     = "both"
)

// Values of exported.mode: what Coupa's exported flag is used for.
const (
	ExportedOff    = "off"    // nothing: rows are read whatever theirs says
	ExportedFilter = "filter" // rows that have it are not read
	ExportedMark   = "mark"   // likewise, and it is set on rows whose records are committed
)

// ReadsUnexported tells whether rows that have Coupa's exported flag are left out.
func (o Object) ReadsUnexported() bool {
	return o.ExportedMode == ExportedFilter || o.ExportedMode == ExportedMark
}

// Values of errors.tolerance: what becomes of a row with a value that can't be read as its field's type.
const (
	ToleranceNone     = "none"     // it stops its object
	ToleranceAll      = "all"      // it is a dead letter
	ToleranceUnmapped = "unmapped" // it goes out, with the value as JSON text in unmapped
)

// KeepsUnreadable tells whether values that can't be read as their fields' types stay in unmapped.
func (o Object) KeepsUnreadable() bool { return o.ErrorsTolerance == ToleranceUnmapped }

// WidensCustomFields tells whether a typed custom field gets a
// further type where values of that come up. Else they stay in unmapped.
func (o Object) WidensCustomFields() bool { return o.CustomConflict == "widen" }

// LineTopic is the topic of the lines of a list, by the name of its field.
func (o Object) LineTopic(list string) string { return o.Topic + "." + list }

// NeedsRegistry tells whether the object's records have schemas.
func (o Object) NeedsRegistry() bool { return o.ValueFormat != FormatJSON }

// SchemaOptions are what the object's keys say about its schema. Where custom fields are
// typed, or auto, which counts as typed here, Custom types none: rows tell which there are.
func (o Object) SchemaOptions() schemas.Options {
	options := schemas.Options{Namespace: o.Namespace, Decimals: o.Decimals, Unmapped: o.Unmapped, TenantField: o.TenantField, WithoutCustomFields: o.CustomFields == "off", Envelope: o.Envelope == EnvelopeDebezium}
	if o.ValueFormat == FormatAvro && (o.CustomFields == "auto" || o.CustomFields == "typed") {
		options.Custom = new(custom.Fields)
	}
	if o.Mapping != nil {
		options.Mapping = o.Mapping
	}
	return options
}

// InitialFrom is where a stream without a checkpoint begins. Exactly one field is set.
type InitialFrom struct {
	Earliest bool
	Latest   bool
	At       time.Time
}

// readObjects makes one Object per path: the connector's own
// values first, then what object.<path>.<key> overrides.
func (c *Connector) readObjects(v *values) {
	var base Object
	settings := objectSettings()
	fill(v, &base, settings)
	c.Objects = make([]Object, 0, len(c.paths)) // kept as it is, by the thousand
	for _, path := range c.paths {
		o := base
		o.Path = path
		for _, s := range settings {
			override(v, &o, s, objectKey(path, s.Name))
		}
		if o.PollAuto {
			o.PollInterval = longestPoll
		}
		o.Topic = strings.NewReplacer("${object}", strings.ReplaceAll(path, "/", "_"), "${tenant}", c.Tenant).Replace(o.template)
		o.Namespace = o.namespaceOf(c.Tenant)
		c.Objects = append(c.Objects, o)
	}
	for i, o := range c.Objects {
		checkObject(v, o, c.Tenant != "")
		checkTopic(v, o, c.Objects[:i])
	}
	base.Namespace = base.namespaceOf(c.Tenant)
	checkForms(v, base, c.Objects)
	checkExported(v, c.Objects)
	v.checkStreamed(c.paths)
}

// ofObjects begins the name of every key for one object.
const ofObjects = "object."

// objectKey is the name of a key for one object.
func objectKey(path, key string) string { return ofObjects + path + "." + key }

// haveOverrides tells whether any key may be for one object.
func (v *values) haveOverrides() bool {
	for name := range v.raw {
		if strings.HasPrefix(name, ofObjects) {
			return true
		}
	}
	return false
}

// deciding is the name under which the value that holds for
// an object was given: its override, or the connector's key.
func (v *values) deciding(path, key string) string { return deciding(v.raw, path, key) }

func deciding(raw map[string]string, path, key string) string {
	if _, given := raw[objectKey(path, key)]; given {
		return objectKey(path, key)
	}
	return key
}

// checkObject runs the checks across the keys of one object. What is wrong
// with the connector's own keys is reported once, not for each object.
func checkObject(v *values, o Object, topicKnown bool) {
	checkLookback(v, o)
	checkDeadLetters(v, o)
	checkFormat(v, o)
	checkUnmapped(v, o)
	checkLines(v, o)
	template := v.deciding(o.Path, templateKey)
	if f := topicName(o.Topic); f != nil && topicKnown && !v.problems.touch(template, "tenant", "coupa.url") {
		v.problem(template, o.template, fmt.Sprintf("gives %q, %s", o.Topic, f.message), f.remedy+"; or give another tenant")
	}
}

// checkDeadLetters wants a topic where a key sends rows to one, and only there.
func checkDeadLetters(v *values, o Object) {
	// sent: for what has no place even so
	dlq, sent := v.deciding(o.Path, deadLetterKey), o.KeepsUnreadable()
	for _, s := range []struct{ key, value, sends, other string }{
		{toleranceKey, o.ErrorsTolerance, ToleranceAll, ToleranceUnmapped + " or " + ToleranceNone},
		{"record.oversize", o.Oversize, "deadletter", "fail or trim"},
		{"schema.conflict", o.SchemaConflict, "deadletter", "halt or widen"},
	} {
		key := v.deciding(o.Path, s.key)
		if v.problems.touch(dlq, key) {
			return
		}
		if s.value != s.sends {
			continue
		}
		if sent = true; o.DLQTopic == "" {
			v.problem(key, s.value, "no topic is named for the rows that can't go", "give "+deadLetterKey+", or write "+s.other)
		}
	}
	if o.DLQTopic != "" && !sent {
		v.problem(dlq, o.DLQTopic, "has no effect: no row is sent there", "write errors.tolerance = all or unmapped, record.oversize = deadletter or schema.conflict = deadletter, or leave it out")
	}
}

// checkFormat refuses what only Avro can do in other formats.
func checkFormat(v *values, o Object) {
	format := v.deciding(o.Path, "value.format")
	if o.ValueFormat == FormatAvro || v.problems.touch(format) {
		return
	}
	if custom := v.deciding(o.Path, "custom.fields"); o.CustomFields == "typed" && !v.problems.touch(custom) {
		v.problem(custom, "typed", "has no effect with value.format="+o.ValueFormat+": in JSON custom fields are as Coupa sends them", "write map, or leave it out")
	}
	conflict := v.deciding(o.Path, "schema.conflict")
	switch {
	case v.problems.touch(conflict):
	case o.SchemaConflict == "widen":
		v.problem(conflict, "widen", "works with value.format=avro alone", "write halt or deadletter")
	case o.SchemaConflict == "deadletter" && !o.NeedsRegistry():
		v.problem(conflict, "deadletter", "has no effect with value.format=json: no schema is registered", "leave it out")
	}
}

// checkUnmapped refuses to leave out what other keys want kept in unmapped.
func checkUnmapped(v *values, o Object) {
	key, tolerance, conflict := v.deciding(o.Path, unmappedKey), v.deciding(o.Path, toleranceKey), v.deciding(o.Path, conflictKey)
	if o.Unmapped != schemas.UnmappedOff || v.problems.touch(key, tolerance, conflict) {
		return
	}
	var keeping, instead []string
	if o.KeepsUnreadable() {
		keeping, instead = append(keeping, tolerance+" = unmapped"), append(instead, tolerance+" = none or all")
	}
	if o.SchemaOptions().Custom != nil && !o.WidensCustomFields() {
		keeping, instead = append(keeping, conflict+" = unmapped"), append(instead, conflict+" = widen (or custom.fields = map or off)")
	}
	if len(keeping) > 0 {
		v.problem(key, string(o.Unmapped), "leaves out what must not be lost by "+strings.Join(keeping, " and "),
			"write json, or "+strings.Join(instead, ", and "))
	}
}

// checkForms wants a namespace of its own for an object whose records have another form than the
// connector's or those of an object before it: a full name stands for one shape in a connector.
func checkForms(v *values, base Object, objects []Object) {
	first := map[string]Object{base.Namespace: base}
	for _, o := range objects {
		other, met := first[o.Namespace]
		if !met {
			first[o.Namespace] = o
			continue
		}
		for _, form := range []struct{ key, is, was string }{
			{unmappedKey, string(o.Unmapped), string(other.Unmapped)}, {decimalsKey, string(o.Decimals), string(other.Decimals)},
		} {
			key, namespace := v.deciding(o.Path, form.key), objectKey(o.Path, namespaceKey)
			if form.is != form.was && !v.problems.touch(key, form.key, v.deciding(o.Path, namespaceKey)) {
				v.problem(key, form.is, fmt.Sprintf("is %s with the same %s = %s, so that records of one name would have two forms", form.was, namespaceKey, o.Namespace),
					"give the object a namespace of its own: "+namespace+" = "+o.Namespace+"."+avroname.Of(strings.ReplaceAll(o.Path, "/", "_")))
			}
		}
	}
}

// namespaceOf is the namespace of records of a tenant.
func (o Object) namespaceOf(tenant string) string {
	return strings.ReplaceAll(o.namespace, "${tenant}", avroname.Segment(tenant))
}

// linesOf names the lists of an object whose lines go to topics of their own.
func (o Object) linesOf() []string {
	lists, err := schemas.Lists(o.Path)
	if o.Lines == LinesEmbedded || err != nil { // checked by itself
		return nil
	}
	return avroname.Fields(lists)
}

// LineTopics are the topics of the object's lines; none if lines stay in the rows.
func (o Object) LineTopics() []string {
	var topics []string
	for _, list := range o.linesOf() {
		topics = append(topics, o.LineTopic(list))
	}
	return topics
}

// lineTopicLike is the topic of the object's lines that has a name; "": none has.
func (o Object) lineTopicLike(topic string) string {
	if !slices.Contains(o.LineTopics(), topic) {
		return ""
	}
	return topic
}

// checkLines refuses topics for the lines of an object that has none, and names for
// these that are none. What holds for the whole connector holds where there are lines.
func checkLines(v *values, o Object) {
	key := v.deciding(o.Path, linesKey)
	if o.Lines == LinesEmbedded || v.problems.touch(key) {
		return
	}
	lists := o.linesOf()
	if len(lists) == 0 && key != linesKey {
		v.problem(key, o.Lines, "has no effect: rows of "+o.Path+" have no lines", "leave it out (coupastream objects shows which have)")
	}
	for _, list := range lists {
		if f := topicName(o.LineTopic(list)); f != nil && topicName(o.Topic) == nil {
			v.problem(key, o.Lines, fmt.Sprintf("gives the lines %s the topic %q, %s", list, o.LineTopic(list), f.message), f.remedy)
		}
	}
	if dlq := o.lineTopicLike(o.DLQTopic); dlq != "" && !v.problems.touch(deadLetterKey) {
		v.problem(v.deciding(o.Path, deadLetterKey), o.DLQTopic, "is the topic of lines of "+o.Path, "name another topic")
	}
}

// checkExported refuses to go by the exported flag, or to set it, for objects whose rows do not have
// it or of which Coupa has no operation that does. What holds for all objects is reported once.
func checkExported(v *values, objects []Object) {
	lacking := map[string][]string{} // key → objects
	for _, o := range objects {
		resource, _ := coupa.LookupResource(o.Path)
		key := v.deciding(o.Path, exportedKey)
		switch {
		case v.problems.touch(key) || !o.ReadsUnexported():
		case !resource.Exported:
			lacking[key] = append(lacking[key], o.Path)
		case o.ExportedMode == ExportedMark && resource.Export == coupa.ExportNone:
			v.problem(key, o.ExportedMode, "Coupa has no operation that marks "+o.Path, "write "+objectKey(o.Path, exportedKey)+" = filter, or off")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(lacking)) {
		paths := lacking[key]
		v.problem(key, v.raw[key], "rows of "+strings.Join(paths, ", ")+" have no exported flag",
			"write "+objectKey(paths[0], exportedKey)+" = off, or give the key for single objects that have one (coupastream objects shows which have)")
	}
}

// checkLookback wants look-backs that go further than every poll does. The problem is
// reported at a key that the user gave: the overlap if it was given, otherwise the look-back.
func checkLookback(v *values, o Object) {
	overlap, lookback := v.deciding(o.Path, "overlap.ms"), v.deciding(o.Path, "lookback.ms")
	if o.Lookback == 0 || o.Overlap <= o.Lookback || v.problems.touch(overlap, lookback) {
		return
	}
	short, long := o.Lookback.Milliseconds(), o.Overlap.Milliseconds()
	if _, given := v.raw[overlap]; given {
		v.problem(overlap, fmt.Sprint(long), fmt.Sprintf("longer than %s = %d", lookback, short),
			"give at most that, or "+lookback+" = 0 for no look-backs")
		return
	}
	v.problem(lookback, fmt.Sprint(short), fmt.Sprintf("shorter than %s = %d", overlap, long),
		"give at least that, or 0 for no look-backs")
}

// checkTopic refuses a topic that another object has already.
func checkTopic(v *values, o Object, others []Object) {
	if o.DLQTopic != "" && o.DLQTopic == o.Topic && !v.problems.touch(deadLetterKey) {
		v.problem(v.deciding(o.Path, deadLetterKey), o.DLQTopic, "is the topic of "+o.Path+" itself", "name another topic: a dead letter is no Avro")
	}
	i := slices.IndexFunc(others, func(other Object) bool { return other.Topic == o.Topic })
	key := v.deciding(o.Path, templateKey)
	if v.problems.touch(key) {
		return
	}
	for _, other := range others {
		for _, lined := range [][2]Object{{o, other}, {other, o}} {
			if topic := lined[0].lineTopicLike(lined[1].Topic); topic != "" {
				v.problem(v.deciding(lined[0].Path, linesKey), lined[0].Lines, fmt.Sprintf("gives lines of %s the topic %s, which is that of %s", lined[0].Path, topic, lined[1].Path),
					"write embedded for one, or give the other another topic with "+objectKey(lined[1].Path, templateKey))
			}
		}
	}
	if i < 0 {
		return
	}
	v.problem(key, o.template, fmt.Sprintf("gives the topic %s to both %s and %s", o.Topic, others[i].Path, o.Path),
		"give each a topic of its own, with ${object} in the template or with "+objectKey(o.Path, templateKey))
}

// checkStreamed refuses overrides for objects that the connector does not stream.
func (v *values) checkStreamed(paths []string) {
	if v.problems.touch("coupa.objects") || !v.haveOverrides() {
		return
	}
	for _, path := range catalogue() {
		for _, s := range objectSettings() {
			name := objectKey(path, s.Name)
			if _, given := v.raw[name]; given && !slices.Contains(paths, path) {
				v.problem(name, "", path+" is not in coupa.objects", "add it there, or leave this key out")
			}
		}
	}
}

// wholeConnector reports overrides of keys that can't differ from object to object.
func (v *values) wholeConnector() {
	for _, path := range catalogue() {
		for _, s := range connectorSettings() {
			if _, given := v.raw[objectKey(path, s.Name)]; given {
				v.problem(objectKey(path, s.Name), "", "holds for the whole connector", "write "+s.Name+" instead")
			}
		}
	}
}

// connectorNames lists every key that a connector may have,
// with the overrides, and the lookup of their declarations.
var connectorNames = sync.OnceValues(func() ([]string, func(name string) Key) {
	keys, perObject := ConnectorKeys(), keysOf(objectSettings())
	for _, path := range catalogue() {
		for _, k := range perObject {
			k.Name = objectKey(path, k.Name)
			keys = append(keys, k)
		}
	}
	return names(keys), keyNamed(keys)
})

// LookupConnectorKey finds the declaration of a connector's key,
// also of one that holds for one object: object.<path>.<key>.
func LookupConnectorKey(name string) (Key, bool) {
	_, lookup := connectorNames()
	k := lookup(name)
	return k, k.Doc != ""
}

// topicTemplate checks the placeholders and stores the template.
func topicTemplate(o *Object, value string) *fault {
	o.template = value
	return unknownPlaceholder(value, "${object}", "${tenant}")
}

// namespaceTemplate checks the placeholder, and that what stands around it makes an Avro name.
func namespaceTemplate(o *Object, value string) *fault {
	o.namespace = value
	if f := unknownPlaceholder(value, "${tenant}"); f != nil {
		return f
	}
	if !avroname.IsNamespace(strings.ReplaceAll(value, "${tenant}", "tenant")) {
		return &fault{"no namespace of Avro's", "write names of letters, digits and _, none of which begins with a digit, with dots between: coupa.${tenant}"}
	}
	return nil
}

// fieldName wants a name that a field of Avro can have.
func fieldName(value string) *fault {
	if value != "" && (strings.Contains(value, ".") || !avroname.IsNamespace(value)) {
		return &fault{"no name of Avro's", "write letters, digits and _, no digit first: tenant"}
	}
	return nil
}

// unknownPlaceholder is the fault of a template that holds another one than these.
func unknownPlaceholder(template string, known ...string) *fault {
	for _, p := range regexp.MustCompile(`\$\{[^}]*\}?`).FindAllString(template, -1) {
		if !slices.Contains(known, p) {
			return &fault{"has the unknown placeholder " + p, meant(p, known, "write "+strings.Join(known, " or "))}
		}
	}
	return nil
}

// initialFrom reads earliest, latest, a date or an instant.
func initialFrom(o *Object, value string) *fault {
	switch strings.ToLower(value) {
	case "earliest":
		o.InitialFrom = InitialFrom{Earliest: true}
		return nil
	case "latest":
		o.InitialFrom = InitialFrom{Latest: true}
		return nil
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		at, err = time.Parse(time.DateOnly, value)
	}
	if err != nil {
		return &fault{"not earliest, latest, a date or an RFC 3339 instant", "write e.g. 2026-01-01, which begins at 00:00 UTC, or 2026-01-01T08:00:00Z"}
	}
	// marks and what is reckoned from them stay times that can be written down
	if at = at.UTC(); at.Year() < 1900 || at.Year() > 2100 {
		return &fault{"lies outside the years 1900 to 2100", "write earliest for all that there is, latest for what comes, or an instant between"}
	}
	o.InitialFrom = InitialFrom{At: at}
	return nil
}
