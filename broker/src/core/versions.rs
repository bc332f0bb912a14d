//! ApiVersions: which APIs are served in which versions (KIP-35, KIP-511).

use std::time::Instant;

use klamm::protocol::api::APIS;
use klamm::protocol::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use klamm::protocol::{ApiKey, ErrorCode};

use crate::core::{Call, Core, KafkaVersion, Outcome};

impl Core {
    pub(super) fn api_versions(&mut self, _: Instant, call: &Call, request: ApiVersionsRequest) -> Outcome<ApiVersionsResponse> {
        let refused = |error_code| Outcome::Reply(ApiVersionsResponse { error_code, ..Default::default() });
        if call.version >= 3
            && !(is_software(request.client_software_name.as_str()) && is_software(request.client_software_version.as_str()))
        {
            return refused(ErrorCode::INVALID_REQUEST);
        }
        // A client that has come to another cluster or node than it believes (KIP-1242).
        let other_cluster = request.cluster_id.is_some_and(|id| id.as_str() != self.settings.cluster_id);
        if other_cluster || (request.node_id >= 0 && request.node_id != call.node) {
            return refused(ErrorCode::REBOOTSTRAP_REQUIRED);
        }
        let mut response = ApiVersionsResponse { api_keys: self.offered(), ..Default::default() };
        self.tell_features(call, &mut response);
        Outcome::Reply(response)
    }

    /// A version of ApiVersions itself that is not served: the answer is of version 0, and says which are.
    pub(super) fn unsupported_api_versions(&mut self, now: Instant, mut call: Call) {
        call.version = 0;
        let mut api_keys = self.offered();
        let helps = self.settings.kafka_version.is_none_or(KafkaVersion::helps_newer_clients);
        api_keys.retain(|api| helps && api.api_key == ApiKey::API_VERSIONS.0);
        let response = ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, api_keys, ..Default::default() };
        self.respond(now, call, response);
    }

    fn offered(&self) -> Vec<ApiVersion> {
        let offered = APIS.iter().filter_map(|api| Some((api.key, self.settings.listed(api.key)?)));
        offered.map(|(key, (min_version, max_version))| ApiVersion { api_key: key.0, min_version, max_version }).collect()
    }
}

/// Letters, digits, dots and dashes, not at the ends.
fn is_software(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let ends = text.as_bytes().first().zip(text.as_bytes().last());
    ends.is_some_and(|(first, last)| first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric()) && text.bytes().all(inner)
}
