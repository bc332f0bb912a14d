//! CPU time that a reader's thread spends per record: `cargo bench --bench consume`.
//!
//! The broker is the embedded one, on a thread of its own over TCP; the client's tasks and the loop that reads share the measured
//! thread, so the figure holds framing, parsing, checksums and handing out, and none of the broker's work. Linux only: the time comes
//! from `/proc/thread-self/schedstat`.

use std::hint::black_box;
use std::time::Duration;

use klamm::Client;
use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS};
use klamm_broker::Broker;

const PARTITIONS: i32 = 6;

/// CPU time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// A topic of `records` records of `size` bytes, in batches of about 64 KiB.
fn fill(broker: &Broker, topic: &str, records: usize, size: usize, compression: Compression) {
    broker.create_topic(topic, PARTITIONS);
    let value: Vec<u8> = (0..size).map(|index| b"abcdefghijklmnopqrstuvwxyz"[index * 7 % 26]).collect();
    let per_batch = (65_536 / (size + 8)).max(1);
    for index in 0..records / per_batch {
        let mut builder = BatchBuilder::new(70_000);
        for _ in 0..per_batch {
            builder.append(1_700_000_000_000, None, Some(&value), NO_HEADERS).expect("a record fits");
        }
        let batch = builder.close(compression).expect("the codec is built in").stamp(-1, -1, -1, false);
        broker
            .append(topic, i32::try_from(index).expect("few batches") % PARTITIONS, batch)
            .expect("a batch")
            .expect("a partition");
    }
}

fn main() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let broker = Broker::builder().start_tcp("127.0.0.1:0").await.expect("a broker");
            sender.send(broker.clone()).expect("the bench waits");
            std::future::pending::<()>().await;
        });
    });
    let broker = receiver.recv().expect("a broker");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (name, records, size, compression) in [
        ("100 B", 1_000_000, 100, Compression::None),
        ("1 KiB", 200_000, 1024, Compression::None),
        ("100 B lz4", 1_000_000, 100, Compression::Lz4),
    ] {
        let topic = name.replace(' ', "-");
        fill(&broker, &topic, records, size, compression);
        let fastest = |nanos: Vec<f64>| nanos.into_iter().fold(f64::INFINITY, f64::min);
        for (how, by_batch) in [("next_batch, borrowed", true), ("next, owned", false)] {
            let nanos = fastest((0..3).map(|_| runtime.block_on(read(&broker, &topic, by_batch))).collect());
            println!("consume {name:<10} {how:<24} {nanos:7.1} ns/record");
        }
        let nanos = fastest((0..3).map(|round| runtime.block_on(consume(&broker, &topic, round, records))).collect());
        println!("consume {name:<10} {:<24} {nanos:7.1} ns/record", "next in a group, marked");
    }
}

/// Reads the topic to its end; nanoseconds of CPU per record.
async fn read(broker: &Broker, topic: &str, by_batch: bool) -> f64 {
    let client = Client::builder(broker.bootstrap()).connect().await.expect("a client");
    let mut reader = client.reader(topic).to_end().build().expect("a reader");
    let (begun, mut count, mut bytes) = (cpu(), 0u64, 0usize);
    if by_batch {
        while let Some(batch) = reader.next_batch().await.expect("records") {
            for record in &batch {
                let record = record.expect("a record");
                bytes += black_box(record.value).map_or(0, <[u8]>::len);
                count += 1;
            }
        }
    } else {
        while let Some(message) = reader.next().await.expect("records") {
            bytes += black_box(&message).value.as_ref().map_or(0, |value| value.len());
            count += 1;
        }
    }
    black_box(bytes);
    (cpu() - begun).as_nanos() as f64 / count as f64
}

/// Consumes the topic in a group of its own; nanoseconds of CPU per record.
async fn consume(broker: &Broker, topic: &str, round: usize, records: usize) -> f64 {
    let client = Client::builder(broker.bootstrap()).connect().await.expect("a client");
    let mut consumer = client.consumer(format!("{topic}-{round}")).topics([topic]).build().expect("a consumer");
    // Joining waits for others to join.
    let (mut count, mut bytes) =
        (1u64, consumer.next().await.expect("a record").map_or(0, |message| message.value.map_or(0, |value| value.len())));
    let begun = cpu();
    // `fill` leaves out what does not make a whole batch.
    while count < records as u64 * 9 / 10 {
        let message = consumer.next().await.expect("records").expect("a record");
        bytes += black_box(&message).value.as_ref().map_or(0, |value| value.len());
        count += 1;
    }
    black_box(bytes);
    let spent = (cpu() - begun).as_nanos() as f64 / count as f64;
    consumer.close(Duration::from_secs(10)).await.expect("closed in order");
    spent
}
