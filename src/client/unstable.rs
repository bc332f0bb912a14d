//! A client without runtime, sockets and clock, for the simulator: the cores of all layers, tied together as the drivers tie them.
//!
//! After each input, and at [`Client::next_timeout`], [`Client::pump`] does what there is to do; then [`Client::poll`] says what the
//! world is to do with the connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cluster::ClusterConfig;
use crate::cluster::unstable::Hub;
use crate::config::{Sasl, Seed};
use crate::consumer::unstable::{Handed, Mark, Member, MemberSettings, Told};
use crate::error::Result;
use crate::network::line::{End, Lines, Wish};
use crate::network::{clock, sasl};
use crate::producer::unstable::{Delivered, Producer, ProducerSettings, Taken};

/// Rounds in one pump after which something is wrong: cores that give each other work without end.
const MAX_ROUNDS: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub struct Client {
    lines: Lines,
    hub: Arc<Mutex<Hub>>,
    producer: Option<Producer>,
    member: Option<Member>,
    delivered: Vec<Delivered>,
    start: Instant,
    /// How often its connections were looked at.
    turns: u64,
}

impl Client {
    /// A client that starts from these servers.
    pub fn new(now: Instant, client_id: &str, seeds: &[(String, u16)], request_timeout: Duration, seed: u64) -> Self {
        let seeds = seeds.iter().map(|(host, port)| Seed { host: host.clone(), port: *port }).collect();
        let mut config = ClusterConfig { request_timeout, seed, ..ClusterConfig::new(seeds) };
        config.connection.client_id = Some(client_id.to_owned());
        let hub = Arc::new(Mutex::new(Hub::new(config)));
        Self { lines: Lines::default(), hub, producer: None, member: None, delivered: Vec::new(), start: now, turns: 0 }
    }

    /// Logs in on every connection; to be said before anything else.
    ///
    /// # Errors
    /// If that is no way to log in.
    pub fn log_in(&mut self, sasl: &Sasl) -> Result<()> {
        let steps = sasl::steps(sasl)?;
        self.hub().config.connection.setup = Some(steps);
        Ok(())
    }

    /// Begins its producer.
    ///
    /// # Errors
    /// If the settings don't fit together.
    pub fn begin_producer(&mut self, now: Instant, topics: &[&str], settings: &ProducerSettings) -> Result<()> {
        self.producer = Some(Producer::new(now, self.hub.clone(), topics, settings)?);
        Ok(())
    }

    /// Hands a record to its producer.
    pub fn produce(&mut self, now: Instant, number: u64, topic: &str, partition: i32, value: &[u8]) -> Taken {
        let elapsed = i64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(0);
        match &mut self.producer {
            Some(producer) => producer.produce(now, 1_700_000_000_000 + elapsed, number, topic, partition, value),
            None => Taken::Refused("no producer".to_owned()),
        }
    }

    /// Every open batch of its producer is due.
    pub fn flush(&mut self) {
        if let Some(producer) = &mut self.producer {
            producer.flush();
        }
    }

    /// Its producer takes no more records; those that it has are sent.
    pub fn close_producer(&mut self) {
        if let Some(producer) = &mut self.producer {
            producer.close();
        }
    }

    /// Ends a producer that was closed and is done, with its connections. False while it has something to do.
    pub fn end_producer(&mut self, now: Instant) -> bool {
        let Some(producer) = &mut self.producer else { return true };
        let done = producer.waiting() == 0;
        if done {
            producer.end(now, &mut self.lines);
        }
        done
    }

    /// Records without a result, bytes in use, and bytes that may be.
    pub fn producer_load(&self) -> (usize, usize, usize) {
        self.producer.as_ref().map(|producer| (producer.waiting(), producer.used(), producer.limit())).unwrap_or_default()
    }

    /// What became of records since it was asked last.
    pub fn take_delivered(&mut self) -> Vec<Delivered> {
        std::mem::take(&mut self.delivered)
    }

    /// Begins its membership in a group.
    ///
    /// # Errors
    /// If the settings don't fit together.
    pub fn begin_member(&mut self, now: Instant, settings: &MemberSettings) -> Result<()> {
        clock::simulate(Some(now));
        self.member = Some(Member::new(now, self.hub.clone(), settings)?);
        Ok(())
    }

    /// The user of its member comes into a call that reads, or goes off.
    pub fn set_polling(&mut self, now: Instant, polling: bool) {
        clock::simulate(Some(now));
        if let Some(member) = &mut self.member {
            member.set_polling(now, polling);
        }
    }

    /// The next record for a user that reads.
    pub fn read(&mut self, now: Instant) -> Option<Handed> {
        clock::simulate(Some(now));
        self.member.as_mut()?.read(now)
    }

    /// The record was processed, and all before it in its partition.
    pub fn mark(&mut self, now: Instant, mark: Mark) {
        clock::simulate(Some(now));
        if let Some(member) = &mut self.member {
            member.mark(mark);
        }
    }

    /// The member's user wants a commit; [`Told::Committed`] comes with this number.
    pub fn commit(&mut self, number: u64) {
        if let Some(member) = &mut self.member {
            member.commit(number);
        }
    }

    /// What the member's user is told next.
    pub fn poll_told(&mut self) -> Option<Told> {
        self.member.as_mut()?.poll_told()
    }

    /// The member ends: in order with a last commit within this time, or (dropped) without.
    pub fn leave(&mut self, now: Instant, within: Option<Duration>) {
        clock::simulate(Some(now));
        if let Some(member) = &mut self.member {
            member.leave(now, within);
        }
    }

    /// Has the member left, or failed? Then its connections close.
    pub fn end_member(&mut self, now: Instant) -> bool {
        let Some(member) = &mut self.member else { return true };
        let over = member.is_over();
        if over {
            member.end(now, &mut self.lines);
        }
        over
    }

    /// Bytes that its member has fetched ahead.
    pub fn buffered(&self) -> usize {
        self.member.as_ref().map(Member::buffered).unwrap_or_default()
    }

    /// Its connections.
    pub fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// What the world is to do next.
    pub fn poll(&mut self) -> Option<Wish> {
        self.lines.poll()
    }

    /// How often its connections were looked at.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Does all there is to do.
    ///
    /// # Panics
    /// If the cores give each other work without end.
    pub fn pump(&mut self, now: Instant) {
        clock::simulate(Some(now));
        for _ in 0..MAX_ROUNDS {
            self.turns += 1;
            let mut moved = self.lines.turn(now);
            moved |= self.hub.lock().unwrap_or_else(PoisonError::into_inner).pump(now, &mut self.lines);
            if let Some(producer) = &mut self.producer {
                moved |= producer.pump(now, &mut self.lines, &mut self.delivered);
            }
            if let Some(member) = &mut self.member {
                moved |= member.pump(now, &mut self.lines);
            }
            if !moved {
                return;
            }
        }
        panic!("the client's cores give each other work without end");
    }

    /// When to pump although nothing happened.
    pub fn next_timeout(&mut self, now: Instant) -> Option<Instant> {
        let lines = self.lines.next_timeout(now);
        let hub = self.hub().next_timeout();
        let producer = self.producer.as_ref().and_then(Producer::next_timeout);
        let member = self.member.as_ref().and_then(Member::next_timeout);
        [lines, hub, producer, member].into_iter().flatten().min()
    }

    /// How often cores met events: core, state, event, count.
    pub fn seen(&self) -> Vec<(&'static str, &'static str, &'static str, u64)> {
        let lines = self.lines.seen().map(|(state, event, count)| ("connection", state, event, count));
        let sequences = self.producer.as_ref().map(Producer::seen).unwrap_or_default();
        let mut seen: Vec<_> = lines.collect();
        seen.extend(sequences.into_iter().map(|(state, event, count)| ("sequence", state, event, count)));
        seen.extend(self.member.as_ref().map(Member::seen).unwrap_or_default());
        seen.extend(self.hub().seen.iter().map(|((state, event), count)| ("refresh", *state, *event, *count)));
        seen
    }

    /// The connection that bytes came or went on, by its line.
    pub fn end(line: u64, connection: u64) -> End {
        End { line, connection }
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as this lives, time on this thread is what the calls of [`Client`] say; afterwards it is tokio's again.
#[derive(Debug)]
pub struct SimulatedTime(());

impl SimulatedTime {
    /// Begins.
    pub fn begin() -> Self {
        Self(())
    }
}

impl Drop for SimulatedTime {
    fn drop(&mut self) {
        clock::simulate(None);
    }
}
