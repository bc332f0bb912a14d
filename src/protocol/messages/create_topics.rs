//! CreateTopics.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName, Uuid};

message! {
    request 19 -> CreateTopicsResponse, versions 2..=7, flexible 5.., listeners [broker, controller];

    /// Create topics request.
    struct CreateTopicsRequest {
        topics: Vec<CreatableTopic> [0..],
        timeout_ms: i32 [0.., name "timeoutMs"] = 60000,
        validate_only: bool [1.., name "validateOnly"],
    }

    /// Creatable topic.
    struct CreatableTopic {
        name: TopicName [0.., key],
        num_partitions: i32 [0..],
        replication_factor: i16 [0..],
        assignments: Vec<CreatableReplicaAssignment> [0..],
        configs: Vec<CreatableTopicConfig> [0..],
    }

    /// Creatable replica assignment.
    struct CreatableReplicaAssignment {
        partition_index: i32 [0.., key],
        broker_ids: Vec<BrokerId> [0..],
    }

    /// Creatable topic config.
    struct CreatableTopicConfig {
        name: Str [0.., key],
        value: Option<Str> [0.., null 0..],
    }
}

message! {
    response 19, versions 2..=7, flexible 5..;

    /// Create topics response.
    struct CreateTopicsResponse {
        throttle_time_ms: i32 [2..] ignorable,
        topics: Vec<CreatableTopicResult> [0..],
    }

    /// Creatable topic result.
    struct CreatableTopicResult {
        name: TopicName [0.., key],
        topic_id: Uuid [7..] ignorable,
        error_code: ErrorCode [0..],
        error_message: Option<Str> [1.., null 0..] ignorable,
        topic_config_error_code: ErrorCode [5.., tag 0] ignorable,
        num_partitions: i32 [5..] ignorable = -1,
        replication_factor: i16 [5..] ignorable = -1,
        configs: Option<Vec<CreatableTopicConfigs>> [5.., null 5..] ignorable,
    }

    /// Creatable topic configs.
    struct CreatableTopicConfigs {
        name: Str [5..],
        value: Option<Str> [5.., null 5..],
        read_only: bool [5..],
        config_source: i8 [5..] ignorable = -1,
        is_sensitive: bool [5..],
    }
}
