//! DescribeCluster.

use crate::protocol::{BrokerId, ErrorCode, Str};

message! {
    request 60 -> DescribeClusterResponse, versions 0..=2, flexible 0.., listeners [broker, controller];

    /// Describe cluster request.
    struct DescribeClusterRequest {
        include_cluster_authorized_operations: bool [0..],
        endpoint_type: i8 [1..] = 1,
        include_fenced_brokers: bool [2..],
    }
}

message! {
    response 60, versions 0..=2, flexible 0..;

    /// Describe cluster response.
    struct DescribeClusterResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        endpoint_type: i8 [1..] = 1,
        cluster_id: Str [0..],
        controller_id: BrokerId [0..] = BrokerId(-1),
        brokers: Vec<DescribeClusterBroker> [0..],
        cluster_authorized_operations: i32 [0..] = -2147483648,
    }

    /// Describe cluster broker.
    struct DescribeClusterBroker {
        broker_id: BrokerId [0.., key],
        host: Str [0..],
        port: i32 [0..],
        rack: Option<Str> [0.., null 0..] = None,
        is_fenced: bool [2..],
    }
}
