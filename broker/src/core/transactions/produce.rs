//! What a transactional batch has to fulfil before it is looked at like any other.
//!
//! Its partition must be in its producer's open transaction, or it could be written after the marker and hang for ever (KIP-890). A
//! partition that already has a part of the transaction need not ask. Newer producers leave it to the leader to add the partition; of
//! older ones it is only verified that they did.

use std::time::Instant;

use klamm::protocol::records::Batch;
use klamm::protocol::{ErrorCode, TransactionalId};

use crate::core::transactions::{Identity, TopicPartition};
use crate::core::{Call, Core};

/// First version of Produce that gets TRANSACTION_ABORTABLE.
const ABORTABLE: i16 = 11;

/// First version that needs no AddPartitionsToTxn before it.
const ADDS_PARTITIONS: i16 = 12;

impl Core {
    /// May this batch be written, as far as transactions go?
    pub(in crate::core) fn admit_transactional(
        &mut self,
        now: Instant,
        call: &Call,
        id: Option<&TransactionalId>,
        partition: TopicPartition,
        batch: &Batch,
    ) -> Result<(), ErrorCode> {
        let Some(id) = id else { return Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED) };
        let producer = Identity { id: batch.producer_id(), epoch: batch.producer_epoch() };
        let is_open = self.topics.partition(&partition.0, partition.1).is_some_and(|partition| {
            let same = partition.producers.epoch(producer.id) == Some(producer.epoch);
            same && partition.log.open_transaction(producer.id).is_some()
        });
        if is_open {
            return Ok(());
        }
        let adds = call.version >= ADDS_PARTITIONS;
        if let Some(partition) = self.topics.partition_mut(&partition.0, partition.1) {
            partition.producers.attempted(batch, adds);
        }
        self.admit(now, id.as_str(), producer, partition, adds).map_err(|code| match code {
            // Older clients repeat a batch for this without asking for metadata.
            ErrorCode::CONCURRENT_TRANSACTIONS if !adds => ErrorCode::NOT_ENOUGH_REPLICAS,
            ErrorCode::COORDINATOR_NOT_AVAILABLE => ErrorCode::NOT_ENOUGH_REPLICAS,
            ErrorCode::TRANSACTION_ABORTABLE if call.version < ABORTABLE => ErrorCode::INVALID_TXN_STATE,
            code => code,
        })
    }

    /// Has the coordinator add a partition to a transaction, or say that it is in it.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        id: &str,
        producer: Identity,
        partition: TopicPartition,
        adds: bool,
    ) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if self.coordinator_of(id).is_none() {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        let now = self.moment(now);
        let admitted = self.transactions.change(id, |transaction, _| match adds {
            true => transaction.add(now, producer, [partition]),
            false => transaction.verify(producer, &partition),
        });
        // The word for it at partitions: the producer may abort and go on.
        admitted.map_err(|code| if code == ErrorCode::PRODUCER_FENCED { ErrorCode::INVALID_PRODUCER_EPOCH } else { code })
    }
}
