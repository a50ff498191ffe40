package unwrap;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.apicurio.registry.utils.converter.AvroConverter;
import io.debezium.transforms.ExtractNewRecordState;
import java.math.BigDecimal;
import java.time.Duration;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.storage.Converter;

/**
 * Reads topics as a sink connector of Kafka Connect does that is configured with Debezium's ExtractNewRecordState, and prints each record as a line of JSON.
 *
 * <p>Unwrap BOOTSTRAP REGISTRY FORMAT=TOPIC…: REGISTRY is Apicurio's own API, FORMAT avro or json (without a schema). Nothing here knows the connector.
 */
public final class Unwrap {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Unwrap() {}

    public static void main(String[] args) throws Exception {
        Map<String, Object> registry = Map.of(
                "apicurio.registry.url", args[1],
                "apicurio.registry.as-confluent", "true",
                "apicurio.registry.use-id", "contentId");
        for (int i = 2; i < args.length; i++) {
            String[] named = args[i].split("=", 2);
            try (Converter keys = converter(named[0], registry, true);
                    Converter values = converter(named[0], registry, false);
                    var unwrap = new ExtractNewRecordState<SinkRecord>()) {
                unwrap.configure(Map.of("add.fields", "op,source.ts_ms"));
                read(args[0], named[1], r -> print(unwrap.apply(sinkRecord(r, keys, values))));
            }
        }
    }

    private static Converter converter(String format, Map<String, Object> registry, boolean key) {
        Converter c = format.equals("avro") ? new AvroConverter<Object>() : new JsonConverter();
        c.configure(format.equals("avro") ? registry : Map.of("schemas.enable", "false"), key);
        return c;
    }

    private static SinkRecord sinkRecord(ConsumerRecord<byte[], byte[]> r, Converter keys, Converter values) {
        SchemaAndValue key = keys.toConnectData(r.topic(), r.headers(), r.key());
        SchemaAndValue value = values.toConnectData(r.topic(), r.headers(), r.value());
        return new SinkRecord(r.topic(), r.partition(), key.schema(), key.value(), value.schema(), value.value(), r.offset());
    }

    private static void print(SinkRecord r) throws Exception {
        if (r == null) { // dropped
            return;
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("topic", r.topic());
        line.put("key", plain(r.key()));
        line.put("value", plain(r.value()));
        System.out.println(JSON.writeValueAsString(line));
    }

    /** What JSON has for a value of Connect's. */
    private static Object plain(Object value) {
        if (value instanceof Struct struct) {
            Map<String, Object> fields = new LinkedHashMap<>();
            for (Field f : struct.schema().fields()) {
                fields.put(f.name(), plain(struct.get(f)));
            }
            return fields;
        }
        if (value instanceof List<?> list) {
            return list.stream().map(Unwrap::plain).toList();
        }
        if (value instanceof Map<?, ?> map) {
            Map<String, Object> entries = new LinkedHashMap<>();
            map.forEach((k, v) -> entries.put(k.toString(), plain(v)));
            return entries;
        }
        if (value instanceof Date instant) {
            return instant.toInstant().toString();
        }
        return value instanceof BigDecimal decimal ? decimal.toPlainString() : value;
    }

    private interface Reader {
        void accept(ConsumerRecord<byte[], byte[]> record) throws Exception;
    }

    /** Reads a topic from its beginning to the end that it has now, under read_committed. */
    private static void read(String bootstrap, String topic, Reader reader) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("isolation.level", "read_committed");
        p.put("allow.auto.create.topics", "false");
        try (var consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic, Duration.ofSeconds(20)).stream()
                    .map(i -> new TopicPartition(topic, i.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (ends.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    reader.accept(record);
                }
            }
        }
    }
}
