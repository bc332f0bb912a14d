//! Control batches: the markers that end a transaction in each partition it wrote to (KIP-98).
//!
//! A control batch has one record, whose key is a version and a type. Its position counts like any other, but nothing of it is
//! handed to users; a reader of committed data looks at it to know where an aborted transaction ends. KRaft's own logs use further
//! types, which a client meets as [`ControlType::Other`].

use bytes::Bytes;

use crate::protocol::records::batch::Batch;
use crate::protocol::records::decode::Limits;
use crate::protocol::records::encode::{BatchBuilder, NO_HEADERS};
use crate::protocol::records::error::{AppendError, BatchError, BatchErrorKind};
use crate::protocol::records::{Compression, NO_SEQUENCE};

/// What a control batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlType {
    /// The producer's transaction was aborted.
    Abort,
    /// The producer's transaction was committed.
    Commit,
    /// Something else, such as a change of leaders in KRaft's log; to be passed over.
    Other(i16),
}

/// The record of a control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlMarker {
    /// What it says.
    pub control_type: ControlType,
    /// For the end of a transaction: the epoch of the coordinator that wrote it.
    pub coordinator_epoch: Option<i32>,
}

impl Batch {
    /// The marker, if this is a control batch; `None` also for one that compaction emptied.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub fn control_marker(&self) -> Result<Option<ControlMarker>, BatchError> {
        if !self.is_control() || self.record_count() == 0 {
            return Ok(None);
        }
        // A marker has ten bytes; Java never compresses it.
        let records = self.records(Limits { max_decompressed: 64 * 1024 })?;
        let Some(record) = records.iter().next() else { return Ok(None) };
        let record = record?;
        let fail = |reason| Err(self.error(BatchErrorKind::BadControlRecord(reason)));
        let Some([v0, v1, t0, t1]) = record.key.and_then(|key| key.first_chunk()).copied() else {
            return fail("its key is shorter than four bytes");
        };
        // Later versions only add to the end of key and value.
        if i16::from_be_bytes([v0, v1]) < 0 {
            return fail("its version is negative");
        }
        let control_type = match i16::from_be_bytes([t0, t1]) {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            other => return Ok(Some(ControlMarker { control_type: ControlType::Other(other), coordinator_epoch: None })),
        };
        let epoch = record.value.and_then(|value| value.get(2..)).and_then(|rest| rest.first_chunk().copied());
        Ok(Some(ControlMarker { control_type, coordinator_epoch: epoch.map(i32::from_be_bytes) }))
    }

    /// Only the type of [`control_marker`](Self::control_marker).
    ///
    /// # Errors
    /// If the record cannot be read.
    pub fn control_type(&self) -> Result<Option<ControlType>, BatchError> {
        Ok(self.control_marker()?.map(|marker| marker.control_type))
    }
}

impl ControlMarker {
    /// The end of a transaction, written by a coordinator of `coordinator_epoch`.
    pub fn end_of_transaction(committed: bool, coordinator_epoch: i32) -> Self {
        let control_type = if committed { ControlType::Commit } else { ControlType::Abort };
        Self { control_type, coordinator_epoch: Some(coordinator_epoch) }
    }

    /// The control batch that a broker appends for a producer.
    pub fn batch(&self, timestamp: i64, producer_id: i64, producer_epoch: i16) -> Bytes {
        let number = match self.control_type {
            ControlType::Abort => 0,
            ControlType::Commit => 1,
            ControlType::Other(number) => number,
        };
        let [t0, t1] = number.to_be_bytes();
        let [e0, e1, e2, e3] = self.coordinator_epoch.unwrap_or(-1).to_be_bytes();
        let mut builder = BatchBuilder::new(96);
        let appended: Result<usize, AppendError> =
            builder.append(timestamp, Some(&[0, 0, t0, t1]), Some(&[0, 0, e0, e1, e2, e3]), NO_HEADERS);
        debug_assert!(appended.is_ok(), "ten bytes fit an empty batch");
        let closed = builder.close(Compression::None).map(|closed| closed.into_control());
        closed.map_or_else(|_| Bytes::new(), |mut closed| closed.stamp(producer_id, producer_epoch, NO_SEQUENCE, true))
    }
}
