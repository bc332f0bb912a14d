//! DescribeLogDirs: a broker's log directories and the replicas in them (KIP-113). To the broker that has them.

use crate::protocol::{ErrorCode, Str, TopicName};

message! {
    request 35 -> DescribeLogDirsResponse, versions 1..=5, flexible 2.., listeners [broker];

    /// Which replicas to tell of.
    struct DescribeLogDirsRequest {
        /// Null for all.
        topics: Option<Vec<DescribableLogDirTopic>> [0.., null 0..],
    }

    /// One topic.
    struct DescribableLogDirTopic {
        topic: TopicName [0.., key],
        partitions: Vec<i32> [0..],
    }
}

message! {
    response 35, versions 1..=5, flexible 2..;

    /// The directories.
    struct DescribeLogDirsResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [3..] ignorable,
        results: Vec<DescribeLogDirsResult> [0..],
    }

    /// One directory.
    struct DescribeLogDirsResult {
        error_code: ErrorCode [0..],
        log_dir: Str [0..],
        topics: Vec<DescribeLogDirsTopic> [0..],
        /// Size of its volume; -1 where unknown (KIP-827).
        total_bytes: i64 [4..] ignorable = -1,
        usable_bytes: i64 [4..] ignorable = -1,
        /// Takes no new replicas (KIP-1066).
        is_cordoned: bool [5..] ignorable,
    }

    /// One topic.
    struct DescribeLogDirsTopic {
        name: TopicName [0..],
        partitions: Vec<DescribeLogDirsPartition> [0..],
    }

    /// One replica.
    struct DescribeLogDirsPartition {
        partition_index: i32 [0..],
        partition_size: i64 [0..],
        /// How far it is behind: of a replica that moves, behind the one it replaces; else behind the high watermark.
        offset_lag: i64 [0..],
        /// Is it the new copy of a move between directories, not yet in use?
        is_future_key: bool [0..],
    }
}
