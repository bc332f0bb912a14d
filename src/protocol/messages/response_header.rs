//! The header of responses as Kafka's schemas have it, for tools that treat all messages alike.
//!
//! The library itself uses [`protocol::header`](crate::protocol::header), by hand; a test there compares the bytes. Version 1 has tags.

message! {
    header, versions 0..=1, flexible 1..;

    /// What stands before every response's body.
    struct ResponseHeader {
        correlation_id: i32 [0..],
    }
}
