//! Consumers' and readers' calls, dropped.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_core::Stream;
use klamm::consumer::{Consumer, ConsumerBuilder, ConsumerHandle, Membership, Reader, SeekTo};
use klamm::protocol::ApiKey;
use klamm::{Client, ErrorKind, Message};
use tokio::time::{sleep, timeout};

use super::cut::{Cut, Progress, cut};
use super::scene::{Scene, patient};
use super::world::{FAREWELL, SECOND, broker, poll_once};

const RECORDS: usize = 10;

/// Both partitions have records, in several batches.
async fn scene() -> Scene {
    let scene = Scene::start(broker(2)).await;
    for partition in 0..2 {
        scene.world.append("t", partition, 0..RECORDS / 4);
        scene.world.append("t", partition, RECORDS / 4..RECORDS / 2);
    }
    scene
}

/// A member that commits only when told to.
fn member(client: &Client) -> ConsumerBuilder {
    client.consumer("g").topics(["t"]).auto_commit_interval(Duration::ZERO)
}

/// What was read, by partition.
#[derive(Debug, Default)]
struct Read([Vec<i64>; 2]);

impl Read {
    fn push(&mut self, message: &Message) {
        self.0[message.partition as usize].push(message.offset);
    }

    fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Every offset once and in order.
    #[track_caller]
    fn assert_all(&self, of_each: usize) {
        for offsets in &self.0 {
            assert_eq!(*offsets, (0..of_each as i64).collect::<Vec<_>>(), "each once and in order");
        }
    }
}

async fn read_on(consumer: &mut Consumer, read: &mut Read, all: usize) {
    while read.count() < all {
        let message = patient("next", consumer.next()).await.unwrap().expect("not stopped");
        read.push(&message);
        consumer.mark_as_processed(&message);
    }
}

/// Closes it: everything that was read is committed, and the group is left.
async fn finish(scene: Scene, mut consumer: Consumer) {
    // The memory of a record is let go with the call after it.
    assert!(timeout(Duration::from_millis(1), consumer.next()).await.is_err());
    assert_eq!(consumer.buffered_bytes(), 0);
    scene.assert_connections_whole().await;
    patient("close", consumer.close(30 * SECOND)).await.unwrap();
    for partition in 0..2 {
        assert_eq!(scene.world.broker.committed("g", "t", partition), Some(RECORDS as i64 / 2));
    }
    assert!(scene.world.broker.group_members("g").is_empty());
    scene.over().await;
}

/// `Consumer::next`, the first of all: joins, looks for its place, fetches.
pub(crate) async fn next(at: Cut) -> Progress {
    let scene = scene().await;
    let mut consumer = member(&scene.client()).build().unwrap();
    let mut read = Read::default();
    let (message, progress) = cut(at, consumer.next()).await;
    if let Some(message) = message {
        read.push(&message.unwrap().unwrap());
    }
    read_on(&mut consumer, &mut read, RECORDS).await;
    read.assert_all(RECORDS / 2);
    finish(scene, consumer).await;
    progress
}

/// The same, again and again for each record: every call is dropped at the cut and made anew.
pub(crate) async fn next_each(at: Cut) -> Progress {
    let scene = scene().await;
    let mut consumer = member(&scene.client()).max_partition_fetch_bytes(100).prefetch_bytes(150).build().unwrap();
    let mut read = Read::default();
    let mut whole = None;
    while read.count() < RECORDS {
        let (message, progress) = cut(at, consumer.next()).await;
        whole.get_or_insert(progress);
        match message {
            Some(message) => read.push(&message.unwrap().unwrap()),
            // A call that is dropped at once, for ever, would get nowhere.
            None => sleep(Duration::from_millis(1)).await,
        }
        if message_needs_longer(at) {
            read_on(&mut consumer, &mut read, RECORDS).await;
        }
    }
    read.assert_all(RECORDS / 2);
    let last = RECORDS as i64 / 2 - 1;
    for partition in 0..2 {
        consumer.seek("t", partition, last).unwrap();
    }
    let mut again = Read([(0..last).collect(), (0..last).collect()]);
    read_on(&mut consumer, &mut again, RECORDS).await;
    finish(scene, consumer).await;
    whole.unwrap()
}

/// A call that is never polled, or never often enough to get a record.
fn message_needs_longer(at: Cut) -> bool {
    matches!(at, Cut::AfterPolls(0) | Cut::Woken(0))
}

/// `Consumer::next`, while partitions are to be given to another member.
pub(crate) async fn next_rebalancing(at: Cut) -> Progress {
    let scene = scene().await;
    let client = scene.client();
    let mut consumer = member(&client).build().unwrap();
    let mut read = Read::default();
    read_on(&mut consumer, &mut read, RECORDS).await;
    let mut other = member(&client).build().unwrap();
    // It joins; the first member hears of it by its next heartbeat.
    assert!(timeout(Duration::from_millis(2_950), other.next()).await.is_err());
    let others = tokio::spawn(async move {
        let message = other.next().await.unwrap().expect("not stopped");
        (other, message)
    });
    let append = tokio::spawn({
        let broker = scene.world.broker.clone();
        async move {
            sleep(SECOND).await;
            for partition in 0..2 {
                broker.append_records("t", partition, [(None, Some(&b"more"[..]))]).unwrap();
            }
        }
    });
    let (message, progress) = cut(at, consumer.next()).await;
    let message = match message {
        Some(message) => message,
        None => patient("next", consumer.next()).await,
    };
    let message = message.unwrap().unwrap();
    let (other, others) = patient("the other member", others).await.unwrap();
    append.await.unwrap();
    let mut partitions = [message.partition, others.partition];
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1], "each has its partition");
    assert_eq!((message.offset, others.offset), (RECORDS as i64 / 2, RECORDS as i64 / 2), "nothing again, nothing skipped");
    scene.assert_connections_whole().await;
    drop((consumer, other, client));
    scene.over().await;
    progress
}

/// `Consumer::next` of a consumer that was stopped: it commits and leaves, in this call or a later one.
pub(crate) async fn next_stopped(at: Cut) -> Progress {
    let scene = scene().await;
    let mut consumer = member(&scene.client()).build().unwrap();
    let mut read = Read::default();
    read_on(&mut consumer, &mut read, RECORDS).await;
    consumer.stop();
    let (end, progress) = cut(at, consumer.next()).await;
    assert!(end.is_none_or(|end| end.unwrap().is_none()));
    assert!(patient("next", consumer.next()).await.unwrap().is_none());
    for partition in 0..2 {
        assert_eq!(scene.world.broker.committed("g", "t", partition), Some(RECORDS as i64 / 2));
    }
    assert!(scene.world.broker.group_members("g").is_empty());
    drop(consumer);
    scene.over().await;
    progress
}

/// `Consumer::next_batch`.
pub(crate) async fn next_batch(at: Cut) -> Progress {
    let scene = scene().await;
    let mut consumer = member(&scene.client()).max_partition_fetch_bytes(100).prefetch_bytes(150).build().unwrap();
    let mut read = Read::default();
    let (first, progress) = cut(at, consumer.next_batch()).await;
    let mut first = first.map(|batch| batch.unwrap().unwrap());
    while read.count() < RECORDS {
        let batch = match first.take() {
            Some(batch) => batch,
            None => patient("next_batch", consumer.next_batch()).await.unwrap().unwrap(),
        };
        batch.messages().for_each(|message| read.push(&message.unwrap()));
        consumer.mark_batch_as_processed(&batch);
    }
    read.assert_all(RECORDS / 2);
    finish(scene, consumer).await;
    progress
}

/// A consumer as a stream.
pub(crate) async fn stream(at: Cut) -> Progress {
    let scene = scene().await;
    let mut consumer = member(&scene.client()).build().unwrap();
    let mut read = Read::default();
    let (message, progress) = cut(at, poll_fn(|cx| Pin::new(&mut consumer).poll_next(cx))).await;
    if let Some(message) = message {
        read.push(&message.unwrap().unwrap());
    }
    while read.count() < RECORDS {
        let message = patient("the stream", poll_fn(|cx| Pin::new(&mut consumer).poll_next(cx))).await.unwrap().unwrap();
        read.push(&message);
        consumer.mark_as_processed(&message);
    }
    read.assert_all(RECORDS / 2);
    finish(scene, consumer).await;
    progress
}

/// What a handler was called with, and what it finished.
#[derive(Clone, Debug, Default)]
struct Handled(Arc<Mutex<(Read, Read)>>);

impl Handled {
    fn begin(&self, message: &Message) {
        self.0.lock().unwrap().0.push(message);
    }

    fn end(&self, message: &Message) -> usize {
        let mut handled = self.0.lock().unwrap();
        handled.1.push(message);
        handled.1.count()
    }

    fn begun(&self) -> usize {
        self.0.lock().unwrap().0.count()
    }

    /// Each record was given to the handler once and in order; at most so many were given up in the middle.
    #[track_caller]
    fn assert_all(&self, of_each: usize, given_up: usize) {
        let handled = self.0.lock().unwrap();
        handled.0.assert_all(of_each);
        assert!(handled.0.count() - handled.1.count() <= given_up, "{handled:?}");
    }
}

async fn work_with(consumer: &mut Consumer, handled: &Handled, all: usize) -> klamm::Result<()> {
    let handle = consumer.handle();
    let handler = |message: Message| {
        let (handled, handle) = (handled.clone(), handle.clone());
        async move {
            handled.begin(&message);
            sleep(Duration::from_millis(2)).await;
            handled.end(&message);
            if handled.begun() == all {
                handle.stop();
            }
            Ok::<_, Infallible>(())
        }
    };
    consumer.each_message(handler).await
}

/// `Consumer::each_message`: the record whose handler was dropped is not marked, nor handed out again.
pub(crate) async fn each_message(at: Cut) -> Progress {
    let scene = scene().await;
    let mut consumer = member(&scene.client()).max_partition_fetch_bytes(100).build().unwrap();
    let handled = Handled::default();
    let (result, progress) = cut(at, work_with(&mut consumer, &handled, RECORDS)).await;
    match result {
        Some(result) => result.unwrap(),
        None => {
            let committed = (0..2).map(|partition| consumer.checkpoint("t", partition).unwrap_or(0)).sum::<i64>();
            assert_eq!(committed as usize, handled.0.lock().unwrap().1.count(), "marked is what was finished");
            // If the last one was given up there is nothing left to handle, and nobody to say that it is over.
            if handled.begun() == RECORDS {
                consumer.stop();
            }
            patient("going on", work_with(&mut consumer, &handled, RECORDS)).await.unwrap();
        }
    }
    handled.assert_all(RECORDS / 2, usize::from(!progress.completed));
    assert!(scene.world.broker.group_members("g").is_empty());
    drop(consumer);
    scene.over().await;
    progress
}

/// `Consumer::each_batch`: the same for batches.
pub(crate) async fn each_batch(at: Cut) -> Progress {
    let scene = scene().await;
    let mut consumer = member(&scene.client()).max_partition_fetch_bytes(100).build().unwrap();
    let handled = Handled::default();
    let (result, progress) = cut(at, batches_with(&mut consumer, &handled)).await;
    match result {
        Some(result) => result.unwrap(),
        None => {
            if handled.begun() == RECORDS {
                consumer.stop();
            }
            patient("going on", batches_with(&mut consumer, &handled)).await.unwrap();
        }
    }
    // One batch, of half a partition at most.
    handled.assert_all(RECORDS / 2, if progress.completed { 0 } else { RECORDS / 2 });
    drop(consumer);
    scene.over().await;
    progress
}

async fn batches_with(consumer: &mut Consumer, handled: &Handled) -> klamm::Result<()> {
    let handle = consumer.handle();
    let handler = |batch: Arc<klamm::consumer::Batch>| {
        let (handled, handle) = (handled.clone(), handle.clone());
        async move {
            let messages: Vec<_> = batch.messages().map(Result::unwrap).collect();
            messages.iter().for_each(|message| handled.begin(message));
            sleep(Duration::from_millis(2)).await;
            messages.iter().for_each(|message| _ = handled.end(message));
            if handled.begun() == RECORDS {
                handle.stop();
            }
            Ok::<_, Infallible>(())
        }
    };
    consumer.each_batch(handler).await
}

/// Says so much to the group's task at once that a wish more has to wait for room.
fn fill_the_way_to_the_group(consumer: &mut Consumer) {
    let full = (0..64).find(|_| poll_once(Box::pin(consumer.subscribe(["t"])).as_mut()).is_none());
    assert!(full.is_some(), "the way to the group's task has no end");
}

/// `Consumer::subscribe`, while the group's task has much to do: the subscription has changed or not.
pub(crate) async fn subscribe(at: Cut) -> Progress {
    let scene = scene().await;
    scene.world.broker.create_topic("other", 1);
    let mut consumer = member(&scene.client()).build().unwrap();
    let mut read = Read::default();
    read_on(&mut consumer, &mut read, RECORDS).await;
    fill_the_way_to_the_group(&mut consumer);
    let (result, progress) = cut(at, consumer.subscribe(["t", "other"])).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    patient("subscribing again", consumer.subscribe(["t", "other"])).await.unwrap();
    scene.world.append("other", 0, ["first"]);
    let message = patient("next", consumer.next()).await.unwrap().unwrap();
    assert_eq!((message.topic.as_str(), message.offset), ("other", 0));
    finish(scene, consumer).await;
    progress
}

/// `Consumer::subscribe_matching`: the same, and until it is known what matches, the old subscription holds.
pub(crate) async fn subscribe_matching(at: Cut) -> Progress {
    let scene = scene().await;
    for topic in ["other", "neither"] {
        scene.world.broker.create_topic(topic, 1);
    }
    let mut consumer = member(&scene.client()).build().unwrap();
    let mut read = Read::default();
    read_on(&mut consumer, &mut read, RECORDS).await;
    fill_the_way_to_the_group(&mut consumer);
    let (result, progress) = cut(at, consumer.subscribe_matching("^(t|other)$")).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    assert!(timeout(10 * SECOND, consumer.next()).await.is_err(), "there is nothing more");
    let assigned: BTreeSet<_> = consumer.assignment().iter().map(|partition| partition.topic.to_string()).collect();
    let matching = BTreeSet::from(["t".to_owned(), "other".to_owned()]);
    let is_unchanged = assigned == BTreeSet::from(["t".to_owned()]);
    assert!(if progress.completed { assigned == matching } else { is_unchanged || assigned == matching }, "{assigned:?}");
    patient("subscribing again", consumer.subscribe_matching("^(t|other)$")).await.unwrap();
    scene.world.append("neither", 0, ["not this"]);
    scene.world.append("other", 0, ["first"]);
    let message = patient("next", consumer.next()).await.unwrap().unwrap();
    assert_eq!((message.topic.as_str(), message.offset), ("other", 0));
    finish(scene, consumer).await;
    progress
}

/// A member whose background heartbeats are far away, that has read everything.
async fn beating(scene: &Scene) -> Consumer {
    let mut consumer = member(&scene.client()).heartbeat_interval(15 * SECOND).build().unwrap();
    read_on(&mut consumer, &mut Read::default(), RECORDS).await;
    scene.world.broker.clear_requests();
    consumer
}

fn beats(scene: &Scene) -> usize {
    scene.world.broker.requests_of(ApiKey::HEARTBEAT).len()
}

/// `ConsumerHandle::heartbeat`: begun, it goes on.
pub(crate) async fn heartbeat(at: Cut) -> Progress {
    let scene = scene().await;
    let consumer = beating(&scene).await;
    let (result, progress) = cut(at, consumer.heartbeat()).await;
    assert!(result.is_none_or(|result| result.unwrap() == Membership::Stable));
    sleep(SECOND).await;
    assert_eq!(beats(&scene), usize::from(progress.polls > 0), "{progress:?}");
    beat_again(scene, consumer).await;
    progress
}

/// The same, while the group's task has much to do: it may not have been begun, and is one at most.
pub(crate) async fn heartbeat_queued(at: Cut) -> Progress {
    let scene = scene().await;
    let mut consumer = beating(&scene).await;
    fill_the_way_to_the_group(&mut consumer);
    let (result, progress) = cut(at, consumer.heartbeat()).await;
    assert!(result.is_none_or(|result| result.unwrap() == Membership::Stable));
    sleep(SECOND).await;
    assert!((usize::from(progress.completed)..=1).contains(&beats(&scene)), "{progress:?}: {}", beats(&scene));
    beat_again(scene, consumer).await;
    progress
}

/// `ConsumerHandle::heartbeat_if_due`: waits for one that is on its way, and who asked for that one hears of it all the same.
pub(crate) async fn heartbeat_if_due(at: Cut) -> Progress {
    let scene = scene().await;
    let consumer = beating(&scene).await;
    let handle = consumer.handle();
    let other = tokio::spawn(async move { handle.heartbeat().await });
    tokio::task::yield_now().await;
    let (result, progress) = cut(at, consumer.heartbeat_if_due()).await;
    assert!(result.is_none_or(|result| result.unwrap() == Membership::Stable));
    assert_eq!(patient("another heartbeat", other).await.unwrap().unwrap(), Membership::Stable);
    assert_eq!(beats(&scene), 1, "one for both");
    beat_again(scene, consumer).await;
    progress
}

async fn beat_again(scene: Scene, consumer: Consumer) {
    let before = beats(&scene);
    assert_eq!(patient("a heartbeat again", consumer.heartbeat()).await.unwrap(), Membership::Stable);
    assert_eq!((beats(&scene) - before, consumer.membership()), (1, Membership::Stable));
    // Those in the background go on.
    sleep(16 * SECOND).await;
    assert_eq!(beats(&scene) - before, 2);
    finish(scene, consumer).await;
}

/// `ConsumerHandle::commit`: it goes on when nobody waits for it.
pub(crate) async fn commit(at: Cut) -> Progress {
    commit_after(at, |_| {}).await
}

/// The same, while the group's task has much to do.
pub(crate) async fn commit_queued(at: Cut) -> Progress {
    commit_after(at, fill_the_way_to_the_group).await
}

async fn commit_after(at: Cut, prepare: impl FnOnce(&mut Consumer)) -> Progress {
    let scene = scene().await;
    let mut consumer = member(&scene.client()).build().unwrap();
    let mut read = Read::default();
    read_on(&mut consumer, &mut read, RECORDS).await;
    prepare(&mut consumer);
    let (result, progress) = cut(at, consumer.commit()).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    sleep(SECOND).await;
    for partition in 0..2 {
        let committed = scene.world.broker.committed("g", "t", partition);
        assert_eq!(committed.unwrap_or(0), if progress.polls > 0 { RECORDS as i64 / 2 } else { 0 }, "{progress:?}");
    }
    patient("committing again", consumer.commit()).await.unwrap();
    finish(scene, consumer).await;
    progress
}

/// Several commits at once, one of them dropped: the others hear of theirs.
pub(crate) async fn commit_beside_others(at: Cut) -> Progress {
    let scene = scene().await;
    let mut consumer = member(&scene.client()).build().unwrap();
    let mut read = Read::default();
    read_on(&mut consumer, &mut read, RECORDS).await;
    let other = |handle: ConsumerHandle| tokio::spawn(async move { handle.commit().await });
    let before = other(consumer.handle());
    tokio::task::yield_now().await;
    consumer.seek("t", 0, 3).unwrap();
    let (result, progress) = cut(at, consumer.commit()).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    let after = other(consumer.handle());
    for bystander in [before, after] {
        patient("another commit", bystander).await.unwrap().unwrap();
    }
    assert_eq!(scene.world.broker.committed("g", "t", 0), Some(3));
    read_on(&mut consumer, &mut Read([vec![0; 3], vec![0; RECORDS / 2]]), RECORDS).await;
    finish(scene, consumer).await;
    progress
}

/// `Consumer::close`: dropped, it is a consumer that was dropped, whose commit may have been made.
pub(crate) async fn close(at: Cut) -> Progress {
    let scene = scene().await.may_end("group").may_end("fetch");
    let client = scene.client();
    let mut consumer = member(&client).build().unwrap();
    let mut read = Read::default();
    read_on(&mut consumer, &mut read, RECORDS / 2).await;
    let marked: Vec<_> = (0..2).map(|partition| consumer.checkpoint("t", partition).unwrap_or(0)).collect();
    let (result, progress) = cut(at, consumer.close(30 * SECOND)).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    sleep(FAREWELL).await;
    assert!(scene.world.broker.group_members("g").is_empty(), "it has left");
    let committed: Vec<_> = (0..2).map(|partition| scene.world.broker.committed("g", "t", partition).unwrap_or(0)).collect();
    assert!(committed == marked || (committed == [0, 0] && !progress.completed), "{committed:?} of {marked:?}");
    // The next member goes on there.
    let mut next = member(&client).build().unwrap();
    let mut rest = Read(committed.iter().map(|from| (0..*from).collect()).collect::<Vec<_>>().try_into().unwrap());
    read_on(&mut next, &mut rest, RECORDS).await;
    rest.assert_all(RECORDS / 2);
    patient("close", next.close(30 * SECOND)).await.unwrap();
    drop(client);
    scene.over().await;
    progress
}

fn reader(client: &Client) -> Reader {
    client.reader("t").max_partition_fetch_bytes(100).prefetch_bytes(150).to_end().build().unwrap()
}

/// `Reader::next` and the reader as a stream.
pub(crate) async fn reader_next(at: Cut) -> Progress {
    reading(at, async |reader| reader.next().await).await
}

pub(crate) async fn reader_stream(at: Cut) -> Progress {
    reading(at, async |reader| poll_fn(|cx| Pin::new(&mut *reader).poll_next(cx)).await.transpose()).await
}

async fn reading(at: Cut, mut next: impl AsyncFnMut(&mut Reader) -> klamm::Result<Option<Message>>) -> Progress {
    let scene = scene().await;
    let client = scene.client();
    let mut reader = reader(&client);
    let mut read = Read::default();
    let (first, progress) = cut(at, next(&mut reader)).await;
    if let Some(first) = first {
        read.push(&first.unwrap().unwrap());
    }
    while let Some(message) = patient("next", next(&mut reader)).await.unwrap() {
        read.push(&message);
    }
    read.assert_all(RECORDS / 2);
    scene.assert_connections_whole().await;
    drop((reader, client));
    scene.over().await;
    progress
}

/// `Reader::next_batch`.
pub(crate) async fn reader_next_batch(at: Cut) -> Progress {
    let scene = scene().await;
    let client = scene.client();
    let mut reader = reader(&client);
    let mut read = Read::default();
    let (first, progress) = cut(at, reader.next_batch()).await;
    if let Some(first) = first {
        first.unwrap().unwrap().messages().for_each(|message| read.push(&message.unwrap()));
    }
    while let Some(batch) = patient("next_batch", reader.next_batch()).await.unwrap() {
        batch.messages().for_each(|message| read.push(&message.unwrap()));
    }
    read.assert_all(RECORDS / 2);
    scene.assert_connections_whole().await;
    drop((reader, client));
    scene.over().await;
    progress
}

/// `Reader::each_message`: the record whose handler was dropped is not handed out again.
pub(crate) async fn reader_each_message(at: Cut) -> Progress {
    let scene = scene().await;
    let client = scene.client();
    let mut reader = reader(&client);
    let handled = Handled::default();
    let handler = |message: Message| {
        let handled = handled.clone();
        async move {
            handled.begin(&message);
            sleep(Duration::from_millis(2)).await;
            handled.end(&message);
            Ok::<_, Infallible>(())
        }
    };
    let (result, progress) = cut(at, reader.each_message(handler)).await;
    match result {
        Some(result) => result.unwrap(),
        None => patient("going on", reader.each_message(handler)).await.unwrap(),
    }
    handled.assert_all(RECORDS / 2, usize::from(!progress.completed));
    scene.assert_connections_whole().await;
    drop((reader, client));
    scene.over().await;
    progress
}

/// `Client::each_message`, which has no end: a handler that fails is one.
pub(crate) async fn client_each_message(at: Cut) -> Progress {
    let scene = scene().await.may_end("fetch").may_end("unused");
    let client = scene.client();
    let read = async || {
        let handled = Handled::default();
        let enough = |message: Message| {
            let handled = handled.clone();
            async move {
                handled.begin(&message);
                sleep(Duration::from_millis(2)).await;
                if handled.end(&message) < RECORDS { Ok(()) } else { Err("enough") }
            }
        };
        let result = client.each_message("t", SeekTo::Beginning, enough).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Processing);
        handled.assert_all(RECORDS / 2, 0);
    };
    let (_, progress) = cut(at, read()).await;
    patient("reading again", read()).await;
    scene.assert_connections_whole().await;
    drop(client);
    scene.over().await;
    progress
}
