//! The value of the control record that begins a snapshot of the metadata (KIP-630).

message! {
    data, versions 0..=0, flexible 0..;

    /// The start of a snapshot.
    struct SnapshotHeaderRecord {
        /// Of this record.
        version: i16 [0..],
        /// Of the last record that the snapshot stands for.
        last_contained_log_timestamp: i64 [0..],
    }
}
