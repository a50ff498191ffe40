package judge;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.time.DateTimeException;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.LogicalType;
import org.apache.avro.LogicalTypes;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;

/**
 * Compares a row of Coupa's JSON with the Avro record made of it, member by member, by the schema's own field properties:
 * {@code coupa.name} (Coupa's name), {@code coupa.role} ({@code custom-fields}, {@code unmapped}) and {@code coupa.custom}
 * (a typed custom field, whose value is exact or in {@code unmapped}).
 *
 * <p>Equal means: absent, null and an empty association are null; "" of a text stays ""; decimals by their exact value;
 * instants as instants; a date is the day that Coupa's own offset shows; custom fields and unmapped are JSON trees. What a
 * field cannot hold (a decimal with too many digits, an object where a text is due) must be in {@code unmapped}, untouched.
 */
final class Values {
    /** A difference. The values are cut: a row may be megabytes. */
    record Diff(String path, String expected, String got) {
        static Diff of(String path, Object expected, Object got) {
            return new Diff(path, cut(expected), cut(got));
        }

        private static String cut(Object o) {
            String s = String.valueOf(o);
            return s.length() <= 120 ? s : s.substring(0, 120) + "…";
        }
    }

    private final boolean all;

    /** @param all the connector asked Coupa for all fields, so what the schema has no field for must be in unmapped */
    Values(boolean all) {
        this.all = all;
    }

    List<Diff> compare(JsonNode row, GenericRecord record) {
        List<Diff> diffs = new ArrayList<>();
        new Level(row, record.getSchema(), record, "", diffs).compare();
        return diffs;
    }

    /** A record and its JSON object. The record may be null: then each member must be blank. */
    private final class Level {
        final JsonNode row;
        final Schema schema;
        final GenericRecord record;
        final String path;
        final List<Diff> diffs;
        final Map<String, JsonNode> unmapped;
        boolean whole; // every member was asked for

        Level(JsonNode row, Schema schema, GenericRecord record, String path, List<Diff> diffs) {
            this.row = row;
            this.schema = schema;
            this.record = record;
            this.path = path;
            this.diffs = diffs;
            this.unmapped = trees(role("unmapped"), path + "unmapped");
        }

        void compare() {
            Set<String> known = new HashSet<>();
            for (Schema.Field f : schema.getFields()) {
                known.add(name(f));
            }
            Set<String> taken = new HashSet<>();
            for (Schema.Field f : schema.getFields()) {
                String role = f.getProp("coupa.role");
                if ("unmapped".equals(role)) {
                    continue;
                }
                String key = key(name(f), known);
                taken.add(key);
                if ("custom-fields".equals(role)) {
                    customFields(key, f);
                } else if (f.getObjectProp("coupa.custom") != null) {
                    typed(key, f);
                } else {
                    field(key, f);
                }
            }
            rest(taken);
        }

        /** Coupa's spelling of a name: as it is, or with underscores where only that is there. */
        private String key(String name, Set<String> known) {
            String twin = name.replace('-', '_');
            return !row.has(name) && row.has(twin) && !known.contains(twin) ? twin : name;
        }

        private void field(String key, Schema.Field f) {
            JsonNode sent = row.get(key);
            Object got = record == null ? null : record.get(f.pos());
            Schema type = branch(f.schema(), got);
            if (unmapped.containsKey(key)) {
                kept(key, sent, type, got);
                return;
            }
            value(sent, type, got, path + key);
        }

        /** A value that the record keeps as JSON must be one that its field cannot hold, and be kept untouched. */
        private void kept(String key, JsonNode sent, Schema type, Object got) {
            if (sent == null || !Json.same(sent, unmapped.get(key))) {
                diffs.add(Diff.of(path + "unmapped." + key, sent, unmapped.get(key)));
            } else if (fits(sent, type)) {
                diffs.add(Diff.of(path + key, sent, "in unmapped, though the field can hold it"));
            } else if (!empty(got)) {
                diffs.add(Diff.of(path + key, "null, as it is in unmapped", got));
            }
        }

        private void value(JsonNode sent, Schema type, Object got, String at) {
            boolean text = type.getType() == Schema.Type.STRING;
            if (sent == null || sent.isNull() || Json.blank(sent) && !(text && sent.isTextual())) {
                if (!empty(got)) {
                    diffs.add(Diff.of(at, "null", got));
                }
                return;
            }
            switch (type.getType()) {
                case RECORD -> {
                    if (sent.isObject()) {
                        new Level(sent, type, (GenericRecord) got, at + ".", diffs).compare();
                        return;
                    }
                }
                case ARRAY -> {
                    array(sent, type.getElementType(), (List<?>) got, at);
                    return;
                }
                default -> {
                    Object expected = scalar(sent, type);
                    if (expected != null && expected.equals(plain(got, type))) {
                        return;
                    }
                }
            }
            diffs.add(Diff.of(at, sent, plain(got, type)));
        }

        private void array(JsonNode sent, Schema items, List<?> got, String at) {
            List<JsonNode> expected = new ArrayList<>();
            (sent.isArray() ? sent : List.of(sent)).forEach(n -> {
                if (!n.isNull()) {
                    expected.add(n);
                }
            });
            List<?> elements = got == null ? List.of() : got.stream().filter(o -> o != null).toList();
            if (expected.size() != elements.size()) {
                diffs.add(Diff.of(at, expected.size() + " elements", elements.size() + " elements"));
                return;
            }
            for (int i = 0; i < expected.size(); i++) {
                value(expected.get(i), branch(items, elements.get(i)), elements.get(i), at + "[" + i + "]");
            }
        }

        /** A typed custom field. Any value may be in unmapped, as it was sent: the field may have been of another type when it came. */
        private void typed(String key, Schema.Field f) {
            JsonNode sent = row.get(key);
            Object got = record == null ? null : record.get(f.pos());
            if (unmapped.containsKey(key)) {
                if (sent == null || !Json.same(sent, unmapped.get(key)) || !empty(got)) {
                    diffs.add(Diff.of(path + key, sent, unmapped.get(key)));
                }
                return;
            }
            typedValue(sent, f.schema(), got, path + key);
        }

        private void typedValue(JsonNode sent, Schema union, Object got, String at) {
            Schema type = branch(union, got);
            if (sent == null || sent.isNull() || Json.blank(sent)) {
                if (!empty(got) && !got.toString().isEmpty()) {
                    diffs.add(Diff.of(at, sent, got));
                }
                return;
            }
            boolean same = got != null;
            if (got instanceof List<?> list && sent.isArray() && list.size() == sent.size()) {
                for (int i = 0; i < list.size(); i++) {
                    typedValue(sent.get(i), type.getElementType(), list.get(i), at + "[" + i + "]");
                }
                return;
            } else if (got instanceof GenericRecord inner && sent.isObject()) {
                new Level(sent, type, inner, at + ".", diffs).compare();
                return;
            } else if (same && type.getType() == Schema.Type.STRING) {
                same = sent.isNumber()
                        ? new BigDecimal(got.toString()).compareTo(sent.decimalValue()) == 0
                        : sent.isValueNode() && sent.asText().equals(got.toString());
            } else if (same) {
                Object expected = scalar(sent, type);
                same = expected != null && expected.equals(plain(got, type));
            }
            if (!same) {
                diffs.add(Diff.of(at, sent, got));
            }
        }

        private void customFields(String key, Schema.Field f) {
            JsonNode sent = row.get(key);
            Schema type = branch(f.schema(), null);
            if (type.getType() == Schema.Type.RECORD) {
                if (sent != null && sent.isObject()) {
                    Object got = record == null ? null : record.get(f.pos());
                    Level level = new Level(sent, type, (GenericRecord) got, path + key + ".", diffs);
                    level.whole = true;
                    level.compare();
                } else {
                    field(key, f);
                }
                return;
            }
            if (sent != null && !Json.blank(sent) && !sent.isObject()) {
                field(key, f);
                return;
            }
            Map<String, JsonNode> got = trees(record == null ? null : record.get(f.pos()), path + key);
            Map<String, JsonNode> expected = new HashMap<>();
            if (sent != null && sent.isObject()) {
                sent.properties().forEach(e -> expected.put(e.getKey(), e.getValue()));
            }
            expected.values().removeIf(JsonNode::isNull);
            got.values().removeIf(JsonNode::isNull);
            Set<String> names = new HashSet<>(expected.keySet());
            names.addAll(got.keySet());
            for (String n : names) {
                if (!got.containsKey(n) || !expected.containsKey(n) || !Json.same(expected.get(n), got.get(n))) {
                    diffs.add(Diff.of(path + key + "." + n, expected.get(n), got.get(n)));
                }
            }
        }

        /** What has no field: it must be in unmapped if it was asked for, and whatever is in unmapped must have been sent. */
        private void rest(Set<String> taken) {
            unmapped.forEach((key, kept) -> {
                if (!taken.contains(key) && (!row.has(key) || !Json.same(row.get(key), kept))) {
                    diffs.add(Diff.of(path + "unmapped." + key, row.get(key), kept));
                }
            });
            if (!all && !whole) {
                return;
            }
            row.properties().forEach(e -> {
                if (!taken.contains(e.getKey()) && !e.getValue().isNull() && !unmapped.containsKey(e.getKey())) {
                    diffs.add(Diff.of(path + e.getKey(), e.getValue(), "nowhere"));
                }
            });
        }

        private Object role(String role) {
            for (Schema.Field f : schema.getFields()) {
                if (role.equals(f.getProp("coupa.role"))) {
                    return record == null ? null : record.get(f.pos());
                }
            }
            return null;
        }

        private Map<String, JsonNode> trees(Object map, String at) {
            Map<String, JsonNode> out = new HashMap<>();
            if (map instanceof Map<?, ?> m) {
                m.forEach((k, v) -> {
                    try {
                        out.put(k.toString(), Json.parse(v.toString()));
                    } catch (JsonProcessingException e) {
                        diffs.add(Diff.of(at + "." + k, "JSON", "something else"));
                    }
                });
            }
            return out;
        }
    }

    private static String name(Schema.Field f) {
        String name = f.getProp("coupa.name");
        return name != null ? name : f.name().replace('_', '-');
    }

    /** The branch of a union that a value is of; the first but null when there is no value. */
    private static Schema branch(Schema s, Object got) {
        if (s.getType() != Schema.Type.UNION) {
            return s;
        }
        if (got != null) {
            return s.getTypes().get(org.apache.avro.generic.GenericData.get().resolveUnion(s, got));
        }
        return s.getTypes().stream().filter(t -> t.getType() != Schema.Type.NULL).findFirst().orElse(s);
    }

    /** Could a field of this type have held the value? */
    private static boolean fits(JsonNode sent, Schema type) {
        return switch (type.getType()) {
            case RECORD, MAP -> sent.isObject();
            case ARRAY -> {
                Schema items = branch(type.getElementType(), null);
                boolean fit = sent.isArray() || sent.isObject();
                for (JsonNode n : sent.isArray() ? sent : List.<JsonNode>of()) {
                    fit &= n.isNull() || fits(n, items);
                }
                yield fit;
            }
            default -> Json.blank(sent) || scalar(sent, type) != null;
        };
    }

    /** The value that a field of this type must have for what Coupa sent; null if it can have none. */
    private static Object scalar(JsonNode sent, Schema type) {
        if (sent.isContainerNode()) {
            return null;
        }
        String text = sent.asText();
        LogicalType logical = type.getLogicalType();
        try {
            if (logical instanceof LogicalTypes.Decimal d) {
                return decimal(new BigDecimal(text.trim()), d);
            }
            if (logical instanceof LogicalTypes.Date) {
                return (int) LocalDate.parse(text.substring(0, Math.min(10, text.length()))).toEpochDay();
            }
            if (logical instanceof LogicalTypes.TimestampMillis) {
                return text.length() == 10
                        ? LocalDate.parse(text).atStartOfDay(ZoneOffset.UTC).toInstant().toEpochMilli()
                        : OffsetDateTime.parse(text).toInstant().toEpochMilli();
            }
            return switch (type.getType()) {
                case STRING -> text;
                case LONG -> new BigDecimal(text.trim()).longValueExact();
                case INT -> new BigDecimal(text.trim()).intValueExact();
                case DOUBLE -> Double.valueOf(text);
                case BOOLEAN -> switch (text) {
                    case "true", "1" -> true;
                    case "false", "0" -> false;
                    default -> null;
                };
                default -> null;
            };
        } catch (ArithmeticException | NumberFormatException | DateTimeException e) {
            return null;
        }
    }

    private static BigDecimal decimal(BigDecimal d, LogicalTypes.Decimal type) {
        BigDecimal scaled = d.setScale(type.getScale());
        return scaled.precision() <= type.getPrecision() ? scaled : null;
    }

    /** A decoded value in the form that scalar gives. */
    private static Object plain(Object got, Schema type) {
        if (got instanceof ByteBuffer b && type.getLogicalType() instanceof LogicalTypes.Decimal d) {
            byte[] bytes = new byte[b.remaining()];
            b.duplicate().get(bytes);
            return new BigDecimal(new BigInteger(bytes), d.getScale());
        }
        return got instanceof CharSequence ? got.toString() : got;
    }

    /** Null, or as good as: no elements, no entries, or a record of nothing else. */
    private static boolean empty(Object got) {
        if (got instanceof GenericRecord r) {
            return r.getSchema().getFields().stream().allMatch(f -> empty(r.get(f.pos())));
        }
        return got == null || got instanceof List<?> l && l.isEmpty() || got instanceof Map<?, ?> m && m.isEmpty();
    }
}
