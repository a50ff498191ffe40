package judge;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/**
 * What the checkpoint topic says of a tenant's objects, as a read_committed consumer finds it. Package checkpoint documents the format. Of
 * a position it is asked which rows came before it; the digest of a row can't be checked from outside, and tells entries apart alone.
 */
final class Positions {
    /** A row as published: an id and updated-at in unix seconds. */
    record Row(long id, long updatedAt) {}

    /** What one transaction said of one object: the rows that are new in the ledger. */
    record Commit(long seq, List<Row> rows) {}

    /** Of one object. */
    static final class Stream {
        final List<Commit> commits = new ArrayList<>();

        /** Positions that do not follow the one before: two have gone on from one place, or one was never seen. */
        final List<String> forked = new ArrayList<>();

        /** How many versions of each row the ledger has had: contents of one updated-at. */
        final Map<Row, Integer> entries = new HashMap<>();

        /** How often each row was a dead letter, which it may be several times. */
        final Map<Row, Integer> letters = new HashMap<>();

        private final Set<Entry> seen = new HashSet<>();
        private final List<Row> pending = new ArrayList<>();
        private long seq;
        private String position = "";

        private void ledger(ByteBuffer b) throws IOException {
            if (b.get() != 1) {
                throw new IOException("a chunk of another version");
            }
            long at = 0;
            long id = 0;
            for (long n = uvarint(b); n > 0; n--) {
                at += varint(b);
                id += varint(b);
                Row row = new Row(id, at - varint(b));
                // under the time of its lines a row stands a second time; without updated-at it has none to be told by
                if (seen.add(new Entry(row, b.getLong())) && row.updatedAt > 0) {
                    pending.add(row);
                    entries.merge(row, 1, Integer::sum);
                }
            }
        }

        private void position(JsonNode value) {
            long next = value.get("seq").asLong();
            // an owner that finds no anchor writes what it has restored once more
            if (next != seq + 1 && !(next == seq && value.toString().equals(position))) {
                forked.add("seq " + next + " after " + seq);
            }
            seq = next;
            position = value.toString();
            commits.add(new Commit(seq, List.copyOf(pending)));
            pending.clear();
        }
    }

    private record Entry(Row row, long digest) {}

    private final String tenant;
    private final Map<String, Stream> streams = new HashMap<>();

    Positions(String tenant) {
        this.tenant = tenant;
    }

    Stream of(String object) {
        return streams.computeIfAbsent(object, o -> new Stream());
    }

    void record(ConsumerRecord<byte[], byte[]> r) throws IOException {
        JsonNode key = Json.parse(new String(r.key(), StandardCharsets.UTF_8));
        if (r.value() == null || !tenant.equals(key.path("tenant").asText())) {
            return;
        }
        Stream s = of(key.get("object").asText());
        switch (key.get("type").asText()) {
            case "ledger" -> s.ledger(ByteBuffer.wrap(r.value()));
            case "position" -> s.position(Json.parse(new String(r.value(), StandardCharsets.UTF_8)));
            default -> { }
        }
    }

    /** Takes a dead letter, whose value is the row as Coupa sent it. */
    void letter(ConsumerRecord<byte[], byte[]> r, long id) throws IOException {
        String object = new String(r.headers().lastHeader("coupa.object").value(), StandardCharsets.UTF_8);
        String updatedAt = Json.parse(new String(r.value(), StandardCharsets.UTF_8)).get("updated-at").asText();
        of(object).letters.merge(new Row(id, OffsetDateTime.parse(updatedAt).toEpochSecond()), 1, Integer::sum);
    }

    private static long uvarint(ByteBuffer b) {
        long v = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = b.get();
            v |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return v;
            }
        }
    }

    private static long varint(ByteBuffer b) {
        long v = uvarint(b);
        return v >>> 1 ^ -(v & 1);
    }
}
