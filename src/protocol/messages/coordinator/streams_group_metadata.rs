//! A group of Kafka Streams (KIP-1071): a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 17, versions 0..=0;

    /// The group.
    struct StreamsGroupMetadataKey {
        group_id: Str [0..=0],
    }
}

message! {
    coordinator value 17, versions 0..=0, flexible 0..;

    /// Its epoch and what it was made with.
    struct StreamsGroupMetadataValue {
        epoch: i32 [0..],
        /// Over its topics: another hash, a new assignment.
        metadata_hash: i64 [0..],
        /// The topology whose topics were last found to be in order; -1 for none.
        validated_topology_epoch: i32 [0.., tag 0] = -1,
        last_assignment_configs: Option<Vec<LastAssignmentConfig>> [0.., null 0.., tag 1],
        /// The topology of which a description is kept; -1 for none, -2 where that is uncertain (KIP-1331).
        stored_description_topology_epoch: i32 [0.., tag 2] = -1,
        /// The topology whose description was refused for good, so that it is not asked for again; -1 for none.
        failed_description_topology_epoch: i32 [0.., tag 3] = -1,
    }

    /// A setting that the last assignment was made with.
    struct LastAssignmentConfig {
        key: Str [0..],
        value: Str [0..],
    }
}
