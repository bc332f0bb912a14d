//! A partition's batch that takes records: the one place where callers of the producer meet.
//!
//! The lock is the partition's own, is held to encode one record, and never over compression, a checksum or a wake. Nothing is
//! decided here: a record fits or it does not, and who finds that takes the full batch away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::delivery::{Completion, Delivery};
use super::memory::Charge;
use super::sequence::BatchId;
use crate::protocol::records::{AppendError, BATCH_HEADER_SIZE, BatchBuilder};
use crate::record::Record;

/// Where a partition's open batch is, if it has one.
#[derive(Debug, Default)]
pub(super) struct OpenBatch(Mutex<Option<Filling>>);

/// An open batch.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) id: BatchId,
    pub(super) builder: BatchBuilder,
    pub(super) completion: Arc<Completion>,
    pub(super) charge: Charge,
}

/// What became of a record.
#[derive(Debug)]
pub(super) enum Append {
    /// It is in the batch.
    Done(Delivery),
    /// It does not fit: this is the batch, there is none now.
    Full(Filling),
    /// There is no batch.
    Vacant,
    /// No batch can take it.
    Refused(AppendError),
}

impl OpenBatch {
    /// Encodes `record`, of at most `bound` bytes, into the batch if that stays within `batch_size` and the budget.
    #[inline]
    pub(super) fn append(&self, record: &Record, timestamp: i64, bound: usize, batch_size: usize) -> Append {
        Self::append_to(&mut self.lock(), record, timestamp, bound, batch_size)
    }

    #[inline]
    fn append_to(slot: &mut Option<Filling>, record: &Record, timestamp: i64, bound: usize, batch_size: usize) -> Append {
        match slot {
            None => Append::Vacant,
            Some(filling) => match filling.append(record, timestamp, bound, batch_size) {
                Ok(Some(delivery)) => Append::Done(delivery),
                Ok(None) => slot.take().map_or(Append::Vacant, Append::Full),
                Err(error) => Append::Refused(error),
            },
        }
    }

    /// Makes what `open` gives the batch, unless there is one, and appends as [`append`](Self::append) does. All of it under the lock:
    /// batches are numbered in the order in which they are opened, and none can be taken away before it has its first record, for
    /// brokers refuse empty batches.
    pub(super) fn open(
        &self,
        record: &Record,
        timestamp: i64,
        bound: usize,
        batch_size: usize,
        open: impl FnOnce() -> Option<Filling>,
    ) -> Append {
        let mut slot = self.lock();
        if slot.is_none() {
            *slot = open();
        }
        Self::append_to(&mut slot, record, timestamp, bound, batch_size)
    }

    /// Takes the batch away if it is `id`.
    pub(super) fn take(&self, id: BatchId) -> Option<Filling> {
        let mut slot = self.lock();
        if slot.as_ref()?.id == id { slot.take() } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Filling>> {
        // Encoding does not panic; a batch left by a panic elsewhere would at worst lack a record nobody was promised.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filling {
    #[inline]
    fn append(
        &mut self,
        record: &Record,
        timestamp: i64,
        bound: usize,
        batch_size: usize,
    ) -> Result<Option<Delivery>, AppendError> {
        let needed = self.builder.len().max(BATCH_HEADER_SIZE) + bound;
        let first = self.builder.is_empty();
        if needed > batch_size && !first {
            return Ok(None);
        }
        if needed > self.charge.bytes() && !self.grow(needed, batch_size) && !first {
            return Ok(None);
        }
        let headers = record.headers.iter().map(|header| (&*header.key, header.value.as_deref()));
        match self.builder.append(timestamp, record.key.as_deref(), record.value.as_deref(), headers) {
            // Indexes are below 2^31.
            Ok(index) => Ok(Some(self.completion.delivery(index as u32, timestamp))),
            // Too far from the first record's time, or too much for the format: in a batch of its own it fits.
            Err(_) if !first => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The buffer doubles when it grows; so does what is charged for it.
    #[cold]
    fn grow(&mut self, needed: usize, batch_size: usize) -> bool {
        let doubled = self.charge.bytes().saturating_mul(2).min(batch_size);
        self.charge.try_grow(needed.max(doubled)) || self.charge.try_grow(needed)
    }
}
