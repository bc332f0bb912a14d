//! CreatePartitions: more partitions for existing topics. Any broker takes it and forwards it to the controller (KRaft).
//!
//! Keys map to partitions by their number, so from here on a key's records may go to another partition than before.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName};

message! {
    request 37 -> CreatePartitionsResponse, versions 0..=3, flexible 2.., listeners [broker, controller];

    /// The topics to enlarge.
    struct CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic> [0..],
        timeout_ms: i32 [0..],
        validate_only: bool [0..],
    }

    /// One topic and how many partitions it is to have.
    struct CreatePartitionsTopic {
        name: TopicName [0.., key],
        /// The number wanted in the end, old ones included.
        count: i32 [0..],
        /// One for each new partition; null lets the controller choose.
        assignments: Option<Vec<CreatePartitionsAssignment>> [0.., null 0..],
    }

    /// Where the replicas of one new partition are to be.
    struct CreatePartitionsAssignment {
        /// The first is the preferred leader.
        broker_ids: Vec<BrokerId> [0..],
    }
}

message! {
    response 37, versions 0..=3, flexible 2..;

    /// A verdict for each topic.
    struct CreatePartitionsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<CreatePartitionsTopicResult> [0..],
    }

    /// The verdict for one topic.
    struct CreatePartitionsTopicResult {
        name: TopicName [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
    }
}
