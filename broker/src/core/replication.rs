//! One partition and its replicas: who leads, who is in sync, and what each of them has.
//!
//! There is one log, the leader's; while there is no leader, that of the last one. A follower that runs has all of it at once, which
//! costs nothing: it is not even listed. Listed are replicas that lag because a test holds them back or because they are stopped:
//! most have a beginning of the leader's log, which is a length. Only one whose leader was lost with a part of its history that the
//! next one does not have keeps a log of its own, until it follows again and cuts off what is not its leader's.
//!
//! ```text
//!                      held back, stopped                 another leads, without what it had
//!   in step (unlisted) ──────────────────► Prefix(offset) ────────────────────────────────────► Apart(log)
//!          ▲                                     │                                                   │
//!          └───────────── follows again ─────────┴──────────────────── follows again ────────────────┘
//! ```
//!
//! As in Kafka the high watermark is what all replicas in sync have; it does not move while fewer are in sync than
//! `min.insync.replicas`. A clean election takes a replica that is in sync, so nothing below the high watermark is lost by it.

use std::collections::{BTreeMap, BTreeSet};

use klamm::protocol::ErrorCode;
use klamm::protocol::records::Batch;

use crate::core::log::Log;
use crate::core::producers::Producers;

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    /// Counts changes of leader and replicas in sync.
    pub(crate) partition_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: BTreeSet<i32>,
    pub(crate) log: Log,
    pub(crate) producers: Producers,
    /// Where the log ended when its leader became it.
    pub(crate) epoch_start: i64,
    /// Whose log it is: the leader's, or that of the last one.
    keeper: i32,
    /// Replicas that do not have all of it.
    behind: BTreeMap<i32, Has>,
    rules: Rules,
    /// What was lost since it was last asked, if the rules say that this is kept.
    losses: Vec<Loss>,
}

/// The end of a log that the leaders have no more.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "unstable-cores"), expect(dead_code, reason = "simulators ask for losses"))]
pub(crate) struct Loss {
    /// The first offset that is lost.
    pub(crate) from: i64,
    /// Where the log ended.
    pub(crate) to: i64,
    /// Its high watermark: what is before it was visible, and acknowledged to who wants all replicas to have it.
    pub(crate) high_watermark: i64,
    pub(crate) batches: Vec<Batch>,
}

impl Loss {
    /// All of `log` from an offset on.
    pub(crate) fn of(log: &Log, from: i64) -> Self {
        let batches = log.batches().filter(|batch| batch.base_offset() >= from).cloned().collect();
        Self { from, to: log.end_offset(), high_watermark: log.high_watermark(), batches }
    }
}

/// What a replica has that is behind.
#[derive(Debug)]
enum Has {
    /// The log up to this offset.
    Prefix(i64),
    /// A history of its own.
    Apart(Box<Log>),
}

/// How a partition's replicas are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `min.insync.replicas`.
    pub(crate) min_isr: usize,
    /// `unclean.leader.election.enable`.
    pub(crate) unclean: bool,
    /// Does the high watermark move while there are fewer in sync than that, as it did before Kafka 3.7?
    pub(crate) moves_below_min_isr: bool,
    /// Is what is lost kept for whoever asks?
    pub(crate) keeps_losses: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { min_isr: 1, unclean: false, moves_below_min_isr: false, keeps_losses: false }
    }
}

/// The nodes around a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    pub(crate) running: &'a BTreeSet<i32>,
    /// Those that do not replicate.
    pub(crate) held: &'a BTreeSet<i32>,
}

impl Around<'_> {
    fn follows(&self, node: i32) -> bool {
        self.running.contains(&node) && !self.held.contains(&node)
    }
}

impl Partition {
    pub(crate) fn new(replicas: Vec<i32>, around: Around<'_>, rules: Rules) -> Self {
        let leader = replicas.iter().copied().find(|node| around.running.contains(node));
        let keeper = leader.or(replicas.first().copied()).unwrap_or(-1);
        let mut isr: BTreeSet<_> = replicas.iter().copied().filter(|node| around.running.contains(node)).collect();
        isr.insert(keeper);
        let mut log = Log::default();
        log.start_epoch(0);
        let mut partition = Self {
            leader,
            leader_epoch: 0,
            partition_epoch: 0,
            replicas,
            isr,
            log,
            producers: Producers::default(),
            epoch_start: 0,
            keeper,
            behind: BTreeMap::new(),
            rules,
            losses: Vec::new(),
        };
        partition.settle(around, rules);
        partition
    }

    /// May `node` answer for it to a client that believes in `epoch` (-1: it does not say)?
    pub(crate) fn check_leader(&self, node: i32, epoch: i32) -> Result<(), ErrorCode> {
        if self.leader != Some(node) {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        match epoch {
            -1 => Ok(()),
            epoch if epoch < self.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
            epoch if epoch > self.leader_epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            _ => Ok(()),
        }
    }

    /// Appends a batch, and remembers its producer; gives its base offset.
    pub(crate) fn append(&mut self, batch: &Batch, log_append_time: Option<i64>) -> i64 {
        let base_offset = self.log.append(batch, self.leader_epoch, log_append_time);
        // A repetition is answered with the batch's time, whoever gave it.
        self.producers.appended(batch, base_offset, log_append_time.unwrap_or(batch.max_timestamp()));
        base_offset
    }

    /// How many replicas have to be in sync for an acknowledgement by all.
    pub(crate) fn min_isr(&self) -> usize {
        self.rules.min_isr.min(self.replicas.len())
    }

    /// Are fewer replicas in sync than an acknowledgement by all needs?
    pub(crate) fn is_under_min_isr(&self) -> bool {
        self.isr.len() < self.min_isr()
    }

    /// Where a replica's log ends.
    pub(crate) fn end_of(&self, node: i32) -> Option<i64> {
        let is_known = node == self.keeper || self.replicas.contains(&node);
        is_known.then(|| match self.behind.get(&node) {
            None => self.log.end_offset(),
            Some(Has::Prefix(end)) => *end,
            Some(Has::Apart(log)) => log.end_offset(),
        })
    }

    /// Draws all conclusions from what has changed around: who lags, who is in sync, who leads.
    pub(crate) fn settle(&mut self, around: Around<'_>, rules: Rules) {
        self.rules = rules;
        self.mark_lagging(around);
        self.leave_isr(|node| !around.running.contains(&node));
        if !self.leader.is_some_and(|leader| around.running.contains(&leader)) {
            self.elect(around);
        }
        self.follow(around);
    }

    /// Other rules hold from now on.
    pub(crate) fn set_rules(&mut self, around: Around<'_>, rules: Rules) {
        if rules == self.rules {
            return;
        }
        self.rules = rules;
        if self.leader.is_none() && rules.unclean {
            self.elect(around);
        }
        self.follow(around);
    }

    /// After a change of leader or of who replicates.
    fn follow(&mut self, around: Around<'_>) {
        self.catch_up(around);
        self.mark_lagging(around);
        self.advance();
    }

    fn mark_lagging(&mut self, around: Around<'_>) {
        let end = self.log.end_offset();
        for node in self.replicas.iter().filter(|node| **node != self.keeper && !around.follows(**node)) {
            self.behind.entry(*node).or_insert(Has::Prefix(end));
        }
    }

    /// Gives it the first replica that is in sync and runs; without one, if that is allowed, the first that runs.
    fn elect(&mut self, around: Around<'_>) {
        let mut running = self.replicas.iter().copied().filter(|node| around.running.contains(node));
        let clean = running.clone().find(|node| self.isr.contains(node));
        let unclean = if self.rules.unclean { running.next() } else { None };
        let next = clean.or(unclean);
        if next != self.leader {
            self.lead(next);
        }
    }

    /// Makes `leader` the leader with the next epoch, with what it has: whatever else was there is lost.
    pub(crate) fn lead(&mut self, leader: Option<i32>) {
        if let Some(leader) = leader {
            self.take_over(leader);
            if !self.isr.contains(&leader) {
                self.isr = BTreeSet::from([leader]);
            }
        }
        self.leader = leader;
        self.leader_epoch += 1;
        self.partition_epoch += 1;
        if leader.is_some() {
            self.epoch_start = self.log.end_offset();
            self.log.start_epoch(self.leader_epoch);
        }
    }

    /// Makes the log the one that `node` has.
    fn take_over(&mut self, node: i32) {
        self.keeper = node;
        let own = match self.behind.remove(&node) {
            None => return,
            Some(Has::Prefix(end)) if end >= self.log.end_offset() => return,
            Some(Has::Prefix(end)) => {
                let mut own = self.log.clone();
                own.truncate_from(end);
                own
            }
            Some(Has::Apart(own)) => *own,
        };
        let old = std::mem::replace(&mut self.log, own);
        self.producers = producers_of(&self.log);
        // No follower knows of a high watermark beyond what it has.
        let shared = self.log.shared_with(&old);
        self.lose(&old, shared);
        self.log.set_high_watermark(old.high_watermark().min(shared));
        for replica in self.replicas.iter().copied().filter(|replica| *replica != node) {
            let had = match self.behind.remove(&replica) {
                None => old.clone(),
                Some(Has::Prefix(end)) => {
                    let mut had = old.clone();
                    had.truncate_from(end);
                    had
                }
                Some(Has::Apart(had)) => *had,
            };
            let shared = had.shared_with(&self.log);
            let has = if shared == had.end_offset() { Has::Prefix(shared) } else { Has::Apart(Box::new(had)) };
            self.behind.insert(replica, has);
        }
    }

    /// Brings the followers in step that follow, and takes them among those in sync.
    fn catch_up(&mut self, around: Around<'_>) {
        let Some(leader) = self.leader else { return };
        self.behind.retain(|node, _| *node == leader || !around.follows(*node));
        for node in self.replicas.iter().copied().filter(|node| around.follows(*node)) {
            if self.isr.insert(node) {
                self.partition_epoch += 1;
            }
        }
    }

    /// Takes out of the replicas in sync those for whom `leaves` says so; the last one stays, for it has everything.
    fn leave_isr(&mut self, leaves: impl Fn(i32) -> bool) {
        let staying: BTreeSet<_> = self.isr.iter().copied().filter(|node| !leaves(*node)).collect();
        let staying = match staying.is_empty() {
            true if self.isr.contains(&self.keeper) => BTreeSet::from([self.keeper]),
            true => return,
            false => staying,
        };
        if staying != self.isr {
            self.isr = staying;
            self.partition_epoch += 1;
        }
    }

    /// Takes out of the replicas in sync those of `slow` that do not have everything: `replica.lag.time.max.ms` is over for them.
    pub(crate) fn drop_laggards(&mut self, slow: &BTreeSet<i32>) {
        let Some(leader) = self.leader else { return };
        let end = self.log.end_offset();
        let is_late = |node: &i32| match self.behind.get(node) {
            None => false,
            Some(Has::Prefix(had)) => *had < end,
            Some(Has::Apart(_)) => true,
        };
        let late: BTreeSet<_> = slow.iter().copied().filter(is_late).collect();
        self.leave_isr(|node| node != leader && late.contains(&node));
        self.advance();
    }

    /// Lets a replica that is held back have the log up to `offset`, at batch borders.
    pub(crate) fn replicate_up_to(&mut self, node: i32, offset: i64, around: Around<'_>) {
        if self.leader.is_none_or(|leader| leader == node) || !around.running.contains(&node) {
            return;
        }
        let to = self.log.batch_end_before(offset);
        let (end, high_watermark) = (self.log.end_offset(), self.log.high_watermark());
        let Some(has) = self.behind.get_mut(&node) else { return };
        let had = match has {
            Has::Prefix(had) => *had,
            Has::Apart(log) => log.shared_with(&self.log),
        };
        let has_now = had.max(to.min(end));
        *has = Has::Prefix(has_now);
        // As Kafka's leader judges it.
        if has_now >= high_watermark && has_now >= self.epoch_start && self.isr.insert(node) {
            self.partition_epoch += 1;
        }
        self.advance();
    }

    /// Moves the high watermark to what all replicas in sync have.
    fn advance(&mut self) {
        if self.leader.is_none() {
            return;
        }
        let stands = self.is_under_min_isr() && !self.rules.moves_below_min_isr;
        let lagging = self.isr.iter().filter_map(|node| match self.behind.get(node)? {
            Has::Prefix(end) => Some(*end),
            Has::Apart(log) => Some(log.shared_with(&self.log)),
        });
        let least = lagging.min();
        self.log.set_waiting(stands || least.is_some());
        if let Some(least) = least.filter(|_| !stands) {
            self.log.replicated_to(least);
        }
    }

    /// Makes `leader` the leader as a controlled move does. Who was not in sync is first brought in step, so that nothing is lost.
    pub(crate) fn move_leader(&mut self, leader: Option<i32>, around: Around<'_>) {
        if let Some(leader) = leader {
            if !self.replicas.contains(&leader) {
                self.replicas.push(leader);
            }
            if self.isr.insert(leader) {
                self.behind.remove(&leader);
            }
        }
        self.lead(leader);
        self.follow(around);
    }

    /// Elects anew, whoever leads now, as `ElectLeaders` does.
    pub(crate) fn elect_preferred(&mut self, around: Around<'_>) -> Result<(), ErrorCode> {
        let preferred = self.replicas.first().copied();
        if preferred.is_some() && preferred == self.leader {
            return Err(ErrorCode::ELECTION_NOT_NEEDED);
        }
        let able = preferred.filter(|node| self.isr.contains(node) && around.running.contains(node));
        let preferred = able.ok_or(ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE)?;
        self.lead(Some(preferred));
        self.follow(around);
        Ok(())
    }

    /// Gives a partition without a leader one, in sync or not; `node`, or the first that runs.
    pub(crate) fn elect_unclean(&mut self, node: Option<i32>, around: Around<'_>) -> Result<(), ErrorCode> {
        let mut able = self.replicas.iter().copied().filter(|node| around.running.contains(node));
        let in_sync = able.clone().find(|node| self.isr.contains(node));
        let next = match node {
            Some(node) => able.find(|able| *able == node),
            None => in_sync.or_else(|| able.next()),
        };
        let next = next.ok_or(ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE)?;
        self.lead(Some(next));
        self.follow(around);
        Ok(())
    }

    /// Cuts the log of all replicas at `from`, under the next epoch.
    pub(crate) fn truncate(&mut self, from: i64) {
        let before = self.rules.keeps_losses.then(|| self.log.clone());
        self.log.truncate_from(from);
        if let Some(before) = before {
            self.lose(&before, self.log.end_offset());
        }
        self.producers = producers_of(&self.log);
        let end = self.log.end_offset();
        for has in self.behind.values_mut() {
            let had = match has {
                Has::Prefix(had) => *had,
                Has::Apart(log) => log.shared_with(&self.log),
            };
            *has = Has::Prefix(had.min(end));
        }
        self.leader_epoch += 1;
        self.partition_epoch += 1;
        self.epoch_start = end;
        self.log.start_epoch(self.leader_epoch);
        self.advance();
    }

    fn lose(&mut self, log: &Log, from: i64) {
        if self.rules.keeps_losses && from < log.end_offset() {
            self.losses.push(Loss::of(log, from));
        }
    }

    /// What was lost since the last call.
    #[cfg(feature = "unstable-cores")]
    pub(crate) fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// All that was lost, when its topic is deleted.
    pub(crate) fn end(mut self) -> Vec<Loss> {
        if self.rules.keeps_losses {
            self.losses.push(Loss::of(&self.log, self.log.start_offset()));
        }
        self.losses
    }
}

/// What a log tells of its producers.
fn producers_of(log: &Log) -> Producers {
    let mut producers = Producers::default();
    for batch in log.batches() {
        producers.appended(batch, batch.base_offset(), batch.max_timestamp());
    }
    producers
}

#[cfg(test)]
mod tests;
