import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.math.BigDecimal;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Keeps a table of invoices by key: Table [KAFKA [REGISTRY [FILE]]]
 *
 * <p>What is saved is what was read up to the positions that are committed after it: when the program is killed between the two, it reads some
 * records once more, which changes nothing.
 */
public class Table {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path file;
    private final String registry;
    private final Map<String, Map<String, String>> rows;
    private final Map<Integer, GenericDatumReader<GenericRecord>> readers = new HashMap<>();
    private final HttpClient http = HttpClient.newHttpClient();

    public static void main(String[] args) throws Exception {
        String kafka = args.length > 0 ? args[0] : "127.0.0.1:9092";
        String registry = args.length > 1 ? args[1] : "http://127.0.0.1:8081";
        new Table(registry, Path.of(args.length > 2 ? args[2] : "invoices.json")).run(kafka);
    }

    Table(String registry, Path file) throws IOException {
        this.registry = registry;
        this.file = file;
        rows = Files.exists(file) ? JSON.readValue(file.toFile(), new TypeReference<TreeMap<String, Map<String, String>>>() {}) : new TreeMap<>();
    }

    void run(String kafka) throws Exception {
        Map<String, Object> config = Map.of(
            "bootstrap.servers", kafka, "group.id", "table-java", "isolation.level", "read_committed", "auto.offset.reset", "earliest", "enable.auto.commit", false);
        var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                main.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        consumer.subscribe(List.of("coupa.invoices"));
        try (consumer) {
            while (true) {
                var records = consumer.poll(Duration.ofSeconds(1));
                for (var record : records) apply(record);
                if (!records.isEmpty()) {
                    save();
                    System.out.println(describe());
                }
                consumer.commitSync(); // of positions, which pass the markers of transactions, so that the lag becomes 0
            }
        } catch (WakeupException e) {
            // the program is to end
        }
    }

    /** Puts a record into the table: the key says whose it is, coupa.op what happened. */
    private void apply(ConsumerRecord<byte[], byte[]> record) throws Exception {
        var key = decode(record.key());
        String name = key.get("tenant") + "/" + key.get("id");
        String op = new String(record.headers().lastHeader("coupa.op").value(), StandardCharsets.UTF_8);
        switch (op) {
            case "delete" -> rows.remove(name); // a tombstone: the value is null
            case "snapshot", "upsert" -> { // what was there before the connector began, and what changed since
                var invoice = decode(record.value());
                var row = new TreeMap<String, String>();
                row.put("invoice_number", text(invoice.get("invoice_number")));
                row.put("gross_total", text(invoice.get("gross_total")));
                rows.put(name, row);
            }
            default -> throw new IllegalStateException("coupa.op is " + op);
        }
    }

    private static String text(Object value) {
        return value instanceof BigDecimal amount ? amount.toPlainString() : value == null ? null : value.toString();
    }

    /** Reads a record with the schema that it was written with, which the registry has under the id in bytes 2 to 5. */
    private GenericRecord decode(byte[] data) throws Exception {
        int id = ByteBuffer.wrap(data, 1, 4).getInt();
        var reader = readers.get(id);
        if (reader == null) {
            var request = HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + id)).build();
            var answer = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) throw new IOException("schema " + id + ": " + answer.body());
            var schema = new Schema.Parser().parse(JSON.readTree(answer.body()).get("schema").asText());
            var decimals = new GenericData();
            decimals.addLogicalTypeConversion(new Conversions.DecimalConversion());
            reader = new GenericDatumReader<>(schema, schema, decimals);
            readers.put(id, reader);
        }
        return reader.read(null, DecoderFactory.get().binaryDecoder(data, 5, data.length - 5, null));
    }

    /** Replaces the file whole, so that it is never half written. */
    private void save() throws IOException {
        var fresh = file.resolveSibling(file.getFileName() + ".new");
        JSON.writeValue(fresh.toFile(), rows);
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE);
    }

    private String describe() {
        var total = BigDecimal.ZERO;
        for (var row : rows.values()) if (row.get("gross_total") != null) total = total.add(new BigDecimal(row.get("gross_total")));
        return rows.size() + " invoices, " + total.toPlainString() + " in total";
    }
}
