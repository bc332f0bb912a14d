//! Fetch: records, from the leader of each partition or a replica it named. The broker waits until it has enough, or too long.
//!
//! Brokers return whole batches, also those that begin before the offset asked for, and may cut the last one short. Offsets below the
//! one asked for are the client's to skip. Topics have names up to version 12 and ids from 13 on. With a session (KIP-227) only
//! changes go over the wire, in both directions.

use crate::protocol::{BrokerId, ErrorCode, ProducerId, Records, Str, TopicName, Uuid};

message! {
    request 1 -> FetchResponse, versions 4..=18, flexible 12.., listeners [broker, controller];

    /// What to read, how long to wait and how much to send.
    struct FetchRequest {
        cluster_id: Option<Str> [12.., null 12.., tag 0] ignorable = None,
        replica_id: BrokerId [0..=14] = BrokerId(-1),
        replica_state: ReplicaState [15.., tag 1],
        /// A broker with less than `min_bytes` to send answers after this.
        max_wait_ms: i32 [0..],
        min_bytes: i32 [0..],
        /// Not an absolute limit: the first batch comes whole, however large, so that a reader is never stuck.
        max_bytes: i32 [3..] ignorable = i32::MAX,
        /// 0 reads all, 1 (read_committed) up to the last stable offset.
        isolation_level: i8 [4..] ignorable,
        /// 0 for none, or for a new one.
        session_id: i32 [7..] ignorable,
        /// -1 without a session, 0 opens one, then counts up from 1, passing over 0 when it wraps.
        session_epoch: i32 [7..] ignorable = -1,
        topics: Vec<FetchTopic> [0..],
        forgotten_topics_data: Vec<ForgottenTopic> [7..],
        /// Lets the leader name a nearer replica (KIP-392).
        rack_id: Str [11..] ignorable,
    }

    /// A follower's number and epoch; clients leave it alone.
    struct ReplicaState {
        replica_id: BrokerId [15..] = BrokerId(-1),
        replica_epoch: i64 [15..] = -1,
    }

    /// One topic.
    struct FetchTopic {
        topic: TopicName [0..=12] ignorable,
        topic_id: Uuid [13..] ignorable,
        partitions: Vec<FetchPartition> [0..],
    }

    /// One partition, and from where.
    struct FetchPartition {
        partition: i32 [0..],
        /// The epoch the client believes in; a leader of another one refuses (KIP-320). -1 to not have it checked.
        current_leader_epoch: i32 [9..] ignorable = -1,
        fetch_offset: i64 [0..],
        /// Epoch of the last batch read, to be told of a truncation by `diverging_epoch`; -1 for none.
        last_fetched_epoch: i32 [12..] = -1,
        log_start_offset: i64 [5..] ignorable = -1,
        partition_max_bytes: i32 [0..],
        replica_directory_id: Uuid [17.., tag 0] ignorable,
        high_watermark: i64 [18.., tag 1] ignorable = i64::MAX,
    }

    /// Partitions that leave the session.
    struct ForgottenTopic {
        topic: TopicName [7..=12] ignorable,
        topic_id: Uuid [13..] ignorable,
        partitions: Vec<i32> [7..],
    }
}

message! {
    response 1, versions 4..=18, flexible 12..;

    /// Records; with a session, of those partitions that have news.
    struct FetchResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [7..] ignorable,
        session_id: i32 [7..],
        responses: Vec<FetchableTopicResponse> [0..],
        node_endpoints: Vec<NodeEndpoint> [16.., tag 0],
    }

    /// One topic.
    struct FetchableTopicResponse {
        topic: TopicName [0..=12] ignorable,
        topic_id: Uuid [13..] ignorable,
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition: its offsets, and record batches of which the last may be cut short.
    struct PartitionData {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        /// Records below it are on all in-sync replicas.
        high_watermark: i64 [0..],
        /// All transactions below it have ended.
        last_stable_offset: i64 [4..] ignorable = -1,
        log_start_offset: i64 [5..] ignorable = -1,
        diverging_epoch: EpochEndOffset [12.., tag 0],
        current_leader: LeaderIdAndEpoch [12.., tag 1],
        snapshot_id: SnapshotId [12.., tag 2],
        /// Null with isolation level 0.
        aborted_transactions: Option<Vec<AbortedTransaction>> [4.., null 4..] ignorable,
        /// Where to fetch instead; -1 for here. No records come along.
        preferred_read_replica: BrokerId [11..] = BrokerId(-1),
        records: Option<Records> [0.., null 0..],
    }

    /// Where the follower's or consumer's log parted from the leader's.
    struct EpochEndOffset {
        epoch: i32 [12..] = -1,
        end_offset: i64 [12..] = -1,
    }

    /// Who leads now, when it is not the broker asked (KIP-951); -1 where nothing is said.
    struct LeaderIdAndEpoch {
        leader_id: BrokerId [12..] = BrokerId(-1),
        leader_epoch: i32 [12..] = -1,
    }

    /// For KRaft's own log.
    struct SnapshotId {
        end_offset: i64 [0..] = -1,
        epoch: i32 [0..] = -1,
    }

    /// A transaction that ended in an abort: records of the producer from the offset on, up to its abort marker, do not count.
    struct AbortedTransaction {
        producer_id: ProducerId [4..],
        first_offset: i64 [4..],
    }

    /// Address of a broker that a partition names as its leader.
    struct NodeEndpoint {
        node_id: BrokerId [16.., key],
        host: Str [16..],
        port: i32 [16..],
        rack: Option<Str> [16.., null 16..] = None,
    }
}
