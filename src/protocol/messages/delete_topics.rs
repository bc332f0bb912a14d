//! DeleteTopics.

use crate::protocol::{ErrorCode, Str, TopicName, Uuid};

message! {
    request 20 -> DeleteTopicsResponse, versions 1..=6, flexible 4.., listeners [broker, controller];

    /// Delete topics request.
    struct DeleteTopicsRequest {
        topics: Vec<DeleteTopicState> [6..],
        topic_names: Vec<TopicName> [0..=5] ignorable,
        timeout_ms: i32 [0..],
    }

    /// Delete topic state.
    struct DeleteTopicState {
        name: Option<TopicName> [6.., null 6..] = None,
        topic_id: Uuid [6..],
    }
}

message! {
    response 20, versions 1..=6, flexible 4..;

    /// Delete topics response.
    struct DeleteTopicsResponse {
        throttle_time_ms: i32 [1..] ignorable,
        responses: Vec<DeletableTopicResult> [0..],
    }

    /// Deletable topic result.
    struct DeletableTopicResult {
        name: Option<TopicName> [0.., null 6.., key],
        topic_id: Uuid [6..] ignorable,
        error_code: ErrorCode [0..],
        error_message: Option<Str> [5.., null 5..] ignorable = None,
    }
}
