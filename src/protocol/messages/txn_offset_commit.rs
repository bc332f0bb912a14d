//! TxnOffsetCommit: a group's offsets, as part of a transaction. To the group's coordinator.
//!
//! They count once the transaction is committed. From version 3 on the member says who it is, so that one that was left behind is
//! fenced (KIP-447); from 5 on AddOffsetsToTxn need not come first (KIP-890). Topics have names up to version 5 and ids from 6 on
//! (KIP-1319).

use crate::protocol::{ErrorCode, GroupId, ProducerId, Str, TopicName, TransactionalId, Uuid};

message! {
    request 28 -> TxnOffsetCommitResponse, versions 0..=6, flexible 3.., listeners [broker];

    /// The offsets, with transaction and member.
    struct TxnOffsetCommitRequest {
        transactional_id: TransactionalId [0..],
        group_id: GroupId [0..],
        producer_id: ProducerId [0..],
        producer_epoch: i16 [0..],
        /// -1 for none.
        generation_id_or_member_epoch: i32 [3..] = -1,
        member_id: Str [3..],
        group_instance_id: Option<Str> [3.., null 3..] = None,
        topics: Vec<TxnOffsetCommitRequestTopic> [0..],
    }

    /// One topic.
    struct TxnOffsetCommitRequestTopic {
        name: TopicName [0..=5] ignorable,
        topic_id: Uuid [6..] ignorable,
        partitions: Vec<TxnOffsetCommitRequestPartition> [0..],
    }

    /// One partition.
    struct TxnOffsetCommitRequestPartition {
        partition_index: i32 [0..],
        committed_offset: i64 [0..],
        /// Epoch of the last record read; -1 where unknown.
        committed_leader_epoch: i32 [2..] ignorable = -1,
        committed_metadata: Option<Str> [0.., null 0..],
    }
}

message! {
    response 28, versions 0..=6, flexible 3..;

    /// A verdict for each partition.
    struct TxnOffsetCommitResponse {
        throttle_time_ms: i32 [0..],
        topics: Vec<TxnOffsetCommitResponseTopic> [0..],
    }

    /// One topic.
    struct TxnOffsetCommitResponseTopic {
        name: TopicName [0..=5] ignorable,
        topic_id: Uuid [6..] ignorable,
        partitions: Vec<TxnOffsetCommitResponsePartition> [0..],
    }

    /// One partition.
    struct TxnOffsetCommitResponsePartition {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
    }
}
