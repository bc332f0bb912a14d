//! DescribeCluster: the brokers, or the controllers, of the cluster. To any broker; unlike Metadata it says nothing of topics.

use crate::protocol::{BrokerId, ErrorCode, Str};

message! {
    request 60 -> DescribeClusterResponse, versions 0..=2, flexible 0.., listeners [broker, controller];

    /// Asks for the nodes.
    struct DescribeClusterRequest {
        include_cluster_authorized_operations: bool [0..],
        /// 1 for brokers, 2 for controllers; a node that is not of the kind refuses.
        endpoint_type: i8 [1..] = 1,
        /// Also those that are registered and not serving (KIP-1073).
        include_fenced_brokers: bool [2..],
    }
}

message! {
    response 60, versions 0..=2, flexible 0..;

    /// The nodes and the controller.
    struct DescribeClusterResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        endpoint_type: i8 [1..] = 1,
        cluster_id: Str [0..],
        controller_id: BrokerId [0..] = BrokerId(-1),
        brokers: Vec<DescribeClusterBroker> [0..],
        /// A set of bits; `i32::MIN` where it was not asked for.
        cluster_authorized_operations: i32 [0..] = -2147483648,
    }

    /// One node, at the address for the listener that was asked.
    struct DescribeClusterBroker {
        broker_id: BrokerId [0.., key],
        host: Str [0..],
        port: i32 [0..],
        rack: Option<Str> [0.., null 0..] = None,
        is_fenced: bool [2..],
    }
}
