#!/bin/sh
# An amount read with another scale is wrong by a power of ten, and every check says "compatible".
#
# What one expects: Avro's specification lets two decimals match, when schemas are resolved, only if
# precision and scale are the same. So a compatibility check (and with it a schema registry under BACKWARD
# that uses one) refuses a scale that goes from 2 to 4, or a reader at least fails, or rescales the value.
# The same of a timestamp that goes from milliseconds to microseconds.
#
# What happens: Apache Avro for Java 1.12.2 (OpenJDK 17.0.15) and hamba/avro v2.31.0 for Go (Go 1.26.8)
# compare the underlying types alone, bytes with bytes and long with long. Their checkers call both changes
# compatible. Their readers resolve old records to the new schema without an error and take the writer's
# number for one of the reader's scale or unit: 72110.75 becomes 721.1075, and an instant of 2026 falls into
# January 1970. The values look real, so nobody notices until sums are compared.
#
# Seen:
#
#   org.apache.avro:avro 1.12.2
#   scale 2 to 4: COMPATIBLE; 72110.75 is read as 721.1075
#   millis to micros: COMPATIBLE; 2026-01-02T03:04:05.678Z is read as 1970-01-21T10:55:23.045678Z
#   github.com/hamba/avro/v2 v2.31.0
#   scale 2 to 4: compatible; 72110.75 is read as 721.1075
#   millis to micros: compatible; 2026-01-02T03:04:05.678Z is read as 1970-01-21T10:55:23.045678Z
#
# What to do instead: never change a logical type, its scale or its unit on a field that has records; add a
# field of another name, or begin a new topic. Compare `logicalType`, `scale` and `precision` of the two
# schemas before a version is registered. A consumer that must read both kinds reads with the writer's schema
# and converts the value itself.
#
# Needs: mvn, java 17 or newer, go. Exits 1 if the behaviour is another one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >pom.xml <<'POM'
<project>
	<modelVersion>4.0.0</modelVersion>
	<groupId>finding</groupId>
	<artifactId>finding</artifactId>
	<version>1</version>
	<packaging>pom</packaging>
	<dependencies>
		<dependency>
			<groupId>org.apache.avro</groupId>
			<artifactId>avro</artifactId>
			<version>1.12.2</version>
		</dependency>
		<dependency>
			<groupId>org.slf4j</groupId>
			<artifactId>slf4j-nop</artifactId>
			<version>2.0.17</version>
		</dependency>
	</dependencies>
</project>
POM
cat >Finding.java <<'JAVA'
import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.time.Instant;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.SchemaCompatibility.SchemaCompatibilityType;
import org.apache.avro.data.TimeConversions;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

public class Finding {
	public static void main(String[] args) throws Exception {
		boolean scale = asTold("scale 2 to 4",
				"'bytes','logicalType':'decimal','precision':38,'scale':2",
				"'bytes','logicalType':'decimal','precision':38,'scale':4",
				new BigDecimal("72110.75"), "721.1075");
		boolean unit = asTold("millis to micros",
				"'long','logicalType':'timestamp-millis'",
				"'long','logicalType':'timestamp-micros'",
				Instant.parse("2026-01-02T03:04:05.678Z"), "1970-01-21T10:55:23.045678Z");
		System.exit(scale && unit ? 0 : 1);
	}

	static boolean asTold(String change, String before, String after, Object value, String wrong)
			throws Exception {
		Schema writer = schema(before);
		Schema reader = schema(after);
		var verdict = SchemaCompatibility.checkReaderWriterCompatibility(reader, writer).getType();

		var data = new GenericData();
		data.addLogicalTypeConversion(new Conversions.DecimalConversion());
		data.addLogicalTypeConversion(new TimeConversions.TimestampMillisConversion());
		data.addLogicalTypeConversion(new TimeConversions.TimestampMicrosConversion());

		var record = new GenericData.Record(writer);
		record.put("v", value);
		var bytes = new ByteArrayOutputStream();
		var encoder = EncoderFactory.get().binaryEncoder(bytes, null);
		new GenericDatumWriter<GenericRecord>(writer, data).write(record, encoder);
		encoder.flush();

		var decoder = DecoderFactory.get().binaryDecoder(bytes.toByteArray(), null);
		var resolving = new GenericDatumReader<GenericRecord>(writer, reader, data);
		Object read = resolving.read(null, decoder).get("v");
		System.out.println(change + ": " + verdict + "; " + value + " is read as " + read);
		return verdict == SchemaCompatibilityType.COMPATIBLE && read.toString().equals(wrong);
	}

	static Schema schema(String type) {
		String field = "{'name':'v','type':{'type':" + type + "}}";
		String record = "{'type':'record','name':'R','fields':[" + field + "]}";
		return new Schema.Parser().parse(record.replace('\'', '"'));
	}
}
JAVA
cat >main.go <<'GO'
package main

import (
	"fmt"
	"log"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/hamba/avro/v2"
)

func main() {
	scale := asTold("scale 2 to 4",
		`"bytes","logicalType":"decimal","precision":38,"scale":2`,
		`"bytes","logicalType":"decimal","precision":38,"scale":4`,
		big.NewRat(72110_75, 100), "721.1075")
	unit := asTold("millis to micros",
		`"long","logicalType":"timestamp-millis"`,
		`"long","logicalType":"timestamp-micros"`,
		time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC), "1970-01-21T10:55:23.045678Z")
	if !scale || !unit {
		os.Exit(1)
	}
}

func asTold(change, before, after string, value any, wrong string) bool {
	writer, reader := schema(before), schema(after)
	compatibility := avro.NewSchemaCompatibility()
	verdict := "compatible"
	if err := compatibility.Compatible(reader, writer); err != nil {
		verdict = err.Error()
	}
	resolved, err := compatibility.Resolve(reader, writer)
	check(err)
	record, err := avro.Marshal(writer, map[string]any{"v": value})
	check(err)
	var got map[string]any
	check(avro.Unmarshal(resolved, record, &got))
	read := text(got["v"])
	fmt.Printf("%s: %s; %s is read as %s\n", change, verdict, text(value), read)
	return verdict == "compatible" && read == wrong
}

func schema(definition string) avro.Schema {
	field := `{"name":"v","type":{"type":` + definition + `}}`
	return avro.MustParse(`{"type":"record","name":"R","fields":[` + field + `]}`)
}

func text(value any) string {
	switch value := value.(type) {
	case *big.Rat:
		return strings.TrimRight(value.FloatString(6), "0")
	case time.Time:
		return value.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(value)
}

func check(err error) {
	if err != nil {
		log.Println(err)
		os.Exit(1)
	}
}
GO
mvn -q -B dependency:build-classpath -Dmdep.outputFile=classpath
go mod init finding
go get github.com/hamba/avro/v2@v2.31.0
go build -o finding .
echo "org.apache.avro:avro 1.12.2"
java -cp "$(cat classpath)" Finding.java
go list -m github.com/hamba/avro/v2
./finding
