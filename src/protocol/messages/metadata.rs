//! Metadata: brokers, topics, and who leads each partition. To any broker; each answers from its own, perhaps older, view.
//!
//! Topics can be asked for by id from version 12 on; 10 and 11 have the field, but brokers do not heed it there. In version 0 an empty
//! list means all topics; from version 1 on null does, and an empty list none.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName, Uuid};

message! {
    request 3 -> MetadataResponse, versions 0..=13, flexible 9.., listeners [broker];

    /// Which topics to tell of.
    struct MetadataRequest {
        topics: Option<Vec<MetadataRequestTopic>> [0.., null 1..],
        /// Up to version 3 the broker alone decides; true by default, as in Java.
        allow_auto_topic_creation: bool [4..] = true,
        include_cluster_authorized_operations: bool [8..=10],
        include_topic_authorized_operations: bool [8..],
    }

    /// One topic, by name or by id.
    struct MetadataRequestTopic {
        topic_id: Uuid [10..] ignorable,
        /// Null where the id is given (version 12).
        name: Option<TopicName> [0.., null 10..],
    }
}

message! {
    response 3, versions 0..=13, flexible 9..;

    /// The brokers and the topics.
    struct MetadataResponse {
        throttle_time_ms: i32 [3..] ignorable,
        brokers: Vec<MetadataResponseBroker> [0..],
        cluster_id: Option<Str> [2.., null 2..] ignorable = None,
        /// Brokers with KRaft name any one of themselves: they forward to the controller.
        controller_id: BrokerId [1..] ignorable = BrokerId(-1),
        topics: Vec<MetadataResponseTopic> [0..],
        cluster_authorized_operations: i32 [8..=10] = -2147483648,
        /// REBOOTSTRAP_REQUIRED (KIP-1102): start again from the seeds.
        error_code: ErrorCode [13..] ignorable,
    }

    /// One broker, at the address for the listener that was asked.
    struct MetadataResponseBroker {
        node_id: BrokerId [0.., key],
        host: Str [0..],
        port: i32 [0..],
        rack: Option<Str> [1.., null 1..] ignorable = None,
    }

    /// One topic.
    struct MetadataResponseTopic {
        error_code: ErrorCode [0..],
        /// Null where the topic was asked for by an id that is unknown.
        name: Option<TopicName> [0.., null 12.., key],
        topic_id: Uuid [10..] ignorable,
        is_internal: bool [1..] ignorable,
        partitions: Vec<MetadataResponsePartition> [0..],
        topic_authorized_operations: i32 [8..] = -2147483648,
    }

    /// One partition.
    struct MetadataResponsePartition {
        error_code: ErrorCode [0..],
        partition_index: i32 [0..],
        /// -1 while there is none.
        leader_id: BrokerId [0..],
        /// Grows with each change of leader; -1 where unknown. An older one than already known is old news.
        leader_epoch: i32 [7..] ignorable = -1,
        replica_nodes: Vec<BrokerId> [0..],
        isr_nodes: Vec<BrokerId> [0..],
        offline_replicas: Vec<BrokerId> [5..] ignorable,
    }
}
