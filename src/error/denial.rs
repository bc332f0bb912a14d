//! What an ACL must allow for a request that a broker denied. Brokers say of what type the resource is, and nothing more; the rest is
//! what Kafka asks of each API.

use crate::protocol::ErrorCode;

/// The operation that `api` needs on the resource that `code` is about.
pub(super) fn operation(code: ErrorCode, api: &str) -> Option<&'static str> {
    let operation = match code {
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => match api {
            "Produce" => "WRITE",
            "Fetch" | "OffsetCommit" | "OffsetDelete" => "READ",
            "Metadata" | "ListOffsets" | "OffsetFetch" => "DESCRIBE",
            "CreateTopics" => "CREATE",
            "DeleteTopics" => "DELETE",
            "CreatePartitions" => "ALTER",
            "DescribeConfigs" => "DESCRIBE_CONFIGS",
            "IncrementalAlterConfigs" => "ALTER_CONFIGS",
            _ => return None,
        },
        ErrorCode::GROUP_AUTHORIZATION_FAILED => match api {
            "JoinGroup" | "SyncGroup" | "Heartbeat" | "LeaveGroup" | "OffsetCommit" => "READ",
            "FindCoordinator" => "DESCRIBE (a consumer needs READ)",
            "OffsetFetch" | "DescribeGroups" => "DESCRIBE",
            "DeleteGroups" | "OffsetDelete" => "DELETE",
            "DescribeConfigs" => "DESCRIBE_CONFIGS",
            "IncrementalAlterConfigs" => "ALTER_CONFIGS",
            _ => return None,
        },
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED => match api {
            "InitProducerId" | "Produce" => "IDEMPOTENT_WRITE",
            "CreateTopics" => "CREATE",
            "ListGroups" | "DescribeCluster" => "DESCRIBE",
            "DescribeConfigs" => "DESCRIBE_CONFIGS",
            "IncrementalAlterConfigs" => "ALTER_CONFIGS",
            _ => return None,
        },
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED => match api {
            "FindCoordinator" => "DESCRIBE",
            _ => "WRITE",
        },
        _ => return None,
    };
    Some(operation)
}

/// The type of the resource that `code` is about.
pub(super) fn resource(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => Some("topic"),
        ErrorCode::GROUP_AUTHORIZATION_FAILED => Some("group"),
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED => Some("the cluster"),
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED => Some("transactional id"),
        _ => None,
    }
}
