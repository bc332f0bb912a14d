//! Fetch.

use crate::protocol::{BrokerId, ErrorCode, ProducerId, Records, Str, TopicName, Uuid};

message! {
    request 1 -> FetchResponse, versions 4..=18, flexible 12.., listeners [broker, controller];

    /// Fetch request.
    struct FetchRequest {
        cluster_id: Option<Str> [12.., null 12.., tag 0] ignorable = None,
        replica_id: BrokerId [0..=14] = BrokerId(-1),
        replica_state: ReplicaState [15.., tag 1],
        max_wait_ms: i32 [0..],
        min_bytes: i32 [0..],
        max_bytes: i32 [3..] ignorable = i32::MAX,
        isolation_level: i8 [4..] ignorable,
        session_id: i32 [7..] ignorable,
        session_epoch: i32 [7..] ignorable = -1,
        topics: Vec<FetchTopic> [0..],
        forgotten_topics_data: Vec<ForgottenTopic> [7..],
        rack_id: Str [11..] ignorable,
    }

    /// Replica state.
    struct ReplicaState {
        replica_id: BrokerId [15..] = BrokerId(-1),
        replica_epoch: i64 [15..] = -1,
    }

    /// Fetch topic.
    struct FetchTopic {
        topic: TopicName [0..=12] ignorable,
        topic_id: Uuid [13..] ignorable,
        partitions: Vec<FetchPartition> [0..],
    }

    /// Fetch partition.
    struct FetchPartition {
        partition: i32 [0..],
        current_leader_epoch: i32 [9..] ignorable = -1,
        fetch_offset: i64 [0..],
        last_fetched_epoch: i32 [12..] = -1,
        log_start_offset: i64 [5..] ignorable = -1,
        partition_max_bytes: i32 [0..],
        replica_directory_id: Uuid [17.., tag 0] ignorable,
        high_watermark: i64 [18.., tag 1] ignorable = i64::MAX,
    }

    /// Forgotten topic.
    struct ForgottenTopic {
        topic: TopicName [7..=12] ignorable,
        topic_id: Uuid [13..] ignorable,
        partitions: Vec<i32> [7..],
    }
}

message! {
    response 1, versions 4..=18, flexible 12..;

    /// Fetch response.
    struct FetchResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [7..] ignorable,
        session_id: i32 [7..],
        responses: Vec<FetchableTopicResponse> [0..],
        node_endpoints: Vec<NodeEndpoint> [16.., tag 0],
    }

    /// Fetchable topic response.
    struct FetchableTopicResponse {
        topic: TopicName [0..=12] ignorable,
        topic_id: Uuid [13..] ignorable,
        partitions: Vec<PartitionData> [0..],
    }

    /// Partition data.
    struct PartitionData {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        high_watermark: i64 [0..],
        last_stable_offset: i64 [4..] ignorable = -1,
        log_start_offset: i64 [5..] ignorable = -1,
        diverging_epoch: EpochEndOffset [12.., tag 0],
        current_leader: LeaderIdAndEpoch [12.., tag 1],
        snapshot_id: SnapshotId [12.., tag 2],
        aborted_transactions: Option<Vec<AbortedTransaction>> [4.., null 4..] ignorable,
        preferred_read_replica: BrokerId [11..] = BrokerId(-1),
        records: Option<Records> [0.., null 0..],
    }

    /// Epoch end offset.
    struct EpochEndOffset {
        epoch: i32 [12..] = -1,
        end_offset: i64 [12..] = -1,
    }

    /// Leader id and epoch.
    struct LeaderIdAndEpoch {
        leader_id: BrokerId [12..] = BrokerId(-1),
        leader_epoch: i32 [12..] = -1,
    }

    /// Snapshot id.
    struct SnapshotId {
        end_offset: i64 [0..] = -1,
        epoch: i32 [0..] = -1,
    }

    /// Aborted transaction.
    struct AbortedTransaction {
        producer_id: ProducerId [4..],
        first_offset: i64 [4..],
    }

    /// Node endpoint.
    struct NodeEndpoint {
        node_id: BrokerId [16.., key],
        host: Str [16..],
        port: i32 [16..],
        rack: Option<Str> [16.., null 16..] = None,
    }
}
