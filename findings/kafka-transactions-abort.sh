#!/bin/sh
# kafka-transactions.sh abort under a live producer: the commit succeeds, and half of it is gone.
#
# What one expects: the tool's verb `abort` ends an open transaction as the broker itself would. Its producer
# then gets an error from the commit, as after a timeout or a fence, and writes the records again.
#
# What happens: Apache Kafka 4.4.0 (tool, broker in KRaft mode and Java client; OpenJDK 17.0.15). `abort`
# puts an abort marker into the one partition that it is given and tells the transaction's coordinator
# nothing. It prints nothing and exits with 0. The coordinator still holds the transaction for open, so the
# producer's commit succeeds without an error: the other partitions are committed, and readers with
# read_committed never see the records of this one. The verb is meant for transactions that hang because no
# coordinator knows them; it doesn't ask whether one does. `forceTerminateTransaction` goes through the
# coordinator, and the commit fails, as one expects.
#
# Seen (five records in each of two partitions, flushed; then the tool, `abort` for partition 0; then
# commitTransaction):
#
#   Apache Kafka 4.4.0
#   abort: exit 0; commit: no error; committed records: 0 and 5
#   forceTerminateTransaction: exit 0; commit: ProducerFencedException; committed records: 0 and 0
#
# What to do instead: end a transaction that `list` shows as Ongoing by
# `forceTerminateTransaction --transactionalId ID`, or by stopping its producer. Keep `abort` for what
# `find-hanging` shows and `list` doesn't.
#
# Needs: mvn, java 17 or newer. Exits 1 if the behaviour is another one.
set -eu
folder=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill "$broker"; [ -z "$broker" ] || wait "$broker" || true; rm -rf "$folder"' EXIT
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
			<groupId>org.apache.kafka</groupId>
			<artifactId>kafka_2.13</artifactId>
			<version>4.4.0</version>
		</dependency>
		<dependency>
			<groupId>org.apache.kafka</groupId>
			<artifactId>kafka-tools</artifactId>
			<version>4.4.0</version>
		</dependency>
		<dependency>
			<groupId>org.slf4j</groupId>
			<artifactId>slf4j-nop</artifactId>
			<version>1.7.36</version>
		</dependency>
	</dependencies>
</project>
POM
cat >Ports.java <<'JAVA'
import java.net.ServerSocket;

public class Ports {
	public static void main(String[] args) throws Exception {
		try (var first = new ServerSocket(0); var second = new ServerSocket(0)) {
			System.out.println(first.getLocalPort() + " " + second.getLocalPort());
		}
	}
}
JAVA
cat >Finding.java <<'JAVA'
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Finding {
	static String broker;

	public static void main(String[] args) throws Exception {
		broker = args[0];
		var build = new Properties();
		build.load(KafkaProducer.class.getResourceAsStream("/kafka/kafka-version.properties"));
		System.out.println("Apache Kafka " + build.getProperty("version"));
		try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
			short replicas = 1;
			admin.createTopics(List.of(
					new NewTopic("aborted", 2, replicas),
					new NewTopic("terminated", 2, replicas))).all().get();
		}
		boolean abort = transaction("aborted",
				"abort", "--topic", "aborted", "--partition", "0", "--start-offset", "0")
				.equals("exit 0; commit: no error; committed records: 0 and 5");
		boolean terminate = transaction("terminated",
				"forceTerminateTransaction", "--transactionalId", "terminated")
				.equals("exit 0; commit: ProducerFencedException; committed records: 0 and 0");
		System.exit(abort && terminate ? 0 : 1);
	}

	/** Writes five records to each partition in a transaction, runs the tool, and commits. */
	static String transaction(String topic, String... tool) throws Exception {
		var settings = Map.<String, Object>of("bootstrap.servers", broker, "transactional.id", topic);
		var text = new StringSerializer();
		String commit = "no error";
		int exit;
		try (var producer = new KafkaProducer<String, String>(settings, text, text)) {
			producer.initTransactions();
			producer.beginTransaction();
			for (int n = 0; n < 10; n++) {
				producer.send(new ProducerRecord<>(topic, n % 2, null, "value"));
			}
			producer.flush();
			exit = run(tool);
			try {
				producer.commitTransaction();
			} catch (KafkaException e) {
				commit = e.getClass().getSimpleName();
			}
		}
		String outcome = "exit " + exit + "; commit: " + commit + "; committed records: "
				+ committed(new TopicPartition(topic, 0)) + " and "
				+ committed(new TopicPartition(topic, 1));
		System.out.println(tool[0] + ": " + outcome);
		return outcome;
	}

	static int run(String... tool) throws Exception {
		// The class path is in the environment.
		var command = new ArrayList<String>(List.of(
				"java", "org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", broker));
		command.addAll(List.of(tool));
		return new ProcessBuilder(command).inheritIO().start().waitFor();
	}

	static int committed(TopicPartition partition) throws Exception {
		long end;
		try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
			var latest = Map.of(partition, OffsetSpec.latest());
			end = admin.listOffsets(latest).partitionResult(partition).get().offset();
		}
		var settings = Map.<String, Object>of(
				"bootstrap.servers", broker,
				"isolation.level", "read_committed");
		var text = new StringDeserializer();
		int count = 0;
		try (var consumer = new KafkaConsumer<String, String>(settings, text, text)) {
			consumer.assign(List.of(partition));
			consumer.seekToBeginning(List.of(partition));
			while (consumer.position(partition) < end) {
				count += consumer.poll(Duration.ofMillis(100)).count();
			}
		}
		return count;
	}
}
JAVA
mvn -q -B dependency:build-classpath -Dmdep.outputFile=classpath
CLASSPATH=$(cat classpath)
export CLASSPATH

ports=$(java Ports.java)
cat >server.properties <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:${ports% *},CONTROLLER://127.0.0.1:${ports#* }
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:${ports#* }
log.dirs=$folder/logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
PROPERTIES
java kafka.tools.StorageTool format --standalone -t AAAAAAAAAAAAAAAAAAAAAQ -c server.properties >format.log
java -Xmx512m kafka.Kafka server.properties >broker.log 2>&1 &
broker=$!
timeout 120 java Finding.java "127.0.0.1:${ports% *}" || exit 1
