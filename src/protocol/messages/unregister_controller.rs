//! UnregisterController: forgets a controller that is gone for good. Any broker takes it and forwards it to the controller.

use crate::protocol::{ErrorCode, Str};

message! {
    request 94 -> UnregisterControllerResponse, versions 0..=0, flexible 0.., listeners [broker, controller];

    /// The controller.
    struct UnregisterControllerRequest {
        controller_id: i32 [0..],
    }
}

message! {
    response 94, versions 0..=0, flexible 0..;

    /// Done, or why not.
    struct UnregisterControllerResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
    }
}
