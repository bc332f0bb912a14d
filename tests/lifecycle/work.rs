//! Everything that a user may have under way, all of it unfinished.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use klamm::consumer::{Consumer, Reader};
use klamm::producer::{AsyncProducer, BufferedProducer, Delivery, Overflow, Producer};
use klamm::{Client, ClientBuilder, Record};
use tokio::time::timeout;

use super::world::{producer, record};

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A client's components in the middle of their work. What waits is polled by [`Work::go_on`]; dropping it drops everything at once,
/// in the order of the fields.
pub(crate) struct Work {
    /// Calls of the client, of producers and of `Client::deliver`.
    pub(crate) calls: Vec<Waiting>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) member: Option<Consumer>,
    /// Joins while the other is a member: its join is parked, or the other's rebalance waits for it.
    pub(crate) joiner: Option<Consumer>,
    pub(crate) reader: Option<Reader>,
    pub(crate) lingering: Option<Producer>,
    pub(crate) full: Option<Producer>,
    pub(crate) buffered: Option<BufferedProducer>,
    /// With records queued, on their way, and waiting for room.
    pub(crate) asynchronous: Option<AsyncProducer>,
    pub(crate) client: Option<Client>,
}

/// How many records the two partitions of `t` have to begin with.
pub(crate) const RECORDS: usize = 20;

impl Work {
    /// Begins everything; nothing is waited for yet.
    pub(crate) fn begin(client: ClientBuilder) -> Self {
        let client =
            client.request_timeout(Duration::from_secs(20)).default_api_timeout(Duration::from_secs(25)).build().unwrap();
        // 16 KiB a batch at least: two fill the buffer, and the third waits.
        let full = producer(&client).buffer_memory(32 << 10).max_request_size(32 << 10).delivery_timeout(Duration::from_secs(60));
        let full = full.linger(Duration::from_secs(30)).build().unwrap();
        let lingering =
            producer(&client).linger(Duration::from_secs(30)).delivery_timeout(Duration::from_secs(60)).build().unwrap();
        let mut buffered = client.buffered_producer().build().unwrap();
        for number in 0..3 {
            buffered.produce(Record::new("t").value(format!("buffered {number}"))).unwrap();
        }
        // Without brokers it ends after three rounds at most: that under way, what it took since, what was queued.
        let asynchronous =
            client.async_producer().seed(7).max_buffer_size(2).max_queue_size(2).delivery_threshold(2).max_retries(0);
        let asynchronous = asynchronous.overflow(Overflow::Wait(Duration::from_secs(60))).build().unwrap();
        let member = || client.consumer("g").topics(["t"]).session_timeout(Duration::from_secs(10)).build().unwrap();
        let reader = client.reader("t").prefetch_bytes(2_000).build().unwrap();
        let (topics, deliver, asked) = (client.clone(), client.clone(), client.clone());
        let mut calls: Vec<Waiting> = vec![
            Box::pin(async move { drop(topics.topics().await) }),
            Box::pin(async move { drop(deliver.deliver(record(1, "delivered")).await) }),
            Box::pin(async move { drop(asked.partition_count("t").await) }),
        ];
        for number in 0..4 {
            let (lingering, full) = (lingering.clone(), full.clone());
            let large = vec![b'x'; 15 << 10];
            calls.push(Box::pin(async move { drop(lingering.enqueue(record(0, format!("lingering {number}"))).await) }));
            calls.push(Box::pin(async move { drop(full.enqueue(record(number % 2, large)).await) }));
            let asynchronous = asynchronous.clone();
            calls.push(Box::pin(async move { drop(asynchronous.produce(record(number % 2, "asynchronous")).await) }));
        }
        let (member, joiner) = (member(), member());
        let (member, joiner, reader) = (Some(member), Some(joiner), Some(reader));
        let (lingering, full, buffered, asynchronous) = (Some(lingering), Some(full), Some(buffered), Some(asynchronous));
        let client = Some(client);
        Self { calls, deliveries: Vec::new(), member, joiner, reader, lingering, full, buffered, asynchronous, client }
    }

    /// Lets all of it go on for so long, and then stands still.
    pub(crate) async fn go_on(&mut self, time: Duration) {
        if let Some(producer) = &self.lingering
            && let Ok(delivery) = producer.try_enqueue(record(1, "one more"))
        {
            self.deliveries.push(delivery);
        }
        let Self { calls, member, joiner, reader, buffered, asynchronous, .. } = self;
        // A call that is done is forgotten afterwards.
        let mut done = vec![false; calls.len()];
        let mut waiting: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
        for (call, done) in calls.iter_mut().zip(&mut done) {
            waiting.push(Box::pin(async move {
                call.await;
                *done = true;
            }));
        }
        for consumer in [member, joiner].into_iter().flatten() {
            waiting.push(Box::pin(async move { while let Ok(Some(_)) = consumer.next().await {} }));
        }
        if let Some(reader) = reader {
            waiting.push(Box::pin(async move {
                // A record every now and then: the buffer stays full.
                while let Ok(Some(_)) = reader.next().await {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }));
        }
        if let Some(buffered) = buffered {
            waiting.push(Box::pin(async move { drop(buffered.deliver().await) }));
        }
        if let Some(asynchronous) = asynchronous {
            waiting.push(Box::pin(async move {
                // More than buffer and queue take; then time for all of it.
                while asynchronous.produce(record(0, "asynchronous")).await.is_ok() {
                    if asynchronous.queue_size() == 2 && asynchronous.produce(record(1, "asynchronous")).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }));
        }
        let mut waiting: Vec<_> = waiting.into_iter().map(Some).collect();
        let all = poll_fn(|cx| {
            for slot in &mut waiting {
                if slot.as_mut().is_some_and(|future| future.as_mut().poll(cx).is_ready()) {
                    *slot = None;
                }
            }
            Poll::<()>::Pending
        });
        let _ = timeout(time, all).await;
        drop(waiting);
        let mut done = done.into_iter();
        self.calls.retain(|_| done.next() == Some(false));
    }

    /// Drops everything, one after the other, in an order that follows from `number`.
    pub(crate) fn drop_in_order(mut self, number: usize) {
        type Part = fn(&mut Work);
        let mut parts: [Part; 9] = [
            |work| work.calls.clear(),
            |work| work.deliveries.clear(),
            |work| work.member = None,
            |work| work.joiner = None,
            |work| work.reader = None,
            |work| work.buffered = None,
            |work| work.asynchronous = None,
            |work| (work.lingering, work.full) = (None, None),
            |work| work.client = None,
        ];
        parts.rotate_left(number % 9);
        if number % 3 == 1 {
            parts.reverse();
        }
        parts.iter().for_each(|part| part(&mut self));
    }
}
