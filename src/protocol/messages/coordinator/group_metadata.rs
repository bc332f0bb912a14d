//! A classic group with its members: a record of `__consumer_offsets`.

use bytes::Bytes;

use crate::protocol::Str;

message! {
    coordinator key 2, versions 0..=0;

    /// The group.
    struct GroupMetadataKey {
        group: Str [0..=0, name "group"],
    }
}

message! {
    coordinator value 2, versions 0..=4, flexible 4..;

    /// The group as its last rebalance left it.
    struct GroupMetadataValue {
        protocol_type: Str [0.., name "protocolType"],
        generation: i32 [0.., name "generation"],
        /// The assignor; null while there are no members.
        protocol: Option<Str> [0.., null 0.., name "protocol"],
        leader: Option<Str> [0.., null 0.., name "leader"],
        current_state_timestamp: i64 [2.., name "currentStateTimestamp"] ignorable = -1,
        members: Vec<MemberMetadata> [0.., name "members"],
    }

    /// One member.
    struct MemberMetadata {
        member_id: Str [0.., name "memberId"],
        group_instance_id: Option<Str> [3.., null 3.., name "groupInstanceId"] ignorable = None,
        client_id: Str [0.., name "clientId"],
        client_host: Str [0.., name "clientHost"],
        rebalance_timeout: i32 [1.., name "rebalanceTimeout"] ignorable = -1,
        session_timeout: i32 [0.., name "sessionTimeout"],
        subscription: Bytes [0.., name "subscription"],
        assignment: Bytes [0.., name "assignment"],
    }
}
