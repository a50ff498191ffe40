package judge;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;

/** Decodes records with the schema that the registry has for the id in their first five bytes. */
final class Registry {
    private final String url;
    private final HttpClient http = HttpClient.newHttpClient();
    private final Map<Integer, GenericDatumReader<GenericRecord>> readers = new HashMap<>();

    Registry(String url) {
        this.url = url;
    }

    /** Throws when the framing is not the registry's, or when bytes are left over. */
    GenericRecord decode(byte[] framed) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(framed);
        if (framed.length < 5 || buffer.get() != 0) {
            throw new IOException("not framed: no magic byte 0 and schema id");
        }
        var reader = readers.computeIfAbsent(buffer.getInt(), this::reader);
        BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(framed, 5, framed.length - 5, null);
        GenericRecord record = reader.read(null, decoder);
        if (!decoder.isEnd()) {
            throw new IOException("bytes left over after the record");
        }
        return record;
    }

    private GenericDatumReader<GenericRecord> reader(int id) {
        try {
            HttpRequest request = HttpRequest.newBuilder(URI.create(url + "/schemas/ids/" + id)).build();
            HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() != 200) {
                throw new IOException("schema " + id + ": the registry answered " + response.statusCode());
            }
            return new GenericDatumReader<>(new Schema.Parser().parse(Json.parse(response.body()).get("schema").asText()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
