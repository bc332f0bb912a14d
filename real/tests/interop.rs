//! Other clients read what klamm wrote, and klamm reads what they wrote, with each codec: key, value, headers, timestamp (acceptance
//! checks F).
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use klamm::producer::Partitioning;
use klamm::protocol::records::Compression;
use klamm::{Client, Message, Record};
use klamm_real::{
    CODECS, Destination, PeerRecord, as_peer_record, assert_same, cluster_bootstrap, connect, from_messages, java_read,
    java_write, kafka_tool, librdkafka_read, librdkafka_write, new_topic, read_all, sorted, stored_codecs, value,
};

/// Always from the jars: an image that stands in for Kafka's own where no registry can be reached may lack a codec's native library.
fn broker() -> String {
    cluster_bootstrap()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_millis().try_into().expect("before the year 292278994")
}

/// `count` records for one partition; keys are null now and then.
fn records(topic: &str, partition: i32, count: usize, time: i64) -> Vec<Record> {
    let record = |number: usize| Record {
        key: (!number.is_multiple_of(10)).then(|| format!("key {number}").into()),
        ..Record::new(topic)
            .partition(partition)
            // Now and then one that is longer than any codec's block.
            .value(value(number, if number % 400 == 399 { 300_000 } else { number % 700 }))
            .header("number", number.to_string())
            .header("codec", "of a text")
            .timestamp(time + (number as i64 * 7) % 50)
    };
    (0..count).map(record).collect()
}

/// By offset within each partition, as they were written.
fn numbered(records: &[Record]) -> Vec<PeerRecord> {
    let mut next = std::collections::BTreeMap::new();
    let number = |record: &Record| {
        let offset = next.entry(record.partition).or_insert(0);
        *offset += 1;
        as_peer_record(record, *offset - 1)
    };
    records.iter().map(number).collect()
}

async fn write(client: &Client, codec: Compression, records: Vec<Record>) {
    let buffer = client.buffered_producer().compression(codec).max_buffer_size(records.len()).build();
    let mut buffer = buffer.expect("a producer");
    for record in records {
        buffer.produce(record).expect("buffered");
    }
    buffer.deliver().await.expect("delivered");
}

/// A thousand records by klamm, read by klamm and librdkafka.
async fn written_by_klamm(name: &str, codec: Compression) {
    let client = connect(&broker()).await;
    let topic = new_topic(&client, name, 1).await;
    let records = records(&topic, 0, 1000, now());
    let wanted = numbered(&records);
    write(&client, codec, records).await;
    let stored = stored_codecs(&client, &topic, 0).await;
    assert!(stored.iter().all(|stored| *stored == codec), "{stored:?}");
    assert_same(&from_messages(&read_all(&client, &topic).await), &wanted, "klamm");
    assert_same(&sorted(librdkafka_read(&broker(), &topic).await), &wanted, "librdkafka");
}

/// A thousand records by librdkafka, read by klamm.
async fn written_by_librdkafka(name: &str, codec: Compression) {
    let client = connect(&broker()).await;
    let topic = new_topic(&client, &format!("librdkafka-{name}"), 1).await;
    let lines: Vec<_> =
        (0..1000).map(|number| (format!("k{number}"), format!("value {number} ").repeat(1 + number % 40))).collect();
    let before = now();
    librdkafka_write(&broker(), &topic, Destination::Partition(0), name, &[("a", "1"), ("b", "2")], &lines).await;
    let stored = stored_codecs(&client, &topic, 0).await;
    assert!(stored.iter().all(|stored| *stored == codec), "{stored:?}");
    let messages = read_all(&client, &topic).await;
    assert_eq!(messages.len(), lines.len());
    for (message, (key, value)) in messages.iter().zip(&lines) {
        assert_eq!(message.key.as_deref(), Some(key.as_bytes()));
        assert_eq!(message.value.as_deref(), Some(value.as_bytes()));
        assert_eq!(message.headers, [klamm::Header::new("a", "1"), klamm::Header::new("b", "2")]);
        assert!((before..=now()).contains(&message.timestamp), "{}", message.timestamp);
    }
    // What librdkafka itself reads there is the same to the last header and millisecond.
    assert_same(&from_messages(&messages), &sorted(librdkafka_read(&broker(), &topic).await), "librdkafka reads the same");
}

/// A hundred keys of all lengths up to forty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_071_crc32_puts_keys_where_librdkafkas_consistent_does() {
    let client = connect(&broker()).await;
    let (ours, theirs) = (new_topic(&client, "crc32", 17).await, new_topic(&client, "crc32-librdkafka", 17).await);
    let key = |number: usize| {
        format!("{number}-{}", "klamm wrote this key, and did not mean it".get(..number % 40).unwrap_or_default())
    };
    let records: Vec<_> = (0..100).map(|number| (key(number), format!("value {number}"))).collect();
    librdkafka_write(&broker(), &theirs, Destination::By("consistent"), "none", &[], &records).await;
    let producer = client.async_producer().partitioner(Partitioning::Crc32).build().expect("a producer");
    for (key, value) in &records {
        producer.produce(Record::new(ours.as_str()).key(key.clone()).value(value.clone())).await.expect("room");
    }
    producer.close(Duration::from_secs(60)).await.expect("all are acknowledged");
    let places = |messages: Vec<Message>| {
        let place = |message: Message| (message.key.expect("a key"), message.partition);
        messages.into_iter().map(place).collect::<std::collections::BTreeMap<_, _>>()
    };
    let (ours, theirs) = (places(read_all(&client, &ours).await), places(read_all(&client, &theirs).await));
    assert_eq!(ours.len(), 100);
    assert!(ours.values().collect::<std::collections::BTreeSet<_>>().len() > 10, "they are spread");
    assert_eq!(ours, theirs);
}

macro_rules! each_codec {
    ($($ours:ident, $theirs:ident: $name:literal $codec:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $ours() {
            written_by_klamm($name, Compression::$codec).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $theirs() {
            written_by_librdkafka($name, Compression::$codec).await;
        }
    )*};
}

each_codec! {
    uncompressed_records_of_klamm_are_read_back_by_itself_and_by_librdkafka, uncompressed_records_of_librdkafka_are_read: "none" None;
    rk_072_gzip_of_klamm_is_read_back_by_itself_and_by_librdkafka, rk_073_gzip_of_librdkafka_is_read: "gzip" Gzip;
    rk_072_snappy_of_klamm_is_read_back_by_itself_and_by_librdkafka, rk_073_snappy_of_librdkafka_is_read: "snappy" Snappy;
    rk_072_lz4_of_klamm_is_read_back_by_itself_and_by_librdkafka, rk_073_lz4_of_librdkafka_is_read: "lz4" Lz4;
    rk_072_zstd_of_klamm_is_read_back_by_itself_and_by_librdkafka, rk_073_zstd_of_librdkafka_is_read: "zstd" Zstd;
}

/// One partition for each codec, read by Java's consumer in one go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_072_each_codec_of_klamm_is_read_by_javas_consumer() {
    let client = connect(&broker()).await;
    let topic = new_topic(&client, "to-java", 5).await;
    let time = now();
    let mut wanted = Vec::new();
    for (partition, (_, codec)) in (0..).zip(CODECS) {
        let records = records(&topic, partition, 1000, time);
        wanted.extend(numbered(&records));
        write(&client, codec, records).await;
        assert!(stored_codecs(&client, &topic, partition).await.iter().all(|stored| *stored == codec));
    }
    assert_same(&sorted(java_read(&broker(), &topic, "read_committed").await), &wanted, "Java");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_073_each_codec_of_javas_producer_is_read() {
    let client = connect(&broker()).await;
    let topic = new_topic(&client, "from-java", 5).await;
    let time = now();
    let mut wanted: Vec<PeerRecord> = Vec::new();
    for partition in 0..5 {
        wanted.extend(numbered(&records(&topic, partition, 300, time)));
    }
    let mut lines = wanted.clone();
    lines[17].value = None;
    lines[18].headers.push(("null".to_owned(), None));
    wanted.clone_from(&lines);
    let codecs = CODECS.map(|(name, _)| name).join(",");
    let places = java_write(&broker(), &topic, &codecs, &lines).await;
    assert_eq!(places, wanted.iter().map(|record| (record.partition.expect("a partition"), record.offset)).collect::<Vec<_>>());
    for (partition, (_, codec)) in (0..).zip(CODECS) {
        let stored = stored_codecs(&client, &topic, partition).await;
        assert!(stored.iter().all(|stored| *stored == codec), "{stored:?}");
    }
    assert_same(&from_messages(&read_all(&client, &topic).await), &wanted, "klamm");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_consumer_reads_what_klamm_wrote_with_each_codec() {
    const EACH: usize = 50;
    let client = connect(&broker()).await;
    let topic = new_topic(&client, "console", 5).await;
    let time = now();
    let mut wanted = Vec::new();
    for (partition, (name, codec)) in (0..).zip(CODECS) {
        let record = |number: usize| {
            let (key, value) = (format!("key-{number}"), format!("{name}-{number}-").repeat(20));
            let record = Record::new(topic.as_str()).partition(partition).key(key).value(value);
            record.header("a", number.to_string()).header("b", name).timestamp(time + number as i64)
        };
        write(&client, codec, (0..EACH).map(record).collect()).await;
        assert!(stored_codecs(&client, &topic, partition).await.iter().all(|stored| *stored == codec));
        wanted.extend((0..EACH).map(|number| {
            let value = format!("{name}-{number}-").repeat(20);
            let time = time + number as i64;
            format!("CreateTime:{time}\tPartition:{partition}\tOffset:{number}\ta:{number},b:{name}\tkey-{number}\t{value}")
        }));
    }
    let (bootstrap, count) = (broker(), wanted.len().to_string());
    let mut arguments = vec!["--bootstrap-server", &bootstrap, "--topic", &topic, "--from-beginning", "--max-messages", &count];
    arguments.extend(["--timeout-ms", "60000"]);
    for shown in ["print.timestamp=true", "print.partition=true", "print.offset=true", "print.headers=true", "print.key=true"] {
        arguments.extend(["--formatter-property", shown]);
    }
    let printed = kafka_tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &arguments, "").await;
    let mut printed: Vec<&str> = printed.lines().collect();
    printed.sort_unstable();
    wanted.sort();
    assert_eq!(printed.len(), wanted.len());
    for (printed, wanted) in printed.iter().zip(&wanted) {
        assert_eq!(printed, wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_console_producer_wrote_is_read() {
    let client = connect(&broker()).await;
    let topic = new_topic(&client, "console-producer", 1).await;
    let lines: String = (0..200).map(|number| format!("a:{number},b:x\tkey-{number}\tvalue {number}\n")).collect();
    let bootstrap = broker();
    let mut arguments = vec!["--bootstrap-server", &*bootstrap, "--topic", &topic, "--compression-codec", "zstd"];
    for property in ["parse.key=true", "parse.headers=true"] {
        arguments.extend(["--reader-property", property]);
    }
    let before = now();
    kafka_tool("org.apache.kafka.tools.ConsoleProducer", &arguments, &lines).await;
    assert!(stored_codecs(&client, &topic, 0).await.iter().all(|stored| *stored == Compression::Zstd));
    let messages = read_all(&client, &topic).await;
    assert_eq!(messages.len(), 200);
    for (number, message) in messages.iter().enumerate() {
        assert_eq!(message.key.as_deref(), Some(format!("key-{number}").as_bytes()));
        assert_eq!(message.value.as_deref(), Some(format!("value {number}").as_bytes()));
        assert_eq!(message.headers, [klamm::Header::new("a", number.to_string()), klamm::Header::new("b", "x")]);
        assert!((before..=now()).contains(&message.timestamp), "{}", message.timestamp);
    }
}
