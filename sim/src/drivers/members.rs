//! The members of a run's group: they consume topic 0 and commit, and in a copy produce each record to topic 1 before.

use std::time::Duration;

use klamm::consumer::{Consumer, ConsumerHandle, OffsetReset};
use klamm::{Client, Message, TopicPartition};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::producers::Numbered;
use super::recorder::Recorder;
use super::{GROUP, World};
use crate::history::{Acks, Call, Event, Partition, RecordId, Who, topic_name, topic_number};
use crate::random::Random;
use crate::workload::{Kind, Leave, MAX_POLL_INTERVAL, MILLISECOND, MemberPlan, ProducerPlan, SECOND};

/// How long the last commit and the farewell of a member may take.
const CLOSE: Duration = Duration::from_secs(20);
/// After so long without a record, a member that commits by itself does so.
const IDLE: Duration = Duration::from_secs(2);
/// How long a commit may take: the client's default.
const COMMIT: Duration = Duration::from_secs(60);

/// Copiers are numbered from here on among the producers.
const COPIERS: u32 = 100;

/// A member's life.
pub(super) async fn consume(world: World, plan: MemberPlan) {
    let start = Instant::now();
    sleep(plan.joins).await;
    if world.over.get().is_some() {
        return;
    }
    let who = Who::Member(plan.number);
    let client = world.client(who).build().expect("the settings are right");
    let member = Member::new(&world, &plan, &client);
    let leaves = plan.leaves.map(|(at, leave)| (start + at, leave));
    let end = async {
        match leaves {
            Some((at, leave)) => {
                tokio::select! {
                    biased;
                    () = world.over.wait() => Leave::Close,
                    () = sleep_until(at) => leave,
                }
            }
            None => {
                world.over.wait().await;
                Leave::Close
            }
        }
    };
    let Member { mut consumer, mut work } = member;
    let leave = tokio::select! {
        biased;
        leave = end => leave,
        () = work.read(&mut consumer) => Leave::Close,
    };
    match leave {
        Leave::Close => {
            let close = consumer.close(CLOSE);
            _ = world.recorder.call(Call::Close(who), CLOSE, None, close).await;
        }
        Leave::Drop => drop(consumer),
        Leave::Crash => {
            world.net.kill(who);
            drop(consumer);
        }
    }
    world.recorder.push(Event::Ended { member: plan.number, crashed: leave == Leave::Crash });
    match (work.copier, leave) {
        (Some(copier), Leave::Close) => copier.close().await,
        (Some(copier), _) => copier.leave(),
        (None, _) => {}
    }
    client.close().await;
}

struct Member {
    consumer: Consumer,
    work: Work,
}

/// What is done with the records.
struct Work {
    world: World,
    plan: MemberPlan,
    handle: ConsumerHandle,
    random: Random,
    copier: Option<Numbered>,
    /// Records since its last own commit.
    since: u64,
}

fn partitions(of: &[TopicPartition]) -> Vec<Partition> {
    let partition = |of: &TopicPartition| Some(Partition { topic: topic_number(of.topic.as_str())?, number: of.partition });
    of.iter().filter_map(partition).collect()
}

impl Member {
    fn new(world: &World, plan: &MemberPlan, client: &Client) -> Self {
        let member = plan.number;
        let copies = world.case.workload.kind == Kind::Copy;
        let hear = |event: fn(u32, Vec<Partition>) -> Event| {
            let recorder: Recorder = world.recorder.clone();
            move |of: &[TopicPartition]| recorder.push(event(member, partitions(of)))
        };
        let consumer = client
            .consumer(GROUP)
            .topics([topic_name(0)])
            .auto_offset_reset(OffsetReset::Earliest)
            .session_timeout(plan.session_timeout)
            .heartbeat_interval(plan.heartbeat_interval)
            .max_poll_interval(MAX_POLL_INTERVAL)
            .auto_commit_interval(plan.auto_commit_interval)
            .automatically_mark_as_processed(!copies)
            .prefetch_bytes(plan.prefetch_bytes)
            .assign_inline()
            .on_assigned(hear(|member, partitions| Event::Assigned { member, partitions }))
            .on_revoked(hear(|member, partitions| Event::Revoked { member, partitions }))
            .on_lost(hear(|member, partitions| Event::Lost { member, partitions }))
            .build()
            .expect("the settings are right");
        let copier = copies.then(|| {
            let plan = copier(world, member);
            Numbered::start(world, Who::Member(member), &plan, client.producer()).expect("the settings are right")
        });
        world.recorder.push(Event::Joined { member });
        let random = Random::of(world.case.seed, &format!("works {member}"));
        let handle = consumer.handle();
        Self { consumer, work: Work { world: world.clone(), plan: plan.clone(), handle, random, copier, since: 0 } }
    }
}

/// The producer of a member that copies.
fn copier(world: &World, member: u32) -> ProducerPlan {
    let mut random = Random::of(world.case.seed, &format!("copies {member}"));
    ProducerPlan {
        number: COPIERS + member,
        idempotent: true,
        acks: Acks::All,
        delivery_timeout: random.pick(&[35, 120]) * SECOND,
        request_timeout: 30 * SECOND,
        buffer_memory: 32 << 20,
        ..world.case.workload.producers[0].clone()
    }
}

impl Work {
    /// Reads until nothing can be read any more.
    async fn read(&mut self, consumer: &mut Consumer) {
        loop {
            let commits_when_idle = self.plan.auto_commit_interval.is_zero();
            let read = self.next(consumer);
            let result = if commits_when_idle {
                match timeout(IDLE, read).await {
                    Ok(result) => result,
                    Err(_) => {
                        self.commit().await;
                        continue;
                    }
                }
            } else {
                read.await
            };
            match result {
                Ok(Some(messages)) => {
                    for message in messages {
                        self.work(message).await;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    let text = format!("member {}: {error}", self.plan.number);
                    self.world.recorder.push(Event::Fault(text));
                    if error.is_fatal() {
                        return;
                    }
                    sleep(100 * MILLISECOND).await;
                }
            }
        }
    }

    /// The next record, or those of the next batch, as they are handed out.
    async fn next(&self, consumer: &mut Consumer) -> klamm::Result<Option<Vec<Message>>> {
        loop {
            let patience = self.world.patience();
            let messages = if self.plan.by_batch {
                let Some(batch) = cut(patience, consumer.next_batch()).await else { continue };
                let Some(batch) = batch? else { return Ok(None) };
                batch.messages().collect::<klamm::Result<Vec<_>>>()?
            } else {
                let Some(message) = cut(patience, consumer.next()).await else { continue };
                let Some(message) = message? else { return Ok(None) };
                vec![message]
            };
            self.world.look_at_markers();
            for message in &messages {
                self.world.recorder.push(Event::Delivered {
                    member: self.plan.number,
                    partition: place(message),
                    offset: message.offset,
                    record: message.value.as_deref().and_then(RecordId::read),
                });
            }
            return Ok(Some(messages));
        }
    }

    async fn work(&mut self, message: Message) {
        let longest = self.plan.longest_work.as_millis() as u64;
        if longest > 0 && self.random.once_in(4) {
            sleep(self.random.within(0..=longest) as u32 * MILLISECOND).await;
        }
        if let Some(copier) = &self.copier {
            // Until it is copied, or is not ours any more: then somebody else copies it.
            while !copy(&self.world, copier, &message).await {
                let assigned = self.handle.assignment();
                if !assigned.iter().any(|of| of.topic == message.topic && of.partition == message.partition) {
                    return;
                }
                sleep(100 * MILLISECOND).await;
            }
            self.handle.mark_as_processed(&message);
        }
        self.since += 1;
        if self.plan.commit_every > 0 && self.since >= self.plan.commit_every {
            self.commit().await;
        }
    }

    async fn commit(&mut self) {
        self.since = 0;
        let checkpoint = |of: &TopicPartition| self.handle.checkpoint(of.topic.clone(), of.partition);
        let before: Vec<_> = self.handle.assignment().into_iter().filter_map(|of| Some((checkpoint(&of)?, of))).collect();
        let (recorder, member) = (&self.world.recorder, self.plan.number);
        let call = recorder.call(Call::Commit(member), COMMIT, self.world.patience(), self.handle.commit());
        match call.await {
            Some(Ok(())) => {
                // What was lost meanwhile was not committed.
                let still = self.handle.assignment();
                let offsets = before.into_iter().filter(|(_, of)| still.contains(of));
                let offsets =
                    offsets.filter_map(|(offset, of)| Some((*partitions(std::slice::from_ref(&of)).first()?, offset))).collect();
                recorder.push(Event::CommitAcked { member, offsets });
            }
            Some(Err(error)) => recorder.push(Event::Fault(format!("member {member} commits: {error}"))),
            None => {}
        }
    }
}

fn place(message: &Message) -> Partition {
    Partition { topic: topic_number(message.topic.as_str()).unwrap_or(0), number: message.partition }
}

/// Copies one record; was the copy acknowledged?
async fn copy(world: &World, copier: &Numbered, message: &Message) -> bool {
    let record = copier.number();
    world.recorder.push(Event::Copied { record, from: place(message), offset: message.offset });
    match copier.enqueue(record, 1, Some(message.partition), 0).await {
        Some(delivery) => copier.result(record, 1, delivery).await,
        None => false,
    }
}

/// Waits for a future, or with `patience` drops it after so many polls: then it gives nothing, and the caller lets others run.
async fn cut<T>(patience: Option<u32>, future: impl Future<Output = T>) -> Option<T> {
    let Some(mut left) = patience else { return Some(future.await) };
    let mut future = std::pin::pin!(future);
    let result = std::future::poll_fn(|cx| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    });
    let result = result.await;
    if result.is_none() {
        tokio::task::yield_now().await;
    }
    result
}
