//! BrokerHeartbeat: a broker's sign of life (KIP-631). From brokers to the active controller.

use crate::protocol::{BrokerId, ErrorCode, Uuid};

message! {
    request 63 -> BrokerHeartbeatResponse, versions 0..=2, flexible 0.., listeners [controller];

    /// How the broker is and what it wants.
    struct BrokerHeartbeatRequest {
        broker_id: BrokerId [0..],
        broker_epoch: i64 [0..] = -1,
        current_metadata_offset: i64 [0..],
        /// Wants to be led no clients to.
        want_fence: bool [0..],
        /// Wants to hand over its leaderships and go.
        want_shut_down: bool [0..],
        /// Directories that failed; their replicas need leaders elsewhere (KIP-858).
        offline_log_dirs: Vec<Uuid> [1.., tag 0],
        /// Directories that take no new replicas (KIP-1066). Null until the broker knows.
        cordoned_log_dirs: Option<Vec<Uuid>> [2.., null 2.., tag 1] = None,
    }
}

message! {
    response 63, versions 0..=2, flexible 0..;

    /// What the controller makes of it.
    struct BrokerHeartbeatResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        /// Has the broker's metadata come near the end of the log?
        is_caught_up: bool [0..],
        is_fenced: bool [0..] = true,
        /// The leaderships are handed over: it may go.
        should_shut_down: bool [0..],
    }
}
