//! Members of groups that run beside a test: klamm's own, in a task, and other clients', in a process.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use klamm::consumer::{ConsumerBuilder, ConsumerHandle};
use klamm::{Client, Message, Record};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::peer::{OtherClient, Peer, PeerRecord};

/// What is waited for must come within this time; far above what anything here may take, to guard against hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// A partition and an offset in it.
pub type Place = (i32, i64);

/// Waits until `condition` holds; gives how long that took.
///
/// # Panics
/// If it does not within a minute.
pub async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}

/// A builder with short times: a session of 6 s, heartbeats every 300 ms.
pub fn member(client: &Client, group: &str, topics: &[&str]) -> ConsumerBuilder {
    let builder = client.consumer(group).topics(topics.iter().copied());
    builder
        .session_timeout(Duration::from_secs(6))
        .heartbeat_interval(Duration::from_millis(300))
        .fetch_max_wait(Duration::from_millis(200))
}

/// Writes `count` records, partition by partition in turn; their values are the numbers from `first` on.
pub async fn fill(client: &Client, topic: &str, partitions: i32, first: usize, count: usize) {
    let producer = client.producer().build().expect("a producer");
    let mut deliveries = Vec::with_capacity(count);
    for (number, partition) in (first..first + count).zip((0..partitions).cycle()) {
        let record = Record::new(topic).partition(partition).value(number.to_string());
        deliveries.push(producer.enqueue(record).await.expect("room in the buffer"));
    }
    for delivery in deliveries {
        delivery.await.expect("delivered");
    }
    producer.close(Duration::from_secs(120)).await.expect("closed");
}

/// The places of records, in order.
pub fn places<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Vec<Place> {
    let mut places: Vec<Place> = messages.into_iter().map(|message| (message.partition, message.offset)).collect();
    places.sort_unstable();
    places
}

/// Every place of a topic that `fill` filled evenly, with `each` records in a partition.
pub fn all_places(partitions: i32, each: i64) -> Vec<Place> {
    (0..partitions).flat_map(|partition| (0..each).map(move |offset| (partition, offset))).collect()
}

/// What members saw together, in order.
pub fn together(seen: impl IntoIterator<Item = Vec<Place>>) -> Vec<Place> {
    let mut seen: Vec<Place> = seen.into_iter().flatten().collect();
    seen.sort_unstable();
    seen
}

/// A member that takes each record with `each_message` and notes it.
#[derive(Debug)]
pub struct Member {
    handle: ConsumerHandle,
    seen: Arc<Mutex<Vec<Message>>>,
    task: JoinHandle<klamm::Result<()>>,
}

impl Member {
    /// Starts it.
    pub fn start(builder: ConsumerBuilder) -> Self {
        Self::start_slow(builder, Duration::ZERO)
    }

    /// Starts one that takes `each` for a record.
    pub fn start_slow(builder: ConsumerBuilder, each: Duration) -> Self {
        let mut consumer = builder.build().expect("a consumer");
        let (handle, seen) = (consumer.handle(), Arc::new(Mutex::new(Vec::new())));
        let noted = seen.clone();
        let handler = move |message: Message| {
            let noted = noted.clone();
            async move {
                if !each.is_zero() {
                    tokio::time::sleep(each).await;
                }
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                Ok::<(), klamm::Error>(())
            }
        };
        let task = tokio::spawn(async move { consumer.each_message(handler).await });
        Self { handle, seen, task }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steers it.
    pub fn handle(&self) -> &ConsumerHandle {
        &self.handle
    }

    /// What it has processed, in its order.
    pub fn seen(&self) -> Vec<Message> {
        self.lock().clone()
    }

    /// How many records it has processed.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// How many partitions it owns.
    pub fn owned(&self) -> usize {
        self.handle.assignment().len()
    }

    /// Has it ended by itself?
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Stops it in order and gives what it processed.
    ///
    /// # Panics
    /// If it met an error, or does not end.
    pub async fn stop(self) -> Vec<Message> {
        self.handle.stop();
        timeout(LIMIT, self.task)
            .await
            .expect("the member ends")
            .expect("no panic in the member")
            .expect("no error of the member");
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a member with another client has told.
#[derive(Debug, Default)]
struct Told {
    records: Vec<PeerRecord>,
    owned: BTreeSet<String>,
    assignments: usize,
}

impl Told {
    fn note(&mut self, line: &str) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        if let Some(record) = PeerRecord::parse(line) {
            self.records.push(record);
        } else if let Some(revoked) = line.strip_prefix("revoked ") {
            let revoked = words(revoked);
            self.owned.retain(|partition| !revoked.contains(partition));
        } else if let Some((_, owned)) = line.strip_prefix("assigned ").and_then(|rest| rest.split_once("owned")) {
            self.owned = words(owned);
            self.assignments += 1;
        }
    }
}

/// A member with another client.
#[derive(Debug)]
pub struct PeerMember {
    told: Arc<Mutex<Told>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl PeerMember {
    /// Starts it with an assignment strategy, such as `range`, or several in the order of wish.
    pub fn start(client: OtherClient, bootstrap: &str, group: &str, topic: &str, strategy: &str) -> Self {
        let mut peer = Peer::start(client, &["member", bootstrap, group, topic, strategy]);
        let (told, (stop, mut stopped)) = (Arc::new(Mutex::new(Told::default())), oneshot::channel());
        let notes = told.clone();
        let note = move |line: &str| notes.lock().unwrap_or_else(PoisonError::into_inner).note(line);
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    line = peer.line() => note(&line.unwrap_or_else(|| panic!("{client}'s member goes on"))),
                    _ = &mut stopped => break,
                }
            }
            peer.end().await.iter().for_each(|line| note(line));
        });
        Self { told, stop, task }
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many partitions it owns, as it says.
    pub fn owned(&self) -> usize {
        self.lock().owned.len()
    }

    /// How often it was given an assignment.
    pub fn assignments(&self) -> usize {
        self.lock().assignments
    }

    /// The places of the records it has seen, in order.
    pub fn places(&self) -> Vec<Place> {
        let told = self.lock();
        let mut places: Vec<Place> =
            told.records.iter().map(|record| (record.partition.expect("a partition"), record.offset)).collect();
        places.sort_unstable();
        places
    }

    /// Has it ended by itself?
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Stops it in order and gives the places of what it saw.
    ///
    /// # Panics
    /// If it failed, or does not end.
    pub async fn stop(self) -> Vec<Place> {
        let Self { told, stop, task } = self;
        // One that is gone has panicked, as the task tells.
        let _ = stop.send(());
        timeout(LIMIT, task).await.expect("the other client's member ends").expect("the other client's member succeeds");
        let told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut places: Vec<Place> =
            told.records.iter().map(|record| (record.partition.expect("a partition"), record.offset)).collect();
        places.sort_unstable();
        places
    }
}
