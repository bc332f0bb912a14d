// Makes kafka_clients_4_4_0.txt: javac and java with kafka-clients-4.4.0.jar and slf4j-api on the class path, output redirected.
import java.nio.ByteBuffer;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.clients.consumer.internals.*;
import org.apache.kafka.common.TopicPartition;

public class Assignments {
    static String hex(ByteBuffer b) { StringBuilder s = new StringBuilder(); b = b.duplicate(); while (b.hasRemaining()) s.append(String.format("%02x", b.get())); return s.toString(); }
    static String list(Collection<TopicPartition> p) {
        List<String> l = new ArrayList<>(); List<TopicPartition> q = new ArrayList<>(p);
        q.sort(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition));
        for (TopicPartition t : q) l.add(t.topic() + "/" + t.partition());
        return String.join(",", l);
    }
    static String show(Map<String, List<TopicPartition>> a) {
        StringBuilder s = new StringBuilder(); for (var e : new TreeMap<>(a).entrySet()) s.append(' ').append(e.getKey()).append('=').append(list(e.getValue())); return s.toString();
    }
    static ByteBuffer gen(int g) { ByteBuffer b = ByteBuffer.allocate(4); b.putInt(g); b.flip(); return b; }
    public static void main(String[] args) {
        Random r = new Random(20261121);
        for (int c = 0; c < 120; c++) {
            boolean equal = c % 2 == 0;
            int nt = 1 + r.nextInt(4), nm = 1 + r.nextInt(7);
            TreeMap<String, Integer> topics = new TreeMap<>();
            for (int t = 0; t < nt; t++) topics.put("t" + t, 1 + r.nextInt(9));
            List<TopicPartition> all = new ArrayList<>();
            topics.forEach((t, n) -> { for (int i = 0; i < n; i++) all.add(new TopicPartition(t, i)); });
            Collections.shuffle(all, r);
            TreeMap<String, Subscription> members = new TreeMap<>();
            StringBuilder line = new StringBuilder("case");
            topics.forEach((t, n) -> line.append(' ').append(t).append(':').append(n));
            int next = 0; int style = r.nextInt(4);
            for (int m = 0; m < nm; m++) {
                List<String> sub = new ArrayList<>();
                for (String t : topics.keySet()) if (equal || r.nextInt(3) > 0) sub.add(t);
                if (sub.isEmpty()) sub.add("t0");
                List<TopicPartition> own = new ArrayList<>();
                int want = style == 0 ? 0 : r.nextInt(Math.max(1, 2 * all.size() / nm + 1));
                for (int i = 0; i < want && next < all.size(); i++) { TopicPartition tp = all.get(next++); if (sub.contains(tp.topic())) own.add(tp); }
                own.sort(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition));
                // Some claim what others own, in an older generation.
                int g = own.isEmpty() && r.nextBoolean() ? -1 : 7;
                if (style == 3 && m > 0 && r.nextInt(3) == 0) { g = 6; TopicPartition tp = all.get(r.nextInt(all.size())); if (sub.contains(tp.topic()) && !own.contains(tp)) own.add(tp); }
                Optional<String> inst = r.nextInt(5) == 0 ? Optional.of("i" + (9 - m)) : Optional.empty();
                Subscription s = new Subscription(sub, gen(g), own, g, Optional.empty());
                s.setGroupInstanceId(inst);
                String id = "m" + m;
                members.put(id, s);
                line.append(" | ").append(id).append(' ').append(String.join(",", sub)).append(" gen=").append(g).append(" own=").append(list(own)).append(" instance=").append(inst.orElse(""));
            }
            System.out.println(line);
            System.out.println("range" + show(new RangeAssignor().assign(topics, members)));
            System.out.println("roundrobin" + show(new RoundRobinAssignor().assign(topics, members)));
            System.out.println("cooperative-sticky" + show(new CooperativeStickyAssignor().assign(topics, members)));
        }
        List<TopicPartition> own = List.of(new TopicPartition("orders", 3), new TopicPartition("orders", 0), new TopicPartition("a", 1));
        for (short v = 0; v <= 3; v++) {
            Subscription s = new Subscription(List.of("orders", "a"), gen(5), own, 5, Optional.of("rack-1"));
            System.out.println("subscription " + v + " " + hex(ConsumerProtocol.serializeSubscription(s, v)));
        }
        System.out.println("subscription default " + hex(ConsumerProtocol.serializeSubscription(new Subscription(List.of("orders", "a"), gen(5), own, 5, Optional.empty()))));
        System.out.println("subscription bare " + hex(ConsumerProtocol.serializeSubscription(new Subscription(List.of("t")))));
        CooperativeStickyAssignor a = new CooperativeStickyAssignor();
        System.out.println("userdata new " + hex(a.subscriptionUserData(Set.of("t"))));
        a.onAssignment(new Assignment(own), new ConsumerGroupMetadata("g", 5, "m", Optional.empty()));
        System.out.println("userdata 5 " + hex(a.subscriptionUserData(Set.of("t"))));
        System.out.println("userdata range " + new RangeAssignor().subscriptionUserData(Set.of("t")));
        System.out.println("assignment default " + hex(ConsumerProtocol.serializeAssignment(new Assignment(own))));
        System.out.println("assignment empty " + hex(ConsumerProtocol.serializeAssignment(new Assignment(List.of()))));
        for (short v = 0; v <= 3; v++) System.out.println("assignment " + v + " " + hex(ConsumerProtocol.serializeAssignment(new Assignment(own), v)));
    }
}
