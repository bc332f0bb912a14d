//! AlterReplicaLogDirs: moves replicas to another log directory of the same broker (KIP-113). To the broker that has them.

use crate::protocol::{ErrorCode, Str, TopicName};

message! {
    request 34 -> AlterReplicaLogDirsResponse, versions 1..=2, flexible 2.., listeners [broker];

    /// The directories with what shall be in them.
    struct AlterReplicaLogDirsRequest {
        dirs: Vec<AlterReplicaLogDir> [0..],
    }

    /// One directory, by its absolute path on the broker.
    struct AlterReplicaLogDir {
        path: Str [0.., key],
        topics: Vec<AlterReplicaLogDirTopic> [0..],
    }

    /// One topic.
    struct AlterReplicaLogDirTopic {
        name: TopicName [0.., key],
        partitions: Vec<i32> [0..],
    }
}

message! {
    response 34, versions 1..=2, flexible 2..;

    /// A verdict for each partition. A success says that the move has begun.
    struct AlterReplicaLogDirsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<AlterReplicaLogDirTopicResult> [0..],
    }

    /// One topic.
    struct AlterReplicaLogDirTopicResult {
        topic_name: TopicName [0..],
        partitions: Vec<AlterReplicaLogDirPartitionResult> [0..],
    }

    /// One partition.
    struct AlterReplicaLogDirPartitionResult {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
    }
}
