package judge;

import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * What is wrong with the transactions in which an object's records came, whatever is in these records. Feed it all records
 * of the topic, then close it.
 *
 * <ul>
 *   <li>aborted_reads: a record that a read_committed consumer was given, of a transaction that was aborted
 *   <li>torn: a transaction that is committed in one partition and aborted in another, or one whose position is there with some of its rows
 *   <li>positions_without_rows: a transaction whose position is there, and none of its rows
 *   <li>rows_without_positions: a row that no position knows of, so that it is published once more
 *   <li>forked: a position that does not follow the one before
 * </ul>
 */
final class Anomalies {
    interface Sink {
        void fault(String kind, long id, String path, Object expected, Object got);
    }

    private final Positions.Stream positions;
    private final Transactions transactions;
    private final Duration kept;
    private final Map<Positions.Row, Integer> rows = new HashMap<>();
    private final Set<Positions.Row> owed = new HashSet<>();
    private final Set<Long> deleted = new HashSet<>();
    private final Sink sink;

    /** @param kept rows that were published so soon after their updated-at have an entry in the ledger */
    Anomalies(Positions.Stream positions, Transactions transactions, Duration kept, Sink sink) {
        this.positions = positions;
        this.transactions = transactions;
        this.kept = kept;
        this.sink = sink;
    }

    /** @param updatedAt of the row in milliseconds; ignored of a tombstone */
    void record(ConsumerRecord<byte[], byte[]> r, long id, long updatedAt) {
        if (transactions.aborted(new TopicPartition(r.topic(), r.partition()), r.offset())) {
            sink.fault("aborted_reads", id, "partition " + r.partition(), "nothing", "offset " + r.offset());
        }
        if (r.value() == null) {
            deleted.add(id); // with it go its entries, and what comes after it may be the same once more
            return;
        }
        Positions.Row row = new Positions.Row(id, Math.floorDiv(updatedAt, 1000L));
        rows.merge(row, 1, Integer::sum);
        if (r.timestamp() - updatedAt < kept.toMillis()) {
            owed.add(row);
        }
    }

    int commits() {
        return positions.commits.size();
    }

    void close() {
        transactions.torn().forEach(t -> sink.fault("torn", 0, t, "one end", "committed and aborted"));
        positions.forked.forEach(f -> sink.fault("forked", 0, "position", "the next one", f));
        for (Positions.Commit c : positions.commits) {
            long missing = c.rows().stream().filter(row -> rows.getOrDefault(row, 0) + positions.letters.getOrDefault(row, 0) < positions.entries.get(row)
                    && !deleted.contains(row.id())).count();
            if (missing > 0) {
                boolean all = missing == c.rows().size();
                sink.fault(all ? "positions_without_rows" : "torn", c.rows().get(0).id(), "seq " + c.seq(), c.rows().size() + " rows", missing + " missing");
            }
        }
        for (Positions.Row row : owed) {
            int entries = positions.entries.getOrDefault(row, 0);
            if (rows.get(row) > entries && !deleted.contains(row.id())) {
                sink.fault("rows_without_positions", row.id(), "updated-at " + row.updatedAt(), rows.get(row) + " entries", entries);
            }
        }
    }
}
