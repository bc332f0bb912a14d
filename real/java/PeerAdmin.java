// Kafka's `Admin` as a peer: commands from standard input, for each some lines and then `done COMMAND`. What fails prints
// `failed EXCEPTION`, so that tests see by which class an error arrives at users of Java.
//
//   create TOPIC PARTITIONS [KEY=VALUE …] | delete TOPIC | list | describe TOPIC | partitions TOPIC COUNT
//   alter TOPIC KEY=VALUE … (KEY= to unset) | config TOPIC KEY | ends TOPIC PARTITION
//   groups | group GROUP | offsets GROUP | alteroffset GROUP TOPIC PARTITION OFFSET | deleteoffset GROUP TOPIC PARTITION
//   deletegroup GROUP | cluster

import java.io.BufferedReader;
import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

class PeerAdmin {
    static void run(String bootstrap, BufferedReader in) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            for (String line; (line = in.readLine()) != null; ) {
                try {
                    for (String said : answer(admin, line.split(" "))) {
                        Peer.say(said);
                    }
                } catch (ExecutionException e) {
                    Peer.say("failed " + e.getCause().getClass().getSimpleName());
                }
                Peer.say("done " + line);
            }
        }
    }

    static ConfigResource topic(String name) {
        return new ConfigResource(ConfigResource.Type.TOPIC, name);
    }

    static List<String> answer(Admin admin, String[] w) throws Exception {
        List<String> said = new ArrayList<>();
        switch (w[0]) {
            case "create" -> {
                Map<String, String> configs = new TreeMap<>();
                for (String pair : Arrays.asList(w).subList(3, w.length)) {
                    configs.put(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
                }
                var topic = new NewTopic(w[1], Optional.of(Integer.valueOf(w[2])), Optional.empty()).configs(configs);
                var created = admin.createTopics(List.of(topic));
                created.all().get();
                said.add("partitions " + created.numPartitions(w[1]).get() + ", replicas " + created.replicationFactor(w[1]).get());
            }
            case "delete" -> admin.deleteTopics(List.of(w[1])).all().get();
            case "list" -> said.addAll(new TreeSet<>(admin.listTopics().names().get()));
            case "describe" -> {
                var described = admin.describeTopics(List.of(w[1])).allTopicNames().get().get(w[1]);
                for (var p : described.partitions()) {
                    said.add(p.partition() + ": leader " + p.leader().id() + ", " + p.replicas().size() + " replicas, " + p.isr().size() + " in sync");
                }
            }
            case "partitions" -> admin.createPartitions(Map.of(w[1], NewPartitions.increaseTo(Integer.parseInt(w[2])))).all().get();
            case "alter" -> {
                List<AlterConfigOp> ops = new ArrayList<>();
                for (String pair : Arrays.asList(w).subList(2, w.length)) {
                    String key = pair.substring(0, pair.indexOf('=')), value = pair.substring(pair.indexOf('=') + 1);
                    var kind = value.isEmpty() ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET;
                    ops.add(new AlterConfigOp(new ConfigEntry(key, value), kind));
                }
                admin.incrementalAlterConfigs(Map.of(topic(w[1]), ops)).all().get();
            }
            case "config" -> {
                var entry = admin.describeConfigs(List.of(topic(w[1]))).all().get().get(topic(w[1])).get(w[2]);
                said.add(entry.value() + " " + entry.source());
            }
            case "ends" -> {
                var at = new TopicPartition(w[1], Integer.parseInt(w[2]));
                for (OffsetSpec spec : List.of(OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.maxTimestamp())) {
                    said.add(String.valueOf(admin.listOffsets(Map.of(at, spec)).partitionResult(at).get().offset()));
                }
            }
            case "groups" -> {
                for (var group : admin.listGroups().all().get()) {
                    said.add(group.groupId() + " " + group.groupState().get() + " " + group.type().get());
                }
                Collections.sort(said);
            }
            case "group" -> {
                var group = admin.describeConsumerGroups(List.of(w[1])).all().get().get(w[1]);
                said.add(group.groupState() + ", assignor " + group.partitionAssignor());
                for (var member : group.members()) {
                    said.add(member.clientId() + " " + Peer.names(member.assignment().topicPartitions()));
                }
            }
            case "offsets" -> {
                var offsets = admin.listConsumerGroupOffsets(w[1]).partitionsToOffsetAndMetadata().get();
                offsets.forEach((at, offset) -> said.add(at + " " + offset.offset() + " " + offset.metadata()));
                Collections.sort(said);
            }
            case "alteroffset" -> {
                var at = new TopicPartition(w[2], Integer.parseInt(w[3]));
                admin.alterConsumerGroupOffsets(w[1], Map.of(at, new OffsetAndMetadata(Long.parseLong(w[4]), "by hand"))).all().get();
            }
            case "deleteoffset" -> admin.deleteConsumerGroupOffsets(w[1], Set.of(new TopicPartition(w[2], Integer.parseInt(w[3])))).all().get();
            case "deletegroup" -> admin.deleteConsumerGroups(List.of(w[1])).all().get();
            case "cluster" -> {
                var cluster = admin.describeCluster();
                said.add(cluster.nodes().get().size() + " nodes, cluster " + cluster.clusterId().get());
            }
            default -> throw new IllegalArgumentException(String.join(" ", w));
        }
        return said;
    }
}
