//! The network between clients and nodes: bytes go in with the time, and come out later, slower, cut, changed or not at all.
//!
//! Whoever moves bytes opens a link for each connection, pushes what one side sent, and pulls what is due for the other side, each way
//! for itself:
//!
//! ```text
//!   client ── push(ToBroker) ──► link: delay, pace, cut, corrupt ── pull(ToBroker) ──► node
//!   client ◄── pull(FromBroker) ────────── link ◄───────────────── push(FromBroker) ── node
//! ```
//!
//! A link keeps the order of bytes. Delays are decided when bytes go in, pace and black holes when they are to come out, so that a fault
//! that ends sets free what it held. It is the same for pipes in memory, for TCP and for a simulation: it knows no clock and no socket,
//! and its chance (jitter) comes from a seed and the connection's number.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ConnectionId;
use crate::faults::plan::Chance;
use crate::faults::{Direction, NetworkEffect, NetworkFault};

/// A slow link gives its bytes in so many pieces a second.
const PIECES_PER_SECOND: u64 = 20;

/// What a delay beyond all clocks is taken for.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What comes out of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// These bytes arrive.
    Bytes(Bytes),
    /// The sender has closed its side, and all that it sent has arrived.
    End,
    /// The connection is cut: close it towards both sides. Nothing comes after it.
    Cut,
}

/// What meets a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// It is made.
    Made,
    /// It is refused.
    Refused,
    /// Not yet: ask again then, or, with `None`, when another fault came.
    Later(Option<Instant>),
}

/// All links and the faults in force.
#[derive(Debug, Default)]
pub struct Network {
    seed: u64,
    faults: Vec<Active>,
    begun: u64,
    links: BTreeMap<(ConnectionId, Direction), Link>,
}

/// A fault in force.
#[derive(Debug)]
struct Active {
    id: u64,
    fault: NetworkFault,
    until: Option<Instant>,
    /// Connections that it may still hit.
    left: u32,
}

/// One direction of one connection.
#[derive(Debug)]
struct Link {
    node: i32,
    direction: Direction,
    chance: Chance,
    /// Bytes and when they arrive; no bytes stand for the sender's end.
    queue: VecDeque<(Instant, Bytes)>,
    queued: usize,
    /// When the next piece may leave a slow link.
    free_at: Option<Instant>,
    /// Bytes that went in since a fault began, by the fault's number.
    passed: BTreeMap<u64, u64>,
    end: End,
}

/// Does it go on?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// It is cut behind what is queued.
    Cutting,
    /// It was cut, and that was said.
    Cut,
}

impl Active {
    fn is_in_force(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Network {
    /// Without faults. The seed decides on jitter.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Takes another seed, for links that are opened from now on.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Begins a fault.
    pub fn apply(&mut self, now: Instant, fault: &NetworkFault) {
        self.faults.retain(|active| active.is_in_force(now));
        self.begun += 1;
        let left = match fault.effect {
            NetworkEffect::Cut { connections, .. } | NetworkEffect::Corrupt { connections, .. } => connections,
            _ => u32::MAX,
        };
        self.faults.push(Active {
            id: self.begun,
            until: fault.lasts.and_then(|lasts| now.checked_add(lasts)),
            fault: fault.clone(),
            left,
        });
    }

    /// Ends all faults. What they held is set free.
    pub fn clear(&mut self) {
        self.faults.clear();
    }

    /// Is there no fault, and nothing on its way here? Then bytes of this link need not pass through.
    #[must_use]
    pub fn is_clear(&self, id: ConnectionId, direction: Direction) -> bool {
        let is_empty = |link: &Link| link.queue.is_empty() && link.end == End::Open;
        self.faults.is_empty() && self.links.get(&(id, direction)).is_none_or(is_empty)
    }

    /// May a connection to `node` be made that was asked for at `since`?
    #[must_use]
    pub fn connect(&self, now: Instant, since: Instant, node: i32) -> Connect {
        let concerned = |active: &&Active| active.is_in_force(now) && active.fault.node.is_none_or(|own| own == node);
        let mut made_at = since;
        let mut held = None;
        for active in self.faults.iter().filter(concerned) {
            match active.fault.effect {
                NetworkEffect::RefuseConnect => return Connect::Refused,
                NetworkEffect::BlackHole => held = Some(later(held, active.until)),
                NetworkEffect::Delay { delay, .. } => made_at = after(made_at, delay),
                _ => {}
            }
        }
        match held {
            Some(until) => Connect::Later(until),
            None if made_at > now => Connect::Later(Some(made_at)),
            None => Connect::Made,
        }
    }

    /// A connection was made.
    pub fn open(&mut self, id: ConnectionId, node: i32) {
        for (number, direction) in [(0, Direction::ToBroker), (1, Direction::FromBroker)] {
            let seed = self.seed ^ (id.0 << 1 | number);
            let link = Link {
                node,
                direction,
                chance: Chance { seed, drawn: 0 },
                queue: VecDeque::new(),
                queued: 0,
                free_at: None,
                passed: BTreeMap::new(),
                end: End::Open,
            };
            self.links.insert((id, direction), link);
        }
    }

    /// A connection is gone, and all that is on its way.
    pub fn close(&mut self, id: ConnectionId) {
        self.links.remove(&(id, Direction::ToBroker));
        self.links.remove(&(id, Direction::FromBroker));
    }

    /// One side sent bytes.
    pub fn push(&mut self, now: Instant, id: ConnectionId, direction: Direction, bytes: Bytes) {
        if let Some(link) = self.links.get_mut(&(id, direction)) {
            link.push(now, bytes, &mut self.faults);
        }
    }

    /// One side has sent all it had, and closes. That, too, takes its time.
    pub fn finish(&mut self, now: Instant, id: ConnectionId, direction: Direction) {
        if let Some(link) = self.links.get_mut(&(id, direction)) {
            link.finish(now, &self.faults);
        }
    }

    /// What is due on a link. Ask until it gives nothing more.
    pub fn pull(&mut self, now: Instant, id: ConnectionId, direction: Direction) -> Option<Delivery> {
        self.links.get_mut(&(id, direction))?.pull(now, &mut self.faults)
    }

    /// What is due on any link, the oldest connection first.
    pub fn pull_any(&mut self, now: Instant) -> Option<(ConnectionId, Direction, Delivery)> {
        self.links.iter_mut().find_map(|((id, direction), link)| Some((*id, *direction, link.pull(now, &mut self.faults)?)))
    }

    /// Bytes on their way. Who has no use for more than some should stop pushing at some number: so a slow link slows its sender.
    #[must_use]
    pub fn queued(&self, id: ConnectionId, direction: Direction) -> usize {
        self.links.get(&(id, direction)).map_or(0, |link| link.queued)
    }

    /// When `pull` has something next on this link; `None` if that does not depend on time.
    #[must_use]
    pub fn next_timeout_of(&self, now: Instant, id: ConnectionId, direction: Direction) -> Option<Instant> {
        self.links.get(&(id, direction))?.next_timeout(now, &self.faults)
    }

    /// The same for all links.
    #[must_use]
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        self.links.values().filter_map(|link| link.next_timeout(now, &self.faults)).min()
    }
}

/// So much later, or at a time that no test sees.
fn after(at: Instant, delay: Duration) -> Instant {
    at.checked_add(delay).or_else(|| at.checked_add(FOR_EVER)).unwrap_or(at)
}

/// The later of two ends, of which none means never.
fn later(held: Option<Option<Instant>>, until: Option<Instant>) -> Option<Instant> {
    match held {
        None => until,
        Some(before) => Some(before?.max(until?)),
    }
}

impl Link {
    fn push(&mut self, now: Instant, mut bytes: Bytes, faults: &mut [Active]) {
        if self.end != End::Open || bytes.is_empty() {
            return;
        }
        let (node, direction) = (self.node, self.direction);
        let concerned = |active: &&mut Active| active.is_in_force(now) && active.fault.concerns(node, direction);
        // Who cuts first?
        let mut cutter: Option<(&mut Active, usize)> = None;
        for active in faults.iter_mut().filter(concerned) {
            let NetworkEffect::Cut { after, .. } = active.fault.effect else { continue };
            let passed = self.passed.get(&active.id).copied().unwrap_or(0);
            let room = usize::try_from(after.saturating_sub(passed)).unwrap_or(usize::MAX);
            if active.left > 0 && room <= bytes.len() && cutter.as_ref().is_none_or(|(_, least)| room < *least) {
                cutter = Some((active, room));
            }
        }
        if let Some((active, room)) = cutter {
            active.left -= 1;
            bytes.truncate(room);
            self.end = End::Cutting;
        }
        for active in faults.iter_mut().filter(concerned) {
            let passed = self.passed.entry(active.id).or_insert(0);
            let before = *passed;
            *passed += bytes.len() as u64;
            let NetworkEffect::Corrupt { at, mask, .. } = active.fault.effect else { continue };
            if active.left == 0 || !(before..*passed).contains(&at) {
                continue;
            }
            active.left -= 1;
            let mut changed = bytes.to_vec();
            if let Some(byte) = usize::try_from(at - before).ok().and_then(|at| changed.get_mut(at)) {
                *byte ^= mask;
            }
            bytes = changed.into();
        }
        if !bytes.is_empty() {
            self.queued += bytes.len();
            self.enqueue(now, bytes, faults);
        }
    }

    fn finish(&mut self, now: Instant, faults: &[Active]) {
        if self.end == End::Open {
            self.enqueue(now, Bytes::new(), faults);
        }
    }

    fn enqueue(&mut self, now: Instant, bytes: Bytes, faults: &[Active]) {
        let mut due = now;
        for active in faults {
            let NetworkEffect::Delay { delay, jitter } = active.fault.effect else { continue };
            if active.is_in_force(now) && active.fault.concerns(self.node, self.direction) {
                let nanos = u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX);
                due = after(after(due, delay), Duration::from_nanos(self.chance.below(nanos)));
            }
        }
        let before = self.queue.back().map_or(now, |(due, _)| *due);
        self.queue.push_back((due.max(before), bytes));
    }

    fn pull(&mut self, now: Instant, faults: &mut [Active]) -> Option<Delivery> {
        if self.end == End::Cut {
            return None;
        }
        if self.is_cut_at_once(now, faults) || (self.end == End::Cutting && self.queue.is_empty()) {
            self.end = End::Cut;
            self.queue.clear();
            self.queued = 0;
            return Some(Delivery::Cut);
        }
        let (pace, held) = self.hindrance(now, faults);
        if held.is_some() {
            return None;
        }
        let (due, bytes) = self.queue.front_mut()?;
        if *due > now {
            return None;
        }
        if bytes.is_empty() {
            self.queue.pop_front();
            return Some(Delivery::End);
        }
        let mut piece = usize::MAX;
        if let Some((rate, _)) = pace {
            if self.free_at.is_some_and(|at| at > now) {
                return None;
            }
            piece = usize::try_from((rate / PIECES_PER_SECOND).max(1)).unwrap_or(usize::MAX).min(bytes.len());
            // From when it could have left, so that late timers do not add up.
            let left_at = self.free_at.map_or(*due, |at| at.max(*due));
            self.free_at = Some(left_at + Duration::from_nanos((piece as u64).saturating_mul(1_000_000_000) / rate));
        }
        let delivered = if piece < bytes.len() { bytes.split_to(piece) } else { std::mem::take(bytes) };
        if bytes.is_empty() {
            self.queue.pop_front();
        }
        self.queued -= delivered.len();
        Some(Delivery::Bytes(delivered))
    }

    /// Does a cut have no byte left to wait for?
    fn is_cut_at_once(&self, now: Instant, faults: &mut [Active]) -> bool {
        let hit = |active: &&mut Active| {
            let passed = self.passed.get(&active.id).copied().unwrap_or(0);
            let is_over = matches!(active.fault.effect, NetworkEffect::Cut { after, .. } if after <= passed);
            is_over && active.left > 0 && active.is_in_force(now) && active.fault.concerns(self.node, self.direction)
        };
        // One that is being cut already needs no second.
        let cutter = if self.end == End::Open { faults.iter_mut().find(hit) } else { None };
        cutter.map(|active| active.left -= 1).is_some()
    }

    /// The slowest pace with its end, and until when all is held.
    fn hindrance(&self, now: Instant, faults: &[Active]) -> (Option<(u64, Option<Instant>)>, Option<Option<Instant>>) {
        let (mut pace, mut held) = (None::<(u64, Option<Instant>)>, None);
        let concerned = |active: &&Active| active.is_in_force(now) && active.fault.concerns(self.node, self.direction);
        for active in faults.iter().filter(concerned) {
            match active.fault.effect {
                NetworkEffect::Slow { bytes_per_second } => {
                    let rate = bytes_per_second.max(1);
                    if pace.is_none_or(|(slowest, _)| rate < slowest) {
                        pace = Some((rate, active.until));
                    }
                }
                NetworkEffect::BlackHole => held = Some(later(held, active.until)),
                _ => {}
            }
        }
        (pace, held)
    }

    fn next_timeout(&self, now: Instant, faults: &[Active]) -> Option<Instant> {
        if self.end == End::Cut {
            return None;
        }
        let due = match self.queue.front() {
            Some((due, _)) => *due,
            None if self.end == End::Cutting => now,
            None => return None,
        };
        match self.hindrance(now, faults) {
            (_, Some(held)) => Some(held?.max(due)),
            (Some((_, until)), None) => {
                let free = self.free_at.unwrap_or(due);
                Some(until.map_or(free, |until| free.min(until)).max(due))
            }
            (None, None) => Some(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ConnectionId = ConnectionId(1);
    const SECOND: Duration = Duration::from_secs(1);

    struct World {
        network: Network,
        start: Instant,
    }

    /// One connection to node 1, with these faults.
    fn world(faults: &[NetworkFault]) -> World {
        let (mut network, start) = (Network::new(7), Instant::now());
        for fault in faults {
            network.apply(start, fault);
        }
        network.open(ID, 1);
        World { network, start }
    }

    impl World {
        fn push(&mut self, millis: u64, direction: Direction, text: &'static str) {
            self.network.push(self.start + Duration::from_millis(millis), ID, direction, Bytes::from_static(text.as_bytes()));
        }

        /// Lets time pass up to `millis`, and gives what came out towards `direction`, each with its time; a cut is "!".
        fn run(&mut self, direction: Direction, millis: u64) -> Vec<(u64, String)> {
            let (mut now, mut out) = (self.start, Vec::new());
            let end = self.start + Duration::from_millis(millis);
            loop {
                while let Some(delivery) = self.network.pull(now, ID, direction) {
                    let text = match delivery {
                        Delivery::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                        Delivery::Cut => "!".to_owned(),
                        Delivery::End => ".".to_owned(),
                    };
                    out.push(((now - self.start).as_millis() as u64, text));
                }
                match self.network.next_timeout_of(now, ID, direction) {
                    Some(next) if next <= end => now = now.max(next),
                    _ => return out,
                }
            }
        }

        fn all(&mut self, direction: Direction) -> String {
            self.run(direction, 1_000_000).into_iter().map(|(_, text)| text).collect()
        }
    }

    fn fault(effect: NetworkEffect) -> NetworkFault {
        effect.into()
    }

    fn delay(millis: u64, jitter: u64) -> NetworkFault {
        fault(NetworkEffect::Delay { delay: Duration::from_millis(millis), jitter: Duration::from_millis(jitter) })
    }

    use Direction::{FromBroker, ToBroker};

    #[test]
    fn without_faults_bytes_come_out_at_once() {
        let mut world = world(&[]);
        world.push(5, ToBroker, "abc");
        assert_eq!(world.run(ToBroker, 100), [(5, "abc".to_owned())]);
        assert!(world.network.is_clear(ID, ToBroker));
    }

    #[test]
    fn the_end_comes_behind_all_bytes_and_as_late() {
        let mut world = world(&[delay(100, 0)]);
        world.push(0, ToBroker, "abc");
        world.network.finish(world.start + SECOND, ID, ToBroker);
        assert!(!world.network.is_clear(ID, ToBroker));
        assert_eq!(world.run(ToBroker, 10_000), [(100, "abc".to_owned()), (1100, ".".to_owned())]);
        world.network.apply(world.start, &NetworkEffect::BlackHole.into());
        world.network.finish(world.start, ID, FromBroker);
        assert_eq!(world.all(FromBroker), "", "nobody hears of it");
    }

    #[test]
    fn delays_add_up_and_concern_one_node_and_direction() {
        let mut world = world(&[delay(100, 0).towards(ToBroker), delay(50, 0).at(1), delay(1000, 0).at(2)]);
        world.push(0, ToBroker, "to");
        world.push(0, FromBroker, "from");
        assert_eq!(world.run(ToBroker, 5000), [(150, "to".to_owned())]);
        assert_eq!(world.run(FromBroker, 5000), [(50, "from".to_owned())]);
    }

    #[test]
    fn jitter_keeps_the_order_and_depends_on_the_seed_alone() {
        let times = |seed| {
            let mut world = world(&[delay(10, 500)]);
            world.network.set_seed(seed);
            world.network.open(ID, 1);
            for at in 0..20 {
                world.push(at, ToBroker, if at % 2 == 0 { "x" } else { "y" });
            }
            world.run(ToBroker, 10_000)
        };
        let once = times(3);
        assert_eq!(once.iter().map(|(_, text)| text.as_str()).collect::<String>(), "xy".repeat(10));
        assert!(once.is_sorted_by_key(|(at, _)| *at) && once[0].0 >= 10 && once[19].0 < 530, "{once:?}");
        assert_eq!(once, times(3));
        assert_ne!(once, times(4));
    }

    #[test]
    fn a_fault_that_is_over_holds_nothing_back() {
        let mut world = world(&[fault(NetworkEffect::BlackHole).lasting(SECOND).towards(ToBroker)]);
        world.push(0, ToBroker, "a");
        world.push(700, ToBroker, "b");
        world.push(0, FromBroker, "other way");
        world.push(1500, ToBroker, "c");
        let expected = [(1000, "a"), (1000, "b"), (1500, "c")].map(|(at, text)| (at, text.to_owned()));
        assert_eq!(world.run(ToBroker, 10_000), expected);
        assert_eq!(world.run(FromBroker, 10_000).len(), 1);
    }

    #[test]
    fn a_black_hole_for_ever_gives_nothing() {
        let mut world = world(&[NetworkEffect::BlackHole.into()]);
        world.push(0, ToBroker, "a");
        assert_eq!(world.run(ToBroker, 1_000_000), []);
        assert_eq!(world.network.queued(ID, ToBroker), 1);
        world.network.clear();
        assert_eq!(world.all(ToBroker), "a");
    }

    #[test]
    fn a_slow_link_keeps_its_pace() {
        let mut world = world(&[fault(NetworkEffect::Slow { bytes_per_second: 40 })]);
        world.push(0, ToBroker, "0123456789");
        let came = world.run(ToBroker, 10_000);
        assert_eq!(came.iter().map(|(_, text)| text.as_str()).collect::<String>(), "0123456789");
        assert_eq!(came.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 50, 100, 150, 200], "two bytes each");
    }

    #[test]
    fn what_a_slow_link_kept_comes_at_once_when_the_fault_is_over() {
        let mut world = world(&[fault(NetworkEffect::Slow { bytes_per_second: 1 }).lasting(SECOND)]);
        world.push(0, ToBroker, "0123456789");
        assert_eq!(world.run(ToBroker, 10_000), [(0, "0".to_owned()), (1000, "123456789".to_owned())]);
    }

    #[test]
    fn a_cut_lets_exactly_so_many_bytes_through() {
        for (after, expected) in [(0, "!"), (1, "a!"), (3, "abc!"), (4, "abcd!"), (6, "abcdef!"), (7, "abcdef")] {
            let mut world = world(&[fault(NetworkEffect::Cut { after, connections: 1 }).towards(ToBroker)]);
            world.push(0, ToBroker, "abc");
            world.push(0, ToBroker, "def");
            world.push(0, FromBroker, "not cut");
            assert_eq!(world.all(ToBroker), expected, "after {after}");
            assert_eq!(world.all(FromBroker), "not cut");
        }
    }

    #[test]
    fn a_cut_counts_from_its_beginning_and_hits_so_many_connections() {
        let mut world = world(&[]);
        world.push(0, ToBroker, "before");
        assert_eq!(world.all(ToBroker), "before");
        world.network.apply(world.start, &fault(NetworkEffect::Cut { after: 2, connections: 2 }).towards(ToBroker));
        for (id, expected) in [(1, "ab!"), (2, "ab!"), (3, "abc")] {
            let id = ConnectionId(id);
            if id != ID {
                world.network.open(id, 1);
            }
            world.network.push(world.start, id, ToBroker, Bytes::from_static(b"abc"));
            let mut out = String::new();
            while let Some(delivery) = world.network.pull(world.start, id, ToBroker) {
                match delivery {
                    Delivery::Bytes(bytes) => out.push_str(std::str::from_utf8(&bytes).expect("text")),
                    Delivery::Cut | Delivery::End => out.push('!'),
                }
            }
            assert_eq!(out, expected, "{id}");
        }
    }

    #[test]
    fn the_first_of_two_cuts_counts() {
        let cut = |after| fault(NetworkEffect::Cut { after, connections: 1 }).towards(ToBroker);
        let mut world = world(&[cut(5), cut(2)]);
        world.push(0, ToBroker, "abcdef");
        assert_eq!(world.all(ToBroker), "ab!");
        world.network.open(ID, 1);
        world.push(0, ToBroker, "abcdef");
        assert_eq!(world.all(ToBroker), "abcde!", "the other one waits for another connection");
    }

    #[test]
    fn one_byte_is_changed() {
        let mut world = world(&[fault(NetworkEffect::Corrupt { at: 3, mask: 0x20, connections: 1 }).towards(ToBroker)]);
        world.push(0, ToBroker, "ab");
        world.push(0, ToBroker, "cdef");
        world.push(0, ToBroker, "ghi");
        assert_eq!(world.all(ToBroker), "abcDefghi");
    }

    #[test]
    fn connecting_waits_is_refused_or_works() {
        let refused = fault(NetworkEffect::RefuseConnect).at(1).lasting(SECOND);
        let held = fault(NetworkEffect::BlackHole).at(2).lasting(SECOND);
        let World { network, start } = world(&[refused, held, NetworkFault { node: Some(3), ..delay(30, 0) }]);
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(network.connect(start, start, 1), Connect::Refused);
        assert_eq!(network.connect(at(1000), start, 1), Connect::Made);
        assert_eq!(network.connect(start, start, 2), Connect::Later(Some(at(1000))));
        assert_eq!(network.connect(at(1000), start, 2), Connect::Made);
        assert_eq!(network.connect(start, start, 3), Connect::Later(Some(at(30))));
        assert_eq!(network.connect(at(30), start, 3), Connect::Made);
        assert_eq!(network.connect(start, start, 4), Connect::Made);
    }

    #[test]
    fn two_black_holes_hold_until_both_are_over() {
        let held = |lasts: Option<u64>| NetworkFault { lasts: lasts.map(Duration::from_secs), ..NetworkEffect::BlackHole.into() };
        for (lasts, expected) in
            [([Some(1), Some(3)], Some(3)), ([Some(3), Some(1)], Some(3)), ([None, Some(1)], None), ([Some(1), None], None)]
        {
            let World { network, start } = world(&lasts.map(held));
            let expected = expected.map(|seconds| start + Duration::from_secs(seconds));
            assert_eq!(network.connect(start, start, 1), Connect::Later(expected));
        }
    }
}
