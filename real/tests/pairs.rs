//! Every client reads what every client wrote: klamm, Java's, librdkafka and franz-go, both ways, each also with itself.
//!
//! Each writer writes the same records once with each codec, one partition a codec: keys and values null, empty, text, any bytes and
//! larger than a codec's block; headers in their order, also doubled, null and empty; timestamps given, old and in the future, and
//! left to the writer. It writes a second topic where the broker stamps the time. Each reader must find each record in its place, the
//! same to the last byte; where nobody gave the time, the same as every other reader.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use klamm::admin::NewTopic;
use klamm::protocol::records::Compression;
use klamm::{Client, Header, Record};
use klamm_real::OtherClient::{FranzGo, Java, Librdkafka};
use klamm_real::{
    CODECS, OtherClient, PeerRecord, assert_same, cluster_bootstrap, connect, create, from_messages, read_all, shown, sorted,
    stored_codecs, unique, value,
};
use tokio::sync::OnceCell;

/// Records that a writer writes with each codec, at times of its own, and at the broker's.
const EACH: usize = 96;
const APPENDED: usize = 16;

/// Always from the jars: an image that stands in for Kafka's own where no registry can be reached may lack a codec's native library.
fn broker() -> String {
    cluster_bootstrap()
}

#[derive(Clone, Copy)]
enum Side {
    Klamm,
    Other(OtherClient),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Klamm => f.write_str("klamm"),
            Self::Other(client) => client.fmt(f),
        }
    }
}

/// What one writer wrote.
struct Written {
    /// A time of `None` is the writer's to choose, or the broker's.
    records: Vec<PeerRecord>,
    topics: [String; 2],
    /// When it began and ended.
    between: std::ops::RangeInclusive<i64>,
    /// What the first reader found; readers must agree on times that nobody gave.
    found: OnceLock<Vec<PeerRecord>>,
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_millis().try_into().expect("before the year 292278994")
}

/// The `number`th record: the sizes of these lists have no common divisor with each other, so that all is combined with all in turn.
fn record(topic: &str, partition: i32, number: usize) -> PeerRecord {
    let bytes = |text: &'static [u8]| Some(Bytes::from_static(text));
    let large = if number == EACH - 1 { 300_000 } else { 700 };
    let keys_and_values = {
        let keys = [None, bytes(b""), bytes(b"key"), bytes(b"\xff\x00\xfe any")];
        let values = [None, bytes(b""), bytes(b"a text, a text, a text, a text"), Some(value(number, large))];
        (keys[number % 4].clone(), values[number / 4 % 4].clone())
    };
    let header = |name: &str, value: Option<Bytes>| (name.to_owned(), value);
    let headers = match number % 7 {
        0 => vec![],
        1 => vec![header("one", bytes(b"1"))],
        2 => vec![
            header("same", bytes(b"b")),
            header("same", bytes(b"a")),
            header("other", bytes(b"c")),
            header("same", bytes(b"b")),
        ],
        3 => vec![header("null", None), header("empty", bytes(b"")), header("null", None)],
        4 => vec![header("Schlüssel", bytes(b"\x00\xff any bytes")), header("with = , : and blanks", bytes(b"=,: "))],
        5 => (0..40).map(|at| header(&format!("h{at}"), Some(at.to_string().into()))).collect(),
        _ => vec![header("long", Some(value(number, 5000)))],
    };
    let timestamp = match number % 5 {
        0 => None,
        1 => Some(1), // not 0, which for librdkafka's producer means now
        2 => Some(1_000_000_000_123),
        3 => Some(now() - 1000 * number as i64),
        _ => Some(4_102_444_800_999), // 2100-01-01
    };
    let (key, value) = keys_and_values;
    PeerRecord { topic: topic.to_owned(), partition: Some(partition), offset: number as i64, timestamp, key, value, headers }
}

async fn write(writer: Side) -> Written {
    let client = connect(&broker()).await;
    let topics = [unique("pairs"), unique("pairs-appended")];
    let new = |name: &str| {
        let topic = NewTopic::new(name).partitions(CODECS.len() as i32).replicas(1);
        topic.config("min.insync.replicas", "1").config("retention.ms", "-1")
    };
    create(&client, new(&topics[0]).config("message.timestamp.after.max.ms", i64::MAX.to_string())).await;
    create(&client, new(&topics[1]).config("message.timestamp.type", "LogAppendTime")).await;
    let mut records: Vec<PeerRecord> = Vec::new();
    for partition in 0..CODECS.len() as i32 {
        records.extend((0..EACH).map(|number| record(&topics[0], partition, number)));
        records.extend((0..APPENDED).map(|number| record(&topics[1], partition, number)));
    }
    let start = now();
    let places = match writer {
        Side::Klamm => write_with_klamm(&client, &records).await,
        Side::Other(other) => other.write(&broker(), &topics[0], &CODECS.map(|(name, _)| name).join(","), &records).await,
    };
    let between = start..=now();
    let wanted: Vec<(i32, i64)> = records.iter().map(|record| (record.partition.expect("a partition"), record.offset)).collect();
    assert_eq!(places, wanted, "{writer}: what was acknowledged is in the order in which it was handed over");
    for topic in &topics {
        for (partition, (name, codec)) in (0..).zip(CODECS) {
            let mut stored = stored_codecs(&client, topic, partition).await;
            if let Side::Other(Librdkafka | FranzGo) = writer {
                // They leave a batch as it is where compressing does not make it smaller.
                stored.retain(|stored| *stored != Compression::None || codec == Compression::None);
            }
            let as_wanted = !stored.is_empty() && stored.iter().all(|stored| *stored == codec);
            assert!(as_wanted, "{writer}: {name}, but stored are {stored:?}");
        }
    }
    for record in records.iter_mut().filter(|record| record.topic == topics[1]) {
        record.timestamp = None;
    }
    Written { records: sorted(records), topics, between, found: OnceLock::new() }
}

async fn write_with_klamm(client: &Client, records: &[PeerRecord]) -> Vec<(i32, i64)> {
    let producers = CODECS.map(|(_, codec)| client.producer().compression(codec).build().expect("a producer"));
    let mut deliveries = Vec::new();
    for record in records {
        let partition = record.partition.expect("a partition");
        let headers = record.headers.iter().map(|(name, value)| Header { key: name.clone().into(), value: value.clone() });
        let record = Record {
            key: record.key.clone(),
            value: record.value.clone(),
            headers: headers.collect(),
            timestamp: record.timestamp,
            ..Record::new(record.topic.as_str()).partition(partition)
        };
        deliveries.push(producers[partition as usize].enqueue(record).await.expect("room in the buffer"));
    }
    let mut places = Vec::new();
    for delivery in deliveries {
        let at = delivery.await.expect("delivered");
        places.push((at.partition, at.offset.expect("an offset")));
    }
    places
}

async fn written(writer: Side) -> &'static Written {
    static WRITTEN: [OnceCell<Written>; 4] = [const { OnceCell::const_new() }; 4];
    let at = match writer {
        Side::Klamm => 0,
        Side::Other(Java) => 1,
        Side::Other(Librdkafka) => 2,
        Side::Other(FranzGo) => 3,
    };
    WRITTEN[at].get_or_init(|| write(writer)).await
}

async fn read_and_compare(reader: Side, writer: Side) {
    let written = written(writer).await;
    let topics = written.topics.each_ref().map(String::as_str);
    let found = match reader {
        Side::Klamm => {
            let client = connect(&broker()).await;
            let mut found = Vec::new();
            for topic in topics {
                found.extend(from_messages(&read_all(&client, topic).await));
            }
            sorted(found)
        }
        Side::Other(other) => sorted(other.read(&broker(), &topics, "read_committed").await),
    };
    let who = format!("{reader} reads what {writer} wrote");
    assert_eq!(found.len(), CODECS.len() * (EACH + APPENDED), "{who}");
    let mut wanted = written.records.clone();
    for (wanted, found) in wanted.iter_mut().zip(&found).filter(|(wanted, _)| wanted.timestamp.is_none()) {
        let time = found.timestamp.expect("a time");
        assert!(written.between.contains(&time), "{who}: time {time} at offset {} is not of the writing", found.offset);
        wanted.timestamp = found.timestamp;
    }
    assert_same(&found, &wanted, &who);
    assert_same(&found, written.found.get_or_init(|| found.clone()), &format!("{who}, other than another reader"));
    note(&format!("{writer} → {reader}"), &found);
}

/// How many records, and how much of what is special, were compared.
fn note(pair: &str, found: &[PeerRecord]) {
    for (partition, (codec, _)) in (0..).zip(CODECS) {
        shown("pairs", pair, codec, found.iter().filter(|record| record.partition == Some(partition)).count());
    }
    let special = |data: &Option<Bytes>| usize::from(data.as_ref().is_none_or(Bytes::is_empty));
    let headers = found.iter().map(|record| record.headers.len()).sum::<usize>();
    let special = found.iter().map(|record| special(&record.key) + special(&record.value)).sum::<usize>();
    let timestamps = found.iter().filter(|record| record.timestamp.is_some()).count();
    assert!(headers > 1000 && special > 400 && timestamps == found.len());
    shown("pairs", pair, "headers", headers);
    shown("pairs", pair, "null and empty", special);
    shown("pairs", pair, "timestamps", timestamps);
}

macro_rules! each_pair {
    ($($name:ident: $writer:expr => $reader:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            read_and_compare($reader, $writer).await;
        }
    )*};
}

each_pair! {
    klamm_reads_what_klamm_wrote: Side::Klamm => Side::Klamm;
    java_reads_what_klamm_wrote: Side::Klamm => Side::Other(Java);
    librdkafka_reads_what_klamm_wrote: Side::Klamm => Side::Other(Librdkafka);
    franz_go_reads_what_klamm_wrote: Side::Klamm => Side::Other(FranzGo);
    klamm_reads_what_java_wrote: Side::Other(Java) => Side::Klamm;
    java_reads_what_java_wrote: Side::Other(Java) => Side::Other(Java);
    librdkafka_reads_what_java_wrote: Side::Other(Java) => Side::Other(Librdkafka);
    franz_go_reads_what_java_wrote: Side::Other(Java) => Side::Other(FranzGo);
    klamm_reads_what_librdkafka_wrote: Side::Other(Librdkafka) => Side::Klamm;
    java_reads_what_librdkafka_wrote: Side::Other(Librdkafka) => Side::Other(Java);
    librdkafka_reads_what_librdkafka_wrote: Side::Other(Librdkafka) => Side::Other(Librdkafka);
    franz_go_reads_what_librdkafka_wrote: Side::Other(Librdkafka) => Side::Other(FranzGo);
    klamm_reads_what_franz_go_wrote: Side::Other(FranzGo) => Side::Klamm;
    java_reads_what_franz_go_wrote: Side::Other(FranzGo) => Side::Other(Java);
    librdkafka_reads_what_franz_go_wrote: Side::Other(FranzGo) => Side::Other(Librdkafka);
    franz_go_reads_what_franz_go_wrote: Side::Other(FranzGo) => Side::Other(FranzGo);
}

/// The table says which versions it is about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_and_librdkafka_say_their_versions() {
    for client in [Java, Librdkafka] {
        let version = client.version().await;
        assert!(version.contains('.'), "{client}: {version:?}");
        shown("clients", client, "version", version);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn franz_go_says_its_version() {
    let version = FranzGo.version().await;
    assert!(version.contains('.'), "{version:?}");
    shown("clients", FranzGo, "version", version);
}
