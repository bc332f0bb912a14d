//! The part of the handle that looks at transactions and meddles with them.

use crate::Broker;

/// What a coordinator knows of a transactional id, as [`Broker::transaction`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionView {
    /// As Kafka's tools name it: `Empty`, `Ongoing`, `PrepareCommit`, `PrepareAbort`, `CompleteCommit` or `CompleteAbort`.
    pub state: &'static str,
    /// The producer that may use the id now.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// What the open transaction has written to, sorted; while it ends, what has no marker yet. Offsets show as a partition of
    /// `__consumer_offsets`.
    pub partitions: Vec<(String, i32)>,
}

impl Broker {
    /// What is known of a transactional id; `None` if it was never used, or not for long.
    pub fn transaction(&self, transactional_id: &str) -> Option<TransactionView> {
        self.look(|core| {
            let transaction = core.transactions.get(transactional_id)?;
            Some(TransactionView {
                state: transaction.state().name(),
                producer_id: transaction.producer().id,
                producer_epoch: transaction.producer().epoch,
                partitions: transaction.partitions().iter().cloned().collect(),
            })
        })
    }

    /// Shuts a transactional producer out as another instance of it would: its open transaction is aborted, and its epoch is over.
    /// `false` if nobody used the id.
    pub fn fence(&self, transactional_id: &str) -> bool {
        self.shared().with(|core, now| core.fence_producer(now, transactional_id))
    }

    /// Forgets a transactional id as if it had not been used for `transactional.id.expiration.ms`. `false` if nobody used it, or it has
    /// a transaction open.
    pub fn expire_transactional_id(&self, transactional_id: &str) -> bool {
        self.shared().with(|core, _| core.expire_transactional_id(transactional_id))
    }

    /// Writes no markers from now on: transactions that end stay in `PrepareCommit` or `PrepareAbort`, and their producers are told of
    /// CONCURRENT_TRANSACTIONS. Until [`release_markers`](Self::release_markers).
    pub fn hold_markers(&self) {
        self.shared().with(|core, now| core.hold_markers(now, true));
    }

    /// Writes the markers that [`hold_markers`](Self::hold_markers) held back, and those that come.
    pub fn release_markers(&self) {
        self.shared().with(|core, now| core.hold_markers(now, false));
    }

    /// Sets the level of one of the cluster's features, as ApiVersions tells it: `transaction.version` (0 to 2; since 2 each transaction
    /// has its own epoch) or `group.version` (0 or 1). `false` for another feature or level.
    pub fn set_feature(&self, name: &str, level: i16) -> bool {
        self.shared().with(|core, _| core.set_feature(name, level))
    }

    /// The offset that a group would have once an open transaction is committed: is one waiting?
    pub fn has_staged_offset(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.look(|core| core.transactions.staged.has_pending(group, topic, partition))
    }
}
