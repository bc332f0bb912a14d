//! ApiVersions: what the broker speaks. The first request on every connection, to whichever broker is there.
//!
//! It is the one API whose own version cannot be negotiated. A broker that does not know the version asked for answers
//! UNSUPPORTED_VERSION in the layout of version 0 (KIP-511), and lists the versions it does know; and the response's header never has
//! tags, whatever the version.

use crate::protocol::{ErrorCode, Str};

message! {
    request 18 -> ApiVersionsResponse, versions 0..=5, flexible 3.., listeners [broker, controller];

    /// Asks for the list, and says who asks.
    struct ApiVersionsRequest {
        /// Letters, digits, `-` and `.`, neither sign at an end; a broker refuses others, and the empty name.
        client_software_name: Str [3..] ignorable,
        /// Same rule as for the name.
        client_software_version: Str [3..] ignorable,
        /// The cluster the client believes to be at; a broker of another one refuses (KIP-1242). Null to not have it checked.
        cluster_id: Option<Str> [5.., null 5..] ignorable = None,
        /// The broker the client believes to be at; -1 to not have it checked.
        node_id: i32 [5..] ignorable = -1,
    }
}

message! {
    response 18, versions 0..=5, flexible 3..;

    /// The APIs of this listener with their versions, and the features of the cluster.
    struct ApiVersionsResponse {
        error_code: ErrorCode [0..],
        api_keys: Vec<ApiVersion> [0..],
        throttle_time_ms: i32 [1..] ignorable,
        supported_features: Vec<SupportedFeatureKey> [3.., tag 0] ignorable,
        /// Grows with each change of `finalized_features`; -1 while none is known.
        finalized_features_epoch: i64 [3.., tag 1] ignorable = -1,
        finalized_features: Vec<FinalizedFeatureKey> [3.., tag 2] ignorable,
        zk_migration_ready: bool [3.., tag 3] ignorable,
    }

    /// One API and the versions the broker accepts, both ends included.
    struct ApiVersion {
        api_key: i16 [0.., key],
        min_version: i16 [0..],
        max_version: i16 [0..],
    }

    /// A feature and the levels this broker could run it at.
    struct SupportedFeatureKey {
        name: Str [3.., key],
        min_version: i16 [3..],
        max_version: i16 [3..],
    }

    /// A feature and the level the cluster has agreed on.
    struct FinalizedFeatureKey {
        name: Str [3.., key],
        max_version_level: i16 [3..],
        min_version_level: i16 [3..],
    }
}
