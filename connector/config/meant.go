package config

import (
	"strings"

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

// elsewhere answers keys of other connectors of Kafka Connect's, and of workers of it, by what is here in
// their place. A name that ends in * stands for all that begin so, one that begins with it for all that end
// so.
var elsewhere = []struct{ keys, instead string }{
	{"transforms* predicates* column.include.list column.exclude.list column.mask.* column.truncate.* message.key.columns",
		"what becomes of fields is said by a mapping: mapping.file, or mapping over REST"},
	{"*key.converter* *value.converter* *header.converter*",
		"records are Avro, JSON or JSON Schema by value.format, with the worker's schema.registry.url; leave it out"},
	{"exactly.once.support exactly.once.source.support transaction.boundary offset.flush.* offset.storage.* offsets.storage.topic",
		"records and positions are one transaction, always, and positions are in the worker's checkpoint.topic; leave it out"},
	{"transaction.boundary.interval.ms", "the worker's transaction.commit.interval.ms says how long a page waits for its transaction"},
	{"snapshot.mode snapshot.*", "initial.from says where a stream begins"},
	{"signal.* incremental.snapshot.* read.only", "coupastream snapshot start reads rows again"},
	{"errors.retry.* retriable.restart.* retry.backoff.*", "what may pass is tried again for as long as it lasts; leave it out"},
	{"errors.log.* event.processing.failure.handling.mode", "errors.tolerance says what becomes of a row that can't go out; errors are logged, without values"},
	{"topic.prefix topic.naming.* topic.delimiter", "topic.template names the topics, e.g. coupa.${tenant}.${object}"},
	{"topic.creation.groups topic.creation.*", "topics are created as the worker's topic.creation.default.* says"},
	{"producer.* consumer.* admin.* connector.client.config.override.policy", "what may be set of Kafka clients are keys of the worker: compression.type, security.protocol, ssl.*, sasl.*"},
	{"table.include.list table.exclude.list database.include.list collection.include.list topics topics.regex",
		"coupa.objects lists what is streamed"},
	{"database.hostname database.port connection.url connection.* database.*", "coupa.url, coupa.client.id and coupa.client.secret say how Coupa is reached"},
	{"tombstones.on.delete skipped.operations", "deletes says whether rows that are gone become tombstones"},
	{"schema.history.* schema.name.adjustment.* field.name.adjustment.* binary.handling.mode time.precision.mode include.schema.changes",
		"schemas come from Coupa's catalogue, and their names are Avro's; leave it out"},
	{"max.batch.size max.queue.size max.queue.size.in.bytes batch.max.rows", "pages have 50 rows, as many as Coupa gives, and memory is bounded; leave it out"},
	{"config.action.reload", "restarting the connector reads its references anew; leave it out"},
	{"plugin.* connect.protocol scheduled.rebalance.max.delay.ms rest.extension.classes status.storage.* config.storage.replication.factor access.control.allow.headers",
		"there is nothing of it here; leave it out"},
}

// foreignKey is what is here in place of a key that others have; "": none has it.
func foreignKey(name string) string {
	for _, e := range elsewhere {
		for pattern := range strings.FieldsSeq(e.keys) {
			begin, starred := strings.CutSuffix(pattern, "*")
			end, open := strings.CutPrefix(begin, "*")
			if name == begin || starred && strings.HasPrefix(name, begin) || open && (name == end || starred && strings.Contains(name, end)) {
				return e.instead
			}
		}
	}
	return ""
}

// unknownKey says what is wrong with a key that is not one of known.
func unknownKey(name string, known []string) *fault {
	if instead := foreignKey(name); instead != "" {
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
