//! Other people's clients on klamm-broker: Java's, with its tools, and librdkafka. No Apache Kafka runs for these tests; they start
//! klamm-broker on TCP themselves.
#![forbid(unsafe_code)]

use klamm::Client;
use klamm::protocol::records::Compression;
use klamm_broker::{Broker, BrokerBuilder};
use klamm_real::OtherClient::{FranzGo, Java, Librdkafka};
use klamm_real::{
    CODECS, Destination, OtherClient, Peer, PeerMember, PeerRecord, all_places, connect, fill, java_read, java_write, kafka_tool,
    librdkafka_group_read, librdkafka_metadata, librdkafka_read, librdkafka_write, stored_codecs, together, wait_until,
};

/// Three nodes, one topic of three partitions.
async fn cluster() -> (Broker, String) {
    started(Broker::builder().nodes(3).topic("orders", 3)).await
}

async fn started(builder: BrokerBuilder) -> (Broker, String) {
    let broker = builder.start_tcp("127.0.0.1:0").await.expect("it starts");
    let bootstrap = broker.bootstrap().join(",");
    (broker, bootstrap)
}

/// Has a peer carry out a command; gives what it said before `done`.
async fn ask(peer: &mut Peer, command: &str) -> Vec<String> {
    peer.say(command).await;
    let mut said = Vec::new();
    loop {
        let line = peer.line().await.unwrap_or_else(|| panic!("the peer ended at `{command}`"));
        if line == format!("done {command}") {
            return said;
        }
        said.push(line);
    }
}

async fn topic_command(bootstrap: &str, arguments: &str) -> String {
    tool("org.apache.kafka.tools.TopicCommand", bootstrap, arguments).await
}

async fn tool(class: &str, bootstrap: &str, arguments: &str) -> String {
    let mut words = vec!["--bootstrap-server", bootstrap];
    words.extend(arguments.split_whitespace());
    kafka_tool(class, &words, "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_producer_writes_and_the_console_consumer_reads() {
    let (_broker, bootstrap) = cluster().await;
    let lines: String = (0..200).map(|number| format!("key-{number}\tvalue {number}\n")).collect();
    let mut arguments = vec!["--bootstrap-server", &*bootstrap, "--topic", "orders", "--compression-codec", "zstd"];
    arguments.extend(["--reader-property", "parse.key=true"]);
    kafka_tool("org.apache.kafka.tools.ConsoleProducer", &arguments, &lines).await;
    let client = connect(&bootstrap).await;
    assert!(stored_codecs(&client, "orders", 0).await.iter().all(|codec| *codec == Compression::Zstd));

    let arguments = "--topic orders --from-beginning --max-messages 200 --timeout-ms 60000 --group printers --formatter-property print.key=true";
    let printed = tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &bootstrap, arguments).await;
    let (mut printed, mut wanted): (Vec<&str>, Vec<&str>) = (printed.lines().collect(), lines.lines().collect());
    printed.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(printed, wanted);

    // It has committed what it read.
    let described =
        tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &bootstrap, "--describe --group printers").await;
    let lags: Vec<_> =
        described.lines().filter(|line| line.starts_with("printers")).map(|line| line.split_whitespace().nth(5)).collect();
    assert_eq!(lags, [Some("0"); 3], "{described}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafkas_own_tools_make_change_and_delete_topics() {
    let (_broker, bootstrap) = cluster().await;
    topic_command(&bootstrap, "--create --topic invoices --partitions 2 --replication-factor 3 --config retention.ms=60000")
        .await;
    let described = topic_command(&bootstrap, "--describe --topic invoices").await;
    assert!(described.contains("PartitionCount: 2\tReplicationFactor: 3\tConfigs: retention.ms=60000"), "{described}");
    topic_command(&bootstrap, "--alter --topic invoices --partitions 4").await;
    let class = "kafka.admin.ConfigCommand";
    tool(class, &bootstrap, "--entity-type topics --entity-name invoices --alter --add-config cleanup.policy=compact").await;
    let described = topic_command(&bootstrap, "--describe --topic invoices").await;
    assert!(described.contains("PartitionCount: 4") && described.contains("cleanup.policy=compact"), "{described}");
    topic_command(&bootstrap, "--delete --topic invoices").await;
    assert_eq!(topic_command(&bootstrap, "--list").await.trim(), "orders");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javas_admin_client_is_at_home() {
    let (_broker, bootstrap) = cluster().await;
    let mut admin = Peer::start(Java, &["admin", &bootstrap]);
    assert_eq!(ask(&mut admin, "cluster").await, ["3 nodes, cluster klamm-broker-cluster00"]);
    assert_eq!(ask(&mut admin, "list").await, ["orders"]);
    assert_eq!(ask(&mut admin, "create invoices 2 retention.ms=60000").await, ["partitions 2, replicas 3"]);
    assert_eq!(ask(&mut admin, "create invoices 2").await, ["failed TopicExistsException"]);
    assert_eq!(ask(&mut admin, "create in/voices 2").await, ["failed InvalidTopicException"]);
    assert_eq!(ask(&mut admin, "create other 2 retention.ms=soon").await, ["failed InvalidConfigurationException"]);
    assert_eq!(ask(&mut admin, "list").await, ["invoices", "orders"]);
    let described = ask(&mut admin, "describe invoices").await;
    assert_eq!(described.len(), 2, "{described:?}");
    assert!(described.iter().all(|line| line.ends_with("3 replicas, 3 in sync")), "{described:?}");
    assert_eq!(ask(&mut admin, "describe nothing").await, ["failed UnknownTopicOrPartitionException"]);
    assert_eq!(ask(&mut admin, "partitions invoices 5").await, [""; 0]);
    assert_eq!(ask(&mut admin, "partitions invoices 3").await, ["failed InvalidPartitionsException"]);
    assert_eq!(ask(&mut admin, "describe invoices").await.len(), 5);

    assert_eq!(ask(&mut admin, "config invoices retention.ms").await, ["60000 DYNAMIC_TOPIC_CONFIG"]);
    assert_eq!(ask(&mut admin, "config orders retention.ms").await, ["604800000 DEFAULT_CONFIG"]);
    ask(&mut admin, "alter orders retention.ms=1000 cleanup.policy=compact").await;
    assert_eq!(ask(&mut admin, "config orders retention.ms").await, ["1000 DYNAMIC_TOPIC_CONFIG"]);
    ask(&mut admin, "alter orders retention.ms=").await;
    assert_eq!(ask(&mut admin, "config orders retention.ms").await, ["604800000 DEFAULT_CONFIG"]);
    assert_eq!(ask(&mut admin, "alter orders retention.ms=soon").await, ["failed InvalidConfigurationException"]);

    assert_eq!(ask(&mut admin, "delete invoices").await, [""; 0]);
    assert_eq!(ask(&mut admin, "delete invoices").await, ["failed UnknownTopicOrPartitionException"]);
    assert_eq!(ask(&mut admin, "list").await, ["orders"]);
    admin.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javas_admin_client_sees_groups_and_moves_their_offsets() {
    let (_broker, bootstrap) = cluster().await;
    let client = connect(&bootstrap).await;
    fill(&client, "orders", 3, 0, 30).await;
    let mut admin = Peer::start(Java, &["admin", &bootstrap]);
    let member = PeerMember::start(Java, &bootstrap, "readers", "orders", "range");
    wait_until("everything is read", || member.places().len() == 30).await;
    assert_eq!(ask(&mut admin, "groups").await, ["readers Stable Classic"]);
    let described = ask(&mut admin, "group readers").await;
    assert_eq!(described, ["Stable, assignor range", "java-peer orders-0 orders-1 orders-2"]);
    assert_eq!(ask(&mut admin, "deletegroup readers").await, ["failed GroupNotEmptyException"]);
    assert_eq!(ask(&mut admin, "alteroffset readers orders 0 3").await, ["failed UnknownMemberIdException"]);
    assert_eq!(member.stop().await, all_places(3, 10));

    assert_eq!(ask(&mut admin, "groups").await, ["readers Empty Classic"]);
    assert_eq!(ask(&mut admin, "offsets readers").await, ["orders-0 10 ", "orders-1 10 ", "orders-2 10 "]);
    ask(&mut admin, "alteroffset readers orders 0 3").await;
    ask(&mut admin, "deleteoffset readers orders 1").await;
    assert_eq!(ask(&mut admin, "offsets readers").await, ["orders-0 3 by hand", "orders-2 10 "]);
    let member = PeerMember::start(Java, &bootstrap, "readers", "orders", "range");
    wait_until("what was moved is read again", || member.places().len() == 17).await;
    member.stop().await;
    let ends = ask(&mut admin, "ends orders 0").await;
    assert_eq!(ends[..2], ["0", "10"], "the third is that of the highest timestamp, which several may have");
    assert_eq!(ask(&mut admin, "deletegroup readers").await, [""; 0]);
    assert_eq!(ask(&mut admin, "deletegroup readers").await, ["failed GroupIdNotFoundException"]);
    assert_eq!(ask(&mut admin, "groups").await, [""; 0]);
    admin.end().await;
}

/// Two members of one client: one has all, both have a part each, and one has all again; every record is seen.
async fn a_group_of_two(other: OtherClient, strategy: &str) {
    let (_broker, bootstrap) = started(Broker::builder().nodes(3).topic("orders", 4)).await;
    let client = connect(&bootstrap).await;
    let start = || PeerMember::start(other, &bootstrap, "pair", "orders", strategy);
    let first = start();
    wait_until("the first has all", || first.owned() == 4).await;
    fill(&client, "orders", 4, 0, 200).await;
    wait_until("it reads all", || first.places().len() == 200).await;
    let second = start();
    wait_until("2 and 2", || first.owned() == 2 && second.owned() == 2).await;
    fill(&client, "orders", 4, 200, 200).await;
    wait_until("both read", || first.places().len() + second.places().len() == 400).await;
    let seen_by_second = second.stop().await;
    assert_eq!(seen_by_second.len(), 100, "half of the second part");
    wait_until("the first has all again", || first.owned() == 4).await;
    fill(&client, "orders", 4, 400, 200).await;
    wait_until("it reads the rest", || first.places().len() + seen_by_second.len() >= 600).await;
    let seen = together([first.stop().await, seen_by_second]);
    assert_eq!(seen, all_places(4, 150), "each record once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_java_consumers_share_a_group() {
    a_group_of_two(Java, "range").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_java_consumers_share_a_cooperative_group() {
    a_group_of_two(Java, "cooperative-sticky").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_librdkafka_consumers_share_a_group() {
    a_group_of_two(Librdkafka, "range").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_franz_go_consumers_share_a_group() {
    a_group_of_two(FranzGo, "cooperative-sticky").await;
}

/// What a client writes in all codecs is read by itself and by Java.
async fn all_codecs(other: OtherClient) {
    let (_broker, bootstrap) = started(Broker::builder().nodes(3).topic("orders", 5)).await;
    let record = |number: usize| PeerRecord {
        topic: "orders".to_owned(),
        partition: Some((number % 5) as i32),
        timestamp: Some(1_790_000_000_000 + number as i64),
        key: (!number.is_multiple_of(3)).then(|| format!("key {number}").into()),
        value: (!number.is_multiple_of(7)).then(|| format!("value {number} ").repeat(number % 20).into()),
        headers: vec![("n".to_owned(), Some(number.to_string().into())), ("empty".to_owned(), None)],
        ..PeerRecord::default()
    };
    let mut records: Vec<_> = (0..200).map(record).collect();
    let codecs = CODECS.map(|(name, _)| name).join(",");
    let places = other.write(&bootstrap, "orders", &codecs, &records).await;
    for (record, (partition, offset)) in records.iter_mut().zip(places) {
        assert_eq!(record.partition, Some(partition));
        record.offset = offset;
    }
    let client = connect(&bootstrap).await;
    for (partition, (name, codec)) in (0..).zip(CODECS) {
        let stored = stored_codecs(&client, "orders", partition).await;
        assert!(stored.iter().all(|stored| *stored == codec), "{name}: {stored:?}");
    }
    let place = |record: &PeerRecord| (record.partition, record.offset);
    records.sort_by_key(place);
    for reader in [other, Java] {
        let mut read = reader.read(&bootstrap, &["orders"], "read_committed").await;
        read.sort_by_key(place);
        assert_eq!(read, records, "as {reader} reads it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_writes_and_reads_all_codecs() {
    all_codecs(Java).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn librdkafka_writes_and_reads_all_codecs() {
    all_codecs(Librdkafka).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn franz_go_writes_and_reads_all_codecs() {
    all_codecs(FranzGo).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kcat_lists_writes_reads_and_is_a_member() {
    let (_broker, bootstrap) = cluster().await;
    assert_eq!(librdkafka_metadata(&bootstrap).await, ["broker 1", "broker 2", "broker 3", "topic orders 3"]);
    let records: Vec<_> = (0..60).map(|number| (format!("key-{number}"), format!("value-{number}"))).collect();
    librdkafka_write(&bootstrap, "orders", Destination::By("murmur2_random"), "lz4", &[("by", "kcat")], &records).await;
    let read = librdkafka_read(&bootstrap, "orders").await;
    let mut values: Vec<_> = read.iter().filter_map(|record| Some((record.key.clone()?, record.value.clone()?))).collect();
    let mut wanted: Vec<(bytes::Bytes, bytes::Bytes)> =
        records.iter().cloned().map(|(key, value)| (key.into(), value.into())).collect();
    values.sort();
    wanted.sort();
    assert_eq!(values, wanted);
    assert!(read.iter().all(|record| record.headers == [("by".to_owned(), Some("kcat".into()))]), "{read:?}");
    assert_eq!(librdkafka_group_read(&bootstrap, "cats", "orders").await.len(), 60);
    let described =
        tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &bootstrap, "--describe --group cats").await;
    let lags: Vec<_> =
        described.lines().filter(|line| line.starts_with("cats")).map(|line| line.split_whitespace().nth(5)).collect();
    assert_eq!(lags, [Some("0"); 3], "{described}");
}

/// The values in `orders` as a reader of this isolation sees them, sorted.
async fn values(bootstrap: &str, isolation: &str) -> Vec<String> {
    let read = java_read(bootstrap, "orders", isolation).await;
    let text = |record: PeerRecord| String::from_utf8(record.value.unwrap_or_default().to_vec()).expect("text");
    let mut values: Vec<_> = read.into_iter().map(text).collect();
    values.sort();
    values
}

async fn committed(client: &Client, group: &str) -> Vec<(i32, i64)> {
    let offsets = client.admin().group_offsets(group).await.expect("offsets");
    offsets.iter().map(|committed| (committed.partition.partition, committed.committed)).collect()
}

/// Transactions of a client's producer: committed ones are seen whole, aborted ones never by readers of what is committed.
async fn transactions(other: OtherClient) {
    let (_broker, bootstrap) = cluster().await;
    java_write(
        &bootstrap,
        "orders",
        "none",
        &[PeerRecord { partition: Some(0), value: Some("plain".into()), ..PeerRecord::default() }],
    )
    .await;
    let mut producer = Peer::start(other, &["transactions", &bootstrap, "mover"]);
    for command in ["begin", "send orders 0 kept-0", "send orders 1 kept-1"] {
        producer.done(command).await;
    }
    assert_eq!(values(&bootstrap, "read_committed").await, ["plain"], "what is open is not seen");
    assert_eq!(values(&bootstrap, "read_uncommitted").await, ["kept-0", "kept-1", "plain"]);
    for command in [
        "commit",
        "begin",
        "send orders 0 dropped-0",
        "send orders 2 dropped-2",
        "abort",
        "begin",
        "send orders 2 kept-2",
        "commit",
    ] {
        producer.done(command).await;
    }
    assert_eq!(values(&bootstrap, "read_committed").await, ["kept-0", "kept-1", "kept-2", "plain"]);
    assert_eq!(values(&bootstrap, "read_uncommitted").await, ["dropped-0", "dropped-2", "kept-0", "kept-1", "kept-2", "plain"]);
    // A second one of the same id fences the first.
    let mut second = Peer::start(other, &["transactions", &bootstrap, "mover"]);
    for command in ["begin", "send orders 1 kept-3", "commit"] {
        second.done(command).await;
    }
    second.end().await;
    assert_eq!(values(&bootstrap, "read_committed").await, ["kept-0", "kept-1", "kept-2", "kept-3", "plain"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transactional_java_producer_is_read_by_a_committed_consumer() {
    transactions(Java).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transactional_librdkafka_producer_is_read_by_a_committed_consumer() {
    transactions(Librdkafka).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_java_transaction_count_when_it_is_committed() {
    let (_broker, bootstrap) = cluster().await;
    let client = connect(&bootstrap).await;
    fill(&client, "orders", 3, 0, 9).await;
    let mut producer = Peer::start(Java, &["transactions", &bootstrap, "offsets"]);
    for command in ["begin", "offset copiers orders 0 2", "send orders 1 copied", "commit"] {
        producer.done(command).await;
    }
    assert_eq!(committed(&client, "copiers").await, [(0, 2)]);
    for command in ["begin", "offset copiers orders 0 3", "offset copiers orders 2 1", "abort"] {
        producer.done(command).await;
    }
    assert_eq!(committed(&client, "copiers").await, [(0, 2)]);
    producer.end().await;
}
