//! What happened in a run, as plain data: the engines write it, the oracles read it, and neither knows the other.
//!
//! Events stand in the order in which they happened; their times are virtual, from the start of the run. A record is known by who sent it
//! and a number, which stand at the head of its value, so that calls, logs and deliveries can be compared.

use std::fmt;
use std::time::Duration;

/// A partition of the run's topics, which are called `t0`, `t1` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Number of the topic.
    pub topic: u32,
    /// Number of the partition in it.
    pub number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}-{}", self.topic, self.number)
    }
}

/// The name of a topic.
pub fn topic_name(topic: u32) -> String {
    format!("t{topic}")
}

/// The topic of a name, if it is one of the run's.
pub fn topic_number(name: &str) -> Option<u32> {
    name.strip_prefix('t')?.parse().ok()
}

/// A record, wherever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// Who sent it; within one run a producer's number is used once, also after its end.
    pub producer: u32,
    /// The how manieth of its records it is, from 0.
    pub number: u64,
}

impl RecordId {
    /// Its value: the id, and so many bytes more.
    pub fn value(self, padding: usize) -> Vec<u8> {
        let mut value = format!("{self}/").into_bytes();
        value.resize(value.len() + padding, b'.');
        value
    }

    /// Finds the id in a value.
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut parts = value.split(|byte| *byte == b'/');
        let mut part = || std::str::from_utf8(parts.next()?).ok();
        let producer = part()?.strip_prefix('p')?.parse().ok()?;
        let number = part()?.parse().ok()?;
        Some(Self { producer, number })
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}/{}", self.producer, self.number)
    }
}

/// A transaction of a scripted writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    /// Whose.
    pub writer: u32,
    /// The how manieth of its transactions it is, from 0.
    pub number: u64,
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transaction {} of writer {}", self.number, self.writer)
    }
}

/// Whose gauge, or whose activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// A producer.
    Producer(u32),
    /// A member of the group.
    Member(u32),
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A record is handed over; waits for metadata and room.
    Enqueue(RecordId),
    /// Waiting for the result of a record that was accepted.
    Delivery(RecordId),
    /// All that a producer was given.
    Flush(u32),
    /// A commit of what a member marked.
    Commit(u32),
    /// The end of a producer or member, with a deadline.
    Close(Who),
}

/// When a producer's record counts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Without an answer: nothing is promised.
    None,
    /// The leader has it.
    Leader,
    /// All replicas have it.
    All,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A producer begins.
    ProducerStarted {
        /// Its number.
        producer: u32,
        /// Are its records written once?
        idempotent: bool,
        /// Does it keep the order of each partition? Not with many requests in flight and without idempotence.
        ordered: bool,
        /// When records count as delivered.
        acks: Acks,
    },
    /// A record was accepted: from now on it has a place behind those that were accepted before it.
    Accepted {
        /// Which.
        record: RecordId,
        /// Where it goes.
        partition: Partition,
    },
    /// A record has its acknowledgement.
    Acked {
        /// Which.
        record: RecordId,
        /// Where it is.
        partition: Partition,
        /// At which offset, if a broker said it.
        offset: Option<i64>,
    },
    /// A record was not accepted, or was not delivered.
    Failed {
        /// Which.
        record: RecordId,
        /// May it be in the log all the same?
        possibly_written: bool,
        /// The error.
        error: String,
    },
    /// Nobody waits any more for the result of a record that was accepted.
    Abandoned {
        /// Which.
        record: RecordId,
    },
    /// A copy of a consumed record is about to be produced.
    Copied {
        /// The copy.
        record: RecordId,
        /// Where the original is.
        from: Partition,
        /// Its offset.
        offset: i64,
    },
    /// A record is about to be sent in a transaction.
    Transacted {
        /// Which.
        record: RecordId,
        /// In which.
        transaction: TransactionId,
    },
    /// A writer is about to ask for the end of its transaction, for the first time.
    EndAsked {
        /// Of which.
        transaction: TransactionId,
        /// Is it to be committed?
        commit: bool,
    },
    /// A writer knows how its transaction has ended.
    TransactionEnded {
        /// Which.
        transaction: TransactionId,
        /// Was it committed?
        committed: bool,
    },
    /// A marker is in a log: it was seen there before anything that follows was.
    Marked {
        /// Where.
        partition: Partition,
        /// Its own offset.
        offset: i64,
        /// Whose transaction has ended.
        producer_id: i64,
        /// Was it committed?
        committed: bool,
    },
    /// A public future was made.
    Called {
        /// Number of the call.
        call: u64,
        /// What was called.
        what: Call,
        /// How long it may take.
        limit: Duration,
    },
    /// It gave its result.
    Returned {
        /// Number of the call.
        call: u64,
        /// Was it a success?
        ok: bool,
    },
    /// It was dropped before that.
    Dropped {
        /// Number of the call.
        call: u64,
    },
    /// A member begins to read.
    Joined {
        /// Its number.
        member: u32,
    },
    /// Partitions came to a member: the user heard of it.
    Assigned {
        /// Who.
        member: u32,
        /// Which.
        partitions: Vec<Partition>,
    },
    /// A member has given partitions away.
    Revoked {
        /// Who.
        member: u32,
        /// Which.
        partitions: Vec<Partition>,
    },
    /// A member has found that partitions are not its own any more.
    Lost {
        /// Who.
        member: u32,
        /// Which.
        partitions: Vec<Partition>,
    },
    /// A record was handed to the user.
    Delivered {
        /// To whom.
        member: u32,
        /// From where.
        partition: Partition,
        /// At which offset.
        offset: i64,
        /// Which one.
        record: Option<RecordId>,
    },
    /// The request for a commit reached a broker.
    CommitAsked {
        /// Whose.
        member: u32,
        /// Of which partition.
        partition: Partition,
        /// The next offset to read.
        offset: i64,
    },
    /// A member was told that everything it had marked is committed.
    CommitAcked {
        /// Who.
        member: u32,
        /// Up to where, by partition.
        offsets: Vec<(Partition, i64)>,
    },
    /// A member has left in order, or was dropped.
    Ended {
        /// Who.
        member: u32,
        /// Did it crash? Then the coordinator finds out by itself.
        crashed: bool,
    },
    /// A batch reached a broker in a Produce request.
    BatchSent {
        /// Where to.
        partition: Partition,
        /// By which producer id; -1 if the producer is not idempotent.
        producer_id: i64,
        /// In which epoch.
        epoch: i16,
        /// The first record's sequence number.
        sequence: i32,
        /// A hash of the batch's content behind its header, so that two can be compared.
        content: u64,
    },
    /// What is buffered.
    Gauge {
        /// Whose.
        who: Who,
        /// Bytes in use.
        used: usize,
        /// Bytes that may be in use.
        limit: usize,
        /// Was it closed?
        closed: bool,
    },
    /// What somebody did in a virtual second that is over.
    Activity {
        /// Who.
        who: Who,
        /// Requests that reached brokers.
        requests: u32,
        /// How often its connections were polled.
        wakes: u32,
    },
    /// A fault begins.
    Fault(String),
    /// The end of a partition's log is lost: the broker said so. It comes before whatever clients may see of that.
    Destroyed {
        /// Where.
        partition: Partition,
        /// From this offset on; 0 where the topic was deleted.
        from: i64,
        /// What stood before this offset was visible, and acknowledged to who wants all replicas to have it.
        high_watermark: i64,
        /// What was lost, with its offsets.
        records: Vec<(i64, RecordId)>,
    },
    /// Members were thrown out behind their backs: until they hear of it, partitions may have two owners.
    Expired,
    /// One member is not in the group any more, as its coordinator sees it; it may not have heard of that yet.
    ThrownOut {
        /// Who.
        member: u32,
    },
    /// All faults are over.
    Healed,
    /// Everything was resolved, read and committed.
    Settled,
}

/// An event and its time, from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Duration,
    /// What.
    pub event: Event,
}

/// What became of a record's transaction, as the log says it: by the next marker of its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has none.
    Plain,
    /// It was committed, by the marker at this offset.
    Committed(i64),
    /// It was aborted, by the marker at this offset.
    Aborted(i64),
    /// It is open.
    Open,
}

impl Fate {
    /// May a reader of committed records see it?
    pub fn is_visible(self) -> bool {
        matches!(self, Self::Plain | Self::Committed(_))
    }
}

/// A record in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Where.
    pub offset: i64,
    /// Which, if its value says so.
    pub record: Option<RecordId>,
    /// What became of its transaction.
    pub fate: Fate,
}

/// A partition's log at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Whose.
    pub partition: Partition,
    /// What is in it, oldest first; without markers of transactions.
    pub records: Vec<Logged>,
    /// The offset after the last.
    pub end: i64,
    /// What the group has committed.
    pub committed: Option<i64>,
}

/// What a run is measured against: it depends on its workload, not on what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From the end of all faults to the moment when everything is resolved, read and committed.
    pub recovery: Duration,
    /// How much longer than its limit a call may take.
    pub grace: Duration,
    /// For how long a partition may have two owners after [`Event::Expired`] and [`Event::ThrownOut`].
    pub overlap: Duration,
    /// Requests of one client in a virtual second.
    pub requests_per_second: u32,
    /// Polls of the connections of one client in a virtual second.
    pub wakes_per_second: u32,
    /// Must all that is consumed be read and committed to the end?
    pub reads_all: bool,
    /// May brokers lose what all replicas in sync had?
    pub destroys: bool,
    /// May bytes arrive changed? Then brokers may do what nobody asked for, and clients hear what nobody said.
    pub garbles: bool,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// What it is measured against.
    pub bounds: Bounds,
    /// What happened, in order.
    pub events: Vec<Entry>,
    /// The logs at the end, sorted.
    pub logs: Vec<Log>,
    /// When it ended.
    pub ended: Duration,
}

impl History {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, events: Vec::new(), logs: Vec::new(), ended: Duration::ZERO }
    }

    /// One more event.
    pub fn push(&mut self, at: Duration, event: Event) {
        self.events.push(Entry { at, event });
    }

    /// How many operations it holds: records accepted, acknowledged, delivered; commits.
    pub fn operations(&self) -> u64 {
        let counts = |entry: &&Entry| {
            use Event::{Accepted, Acked, CommitAcked, CommitAsked, Delivered, Failed};
            matches!(
                entry.event,
                Accepted { .. } | Acked { .. } | Failed { .. } | Delivered { .. } | CommitAsked { .. } | CommitAcked { .. }
            )
        };
        self.events.iter().filter(counts).count() as u64
    }

    /// The last events as text, one a line.
    pub fn tail(&self, count: usize) -> String {
        let skipped = self.events.len().saturating_sub(count);
        let lines = self.events.iter().skip(skipped).map(|Entry { at, event }| format!("{at:>12.6?}  {event:?}\n"));
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_in_its_value() {
        let record = RecordId { producer: 3, number: 17 };
        assert_eq!(RecordId::read(&record.value(0)), Some(record));
        assert_eq!(RecordId::read(&record.value(100)), Some(record));
        assert_eq!(record.value(100).len(), 106);
        for other in [&b""[..], b"p3", b"p3/x/", b"q3/1/", b"\xff/1/"] {
            assert_eq!(RecordId::read(other), None);
        }
    }
}
