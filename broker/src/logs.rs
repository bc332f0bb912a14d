//! The part of the handle that reads logs, and writes to them past the producers.

use bytes::Bytes;
use klamm::protocol::records::{Batch, BatchBuilder, BatchError, Compression, ControlMarker, HeaderRef, Limits, NO_HEADERS};

use crate::Broker;
use crate::core::Core;

/// A record in a partition's log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedRecord {
    /// Its offset.
    pub offset: i64,
    /// Its time, in milliseconds since 1970.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The producer's id; -1 if it was neither idempotent nor transactional.
    pub producer_id: i64,
    /// The producer's epoch, -1 without.
    pub producer_epoch: i16,
}

impl Broker {
    /// The batches of a partition as they would be fetched, oldest first.
    pub fn log(&self, topic: &str, partition: i32) -> Vec<Bytes> {
        self.batches(topic, partition).iter().map(|batch| batch.bytes().clone()).collect()
    }

    /// The same, with their headers.
    pub fn batches(&self, topic: &str, partition: i32) -> Vec<Batch> {
        self.look(|core| core.log(topic, partition).map(|log| log.batches().cloned().collect()).unwrap_or_default())
    }

    /// The records of a partition, oldest first, without those of control batches.
    ///
    /// # Errors
    /// When a batch that a test appended cannot be read.
    pub fn records(&self, topic: &str, partition: i32) -> Result<Vec<LoggedRecord>, BatchError> {
        let mut all = Vec::new();
        for batch in self.batches(topic, partition).iter().filter(|batch| !batch.is_control()) {
            let records = batch.records(Limits::default())?;
            for record in &records {
                let record = record?;
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let header = |header: HeaderRef<'_>| (text(header.key), header.value.map(|value| records.share(value)));
                all.push(LoggedRecord {
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(|key| records.share(key)),
                    value: record.value.map(|value| records.share(value)),
                    headers: record.headers.filter_map(Result::ok).map(header).collect(),
                    producer_id: batch.producer_id(),
                    producer_epoch: batch.producer_epoch(),
                });
            }
        }
        Ok(all)
    }

    /// The values of a partition's records as text, oldest first; an absent value is empty.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub fn values(&self, topic: &str, partition: i32) -> Result<Vec<String>, BatchError> {
        let text = |value: Option<Bytes>| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned();
        Ok(self.records(topic, partition)?.into_iter().map(|record| text(record.value)).collect())
    }

    /// First offset that can be read, and the one after the last; `None` if there is no such partition.
    pub fn offsets(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        self.look(|core| core.log(topic, partition).map(|log| (log.start_offset(), log.high_watermark())))
    }

    /// Appends a batch as it is, but for offset and leader epoch, and gives its base offset; `None` if there is no such partition.
    ///
    /// # Errors
    /// When `batch` is not exactly one well-formed batch.
    pub fn append(&self, topic: &str, partition: i32, batch: Bytes) -> Result<Option<i64>, BatchError> {
        let batch = Batch::new(batch)?;
        Ok(self.shared().with(|core, now| core.append(now, topic, partition, &batch)))
    }

    /// Appends records with these keys and values as one batch, with the time of now, and gives its base offset; `None` if there is
    /// no such partition, or nothing to append.
    pub fn append_records<'r>(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = (Option<&'r [u8]>, Option<&'r [u8]>)>,
    ) -> Option<i64> {
        let timestamp = self.shared().with(|core, now| core.wall_millis(now));
        let batch = batch(timestamp, records, None)?;
        self.append(topic, partition, batch).ok().flatten()
    }

    /// Appends a batch of a transactional producer: from then on its transaction is open, and what follows is not stable.
    pub fn append_transactional<'r>(
        &self,
        topic: &str,
        partition: i32,
        (producer_id, producer_epoch, base_sequence): (i64, i16, i32),
        records: impl IntoIterator<Item = (Option<&'r [u8]>, Option<&'r [u8]>)>,
    ) -> Option<i64> {
        let timestamp = self.shared().with(|core, now| core.wall_millis(now));
        let batch = batch(timestamp, records, Some((producer_id, producer_epoch, base_sequence)))?;
        self.append(topic, partition, batch).ok().flatten()
    }

    /// Appends the marker that ends a producer's transaction in a partition, and gives its offset.
    pub fn end_transaction(
        &self,
        topic: &str,
        partition: i32,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    ) -> Option<i64> {
        let timestamp = self.shared().with(|core, now| core.wall_millis(now));
        let marker = ControlMarker::end_of_transaction(committed, 0).batch(timestamp, producer_id, producer_epoch);
        self.append(topic, partition, marker).ok().flatten()
    }

    /// Deletes what is before an offset, at most the high watermark, as retention does: the log starts there.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        self.shared().with(|core, now| core.delete_records(now, topic, partition, before));
    }

    /// Loses the batches from an offset on, on all replicas, as an unclean election does: the next epoch writes those offsets anew, and
    /// what the partition knew of their producers is as it was before them.
    pub fn truncate(&self, topic: &str, partition: i32, from: i64) {
        self.shared().with(|core, now| core.truncate(now, topic, partition, from));
    }

    /// Deletes what is too old or too much by the topics' `retention.ms` and `retention.bytes`, which else happens every
    /// [`retention_check_interval`](crate::BrokerBuilder::retention_check_interval).
    pub fn apply_retention(&self) {
        self.shared().with(Core::apply_retention);
    }

    /// Compacts a partition's log as Kafka's log cleaner does, whatever its topic's `cleanup.policy`: of each key below the last stable
    /// offset the last record stays, where it is. Tombstones stay for the topic's `delete.retention.ms`. `false` if there is no such
    /// partition.
    pub fn compact(&self, topic: &str, partition: i32) -> bool {
        self.shared().with(|core, now| core.compact(now, topic, partition))
    }

    /// Forgets what a partition knows of idempotent producers.
    pub fn forget_producers(&self, topic: &str, partition: i32) {
        self.shared().with(|core, _| core.forget_producers(topic, partition));
    }
}

/// A batch with these keys and values, perhaps of a transaction.
fn batch<'r>(
    timestamp: i64,
    records: impl IntoIterator<Item = (Option<&'r [u8]>, Option<&'r [u8]>)>,
    transaction: Option<(i64, i16, i32)>,
) -> Option<Bytes> {
    let mut builder = BatchBuilder::new(256);
    for (key, value) in records {
        builder.append(timestamp, key, value, NO_HEADERS).ok()?;
    }
    if builder.is_empty() {
        return None;
    }
    let mut closed = builder.close(Compression::None).ok()?;
    let (producer_id, producer_epoch, base_sequence) = transaction.unwrap_or((-1, -1, -1));
    Some(closed.stamp(producer_id, producer_epoch, base_sequence, transaction.is_some()))
}
