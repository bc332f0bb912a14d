//! When a consumer commits, and what.

/// A place in a partition as the group keeps it: the next offset to read, not the last one read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OffsetAndMetadata {
    /// The offset of the next record to read.
    pub offset: i64,
    /// Epoch of the leader that the record before it came from, to notice a truncated log (KIP-320).
    pub leader_epoch: Option<i32>,
    /// Any text, kept with the offset.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// `offset` as the next to read, with neither epoch nor text.
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }

    /// Sets the epoch of the leader that the record before it came from.
    #[must_use]
    pub fn leader_epoch(mut self, leader_epoch: Option<i32>) -> Self {
        self.leader_epoch = leader_epoch;
        self
    }

    /// Sets the text kept with it.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }
}
