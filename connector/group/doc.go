// Package group is the worker's place in Kafka's consumer group, by which shards come and go.
//
// [Membership.Run] joins, starts the shards that the group assigns, and stops those that it takes away.
// It sees a shard as an interface of three methods ([Shard]), and each run of one gets a function that
// asks the group whether this worker is a member still.
//
// It has a Kafka client of its own, which is a member and fetches nothing. It knows nothing of streams,
// transactions and the local store. It imports no other room; shards read [ErrNotMember], [ErrLost] and
// [LastCommit] of it.
//
// # Goroutines and locks
//
//   - Membership.Run waits for the end; beside it one goroutine hears what goes wrong.
//   - Kafka's client calls back when shards are assigned, revoked or lost: one callback at a time.
//   - Each run of a shard is a goroutine. One of the same shard that has not ended is waited for before.
//
// Membership.mu guards which shards were started, and is not held while one is waited for.
//
// # Files
//
//	membership.go  joining, leaving, and the runs of shards between the two
//
// # Decisions
//
//   - Kafka's group protocol decides who owns a shard. The coordinator is there already, its sessions and
//     rebalances are what operators know, and what it gets wrong, fencing by transactional id makes
//     harmless. Leases or locks of our own would be a second truth beside it.
//   - The group is a consumer group on the checkpoint topic that never fetches: assigned partitions are
//     given no offset to read from. Rebalancing is cooperative, so that a worker that joins takes only
//     what it gets and the rest goes on. Membership can be static, for who wants a restart to move
//     nothing.
//   - Not the newer consumer protocol (KIP-848): it would need brokers from 4.0 on, and gains nothing for
//     a handful of partitions.
//   - Every worker is a member, with or without connectors: one may come at any time.
//   - A shard that does not end in 4 s is abandoned: the group gets its answer, and the next owner's
//     InitProducerID ends the rest. In this process it is not started again before the old run is over,
//     since both would use one local store.
package group
