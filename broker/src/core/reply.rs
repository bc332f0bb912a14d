//! What every response has in common, and the answer to a request that a test wants to fail.

use std::any::Any;

use bytes::{BufMut, Bytes, BytesMut};
use klamm::protocol::messages::{
    add_offsets_to_txn::*, add_partitions_to_txn::*, alter_client_quotas, alter_configs, alter_user_scram_credentials::*,
    api_versions::*, create_partitions::*, create_topics::*, delete_groups::*, delete_records::*, delete_topics::*,
    describe_client_quotas, describe_cluster::*, describe_configs::*, describe_groups::*, describe_log_dirs::*,
    describe_producers, describe_topic_partitions::*, describe_transactions, describe_user_scram_credentials::*,
    elect_leaders::*, end_txn::*, fetch, find_coordinator::*, heartbeat::*, incremental_alter_configs::*, init_producer_id::*,
    join_group::*, leave_group::*, list_groups::*, list_offsets::*, list_transactions, metadata::*, offset_commit::*,
    offset_delete::*, offset_fetch::*, offset_for_leader_epoch as epochs, produce, sasl_authenticate::*, sasl_handshake::*,
    sync_group::*, txn_offset_commit::*, write_txn_markers::*,
};
use klamm::protocol::{ApiKey, ApiMessage, DecodeError, ErrorCode, ProducerId};

use crate::core::{Call, transactions};

/// A response the broker can give.
pub(crate) trait Reply: ApiMessage + Any {
    /// Says how long the client shall be quiet.
    fn set_throttle(&mut self, millis: i32);
}

macro_rules! replies {
    ($($response:ty)*) => {$(
        impl Reply for $response {
            fn set_throttle(&mut self, millis: i32) {
                self.throttle_time_ms = millis;
            }
        }
    )*};
}

replies! {
    produce::ProduceResponse fetch::FetchResponse ListOffsetsResponse MetadataResponse OffsetCommitResponse OffsetFetchResponse
    FindCoordinatorResponse JoinGroupResponse HeartbeatResponse LeaveGroupResponse SyncGroupResponse DescribeGroupsResponse
    ListGroupsResponse ApiVersionsResponse CreateTopicsResponse DeleteTopicsResponse InitProducerIdResponse
    DescribeConfigsResponse CreatePartitionsResponse DeleteGroupsResponse IncrementalAlterConfigsResponse OffsetDeleteResponse
    DescribeClusterResponse AddPartitionsToTxnResponse AddOffsetsToTxnResponse EndTxnResponse TxnOffsetCommitResponse
    describe_producers::DescribeProducersResponse describe_transactions::DescribeTransactionsResponse
    list_transactions::ListTransactionsResponse
    alter_configs::AlterConfigsResponse DescribeLogDirsResponse
    describe_client_quotas::DescribeClientQuotasResponse alter_client_quotas::AlterClientQuotasResponse
    DescribeUserScramCredentialsResponse AlterUserScramCredentialsResponse
    DeleteRecordsResponse ElectLeadersResponse DescribeTopicPartitionsResponse
    epochs::OffsetForLeaderEpochResponse
}

macro_rules! unthrottled {
    ($($response:ty)*) => {$(
        impl Reply for $response {
            fn set_throttle(&mut self, _: i32) {}
        }
    )*};
}

unthrottled! { SaslHandshakeResponse SaslAuthenticateResponse WriteTxnMarkersResponse }

/// A whole frame around a body that was made elsewhere.
pub(crate) fn frame(call: &Call, body: &Bytes) -> Vec<Bytes> {
    let flexible = call.api_key.api().is_some_and(|api| (api.is_flexible)(call.version));
    let tags = flexible && call.api_key != ApiKey::API_VERSIONS;
    let len = 4 + usize::from(tags) + body.len();
    let mut head = BytesMut::with_capacity(9);
    head.put_i32(i32::try_from(len).unwrap_or(i32::MAX));
    head.put_i32(call.correlation_id);
    if tags {
        head.put_u8(0);
    }
    vec![head.freeze(), body.clone()]
}

/// Where a response goes that is made for an error alone.
pub(crate) trait Answer {
    /// Sends it.
    fn answer<M: Reply>(self, response: M);
}

/// Answers a request of any API with `code` in every place where a real broker would put one.
///
/// # Errors
/// When the request cannot be read.
pub(crate) fn refuse(call: &Call, body: &Bytes, error_code: ErrorCode, to: impl Answer) -> Result<(), DecodeError> {
    let version = call.version;
    match call.api_key {
        ApiKey::PRODUCE => to.answer(produce_error(produce::ProduceRequest::decode(body, version)?, error_code)),
        ApiKey::FETCH => to.answer(fetch_error(fetch::FetchRequest::decode(body, version)?, error_code, version)),
        ApiKey::LIST_OFFSETS => to.answer(list_offsets_error(ListOffsetsRequest::decode(body, version)?, error_code)),
        ApiKey::METADATA => to.answer(metadata_error(MetadataRequest::decode(body, version)?, error_code, version)),
        ApiKey::OFFSET_COMMIT => to.answer(offset_commit_error(OffsetCommitRequest::decode(body, version)?, error_code)),
        ApiKey::OFFSET_FETCH => {
            to.answer(offset_fetch_error(OffsetFetchRequest::decode(body, version)?, error_code, version));
        }
        ApiKey::FIND_COORDINATOR => {
            to.answer(find_coordinator_error(FindCoordinatorRequest::decode(body, version)?, error_code, version));
        }
        ApiKey::JOIN_GROUP => {
            let member_id = JoinGroupRequest::decode(body, version)?.member_id;
            let protocol_name = (version < 7).then(Default::default);
            to.answer(JoinGroupResponse { error_code, member_id, protocol_name, ..Default::default() });
        }
        ApiKey::HEARTBEAT => to.answer(HeartbeatResponse { error_code, ..Default::default() }),
        ApiKey::LEAVE_GROUP => to.answer(LeaveGroupResponse { error_code, ..Default::default() }),
        ApiKey::SYNC_GROUP => to.answer(SyncGroupResponse { error_code, ..Default::default() }),
        ApiKey::DESCRIBE_GROUPS => {
            let groups = DescribeGroupsRequest::decode(body, version)?.groups.into_iter();
            let groups = groups.map(|group_id| DescribedGroup { error_code, group_id, ..Default::default() });
            to.answer(DescribeGroupsResponse { groups: groups.collect(), ..Default::default() });
        }
        ApiKey::LIST_GROUPS => to.answer(ListGroupsResponse { error_code, ..Default::default() }),
        ApiKey::SASL_HANDSHAKE => to.answer(SaslHandshakeResponse { error_code, ..Default::default() }),
        ApiKey::SASL_AUTHENTICATE => to.answer(SaslAuthenticateResponse { error_code, ..Default::default() }),
        ApiKey::API_VERSIONS => to.answer(ApiVersionsResponse { error_code, ..Default::default() }),
        ApiKey::CREATE_TOPICS => {
            let topics = CreateTopicsRequest::decode(body, version)?.topics.into_iter();
            let topics = topics.map(|topic| CreatableTopicResult {
                name: topic.name,
                error_code,
                error_message: None,
                configs: (version >= 5).then(Vec::new),
                ..Default::default()
            });
            to.answer(CreateTopicsResponse { topics: topics.collect(), ..Default::default() });
        }
        ApiKey::DELETE_TOPICS => {
            let request = DeleteTopicsRequest::decode(body, version)?;
            let by_name = request.topic_names.into_iter().map(|name| (Some(name), klamm::protocol::Uuid::ZERO));
            let all = by_name.chain(request.topics.into_iter().map(|topic| (topic.name, topic.topic_id)));
            let responses =
                all.map(|(name, topic_id)| DeletableTopicResult { name, topic_id, error_code, ..Default::default() }).collect();
            to.answer(DeleteTopicsResponse { responses, ..Default::default() });
        }
        ApiKey::INIT_PRODUCER_ID => {
            let response =
                InitProducerIdResponse { error_code, producer_id: ProducerId(-1), producer_epoch: -1, ..Default::default() };
            to.answer(response);
        }
        ApiKey::DESCRIBE_CONFIGS => {
            let resources = DescribeConfigsRequest::decode(body, version)?.resources.into_iter();
            let results = resources.map(|resource| DescribeConfigsResult {
                error_code,
                error_message: None,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                configs: Vec::new(),
            });
            to.answer(DescribeConfigsResponse { results: results.collect(), ..Default::default() });
        }
        ApiKey::CREATE_PARTITIONS => {
            let topics = CreatePartitionsRequest::decode(body, version)?.topics.into_iter();
            let results =
                topics.map(|topic| CreatePartitionsTopicResult { name: topic.name, error_code, error_message: None }).collect();
            to.answer(CreatePartitionsResponse { results, ..Default::default() });
        }
        ApiKey::DELETE_GROUPS => {
            let groups = DeleteGroupsRequest::decode(body, version)?.groups_names.into_iter();
            let results = groups.map(|group_id| DeletableGroupResult { group_id, error_code, ..Default::default() });
            to.answer(DeleteGroupsResponse { results: results.collect(), ..Default::default() });
        }
        ApiKey::INCREMENTAL_ALTER_CONFIGS => {
            let resources = IncrementalAlterConfigsRequest::decode(body, version)?.resources.into_iter();
            let responses = resources.map(|resource| AlterConfigsResourceResponse {
                error_code,
                error_message: None,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
            });
            to.answer(IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() });
        }
        ApiKey::ALTER_CONFIGS => {
            let resources = alter_configs::AlterConfigsRequest::decode(body, version)?.resources.into_iter();
            let responses = resources.map(|resource| alter_configs::AlterConfigsResourceResponse {
                error_code,
                error_message: None,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
            });
            to.answer(alter_configs::AlterConfigsResponse { responses: responses.collect(), ..Default::default() });
        }
        ApiKey::DESCRIBE_LOG_DIRS => {
            let results = vec![DescribeLogDirsResult { error_code, ..Default::default() }];
            to.answer(DescribeLogDirsResponse { error_code, results, ..Default::default() });
        }
        ApiKey::DESCRIBE_CLIENT_QUOTAS => {
            let refused = describe_client_quotas::DescribeClientQuotasResponse { error_code, ..Default::default() };
            to.answer(describe_client_quotas::DescribeClientQuotasResponse { entries: None, ..refused });
        }
        ApiKey::ALTER_CLIENT_QUOTAS => {
            let entries = alter_client_quotas::AlterClientQuotasRequest::decode(body, version)?.entries.into_iter();
            let entries =
                entries.map(|entry| alter_client_quotas::EntryResult { error_code, error_message: None, entity: entry.entity });
            to.answer(alter_client_quotas::AlterClientQuotasResponse { entries: entries.collect(), ..Default::default() });
        }
        ApiKey::DESCRIBE_USER_SCRAM_CREDENTIALS => {
            to.answer(DescribeUserScramCredentialsResponse { error_code, ..Default::default() });
        }
        ApiKey::ALTER_USER_SCRAM_CREDENTIALS => {
            let request = AlterUserScramCredentialsRequest::decode(body, version)?;
            let deleted = request.deletions.into_iter().map(|deletion| deletion.name);
            let users = deleted.chain(request.upsertions.into_iter().map(|upsertion| upsertion.name));
            let results = users.map(|user| AlterUserScramCredentialsResult { user, error_code, error_message: None });
            to.answer(AlterUserScramCredentialsResponse { results: results.collect(), ..Default::default() });
        }
        ApiKey::OFFSET_DELETE => to.answer(OffsetDeleteResponse { error_code, ..Default::default() }),
        ApiKey::DESCRIBE_CLUSTER => to.answer(DescribeClusterResponse { error_code, ..Default::default() }),
        ApiKey::DELETE_RECORDS => to.answer(delete_records_error(DeleteRecordsRequest::decode(body, version)?, error_code)),
        ApiKey::OFFSET_FOR_LEADER_EPOCH => {
            to.answer(epochs_error(epochs::OffsetForLeaderEpochRequest::decode(body, version)?, error_code));
        }
        ApiKey::ELECT_LEADERS => {
            to.answer(elect_leaders_error(ElectLeadersRequest::decode(body, version)?, error_code, version));
        }
        ApiKey::DESCRIBE_TOPIC_PARTITIONS => {
            let topics = DescribeTopicPartitionsRequest::decode(body, version)?.topics.into_iter();
            let topic = |topic: TopicRequest| DescribeTopicPartitionsResponseTopic {
                error_code,
                name: Some(topic.name),
                ..Default::default()
            };
            to.answer(DescribeTopicPartitionsResponse { topics: topics.map(topic).collect(), ..Default::default() });
        }
        _ => return transactions::refuse(call, body, error_code, to),
    }
    Ok(())
}

fn produce_error(request: produce::ProduceRequest, error_code: ErrorCode) -> produce::ProduceResponse {
    let partition = |partition: produce::PartitionProduceData| produce::PartitionProduceResponse {
        index: partition.index,
        error_code,
        base_offset: -1,
        ..Default::default()
    };
    let topic = |topic: produce::TopicProduceData| produce::TopicProduceResponse {
        name: topic.name,
        topic_id: topic.topic_id,
        partition_responses: topic.partition_data.into_iter().map(partition).collect(),
    };
    produce::ProduceResponse { responses: request.topic_data.into_iter().map(topic).collect(), ..Default::default() }
}

fn fetch_error(request: fetch::FetchRequest, error_code: ErrorCode, version: i16) -> fetch::FetchResponse {
    // Of a session, or of the request as a whole.
    let whole = [
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode::INVALID_FETCH_SESSION_EPOCH,
        ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
        ErrorCode::INCONSISTENT_TOPIC_ID,
    ];
    if version >= 7 && whole.contains(&error_code) {
        return fetch::FetchResponse { error_code, ..Default::default() };
    }
    let partition = |partition: fetch::FetchPartition| fetch::PartitionData {
        partition_index: partition.partition,
        error_code,
        high_watermark: -1,
        aborted_transactions: None,
        records: Some(Default::default()),
        ..Default::default()
    };
    let topic = |topic: fetch::FetchTopic| fetch::FetchableTopicResponse {
        topic: topic.topic,
        topic_id: topic.topic_id,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    fetch::FetchResponse { responses: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}

fn list_offsets_error(request: ListOffsetsRequest, error_code: ErrorCode) -> ListOffsetsResponse {
    let partition = |partition: ListOffsetsPartition| ListOffsetsPartitionResponse {
        partition_index: partition.partition_index,
        error_code,
        ..Default::default()
    };
    let topic = |topic: ListOffsetsTopic| ListOffsetsTopicResponse {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    ListOffsetsResponse { topics: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}

fn metadata_error(request: MetadataRequest, error_code: ErrorCode, version: i16) -> MetadataResponse {
    let whole = if version >= 13 { error_code } else { ErrorCode::NONE };
    let topic = |topic: MetadataRequestTopic| MetadataResponseTopic {
        error_code,
        // Null only since version 12.
        name: topic.name.or_else(|| (version < 12).then(Default::default)),
        topic_id: topic.topic_id,
        ..Default::default()
    };
    let topics = request.topics.into_iter().flatten().map(topic).collect();
    MetadataResponse { error_code: whole, cluster_id: None, topics, ..Default::default() }
}

fn offset_commit_error(request: OffsetCommitRequest, error_code: ErrorCode) -> OffsetCommitResponse {
    let partition = |partition: OffsetCommitRequestPartition| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code,
    };
    let topic = |topic: OffsetCommitRequestTopic| OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    OffsetCommitResponse { topics: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}

fn offset_fetch_error(request: OffsetFetchRequest, error_code: ErrorCode, version: i16) -> OffsetFetchResponse {
    if version >= 8 {
        let groups = request.groups.into_iter();
        let groups = groups.map(|group| OffsetFetchResponseGroup { group_id: group.group_id, error_code, topics: Vec::new() });
        return OffsetFetchResponse { groups: groups.collect(), ..Default::default() };
    }
    if version >= 2 {
        return OffsetFetchResponse { error_code, ..Default::default() };
    }
    let partition = |partition_index| OffsetFetchResponsePartition {
        partition_index,
        committed_offset: -1,
        error_code,
        ..Default::default()
    };
    let topic = |topic: OffsetFetchRequestTopic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partition_indexes.into_iter().map(partition).collect(),
    };
    OffsetFetchResponse { topics: request.topics.into_iter().flatten().map(topic).collect(), ..Default::default() }
}

fn find_coordinator_error(request: FindCoordinatorRequest, error_code: ErrorCode, version: i16) -> FindCoordinatorResponse {
    let nobody = klamm::protocol::BrokerId(-1);
    if version < 4 {
        return FindCoordinatorResponse { error_code, error_message: None, node_id: nobody, port: -1, ..Default::default() };
    }
    let coordinator = |key| Coordinator { key, node_id: nobody, port: -1, error_code, error_message: None, ..Default::default() };
    let coordinators = request.coordinator_keys.into_iter().map(coordinator).collect();
    FindCoordinatorResponse { coordinators, ..Default::default() }
}

fn delete_records_error(request: DeleteRecordsRequest, error_code: ErrorCode) -> DeleteRecordsResponse {
    let partition = |partition: DeleteRecordsPartition| DeleteRecordsPartitionResult {
        partition_index: partition.partition_index,
        low_watermark: -1,
        error_code,
    };
    let topic = |topic: DeleteRecordsTopic| DeleteRecordsTopicResult {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    DeleteRecordsResponse { topics: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}

fn epochs_error(request: epochs::OffsetForLeaderEpochRequest, error_code: ErrorCode) -> epochs::OffsetForLeaderEpochResponse {
    let partition = |partition: epochs::OffsetForLeaderPartition| epochs::EpochEndOffset {
        error_code,
        partition: partition.partition,
        ..Default::default()
    };
    let topic = |topic: epochs::OffsetForLeaderTopic| epochs::OffsetForLeaderTopicResult {
        topic: topic.topic,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    epochs::OffsetForLeaderEpochResponse { topics: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}

fn elect_leaders_error(request: ElectLeadersRequest, error_code: ErrorCode, version: i16) -> ElectLeadersResponse {
    let partition = |partition_id| PartitionResult { partition_id, error_code, error_message: None };
    let topic = |topic: TopicPartitions| ReplicaElectionResult {
        topic: topic.topic,
        partition_result: topic.partitions.into_iter().map(partition).collect(),
    };
    let results = request.topic_partitions.into_iter().flatten().map(topic).collect();
    // Older answers have no place for an error of the whole.
    let whole = if version == 0 { ErrorCode::NONE } else { error_code };
    ElectLeadersResponse { error_code: whole, replica_election_results: results, ..Default::default() }
}
