package config

import (
	"math"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// WorkerKeys is the declaration of every key of a worker file, in the order of the reference.
func WorkerKeys() []Key { return keysOf(workerSettings()) }

// workerSettings is the worker's table. Names of security
// keys are librdkafka's, names of topic keys Kafka Connect's.
func workerSettings() []setting[Worker] {
	var all []setting[Worker]
	for _, part := range [][]setting[Worker]{brokerSettings(), registrySettings(), memberSettings(), listenerSettings(), reachSettings(), advertisedSettings(), topicSettings(), workerMappingSettings(), metricsSettings(),
		notificationSettings(func(w *Worker) *Notifications { return &w.Notifications })} {
		all = append(all, part...)
	}
	return all
}

func brokerSettings() []setting[Worker] {
	return []setting[Worker]{
		{Key{Name: "bootstrap.servers", Type: List, Importance: High, Required: true, Example: "localhost:9092",
			Doc: "Brokers to start from, host:port by comma."},
			texts(func(w *Worker) *[]string { return &w.BootstrapServers }, hostPort)},
		{Key{Name: "security.protocol", Type: String, Importance: Medium, Default: "PLAINTEXT",
			Values: []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"},
			Doc:    "How to speak to the brokers."},
			text(func(w *Worker) *string { return &w.Security.Protocol })},
		{Key{Name: "sasl.mechanism", Type: String, Importance: Medium, Example: "SCRAM-SHA-512",
			Values: []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"},
			Doc:    "How to log in at the brokers; required with a SASL protocol."},
			text(func(w *Worker) *string { return &w.Security.Mechanism })},
		{Key{Name: "sasl.username", Type: String, Importance: Medium, Example: "coupastream", Doc: "User for PLAIN and SCRAM."},
			text(func(w *Worker) *string { return &w.Security.Username })},
		{Key{Name: "sasl.password", Type: Password, Importance: Medium, Example: "${env:KAFKA_PASSWORD}", Doc: "Password for PLAIN and SCRAM."},
			secret(func(w *Worker) *coupa.Secret { return &w.Security.Password })},
		{Key{Name: "sasl.oauthbearer.token.endpoint.url", Type: String, Importance: Low, Example: "https://idp.example.com/oauth2/token",
			Doc: "Where OAUTHBEARER gets its tokens with client credentials."},
			text(func(w *Worker) *string { return &w.Security.OAuth.TokenURL }, httpURL)},
		{Key{Name: "sasl.oauthbearer.client.id", Type: String, Importance: Low, Example: "coupastream", Doc: "Client for OAUTHBEARER."},
			text(func(w *Worker) *string { return &w.Security.OAuth.ClientID })},
		{Key{Name: "sasl.oauthbearer.client.secret", Type: Password, Importance: Low, Example: "${env:KAFKA_CLIENT_SECRET}", Doc: "Secret of that client."},
			secret(func(w *Worker) *coupa.Secret { return &w.Security.OAuth.ClientSecret })},
		{Key{Name: "sasl.oauthbearer.scope", Type: String, Importance: Low, Doc: "Scopes to ask for, separated by spaces."},
			text(func(w *Worker) *string { return &w.Security.OAuth.Scope })},
		{Key{Name: "ssl.ca.location", Type: String, File: true, Importance: Medium, Derived: "the system's roots",
			Doc: "PEM file with the authorities that the brokers' certificates are checked against; read again when it changes."},
			text(func(w *Worker) *string { return &w.Security.CA })},
		{Key{Name: "ssl.certificate.location", Type: String, File: true, Importance: Low, Example: "/etc/coupastream/client.pem",
			Doc: "PEM file with the client's certificate, for brokers that ask for one; read again when it changes."},
			text(func(w *Worker) *string { return &w.Security.Cert })},
		{Key{Name: "ssl.key.location", Type: String, File: true, Importance: Low, Example: "/etc/coupastream/client.key",
			Doc: "PEM file with the key of that certificate; read again when it changes."},
			text(func(w *Worker) *string { return &w.Security.Key })},
	}
}

func registrySettings() []setting[Worker] {
	return []setting[Worker]{
		{Key{Name: "schema.registry.url", Type: List, Importance: High, Derived: "none; required but for `value.format=json`", Example: "http://localhost:8081",
			Doc: "Confluent-compatible schema registry; several URLs by comma."},
			texts(func(w *Worker) *[]string { return &w.Registry.URLs }, httpURL)},
		{Key{Name: "schema.registry.basic.auth.user.info", Type: Password, Importance: Medium, Example: "${env:SCHEMA_REGISTRY_USER_INFO}",
			Doc: "user:password for the registry."}, userInfo},
		{Key{Name: "schema.registry.ssl.ca.location", Type: String, File: true, Importance: Medium, Derived: "the system's roots",
			Doc: "PEM file with the authorities that the registry's certificate is checked against; read again when it changes."},
			text(func(w *Worker) *string { return &w.Registry.CA })},
		{Key{Name: "schema.registry.check.interval.ms", Type: Long, Default: "300000", Importance: Low,
			Doc: "How often each schema id that records carry is looked up in the registry again, one a second at most; " +
				"after a failed request or a lost connection, soon. An id that is another one, or is gone, is replaced and told of."},
			millis(func(w *Worker) *time.Duration { return &w.Registry.Check }, 1000)},
	}
}

func memberSettings() []setting[Worker] {
	return []setting[Worker]{
		{Key{Name: "group.id", Type: String, Importance: High, Default: "coupastream",
			Doc: "Workers with one id share the connectors, as one consumer group of this name. Prefix of the transactional ids and of the worker's topics."},
			text(func(w *Worker) *string { return &w.GroupID }, topicName)},
		{Key{Name: "group.instance.id", Type: String, Importance: Medium, Example: "worker-1",
			Doc: "Makes the worker a static member of the group: restarted within session.timeout.ms, it keeps its share. Each worker needs an id of its own; without one it is a dynamic member, whose share moves as soon as it stops."},
			text(func(w *Worker) *string { return &w.GroupInstanceID }, instanceID)},
		{Key{Name: "session.timeout.ms", Type: Int, Importance: Low, Default: "10000",
			Doc: "A worker that the brokers have not heard of for this long is given up, and the others take over its share."},
			millis(func(w *Worker) *time.Duration { return &w.SessionTimeout }, 1)},
		{Key{Name: "heartbeat.interval.ms", Type: Int, Importance: Low, Default: "1000",
			Doc: "Time between two signs of life to the brokers, and how soon a worker learns of a change in the group; less than half of session.timeout.ms."},
			millis(func(w *Worker) *time.Duration { return &w.HeartbeatInterval }, 1)},
		{Key{Name: "state.dir", Type: String, Importance: Medium, Default: "./state",
			Doc: "Folder of the local state. It may be lost: the checkpoint topic restores it."},
			text(func(w *Worker) *string { return &w.StateDir })},
	}
}

func advertisedSettings() []setting[Worker] {
	return []setting[Worker]{
		{Key{Name: "rest.advertised.listener", Type: String, Importance: Low, Derived: "the first listener's", Values: []string{"http", "https"},
			Doc: "Protocol with which other workers of the group reach this one's REST API."},
			text(func(w *Worker) *string { return &w.AdvertisedListener })},
		{Key{Name: "rest.advertised.host.name", Type: String, Importance: Low, Derived: "the listener's, or this machine's name if it listens everywhere",
			Doc: "Host with which other workers of the group reach this one's REST API."},
			text(func(w *Worker) *string { return &w.AdvertisedHost })},
		{Key{Name: "rest.advertised.port", Type: Int, Importance: Low, Derived: "the listener's",
			Doc: "Port with which other workers of the group reach this one's REST API."},
			whole(func(w *Worker) *int { return &w.AdvertisedPort }, 1, 65535)},
	}
}

func topicSettings() []setting[Worker] {
	return []setting[Worker]{
		{Key{Name: "checkpoint.topic", Type: String, Importance: Low, Derived: "`<group.id>-checkpoints`",
			Doc: "Compacted topic that holds the position of every stream, written in the data's own transaction."},
			text(func(w *Worker) *string { return &w.CheckpointTopic }, topicName)},
		{Key{Name: "checkpoint.topic.partitions", Type: Int, Importance: Low, Default: "8",
			Doc: "Units of ownership that workers share; fixed when the topic is created."},
			whole(func(w *Worker) *int { return &w.CheckpointPartitions }, 1, 10_000)},
		{Key{Name: "checkpoint.lost", Type: String, Importance: Medium, Default: LostFail, Values: []string{LostFail, LostLocal, LostAnew},
			Doc: "What becomes of positions that Kafka has lost, such as with a checkpoint topic that was deleted: `fail` stops their objects, `local` goes on from the `state.dir` that had them last, `anew` begins again by `initial.from`. Write `fail` again when it is done."},
			text(func(w *Worker) *string { return &w.CheckpointLost })},
		{Key{Name: "config.storage.topic", Type: String, Importance: Low, Derived: "`<group.id>-configs`",
			Doc: "Compacted topic that holds the connectors created over REST."},
			text(func(w *Worker) *string { return &w.ConfigTopic }, topicName)},
		{Key{Name: "transaction.commit.interval.ms", Type: Long, Importance: Medium, Default: "100",
			Doc: "Longest time that a fetched page waits for its transaction."},
			millis(func(w *Worker) *time.Duration { return &w.CommitInterval }, 1)},
		{Key{Name: "compression.type", Type: String, Importance: Medium, Default: "snappy", Values: []string{"none", "gzip", "snappy", "lz4", "zstd"},
			Doc: "How records are compressed. Consumers need no setting for it, but some clients read `snappy`, `lz4` and `zstd` with a plugin alone."},
			text(func(w *Worker) *string { return &w.Compression })},
		{Key{Name: "topic.creation.default.partitions", Type: Int, Importance: Medium, Default: "3",
			Doc: "Partitions of a data topic that is created; -1 for the broker's default. An existing topic is left as it is."},
			partitions(func(w *Worker) *int { return &w.TopicPartitions }, 100_000)},
		{Key{Name: "topic.creation.default.replication.factor", Type: Int, Importance: Medium, Default: "-1",
			Doc: "Replicas of a data topic that is created; -1 for the broker's default."},
			partitions(func(w *Worker) *int { return &w.TopicReplication }, math.MaxInt16)},
		{Key{Name: "topic.creation.default.cleanup.policy", Type: List, Importance: Medium, Default: "delete",
			Doc: "cleanup.policy of a data topic that is created: delete, compact, or both by comma."},
			text(func(w *Worker) *string { return &w.TopicCleanup }, cleanupPolicy)},
	}
}

func workerMappingSettings() []setting[Worker] {
	return []setting[Worker]{
		{Key{Name: mappingFileKey, Type: String, File: true, Importance: Medium, Example: "/etc/coupastream/mapping.yaml",
			Doc: "YAML file with rules for the fields of objects, of all connectors: choose, leave out, rename, retype, mask, hash, compute. A connector's own mapping lies over it, field by field."},
			text(func(w *Worker) *string { return &w.MappingFile })},
	}
}

func metricsSettings() []setting[Worker] {
	return []setting[Worker]{
		{Key{Name: "metrics.per.object", Type: String, Importance: Low, Default: PerObjectAuto, Values: []string{PerObjectAuto, PerObjectAlways, PerObjectNever},
			Doc: "Whether metrics tell objects apart; `false` gives sums per tenant. `auto` tells them apart up to 4,000 objects: with more, an answer to Prometheus would grow beyond 20 MB."},
			text(func(w *Worker) *string { return &w.MetricsPerObject })},
		{Key{Name: "openlineage.url", Type: String, Importance: Low, Example: "http://127.0.0.1:5000",
			Doc: "Where OpenLineage events of tasks go, by POST: a data catalog's address, to which `/api/v1/lineage` is added where it has no path; none: there are none. At most sixty a minute are sent; whether they arrive changes nothing else."},
			text(func(w *Worker) *string { return &w.LineageURL }, httpURL)},
		{Key{Name: "openlineage.api.key", Type: Password, Importance: Low, Example: "${env:OPENLINEAGE_API_KEY}",
			Doc: "Sent with them as a bearer token."},
			secret(func(w *Worker) *coupa.Secret { return &w.LineageKey })},
		{Key{Name: "otel.exporter.otlp.endpoint", Type: String, Importance: Low, Example: "http://127.0.0.1:4318",
			Doc: "OpenTelemetry collector (OTLP over HTTP) that traces of pages read and of transactions are sent to; none: there are no traces."},
			text(func(w *Worker) *string { return &w.TracesEndpoint }, httpURL)},
		{Key{Name: "otel.traces.sampler.ratio", Type: Double, Importance: Low, Default: "1",
			Doc: "Share of the traces that are sent, from 0 to 1."},
			fraction(func(w *Worker) *float64 { return &w.TracesRatio }, 0)},
	}
}
