//! Records of one partition, handed out together and read in place.

use std::fmt;

use crate::Result;
use crate::consumer::chunk::Opened;
use crate::consumer::fetch::unreadable;
use crate::consumer::positions::Place;
use crate::protocol::records::{Cursor, RecordRef};
use crate::record::{Message, TimestampType, Topic, TopicPartition};

/// Records of one partition in the order of their offsets; from [`Consumer::next_batch`](crate::consumer::Consumer::next_batch) and
/// [`Consumer::each_batch`](crate::consumer::Consumer::each_batch).
///
/// Iterating borrows: neither keys nor values are copied, and nothing is allocated per record. It holds on to the memory of what was
/// fetched for as long as it lives. Control records and those of aborted transactions are not in it; it is never empty.
pub struct Batch {
    partition: TopicPartition,
    pub(crate) place: Place,
    pub(crate) parts: Vec<Opened>,
    first_offset: i64,
    last_offset: i64,
    high_watermark: i64,
}

impl Batch {
    pub(crate) fn new(partition: TopicPartition, place: Place, parts: Vec<Opened>, next: i64, high_watermark: i64) -> Self {
        let first_offset = parts.first().map_or(next, Opened::at);
        // With compaction the last record may stand before it; for a mark it is as good.
        let last_offset = (next - 1).max(first_offset);
        Self { partition, place, parts, first_offset, last_offset, high_watermark }
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.partition.topic
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.partition.partition
    }

    /// Topic and partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// How many records are in it.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Opened::left).sum()
    }

    /// Are there none? Never so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where it begins: no record before this offset is in it.
    pub fn first_offset(&self) -> i64 {
        self.first_offset
    }

    /// Where it ends: no record after this offset is in it.
    pub fn last_offset(&self) -> i64 {
        self.last_offset
    }

    /// The end of the partition's log when this was fetched.
    #[doc(alias = "highwater_mark_offset")]
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// How many offsets were behind it in the log when it was fetched.
    pub fn offset_lag(&self) -> i64 {
        (self.high_watermark - 1 - self.last_offset).max(0)
    }

    /// The records in place, first to last. After an error there is nothing more: what follows it cannot be told apart.
    pub fn records(&self) -> BatchRecords<'_> {
        let mut parts = self.parts.iter();
        let current = parts.next().map(|part| (part, part.cursor()));
        BatchRecords { partition: &self.partition, at: self.first_offset, current, parts }
    }

    /// The records as messages of their own, which share the batch's memory.
    pub fn messages(&self) -> impl Iterator<Item = Result<Message>> {
        let parts = self.parts.iter().flat_map(|part| {
            let mut cursor = part.cursor();
            std::iter::from_fn(move || Some((part, part.record(&mut cursor)?)))
        });
        parts.map(|(part, record)| {
            let message = record.and_then(|record| part.owned(&record, &self.partition));
            message.map_err(|fault| unreadable(&self.partition, part.at(), fault))
        })
    }

    /// What the first record's timestamp tells; a topic's records differ only around a change of its configuration.
    pub fn timestamp_type(&self) -> TimestampType {
        self.parts.first().map_or(TimestampType::CreateTime, Opened::timestamp_type)
    }

    pub(crate) fn leader_epoch(&self) -> Option<i32> {
        self.parts.last().and_then(Opened::leader_epoch)
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({}, offsets {}..={}, {} records)", self.partition, self.first_offset, self.last_offset, self.len())
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Result<RecordRef<'a>>;
    type IntoIter = BatchRecords<'a>;

    fn into_iter(self) -> BatchRecords<'a> {
        self.records()
    }
}

/// Iterator over the records of a [`Batch`].
#[derive(Clone, Debug)]
pub struct BatchRecords<'a> {
    partition: &'a TopicPartition,
    /// The offset of the next record, or one before it.
    at: i64,
    current: Option<(&'a Opened, Cursor)>,
    parts: std::slice::Iter<'a, Opened>,
}

impl<'a> Iterator for BatchRecords<'a> {
    type Item = Result<RecordRef<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (part, cursor) = self.current.as_mut()?;
            match part.record(cursor) {
                Some(Ok(record)) => {
                    self.at = record.offset + 1;
                    return Some(Ok(record));
                }
                Some(Err(fault)) => {
                    let error = unreadable(self.partition, self.at, fault);
                    self.current = None;
                    return Some(Err(error));
                }
                None => self.current = self.parts.next().map(|part| (part, part.cursor())),
            }
        }
    }
}
