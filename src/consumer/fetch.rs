//! What to fetch, from whom, and in which order it is handed out.
//!
//! ```text
//!            Start                     ListOffsets answer                 Fetch answer
//! partition ───────> begin unknown ───────────────────────> at an offset ──────────────> at the next one, chunk in the queue
//!                         ^                                     │  out of range, as the leader says
//!                         └──── user came to it, by policy <────┘  (queued behind the records before it)
//! ```
//!
//! Each broker has at most one Fetch outstanding, and the next goes out as soon as its answer is parsed, whatever other brokers do.
//! Prefetch is bounded in bytes: every broker has an equal part of the budget, a fetch asks for no more than what is left of it, and
//! since a broker sends its first batch whole, the bound is the budget plus one batch per broker. A partition that has its share
//! buffered is left out of the request, not its broker.
//!
//! What was fetched is handed out in the order it came. Errors of a partition stand in the same queue, so that the records before
//! them come first, and nothing more is fetched of it until the user has seen them. An answer counts only for a partition that still
//! waits for that very request: a seek, a new assignment or a new leader in between makes it void. A position moves back or is reset
//! only on the leader's word that the offset is out of range, never on a time-out, a disconnect or an error of another kind.
//!
//! Requests are sessionless (KIP-227's epoch -1).

mod answers;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::cluster::{BackoffConfig, Node, Spread};
use crate::consumer::chunk::Chunk;
use crate::consumer::positions::Place;
use crate::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use crate::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use crate::protocol::{BrokerId, TopicName, Uuid};
use crate::{Error, Topic, TopicPartition};

pub(crate) use answers::unreadable;

/// ListOffsets' word for the end of the log.
pub(crate) const LATEST: i64 = -1;
/// ListOffsets' word for its beginning.
pub(crate) const EARLIEST: i64 = -2;

/// The settings that a fetch depends on.
#[derive(Clone, Debug)]
pub(crate) struct FetchSettings {
    /// `fetch.max.wait.ms`.
    pub(crate) max_wait: Duration,
    /// `fetch.min.bytes`.
    pub(crate) min_bytes: i32,
    /// `fetch.max.bytes`.
    pub(crate) max_bytes: i32,
    /// `max.partition.fetch.bytes`.
    pub(crate) partition_max_bytes: i32,
    /// The same for topics that have their own.
    pub(crate) topic_max_bytes: BTreeMap<Topic, i32>,
    /// `isolation.level`.
    pub(crate) read_committed: bool,
    /// Bytes that may wait for the user.
    pub(crate) budget: usize,
    /// Pauses between attempts that failed.
    pub(crate) backoff: BackoffConfig,
}

impl FetchSettings {
    /// The most bytes of a partition in an answer.
    fn max_bytes_of(&self, partition: &TopicPartition) -> i32 {
        self.topic_max_bytes.get(&partition.topic).copied().unwrap_or(self.partition_max_bytes)
    }
}

/// Who leads a partition, and under which id the topic is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) broker: BrokerId,
    /// -1 if not known.
    pub(crate) epoch: i32,
    /// Zero if the broker gives none.
    pub(crate) topic_id: Uuid,
}

/// Where reading of a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At this offset.
    At(i64),
    /// At the first record of this time or later, or at [`EARLIEST`] or [`LATEST`].
    Timestamp(i64),
}

/// What the core is told. Slots are those of `positions.rs`.
#[derive(Debug)]
pub(crate) enum Command {
    /// Read this partition from there; what was fetched or asked for it before is void.
    Start { place: Place, partition: TopicPartition, start: Start },
    /// Read it no more.
    Stop { slot: usize },
    /// The user paused it: fetch nothing more, hand nothing out, keep what is there.
    Pause { slot: usize },
    /// The pause is over.
    Resume { slot: usize },
    /// It is about to be given away: as a pause, but without end.
    Hold { slot: usize },
    /// What metadata says of it.
    Leader { slot: usize, leader: Option<Leader> },
}

/// Names a request; comes back with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// What the driver shall do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send it over this consumer's connection for fetching. Without ids of all topics only versions that carry names will do.
    Fetch { ticket: Ticket, broker: BrokerId, by_id: bool, request: FetchRequest },
    /// Send it; it may not wait behind a fetch.
    ListOffsets { ticket: Ticket, broker: BrokerId, request: ListOffsetsRequest },
    /// Metadata is out of date.
    Refresh,
    /// A broker named the new leader (KIP-951).
    LeaderHint { partition: TopicPartition, leader: BrokerId, epoch: i32, endpoint: Option<Node> },
    /// It is known now where the partition begins.
    Begin { place: Place, offset: i64, leader_epoch: Option<i32> },
}

/// What is handed out next.
#[derive(Debug)]
pub(crate) enum Item {
    /// Records.
    Chunk(Box<Chunk>),
    /// The leader says that this offset is not in its log.
    OutOfRange { place: Place, offset: i64 },
    /// The partition cannot be read on; it will be tried again.
    Fault { place: Place, error: Error },
}

impl Item {
    fn place(&self) -> Place {
        match self {
            Self::Chunk(chunk) => chunk.place(),
            Self::OutOfRange { place, .. } | Self::Fault { place, .. } => *place,
        }
    }
}

/// The core.
#[derive(Debug)]
pub(crate) struct Fetch {
    settings: FetchSettings,
    partitions: BTreeMap<usize, Partition>,
    brokers: BTreeMap<BrokerId, Broker>,
    requests: BTreeMap<Ticket, Outstanding>,
    queue: VecDeque<Item>,
    actions: VecDeque<Action>,
    /// Bytes handed in and not yet released.
    buffered: usize,
    tickets: u64,
    /// Counts answers with data, to serve first who waits longest.
    served: u64,
    spread: Spread,
}

#[derive(Debug)]
struct Partition {
    place: Place,
    name: TopicPartition,
    topic: TopicName,
    leader: Option<Leader>,
    /// Was nothing said of its leader yet?
    is_new: bool,
    next: Start,
    /// The request whose answer it waits for.
    waits_for: Option<Ticket>,
    paused: bool,
    held: bool,
    /// An item in the queue must reach the user before more is fetched.
    blocked: bool,
    not_before: Option<Instant>,
    failures: u32,
    buffered: usize,
    /// `max_bytes_of` it, or more after a batch that did not fit.
    ask: i32,
    served: u64,
    high_watermark: Option<i64>,
}

#[derive(Debug, Default)]
struct Broker {
    fetching: bool,
    listing: bool,
    not_before: Option<Instant>,
    failures: u32,
}

#[derive(Debug)]
struct Outstanding {
    broker: BrokerId,
    kind: Kind,
    slots: Vec<usize>,
    reserved: usize,
    sent: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fetch,
    ListOffsets,
}

impl Fetch {
    pub(crate) fn new(settings: FetchSettings, seed: u64) -> Self {
        Self {
            settings,
            partitions: BTreeMap::new(),
            brokers: BTreeMap::new(),
            requests: BTreeMap::new(),
            queue: VecDeque::new(),
            actions: VecDeque::new(),
            buffered: 0,
            tickets: 0,
            served: 0,
            spread: Spread::new(seed),
        }
    }

    pub(crate) fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Start { place, partition, start } => self.start(place, partition, start),
            Command::Stop { slot } => {
                self.partitions.remove(&slot);
                self.purge(slot);
            }
            Command::Pause { slot } => self.update(slot, |partition| partition.paused = true),
            Command::Resume { slot } => self.update(slot, |partition| partition.paused = false),
            Command::Hold { slot } => self.update(slot, |partition| partition.held = true),
            Command::Leader { slot, leader } => self.update(slot, |partition| partition.follow(now, leader)),
        }
    }

    fn update(&mut self, slot: usize, change: impl FnOnce(&mut Partition)) {
        if let Some(partition) = self.partitions.get_mut(&slot) {
            change(partition);
        }
    }

    fn start(&mut self, place: Place, name: TopicPartition, start: Start) {
        self.purge(place.slot);
        // Kafka's topic names are short, so this cannot fail for one that a broker knows.
        let Ok(topic) = TopicName::try_from(name.topic.as_str()) else { return };
        let before = self.partitions.remove(&place.slot).filter(|before| before.name == name);
        let partition = Partition {
            place,
            topic,
            leader: before.as_ref().and_then(|before| before.leader),
            is_new: before.is_none(),
            next: start,
            waits_for: None,
            paused: before.as_ref().is_some_and(|before| before.paused),
            held: before.as_ref().is_some_and(|before| before.held),
            blocked: false,
            // A seek does not end a broker's trouble with the partition.
            not_before: before.as_ref().and_then(|before| before.not_before),
            failures: before.as_ref().map_or(0, |before| before.failures),
            buffered: 0,
            ask: self.settings.max_bytes_of(&name),
            served: 0,
            high_watermark: before.and_then(|before| before.high_watermark),
            name,
        };
        self.partitions.insert(place.slot, partition);
    }

    /// Drops all there is: the consumer has ended.
    pub(crate) fn clear(&mut self) {
        self.partitions.clear();
        self.queue.clear();
        self.buffered = 0;
    }

    /// Drops all that is queued for a slot.
    fn purge(&mut self, slot: usize) {
        let mut freed = 0;
        self.queue.retain(|item| {
            let keep = item.place().slot != slot;
            if let Item::Chunk(chunk) = item
                && !keep
            {
                freed += chunk.size();
            }
            keep
        });
        self.buffered = self.buffered.saturating_sub(freed);
    }

    /// The next thing to do; to be asked until there is none.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            self.plan(now);
        }
        self.actions.pop_front()
    }

    /// When there may be something to do without anything having happened.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let partitions = self.partitions.values().filter(|partition| partition.is_wanted()).filter_map(|partition| {
            let broker = partition.leader.and_then(|leader| self.brokers.get(&leader.broker));
            if broker.is_some_and(|broker| broker.fetching && matches!(partition.next, Start::At(_))) {
                // The answer is the event to wait for.
                return None;
            }
            partition.not_before.max(broker.and_then(|broker| broker.not_before))
        });
        partitions.min()
    }

    /// What is next for the user, in the order it came; paused partitions keep their place in the queue.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Item> {
        let partitions = &self.partitions;
        let ready =
            |item: &Item| partitions.get(&item.place().slot).is_some_and(|partition| !partition.paused && !partition.held);
        let index = self.queue.iter().position(ready)?;
        let item = self.queue.remove(index)?;
        if !matches!(item, Item::Chunk(_)) {
            // The user sees it now: try again, but not at once.
            self.fail(now, item.place().slot);
            self.update(item.place().slot, |partition| partition.blocked = false);
        }
        Some(item)
    }

    /// Is this partition paused, or about to be given away?
    #[inline]
    pub(crate) fn is_withheld(&self, slot: usize) -> bool {
        self.partitions.get(&slot).is_none_or(|partition| partition.paused || partition.held)
    }

    /// Is something ready for the user?
    pub(crate) fn has_ready(&self) -> bool {
        let ready =
            |item: &Item| self.partitions.get(&item.place().slot).is_some_and(|partition| !partition.paused && !partition.held);
        self.queue.iter().any(ready)
    }

    /// The user has not used this chunk up; it is the first to be handed out again.
    pub(crate) fn put_back(&mut self, chunk: Box<Chunk>) {
        if self.partitions.get(&chunk.place().slot).is_some_and(|partition| partition.place == chunk.place()) {
            self.queue.push_front(Item::Chunk(chunk));
        } else {
            self.release(chunk.place(), chunk.size());
        }
    }

    /// The user is done with so many bytes of a chunk that was taken. Is a broker idle that could send more?
    pub(crate) fn release(&mut self, place: Place, bytes: usize) -> bool {
        self.buffered = self.buffered.saturating_sub(bytes);
        if let Some(partition) = self.partitions.get_mut(&place.slot).filter(|partition| partition.place == place) {
            partition.buffered = partition.buffered.saturating_sub(bytes);
        }
        let idle = |broker: BrokerId| self.brokers.get(&broker).is_none_or(|broker| !broker.fetching);
        self.partitions.values().any(|partition| partition.leader.is_some_and(|leader| idle(leader.broker)))
    }

    /// Chunks that were taken hold so many bytes in place of `before`, for batches of them were decompressed or used up.
    pub(crate) fn recharge(&mut self, before: usize, bytes: usize) {
        self.buffered = self.buffered.saturating_sub(before).saturating_add(bytes);
    }

    /// Bytes fetched and not yet used up.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    /// End of a partition's log at its last fetch.
    pub(crate) fn high_watermark(&self, slot: usize) -> Option<i64> {
        self.partitions.get(&slot)?.high_watermark
    }

    /// Is there a partition of whose leader nothing was said yet?
    pub(crate) fn is_new(&self) -> bool {
        self.partitions.values().any(|partition| partition.is_new)
    }

    /// The partitions whose leaders are to be followed.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (usize, &TopicPartition)> {
        self.partitions.iter().map(|(slot, partition)| (*slot, &partition.name))
    }

    /// One more failure of a partition: not before a pause.
    pub(crate) fn fail(&mut self, now: Instant, slot: usize) {
        if let Some(partition) = self.partitions.get_mut(&slot) {
            partition.failures = partition.failures.saturating_add(1);
            let pause = self.spread.apply(self.settings.backoff.pause(partition.failures));
            partition.not_before = Some(now + pause);
        }
    }

    fn plan(&mut self, now: Instant) {
        self.find_leaders(now);
        self.end_pauses(now);
        let mut fetch: BTreeMap<BrokerId, Vec<usize>> = BTreeMap::new();
        let mut list: BTreeMap<BrokerId, Vec<usize>> = BTreeMap::new();
        for (slot, partition) in &self.partitions {
            let Some(leader) = partition.leader.filter(|_| partition.is_wanted() && partition.is_due(now)) else { continue };
            let broker = self.brokers.entry(leader.broker).or_default();
            if broker.not_before.is_some_and(|until| now < until) {
                continue;
            }
            match partition.next {
                Start::At(_) if !broker.fetching => fetch.entry(leader.broker).or_default().push(*slot),
                Start::Timestamp(_) if !broker.listing => list.entry(leader.broker).or_default().push(*slot),
                _ => {}
            }
        }
        for (broker, slots) in list {
            self.list_offsets(now, broker, slots);
        }
        for (broker, slots) in fetch {
            self.fetch(now, broker, slots);
        }
    }

    /// A partition without a leader waits for metadata, which is asked for again and again.
    fn find_leaders(&mut self, now: Instant) {
        let lost: Vec<usize> =
            self.partitions.iter().filter(|(_, p)| p.leader.is_none() && p.is_due(now)).map(|(slot, _)| *slot).collect();
        for slot in &lost {
            self.fail(now, *slot);
        }
        if !lost.is_empty() {
            self.actions.push_back(Action::Refresh);
        }
    }

    /// A pause that is over is nothing to wait for any more, whether or not there is room for a fetch now: a time-out that stays due
    /// would keep the driver awake.
    fn end_pauses(&mut self, now: Instant) {
        let brokers = self.brokers.values_mut().map(|broker| &mut broker.not_before);
        let partitions = self.partitions.values_mut().map(|partition| &mut partition.not_before);
        brokers.chain(partitions).for_each(|not_before| *not_before = not_before.filter(|until| *until > now));
    }

    fn list_offsets(&mut self, now: Instant, broker: BrokerId, slots: Vec<usize>) {
        let ticket = self.issue(now, broker, Kind::ListOffsets, 0, &slots);
        let mut topics: BTreeMap<TopicName, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for partition in slots.iter().filter_map(|slot| self.partitions.get(slot)) {
            let (Some(leader), Start::Timestamp(timestamp)) = (partition.leader, partition.next) else { continue };
            topics.entry(partition.topic.clone()).or_default().push(ListOffsetsPartition {
                partition_index: partition.name.partition,
                current_leader_epoch: leader.epoch,
                timestamp,
            });
        }
        let request = ListOffsetsRequest {
            replica_id: BrokerId(-1),
            isolation_level: i8::from(self.settings.read_committed),
            topics: topics.into_iter().map(|(name, partitions)| ListOffsetsTopic { name, partitions }).collect(),
            ..Default::default()
        };
        self.actions.push_back(Action::ListOffsets { ticket, broker, request });
    }

    fn fetch(&mut self, now: Instant, broker: BrokerId, mut slots: Vec<usize>) {
        let leads = |partition: &&Partition, broker| partition.leader.is_some_and(|leader| leader.broker == broker);
        let here: usize = self.partitions.values().filter(|p| leads(p, broker)).map(|p| p.buffered).sum();
        let brokers =
            self.partitions.values().filter_map(|p| p.leader).map(|leader| leader.broker).collect::<BTreeSet<_>>().len();
        let reserved: usize = self.requests.values().map(|request| request.reserved).sum();
        let budget = self.settings.budget;
        let quota = budget / brokers.max(1);
        let partition_max = usize::try_from(self.settings.partition_max_bytes).unwrap_or(0);
        let free = budget.saturating_sub(self.buffered);
        // What others were promised and may never send must not keep a broker waiting that has nothing here: it gets a batch's worth.
        let least = if here == 0 { partition_max.min(free) } else { 0 };
        let room = quota.saturating_sub(here).min(free.saturating_sub(reserved).max(least));
        // Many small fetches cost more than one that waits until there is room for it.
        if room < partition_max.min(quota).div_ceil(2).max(1) {
            self.shed();
            return;
        }
        // Beyond a few fetches ahead, more data in memory makes nothing faster.
        let share = (budget / self.partitions.len().max(1)).min(partition_max.saturating_mul(4)).max(1);
        slots.retain(|slot| self.partitions.get(slot).is_some_and(|partition| partition.buffered < share));
        if slots.is_empty() {
            return;
        }
        // A broker fills the answer in the request's order: who got nothing for longest goes first.
        slots.sort_by_key(|slot| self.partitions.get(slot).map(|partition| partition.served));
        let ticket = self.issue(now, broker, Kind::Fetch, room, &slots);
        let (mut topics, mut by_id): (Vec<FetchTopic>, bool) = (Vec::new(), true);
        for partition in slots.iter().filter_map(|slot| self.partitions.get(slot)) {
            let (Some(leader), Start::At(fetch_offset)) = (partition.leader, partition.next) else { continue };
            by_id &= !leader.topic_id.is_zero();
            let asked = FetchPartition {
                partition: partition.name.partition,
                current_leader_epoch: leader.epoch,
                fetch_offset,
                partition_max_bytes: partition.ask,
                ..Default::default()
            };
            match topics.last_mut().filter(|topic| topic.topic == partition.topic) {
                Some(topic) => topic.partitions.push(asked),
                None => {
                    topics.push(FetchTopic { topic: partition.topic.clone(), topic_id: leader.topic_id, partitions: vec![asked] })
                }
            }
        }
        let request = FetchRequest {
            max_wait_ms: i32::try_from(self.settings.max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.settings.min_bytes,
            max_bytes: self.settings.max_bytes.min(i32::try_from(room).unwrap_or(i32::MAX)),
            isolation_level: i8::from(self.settings.read_committed),
            topics,
            ..Default::default()
        };
        self.actions.push_back(Action::Fetch { ticket, broker, by_id, request });
    }

    /// There is no room, but some of it may be what paused partitions hold, which could keep the others waiting for ever: it is
    /// dropped, and fetched again when it is wanted.
    fn shed(&mut self) {
        let held: Vec<usize> =
            self.partitions.iter().filter(|(_, p)| p.paused && !p.held && p.buffered > 0).map(|(slot, _)| *slot).collect();
        for slot in held {
            let chunks = self.queue.iter().filter_map(|item| match item {
                Item::Chunk(chunk) if chunk.place().slot == slot => Some(chunk.position()),
                _ => None,
            });
            let Some(first) = chunks.min() else { continue };
            self.purge(slot);
            self.update(slot, |partition| {
                (partition.next, partition.waits_for, partition.buffered, partition.blocked) = (Start::At(first), None, 0, false);
            });
        }
    }

    fn issue(&mut self, now: Instant, broker: BrokerId, kind: Kind, reserved: usize, slots: &[usize]) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        for slot in slots {
            self.update(*slot, |partition| partition.waits_for = Some(ticket));
        }
        let entry = self.brokers.entry(broker).or_default();
        match kind {
            Kind::Fetch => entry.fetching = true,
            Kind::ListOffsets => entry.listing = true,
        }
        self.requests.insert(ticket, Outstanding { broker, kind, slots: slots.to_vec(), reserved, sent: now });
        ticket
    }
}

impl Partition {
    /// Is there anything to ask for it?
    fn is_wanted(&self) -> bool {
        !self.paused && !self.held && !self.blocked && self.waits_for.is_none()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|until| until <= now)
    }

    fn follow(&mut self, now: Instant, leader: Option<Leader>) {
        self.is_new = false;
        if self.leader == leader {
            return;
        }
        let moved = self.leader.map(|leader| leader.broker) != leader.map(|leader| leader.broker);
        self.leader = leader;
        if moved && leader.is_some() {
            // What the old leader may still answer is void, and the new one has done nothing to be waited for.
            self.waits_for = None;
            self.not_before = self.not_before.map(|until| until.min(now));
        }
    }
}
