//! From a user's call to the broker's log and back, memory is asked for per batch, never per record.
//!
//! The counter counts one thread, so client, drivers and broker run on one current-thread runtime inside `measure`, compressing
//! inline. The embedded broker's own share is counted with them: the limit holds for both together, so nothing has to be subtracted.

use bytes::Bytes;
use klamm::{Client, Record, Topic};
use klamm_broker::Broker;

/// What is done with the records.
#[derive(Clone, Copy, PartialEq)]
enum Job {
    Produce,
    ProduceAndRead,
}

/// Allocations of a whole run: `count` records of 100 B are produced to three partitions, and perhaps read back in place.
fn allocations(count: usize, job: Job) -> u64 {
    allocation_counter::measure(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(count, job));
    })
    .count_total
}

async fn run(count: usize, job: Job) {
    let (topic, key, value) = (Topic::from("load"), Bytes::from_static(b"key"), Bytes::from(vec![7; 100]));
    let broker = Broker::builder().topic("load", 3).start_in_memory().expect("a broker");
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.expect("a client");
    let producer = client.producer().compress_inline().build().expect("a producer");
    let mut deliveries = Vec::with_capacity(10_000);
    for _ in 0..count / 10_000 {
        for number in 0..10_000_usize {
            let record = Record::new(&topic).value(value.clone());
            let record = if number % 2 == 0 { record.key(key.clone()) } else { record };
            deliveries.push(producer.enqueue(record).await.expect("room"));
        }
        for delivery in deliveries.drain(..) {
            delivery.await.expect("delivered");
        }
    }
    producer.close(std::time::Duration::from_secs(60)).await.expect("closed");
    if job == Job::ProduceAndRead {
        let mut reader = client.reader(&topic).to_end().build().expect("a reader");
        let mut bytes = 0;
        while let Some(batch) = reader.next_batch().await.expect("a batch") {
            for record in batch.records() {
                bytes += record.expect("a record").value.map_or(0, <[u8]>::len);
            }
        }
        assert_eq!(bytes, count * 100, "everything was read");
    }
}

/// Allocations for 200,000 records less those for 100,000, for each of the difference.
fn per_record(job: Job) -> f64 {
    let (more, less) = (allocations(200_000, job), allocations(100_000, job));
    (more as f64 - less as f64) / 100_000.0
}

#[test]
fn producing_allocates_per_batch_and_never_per_record() {
    let per_record = per_record(Job::Produce);
    println!("{per_record} allocations per produced record");
    assert!(per_record < 0.05, "{per_record} allocations per produced record");
}

#[test]
fn reading_in_place_allocates_per_batch_and_never_per_record() {
    let per_record = per_record(Job::ProduceAndRead);
    println!("{per_record} allocations per record produced and read");
    assert!(per_record < 0.05, "{per_record} allocations per record produced and read");
}
