#!/bin/sh
# A partition without a leader at the commit: no marker is written there, and the next abort takes what was committed.
#
# What one expects: a transaction whose commit succeeded is committed in all of its partitions. Where one has no
# leader at the moment, as while its broker restarts, the coordinator keeps the marker and writes it later.
#
# What happens: Apache Kafka 4.4.0 (broker in KRaft mode and Java client; OpenJDK 17.0.15). The coordinator takes
# a partition without a leader for one that was deleted ("these partitions are likely deleted already and hence
# can be skipped"), writes no marker, and notes the transaction as CompleteCommit. In the partition it stays open:
# readers with read_committed wait before its first record. The next transaction of the same transactional id
# that writes there joins it, and the marker of that one ends both: if it is an abort, committed records are
# gone; if it is a commit, an aborted transaction is committed with it. InitProducerID does not end it either.
# KRaftMetadataCache.getPartitionLeaderEndpoint gives nothing for "no leader", where its callers expect
# Node.noNode (KAFKA-20734).
#
# Seen (one record in a partition of broker 2, flushed; broker 2 is stopped in order, then commitTransaction, and
# broker 2 is started again; then another producer of the same id sends a record and aborts):
#
#   Apache Kafka 4.4.0
#   commit: no error; coordinator, without a leader: CompleteCommit; read_committed ends at 0, read_uncommitted at 1
#   after the next transaction's abort: read_committed ends at 3, committed records: 0
#
# What to do instead: before the first record of a transactional id that was fenced, ask whether its producer id
# has a transaction open (DescribeProducers) or the last stable offset is below the end, and end it as
# DescribeTransactions told before InitProducerID: AddPartitionsToTxn and EndTxn. Replicate topics, so that a
# broker which stops leaves them a leader.
#
# Needs: mvn, java 17 or newer. Exits 1 if the behaviour is another one.
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
			<groupId>org.apache.kafka</groupId>
			<artifactId>kafka_2.13</artifactId>
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
cat >Finding.java <<'JAVA'
import java.io.File;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Finding {
	static final TopicPartition partition = new TopicPartition("topic", 0);
	static final int[] ports = new int[3]; // of broker 1, broker 2 and the controller
	static Admin admin;

	public static void main(String[] args) throws Exception {
		var build = new Properties();
		build.load(KafkaProducer.class.getResourceAsStream("/kafka/kafka-version.properties"));
		System.out.println("Apache Kafka " + build.getProperty("version"));
		for (int i = 0; i < ports.length; i++) {
			try (var socket = new ServerSocket(0)) {
				ports[i] = socket.getLocalPort();
			}
		}
		var running = new ArrayList<Process>();
		Runtime.getRuntime().addShutdownHook(new Thread(() -> running.forEach(Process::destroyForcibly)));
		running.add(broker(1, true));
		admin = Admin.create(Map.of("bootstrap.servers", "127.0.0.1:" + ports[0]));
		String seen;
		try (var producer = producer()) {
			producer.initTransactions(); // the coordinator is on the broker that is there
			Process second = broker(2, true);
			running.add(second);
			await(() -> admin.describeCluster().nodes().get().size() == 2);
			admin.createTopics(List.of(new NewTopic(partition.topic(), Map.of(0, List.of(2))))).all().get();
			await(() -> leader() == 2);
			producer.beginTransaction();
			producer.send(new ProducerRecord<>(partition.topic(), "committed")).get();
			second.destroy();
			second.waitFor();
			await(() -> leader() == -1);
			String commit = "no error";
			try {
				producer.commitTransaction();
			} catch (RuntimeException e) {
				commit = e.getClass().getSimpleName();
			}
			seen = "commit: " + commit;
			for (int i = 0; i < 50 && !state().startsWith("Complete"); i++) {
				Thread.sleep(100); // a coordinator that waits for the leader is left at PrepareCommit
			}
			seen += "; coordinator, without a leader: " + state();
		}
		running.add(broker(2, false));
		await(() -> leader() == 2);
		await(() -> state().startsWith("Complete"));
		seen += "; read_committed ends at " + end(IsolationLevel.READ_COMMITTED)
				+ ", read_uncommitted at " + end(IsolationLevel.READ_UNCOMMITTED);
		System.out.println(seen);
		try (var producer = producer()) {
			producer.initTransactions();
			producer.beginTransaction();
			producer.send(new ProducerRecord<>(partition.topic(), "aborted")).get();
			producer.abortTransaction();
		}
		await(() -> state().startsWith("Complete"));
		String then = "after the next transaction's abort: read_committed ends at " + end(IsolationLevel.READ_COMMITTED)
				+ ", committed records: " + committed();
		System.out.println(then);
		System.exit(seen.equals("commit: no error; coordinator, without a leader: CompleteCommit; read_committed ends at 0, read_uncommitted at 1")
				&& then.equals("after the next transaction's abort: read_committed ends at 3, committed records: 0") ? 0 : 1);
	}

	static Process broker(int node, boolean first) throws Exception {
		var lines = new ArrayList<String>(List.of(
				"process.roles=" + (node == 1 ? "broker,controller" : "broker"),
				"node.id=" + node,
				"listeners=PLAINTEXT://127.0.0.1:" + ports[node - 1]
						+ (node == 1 ? ",CONTROLLER://127.0.0.1:" + ports[2] : ""),
				"controller.listener.names=CONTROLLER",
				"controller.quorum.voters=1@127.0.0.1:" + ports[2],
				"log.dirs=" + new File("logs" + node).getAbsolutePath(),
				"offsets.topic.replication.factor=1",
				"transaction.state.log.num.partitions=1",
				"transaction.state.log.replication.factor=1",
				"transaction.state.log.min.isr=1"));
		Path file = Path.of("server" + node + ".properties");
		Files.write(file, lines);
		if (first) {
			java(node, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", file.toString()).waitFor();
		}
		return java(node, "kafka.Kafka", file.toString());
	}

	/** The class path is in the environment. */
	static Process java(int node, String... command) throws Exception {
		var all = new ArrayList<String>(List.of("java", "-Xmx512m"));
		all.addAll(List.of(command));
		return new ProcessBuilder(all).redirectErrorStream(true)
				.redirectOutput(ProcessBuilder.Redirect.appendTo(new File("log" + node))).start();
	}

	static KafkaProducer<String, String> producer() {
		var text = new StringSerializer();
		return new KafkaProducer<>(Map.<String, Object>of(
				"bootstrap.servers", "127.0.0.1:" + ports[0], "transactional.id", "id"), text, text);
	}

	static int leader() throws Exception {
		var topic = admin.describeTopics(List.of(partition.topic())).allTopicNames().get().get(partition.topic());
		return Optional.ofNullable(topic.partitions().get(0).leader()).map(node -> node.id()).orElse(-1);
	}

	static String state() throws Exception {
		return admin.describeTransactions(List.of("id")).all().get().get("id").state().toString();
	}

	static long end(IsolationLevel isolation) throws Exception {
		return admin.listOffsets(Map.of(partition, OffsetSpec.latest()), new ListOffsetsOptions(isolation))
				.partitionResult(partition).get().offset();
	}

	static int committed() throws Exception {
		var settings = new HashMap<String, Object>(Map.of(
				"bootstrap.servers", "127.0.0.1:" + ports[0], "isolation.level", "read_committed"));
		var text = new StringDeserializer();
		long end = end(IsolationLevel.READ_COMMITTED);
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

	/** Waits for something; what can't be told yet is not so. */
	static void await(Callable<Boolean> something) throws Exception {
		for (;;) {
			try {
				if (something.call()) {
					return;
				}
			} catch (java.util.concurrent.ExecutionException e) {
				// asked again
			}
			Thread.sleep(100);
		}
	}
}
JAVA
mvn -q -B dependency:build-classpath -Dmdep.outputFile=classpath
CLASSPATH=$(cat classpath)
export CLASSPATH
timeout 180 java Finding.java || exit 1
