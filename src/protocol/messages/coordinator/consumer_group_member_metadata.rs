//! A member of a group of the consumer protocol (KIP-848): a record of `__consumer_offsets`.

use bytes::Bytes;

use crate::protocol::{Str, TaggedOption};

message! {
    coordinator key 5, versions 0..=0;

    /// Group and member.
    struct ConsumerGroupMemberMetadataKey {
        group_id: Str [0..=0],
        member_id: Str [0..=0],
    }
}

message! {
    coordinator value 5, versions 0..=0, flexible 0..;

    /// What the member said of itself.
    struct ConsumerGroupMemberMetadataValue {
        instance_id: Option<Str> [0.., null 0..],
        rack_id: Option<Str> [0.., null 0..],
        client_id: Str [0..],
        client_host: Str [0..],
        subscribed_topic_names: Vec<Str> [0..],
        subscribed_topic_regex: Option<Str> [0.., null 0..],
        rebalance_timeout_ms: i32 [0..] = -1,
        server_assignor: Option<Str> [0.., null 0..],
        /// Null for a member of the consumer protocol; else what it joined with.
        classic_member_metadata: TaggedOption<ClassicMemberMetadata> [0.., null 0.., tag 0],
    }

    /// What a member of the classic protocol joined with.
    struct ClassicMemberMetadata {
        session_timeout_ms: i32 [0..],
        supported_protocols: Vec<ClassicProtocol> [0..],
    }

    /// An assignor, and the subscription in its form.
    struct ClassicProtocol {
        name: Str [0..],
        metadata: Bytes [0..],
    }
}
