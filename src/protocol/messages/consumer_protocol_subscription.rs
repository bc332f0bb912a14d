//! What a member of a group wants and has: the bytes inside JoinGroup, for protocol type `consumer`.
//!
//! On the wire it follows its version, an i16. Readers take a version above their own for their own: later ones only append.

use bytes::Bytes;

use crate::protocol::{Str, TopicName};

message! {
    data, versions 0..=3;

    /// The topics a member subscribes to, and what it claims to own.
    struct ConsumerProtocolSubscription {
        topics: Vec<Str> [0..],
        /// The assignor's own; the sticky assignor keeps earlier assignments here.
        user_data: Option<Bytes> [0.., null 0..] = None,
        /// What the member holds now; a cooperative assignor does not give it to others in the same generation (KIP-429).
        owned_partitions: Vec<TopicPartition> [1..] ignorable,
        /// The generation the claims are of: of two members claiming the same, the later one is right (KIP-792).
        generation_id: i32 [2..] ignorable = -1,
        /// For assignments near to the replicas (KIP-881).
        rack_id: Option<Str> [3.., null 3..] ignorable = None,
    }

    /// Some partitions of one topic.
    struct TopicPartition {
        topic: TopicName [1.., key],
        partitions: Vec<i32> [1..],
    }
}
