//! An entry of a segment's index of aborted transactions, as it stands in the broker's `.txnindex` files and in tiered storage.

message! {
    data, versions 0..=0;

    /// One transaction that ended in an abort. On disk an i16 comes first, its version.
    struct AbortedTxn {
        producer_id: i64 [0..],
        first_offset: i64 [0..],
        last_offset: i64 [0..],
        /// As it was when the transaction was aborted.
        last_stable_offset: i64 [0..],
    }
}
