//! How long a broker wants to be left alone, read from a response without decoding it (KIP-219).
//!
//! Nearly all responses have `throttle_time_ms` as their first field, from some version on. Where it comes elsewhere (Produce,
//! ApiVersions) whoever decodes the response says it.

use std::time::Duration;

use bytes::Bytes;

use crate::protocol::ApiKey;

/// No broker is believed that wants more (KIP-219 knows no limit, a hostile one neither).
pub(crate) const MAX_THROTTLE: Duration = Duration::from_secs(5 * 60);

/// The first version of `api` whose responses begin with `throttle_time_ms`.
fn first_version(api: ApiKey) -> Option<i16> {
    match api {
        ApiKey::OFFSET_COMMIT | ApiKey::OFFSET_FETCH | ApiKey::METADATA => Some(3),
        ApiKey::LIST_OFFSETS | ApiKey::JOIN_GROUP | ApiKey::CREATE_TOPICS => Some(2),
        ApiKey::FETCH
        | ApiKey::FIND_COORDINATOR
        | ApiKey::HEARTBEAT
        | ApiKey::LEAVE_GROUP
        | ApiKey::SYNC_GROUP
        | ApiKey::DESCRIBE_GROUPS
        | ApiKey::LIST_GROUPS
        | ApiKey::DELETE_TOPICS => Some(1),
        ApiKey::INIT_PRODUCER_ID
        | ApiKey::DESCRIBE_CONFIGS
        | ApiKey::CREATE_PARTITIONS
        | ApiKey::DELETE_GROUPS
        | ApiKey::INCREMENTAL_ALTER_CONFIGS
        | ApiKey::DESCRIBE_CLUSTER => Some(0),
        _ => None,
    }
}

/// `throttle_time_ms` of a response's `body`, if it stands first and is not zero.
pub(crate) fn throttle_of(api: ApiKey, version: i16, body: &Bytes) -> Option<Duration> {
    if version < first_version(api)? {
        return None;
    }
    duration(i32::from_be_bytes(*body.first_chunk()?))
}

/// Milliseconds as a broker gives them; `None` for none.
pub(crate) fn duration(throttle_time_ms: i32) -> Option<Duration> {
    let millis = u64::try_from(throttle_time_ms).ok().filter(|millis| *millis > 0)?;
    Some(Duration::from_millis(millis).min(MAX_THROTTLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::*;
    use crate::protocol::{Request, Wire};

    /// Compares the table with what the response's declaration says.
    fn check<R: Request>() {
        let api = ApiKey(R::API_KEY);
        let first = R::Response::FIELDS.first().filter(|field| field.name == "throttle_time_ms");
        for version in R::VERSIONS {
            let body = Bytes::from_static(&[0, 0, 1, 0]);
            let declared = first.is_some_and(|field| version >= field.versions.0);
            assert_eq!(throttle_of(api, version, &body).is_some(), declared, "{api} version {version}");
        }
    }

    #[test]
    fn the_table_is_what_the_declarations_say() {
        check::<fetch::FetchRequest>();
        check::<list_offsets::ListOffsetsRequest>();
        check::<metadata::MetadataRequest>();
        check::<offset_commit::OffsetCommitRequest>();
        check::<offset_fetch::OffsetFetchRequest>();
        check::<find_coordinator::FindCoordinatorRequest>();
        check::<join_group::JoinGroupRequest>();
        check::<heartbeat::HeartbeatRequest>();
        check::<leave_group::LeaveGroupRequest>();
        check::<sync_group::SyncGroupRequest>();
        check::<describe_groups::DescribeGroupsRequest>();
        check::<list_groups::ListGroupsRequest>();
        check::<api_versions::ApiVersionsRequest>();
        check::<create_topics::CreateTopicsRequest>();
        check::<delete_topics::DeleteTopicsRequest>();
        check::<init_producer_id::InitProducerIdRequest>();
        check::<describe_configs::DescribeConfigsRequest>();
        check::<create_partitions::CreatePartitionsRequest>();
        check::<delete_groups::DeleteGroupsRequest>();
        check::<incremental_alter_configs::IncrementalAlterConfigsRequest>();
        check::<offset_delete::OffsetDeleteRequest>();
        check::<describe_cluster::DescribeClusterRequest>();
        check::<produce::ProduceRequest>();
        check::<sasl_handshake::SaslHandshakeRequest>();
        check::<sasl_authenticate::SaslAuthenticateRequest>();
    }

    #[test]
    fn a_throttle_is_capped_and_neither_zero_nor_negative() {
        for (millis, expected) in [(0, None), (-5, None), (100, Some(Duration::from_millis(100))), (i32::MAX, Some(MAX_THROTTLE))]
        {
            assert_eq!(duration(millis), expected);
        }
        assert_eq!(throttle_of(ApiKey::FETCH, 4, &Bytes::from_static(&[0, 0])), None, "a body that is too short");
    }
}
