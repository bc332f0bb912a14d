//! What one fetch brought for one partition.
//!
//! The fetch task reads headers only ([`parse`]): lengths, checksums, who is aborted. What is left are the batches that hold records
//! for the user, and where the partition goes on behind them, which may be past control batches, aborted transactions and what
//! compaction emptied. Decompression waits until the user comes to a batch; one batch at a time is open.
//!
//! A broker cuts a partition's data at the fetch size, so the last batch may be there in part: it is fetched again. A batch that
//! cannot be believed ends the chunk before it, and the fault is the user's to see *after* the records before it.
//!
//! Aborted transactions (KIP-98): the answer lists producer and first offset of each that overlaps it, in no promised order. Every
//! batch of such a producer from that offset on is left out, up to the producer's next abort marker.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::consumer::positions::{Checkpoint, Place};
use crate::protocol::records::{
    Batch, BatchError, BatchErrorKind, ControlType, Cursor, Limits, RecordBatches, RecordRef, Records,
};
use crate::record::{Header, Message, TimestampType, TopicPartition};

/// Records of one partition as fetched, opened batch by batch.
#[derive(Debug)]
pub(crate) struct Chunk {
    place: Place,
    /// Records before it were not asked for; a broker sends whole batches.
    from: i64,
    batches: VecDeque<Unopened>,
    /// Where the partition goes on behind all of them.
    next: Checkpoint,
    high_watermark: i64,
    size: usize,
    open: Option<Opened>,
    /// Opened before their turn.
    ahead: VecDeque<Opened>,
}

/// A batch with records for the user.
#[derive(Debug)]
struct Unopened {
    batch: Batch,
    /// No record of it is before this offset. In formats 0 and 1 only what stands before it tells, as long as it is compressed.
    start: i64,
}

/// A batch whose records can be read, and how far they were.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    records: Records,
    cursor: Cursor,
    /// Records left behind the cursor.
    left: usize,
    /// Where reading goes on: the next record's offset, or one before it.
    at: i64,
    next: Checkpoint,
    leader_epoch: Option<i32>,
    timestamp_type: TimestampType,
    /// Memory beyond that of the chunk: what it was decompressed to.
    extra: usize,
}

/// What [`parse`] made of a partition's data.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Records for the user, if any.
    pub(crate) chunk: Option<Chunk>,
    /// Where to fetch next; the offset asked for if not one whole batch was there.
    pub(crate) next: Checkpoint,
    /// What made the batch at `next` unreadable.
    pub(crate) fault: Option<BatchError>,
    /// Was the last batch cut? With its size if that could be seen.
    pub(crate) cut: Option<Option<usize>>,
}

/// What cannot be read, and the offset at which reading must go on.
pub(crate) type Fault = (i64, BatchError);

/// One producer's aborted transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aborted {
    pub(crate) first_offset: i64,
    pub(crate) producer_id: i64,
}

/// Reads the headers of `data`, fetched from offset `from`. `aborted` is `None` for readers of uncommitted data, who get all.
pub(crate) fn parse(place: Place, from: i64, data: Bytes, aborted: Option<Vec<Aborted>>, high_watermark: i64) -> Parsed {
    let mut next = Checkpoint { offset: from, leader_epoch: None };
    let mut kept = VecDeque::new();
    let (mut size, mut fault) = (0, None);
    let mut aborted = aborted.map(AbortedProducers::new);
    let mut batches = RecordBatches::new(data);
    for batch in &mut batches {
        let wanted = batch.and_then(|batch| {
            // Whole batches come, so the first may begin, and even end, before what was asked for.
            let behind = batch.next_offset() > next.offset;
            let visible = match &mut aborted {
                Some(aborted) => aborted.admit(&batch)?,
                None => !batch.is_control(),
            };
            Ok((behind, visible && behind && batch.record_count() != 0, batch))
        });
        match wanted {
            Ok((behind, visible, batch)) => {
                let start = if batch.magic() < 2 { next.offset } else { batch.base_offset().max(from) };
                if behind {
                    next = Checkpoint { offset: batch.next_offset(), leader_epoch: epoch(batch.partition_leader_epoch()) };
                }
                if visible {
                    size += batch.size();
                    kept.push_back(Unopened { batch, start });
                }
            }
            Err(error) => {
                fault = Some(error);
                break;
            }
        }
    }
    let cut = batches.is_truncated().then(|| batches.truncated_size());
    let chunk = (next.offset > from).then_some(Chunk {
        place,
        from,
        batches: kept,
        next,
        high_watermark,
        size,
        open: None,
        ahead: VecDeque::new(),
    });
    Parsed { chunk, next, fault, cut }
}

/// Producers whose records are to be left out at the point that was reached.
struct AbortedProducers {
    /// By first offset, the next one last.
    ahead: Vec<Aborted>,
    now: BTreeSet<i64>,
}

impl AbortedProducers {
    fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Self { ahead: aborted, now: BTreeSet::new() }
    }

    /// Is the next batch for the user?
    fn admit(&mut self, batch: &Batch) -> Result<bool, BatchError> {
        // All that begin within the batch, not only one: several may begin in the gap that compaction left.
        while let Some(transaction) = self.ahead.pop_if(|transaction| transaction.first_offset <= batch.last_offset()) {
            self.now.insert(transaction.producer_id);
        }
        if batch.is_control() {
            // The marker of another producer, or of a commit, ends nothing.
            if self.now.contains(&batch.producer_id()) && batch.control_type()? == Some(ControlType::Abort) {
                self.now.remove(&batch.producer_id());
            }
            return Ok(false);
        }
        Ok(!(batch.is_transactional() && self.now.contains(&batch.producer_id())))
    }
}

fn epoch(epoch: i32) -> Option<i32> {
    (epoch >= 0).then_some(epoch)
}

impl Chunk {
    /// Whose it is.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Bytes it holds, as fetched.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Memory it holds beyond that: of batches that were decompressed.
    pub(crate) fn extra(&self) -> usize {
        self.open.iter().chain(&self.ahead).map(|open| open.extra).sum()
    }

    /// Where the partition goes on behind it.
    pub(crate) fn next(&self) -> Checkpoint {
        self.next
    }

    /// The next offset to read in it.
    pub(crate) fn position(&self) -> i64 {
        let unopened = || self.batches.front().map_or(self.next.offset, |unopened| unopened.start);
        self.open.iter().chain(&self.ahead).find(|open| open.left > 0).map_or_else(unopened, |open| open.at)
    }

    /// Is nothing left behind the batch that was opened last?
    fn is_last(&self) -> bool {
        self.batches.is_empty() && self.ahead.is_empty()
    }

    /// End of the partition's log when it was fetched.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// Opens the next batch where the open one is used up. `false`: nothing is left, the partition goes on at [`next`](Self::next).
    ///
    /// # Errors
    /// The batch cannot be read, now or ever; the offset at which reading must go on.
    pub(crate) fn prepare(&mut self, limits: Limits) -> Result<bool, Fault> {
        loop {
            if self.open.as_ref().is_some_and(|open| open.left > 0) {
                return Ok(true);
            }
            if let Some(open) = self.ahead.pop_front() {
                self.open = Some(open);
                continue;
            }
            let Some(Unopened { batch, start }) = self.batches.front() else { return Ok(false) };
            let mut open = Opened::new(batch, limits).map_err(|error| (*start, error))?;
            if open.at < self.from {
                open.skip_to(self.from).map_err(|error| (self.from, error))?;
            }
            self.batches.pop_front();
            self.open = Some(open);
        }
    }

    /// The next record as a message, and where the partition goes on behind it. `None` if [`prepare`](Self::prepare) is to be called.
    ///
    /// # Errors
    /// The record is broken; the offset at which reading must go on.
    #[inline]
    pub(crate) fn read(&mut self, partition: &TopicPartition) -> Option<Result<(Message, Checkpoint), Fault>> {
        let last_batch = self.is_last();
        let open = self.open.as_mut().filter(|open| open.left > 0)?;
        let message = match open.message(partition) {
            Ok(message) => message,
            Err(error) => return Some(Err((open.at, error))),
        };
        let next = match (open.left, last_batch) {
            (0, true) => self.next,
            (0, false) => open.next,
            _ => Checkpoint { offset: open.at, leader_epoch: open.leader_epoch },
        };
        Some(Ok((message, next)))
    }

    /// Opens and takes out batches until `limit` bytes are open, at least one; and where the partition goes on behind them.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), if not even one can be opened.
    pub(crate) fn take(&mut self, limits: Limits, limit: usize) -> Result<Option<(Vec<Opened>, Checkpoint)>, Fault> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let mut next = self.next;
        while bytes < limit {
            match self.prepare(limits) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if taken.is_empty() => return Err(error),
                // It is met again when what comes before it was taken.
                Err(_) => break,
            }
            let Some(open) = self.open.take() else { break };
            bytes += open.records.size();
            next = if self.is_last() { self.next } else { open.next };
            taken.push(open);
        }
        Ok((!taken.is_empty()).then_some((taken, next)))
    }

    /// Puts back what `take` took: it could not be handed out.
    pub(crate) fn untake(&mut self, parts: Vec<Opened>) {
        for part in self.open.take().into_iter().chain(parts.into_iter().rev()) {
            self.ahead.push_front(part);
        }
    }
}

impl Opened {
    fn new(batch: &Batch, limits: Limits) -> Result<Self, BatchError> {
        let records = batch.records(limits)?;
        if batch.magic() < 2 {
            // Compressed messages of these formats have offsets of their own: behind that of the batch, they would be read again and again.
            let behind =
                |record: &Result<RecordRef<'_>, _>| record.as_ref().is_ok_and(|record| record.offset > batch.last_offset());
            if let Some(index) = records.iter().position(|record| behind(&record)) {
                let index = i32::try_from(index).unwrap_or(i32::MAX);
                let reason = "its offset is behind that of the message it is in";
                return Err(BatchError::new(batch.base_offset(), BatchErrorKind::BadRecord { index, reason }));
            }
        }
        let leader_epoch = epoch(batch.partition_leader_epoch());
        Ok(Self {
            extra: if batch.is_compressed() { records.size() } else { 0 },
            left: records.count(),
            at: records.base_offset(),
            records,
            cursor: Cursor::default(),
            next: Checkpoint { offset: batch.next_offset(), leader_epoch },
            leader_epoch,
            timestamp_type: match batch.timestamp_type() {
                crate::protocol::records::TimestampType::CreateTime => TimestampType::CreateTime,
                crate::protocol::records::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
            },
        })
    }

    /// Passes over records before `offset`.
    fn skip_to(&mut self, offset: i64) -> Result<(), BatchError> {
        while self.left > 0 {
            let mut ahead = self.cursor;
            match self.records.read(&mut ahead) {
                Some(Ok(record)) if record.offset < offset => (self.cursor, self.left) = (ahead, self.left - 1),
                Some(Err(error)) => return Err(error),
                Some(Ok(_)) | None => break,
            }
        }
        self.at = self.at.max(offset);
        Ok(())
    }

    /// Records left to read.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Where reading goes on.
    pub(crate) fn at(&self) -> i64 {
        self.at
    }

    /// Epoch of the leader that appended the batch.
    pub(crate) fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }

    /// What the records' timestamps tell.
    pub(crate) fn timestamp_type(&self) -> TimestampType {
        self.timestamp_type
    }

    /// The record at `cursor`, which moves behind it; begin with [`cursor`](Self::cursor).
    #[inline]
    pub(crate) fn record(&self, cursor: &mut Cursor) -> Option<Result<RecordRef<'_>, BatchError>> {
        self.records.read(cursor)
    }

    /// A cursor at the next record.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    #[inline]
    fn message(&mut self, partition: &TopicPartition) -> Result<Message, BatchError> {
        let record = match self.records.read(&mut self.cursor) {
            Some(record) => record?,
            None => return Err(BatchError::new(self.at, BatchErrorKind::Truncated)),
        };
        let message = self.owned(&record, partition)?;
        self.left -= 1;
        self.at = record.offset + 1;
        Ok(message)
    }

    /// `record`, which must be one of these, as a message that shares their memory.
    pub(crate) fn owned(&self, record: &RecordRef<'_>, partition: &TopicPartition) -> Result<Message, BatchError> {
        let mut message = Message::new(&partition.topic, partition.partition, record.offset);
        message.timestamp = record.timestamp;
        message.timestamp_type = self.timestamp_type;
        message.leader_epoch = self.leader_epoch;
        message.key = record.key.map(|key| self.records.share(key));
        message.value = record.value.map(|value| self.records.share(value));
        if !record.headers.is_empty() {
            let headers = record.headers.map(|header| {
                let header = header.map_err(|_| BatchErrorKind::BadRecord { index: 0, reason: "its headers are broken" })?;
                Ok(Header { key: self.records.share(header.key), value: header.value.map(|value| self.records.share(value)) })
            });
            message.headers = headers.collect::<Result<_, _>>().map_err(|kind| BatchError::new(record.offset, kind))?;
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests;
