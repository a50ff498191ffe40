package judge;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.message.FetchRequestData;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.requests.FetchResponse;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.requests.RequestUtils;
import org.apache.kafka.common.requests.ResponseHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * How the transactions of some topics ended, by the markers that lie in their partitions. Kafka's consumer keeps these to itself, so
 * the batches are fetched as they are, by Kafka's own messages.
 *
 * <p>A producer's epoch is one transaction's where the marker has a later one, which is so for all with transaction.version 2.
 */
final class Transactions {
    /** Fetch by names of topics; the next version has their ids. */
    private static final short VERSION = 12;

    private enum End { COMMITTED, ABORTED }

    private record Producer(long id, short epoch) {}

    private record Span(Producer producer, long first, long last) {}

    /** By partition, then by the first offset of a batch that was undecided for a while. */
    private final Map<TopicPartition, TreeMap<Long, Span>> aborted = new HashMap<>();

    private final Map<Producer, EnumSet<End>> ends = new HashMap<>();
    private final Map<Producer, EnumSet<End>> endsOfTopic = new HashMap<>();

    /** Reads a topic to the end that it has now. */
    void read(String bootstrap, String topic) throws IOException {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("allow.auto.create.topics", "false");
        endsOfTopic.clear();
        try (var consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<PartitionInfo> partitions = consumer.partitionsFor(topic, Duration.ofSeconds(20));
            for (PartitionInfo i : partitions) {
                TopicPartition tp = new TopicPartition(topic, i.partition());
                long end = consumer.endOffsets(List.of(tp)).get(tp);
                try (Socket socket = new Socket(i.leader().host(), i.leader().port())) {
                    read(socket, tp, end);
                }
            }
        }
    }

    private void read(Socket socket, TopicPartition tp, long end) throws IOException {
        Map<Long, List<Span>> open = new HashMap<>();
        for (long at = 0; at < end; ) {
            long next = at;
            for (RecordBatch batch : fetch(socket, tp, at).batches()) {
                next = batch.lastOffset() + 1;
                Producer producer = new Producer(batch.producerId(), batch.producerEpoch());
                if (batch.isControlBatch()) {
                    ControlRecordType type = ControlRecordType.parse(batch.iterator().next().key());
                    decide(tp, open.remove(batch.producerId()), type == ControlRecordType.COMMIT ? End.COMMITTED : End.ABORTED, producer);
                } else if (batch.isTransactional()) {
                    open.computeIfAbsent(batch.producerId(), id -> new ArrayList<>()).add(new Span(producer, batch.baseOffset(), batch.lastOffset()));
                }
            }
            if (next == at) {
                throw new IOException(tp + " gives nothing at " + at + " of " + end);
            }
            at = next;
        }
    }

    private void decide(TopicPartition tp, List<Span> spans, End end, Producer marker) {
        for (Span s : spans == null ? List.<Span>of() : spans) {
            if (end == End.ABORTED) {
                aborted.computeIfAbsent(tp, k -> new TreeMap<>()).put(s.first, s);
            }
            if (marker.epoch > s.producer.epoch) {
                ends.computeIfAbsent(s.producer, k -> EnumSet.noneOf(End.class)).add(end);
                endsOfTopic.computeIfAbsent(s.producer, k -> EnumSet.noneOf(End.class)).add(end);
            }
        }
    }

    private static org.apache.kafka.common.record.internal.Records fetch(Socket socket, TopicPartition tp, long at) throws IOException {
        var partition = new FetchRequestData.FetchPartition().setPartition(tp.partition()).setFetchOffset(at).setPartitionMaxBytes(16 << 20);
        var request = new FetchRequestData().setMaxWaitMs(1000).setMinBytes(1).setMaxBytes(16 << 20)
                .setTopics(List.of(new FetchRequestData.FetchTopic().setTopic(tp.topic()).setPartitions(List.of(partition))));
        RequestHeader header = new RequestHeader(ApiKeys.FETCH, VERSION, "judge", 1);
        ByteBuffer bytes = RequestUtils.serialize(header.data(), header.headerVersion(), request, VERSION);
        DataOutputStream out = new DataOutputStream(socket.getOutputStream());
        out.writeInt(bytes.remaining());
        out.write(bytes.array(), bytes.arrayOffset() + bytes.position(), bytes.remaining());
        out.flush();
        DataInputStream in = new DataInputStream(socket.getInputStream());
        ByteBuffer answer = ByteBuffer.wrap(in.readNBytes(in.readInt()));
        ResponseHeader.parse(answer, ApiKeys.FETCH.responseHeaderVersion(VERSION));
        FetchResponseData data = new FetchResponseData(new ByteBufferAccessor(answer), VERSION);
        FetchResponseData.PartitionData found = data.responses().get(0).partitions().get(0);
        Errors.forCode(found.errorCode()).maybeThrow();
        return FetchResponse.recordsOrFail(found);
    }

    /** Whether the record lies in a transaction that was aborted. */
    boolean aborted(TopicPartition tp, long offset) {
        var before = aborted.getOrDefault(tp, new TreeMap<>()).floorEntry(offset);
        return before != null && offset <= before.getValue().last;
    }

    /** The transactions of the topic that was read last which ended in one way in some partition, and in the other in another one. */
    List<String> torn() {
        return endsOfTopic.keySet().stream().filter(p -> ends.get(p).size() > 1).map(p -> "producer " + p.id + ", epoch " + p.epoch).sorted().toList();
    }
}
