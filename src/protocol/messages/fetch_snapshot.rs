//! FetchSnapshot: a piece of a snapshot of the metadata (KIP-630). From brokers and controllers to the leader of the metadata quorum.

use crate::protocol::{BrokerId, ErrorCode, Records, Str, TopicName, Uuid};

message! {
    request 59 -> FetchSnapshotResponse, versions 0..=1, flexible 0.., listeners [controller];

    /// Which snapshots, and from where.
    struct FetchSnapshotRequest {
        cluster_id: Option<Str> [0.., null 0.., tag 0] = None,
        replica_id: BrokerId [0..] = BrokerId(-1),
        max_bytes: i32 [0..] = i32::MAX,
        topics: Vec<TopicSnapshot> [0..],
    }

    /// One topic; there is only that of the metadata.
    struct TopicSnapshot {
        name: TopicName [0..],
        partitions: Vec<PartitionSnapshot> [0..],
    }

    /// One partition.
    struct PartitionSnapshot {
        partition: i32 [0..],
        current_leader_epoch: i32 [0..],
        snapshot_id: SnapshotId [0..],
        /// In bytes.
        position: i64 [0..],
        replica_directory_id: Uuid [1.., tag 0] ignorable,
    }

    /// Names a snapshot: the end of what is in it.
    struct SnapshotId {
        end_offset: i64 [0..],
        epoch: i32 [0..],
    }
}

message! {
    response 59, versions 0..=1, flexible 0..;

    /// The pieces.
    struct FetchSnapshotResponse {
        throttle_time_ms: i32 [0..] ignorable,
        error_code: ErrorCode [0..],
        topics: Vec<TopicSnapshotResult> [0..],
        node_endpoints: Vec<NodeEndpoint> [1.., tag 0],
    }

    /// One topic.
    struct TopicSnapshotResult as "TopicSnapshot" {
        name: TopicName [0..],
        partitions: Vec<PartitionSnapshotResult> [0..],
    }

    /// One partition.
    struct PartitionSnapshotResult as "PartitionSnapshot" {
        index: i32 [0..],
        error_code: ErrorCode [0..],
        snapshot_id: SnapshotId [0..],
        current_leader: LeaderIdAndEpoch [0.., tag 0],
        /// Of the whole snapshot, in bytes.
        size: i64 [0..],
        position: i64 [0..],
        /// May begin and end inside a batch.
        unaligned_records: Records [0..],
    }

    /// Who leads now.
    struct LeaderIdAndEpoch {
        leader_id: BrokerId [0..],
        leader_epoch: i32 [0..],
    }

    /// Address of a node that a partition names as its leader.
    struct NodeEndpoint {
        node_id: BrokerId [1.., key],
        host: Str [1..],
        port: u16 [1..],
    }
}
