//! The value of the control record that ends a transaction; its key says whether by commit or abort. On disk an i16 comes first, its
//! version.

message! {
    data, versions 0..=0;

    /// The end of a transaction.
    struct EndTxnMarker {
        /// Of the coordinator that wrote it: markers of older ones are refused.
        coordinator_epoch: i32 [0..],
    }
}
