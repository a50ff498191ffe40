import java.io.ByteArrayOutputStream;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.data.TimeConversions;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/** Reads the golden bytes into Java's own types, writes them again and compares. */
public class Verify {
  public static void main(String[] args) throws Exception {
    GenericData data = new GenericData() {
      @Override
      public Object newArray(Object old, int size, Schema schema) {
        return new GenericData.Array<>(size, schema); // the default for long holds no instants (1.12.0)
      }

      @Override
      public Object newMap(Object old, int size) {
        return new LinkedHashMap<>(); // keeps the order that was read
      }
    };
    data.addLogicalTypeConversion(new Conversions.DecimalConversion());
    data.addLogicalTypeConversion(new TimeConversions.DateConversion());
    data.addLogicalTypeConversion(new TimeConversions.TimestampMillisConversion());
    Map<String, String> schemas = new TreeMap<>(Map.of("values", "sample.avsc", "long-lists", "sample.avsc"));
    for (String mode : new String[] {"precise", "string", "double"}) {
      schemas.put("custom/" + mode, "custom/" + mode + ".avsc");
    }
    Path rows = Path.of("../rows");
    try (Stream<Path> files = Files.walk(rows)) {
      files.filter(Files::isRegularFile).map(f -> rows.relativize(f).toString().replace(".json", ""))
          .forEach(object -> schemas.put(object, "../../avsc/" + object + ".avsc"));
    }
    boolean same = true;
    for (String name : schemas.keySet()) {
      Schema schema = new Schema.Parser().parse(new File(schemas.get(name)));
      byte[] golden = Files.readAllBytes(new File(name + ".avro").toPath());
      BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(golden, null);
      Object row = new GenericDatumReader<Object>(schema, schema, data).read(null, decoder);
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
      new GenericDatumWriter<Object>(schema, data).write(row, encoder);
      encoder.flush();
      boolean equal = decoder.isEnd() && Arrays.equals(golden, out.toByteArray());
      System.out.println(name + (equal ? " agrees" : " differs"));
      same &= equal;
    }
    System.exit(same ? 0 : 1);
  }
}
