//! The numbered producers of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use klamm::Record;
use klamm::producer::{Acks as KlammAcks, Delivery, Producer, ProducerBuilder};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Flag, World};
use crate::history::{Acks, Call, Event, Partition, RecordId, Who, topic_name};
use crate::random::Random;
use crate::workload::{MILLISECOND, ProducerPlan, SECOND};

/// How often the buffer is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A producer, its number and its settings; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Numbered {
    world: World,
    who: Who,
    plan: ProducerPlan,
    pub(super) producer: Producer,
    /// The next record's number.
    next: Arc<AtomicU64>,
    /// Records without a result.
    closed: Flag,
}

impl Numbered {
    /// Builds it for `who`'s client and begins to watch its buffer.
    pub(super) fn start(world: &World, who: Who, plan: &ProducerPlan, builder: ProducerBuilder) -> klamm::Result<Self> {
        let acks = match plan.acks {
            Acks::All => KlammAcks::All,
            Acks::Leader => KlammAcks::Leader,
            Acks::None => KlammAcks::None,
        };
        let producer = builder
            .seed(world.case.seed ^ u64::from(plan.number))
            .compress_inline()
            .idempotent(plan.idempotent)
            .acks(acks)
            .linger(plan.linger)
            .batch_size(plan.batch_size)
            .compression(plan.compression)
            .request_timeout(plan.request_timeout)
            .delivery_timeout(plan.delivery_timeout)
            .max_request_size((plan.batch_size + 1024).max(32 << 10))
            .buffer_memory(plan.buffer_memory)
            .max_block(plan.max_block)
            .build()?;
        world.recorder.push(Event::ProducerStarted {
            producer: plan.number,
            idempotent: plan.idempotent,
            ordered: true,
            acks: plan.acks,
        });
        let (closed, next) = (Flag::default(), Arc::new(AtomicU64::new(0)));
        let numbered = Self { world: world.clone(), who, plan: plan.clone(), producer, next, closed };
        _ = tokio::spawn(numbered.clone().watch());
        Ok(numbered)
    }

    fn gauge(&self, closed: bool) {
        let (used, limit) = (self.producer.buffered_bytes(), self.plan.buffer_memory);
        self.world.recorder.push(Event::Gauge { who: self.who, used, limit, closed });
    }

    async fn watch(self) {
        while !self.closed.is_set() {
            self.gauge(false);
            sleep(LOOK).await;
        }
    }

    /// The number of the next record.
    pub(super) fn number(&self) -> RecordId {
        RecordId { producer: self.plan.number, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// Hands a record over; gives its delivery if it was accepted.
    pub(super) async fn enqueue(&self, record: RecordId, topic: u32, to: Option<i32>, padding: usize) -> Option<Delivery> {
        let recorder = &self.world.recorder;
        let mut content = Record::new(topic_name(topic)).value(record.value(padding)).timestamp(recorder.timestamp());
        if let Some(partition) = to {
            content = content.partition(partition);
        }
        let patience = self.world.patience();
        let call = recorder.call(Call::Enqueue(record), self.plan.max_block, patience, self.producer.enqueue(content));
        match call.await {
            Some(Ok(delivery)) => {
                let partition = Partition { topic, number: delivery.partition() };
                recorder.push(Event::Accepted { record, partition });
                Some(delivery)
            }
            Some(Err(error)) => {
                let possibly_written = error.is_possibly_written();
                recorder.push(Event::Failed { record, possibly_written, error: error.to_string() });
                None
            }
            // Dropped before it was accepted, a record is not sent.
            None => {
                let error = "its call was dropped before it was accepted".to_owned();
                recorder.push(Event::Failed { record, possibly_written: false, error });
                None
            }
        }
    }

    /// Waits for a record's result; was it acknowledged?
    pub(super) async fn result(&self, record: RecordId, topic: u32, delivery: Delivery) -> bool {
        let recorder = &self.world.recorder;
        let limit = self.plan.delivery_timeout;
        // Whoever drops this waits no more.
        let mut unheard = Unheard { record: Some(record), world: &self.world };
        match recorder.call(Call::Delivery(record), limit, self.world.patience(), delivery).await {
            Some(Ok(at)) => {
                let partition = Partition { topic, number: at.partition };
                recorder.push(Event::Acked { record, partition, offset: at.offset });
                unheard.record = None;
                true
            }
            Some(Err(error)) => {
                let possibly_written = error.is_possibly_written();
                recorder.push(Event::Failed { record, possibly_written, error: error.to_string() });
                unheard.record = None;
                false
            }
            None => false,
        }
    }

    /// It is not closed: its last handle is about to be dropped.
    pub(super) fn leave(self) {
        self.closed.set();
    }

    /// Ends it, when all that was accepted has its result at the latest.
    pub(super) async fn close(self) {
        let limit = self.plan.delivery_timeout + SECOND;
        let close = self.producer.close(limit);
        _ = self.world.recorder.call(Call::Close(self.who), limit, None, close).await;
        self.closed.set();
        // A record that ran out of time may still be on its way: its bytes are held until the request is over.
        let deadline = Instant::now() + self.plan.request_timeout + SECOND;
        while self.producer.buffered_bytes() > 0 && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        self.gauge(true);
    }
}

/// A record without a result, for which somebody waits.
struct Unheard<'a> {
    record: Option<RecordId>,
    world: &'a World,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if let Some(record) = self.record {
            self.world.recorder.push(Event::Abandoned { record });
        }
    }
}

/// A producer's life.
pub(super) async fn produce(world: World, plan: ProducerPlan) {
    let who = Who::Producer(plan.number);
    let client = world.client(who).request_timeout(plan.request_timeout).build().expect("the settings are right");
    let numbered = Numbered::start(&world, who, &plan, client.producer()).expect("the settings are right");
    let mut tasks = JoinSet::new();
    for task in 0..plan.tasks {
        _ = tasks.spawn(send(numbered.clone(), task));
    }
    while tasks.join_next().await.is_some() {}
    let flushed = Call::Flush(plan.number);
    let flush = numbered.producer.flush();
    _ = world.recorder.call(flushed, plan.delivery_timeout, world.patience(), flush).await;
    numbered.close().await;
    client.close().await;
}

/// One of the tasks that send.
async fn send(numbered: Numbered, task: u32) {
    let plan = numbered.plan.clone();
    let seed = numbered.world.case.seed;
    let mut random = Random::of(seed, &format!("sends {} {task}", plan.number));
    let partitions = numbered.world.case.workload.partitions as u64;
    let mut waiting = JoinSet::new();
    // Some wait for each result, some for none of them until the end.
    let each = random.once_in(4);
    for sent in 0..plan.records {
        if sent.is_multiple_of(plan.burst) {
            sleep(random.within(0..=plan.longest_pause.as_millis() as u64) as u32 * MILLISECOND).await;
        }
        // What is to come after the faults proves nothing more.
        if numbered.world.recorder.now() > numbered.world.case.workload.duration {
            break;
        }
        let record = numbered.number();
        let to = random.once_in(2).then(|| random.below(partitions) as i32);
        let padding = random.below(plan.padding + 1) as usize;
        if let Some(delivery) = numbered.enqueue(record, 0, to, padding).await {
            if each {
                _ = numbered.result(record, 0, delivery).await;
            } else {
                let numbered = numbered.clone();
                _ = waiting.spawn(async move { numbered.result(record, 0, delivery).await });
            }
        }
    }
    while waiting.join_next().await.is_some() {}
}
