//! What a regular expression of a group of the consumer protocol stands for: a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 16, versions 0..=0;

    /// Group and expression.
    struct ConsumerGroupRegularExpressionKey {
        group_id: Str [0..=0],
        regular_expression: Str [0..=0],
    }
}

message! {
    coordinator value 16, versions 0..=0, flexible 0..;

    /// The topics it matched.
    struct ConsumerGroupRegularExpressionValue {
        topics: Vec<Str> [0..],
        /// Of the metadata that it was resolved with.
        version: i64 [0..],
        timestamp: i64 [0..],
    }
}
