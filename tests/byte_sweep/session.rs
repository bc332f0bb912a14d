//! Everything that a client does in its life, in a few virtual seconds: connect, learn of the cluster, get a producer id, produce several
//! batches to two partitions, find the coordinator, join, sync, fetch, send heartbeats, commit, leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use klamm::Record;
use klamm::consumer::Consumer;
use klamm::producer::Producer;
use klamm::protocol::ApiKey;
use klamm_broker::Intercept;
use tokio::time::{Instant, sleep, timeout};

use super::world::proxy::Seen;
use super::world::{SECOND, World, close_producer, panics, producer};

pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a request time-out, for which the session waits for a silent broker without reading.
pub(crate) const MAX_POLL_INTERVAL: Duration = Duration::from_secs(40);
const PARTITIONS: i32 = 2;
/// Rounds of records, each a request of its own, before the consumer reads and while its fetch is parked.
const ROUNDS: [usize; 2] = [4, 2];
const PER_ROUND: usize = 2;
/// No part of it may take longer, whatever breaks: the longest time-out is that of a join, 45 s.
const PATIENCE: Duration = Duration::from_secs(100);

/// How a session went.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) took: Duration,
    pub(crate) attempts: usize,
    pub(crate) connections: Vec<Seen>,
    /// How often partitions were lost to the consumer.
    pub(crate) losses: usize,
}

/// What was sent to a partition, in order, and at which offset the broker acknowledged it.
type Sent = Vec<Vec<(String, i64)>>;

/// Runs it and looks at everything that must hold whatever broke on the way.
pub(crate) async fn session(world: &World) -> Report {
    let start = Instant::now();
    // Long enough for several requests to be on their way at once.
    world.broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::DelayResponse(Duration::from_millis(5)));
    // A bootstrap server is tried once by `connect`, as documented; whoever wants more builds, and asks.
    let client = world.builder().build().unwrap();
    let producer = producer(&client).linger(Duration::ZERO).build().unwrap();
    let losses = Arc::new(AtomicUsize::new(0));
    let lost = losses.clone();
    let consumer = client.consumer("g").topics(["t"]).auto_commit_interval(Duration::ZERO);
    let consumer = consumer.session_timeout(SESSION_TIMEOUT).heartbeat_interval(SECOND / 2).max_poll_interval(MAX_POLL_INTERVAL);
    let mut consumer = consumer.on_lost(move |_| _ = lost.fetch_add(1, Ordering::Relaxed)).build().unwrap();

    let mut sent: Sent = vec![Vec::new(); PARTITIONS as usize];
    produce(&producer, &mut sent, ROUNDS[0]).await;
    let mut read = vec![Vec::new(); PARTITIONS as usize];
    consume(&mut consumer, &mut read, count(&sent)).await;
    assert_same(&sent, &read);
    let marked = patient("commit", consumer.commit()).await;
    marked.unwrap();
    // The fetch is parked; heartbeats flow.
    let waited = timeout(SECOND + SECOND / 5, consumer.next()).await;
    assert!(waited.is_err(), "there is nothing to read: {waited:?}");
    let more = ROUNDS[1] * PER_ROUND * PARTITIONS as usize;
    let all = count(&sent) + more;
    tokio::join!(produce(&producer, &mut sent, ROUNDS[1]), consume(&mut consumer, &mut read, all));
    assert_same(&sent, &read);
    patient("close", consumer.close(PATIENCE)).await.unwrap();
    patient("close", close_producer(&producer, PATIENCE)).await.unwrap();
    patient("close", client.close()).await;

    for partition in 0..PARTITIONS {
        let of_partition = &sent[partition as usize];
        let values: Vec<_> = of_partition.iter().map(|(value, _)| value.clone()).collect();
        assert_eq!(world.values("t", partition), values, "the log has each record once and in order");
        let offsets: Vec<_> = of_partition.iter().map(|(_, offset)| *offset).collect();
        assert_eq!(offsets, (0..values.len() as i64).collect::<Vec<_>>(), "records are where their acknowledgements said");
        assert_eq!(world.broker.committed("g", "t", partition), Some(values.len() as i64), "everything read was committed");
    }
    assert_eq!(producer.buffered_bytes(), 0);
    let took = start.elapsed();
    drop((client, producer));
    world.wait_until_empty(if world.is_on_the_wall_clock() { 10 * SECOND } else { SECOND }).await;
    panics::assert_none();
    let connections = world.proxy.seen();
    Report { took, attempts: world.proxy.attempts(), connections, losses: losses.load(Ordering::Relaxed) }
}

async fn patient<T>(what: &str, call: impl Future<Output = T>) -> T {
    timeout(PATIENCE, call).await.unwrap_or_else(|_| panic!("{what} takes longer than {PATIENCE:?}"))
}

/// Sends rounds of records, the first alone, for no more than one is on its way before one was acknowledged, and the others one behind
/// the other; all must be acknowledged.
async fn produce(producer: &Producer, sent: &mut Sent, rounds: usize) {
    let mut deliveries = Vec::new();
    for round in 0..rounds {
        for _ in 0..PER_ROUND {
            for partition in 0..PARTITIONS {
                let of_partition = &mut sent[partition as usize];
                let value = format!("{partition}/{}", of_partition.len());
                let record = Record::new("t").partition(partition).value(value.clone());
                of_partition.push((value, -1));
                let delivery = patient("enqueue", producer.enqueue(record)).await.unwrap();
                deliveries.push((partition as usize, of_partition.len() - 1, delivery));
            }
        }
        if round == 0 {
            patient("flush", producer.flush()).await.unwrap();
        }
        sleep(Duration::from_millis(1)).await;
    }
    for (partition, index, delivery) in deliveries {
        let at = patient("a delivery", delivery).await.unwrap();
        // A duplicate is a success whose place the broker may not tell.
        sent[partition][index].1 = at.offset.unwrap_or(index as i64);
    }
}

/// Reads until so many records were seen: in order, nothing skipped, nothing twice.
async fn consume(consumer: &mut Consumer, read: &mut [Vec<String>], all: usize) {
    while read.iter().map(Vec::len).sum::<usize>() < all {
        let message = patient("next", consumer.next()).await.unwrap().expect("not stopped");
        consumer.mark_as_processed(&message);
        let of_partition = &mut read[message.partition as usize];
        assert_eq!(message.offset, of_partition.len() as i64, "records come in order, each once");
        of_partition.push(String::from_utf8(message.value.unwrap().to_vec()).unwrap());
    }
}

fn count(sent: &Sent) -> usize {
    sent.iter().map(Vec::len).sum()
}

fn assert_same(sent: &Sent, read: &[Vec<String>]) {
    for (sent, read) in sent.iter().zip(read) {
        assert!(sent.iter().map(|(value, _)| value).eq(read.iter()), "sent {sent:?}, read {read:?}");
    }
}
