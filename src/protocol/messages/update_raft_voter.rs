//! UpdateRaftVoter: a voter of the metadata quorum tells of its addresses and versions (KIP-853). From voters to the leader.

use crate::protocol::{BrokerId, ErrorCode, Str, Uuid};

message! {
    request 82 -> UpdateRaftVoterResponse, versions 0..=0, flexible 0.., listeners [controller];

    /// The voter as it is now.
    struct UpdateRaftVoterRequest {
        cluster_id: Option<Str> [0.., null 0..],
        current_leader_epoch: i32 [0..],
        voter_id: i32 [0..],
        voter_directory_id: Uuid [0..],
        listeners: Vec<Listener> [0..],
        k_raft_version_feature: KRaftVersionFeature [0..],
    }

    /// Where it can be reached.
    struct Listener {
        name: Str [0.., key],
        host: Str [0..],
        port: u16 [0..],
    }

    /// Versions of the quorum's protocol that it supports.
    struct KRaftVersionFeature {
        min_supported_version: i16 [0..],
        max_supported_version: i16 [0..],
    }
}

message! {
    response 82, versions 0..=0, flexible 0..;

    /// Done, or who leads.
    struct UpdateRaftVoterResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        current_leader: CurrentLeader [0.., tag 0],
    }

    /// The leader and where it can be reached.
    struct CurrentLeader {
        leader_id: BrokerId [0..] = BrokerId(-1),
        leader_epoch: i32 [0..] = -1,
        host: Str [0..],
        port: i32 [0..],
    }
}
