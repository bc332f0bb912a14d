//! Tasks that send numbered records through one producer, and what they hear of them.

use std::time::{Duration, Instant};

use klamm::unstable::{Client, ProducerSettings, Taken};

use super::calls::Calls;
use crate::history::{Acks, Call, Event, History, Partition, RecordId, Who, topic_name};
use crate::random::Random;
use crate::workload::{ProducerPlan, SECOND};

/// A producer of the plan and its tasks.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) plan: ProducerPlan,
    tasks: Vec<Task>,
    next_number: u64,
    partitions: i32,
    topic: u32,
    calls: Calls,
    /// How it ends when all is handed over: some flush and close, some close at once.
    flushes: bool,
    /// Was that begun?
    ending: bool,
    pub(super) ended: bool,
}

#[derive(Debug)]
struct Task {
    sent: u64,
    random: Random,
    /// Sends nothing before.
    at: Instant,
    /// Has it paused before the next record, where it does?
    paused: bool,
    /// A record that has found no room yet, and until when it waits.
    waiting: Option<(RecordId, i32, usize, Instant)>,
}

impl Sender {
    pub(super) fn new(now: Instant, seed: u64, plan: &ProducerPlan, topic: u32, partitions: i32) -> Self {
        let task = |number| Task {
            sent: 0,
            random: Random::of(seed, &format!("task {number} of {}", plan.number)),
            at: now,
            paused: false,
            waiting: None,
        };
        let tasks = (0..plan.tasks).map(task).collect();
        let flushes = Random::of(seed, &format!("ends {}", plan.number)).once_in(2);
        let calls = Calls::new(Who::Producer(plan.number));
        Self { plan: plan.clone(), tasks, next_number: 0, partitions, topic, calls, flushes, ending: false, ended: false }
    }

    /// How its producer is set up.
    pub(super) fn settings(&self) -> ProducerSettings {
        settings(&self.plan)
    }

    /// What the history is told when it begins.
    pub(super) fn started(&self) -> Event {
        let plan = &self.plan;
        Event::ProducerStarted { producer: plan.number, idempotent: plan.idempotent, ordered: true, acks: plan.acks }
    }

    /// Lets its tasks hand over what they can.
    pub(super) fn step(&mut self, now: Instant, since: Duration, client: &mut Client, history: &mut History) {
        let topic = topic_name(self.topic);
        for task in &mut self.tasks {
            loop {
                let (record, partition, padding, until) = match task.waiting.take() {
                    Some(waiting) => waiting,
                    None if task.sent == self.plan.records || task.at > now => break,
                    None if task.sent.is_multiple_of(self.plan.burst) && !task.paused => {
                        task.paused = true;
                        task.at = now + task.random.millis(0..=self.plan.longest_pause.as_millis() as u64);
                        continue;
                    }
                    None => {
                        task.sent += 1;
                        task.paused = false;
                        let record = RecordId { producer: self.plan.number, number: self.next_number };
                        self.next_number += 1;
                        let partition = task.random.below(self.partitions as u64) as i32;
                        let padding = task.random.below(self.plan.padding + 1) as usize;
                        self.calls.begin(since, Call::Enqueue(record), self.plan.max_block, history);
                        (record, partition, padding, now + self.plan.max_block)
                    }
                };
                let failed = match client.produce(now, record.number, &topic, partition, &record.value(padding)) {
                    Taken::Yes => {
                        let partition = Partition { topic: self.topic, number: partition };
                        self.calls.end(since, Call::Enqueue(record), true, history);
                        history.push(since, Event::Accepted { record, partition });
                        self.calls.begin(since, Call::Delivery(record), self.plan.delivery_timeout, history);
                        None
                    }
                    Taken::NotYet if until > now => {
                        task.waiting = Some((record, partition, padding, until));
                        break;
                    }
                    Taken::NotYet => Some("no room in time".to_owned()),
                    Taken::Refused(why) => Some(why),
                };
                if let Some(error) = failed {
                    self.calls.end(since, Call::Enqueue(record), false, history);
                    history.push(since, Event::Failed { record, possibly_written: false, error });
                }
            }
        }
        for delivered in client.take_delivered() {
            let record = RecordId { producer: self.plan.number, number: delivered.number };
            let partition = Partition { topic: self.topic, number: delivered.partition };
            self.calls.end(since, Call::Delivery(record), delivered.result.is_ok(), history);
            history.push(
                since,
                match delivered.result {
                    Ok(offset) => Event::Acked { record, partition, offset },
                    Err((error, possibly_written)) => Event::Failed { record, possibly_written, error },
                },
            );
        }
        self.end(since, client, history);
    }

    /// When everything is handed over: waits for it, one way or the other.
    fn end(&mut self, since: Duration, client: &mut Client, history: &mut History) {
        if !self.is_through() {
            return;
        }
        let number = self.plan.number;
        let what = if self.flushes { Call::Flush(number) } else { Call::Close(Who::Producer(number)) };
        if !std::mem::replace(&mut self.ending, true) {
            let limit = self.plan.delivery_timeout + if self.flushes { Duration::ZERO } else { SECOND };
            self.calls.begin(since, what, limit, history);
            if self.flushes { client.flush() } else { client.close_producer() }
        }
        let (waiting, ..) = client.producer_load();
        if waiting == 0 {
            self.calls.end(since, what, true, history);
        }
    }

    /// When a task has something to do by itself.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let at = |task: &Task| match &task.waiting {
            Some((.., until)) => Some(*until),
            None => (task.sent < self.plan.records).then_some(task.at),
        };
        self.tasks.iter().filter_map(at).min()
    }

    /// Has everything been handed over?
    pub(super) fn is_through(&self) -> bool {
        self.tasks.iter().all(|task| task.sent == self.plan.records && task.waiting.is_none())
    }

    /// What it holds.
    pub(super) fn gauge(&self, client: &Client, closed: bool) -> Event {
        let (_, used, limit) = client.producer_load();
        Event::Gauge { who: Who::Producer(self.plan.number), used, limit, closed }
    }
}

/// How the producer of a plan is set up.
pub(super) fn settings(plan: &ProducerPlan) -> ProducerSettings {
    ProducerSettings {
        idempotent: plan.idempotent,
        acks: match plan.acks {
            Acks::None => klamm::producer::Acks::None,
            Acks::Leader => klamm::producer::Acks::Leader,
            Acks::All => klamm::producer::Acks::All,
        },
        linger: plan.linger,
        batch_size: plan.batch_size,
        max_in_flight: None,
        delivery_timeout: plan.delivery_timeout,
        request_timeout: plan.request_timeout,
        retries: u32::MAX,
        compression: plan.compression,
        buffer_memory: plan.buffer_memory,
        max_request_size: (plan.batch_size + 1024).max(32 << 10),
    }
}
