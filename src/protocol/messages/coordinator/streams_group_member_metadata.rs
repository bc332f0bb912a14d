//! A member of a group of Kafka Streams (KIP-1071): a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 19, versions 0..=0;

    /// Group and member.
    struct StreamsGroupMemberMetadataKey {
        group_id: Str [0..=0],
        member_id: Str [0..=0],
    }
}

message! {
    coordinator value 19, versions 0..=0, flexible 0..;

    /// What the member said of itself.
    struct StreamsGroupMemberMetadataValue {
        instance_id: Option<Str> [0.., null 0..],
        rack_id: Option<Str> [0.., null 0..],
        client_id: Str [0..],
        client_host: Str [0..],
        rebalance_timeout_ms: i32 [0..] = -1,
        topology_epoch: i32 [0..],
        /// Members of one process share it, and its state stores.
        process_id: Str [0..],
        /// Where the application answers queries of its state.
        user_endpoint: Option<Endpoint> [0.., null 0..] = None,
        /// Where the member runs, for standby tasks to be elsewhere.
        client_tags: Vec<KeyValue> [0..],
    }

    /// An address.
    struct Endpoint {
        host: Str [0..],
        port: u16 [0..],
    }

    /// A name with its value.
    struct KeyValue {
        key: Str [0..],
        value: Str [0..],
    }
}
