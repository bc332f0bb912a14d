// Kafka's own client as a peer of the tests: what klamm wrote is read by it, what it writes is read by klamm, and it joins klamm's
// groups. librdkafka's peer (real/librdkafka/peer.py) and franz-go's (real/franz/main.go) have the same commands and lines.
//
//   Peer read BOOTSTRAP TOPIC,TOPIC [read_committed]   every record up to the ends as they are now, as JSON lines
//   Peer write BOOTSTRAP TOPIC CODEC[,CODEC]           records from standard input (JSON lines, to their own topic if they name one),
//                                                      prints where each is; of several codecs, records of partition N are written
//                                                      with the Nth
//   Peer member BOOTSTRAP GROUP TOPIC,TOPIC STRATEGY   a member of a group until its standard input ends
//   Peer transactions BOOTSTRAP ID                     commands from standard input: begin | send TOPIC PARTITION VALUE | commit | abort |
//                                                      offset GROUP TOPIC PARTITION OFFSET
//   Peer admin BOOTSTRAP                               commands from standard input, see PeerAdmin.java
//   Peer version
//
// JSON: {"topic","partition","offset","timestamp","key","value","headers":[[name,value]]}; bytes are base64, null is null.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.AppInfoParser;

public class Peer {
    static final ObjectMapper JSON = new ObjectMapper();
    static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in));

    public static void main(String[] a) throws Exception {
        switch (a[0]) {
            case "read" -> read(a[1], Arrays.asList(a[2].split(",")), a.length > 3 ? a[3] : "read_uncommitted");
            case "write" -> write(a[1], a[2], a[3]);
            case "member" -> member(a[1], a[2], Arrays.asList(a[3].split(",")), a[4]);
            case "transactions" -> transactions(a[1], a[2]);
            case "admin" -> PeerAdmin.run(a[1], IN);
            case "version" -> say(AppInfoParser.getVersion());
            default -> throw new IllegalArgumentException(a[0]);
        }
    }

    static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    static String base64(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }

    static byte[] bytes(JsonNode node) {
        return node == null || node.isNull() ? null : Base64.getDecoder().decode(node.asText());
    }

    static String json(ConsumerRecord<byte[], byte[]> record) {
        ObjectNode node = JSON.createObjectNode();
        node.put("topic", record.topic()).put("partition", record.partition()).put("offset", record.offset());
        node.put("timestamp", record.timestamp()).put("key", base64(record.key())).put("value", base64(record.value()));
        var headers = node.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(base64(header.value()));
        }
        return node.toString();
    }

    static Properties consumer(String bootstrap) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("key.deserializer", ByteArrayDeserializer.class.getName());
        p.put("value.deserializer", ByteArrayDeserializer.class.getName());
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        return p;
    }

    static void read(String bootstrap, List<String> topics, String isolation) {
        Properties p = consumer(bootstrap);
        p.put("isolation.level", isolation);
        try (var consumer = new KafkaConsumer<byte[], byte[]>(p)) {
            List<TopicPartition> all = topics.stream().flatMap(topic -> consumer.partitionsFor(topic).stream())
                .map(i -> new TopicPartition(i.topic(), i.partition())).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            StringBuilder out = new StringBuilder();
            while (all.stream().anyMatch(tp -> consumer.position(tp) < ends.get(tp))) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    out.append(json(record)).append('\n');
                    if (out.length() > 1 << 16) {
                        System.out.print(out);
                        out.setLength(0);
                    }
                }
            }
            System.out.print(out);
            System.out.flush();
        }
    }

    static Properties producer(String bootstrap) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("key.serializer", ByteArraySerializer.class.getName());
        p.put("value.serializer", ByteArraySerializer.class.getName());
        return p;
    }

    static void write(String bootstrap, String topic, String codecs) throws Exception {
        List<KafkaProducer<byte[], byte[]>> producers = new ArrayList<>();
        for (String codec : codecs.split(",")) {
            Properties p = producer(bootstrap);
            p.put("compression.type", codec);
            p.put("linger.ms", "20");
            producers.add(new KafkaProducer<>(p));
        }
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (String line; (line = IN.readLine()) != null; ) {
            JsonNode n = JSON.readTree(line);
            Integer partition = n.hasNonNull("partition") ? n.get("partition").asInt() : null;
            String own = n.path("topic").asText();
            var record = new ProducerRecord<>(own.isEmpty() ? topic : own, partition,
                n.hasNonNull("timestamp") ? n.get("timestamp").asLong() : null, bytes(n.get("key")), bytes(n.get("value")));
            if (n.hasNonNull("headers")) {
                for (JsonNode h : n.get("headers")) {
                    record.headers().add(h.get(0).asText(), bytes(h.get(1)));
                }
            }
            sent.add(producers.get(producers.size() == 1 ? 0 : partition).send(record));
        }
        producers.forEach(KafkaProducer::flush);
        for (var future : sent) {
            RecordMetadata m = future.get();
            say(JSON.createObjectNode().put("partition", m.partition()).put("offset", m.offset()).toString());
        }
        producers.forEach(KafkaProducer::close);
    }

    static String names(Collection<TopicPartition> partitions) {
        return partitions.stream().map(TopicPartition::toString).sorted().collect(Collectors.joining(" "));
    }

    static void member(String bootstrap, String group, List<String> topics, String strategy) throws Exception {
        Properties p = consumer(bootstrap);
        p.put("group.id", group);
        p.put("client.id", "java-peer");
        p.put("session.timeout.ms", "10000");
        p.put("heartbeat.interval.ms", "500");
        p.put("partition.assignment.strategy", Arrays.stream(strategy.split(",")).map(s -> switch (s) {
            case "range" -> RangeAssignor.class.getName();
            case "roundrobin" -> RoundRobinAssignor.class.getName();
            case "cooperative-sticky" -> CooperativeStickyAssignor.class.getName();
            default -> throw new IllegalArgumentException(s);
        }).collect(Collectors.joining(",")));
        var consumer = new KafkaConsumer<byte[], byte[]>(p);
        Thread end = new Thread(() -> {
            try {
                while (IN.readLine() != null) { }
            } catch (Exception e) {
                // the same as an end
            }
            consumer.wakeup();
        });
        end.setDaemon(true);
        end.start();
        try {
            consumer.subscribe(topics, new ConsumerRebalanceListener() {
                @Override public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    consumer.commitSync();
                    say("revoked " + names(partitions));
                }
                @Override public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    say("assigned " + names(partitions) + " owned " + names(consumer.assignment()));
                }
            });
            while (true) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    say(json(record));
                }
                consumer.commitAsync();
            }
        } catch (WakeupException e) {
            consumer.commitSync();
        } finally {
            consumer.close();
        }
        say("closed");
    }

    // Commits for a group without members, which has no other constructor.
    @SuppressWarnings("removal")
    static void transactions(String bootstrap, String id) throws Exception {
        Properties p = producer(bootstrap);
        p.put("transactional.id", id);
        try (var producer = new KafkaProducer<byte[], byte[]>(p)) {
            producer.initTransactions();
            for (String line; (line = IN.readLine()) != null; ) {
                String[] words = line.split(" ");
                switch (words[0]) {
                    case "begin" -> producer.beginTransaction();
                    case "send" -> producer.send(new ProducerRecord<>(words[1], Integer.valueOf(words[2]), null, words[3].getBytes())).get();
                    case "offset" -> {
                        var at = new TopicPartition(words[2], Integer.parseInt(words[3]));
                        var offset = new OffsetAndMetadata(Long.parseLong(words[4]), "in a transaction");
                        producer.sendOffsetsToTransaction(Map.of(at, offset), new ConsumerGroupMetadata(words[1]));
                    }
                    case "commit" -> producer.commitTransaction();
                    case "abort" -> producer.abortTransaction();
                    default -> throw new IllegalArgumentException(line);
                }
                say("done " + line);
            }
        }
    }
}
