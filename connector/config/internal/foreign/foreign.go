// Package foreign knows keys of configurations that are not ours, which files that were written for other
// connectors have.
package foreign

import "strings"

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

// Instead is what is here in place of a key that others have; "": none has it.
func Instead(name string) string {
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
