//! DeleteTopics: by name or, from version 6 on, by id. Any broker takes it and forwards it to the controller (KRaft).
//!
//! Up to version 5 the names stand in a list of their own. Deletion is not at once: brokers may answer for the topic a little longer.

use crate::protocol::{ErrorCode, Str, TopicName, Uuid};

message! {
    request 20 -> DeleteTopicsResponse, versions 1..=6, flexible 4.., listeners [broker, controller];

    /// The topics to delete.
    struct DeleteTopicsRequest {
        topics: Vec<DeleteTopicState> [6..],
        topic_names: Vec<TopicName> [0..=5] ignorable,
        timeout_ms: i32 [0..],
    }

    /// One topic, by name or by id, never by both.
    struct DeleteTopicState {
        /// Null where the id is given.
        name: Option<TopicName> [6.., null 6..] = None,
        /// Zero where the name is given.
        topic_id: Uuid [6..],
    }
}

message! {
    response 20, versions 1..=6, flexible 4..;

    /// A verdict for each topic.
    struct DeleteTopicsResponse {
        throttle_time_ms: i32 [1..] ignorable,
        responses: Vec<DeletableTopicResult> [0..],
    }

    /// The verdict for one topic.
    struct DeletableTopicResult {
        /// Null where the topic was given by an id that is unknown, or may not be seen.
        name: Option<TopicName> [0.., null 6.., key],
        topic_id: Uuid [6..] ignorable,
        error_code: ErrorCode [0..],
        error_message: Option<Str> [5.., null 5..] ignorable = None,
    }
}
