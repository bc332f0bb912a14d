//! Which batches are compressed.

use std::time::Duration;

use klamm::Record;
use klamm::producer::Partitioning;
use klamm::protocol::records::Compression;
use klamm_broker::Broker;

use crate::harness::{client, one_node, record, sent, values};

const MINUTE: Duration = Duration::from_secs(60);

/// Codec bits and number of records of each batch sent, by partition.
fn batches(broker: &Broker) -> Vec<(i32, i16, i32)> {
    let mut found: Vec<_> =
        sent(broker).iter().map(|sent| (sent.partition, sent.batch.attributes() & 7, sent.batch.record_count())).collect();
    found.sort_unstable();
    found
}

#[tokio::test(start_paused = true)]
async fn rk_074_a_batch_below_the_threshold_is_sent_as_it_is() {
    for (count, codec) in [(9, 0), (10, 1)] {
        let (broker, client) = one_node(1);
        let builder = client.buffered_producer().compression(Compression::Gzip).compression_threshold(10);
        let mut buffer = builder.build().unwrap();
        for _ in 0..count {
            buffer.produce(record(0, "x".repeat(100))).unwrap();
        }
        buffer.deliver().await.unwrap();
        assert_eq!(batches(&broker), [(0, codec, count)]);

        broker.clear_requests();
        let builder = client.producer().compression(Compression::Gzip).compression_threshold(10);
        let producer = builder.build().unwrap();
        for _ in 0..count {
            // Large enough to be compressed on the pool.
            drop(producer.enqueue(record(0, "x".repeat(5_000))).await.unwrap());
        }
        producer.close(MINUTE).await.unwrap();
        assert_eq!(batches(&broker), [(0, codec, count)]);

        broker.clear_requests();
        let builder = client.async_producer().compression(Compression::Gzip).compression_threshold(10);
        let producer = builder.build().unwrap();
        for _ in 0..count {
            producer.produce(record(0, "x".repeat(100))).await.unwrap();
        }
        producer.close(MINUTE).await.unwrap();
        assert_eq!(batches(&broker), [(0, codec, count)]);
    }
}

#[tokio::test(start_paused = true)]
async fn rk_075_the_threshold_counts_for_each_partition() {
    let (broker, client) = one_node(2);
    let builder = client.buffered_producer().compression(Compression::Gzip).compression_threshold(10);
    let mut buffer = builder.build().unwrap();
    for number in 0..20 {
        buffer.produce(record(i32::from(number >= 5), "x".repeat(100))).unwrap();
    }
    buffer.deliver().await.unwrap();
    assert_eq!(batches(&broker), [(0, 0, 5), (1, 1, 15)]);
}

#[tokio::test(start_paused = true)]
async fn without_a_threshold_one_record_is_compressed() {
    let (broker, client) = one_node(1);
    let producer = client.producer().compression(Compression::Gzip).build().unwrap();
    producer.send(record(0, "x".repeat(1000))).await.unwrap();
    assert_eq!(batches(&broker), [(0, 1, 1)]);
}

/// The parts of a batch that was too large have fewer records than the threshold; without the codec they would be too large again.
#[tokio::test(start_paused = true)]
async fn a_compressed_batch_that_is_split_stays_compressed() {
    let broker = Broker::builder().topic("t", 1).message_max_bytes(3_000).start_in_memory().unwrap();
    let builder = client(&broker).buffered_producer().compression(Compression::Gzip).compression_threshold(10);
    let mut buffer = builder.partitioner(Partitioning::Crc32).build().unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let expected: Vec<String> = (0..12)
        .map(|_| {
            // Half of it is noise: compressed it is a third of the limit, uncompressed two thirds.
            let noise: String = (0..600).map(|_| random.alphanumeric()).collect();
            format!("{noise}{}", "x".repeat(1_400))
        })
        .collect();
    for value in &expected {
        buffer.produce(Record::new("t").value(value.clone())).unwrap();
    }
    buffer.deliver().await.unwrap();
    assert_eq!(values(&broker, "t", 0), expected);
    assert!(batches(&broker).iter().all(|(_, codec, _)| *codec == 1), "{:?}", batches(&broker));
}
