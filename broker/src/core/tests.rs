//! The core without any driver: every API in every version, and frames that no client would send.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::header::{correlation_id, decode_response, encode_request};
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
use klamm::protocol::{ApiKey, ApiMessage, ErrorCode, GroupId, Records, Request, Str, TopicName};

use crate::core::settings::SERVED;
use crate::core::topics::text;
use crate::core::{Action, Core, Settings};
use crate::script::{ConnectionId, Intercept};

struct Harness {
    core: Core,
    now: Instant,
}

impl Harness {
    fn new() -> Self {
        let now = Instant::now();
        let settings = Settings { nodes: 2, auto_create_topics: true, ..Settings::default() };
        let addresses = vec![("node-1".to_owned(), 9092), ("node-2".to_owned(), 9092)];
        let mut core = Core::new(now, 1_700_000_000_000, settings, addresses);
        core.create_default_topic(&orders(), 2);
        Self { core, now }
    }

    /// Sends a frame without its length; gives what comes back, also after half a minute.
    fn frame(&mut self, id: ConnectionId, frame: Bytes, verdict: Intercept) -> Vec<Action> {
        if let Some(request) = self.core.handle_frame(self.now, id, &frame) {
            self.core.handle_request(self.now, request, verdict);
        }
        let mut actions: Vec<_> = std::iter::from_fn(|| self.core.poll()).collect();
        let end = self.now + Duration::from_secs(30);
        while let Some(at) = self.core.next_timeout().filter(|at| actions.is_empty() && *at <= end) {
            self.now = at.max(self.now);
            self.core.handle_timeout(self.now);
            actions.extend(std::iter::from_fn(|| self.core.poll()));
        }
        actions
    }

    fn ask<R: Request>(&mut self, version: i16, request: &R, verdict: Intercept) -> R::Response {
        let id = self.core.handle_connected(1, "/127.0.0.1");
        let mut frame = Bytes::from(encode_request(7, None, version, request).expect("fits").concat());
        let answer = self.frame(id, frame.split_off(4), verdict);
        let [Action::Send(to, parts)] = &answer[..] else { panic!("{} version {version}: {answer:?}", R::NAME) };
        assert_eq!(*to, id);
        let mut frame = Bytes::from(parts.concat());
        assert_eq!(frame.len(), 4 + u32::from_be_bytes(frame[..4].try_into().expect("four bytes")) as usize);
        let frame = frame.split_off(4);
        assert_eq!(correlation_id(&frame), Ok(7));
        let (_, body) = decode_response(&frame, ApiKey(R::API_KEY), R::is_flexible(version)).expect("a header");
        match R::Response::decode(&body, version) {
            Ok(response) => response,
            Err(error) => panic!("{}", R::Response::explain(&body, version, error)),
        }
    }
}

fn orders() -> TopicName {
    TopicName(text("orders"))
}

fn group() -> GroupId {
    GroupId(text("billing"))
}

/// Runs `$check` for one plausible request of each API, in each version.
macro_rules! each_request {
    ($version:ident, $request:ident, $check:expr; $($api:ty: $make:expr;)*) => {$(
        for $version in <$api>::VERSIONS.filter(|version| <$api>::UNSTABLE != Some(*version)) {
            let $request: $api = $make;
            $check;
        }
    )*};
}

macro_rules! with_each_request {
    ($version:ident, $request:ident, $check:expr) => {
        each_request! { $version, $request, $check;
            produce::ProduceRequest: produce::ProduceRequest {
                acks: -1,
                topic_data: vec![produce::TopicProduceData {
                    name: orders(),
                    partition_data: vec![produce::PartitionProduceData { index: 0, records: Some(Records(Bytes::new())) }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            fetch::FetchRequest: fetch::FetchRequest {
                max_wait_ms: 100,
                min_bytes: 1,
                topics: vec![fetch::FetchTopic {
                    topic: orders(),
                    partitions: vec![fetch::FetchPartition::default()],
                    ..Default::default()
                }],
                ..Default::default()
            };
            ListOffsetsRequest: ListOffsetsRequest {
                topics: vec![ListOffsetsTopic {
                    name: orders(),
                    partitions: vec![ListOffsetsPartition { timestamp: -1, ..Default::default() }],
                }],
                ..Default::default()
            };
            MetadataRequest: MetadataRequest {
                topics: Some(vec![MetadataRequestTopic { name: Some(orders()), ..Default::default() }]),
                ..Default::default()
            };
            OffsetCommitRequest: OffsetCommitRequest {
                group_id: group(),
                topics: vec![OffsetCommitRequestTopic {
                    name: orders(),
                    partitions: vec![OffsetCommitRequestPartition::default()],
                    ..Default::default()
                }],
                ..Default::default()
            };
            OffsetFetchRequest: match $version {
                8.. => OffsetFetchRequest {
                    groups: vec![OffsetFetchRequestGroup { group_id: group(), topics: None, ..Default::default() }],
                    ..Default::default()
                },
                _ => OffsetFetchRequest {
                    group_id: group(),
                    topics: Some(vec![OffsetFetchRequestTopic { name: orders(), partition_indexes: vec![0] }]),
                    ..Default::default()
                },
            };
            FindCoordinatorRequest: match $version {
                4.. => FindCoordinatorRequest { coordinator_keys: vec![text("billing")], ..Default::default() },
                _ => FindCoordinatorRequest { key: text("billing"), ..Default::default() },
            };
            JoinGroupRequest: JoinGroupRequest {
                group_id: group(),
                session_timeout_ms: 10_000,
                protocol_type: text("consumer"),
                protocols: vec![JoinGroupRequestProtocol { name: text("range"), ..Default::default() }],
                ..Default::default()
            };
            HeartbeatRequest: HeartbeatRequest { group_id: group(), ..Default::default() };
            LeaveGroupRequest: match $version {
                3.. => LeaveGroupRequest { group_id: group(), members: vec![MemberIdentity::default()], ..Default::default() },
                _ => LeaveGroupRequest { group_id: group(), ..Default::default() },
            };
            SyncGroupRequest: SyncGroupRequest { group_id: group(), ..Default::default() };
            DescribeGroupsRequest: DescribeGroupsRequest { groups: vec![group()], ..Default::default() };
            ListGroupsRequest: ListGroupsRequest::default();
            ApiVersionsRequest: ApiVersionsRequest {
                client_software_name: text("klamm"),
                client_software_version: text("0.1.0"),
                ..Default::default()
            };
            CreateTopicsRequest: CreateTopicsRequest {
                topics: vec![CreatableTopic {
                    name: TopicName(text(&format!("new-{}", $version))),
                    num_partitions: 1,
                    replication_factor: 1,
                    ..Default::default()
                }],
                ..Default::default()
            };
            DeleteTopicsRequest: match $version {
                6.. => DeleteTopicsRequest {
                    topics: vec![DeleteTopicState { name: Some(TopicName(text("gone"))), ..Default::default() }],
                    ..Default::default()
                },
                _ => DeleteTopicsRequest { topic_names: vec![TopicName(text("gone"))], ..Default::default() },
            };
            InitProducerIdRequest: InitProducerIdRequest { transactional_id: None, ..Default::default() };
            DescribeConfigsRequest: DescribeConfigsRequest {
                resources: vec![DescribeConfigsResource {
                    resource_type: 2,
                    resource_name: text("orders"),
                    configuration_keys: None,
                }],
                include_synonyms: true,
                ..Default::default()
            };
            CreatePartitionsRequest: CreatePartitionsRequest {
                topics: vec![CreatePartitionsTopic { name: orders(), count: 2, assignments: None }],
                ..Default::default()
            };
            DeleteGroupsRequest: DeleteGroupsRequest { groups_names: vec![group()] };
            IncrementalAlterConfigsRequest: IncrementalAlterConfigsRequest {
                resources: vec![AlterConfigsResource {
                    resource_type: 2,
                    resource_name: text("orders"),
                    configs: vec![AlterableConfig {
                        name: text("retention.ms"),
                        config_operation: 0,
                        value: Some(text("1000")),
                    }],
                }],
                ..Default::default()
            };
            OffsetDeleteRequest: OffsetDeleteRequest {
                group_id: group(),
                topics: vec![OffsetDeleteRequestTopic {
                    name: orders(),
                    partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
                }],
            };
            DescribeClusterRequest: DescribeClusterRequest::default();
            AddPartitionsToTxnRequest: {
                let topic = AddPartitionsToTxnTopic { name: orders(), partitions: vec![0] };
                match $version {
                    4.. => AddPartitionsToTxnRequest {
                        transactions: vec![AddPartitionsToTxnTransaction { topics: vec![topic], ..Default::default() }],
                        ..Default::default()
                    },
                    _ => AddPartitionsToTxnRequest { v3_and_below_topics: vec![topic], ..Default::default() },
                }
            };
            AddOffsetsToTxnRequest: AddOffsetsToTxnRequest { group_id: group(), ..Default::default() };
            EndTxnRequest: EndTxnRequest::default();
            TxnOffsetCommitRequest: TxnOffsetCommitRequest {
                group_id: group(),
                topics: vec![TxnOffsetCommitRequestTopic {
                    name: orders(),
                    partitions: vec![TxnOffsetCommitRequestPartition::default()],
                    ..Default::default()
                }],
                ..Default::default()
            };
            alter_configs::AlterConfigsRequest: alter_configs::AlterConfigsRequest {
                resources: vec![alter_configs::AlterConfigsResource {
                    resource_type: 2,
                    resource_name: text("orders"),
                    ..Default::default()
                }],
                ..Default::default()
            };
            WriteTxnMarkersRequest: WriteTxnMarkersRequest {
                markers: vec![WritableTxnMarker {
                    topics: vec![WritableTxnMarkerTopic { name: orders(), partition_indexes: vec![0] }],
                    ..Default::default()
                }],
            };
            describe_producers::DescribeProducersRequest: describe_producers::DescribeProducersRequest {
                topics: vec![describe_producers::TopicRequest { name: orders(), partition_indexes: vec![0] }],
            };
            describe_transactions::DescribeTransactionsRequest: describe_transactions::DescribeTransactionsRequest {
                transactional_ids: vec![Default::default()],
            };
            list_transactions::ListTransactionsRequest: list_transactions::ListTransactionsRequest::default();
            DescribeLogDirsRequest: DescribeLogDirsRequest { topics: None };
            describe_client_quotas::DescribeClientQuotasRequest: describe_client_quotas::DescribeClientQuotasRequest::default();
            alter_client_quotas::AlterClientQuotasRequest: alter_client_quotas::AlterClientQuotasRequest {
                entries: vec![alter_client_quotas::EntryData::default()],
                ..Default::default()
            };
            DescribeUserScramCredentialsRequest: DescribeUserScramCredentialsRequest { users: None };
            AlterUserScramCredentialsRequest: AlterUserScramCredentialsRequest {
                deletions: vec![ScramCredentialDeletion { name: text("alice"), mechanism: 1 }],
                ..Default::default()
            };
            DeleteRecordsRequest: DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic { name: orders(), partitions: vec![DeleteRecordsPartition::default()] }],
                ..Default::default()
            };
            epochs::OffsetForLeaderEpochRequest: epochs::OffsetForLeaderEpochRequest {
                topics: vec![epochs::OffsetForLeaderTopic {
                    topic: orders(),
                    partitions: vec![epochs::OffsetForLeaderPartition::default()],
                }],
                ..Default::default()
            };
            ElectLeadersRequest: ElectLeadersRequest {
                topic_partitions: Some(vec![TopicPartitions { topic: orders(), partitions: vec![0] }]),
                ..Default::default()
            };
            DescribeTopicPartitionsRequest: DescribeTopicPartitionsRequest {
                topics: vec![TopicRequest { name: orders() }],
                ..Default::default()
            };
            SaslHandshakeRequest: SaslHandshakeRequest { mechanism: text("PLAIN") };
            SaslAuthenticateRequest: SaslAuthenticateRequest::default();
        }
    };
}

#[test]
fn every_api_is_answered_in_every_version() {
    let mut answered = std::collections::BTreeSet::new();
    let mut harness = Harness::new();
    with_each_request!(version, request, {
        harness.ask(version, &request, Intercept::Pass);
        answered.insert(request_key(&request));
    });
    let served: std::collections::BTreeSet<i16> = SERVED.iter().map(|api| api.0).collect();
    assert_eq!(answered, served, "an API is missing in this test");
}

#[test]
fn every_api_can_be_refused_in_every_version() {
    let mut harness = Harness::new();
    with_each_request!(version, request, {
        let refused = harness.ask(version, &request, Intercept::Error(ErrorCode::REQUEST_TIMED_OUT));
        // The version 0 of Metadata has no error but a topic's, and so on: there is always one to be found.
        let shown = format!("{refused:?}");
        assert!(shown.contains("REQUEST_TIMED_OUT") || shown.contains("ErrorCode(7)"), "{shown}");
    });
}

fn request_key<R: Request>(_: &R) -> i16 {
    R::API_KEY
}

/// A sequence of numbers that is the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 += 1;
        (crate::core::topics::scramble(1, self.0) % bound as u64) as usize
    }
}

#[test]
fn no_frame_makes_it_panic() {
    let mut frames = Vec::new();
    with_each_request!(version, request, {
        let frame = Bytes::from(encode_request(7, Some(&Str::default()), version, &request).expect("fits").concat());
        frames.push(frame.slice(4..));
    });
    let mut numbers = Numbers(0);
    for round in 0..60 {
        let mut harness = Harness::new();
        for frame in &frames {
            let mut broken = frame.to_vec();
            match round % 4 {
                0 => broken.truncate(numbers.below(broken.len() + 1)),
                1 => {
                    let at = numbers.below(broken.len());
                    broken[at] ^= 1 << numbers.below(8);
                }
                2 => {
                    // A length or number that is far too large, or negative.
                    let at = numbers.below(broken.len());
                    let value = [0xff, 0x7f, 0x80, 0x00][numbers.below(4)];
                    broken.iter_mut().skip(at).take(4).for_each(|byte| *byte = value);
                }
                _ => {
                    let at = numbers.below(broken.len());
                    broken.insert(at, numbers.below(256) as u8);
                }
            }
            let id = harness.core.handle_connected(1, "/127.0.0.1");
            let shown = format!("{broken:02x?}");
            let sent = std::panic::catch_unwind(AssertUnwindSafe(|| harness.frame(id, broken.into(), Intercept::Pass)));
            assert!(sent.is_ok(), "a panic at {shown}");
        }
    }
}

#[test]
fn batches_of_random_bytes_are_refused() {
    let mut numbers = Numbers(1000);
    let mut harness = Harness::new();
    for _ in 0..200 {
        let mut records: Vec<u8> = (0..numbers.below(200)).map(|_| numbers.below(256) as u8).collect();
        if let Some(magic) = records.get_mut(16) {
            *magic = 2;
        }
        let request = produce::ProduceRequest {
            acks: -1,
            topic_data: vec![produce::TopicProduceData {
                name: orders(),
                partition_data: vec![produce::PartitionProduceData { index: 0, records: Some(Records(records.into())) }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = harness.ask(9, &request, Intercept::Pass);
        let code = response.responses[0].partition_responses[0].error_code;
        assert!(matches!(code, ErrorCode::INVALID_RECORD | ErrorCode::CORRUPT_MESSAGE), "{code}");
    }
}
