//! DeleteShareGroupOffsets: forgets how far an empty share group is in some topics (KIP-932). To the group's coordinator.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 92 -> DeleteShareGroupOffsetsResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// The group and the topics.
    struct DeleteShareGroupOffsetsRequest {
        group_id: GroupId [0..],
        topics: Vec<DeleteShareGroupOffsetsRequestTopic> [0..],
    }

    /// One topic.
    struct DeleteShareGroupOffsetsRequestTopic {
        topic_name: TopicName [0..],
    }
}

message! {
    response 92, versions 0..=0, flexible 0..;

    /// A verdict for each topic.
    struct DeleteShareGroupOffsetsResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        responses: Vec<DeleteShareGroupOffsetsResponseTopic> [0..],
    }

    /// One topic.
    struct DeleteShareGroupOffsetsResponseTopic {
        topic_name: TopicName [0..],
        topic_id: Uuid [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
    }
}
