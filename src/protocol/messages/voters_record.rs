//! The value of the control record that names the voters of the metadata quorum (KIP-853).

use crate::protocol::{BrokerId, Str, Uuid};

message! {
    data, versions 0..=0, flexible 0..;

    /// The voters from here on.
    struct VotersRecord {
        /// Of this record.
        version: i16 [0..],
        voters: Vec<Voter> [0..],
    }

    /// One voter.
    struct Voter {
        voter_id: BrokerId [0..],
        /// The id of its metadata directory: the same controller with a new disk is another voter.
        voter_directory_id: Uuid [0..],
        endpoints: Vec<Endpoint> [0..],
        k_raft_version_feature: KRaftVersionFeature [0..],
    }

    /// Where it can be reached, by listener.
    struct Endpoint {
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
