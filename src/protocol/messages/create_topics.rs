//! CreateTopics: new topics. Any broker takes it and forwards it to the controller (KRaft).
//!
//! A success says that the controller has the topic; the other brokers learn of it a little later, and until then answer
//! UNKNOWN_TOPIC_OR_PARTITION.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName, Uuid};

message! {
    request 19 -> CreateTopicsResponse, versions 2..=7, flexible 5.., listeners [broker, controller];

    /// The topics to create.
    struct CreateTopicsRequest {
        topics: Vec<CreatableTopic> [0..],
        /// How long to wait until the topics exist; 0 returns at once.
        timeout_ms: i32 [0.., name "timeoutMs"] = 60000,
        /// Checks everything and creates nothing.
        validate_only: bool [1.., name "validateOnly"],
    }

    /// One topic.
    struct CreatableTopic {
        name: TopicName [0.., key],
        /// -1 for the broker's default (from version 4 on), and with `assignments`.
        num_partitions: i32 [0..],
        /// -1 for the broker's default (from version 4 on), and with `assignments`.
        replication_factor: i16 [0..],
        /// Empty lets the controller choose; else all partitions, from 0 without a gap.
        assignments: Vec<CreatableReplicaAssignment> [0..],
        configs: Vec<CreatableTopicConfig> [0..],
    }

    /// Where the replicas of one partition are to be.
    struct CreatableReplicaAssignment {
        partition_index: i32 [0.., key],
        /// The first is the preferred leader.
        broker_ids: Vec<BrokerId> [0..],
    }

    /// A setting that is not to be the default.
    struct CreatableTopicConfig {
        name: Str [0.., key],
        value: Option<Str> [0.., null 0..],
    }
}

message! {
    response 19, versions 2..=7, flexible 5..;

    /// A verdict for each topic.
    struct CreateTopicsResponse {
        throttle_time_ms: i32 [2..] ignorable,
        topics: Vec<CreatableTopicResult> [0..],
    }

    /// The verdict for one topic, and from version 5 on what it came to be.
    struct CreatableTopicResult {
        name: TopicName [0.., key],
        topic_id: Uuid [7..] ignorable,
        error_code: ErrorCode [0..],
        error_message: Option<Str> [1.., null 0..] ignorable,
        /// Why `configs` is null: not allowed to see them.
        topic_config_error_code: ErrorCode [5.., tag 0] ignorable,
        num_partitions: i32 [5..] ignorable = -1,
        replication_factor: i16 [5..] ignorable = -1,
        configs: Option<Vec<CreatableTopicConfigs>> [5.., null 5..] ignorable,
    }

    /// A setting the topic has.
    struct CreatableTopicConfigs {
        name: Str [5..],
        value: Option<Str> [5.., null 5..],
        read_only: bool [5..],
        config_source: i8 [5..] ignorable = -1,
        is_sensitive: bool [5..],
    }
}
