//! Control batches: what brokers write among the data for themselves.
//!
//! The marker at the end of a transaction (KIP-98) is a batch of one record in each partition that the transaction wrote to; a reader
//! of committed data looks at it to know where an aborted one ends. The others stand in KRaft's log and snapshots (KIP-595, 630, 853),
//! several in a batch. A record's key is a version and a type; its value is a message of the protocol (`LeaderChangeMessage`,
//! `SnapshotHeaderRecord`, …), which is handed out as it is. Positions count like any others, but nothing of it is for users.

use bytes::Bytes;

use crate::protocol::records::batch::Batch;
use crate::protocol::records::decode::{RecordRef, Records};
use crate::protocol::records::encode::{BatchBuilder, NO_HEADERS};
use crate::protocol::records::error::{AppendError, BatchError, BatchErrorKind};
use crate::protocol::records::limits::Limits;
use crate::protocol::records::{Compression, NO_SEQUENCE};

/// Bytes that a compressed control batch may come to; Java never compresses one.
const MAX_CONTROL: usize = 64 * 1024;

/// What a control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ControlType {
    /// The producer's transaction was aborted.
    Abort,
    /// The producer's transaction was committed.
    Commit,
    /// KRaft: who leads the quorum now.
    LeaderChange,
    /// KRaft: the beginning of a snapshot.
    SnapshotHeader,
    /// KRaft: the end of a snapshot.
    SnapshotFooter,
    /// KRaft: the version of the protocol among the voters.
    KRaftVersion,
    /// KRaft: the voters.
    KRaftVoters,
    /// Something that klamm does not know; to be passed over.
    Other(i16),
}

impl ControlType {
    const KNOWN: [Self; 7] = [
        Self::Abort,
        Self::Commit,
        Self::LeaderChange,
        Self::SnapshotHeader,
        Self::SnapshotFooter,
        Self::KRaftVersion,
        Self::KRaftVoters,
    ];

    /// The type of a number.
    pub fn from_id(id: i16) -> Self {
        usize::try_from(id).ok().and_then(|index| Self::KNOWN.get(index)).copied().unwrap_or(Self::Other(id))
    }

    /// Its number in a control record's key.
    pub fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion => 5,
            Self::KRaftVoters => 6,
            Self::Other(id) => id,
        }
    }
}

/// A record of a control batch, borrowed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ControlRecord<'a> {
    /// What it says.
    pub control_type: ControlType,
    /// The version of its key.
    pub version: i16,
    /// The message in it, which begins with a version of its own.
    pub value: Option<&'a [u8]>,
}

impl<'a> ControlRecord<'a> {
    /// Reads the key of `record`, which is one of a control batch.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(record: &RecordRef<'a>) -> Result<Self, &'static str> {
        let Some([v0, v1, t0, t1]) = record.key.and_then(|key| key.first_chunk()).copied() else {
            return Err("its key is shorter than four bytes");
        };
        // Later versions only add to the end of key and value.
        let version = i16::from_be_bytes([v0, v1]);
        if version < 0 {
            return Err("its version is negative");
        }
        Ok(Self { control_type: ControlType::from_id(i16::from_be_bytes([t0, t1])), version, value: record.value })
    }

    /// For the end of a transaction: the epoch of the coordinator that wrote it.
    pub fn coordinator_epoch(&self) -> Option<i32> {
        if !matches!(self.control_type, ControlType::Abort | ControlType::Commit) {
            return None;
        }
        self.value.and_then(|value| value.get(2..)).and_then(|rest| rest.first_chunk().copied()).map(i32::from_be_bytes)
    }
}

/// What the first record of a control batch says; the only one but in KRaft's log.
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
        let records: Records = self.records(Limits { max_decompressed: MAX_CONTROL, ..Limits::default() })?;
        let Some(record) = records.iter().next() else { return Ok(None) };
        match ControlRecord::read(&record?) {
            Ok(record) => {
                Ok(Some(ControlMarker { control_type: record.control_type, coordinator_epoch: record.coordinator_epoch() }))
            }
            Err(reason) => Err(self.error(BatchErrorKind::BadControlRecord(reason))),
        }
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
        let [t0, t1] = self.control_type.id().to_be_bytes();
        let [e0, e1, e2, e3] = self.coordinator_epoch.unwrap_or(-1).to_be_bytes();
        let mut builder = BatchBuilder::new(96);
        let appended: Result<usize, AppendError> =
            builder.append(timestamp, Some(&[0, 0, t0, t1]), Some(&[0, 0, e0, e1, e2, e3]), NO_HEADERS);
        debug_assert!(appended.is_ok(), "ten bytes fit an empty batch");
        let closed = builder.close(Compression::None).map(|closed| closed.into_control());
        closed.map_or_else(|_| Bytes::new(), |mut closed| closed.stamp(producer_id, producer_epoch, NO_SEQUENCE, true))
    }
}
