//! The value of the control record that a new leader of the metadata quorum begins its epoch with (KIP-595).

use crate::protocol::{BrokerId, Uuid};

message! {
    data, versions 0..=1, flexible 0..;

    /// Who leads from here on.
    struct LeaderChangeMessage {
        /// Of this record.
        version: i16 [0..],
        leader_id: BrokerId [0..],
        voters: Vec<Voter> [0..],
        /// Those who voted for the leader.
        granting_voters: Vec<Voter> [0..],
    }

    /// One voter.
    struct Voter {
        voter_id: i32 [0..],
        voter_directory_id: Uuid [1..],
    }
}
