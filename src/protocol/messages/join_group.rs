//! JoinGroup: first half of a rebalance of a classic group. To the coordinator, which answers when all members are there.
//!
//! So the answer takes up to the rebalance time-out. From version 4 on a new member first gets MEMBER_ID_REQUIRED with an id of its
//! own, and joins again with it (KIP-394). The member that becomes leader, and it alone, gets the list of members.

use bytes::Bytes;

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 11 -> JoinGroupResponse, versions 0..=9, flexible 6.., listeners [broker];

    /// A member with what it supports.
    struct JoinGroupRequest {
        group_id: GroupId [0..],
        /// Without a heartbeat for so long a member is out.
        session_timeout_ms: i32 [0..],
        /// How long the others may take to join again. Version 0 has no such field, there it is the session time-out.
        rebalance_timeout_ms: i32 [1..] ignorable = -1,
        /// Empty for a new member.
        member_id: Str [0..],
        /// Set for a static member (KIP-345).
        group_instance_id: Option<Str> [5.., null 5..] = None,
        protocol_type: Str [0..],
        /// Most wanted first; the group takes one that all members support.
        protocols: Vec<JoinGroupRequestProtocol> [0..],
        /// For the coordinator's log (KIP-800).
        reason: Option<Str> [8.., null 8..] ignorable = None,
    }

    /// An assignor, and the subscription in its form.
    struct JoinGroupRequestProtocol {
        name: Str [0.., key],
        metadata: Bytes [0..],
    }
}

message! {
    response 11, versions 0..=9, flexible 6..;

    /// The generation, the assignor chosen, and who leads.
    struct JoinGroupResponse {
        throttle_time_ms: i32 [2..] ignorable,
        error_code: ErrorCode [0..],
        generation_id: i32 [0..] = -1,
        protocol_type: Option<Str> [7.., null 7..] ignorable = None,
        protocol_name: Option<Str> [0.., null 7..],
        /// The leader's member id.
        leader: Str [0..],
        /// To a static leader that came back: the assignment stands, send an empty one (KIP-814).
        skip_assignment: bool [9..],
        member_id: Str [0..],
        members: Vec<JoinGroupResponseMember> [0..],
    }

    /// One member, for the leader to assign to.
    struct JoinGroupResponseMember {
        member_id: Str [0..],
        group_instance_id: Option<Str> [5.., null 5..] ignorable = None,
        metadata: Bytes [0..],
    }
}
