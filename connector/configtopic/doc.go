// Package configtopic is what the workers of a group agree on: the connectors that were
// created over REST, the target states, the levels of loggers, and who owns which shard.
// It lies in one compacted topic of one partition, config.storage.topic. Each worker
// reads it to its end and follows it, and any worker may change it: there is no leader.
//
// # What is in the topic
//
// Keys and JSON are Kafka Connect's where Connect has them.
// A record without a value removes what its key names.
//
//	connector-<name>        {"properties":{"name":"…",…}}                the configuration, as given
//	target-state-<name>     {"state":"PAUSED","state.v2":"STOPPED"}      what the connector is to do
//	logger-cluster-<name>   {"level":"DEBUG"}                            a level for all workers
//	shard-<n>               {"worker_id":"…","url":"…","generation":7}   who runs the shard
//	checkpoint-<n>          {"cluster":"…","topic_id":"…","partitions":8,"begin":0,
//	                         "generation":3,"file":"…","worker_id":"…"}  where its positions are
//	verified-<name>         {"objects":{"invoices":{"at":"…","until":"…",
//	                         "rows":7,"found":{"stale":1}}}}             what was compared with Coupa last
//
// The header coupastream.version of a record says which version of the program has written it.
// A checkpoint's generation counts the state files that owned the shard, file is the last one's name,
// and worker_id who has it. topic_id is that of the checkpoint topic, as Kafka prints it, and begin the
// offset of the anchor in its partition: positions are lost where it is another topic, or begins later.
// A shard's generation is that of the group in which the worker was given it.
// state.v2 is the target state: STARTED, PAUSED or STOPPED. state is for readers that do not know
// STOPPED and has PAUSED in its place; it counts where state.v2 is not there. "no_tasks":true and
// "no_topics":true beside them: neither is told of before it is STARTED. Keys of other kinds are left
// alone: never read, never written. A record of a known kind that can't be read is skipped with one warning
// that names its key; what its key stood for before stays, and View.Unreadable names it.
//
// # How a change is made
//
// A change depends on what is there: a connector is created if there is
// none of its name. Update makes reading, deciding and writing one step:
//
//	0 look     read to the end and decide, as in 2 and 3: if there is nothing to write, nobody else
//	           needs to begin again. A change of another worker's gets a moment to end
//	1 fence    InitProducerID of <group.id>-configs. Whoever was between 1 and 5 can't commit any
//	           more; a transaction that was left open is aborted. One that Kafka holds for ended and
//	           has left open is committed now, and the change begins again (see txn.Client.Settle)
//	2 read     to the end of the topic: every change that was ever committed is before it, and none
//	           can come but by a step 1
//	3 decide   the caller looks at that view and says what to write
//	4 produce  the records, in a transaction
//	5 commit   the truth. It is refused if anybody has taken step 1 since ours
//	6 wait     until this worker's own view has the change
//
// So a change that is committed was decided on everything that was committed
// before it. Whoever was fenced begins again after a random while.
//
// A crash before 5 changes nothing; the next step 1 of any worker, or the broker after
// transactionTimeout, aborts what was open. If the answer to 5 is lost, nobody guesses: the
// next attempt's step 1 settles the transaction, and its step 2 finds this change's nonce, in
// a header of its records, or does not. An error to 5 never counts as "not done", not even
// PRODUCER_FENCED: that may be the answer to a repetition of a commit that was carried out.
//
// # What a view shows
//
// The topic up to an offset at which no transaction is half read, so what was written
// together is seen together. While the brokers are away, the view stays as it is. A topic
// that was deleted, or made anew, under a running worker is not followed: the connectors
// go on as they were last known, and the trouble is told by Ready and by each Update.
//
// What removes a key stays in the topic for its delete.retention.ms after compaction, so a
// follower that comes to its place later would keep what was removed. One that has not had
// all there is for a quarter of that time, six hours by default, reads the topic again from
// its start; the view stays until that is done. Of what is committed it hears at once. Where
// nothing is, it asks now and then where the topic ends: a fetch that finds nothing is silent.
//
// # Decisions
//
//   - There is no leader. Connect elects one that alone may write, and forwards to it; while it moves,
//     nothing can be changed. Here whoever has a change takes the transactional id, reads to the end,
//     decides and commits: Kafka's fencing is the lock, and it can't be held by the dead. It costs some
//     30 ms a change, and workers that change at once begin again by chance; people and rebalances change
//     seldom. What is refused or changes nothing takes no fence.
//   - The last record about a shard's owner counts, and the writer sees to it that it is the right one. A
//     reader that took the highest generation would see something else than one who came after
//     compaction, which keeps the last; and a group that was empty for a while counts from 1 again. So
//     the writer compares, and where its own generation is the lower one it asks the group between fence
//     and commit: nobody newer can have written before, nor write before it.
//   - What Kafka has left open, though its coordinator holds it for ended, is committed, whatever became of
//     it there: how it ended is not told once somebody has fenced. Aborted, a change could be gone that was
//     told to be made. Committed, at worst one is made whose worker could not reach Kafka and said that it
//     was not.
package configtopic
