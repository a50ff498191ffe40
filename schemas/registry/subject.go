package registry

// SubjectStrategy says under which subject a schema is kept in the registry, in the registry's own terms.
type SubjectStrategy string

// The strategies that the registry's clients know.
const (
	// <topic>-key, <topic>-value; the default
	TopicNameStrategy       SubjectStrategy = "TopicNameStrategy"
	RecordNameStrategy      SubjectStrategy = "RecordNameStrategy"      // the record's full Avro name
	TopicRecordNameStrategy SubjectStrategy = "TopicRecordNameStrategy" // <topic>-<full Avro name>
)

// Subject names the subject of a schema: of a record's key or value in a topic. record
// is the schema's full Avro name. An unknown strategy counts as TopicNameStrategy.
func Subject(s SubjectStrategy, topic, record string, key bool) string {
	switch {
	case s == RecordNameStrategy:
		return record
	case s == TopicRecordNameStrategy:
		return topic + "-" + record
	case key:
		return topic + "-key"
	}
	return topic + "-value"
}
