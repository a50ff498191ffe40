// Package checkpoint keeps where every stream is, and what it has published, in two places: a
// compacted Kafka topic, which is the truth because its records are part of the transaction that
// carries the data, and a bbolt file, which is a copy that is fast to ask.
//
// # Flow
//
// A shard is one partition of the topic with one owner. The owner
//
//  1. opens the file with [Open] and holds it to the topic with [Fit]; one that is damaged, of another
//     partition or ahead is set aside, and a disk that can't be written is told here, before anybody is
//     fenced;
//  2. calls InitProducerID, which fences the owner before it, and commits a [FenceRecord];
//  3. calls [Restore], which reads from [Store.Next] up to that fence under read_committed;
//  4. produces [Commit.Records] inside each transaction, beside the data, of commits that went through
//     [Store.Join];
//  5. calls [Store.Apply] with the same commits once the transaction is committed.
//
// A crash before the commit leaves nothing. A crash between 4 and 5 leaves the file behind, and step 3
// of the next owner catches up. A lost file is an empty one, and the same step fills it. Steps 3 and 5
// run the same code on the same changes in the same order. Where file and topic disagree the topic
// wins: a file that is ahead of it is set aside, and read again from the topic. Where the disk fails,
// the error wraps [ErrPlace], file and memory keep saying the same, and the call may be repeated.
//
// # Commits
//
// A commit is what one transaction says about one stream (tenant and object). Its Seq counts the
// stream's commits from 1, without a gap. Its records are produced in this order:
//
//   - a tombstone for each ledger chunk that the look-back has passed;
//   - the entries that the ledger loses, of rows that are deleted;
//   - one ledger chunk per bucket of time touched (see [BucketEnd]);
//   - the state of each row whose lines change, in order of id (see [RowState]), or a tombstone;
//   - each block of a set of ids that changes (see [IDSet]), or a tombstone;
//   - the position.
//
// The position comes last: who has read it has read all that belongs to it. The key of a chunk holds
// the Seq of the commit that began it, so no two chunks share a key. Join lets a commit go on with a
// chunk that is still small: it is written again under its key, and holds all that it held before, so
// that compaction may drop the record before. Of a row's state, as of a block and the position, the
// last record counts. Entries that are voided go at their place in the order: what is published of the row
// after that is a new entry, be it the same. So a chunk that is written again after them is without them,
// and they stay in the topic as long as a chunk that may have them.
//
// Where deletes are looked for, a stream keeps sets of ids in blocks of at most 512. Join works out which
// blocks a commit changes, so such a commit has to be joined, on a file that has the one before.
//
// # Records of the topic
//
// Keys are JSON, with members in this order and no white space:
//
//	{"v":1,"type":"position","tenant":"acme","object":"invoices"}
//	{"v":1,"type":"ledger","tenant":"acme","object":"invoices","until":"2026-11-24T00:00:00Z","seq":12}
//	{"v":1,"type":"void","tenant":"acme","object":"invoices","until":"2026-11-24T00:00:00Z","seq":40}
//	{"v":1,"type":"row","tenant":"acme","object":"invoices","id":17}
//	{"v":1,"type":"ids","tenant":"acme","object":"invoices","set":"known","from":0}
//	{"v":1,"type":"fence","partition":3}
//	{"v":1,"type":"anchor","partition":3,"nonce":"…"}
//
// until is the end, exclusive, of the bucket; seq is that of the commit that began the chunk. Of a void it
// is the bucket of its last entry, and its value is that of a chunk. set is known, missing or gone. A block
// holds the ids from the one on up to where the next block of the set begins; the first one begins at 0.
//
// The value of a position is JSON. Times are RFC 3339 in UTC and absent where there is none, but for those
// in looked, which are "" then. walk and backfill are absent when none is under way; their kind is poll,
// lines, snapshot, closing, asked, split or undated (see [WalkKind]); line_topics is absent where lines have
// no topics of their own, and line_epoch where it is 0; moved lists rows to be read once more for their
// lines; passed those that Coupa failed to send; round is a search for rows without updated-at; again is up
// to which stamp rows had been published when the position was moved, absent where it never was; topics are
// those that the stream writes to, each with its id as Kafka prints it, absent where the brokers give none,
// with the number of partitions that it had when the stream began with it, and, as remade, when it was
// noticed that it had been deleted and made again; learned has changes a second, of rows and of lines alone,
// and requests a second that the instance took, each absent where it is not known; sweep is how far the
// search for deletes is, absent where they are not looked for (see [Sweep]); ranges are
// [after, through], ids above after up to and including through, where a through of 0 is no upper end:
//
//	{"seq":12,"mark":"2026-11-23T19:00:00Z","lines":"2026-11-23T18:30:00Z","floor":"2026-11-16T19:00:00Z",
//	 "looked":["2026-11-23T18:00:00Z",""],
//	 "walk":{"kind":"poll","from":"2026-11-23T18:59:00Z","to":"2026-11-23T19:00:28Z",
//	         "ranges":[[1500,0]],"rows":1500},
//	 "backfill":{"kind":"snapshot","to":"2026-11-20T00:00:00Z","ranges":[[0,50],[70,0]],"rows":9},
//	 "line_topics":true,
//	 "topics":[{"name":"coupa.invoices","id":"LF8CqyMsQ0yZ8kUGf2bUTg","partitions":3}],
//	 "learned":{"rows":0.412,"lines":0.0173,"rate":14.2}}
//
// A tombstone of a position forgets the stream: position, chunks, entries and rows' states. coupastream
// writes none; whoever does must write one for each of the stream's chunks and rows too, since Seq
// begins at 1 again.
//
// The value of a fence is {"nonce":"…"}: any text that no other fence of the partition has. An anchor has
// such a nonce in its key, which no other record has therefore, and the value {}; see [AnchorRecord].
//
// The value of a ledger chunk is binary:
//
//	byte     1, the version
//	uvarint  number of entries
//	then for each entry, in order of at, id, updated-at and digest, no two that agree in all four:
//	varint   at in unix seconds, less that of the entry before (of the first: less 0)
//	varint   id, less that of the entry before (of the first: less 0)
//	varint   at less updated-at; 0 but for entries under the time of a row's lines
//	8 bytes  digest, big-endian
//
// uvarint and varint are those of package encoding/binary (the latter zigzag). A tombstone of a chunk
// says that it expired.
//
// The value of a row is binary too. A tombstone says that it has no lines:
//
//	byte     1, the version
//	then for each list that has lines, in order of name:
//	uvarint  length of its name, and the name
//	uvarint  number of lines
//	then for each line, in order of id:
//	uvarint  id, less that of the line before (of the first: less 0)
//	8 bytes  digest, big-endian
//
// The value of a block is binary:
//
//	byte     1, the version
//	uvarint  number of ids
//	then for each id, ascending:
//	uvarint  id, less the one before (of the first: less where the block begins)
//
// A version, type or member that this version does not know is an error, [ErrNewer] where it can only
// come from a later one: a record passed over could be a change published twice, or never. A key that is
// no object with a version is nobody's of these, and is passed over.
//
// # The file
//
// One bbolt file a partition, of seven buckets. Numbers are big-endian; a time is unix seconds with its
// sign bit flipped, so that keys sort by it. Every value ends in 4 bytes of CRC-32C over key and value.
//
//	meta     format → 8 bytes: 4; identity → JSON of Identity;
//	         next → 8 bytes offset, 8 bytes sum of the checksums of all values of the buckets below;
//	         file → the name of the file, once it has owned the partition;
//	         end 0x00, 4 bytes partition, data topic → 8 bytes offset, see Store.Ends
//	streams  uvarint length of tenant, tenant, object
//	         → 4 bytes number of the stream, position JSON or nothing
//	ledger   4 bytes stream, 8 bytes at, 8 bytes id, 8 bytes updated-at, 8 bytes digest → nothing
//	chunks   4 bytes stream, 8 bytes end of bucket, 8 bytes seq
//	         → the chunk's bytes while it has less than 64 entries, then nothing
//	         and for a void 4 bytes stream, 8 bytes end of bucket, 8 bytes seq, 1 → nothing
//	rows     4 bytes stream, 8 bytes id → the lines, as in the record behind its version
//	lines    4 bytes stream, uvarint length of list, list, 8 bytes id of the line
//	         → 8 bytes id of the row that has it
//	ids      4 bytes stream, 1 byte set (1 known, 2 missing, 3 gone), 8 bytes first id
//	         → the block, as in the record
//
// The time stands first so that a window is one run of keys and expiry removes the front. The entries
// of a bucket are removed when the last chunk of that bucket, and of all older ones, has expired. The
// sum tells a file whose pages are of several moments, such as a copy made while the file was in use.
// An eighth bucket, room, is there while Open tries the disk, and means nothing.
//
// # What is synced, and why
//
// After a loss of power the file is as the last Apply left it that returned, or as the one that was under
// way would have left it; or there is none, and the topic has what it said. It is never ahead of the topic
// by itself: it is written after the commit.
//
//   - Each Update: bbolt syncs the pages, then writes the meta page that names them, whose fields lie in one
//     sector, and syncs that. A file that grows is synced before pages are written there.
//   - The folder, whenever a file was opened and before anything is applied to it. So a new file does not go
//     with its name, and one that was set aside for being ahead of the topic does not have its name again
//     when the topic is longer than it.
//   - The copy that compacting makes, before it takes the name. While it is made nothing of it is.
//
// What is not: the folders above, which a first start makes. Where they are lost, so is the file, and the
// topic has it all. And whether older files that were set aside are gone.
//
// The other files of state.dir are schema-ids.json and custom-fields/*.json (packages schemas/registry and
// connector/record), for starts without the registry. Each is written beside its place, synced and renamed,
// so that a cut leaves the old or the new one whole. Of the first the folder is synced, too: an id that the
// registry has shown to be wrong must not come back. Of the second it is not: older types of custom fields
// are true until the registry tells others. What is left beside them, under a name that begins with a dot,
// nobody reads.
//
// TestPower cuts the power of such a disk, which package forgetful is: here, in schemas/registry, and in
// connector/internal/e2e, below a worker.
//
// # Limits
//
// A commit carries at most [MaxEntries] ledger entries, which take at most 30 bytes
// each. A row's state has at most [MaxLines] lines, and no two rows of a stream
// have the same one. Ids are not negative; times lie in the years 1 to 9999.
//
// # Sizes
//
// Measured over a ledger of a week (BenchmarkTopicBytes, BenchmarkRestoreMillion). Keys and values that
// compaction leaves in the topic, per entry:
//
//	13 bytes   commits of 5000 entries, of changes or of a backfill
//	15 bytes   commits of 50 entries
//	30 bytes   a backfill in commits of 50 entries, spread over the days of the week
//	14 bytes   commits of a single entry, joined
//	122 bytes  commits of a single entry, not joined
//
// The least is 11 bytes. Chunks that are joined hold 64 entries, so that commits however small stay
// within three times that; such a commit writes 380 bytes more on average, until compaction.
//
// Sets of ids are left at 1 to 3 bytes an id (TestAnIDTakesLittleOfTheTopic): 1.2 where ids are dense, and
// 3 where they come in any order from a range a hundred times as large. A commit with a single new id
// writes half a block, some 400 bytes, until compaction. In the file they take as much.
//
// In the file an entry takes 75 bytes, and up to 300, free pages included, while a backfill adds
// entries all over the week; Open compacts a file that is mostly free pages. A million entries are
// restored in 1.5 to 4.5 seconds on two cores, in commits of 50; it takes 8 seconds where each came in a
// commit of its own and the topic is not compacted yet (BenchmarkRestoreSmallCommits).
//
// # Decisions
//
//   - Restoring reads up to a fence record that the new owner has committed, not to an offset: the last
//     offset of a log is a commit marker, and compaction may remove markers.
package checkpoint
