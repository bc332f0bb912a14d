//! The value of the control record that ends a snapshot of the metadata (KIP-630).

message! {
    data, versions 0..=0, flexible 0..;

    /// The end of a snapshot.
    struct SnapshotFooterRecord {
        /// Of this record.
        version: i16 [0..],
    }
}
