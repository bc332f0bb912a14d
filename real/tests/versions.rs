//! The main story on other versions of Kafka, old and new: xtask starts a broker of each, one after the other, and runs the module of
//! that version. What a version does not know yet must be said as an error, never done as something else.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use klamm::admin::{ConfigResource, NewTopic, OffsetSpec, Validate};
use klamm::consumer::IsolationLevel;
use klamm::consumer::assignor::{Assignor, CooperativeStickyAssignor, RangeAssignor};
use klamm::protocol::records::Compression;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{Client, ErrorKind, Header, Record, TopicPartition};
use klamm_real::{
    CODECS, Member, OtherClient, Peer, PeerRecord, Place, Tap, all_places, as_peer_record, assert_same, connect, create, example,
    fill, from_messages, klamm, member, new_topic, places, read_all, seeds, shown, sorted, stored_codecs, together, unique,
    value, version_bootstrap, wait_until,
};
use tokio::process::Command;
use tokio::time::timeout;

/// Written with each codec.
const EACH: usize = 200;

/// A version of Kafka and the address of its broker.
#[derive(Clone, Copy)]
struct Kafka {
    name: &'static str,
    version: (u32, u32),
}

impl Kafka {
    fn new(name: &'static str) -> Self {
        let mut numbers = name.split('.').map(|number| number.parse().expect("a number"));
        Self { name, version: (numbers.next().expect("a major number"), numbers.next().expect("a minor number")) }
    }

    fn bootstrap(self) -> String {
        version_bootstrap(self.name)
    }

    async fn connect(self) -> Client {
        connect(&self.bootstrap()).await
    }

    /// Notes a cell of the table of versions.
    fn shown(self, column: &str, cell: impl std::fmt::Display) {
        shown("versions", self.name, column, cell);
    }
}

/// The example that a newcomer runs first.
async fn quickstart(kafka: Kafka) {
    let run = Command::new(example("quickstart")).arg(kafka.bootstrap()).kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(120), run).await.expect("it ends within two minutes").expect("it can be started");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {}\n{told}", output.status, String::from_utf8_lossy(&output.stderr));
    for part in ["produced 100 records, all acknowledged", "handled 60 records", "100 of 100 committed, no lag"] {
        assert!(told.contains(part), "not told: {part}");
    }
    kafka.shown("quickstart", "✓");
}

/// Written by the idempotent producer with each codec; read by klamm and librdkafka, the same to the last byte.
async fn codecs(kafka: Kafka) {
    let tap = Tap::default();
    let client = Client::builder(seeds(&kafka.bootstrap())).connector(tap.clone()).connect().await.expect("a client");
    let topic = unique("codecs");
    create(&client, NewTopic::new(topic.as_str()).partitions(5).config("retention.ms", "-1")).await;
    let (mut wanted, mut cells): (Vec<PeerRecord>, _) = (Vec::new(), Vec::new());
    for (partition, (name, codec)) in (0..).zip(CODECS) {
        let producer = client.producer().compression(codec).build().expect("a producer");
        if codec == Compression::Zstd && kafka.version < (2, 1) {
            let start = Instant::now();
            let error = producer.send(Record::new(topic.as_str()).partition(partition).value("x")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedVersion, "{error}");
            assert!(error.to_string().contains("zstd needs a broker of Kafka 2.1"), "{error}");
            assert!(start.elapsed() < Duration::from_secs(10), "said at once, not when the delivery times out");
            cells.push((name, "refused".to_owned()));
            continue;
        }
        let (mut records, mut deliveries) = (Vec::new(), Vec::new());
        for number in 0..EACH {
            let record = Record {
                key: (number % 3 > 0).then(|| if number % 3 == 1 { "".into() } else { format!("key {number}").into() }),
                value: (number % 5 > 0).then(|| value(number, if number == EACH - 1 { 200_000 } else { number * 5 })),
                headers: vec![Header::new("number", number.to_string()), Header { key: "null".into(), value: None }],
                timestamp: Some(1_500_000_000_000 + number as i64 * 7 % 50),
                ..Record::new(topic.as_str()).partition(partition)
            };
            deliveries.push(producer.enqueue(record.clone()).await.expect("room in the buffer"));
            records.push(record);
        }
        for (offset, delivery) in (0..).zip(deliveries) {
            assert_eq!(delivery.await.expect("delivered").offset, Some(offset));
        }
        producer.close(Duration::from_secs(30)).await.expect("closed");
        assert!(stored_codecs(&client, &topic, partition).await.iter().all(|stored| *stored == codec), "{name}");
        wanted.extend((0..).zip(&records).map(|(offset, record)| as_peer_record(record, offset)));
        cells.push((name, EACH.to_string()));
    }
    // A broker that has just started may ask for patience.
    assert!(tap.count(ApiKey::INIT_PRODUCER_ID) >= CODECS.len(), "each producer is idempotent");
    assert_same(&from_messages(&read_all(&client, &topic).await), &wanted, "klamm");
    let theirs = OtherClient::Librdkafka.read(&kafka.bootstrap(), &[&topic], "read_committed").await;
    assert_same(&sorted(theirs), &wanted, "librdkafka");
    for (codec, cell) in cells {
        kafka.shown(codec, cell);
    }
}

/// Two members, one after the other: hand-over, checkpoint, leaving, and a third one that goes on where they stopped.
async fn group(kafka: Kafka, strategy: &str, assignor: Arc<dyn Assignor>) {
    let client = kafka.connect().await;
    let (topic, group) = (new_topic(&client, "story", 6).await, unique("group"));
    // Long enough that who does not leave is missed.
    let session = Duration::from_secs(90);
    let start = || Member::start(member(&client, &group, &[&topic]).session_timeout(session).assignors([assignor.clone()]));
    let describe =
        async || client.admin().describe_groups([&group]).await.expect("an answer").remove(0).1.expect("a description");
    let first = start();
    wait_until("the first has all", || first.owned() == 6).await;
    fill(&client, &topic, 6, 0, 300).await;
    wait_until("the first sees all", || first.count() >= 300).await;
    let second = start();
    wait_until("3 and 3", || first.owned() == 3 && second.owned() == 3).await;
    let described = describe().await;
    assert_eq!((described.state.as_str(), described.protocol.as_str(), described.members.len()), ("Stable", strategy, 2));
    fill(&client, &topic, 6, 300, 300).await;
    wait_until("both see all", || first.count() + second.count() >= 600).await;
    for member in [&first, &second] {
        member.handle().commit().await.expect("committed");
    }
    let committed = async || {
        let offsets = client.admin().group_offsets(&group).await.expect("offsets");
        offsets.into_iter().map(|offset| (offset.partition.partition, offset.committed)).collect::<Vec<Place>>()
    };
    assert_eq!(committed().await, (0..6).map(|partition| (partition, 100)).collect::<Vec<_>>());

    let by_first = places(&first.stop().await);
    let took = wait_until("the second has all", || second.owned() == 6).await;
    assert!(took < Duration::from_secs(33), "{took:?}: the first has not left, but was missed");
    fill(&client, &topic, 6, 600, 300).await;
    wait_until("the second sees the rest", || by_first.len() + second.count() >= 900).await;
    let by_second = places(&second.stop().await);
    assert_eq!(committed().await, (0..6).map(|partition| (partition, 150)).collect::<Vec<_>>());
    assert_eq!(describe().await.members.len(), 0, "both have left");

    fill(&client, &topic, 6, 900, 60).await;
    let third = start();
    wait_until("the third sees the new ones", || third.count() >= 60).await;
    // Time for a second delivery, were there one.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let by_third = places(&third.stop().await);
    assert_eq!(by_third.len(), 60, "it goes on where the others stopped");
    assert_eq!(together([by_first, by_second, by_third]), all_places(6, 160), "everything once");
    let listed = client.admin().list_groups().await.expect("groups");
    let listed = listed.into_iter().find(|listed| listed.group_id == group).expect("the group is listed");
    assert_eq!(listed.protocol_type, "consumer");
    assert_eq!((listed.state.is_some(), listed.group_type.is_some()), (kafka.version >= (2, 6), kafka.version >= (3, 8)));
    kafka.shown(strategy, "✓");
}

/// By place and by time.
async fn offsets(kafka: Kafka) {
    let client = kafka.connect().await;
    let topic = unique("offsets");
    create(&client, NewTopic::new(topic.as_str()).partitions(1).config("retention.ms", "-1")).await;
    for timestamp in [1000, 3000, 2000] {
        client.deliver(Record::new(topic.as_str()).partition(0).value("x").timestamp(timestamp)).await.expect("delivered");
    }
    let ask = async |spec| {
        let asked = [TopicPartition::new(topic.as_str(), 0)];
        client.admin().list_offsets(asked, spec).await.expect("an answer").remove(0).1
    };
    let mut found = Vec::new();
    for spec in [OffsetSpec::Beginning, OffsetSpec::End, OffsetSpec::Timestamp(1500), OffsetSpec::Timestamp(9999)] {
        found.push(ask(spec).await.expect("an offset").offset);
    }
    assert_eq!(found, [Some(0), Some(3), Some(1), None]);
    let highest = ask(OffsetSpec::MaxTimestamp).await;
    if kafka.version >= (3, 0) {
        let highest = highest.expect("an offset");
        assert_eq!((highest.offset, highest.timestamp), (Some(1), Some(3000)));
        kafka.shown("offsets", "✓");
    } else {
        let error = highest.expect_err("the broker would take it for a time");
        assert_eq!(error.kind(), ErrorKind::UnsupportedVersion, "{error}");
        kafka.shown("offsets", "✓, highest time refused");
    }
}

/// Created by defaults, described, widened, configured, deleted.
async fn topics(kafka: Kafka) {
    let client = kafka.connect().await;
    let (admin, topic) = (client.admin(), unique("topics"));
    assert_eq!(admin.describe_cluster().await.expect("a cluster").brokers.len(), 1);
    create(&client, NewTopic::new(topic.as_str()).config("cleanup.policy", "compact")).await;
    assert_eq!((client.partition_count(&*topic).await.unwrap(), client.replica_count(&*topic).await.unwrap()), (1, 1));
    let again = admin.create_topic(NewTopic::new(topic.as_str())).await.unwrap_err();
    assert_eq!(again.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS));
    admin.create_partitions(topic.as_str(), 3, Validate::AndApply).await.expect("widened");
    let described = admin.describe_topics([&*topic]).await.expect("an answer").remove(0).1.expect("described");
    assert_eq!((described.partitions.len(), described.topic_id.is_some()), (3, kafka.version >= (2, 8)));
    assert!(described.partitions.iter().all(|partition| partition.leader.is_some()));
    let listed = admin.list_topics().await.expect("topics");
    assert!(listed.iter().any(|listed| listed.name.as_str() == topic && listed.partitions == 3));
    let configs = admin.describe_configs(&ConfigResource::Topic(topic.as_str().into()), Some(&["cleanup.policy"])).await;
    assert_eq!(configs.expect("its configuration")[0].value.as_deref(), Some("compact"));
    admin.delete_topics([&*topic]).await.expect("an answer").remove(0).1.expect("deleted");
    let start = Instant::now();
    while admin.has_topic(topic.as_str()).await.expect("an answer") {
        assert!(start.elapsed() < Duration::from_secs(30), "the deleted topic is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kafka.shown("topics", "✓");

    let apis = admin.api_versions(None).await.expect("versions");
    let used = |api: ApiKey| {
        let found = apis.iter().find(|served| served.api_key == api.0).expect("the broker serves it");
        found.max_version.min(*api.versions().expect("klamm speaks it").end())
    };
    let used = [ApiKey::PRODUCE, ApiKey::FETCH, ApiKey::JOIN_GROUP].map(|api| used(api).to_string());
    kafka.shown("Produce, Fetch, JoinGroup", used.join(", "));
}

/// What librdkafka committed in transactions is read, what it aborted is not.
async fn transactions(kafka: Kafka) {
    let client = kafka.connect().await;
    let topic = new_topic(&client, "transactions", 1).await;
    let mut peer = Peer::start(OtherClient::Librdkafka, &["transactions", &kafka.bootstrap(), &unique("transactions")]);
    for (value, end) in [("first", "commit"), ("second", "abort"), ("third", "commit"), ("fourth", "abort")] {
        for command in ["begin", &format!("send {topic} 0 {value}"), end] {
            peer.done(command).await;
        }
    }
    peer.end().await;
    let read = async |isolation| {
        let reader = client.reader(&*topic).isolation_level(isolation).to_end().build();
        let (mut reader, mut seen) = (reader.expect("a reader"), Vec::new());
        while let Some(message) = timeout(Duration::from_secs(30), reader.next()).await.expect("it ends").expect("a message") {
            seen.push((message.offset, String::from_utf8_lossy(message.value.as_deref().expect("a value")).into_owned()));
        }
        seen
    };
    let all = [(0, "first"), (2, "second"), (4, "third"), (6, "fourth")].map(|(offset, value)| (offset, value.to_owned()));
    assert_eq!(read(IsolationLevel::ReadUncommitted).await, all);
    assert_eq!(read(IsolationLevel::ReadCommitted).await, [all[0].clone(), all[2].clone()]);
    kafka.shown("transactions", "✓");
}

/// The same on the command line.
async fn command_line(kafka: Kafka) {
    let (bootstrap, topic, group) = (kafka.bootstrap(), unique("line"), unique("group"));
    let run = async |arguments: &[&str], input: &str| klamm(&[&["-b", &*bootstrap][..], arguments].concat(), input).await;
    run(&["topics", "create", &topic, "--partitions", "2"], "").await.success();
    let lines: String = (0..50).map(|number| format!("{}:value {number}\n", number % 7)).collect();
    let produced = run(&["produce", &topic, "--key-separator", ":", "--compression", "lz4", "--json"], &lines).await.success();
    assert_eq!(produced.json_lines().len(), 50);
    let consume = ["consume", &topic, "--group", &group, "--exit-at-end", "--json"];
    let consumed = run(&consume, "").await.success();
    let mut values: Vec<String> =
        consumed.json_lines().iter().map(|line| line["value"].as_str().expect("text").to_owned()).collect();
    values.sort_by_key(|value| value.trim_start_matches("value ").parse::<u32>().expect("a number"));
    assert_eq!(values, (0..50).map(|number| format!("value {number}")).collect::<Vec<_>>());
    assert_eq!(run(&consume, "").await.success().json_lines().len(), 0, "the group goes on where it stopped");
    let offsets = run(&["groups", "offsets", &group, "--json"], "").await.success().json_lines();
    let sum = |key: &str| offsets.iter().map(|line| line[key].as_i64().expect("a number")).sum::<i64>();
    assert_eq!((sum("committed"), sum("lag")), (50, 0));
    let highest = run(&["query-offsets", &topic, "--at", "max-timestamp", "--json"], "").await;
    assert_eq!(highest.code, Some(if kafka.version >= (3, 0) { 0 } else { 3 }), "{}", highest.stderr);
    run(&["topics", "delete", &topic, "--yes"], "").await.success();
    kafka.shown("command line", "✓");
}

macro_rules! on_kafka {
    ($($module:ident: $version:literal;)*) => {$(
        mod $module {
            use super::*;

            fn kafka() -> Kafka {
                Kafka::new($version)
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn the_quickstart_tells_its_story() {
                quickstart(kafka()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn each_codec_is_written_and_read_or_refused() {
                codecs(kafka()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn two_members_share_hand_over_and_resume_on_cooperative_sticky() {
                group(kafka(), "cooperative-sticky", Arc::new(CooperativeStickyAssignor)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn two_members_share_hand_over_and_resume_on_range() {
                group(kafka(), "range", Arc::new(RangeAssignor)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn offsets_are_found_by_place_and_time() {
                offsets(kafka()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn topics_come_grow_and_go() {
                topics(kafka()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn aborted_transactions_are_not_read() {
                transactions(kafka()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn the_command_line_does_the_same() {
                command_line(kafka()).await;
            }
        }
    )*};
}

// The same list as OTHER_VERSIONS in xtask/src/kafka/mod.rs.
on_kafka! {
    on_kafka_2_0_1: "2.0.1";
    on_kafka_2_1_1: "2.1.1";
    on_kafka_2_8_2: "2.8.2";
    on_kafka_3_9_2: "3.9.2";
    on_kafka_4_4_0: "4.4.0";
}
