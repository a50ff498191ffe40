// Package metrics is what Prometheus is told of a worker: its transactions, its tenants and objects, its
// Kafka clients, its place in the group, and connectors and tasks in Kafka Connect's names.
//
// It reads status, with names from config and coupa, and knows no other room. Others get a narrow thing
// to call: a shard its [Meter], the membership its [GroupMeter], a Kafka client its name ([Clients]).
// Labels are settings, partitions and closed sets, never data.
//
// # Goroutines and locks
//
// It has no goroutine. A meter belongs to its shard's goroutine, but for the gauge of its open
// transaction. Clients.mu guards which clients there are, GroupMeter.mu the rebalance under way.
//
// # Files
//
//	metrics.go       the registry; transactions, measured by shards
//	connectors.go    tenants and objects; connectors and tasks in Connect's names
//	kafka.go         Kafka clients, and the place in the group
//	certificates.go  until when files of certificates are valid
//	applied.go       of a program that keeps connector files applied, and is no worker
//
// # Decisions
//
//   - Series of connectors are made anew at each gathering, from the same status that REST tells. Nothing
//     has to be removed when a connector goes, and two truths can't differ. Above 4,000 objects they are
//     summed per tenant, since 20,000 would make 75 MB.
//   - A transaction counts as open until somebody says that it is not: the answer to EndTxn, the next
//     fence, or the loss of the shard. One whose outcome is unknown may hold readers back, and that is
//     the moment for which the gauge is there.
//   - Rows that were late count when they are committed, so that a walk which is repeated does not count
//     them twice.
package metrics
