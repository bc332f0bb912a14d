//! CreatePartitions.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName};

message! {
    request 37 -> CreatePartitionsResponse, versions 0..=3, flexible 2.., listeners [broker, controller];

    /// Create partitions request.
    struct CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic> [0..],
        timeout_ms: i32 [0..],
        validate_only: bool [0..],
    }

    /// Create partitions topic.
    struct CreatePartitionsTopic {
        name: TopicName [0.., key],
        count: i32 [0..],
        assignments: Option<Vec<CreatePartitionsAssignment>> [0.., null 0..],
    }

    /// Create partitions assignment.
    struct CreatePartitionsAssignment {
        broker_ids: Vec<BrokerId> [0..],
    }
}

message! {
    response 37, versions 0..=3, flexible 2..;

    /// Create partitions response.
    struct CreatePartitionsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<CreatePartitionsTopicResult> [0..],
    }

    /// Create partitions topic result.
    struct CreatePartitionsTopicResult {
        name: TopicName [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
    }
}
