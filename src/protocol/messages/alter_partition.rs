//! AlterPartition: a leader's wish to change the in-sync replicas (KIP-497). From the leader's broker to the active controller.
//!
//! The controller decides; its answer says what holds. Topics have ids from version 2 on, which is the oldest left.

use crate::protocol::{BrokerId, ErrorCode, Uuid};

message! {
    request 56 -> AlterPartitionResponse, versions 2..=3, flexible 0.., listeners [controller];

    /// The partitions that the broker leads and wants to change.
    struct AlterPartitionRequest {
        broker_id: BrokerId [0..],
        broker_epoch: i64 [0..] = -1,
        topics: Vec<TopicData> [0..],
    }

    /// One topic.
    struct TopicData {
        topic_id: Uuid [2..] ignorable,
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition: what its in-sync replicas shall be.
    struct PartitionData {
        partition_index: i32 [0..],
        leader_epoch: i32 [0..],
        new_isr: Vec<BrokerId> [0..=2],
        /// With the epochs of their brokers, so that one that restarted meanwhile is not taken in (KIP-903).
        new_isr_with_epochs: Vec<BrokerState> [3..],
        /// 1 while the leader recovers from an unclean election (KIP-704).
        leader_recovery_state: i8 [1..],
        /// The epoch that the change starts from; the controller refuses it if there is a newer one.
        partition_epoch: i32 [0..],
    }

    /// A replica, and the epoch of its broker.
    struct BrokerState {
        broker_id: BrokerId [3..],
        /// -1 where it is not known, and not checked.
        broker_epoch: i64 [3..] = -1,
    }
}

message! {
    response 56, versions 2..=3, flexible 0..;

    /// What holds now.
    struct AlterPartitionResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        topics: Vec<TopicResult> [0..],
    }

    /// One topic.
    struct TopicResult as "TopicData" {
        topic_id: Uuid [2..] ignorable,
        partitions: Vec<PartitionResult> [0..],
    }

    /// One partition as the controller has it.
    struct PartitionResult as "PartitionData" {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        leader_id: BrokerId [0..],
        leader_epoch: i32 [0..],
        isr: Vec<BrokerId> [0..],
        leader_recovery_state: i8 [1..] ignorable,
        partition_epoch: i32 [0..],
    }
}
