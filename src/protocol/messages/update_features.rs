//! UpdateFeatures: sets the levels of the cluster's features (KIP-584). Any broker takes it and forwards it to the controller.

use crate::protocol::{ErrorCode, Str};

message! {
    request 57 -> UpdateFeaturesResponse, versions 0..=2, flexible 0.., listeners [broker, controller];

    /// The features to change.
    struct UpdateFeaturesRequest {
        timeout_ms: i32 [0.., name "timeoutMs"] = 60000,
        feature_updates: Vec<FeatureUpdateKey> [0..],
        /// Checks everything and changes nothing.
        validate_only: bool [1..],
    }

    /// One feature.
    struct FeatureUpdateKey {
        feature: Str [0.., key],
        /// Below 1 takes the feature away.
        max_version_level: i16 [0..],
        allow_downgrade: bool [0..=0],
        /// 1 upward only, 2 downward if nothing is lost, 3 downward in any case.
        upgrade_type: i8 [1..] = 1,
    }
}

message! {
    response 57, versions 0..=2, flexible 0..;

    /// Done, or why not. All features change, or none does.
    struct UpdateFeaturesResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        results: Vec<UpdatableFeatureResult> [0..=1] ignorable,
    }

    /// The verdict for one feature.
    struct UpdatableFeatureResult {
        feature: Str [0.., key],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
    }
}
