package judge;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/**
 * What is to be said about one object. Feed it all records of the topic in order, then close it.
 *
 * <ul>
 *   <li>lost: the last record of an existing row is not the row as it is now, or there is none
 *   <li>stale_lines: likewise, but only a change of its lines alone is missing, which left the row's updated-at as it was
 *   <li>repeated: an id, updated-at and content a second time
 *   <li>out_of_order: an older version of a row after a newer one
 *   <li>mismatched: a record that is no version the tenant ever had
 *   <li>misplaced: one id in two partitions, or a key that is not the row's
 *   <li>undeleted: a row that is removed, and whose last record is no tombstone
 *   <li>false_deletes: more tombstones than times that the row was removed
 *   <li>marked_unpublished: a version that was marked as exported and that no record shows, or one that came after the mark, though
 *       whoever marked it was shown it before, or did not look. Changes behind a look for a long time count, too
 *   <li>unmarked: a row that does not have the flag
 *   <li>mislabelled: a header missing or wrong, or a record timestamp that is not the time of writing
 *   <li>undecodable: bytes that the registry's schema cannot read
 *   <li>aborted_reads, torn, positions_without_rows, rows_without_positions, forked: see {@link Anomalies}
 *   <li>unseen (no failure): a version that was replaced before it was published though it lived for several polls
 *   <li>marked_unread (no failure): a version that was marked and that no record shows, as it was saved between a look and the mark
 * </ul>
 *
 * <p>Of an object that is marked, versions with the flag are not to be read: what has the flag is judged by its marks, and a record that
 * is such a version is none that the tenant ever had.
 */
final class Verdict {
    private static final int SHOWN = 5;
    /** How long behind a look a mark may be: requests wait for their turns, and a worker that is stopped goes on. */
    private static final Duration LOOKED = Duration.ofSeconds(10);

    private static final Set<String> OPERATIONS = Set.of("upsert", "snapshot", "delete");

    /** What was seen of one id so far. */
    private static final class Seen {
        int partition;
        Instant updatedAt = Instant.MIN;
        long seq = Long.MIN_VALUE;
        boolean placed;
        boolean deleted;
        int tombstones;
        final Set<String> contents = new HashSet<>();
        final Set<Long> matched = new HashSet<>();
        /** When each version was written first, by seq. */
        final Map<Long, Instant> written = new HashMap<>();
    }

    private final String tenantName;
    private final String object;
    private final String topic;
    private final Tenant tenant;
    private final boolean marked;
    private final Registry registry;
    private final Values values;
    private final Map<Long, Seen> seen = new HashMap<>();
    private final Map<String, Integer> counts = new TreeMap<>();
    private final List<ObjectNode> examples = new ArrayList<>();
    private int records;
    private int unseen;
    private int markedUnread;
    private Anomalies anomalies; // null: transactions are not judged

    Verdict(String tenantName, String object, String topic, Tenant tenant, boolean marked, Registry registry, Values values) {
        this.tenantName = tenantName;
        this.object = object;
        this.topic = topic;
        this.tenant = tenant;
        this.marked = marked;
        this.registry = registry;
        this.values = values;
        for (String fault : List.of("lost", "stale_lines", "repeated", "out_of_order", "mismatched", "misplaced", "mislabelled", "undecodable", "undeleted", "false_deletes",
                "marked_unpublished", "unmarked", "aborted_reads", "torn", "positions_without_rows", "rows_without_positions", "forked")) {
            counts.put(fault, 0);
        }
    }

    void judgeTransactions(Positions.Stream positions, Transactions transactions, Duration kept) {
        anomalies = new Anomalies(positions, transactions, kept, this::fault);
    }

    void record(ConsumerRecord<byte[], byte[]> r) throws Exception {
        records++;
        GenericRecord key;
        GenericRecord value;
        try {
            key = registry.decode(r.key());
            value = r.value() == null ? null : registry.decode(r.value());
        } catch (Exception e) {
            fault("undecodable", r.offset(), "partition " + r.partition(), "an Avro record", e);
            return;
        }
        long id = (Long) key.get("id");
        Seen s = seen.computeIfAbsent(id, k -> new Seen());
        place(r, key, value, id, s);
        label(r, value, id);
        if (anomalies != null) {
            anomalies.record(r, id, value == null ? 0 : instant(value).toEpochMilli());
        }
        if (value == null) {
            s.deleted = true;
            s.tombstones++;
            // what comes after it is a new row, be it the same
            s.updatedAt = Instant.MIN;
            s.seq = Long.MIN_VALUE;
            s.contents.clear();
            s.matched.clear();
            return;
        }
        s.deleted = false;
        content(value, id, s, Instant.ofEpochMilli(r.timestamp()));
    }

    private void place(ConsumerRecord<byte[], byte[]> r, GenericRecord key, GenericRecord value, long id, Seen s) {
        if (!tenantName.equals(String.valueOf(key.get("tenant"))) || value != null && !Long.valueOf(id).equals(value.get("id"))) {
            fault("misplaced", id, "key", tenantName + "/" + (value == null ? id : value.get("id")), key);
        }
        if (s.placed && s.partition != r.partition()) {
            fault("misplaced", id, "partition", s.partition, r.partition());
        }
        s.placed = true;
        s.partition = r.partition();
    }

    private void label(ConsumerRecord<byte[], byte[]> r, GenericRecord value, long id) {
        String op = header(r, "coupa.op");
        expect(id, "coupa.tenant", tenantName, header(r, "coupa.tenant"));
        expect(id, "coupa.object", object, header(r, "coupa.object"));
        if (!OPERATIONS.contains(op) || op.equals("delete") != (value == null)) {
            fault("mislabelled", id, "coupa.op", value == null ? "delete" : "upsert or snapshot", op);
        }
        if (value != null) {
            String stamp = header(r, "coupa.updated_at");
            Instant at = instant(value);
            if (!stamp.endsWith("Z") || !at.equals(OffsetDateTime.parse(stamp).toInstant())) {
                fault("mislabelled", id, "coupa.updated_at", at, stamp);
            }
        }
        Duration age = Duration.between(Instant.ofEpochMilli(r.timestamp()), Instant.now());
        if (age.isNegative() || age.compareTo(Duration.ofHours(6)) > 0) {
            fault("mislabelled", id, "record timestamp", "the time of writing", Instant.ofEpochMilli(r.timestamp()));
        }
    }

    private void expect(long id, String name, String expected, String got) {
        if (!expected.equals(got)) {
            fault("mislabelled", id, name, expected, got);
        }
    }

    private static String header(ConsumerRecord<byte[], byte[]> r, String name) {
        Header h = r.headers().lastHeader(name);
        return h == null ? "" : new String(h.value(), StandardCharsets.UTF_8);
    }

    private static Instant instant(GenericRecord value) {
        return value.get("updated_at") instanceof Long ms ? Instant.ofEpochMilli(ms) : Instant.EPOCH;
    }

    /** Finds the version that a record is, and compares it with what was seen of the id before. */
    private void content(GenericRecord value, long id, Seen s, Instant written) throws Exception {
        Instant at = instant(value);
        boolean older = at.isBefore(s.updatedAt);
        if (older) {
            fault("out_of_order", id, "updated-at", "not before " + s.updatedAt, at);
        }
        s.updatedAt = at;
        if (!s.contents.add(digest(value))) {
            fault("repeated", id, "content", "once", "twice, updated-at " + at);
        }
        List<Tenant.Version> same = new ArrayList<>();
        List<Values.Diff> nearest = List.of(Values.Diff.of("updated-at", "one of the row's", at));
        for (Tenant.Version v : tenant.versions.getOrDefault(id, List.of())) {
            if (v.updatedAt().equals(at) && isToBeRead(v)) {
                List<Values.Diff> diffs = values.compare(v.row(), value);
                if (diffs.isEmpty()) {
                    same.add(v);
                }
                nearest = diffs;
            }
        }
        if (same.isEmpty()) {
            Values.Diff d = nearest.get(0);
            fault("mismatched", id, d.path(), d.expected(), d.got() + (nearest.size() > 1 ? " (and " + (nearest.size() - 1) + " more)" : ""));
            s.seq = Long.MIN_VALUE;
            return;
        }
        same.forEach(v -> {
            s.matched.add(v.seq());
            s.written.putIfAbsent(v.seq(), written);
        });
        advance(id, s, same, older);
    }

    /**
     * Versions with one updated-at (a change of a line alone) have the tenant's own order. Of versions that look the same to the
     * schema the latest counts: a change that shows in none of its fields is published by what was before it.
     */
    private void advance(long id, Seen s, List<Tenant.Version> same, boolean known) {
        long latest = same.get(same.size() - 1).seq();
        if (latest < s.seq && !known) {
            fault("out_of_order", id, "version", "after seq " + s.seq, "seq " + latest);
        }
        s.seq = latest;
    }

    /** Judges what the topic ends with. Versions made before since are history that existed before the connector. */
    void close(Instant since, Duration lived) {
        if (anomalies != null) {
            anomalies.close();
        }
        seen.forEach((id, s) -> {
            if (!s.deleted && !tenant.rows.containsKey(id)) {
                fault("undeleted", id, "row", "a tombstone", "updated-at " + s.updatedAt);
            }
            if (s.tombstones > tenant.deletes.getOrDefault(id, 0)) {
                fault("false_deletes", id, "row", tenant.deletes.getOrDefault(id, 0) + " tombstones", s.tombstones);
            }
        });
        tenant.rows.forEach((id, row) -> {
            if (!isToBeRead(row)) {
                return;
            }
            if (marked) {
                fault("unmarked", id, "exported", "true", "false, updated-at " + row.updatedAt());
            }
            Seen s = seen.get(id);
            if (s == null || s.deleted) {
                fault("lost", id, "row", "updated-at " + row.updatedAt(), s == null ? "no record" : "deleted");
            } else if (!s.matched.contains(row.seq()) || s.seq < row.seq()) {
                boolean lines = s.seq != Long.MIN_VALUE && s.updatedAt.equals(row.updatedAt());
                fault(lines ? "stale_lines" : "lost", id, "last version", "updated-at " + row.updatedAt() + " seq " + row.seq(),
                        "updated-at " + s.updatedAt + (s.seq == Long.MIN_VALUE ? " (mismatched)" : " seq " + s.seq));
            }
        });
        tenant.versions.forEach((id, list) -> {
            Seen s = seen.get(id);
            for (int i = 0; i + 1 < list.size(); i++) {
                Tenant.Version v = list.get(i);
                if (!isToBeRead(v)) {
                    continue;
                }
                if (!isToBeRead(list.get(i + 1))) {
                    mark(id, s, v, list.get(i + 1));
                }
                boolean matched = s != null && s.matched.contains(v.seq());
                if (!matched && v.updatedAt().isAfter(since) && list.get(i + 1).updatedAt().isAfter(v.updatedAt().plus(lived))) {
                    unseen++;
                }
            }
        });
    }

    /** A row that has the flag of an object that is marked is not to be read. */
    private boolean isToBeRead(Tenant.Version v) {
        return !marked || !v.exported();
    }

    /** Judges a mark by the version that was marked: it has to be out before. What was saved behind the look before the mark need not. */
    private void mark(long id, Seen s, Tenant.Version v, Tenant.Version mark) {
        Instant written = s == null ? null : s.written.get(v.seq());
        if (written != null && !written.isAfter(mark.visibleAt())) {
            return;
        }
        boolean looked = mark.checked() != 0 && mark.checked() < v.seq();
        if (!looked || v.visibleAt().plus(LOOKED).isBefore(mark.visibleAt())) {
            fault("marked_unpublished", id, "marked version", "written before " + mark.visibleAt(), "updated-at " + v.updatedAt() + " seq " + v.seq()
                    + " visible " + v.visibleAt() + (written == null ? ", no record" : ", written " + written) + ", seq " + mark.checked() + " was looked at");
        } else if (written == null) {
            markedUnread++;
        }
    }

    private void fault(String kind, long id, String path, Object expected, Object got) {
        if (counts.merge(kind, 1, Integer::sum) > SHOWN) {
            return;
        }
        Values.Diff d = Values.Diff.of(path, expected, got);
        examples.add(Json.MAPPER.createObjectNode().put("fault", kind).put("id", id)
                .put("path", d.path()).put("expected", d.expected()).put("got", d.got()));
    }

    boolean clean() {
        return counts.values().stream().allMatch(n -> n == 0);
    }

    JsonNode json() {
        ObjectNode n = Json.MAPPER.createObjectNode();
        n.put("object", object).put("topic", topic).put("rows", tenant.rows.size());
        n.put("versions", tenant.versionCount).put("records", records).put("commits", anomalies == null ? 0 : anomalies.commits());
        counts.forEach(n::put);
        n.put("unseen", unseen).put("marked_unread", markedUnread);
        ArrayNode diffs = n.putArray("examples");
        examples.forEach(diffs::add);
        return n;
    }

    /** The content of a record, whatever the order of its maps. */
    private static String digest(GenericRecord value) throws Exception {
        StringBuilder text = new StringBuilder();
        canonical(value, text);
        byte[] sum = MessageDigest.getInstance("SHA-256").digest(text.toString().getBytes(StandardCharsets.UTF_8));
        return HexFormat.of().formatHex(sum, 0, 16);
    }

    private static void canonical(Object o, StringBuilder out) {
        if (o instanceof GenericRecord r) {
            r.getSchema().getFields().forEach(f -> {
                Object v = r.get(f.pos());
                if (v != null) {
                    out.append(f.name()).append('=');
                    canonical(v, out);
                }
            });
            out.append(';');
        } else if (o instanceof Map<?, ?> m) {
            TreeMap<String, String> sorted = new TreeMap<>();
            m.forEach((k, v) -> sorted.put(k.toString(), v.toString()));
            out.append(sorted);
        } else if (o instanceof List<?> l) {
            l.forEach(e -> canonical(e, out.append(',')));
        } else if (o instanceof java.nio.ByteBuffer b) {
            byte[] bytes = new byte[b.remaining()];
            b.duplicate().get(bytes);
            out.append(HexFormat.of().formatHex(bytes)).append('|');
        } else {
            out.append(o).append('|');
        }
    }
}
