//! The registry of APIs: every number with its name, and what this library has declared of them.
//!
//! Numbers and names are those of Kafka 4.4.0, retired APIs left out. [`ApiKey`] is an open set, since a broker lists what it serves
//! and may know more than this library. [`Api`] describes a declared API by the very constants of its message, so nothing is said
//! twice; versions that Kafka calls unstable are kept apart, for a client must not choose them unasked.

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
    (apis { $($constant:ident $name:literal = $request:ty;)* } data { $($data:ty;)* }) => {
        /// The declared APIs, ascending by number.
        pub static APIS: &[Api] = &[$({
            assert!(ApiKey::$constant.0 == <$request>::API_KEY);
            Api::of::<$request>(ApiKey::$constant, $name)
        }),*];

        /// All declared messages: requests and responses by the numbers of their APIs, then data by name.
        pub static DECLARATIONS: &[Declaration] = &[
            $(Declaration::of::<$request>(Kind::Request), Declaration::of::<<$request as Request>::Response>(Kind::Response),)*
            $(Declaration::of::<$data>(Kind::Data),)*
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
        INIT_PRODUCER_ID "InitProducerId" = init_producer_id::InitProducerIdRequest;
        DESCRIBE_CONFIGS "DescribeConfigs" = describe_configs::DescribeConfigsRequest;
        SASL_AUTHENTICATE "SaslAuthenticate" = sasl_authenticate::SaslAuthenticateRequest;
        CREATE_PARTITIONS "CreatePartitions" = create_partitions::CreatePartitionsRequest;
        DELETE_GROUPS "DeleteGroups" = delete_groups::DeleteGroupsRequest;
        INCREMENTAL_ALTER_CONFIGS "IncrementalAlterConfigs" = incremental_alter_configs::IncrementalAlterConfigsRequest;
        OFFSET_DELETE "OffsetDelete" = offset_delete::OffsetDeleteRequest;
        DESCRIBE_CLUSTER "DescribeCluster" = describe_cluster::DescribeClusterRequest;
        CONSUMER_GROUP_HEARTBEAT "ConsumerGroupHeartbeat" = consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
    }
    data {
        consumer_protocol_assignment::ConsumerProtocolAssignment;
        consumer_protocol_subscription::ConsumerProtocolSubscription;
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
