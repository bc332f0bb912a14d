//! The key of a control record: it says what the value is. On disk an i16 comes first, its version.

message! {
    data, versions 0..=0;

    /// The kind of a control record.
    struct ControlRecordTypeSchema {
        /// 0 abort, 1 commit, 2 leader change, 3 snapshot header, 4 snapshot footer, 5 KRaft version, 6 voters.
        r#type: i16 [0..],
    }
}
