//! A member of a share group (KIP-932): a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 10, versions 0..=0;

    /// Group and member.
    struct ShareGroupMemberMetadataKey {
        group_id: Str [0..=0],
        member_id: Str [0..=0],
    }
}

message! {
    coordinator value 10, versions 0..=0, flexible 0..;

    /// What the member said of itself.
    struct ShareGroupMemberMetadataValue {
        rack_id: Option<Str> [0.., null 0..],
        client_id: Str [0..],
        client_host: Str [0..],
        subscribed_topic_names: Vec<Str> [0..],
    }
}
