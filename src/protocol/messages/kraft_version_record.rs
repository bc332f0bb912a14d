//! The value of the control record that sets the version of the metadata quorum's protocol (KIP-853).

message! {
    data, versions 0..=0, flexible 0..;

    /// The version from here on.
    struct KRaftVersionRecord {
        /// Of this record.
        version: i16 [0..],
        k_raft_version: i16 [0..],
    }
}
