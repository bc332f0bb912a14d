//! The registry of APIs: every number with its name, and what this library has declared of them.
//!
//! Numbers and names are those of Kafka 4.4.0, retired APIs left out. [`ApiKey`] is an open set, since a broker lists what it serves
//! and may know more than this library. [`Api`] describes a declared API by the very constants of its message, so nothing is said
//! twice; versions that Kafka calls unstable are kept apart, for a client must not choose them unasked. That an API is declared does
//! not say that the client has a use for it.

use std::ops::RangeInclusive;

use crate::protocol::declaration::{Declaration, Kind};
use crate::protocol::message::{ApiMessage, Request};
use crate::protocol::messages::*;

/// Number of an API.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiKey(pub i16);

/// A declared API.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Api {
    /// Its number.
    pub key: ApiKey,
    /// Its name, without "Request".
    pub name: &'static str,
    /// First and last stable version that can be written and read.
    pub versions: (i16, i16),
    /// The version after them that Kafka calls unstable, if there is one.
    pub unstable: Option<i16>,
    /// Who serves it: `broker`, `controller`.
    pub listeners: &'static [&'static str],
    /// Does a version use compact lengths and tags? Also answers for versions beyond those declared.
    pub is_flexible: fn(i16) -> bool,
}

impl Api {
    const fn of<R: Request>(key: ApiKey, name: &'static str) -> Self {
        let (first, last) = (*R::VERSIONS.start(), *R::VERSIONS.end());
        let last = if R::UNSTABLE.is_some() { last - 1 } else { last };
        Self { key, name, versions: (first, last), unstable: R::UNSTABLE, listeners: R::LISTENERS, is_flexible: R::is_flexible }
    }
}

impl ApiKey {
    /// The name in the official schemas, without "Request"; `None` for a number not known here.
    pub fn name(self) -> Option<&'static str> {
        let at = NAMES.binary_search_by_key(&self, |(key, _)| *key).ok()?;
        NAMES.get(at).map(|(_, name)| *name)
    }

    /// What this library has declared of it.
    pub fn api(self) -> Option<&'static Api> {
        let at = APIS.binary_search_by_key(&self, |api| api.key).ok()?;
        APIS.get(at)
    }

    /// Stable versions that this library can speak; `None` where the API is not declared.
    pub fn versions(self) -> Option<RangeInclusive<i16>> {
        self.api().map(|api| api.versions.0..=api.versions.1)
    }

    /// Every API number known by name, ascending.
    pub fn known() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(key, _)| *key)
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "API {}", self.0),
        }
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self} ({})", self.0)
    }
}

/// Constants and the table of names.
macro_rules! names {
    ($($constant:ident = $key:literal $name:literal;)*) => {
        #[allow(missing_docs)]
        impl ApiKey {
            $(pub const $constant: Self = Self($key);)*
        }

        /// Ascending by number.
        const NAMES: &[(ApiKey, &str)] = &[$((ApiKey($key), $name)),*];
    };
}

/// The table of declared APIs; numbers, versions and listeners come from the declarations.
macro_rules! declared {
    (
        apis { $($constant:ident $name:literal = $request:ty;)* }
        headers { $($header:ty;)* }
        data { $($data:ty;)* }
        coordinator_records { $($file:ident: $key:ident $value:ident;)* }
    ) => {
        /// The declared APIs, ascending by number.
        pub static APIS: &[Api] = &[$({
            assert!(ApiKey::$constant.0 == <$request>::API_KEY);
            Api::of::<$request>(ApiKey::$constant, $name)
        }),*];

        /// All declared messages: requests and responses by the numbers of their APIs, headers, data by name, and the records of
        /// coordinators by their numbers.
        pub static DECLARATIONS: &[Declaration] = &[
            $(Declaration::of::<$request>(Kind::Request), Declaration::of::<<$request as Request>::Response>(Kind::Response),)*
            $(Declaration::of::<$header>(Kind::Header),)*
            $(Declaration::of::<$data>(Kind::Data),)*
            $(
                Declaration::of::<coordinator::$file::$key>(Kind::CoordinatorKey),
                Declaration::of::<coordinator::$file::$value>(Kind::CoordinatorValue),
            )*
        ];
    };
}

declared! {
    apis {
        PRODUCE "Produce" = produce::ProduceRequest;
        FETCH "Fetch" = fetch::FetchRequest;
        LIST_OFFSETS "ListOffsets" = list_offsets::ListOffsetsRequest;
        METADATA "Metadata" = metadata::MetadataRequest;
        OFFSET_COMMIT "OffsetCommit" = offset_commit::OffsetCommitRequest;
        OFFSET_FETCH "OffsetFetch" = offset_fetch::OffsetFetchRequest;
        FIND_COORDINATOR "FindCoordinator" = find_coordinator::FindCoordinatorRequest;
        JOIN_GROUP "JoinGroup" = join_group::JoinGroupRequest;
        HEARTBEAT "Heartbeat" = heartbeat::HeartbeatRequest;
        LEAVE_GROUP "LeaveGroup" = leave_group::LeaveGroupRequest;
        SYNC_GROUP "SyncGroup" = sync_group::SyncGroupRequest;
        DESCRIBE_GROUPS "DescribeGroups" = describe_groups::DescribeGroupsRequest;
        LIST_GROUPS "ListGroups" = list_groups::ListGroupsRequest;
        SASL_HANDSHAKE "SaslHandshake" = sasl_handshake::SaslHandshakeRequest;
        API_VERSIONS "ApiVersions" = api_versions::ApiVersionsRequest;
        CREATE_TOPICS "CreateTopics" = create_topics::CreateTopicsRequest;
        DELETE_TOPICS "DeleteTopics" = delete_topics::DeleteTopicsRequest;
        DELETE_RECORDS "DeleteRecords" = delete_records::DeleteRecordsRequest;
        INIT_PRODUCER_ID "InitProducerId" = init_producer_id::InitProducerIdRequest;
        OFFSET_FOR_LEADER_EPOCH "OffsetForLeaderEpoch" = offset_for_leader_epoch::OffsetForLeaderEpochRequest;
        ADD_PARTITIONS_TO_TXN "AddPartitionsToTxn" = add_partitions_to_txn::AddPartitionsToTxnRequest;
        ADD_OFFSETS_TO_TXN "AddOffsetsToTxn" = add_offsets_to_txn::AddOffsetsToTxnRequest;
        END_TXN "EndTxn" = end_txn::EndTxnRequest;
        WRITE_TXN_MARKERS "WriteTxnMarkers" = write_txn_markers::WriteTxnMarkersRequest;
        TXN_OFFSET_COMMIT "TxnOffsetCommit" = txn_offset_commit::TxnOffsetCommitRequest;
        DESCRIBE_ACLS "DescribeAcls" = describe_acls::DescribeAclsRequest;
        CREATE_ACLS "CreateAcls" = create_acls::CreateAclsRequest;
        DELETE_ACLS "DeleteAcls" = delete_acls::DeleteAclsRequest;
        DESCRIBE_CONFIGS "DescribeConfigs" = describe_configs::DescribeConfigsRequest;
        ALTER_CONFIGS "AlterConfigs" = alter_configs::AlterConfigsRequest;
        ALTER_REPLICA_LOG_DIRS "AlterReplicaLogDirs" = alter_replica_log_dirs::AlterReplicaLogDirsRequest;
        DESCRIBE_LOG_DIRS "DescribeLogDirs" = describe_log_dirs::DescribeLogDirsRequest;
        SASL_AUTHENTICATE "SaslAuthenticate" = sasl_authenticate::SaslAuthenticateRequest;
        CREATE_PARTITIONS "CreatePartitions" = create_partitions::CreatePartitionsRequest;
        CREATE_DELEGATION_TOKEN "CreateDelegationToken" = create_delegation_token::CreateDelegationTokenRequest;
        RENEW_DELEGATION_TOKEN "RenewDelegationToken" = renew_delegation_token::RenewDelegationTokenRequest;
        EXPIRE_DELEGATION_TOKEN "ExpireDelegationToken" = expire_delegation_token::ExpireDelegationTokenRequest;
        DESCRIBE_DELEGATION_TOKEN "DescribeDelegationToken" = describe_delegation_token::DescribeDelegationTokenRequest;
        DELETE_GROUPS "DeleteGroups" = delete_groups::DeleteGroupsRequest;
        ELECT_LEADERS "ElectLeaders" = elect_leaders::ElectLeadersRequest;
        INCREMENTAL_ALTER_CONFIGS "IncrementalAlterConfigs" = incremental_alter_configs::IncrementalAlterConfigsRequest;
        ALTER_PARTITION_REASSIGNMENTS "AlterPartitionReassignments" = alter_partition_reassignments::AlterPartitionReassignmentsRequest;
        LIST_PARTITION_REASSIGNMENTS "ListPartitionReassignments" = list_partition_reassignments::ListPartitionReassignmentsRequest;
        OFFSET_DELETE "OffsetDelete" = offset_delete::OffsetDeleteRequest;
        DESCRIBE_CLIENT_QUOTAS "DescribeClientQuotas" = describe_client_quotas::DescribeClientQuotasRequest;
        ALTER_CLIENT_QUOTAS "AlterClientQuotas" = alter_client_quotas::AlterClientQuotasRequest;
        DESCRIBE_USER_SCRAM_CREDENTIALS "DescribeUserScramCredentials" = describe_user_scram_credentials::DescribeUserScramCredentialsRequest;
        ALTER_USER_SCRAM_CREDENTIALS "AlterUserScramCredentials" = alter_user_scram_credentials::AlterUserScramCredentialsRequest;
        VOTE "Vote" = vote::VoteRequest;
        BEGIN_QUORUM_EPOCH "BeginQuorumEpoch" = begin_quorum_epoch::BeginQuorumEpochRequest;
        END_QUORUM_EPOCH "EndQuorumEpoch" = end_quorum_epoch::EndQuorumEpochRequest;
        DESCRIBE_QUORUM "DescribeQuorum" = describe_quorum::DescribeQuorumRequest;
        ALTER_PARTITION "AlterPartition" = alter_partition::AlterPartitionRequest;
        UPDATE_FEATURES "UpdateFeatures" = update_features::UpdateFeaturesRequest;
        ENVELOPE "Envelope" = envelope::EnvelopeRequest;
        FETCH_SNAPSHOT "FetchSnapshot" = fetch_snapshot::FetchSnapshotRequest;
        DESCRIBE_CLUSTER "DescribeCluster" = describe_cluster::DescribeClusterRequest;
        DESCRIBE_PRODUCERS "DescribeProducers" = describe_producers::DescribeProducersRequest;
        BROKER_REGISTRATION "BrokerRegistration" = broker_registration::BrokerRegistrationRequest;
        BROKER_HEARTBEAT "BrokerHeartbeat" = broker_heartbeat::BrokerHeartbeatRequest;
        UNREGISTER_BROKER "UnregisterBroker" = unregister_broker::UnregisterBrokerRequest;
        DESCRIBE_TRANSACTIONS "DescribeTransactions" = describe_transactions::DescribeTransactionsRequest;
        LIST_TRANSACTIONS "ListTransactions" = list_transactions::ListTransactionsRequest;
        ALLOCATE_PRODUCER_IDS "AllocateProducerIds" = allocate_producer_ids::AllocateProducerIdsRequest;
        CONSUMER_GROUP_HEARTBEAT "ConsumerGroupHeartbeat" = consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
        CONSUMER_GROUP_DESCRIBE "ConsumerGroupDescribe" = consumer_group_describe::ConsumerGroupDescribeRequest;
        CONTROLLER_REGISTRATION "ControllerRegistration" = controller_registration::ControllerRegistrationRequest;
        GET_TELEMETRY_SUBSCRIPTIONS "GetTelemetrySubscriptions" = get_telemetry_subscriptions::GetTelemetrySubscriptionsRequest;
        PUSH_TELEMETRY "PushTelemetry" = push_telemetry::PushTelemetryRequest;
        ASSIGN_REPLICAS_TO_DIRS "AssignReplicasToDirs" = assign_replicas_to_dirs::AssignReplicasToDirsRequest;
        LIST_CONFIG_RESOURCES "ListConfigResources" = list_config_resources::ListConfigResourcesRequest;
        DESCRIBE_TOPIC_PARTITIONS "DescribeTopicPartitions" = describe_topic_partitions::DescribeTopicPartitionsRequest;
        SHARE_GROUP_HEARTBEAT "ShareGroupHeartbeat" = share_group_heartbeat::ShareGroupHeartbeatRequest;
        SHARE_GROUP_DESCRIBE "ShareGroupDescribe" = share_group_describe::ShareGroupDescribeRequest;
        SHARE_FETCH "ShareFetch" = share_fetch::ShareFetchRequest;
        SHARE_ACKNOWLEDGE "ShareAcknowledge" = share_acknowledge::ShareAcknowledgeRequest;
        ADD_RAFT_VOTER "AddRaftVoter" = add_raft_voter::AddRaftVoterRequest;
        REMOVE_RAFT_VOTER "RemoveRaftVoter" = remove_raft_voter::RemoveRaftVoterRequest;
        UPDATE_RAFT_VOTER "UpdateRaftVoter" = update_raft_voter::UpdateRaftVoterRequest;
        INITIALIZE_SHARE_GROUP_STATE "InitializeShareGroupState" = initialize_share_group_state::InitializeShareGroupStateRequest;
        READ_SHARE_GROUP_STATE "ReadShareGroupState" = read_share_group_state::ReadShareGroupStateRequest;
        WRITE_SHARE_GROUP_STATE "WriteShareGroupState" = write_share_group_state::WriteShareGroupStateRequest;
        DELETE_SHARE_GROUP_STATE "DeleteShareGroupState" = delete_share_group_state::DeleteShareGroupStateRequest;
        READ_SHARE_GROUP_STATE_SUMMARY "ReadShareGroupStateSummary" = read_share_group_state_summary::ReadShareGroupStateSummaryRequest;
        STREAMS_GROUP_HEARTBEAT "StreamsGroupHeartbeat" = streams_group_heartbeat::StreamsGroupHeartbeatRequest;
        STREAMS_GROUP_DESCRIBE "StreamsGroupDescribe" = streams_group_describe::StreamsGroupDescribeRequest;
        DESCRIBE_SHARE_GROUP_OFFSETS "DescribeShareGroupOffsets" = describe_share_group_offsets::DescribeShareGroupOffsetsRequest;
        ALTER_SHARE_GROUP_OFFSETS "AlterShareGroupOffsets" = alter_share_group_offsets::AlterShareGroupOffsetsRequest;
        DELETE_SHARE_GROUP_OFFSETS "DeleteShareGroupOffsets" = delete_share_group_offsets::DeleteShareGroupOffsetsRequest;
        STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE "StreamsGroupTopologyDescriptionUpdate" = streams_group_topology_description_update::StreamsGroupTopologyDescriptionUpdateRequest;
        UNREGISTER_CONTROLLER "UnregisterController" = unregister_controller::UnregisterControllerRequest;
    }
    headers {
        request_header::RequestHeader;
        response_header::ResponseHeader;
    }
    data {
        aborted_txn::AbortedTxn;
        consumer_protocol_assignment::ConsumerProtocolAssignment;
        consumer_protocol_subscription::ConsumerProtocolSubscription;
        control_record_type_schema::ControlRecordTypeSchema;
        default_principal_data::DefaultPrincipalData;
        end_txn_marker::EndTxnMarker;
        kraft_version_record::KRaftVersionRecord;
        leader_change_message::LeaderChangeMessage;
        snapshot_footer_record::SnapshotFooterRecord;
        snapshot_header_record::SnapshotHeaderRecord;
        voters_record::VotersRecord;
    }
    coordinator_records {
        legacy_offset_commit: LegacyOffsetCommitKey LegacyOffsetCommitValue;
        offset_commit: OffsetCommitKey OffsetCommitValue;
        group_metadata: GroupMetadataKey GroupMetadataValue;
        consumer_group_metadata: ConsumerGroupMetadataKey ConsumerGroupMetadataValue;
        consumer_group_partition_metadata: ConsumerGroupPartitionMetadataKey ConsumerGroupPartitionMetadataValue;
        consumer_group_member_metadata: ConsumerGroupMemberMetadataKey ConsumerGroupMemberMetadataValue;
        consumer_group_target_assignment_metadata: ConsumerGroupTargetAssignmentMetadataKey ConsumerGroupTargetAssignmentMetadataValue;
        consumer_group_target_assignment_member: ConsumerGroupTargetAssignmentMemberKey ConsumerGroupTargetAssignmentMemberValue;
        consumer_group_current_member_assignment: ConsumerGroupCurrentMemberAssignmentKey ConsumerGroupCurrentMemberAssignmentValue;
        share_group_member_metadata: ShareGroupMemberMetadataKey ShareGroupMemberMetadataValue;
        share_group_metadata: ShareGroupMetadataKey ShareGroupMetadataValue;
        share_group_target_assignment_metadata: ShareGroupTargetAssignmentMetadataKey ShareGroupTargetAssignmentMetadataValue;
        share_group_target_assignment_member: ShareGroupTargetAssignmentMemberKey ShareGroupTargetAssignmentMemberValue;
        share_group_current_member_assignment: ShareGroupCurrentMemberAssignmentKey ShareGroupCurrentMemberAssignmentValue;
        share_group_state_partition_metadata: ShareGroupStatePartitionMetadataKey ShareGroupStatePartitionMetadataValue;
        consumer_group_regular_expression: ConsumerGroupRegularExpressionKey ConsumerGroupRegularExpressionValue;
        streams_group_metadata: StreamsGroupMetadataKey StreamsGroupMetadataValue;
        streams_group_member_metadata: StreamsGroupMemberMetadataKey StreamsGroupMemberMetadataValue;
        streams_group_target_assignment_metadata: StreamsGroupTargetAssignmentMetadataKey StreamsGroupTargetAssignmentMetadataValue;
        streams_group_target_assignment_member: StreamsGroupTargetAssignmentMemberKey StreamsGroupTargetAssignmentMemberValue;
        streams_group_current_member_assignment: StreamsGroupCurrentMemberAssignmentKey StreamsGroupCurrentMemberAssignmentValue;
        streams_group_topology: StreamsGroupTopologyKey StreamsGroupTopologyValue;
        transaction_log: TransactionLogKey TransactionLogValue;
    }
}

names! {
    PRODUCE = 0 "Produce";
    FETCH = 1 "Fetch";
    LIST_OFFSETS = 2 "ListOffsets";
    METADATA = 3 "Metadata";
    OFFSET_COMMIT = 8 "OffsetCommit";
    OFFSET_FETCH = 9 "OffsetFetch";
    FIND_COORDINATOR = 10 "FindCoordinator";
    JOIN_GROUP = 11 "JoinGroup";
    HEARTBEAT = 12 "Heartbeat";
    LEAVE_GROUP = 13 "LeaveGroup";
    SYNC_GROUP = 14 "SyncGroup";
    DESCRIBE_GROUPS = 15 "DescribeGroups";
    LIST_GROUPS = 16 "ListGroups";
    SASL_HANDSHAKE = 17 "SaslHandshake";
    API_VERSIONS = 18 "ApiVersions";
    CREATE_TOPICS = 19 "CreateTopics";
    DELETE_TOPICS = 20 "DeleteTopics";
    DELETE_RECORDS = 21 "DeleteRecords";
    INIT_PRODUCER_ID = 22 "InitProducerId";
    OFFSET_FOR_LEADER_EPOCH = 23 "OffsetForLeaderEpoch";
    ADD_PARTITIONS_TO_TXN = 24 "AddPartitionsToTxn";
    ADD_OFFSETS_TO_TXN = 25 "AddOffsetsToTxn";
    END_TXN = 26 "EndTxn";
    WRITE_TXN_MARKERS = 27 "WriteTxnMarkers";
    TXN_OFFSET_COMMIT = 28 "TxnOffsetCommit";
    DESCRIBE_ACLS = 29 "DescribeAcls";
    CREATE_ACLS = 30 "CreateAcls";
    DELETE_ACLS = 31 "DeleteAcls";
    DESCRIBE_CONFIGS = 32 "DescribeConfigs";
    ALTER_CONFIGS = 33 "AlterConfigs";
    ALTER_REPLICA_LOG_DIRS = 34 "AlterReplicaLogDirs";
    DESCRIBE_LOG_DIRS = 35 "DescribeLogDirs";
    SASL_AUTHENTICATE = 36 "SaslAuthenticate";
    CREATE_PARTITIONS = 37 "CreatePartitions";
    CREATE_DELEGATION_TOKEN = 38 "CreateDelegationToken";
    RENEW_DELEGATION_TOKEN = 39 "RenewDelegationToken";
    EXPIRE_DELEGATION_TOKEN = 40 "ExpireDelegationToken";
    DESCRIBE_DELEGATION_TOKEN = 41 "DescribeDelegationToken";
    DELETE_GROUPS = 42 "DeleteGroups";
    ELECT_LEADERS = 43 "ElectLeaders";
    INCREMENTAL_ALTER_CONFIGS = 44 "IncrementalAlterConfigs";
    ALTER_PARTITION_REASSIGNMENTS = 45 "AlterPartitionReassignments";
    LIST_PARTITION_REASSIGNMENTS = 46 "ListPartitionReassignments";
    OFFSET_DELETE = 47 "OffsetDelete";
    DESCRIBE_CLIENT_QUOTAS = 48 "DescribeClientQuotas";
    ALTER_CLIENT_QUOTAS = 49 "AlterClientQuotas";
    DESCRIBE_USER_SCRAM_CREDENTIALS = 50 "DescribeUserScramCredentials";
    ALTER_USER_SCRAM_CREDENTIALS = 51 "AlterUserScramCredentials";
    VOTE = 52 "Vote";
    BEGIN_QUORUM_EPOCH = 53 "BeginQuorumEpoch";
    END_QUORUM_EPOCH = 54 "EndQuorumEpoch";
    DESCRIBE_QUORUM = 55 "DescribeQuorum";
    ALTER_PARTITION = 56 "AlterPartition";
    UPDATE_FEATURES = 57 "UpdateFeatures";
    ENVELOPE = 58 "Envelope";
    FETCH_SNAPSHOT = 59 "FetchSnapshot";
    DESCRIBE_CLUSTER = 60 "DescribeCluster";
    DESCRIBE_PRODUCERS = 61 "DescribeProducers";
    BROKER_REGISTRATION = 62 "BrokerRegistration";
    BROKER_HEARTBEAT = 63 "BrokerHeartbeat";
    UNREGISTER_BROKER = 64 "UnregisterBroker";
    DESCRIBE_TRANSACTIONS = 65 "DescribeTransactions";
    LIST_TRANSACTIONS = 66 "ListTransactions";
    ALLOCATE_PRODUCER_IDS = 67 "AllocateProducerIds";
    CONSUMER_GROUP_HEARTBEAT = 68 "ConsumerGroupHeartbeat";
    CONSUMER_GROUP_DESCRIBE = 69 "ConsumerGroupDescribe";
    CONTROLLER_REGISTRATION = 70 "ControllerRegistration";
    GET_TELEMETRY_SUBSCRIPTIONS = 71 "GetTelemetrySubscriptions";
    PUSH_TELEMETRY = 72 "PushTelemetry";
    ASSIGN_REPLICAS_TO_DIRS = 73 "AssignReplicasToDirs";
    LIST_CONFIG_RESOURCES = 74 "ListConfigResources";
    DESCRIBE_TOPIC_PARTITIONS = 75 "DescribeTopicPartitions";
    SHARE_GROUP_HEARTBEAT = 76 "ShareGroupHeartbeat";
    SHARE_GROUP_DESCRIBE = 77 "ShareGroupDescribe";
    SHARE_FETCH = 78 "ShareFetch";
    SHARE_ACKNOWLEDGE = 79 "ShareAcknowledge";
    ADD_RAFT_VOTER = 80 "AddRaftVoter";
    REMOVE_RAFT_VOTER = 81 "RemoveRaftVoter";
    UPDATE_RAFT_VOTER = 82 "UpdateRaftVoter";
    INITIALIZE_SHARE_GROUP_STATE = 83 "InitializeShareGroupState";
    READ_SHARE_GROUP_STATE = 84 "ReadShareGroupState";
    WRITE_SHARE_GROUP_STATE = 85 "WriteShareGroupState";
    DELETE_SHARE_GROUP_STATE = 86 "DeleteShareGroupState";
    READ_SHARE_GROUP_STATE_SUMMARY = 87 "ReadShareGroupStateSummary";
    STREAMS_GROUP_HEARTBEAT = 88 "StreamsGroupHeartbeat";
    STREAMS_GROUP_DESCRIBE = 89 "StreamsGroupDescribe";
    DESCRIBE_SHARE_GROUP_OFFSETS = 90 "DescribeShareGroupOffsets";
    ALTER_SHARE_GROUP_OFFSETS = 91 "AlterShareGroupOffsets";
    DELETE_SHARE_GROUP_OFFSETS = 92 "DeleteShareGroupOffsets";
    STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE = 93 "StreamsGroupTopologyDescriptionUpdate";
    UNREGISTER_CONTROLLER = 94 "UnregisterController";
}
