//! What klamm claims to speak, held against a real broker: every version that both know, in both directions, on a bare connection.
#![forbid(unsafe_code)]

use std::io::IoSlice;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use klamm::protocol::messages::consumer_protocol_assignment::{ConsumerProtocolAssignment, TopicPartition};
use klamm::protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use klamm::protocol::messages::{
    api_versions::*, create_partitions::*, create_topics::*, delete_groups::*, delete_topics::*, describe_cluster::*,
    describe_configs::*, describe_groups::*, fetch::*, find_coordinator::*, heartbeat::*, incremental_alter_configs::*,
    init_producer_id::*, join_group::*, leave_group::*, list_groups::*, list_offsets::*, metadata::*, offset_commit::*,
    offset_delete::*, offset_fetch::*, produce::*, sync_group::*,
};
use klamm::protocol::records::{
    BatchBuilder, Compression, NO_HEADERS, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, RecordBatches,
};
use klamm::protocol::{
    ApiKey, ApiMessage, ErrorCode, GroupId, ProducerId, Records, Request, Str, TopicName, Uuid, Writer, header,
};
use klamm_real::{bootstrap, connect, new_topic, unique};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection on which nothing is decided.
struct Bare {
    stream: TcpStream,
    correlation_id: i32,
    served: Vec<ApiVersion>,
}

impl Bare {
    async fn connect() -> Self {
        let stream = TcpStream::connect(bootstrap()).await.expect("the broker listens");
        let mut bare = Self { stream, correlation_id: 7, served: Vec::new() };
        bare.served = bare.call(0, &ApiVersionsRequest::default()).await.api_keys;
        bare
    }

    /// The stable versions that klamm and the broker both speak.
    fn versions<R: Request>(&self) -> std::ops::RangeInclusive<i16> {
        let ours = ApiKey(R::API_KEY).versions().expect("declared");
        let theirs = self.served.iter().find(|api| api.api_key == R::API_KEY).unwrap_or_else(|| panic!("{} is served", R::NAME));
        // Brokers say 0 for Produce, but mean 3: what librdkafka expects (KAFKA-18659).
        *ours.start().max(&theirs.min_version)..=*ours.end().min(&theirs.max_version)
    }

    /// One request and its answer, which must be understood to its last byte and mean the same when written again.
    async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.correlation_id += 1;
        let client_id = Str::new("klamm-bare").expect("short");
        let frame = header::encode_request(self.correlation_id, Some(&client_id), version, request)
            .unwrap_or_else(|error| panic!("{} version {version}: {error}", R::NAME));
        let frame: Vec<u8> = frame.iter().flat_map(|part| IoSlice::new(part).to_vec()).collect();
        let exchange = async {
            self.stream.write_all(&frame).await?;
            let length = self.stream.read_u32().await?;
            let mut answer = BytesMut::zeroed(length as usize);
            self.stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer.freeze())
        };
        let answer = timeout(Duration::from_secs(30), exchange)
            .await
            .unwrap_or_else(|_| panic!("{} version {version}: no answer", R::NAME));
        let answer =
            answer.unwrap_or_else(|error| panic!("{} version {version}: the broker closed the connection: {error}", R::NAME));
        let (correlation_id, body) =
            header::decode_response(&answer, ApiKey(R::API_KEY), R::is_flexible(version)).expect("a response's header");
        assert_eq!(correlation_id, self.correlation_id);
        let response =
            R::Response::decode(&body, version).unwrap_or_else(|error| panic!("{}", R::Response::explain(&body, version, error)));
        let mut writer = Writer::with_capacity(body.len());
        response.encode(version, &mut writer);
        assert!(
            writer.finish().concat() == body[..],
            "{} version {version} is written otherwise than the broker does",
            R::Response::NAME
        );
        response
    }
}

fn text(text: &str) -> Str {
    Str::try_from(text).expect("short")
}

fn name(topic: &str) -> TopicName {
    TopicName::try_from(topic).expect("a topic's name")
}

fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

/// A data message with its version in front, as group members exchange it.
fn with_version<M: ApiMessage>(version: i16, message: &M) -> Bytes {
    let mut writer = Writer::with_capacity(64);
    writer.copy(&version.to_be_bytes());
    message.encode(version, &mut writer);
    writer.finish().concat().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_that_the_broker_serves_of_a_declared_api_is_declared() {
    let bare = Bare::connect().await;
    for theirs in &bare.served {
        let key = ApiKey(theirs.api_key);
        let ours = key.versions().unwrap_or_else(|| panic!("the broker serves {key:?}, which is not declared"));
        println!("{key}: ours {ours:?}, the broker's {}..={}", theirs.min_version, theirs.max_version);
        assert!(theirs.max_version <= *ours.end(), "{key}: the broker's newest version {} is not declared", theirs.max_version);
        let oldest = if key == ApiKey::PRODUCE { 3 } else { theirs.min_version };
        assert!(*ours.start() <= oldest, "{key}: the broker's oldest version {oldest} is not declared");
    }
    let is_brokers = |key: &ApiKey| key.api().is_some_and(|api| api.listeners.contains(&"broker"));
    let is_served = |key: &ApiKey| bare.served.iter().any(|theirs| theirs.api_key == key.0);
    let unserved: Vec<_> = ApiKey::known().filter(|key| is_brokers(key) && !is_served(key)).collect();
    let expected = [
        // Served once a plugin takes clients' metrics (KIP-714).
        ApiKey::GET_TELEMETRY_SUBSCRIPTIONS,
        ApiKey::PUSH_TELEMETRY,
        // New in 4.4.
        ApiKey::STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE,
        ApiKey::UNREGISTER_CONTROLLER,
    ];
    assert_eq!(unserved, expected, "declared, and for brokers to serve, but not served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_about_the_cluster_are_understood_in_every_version() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "asked", 2).await;
    let mut bare = Bare::connect().await;
    for version in bare.versions::<ApiVersionsRequest>() {
        let request = ApiVersionsRequest {
            client_software_name: text("klamm"),
            client_software_version: text("0.1.0"),
            ..ApiVersionsRequest::default()
        };
        let response = bare.call(version, &request).await;
        assert_eq!(response.error_code, ErrorCode::NONE, "ApiVersions {version}");
    }
    for version in bare.versions::<MetadataRequest>() {
        let asked = MetadataRequestTopic { name: Some(name(&topic)), ..MetadataRequestTopic::default() };
        let request = MetadataRequest { topics: Some(vec![asked]), ..MetadataRequest::default() };
        let response = bare.call(version, &request).await;
        assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "Metadata {version}");
        assert_eq!((response.brokers.len(), response.topics[0].partitions.len()), (1, 2), "Metadata {version}");
    }
    for version in bare.versions::<FindCoordinatorRequest>() {
        let mut request = FindCoordinatorRequest::default();
        if version < 4 {
            request.key = text("some group");
        } else {
            request.coordinator_keys = vec![text("some group")];
        }
        let response = bare.call(version, &request).await;
        let node = if version < 4 { response.node_id.0 } else { response.coordinators[0].node_id.0 };
        // Unknown for a moment while the topic of the offsets is made.
        assert!(node == 1 || node == -1, "FindCoordinator {version}: {response:?}");
    }
    for version in bare.versions::<DescribeClusterRequest>() {
        let response = bare.call(version, &DescribeClusterRequest::default()).await;
        assert_eq!((response.error_code, response.brokers.len()), (ErrorCode::NONE, 1), "DescribeCluster {version}");
    }
    for version in bare.versions::<DescribeConfigsRequest>() {
        let asked = DescribeConfigsResource { resource_type: 2, resource_name: text(&topic), configuration_keys: None };
        let request = DescribeConfigsRequest { resources: vec![asked], ..DescribeConfigsRequest::default() };
        let response = bare.call(version, &request).await;
        assert_eq!(response.results[0].error_code, ErrorCode::NONE, "DescribeConfigs {version}");
        assert!(response.results[0].configs.len() > 10, "DescribeConfigs {version}");
    }
    for version in bare.versions::<ListGroupsRequest>() {
        let response = bare.call(version, &ListGroupsRequest::default()).await;
        assert_eq!(response.error_code, ErrorCode::NONE, "ListGroups {version}");
    }
    for version in bare.versions::<DescribeGroupsRequest>() {
        let request = DescribeGroupsRequest { groups: vec![group_id(&unique("nobody"))], ..DescribeGroupsRequest::default() };
        let response = bare.call(version, &request).await;
        assert_eq!(response.groups.len(), 1, "DescribeGroups {version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_and_removed_in_every_version() {
    let mut bare = Bare::connect().await;
    let mut made = Vec::new();
    for version in bare.versions::<CreateTopicsRequest>() {
        let topic = unique("made");
        let config = CreatableTopicConfig { name: text("cleanup.policy"), value: Some(text("compact")) };
        let new = CreatableTopic {
            name: name(&topic),
            num_partitions: 1,
            replication_factor: 1,
            configs: vec![config],
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![new], ..CreateTopicsRequest::default() };
        let response = bare.call(version, &request).await;
        assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "CreateTopics {version}: {response:?}");
        made.push(topic);
    }
    for (count, version) in (2..).zip(bare.versions::<CreatePartitionsRequest>()) {
        let more = CreatePartitionsTopic { name: name(&made[0]), count, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![more], timeout_ms: 10_000, ..CreatePartitionsRequest::default() };
        let response = bare.call(version, &request).await;
        assert_eq!(response.results[0].error_code, ErrorCode::NONE, "CreatePartitions {version}: {response:?}");
    }
    for version in bare.versions::<IncrementalAlterConfigsRequest>() {
        let change = AlterableConfig { name: text("retention.ms"), config_operation: 0, value: Some(text("1000")) };
        let back = AlterableConfig { name: text("segment.ms"), config_operation: 1, value: None };
        let altered = AlterConfigsResource { resource_type: 2, resource_name: text(&made[0]), configs: vec![change, back] };
        let request = IncrementalAlterConfigsRequest { resources: vec![altered], ..Default::default() };
        let response = bare.call(version, &request).await;
        assert_eq!(response.responses[0].error_code, ErrorCode::NONE, "IncrementalAlterConfigs {version}: {response:?}");
    }
    for version in bare.versions::<DeleteTopicsRequest>() {
        let Some(topic) = made.pop() else { break };
        let mut request = DeleteTopicsRequest { timeout_ms: 10_000, ..DeleteTopicsRequest::default() };
        if version < 6 {
            request.topic_names = vec![name(&topic)];
        } else {
            request.topics = vec![DeleteTopicState { name: Some(name(&topic)), ..DeleteTopicState::default() }];
        }
        let response = bare.call(version, &request).await;
        assert_eq!(response.responses[0].error_code, ErrorCode::NONE, "DeleteTopics {version}: {response:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_written_and_read_in_every_version() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "bare", 1).await;
    let described = client.admin().describe_topics([topic.as_str()]).await.expect("an answer").remove(0).1.expect("described");
    let topic_id: Uuid = described.topic_id.expect("an id");
    let mut bare = Bare::connect().await;

    for version in bare.versions::<InitProducerIdRequest>() {
        let request =
            InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 60_000, ..InitProducerIdRequest::default() };
        let response = bare.call(version, &request).await;
        assert_eq!(response.error_code, ErrorCode::NONE, "InitProducerId {version}");
        assert!(response.producer_id != ProducerId(-1), "InitProducerId {version}");
    }
    let now: i64 =
        SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis().try_into().expect("milliseconds");
    let mut end = 0;
    for version in bare.versions::<ProduceRequest>() {
        let mut batch = BatchBuilder::new(256);
        batch.append(now, Some(b"key"), Some(format!("version {version}").as_bytes()), NO_HEADERS).expect("it fits");
        let mut batch = batch.close(Compression::None).expect("closed");
        let batch = batch.stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false);
        let partition = PartitionProduceData { index: 0, records: Some(Records(batch)) };
        // Names up to version 12, ids from 13 on; the version decides which is sent.
        let data = TopicProduceData { name: name(&topic), topic_id, partition_data: vec![partition] };
        let request = ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![data], ..ProduceRequest::default() };
        let response = bare.call(version, &request).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::NONE, end), "Produce {version}: {response:?}");
        end += 1;
    }
    for version in bare.versions::<ListOffsetsRequest>() {
        let asked = ListOffsetsPartition { timestamp: -1, ..ListOffsetsPartition::default() };
        let topics = vec![ListOffsetsTopic { name: name(&topic), partitions: vec![asked] }];
        let request = ListOffsetsRequest { replica_id: klamm::protocol::BrokerId(-1), topics, ..ListOffsetsRequest::default() };
        let response = bare.call(version, &request).await;
        let answer = &response.topics[0].partitions[0];
        assert_eq!((answer.error_code, answer.offset), (ErrorCode::NONE, end), "ListOffsets {version}: {response:?}");
    }
    for version in bare.versions::<FetchRequest>() {
        let asked = FetchPartition { partition_max_bytes: 1 << 20, ..FetchPartition::default() };
        let topics = vec![FetchTopic { topic: name(&topic), topic_id, partitions: vec![asked] }];
        let request = FetchRequest { max_wait_ms: 100, min_bytes: 1, topics, ..FetchRequest::default() };
        let response = bare.call(version, &request).await;
        let data = &response.responses[0].partitions[0];
        assert_eq!((data.error_code, data.high_watermark), (ErrorCode::NONE, end), "Fetch {version}: {response:?}");
        let records = data.records.clone().expect("records").0;
        let last = RecordBatches::new(records).last().expect("batches").expect("a batch").last_offset();
        assert_eq!(last, end - 1, "Fetch {version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_lives_in_every_version() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "member", 1).await;
    let described = client.admin().describe_topics([topic.as_str()]).await.expect("an answer").remove(0).1.expect("described");
    let topic_id: Uuid = described.topic_id.expect("an id");
    // The group's coordinator is there once a lookup succeeded.
    assert!(client.admin().group_offsets(&unique("warm-up")).await.expect("an answer").is_empty());
    let mut bare = Bare::connect().await;
    let last = *bare.versions::<JoinGroupRequest>().end();
    for round in 0..=10 {
        let at = |range: std::ops::RangeInclusive<i16>| round.clamp(*range.start(), *range.end());
        let group = unique("bare-group");
        let subscription = ConsumerProtocolSubscription { topics: vec![text(&topic)], ..ConsumerProtocolSubscription::default() };
        let metadata = with_version(round.min(*ConsumerProtocolSubscription::VERSIONS.end()), &subscription);
        let mut join = JoinGroupRequest {
            group_id: group_id(&group),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: text("consumer"),
            protocols: vec![JoinGroupRequestProtocol { name: text("range"), metadata }],
            ..JoinGroupRequest::default()
        };
        let version = at(bare.versions::<JoinGroupRequest>());
        let mut joined = bare.call(version, &join).await;
        if joined.error_code == ErrorCode::MEMBER_ID_REQUIRED {
            assert!(version >= 4, "KIP-394 begins with version 4");
            join.member_id = joined.member_id.clone();
            joined = bare.call(version, &join).await;
        }
        assert_eq!(joined.error_code, ErrorCode::NONE, "JoinGroup {version}: {joined:?}");
        assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 1), "JoinGroup {version}");
        let member = joined.member_id.clone();

        let assigned = TopicPartition { topic: name(&topic), partitions: vec![0] };
        let assignment =
            ConsumerProtocolAssignment { assigned_partitions: vec![assigned], ..ConsumerProtocolAssignment::default() };
        let assignment = with_version(round.min(*ConsumerProtocolAssignment::VERSIONS.end()), &assignment);
        let version = at(bare.versions::<SyncGroupRequest>());
        let sync = SyncGroupRequest {
            group_id: group_id(&group),
            generation_id: joined.generation_id,
            member_id: member.clone(),
            protocol_type: Some(text("consumer")),
            protocol_name: Some(text("range")),
            assignments: vec![SyncGroupRequestAssignment { member_id: member.clone(), assignment: assignment.clone() }],
            ..SyncGroupRequest::default()
        };
        let synced = bare.call(version, &sync).await;
        assert_eq!((synced.error_code, &synced.assignment), (ErrorCode::NONE, &assignment), "SyncGroup {version}: {synced:?}");

        let version = at(bare.versions::<HeartbeatRequest>());
        let heartbeat = HeartbeatRequest {
            group_id: group_id(&group),
            generation_id: joined.generation_id,
            member_id: member.clone(),
            ..HeartbeatRequest::default()
        };
        assert_eq!(bare.call(version, &heartbeat).await.error_code, ErrorCode::NONE, "Heartbeat {version}");

        // What klamm itself says of the group, from the same assignment.
        let described =
            client.admin().describe_groups([group.as_str()]).await.expect("an answer").remove(0).1.expect("described");
        assert_eq!((&*described.state, &*described.protocol, described.members.len()), ("Stable", "range", 1));
        assert_eq!(described.members[0].assignment, [klamm::TopicPartition::new(topic.as_str(), 0)]);

        let version = at(bare.versions::<OffsetCommitRequest>());
        let partition = OffsetCommitRequestPartition {
            committed_offset: 40 + i64::from(round),
            committed_metadata: Some(text("by hand")),
            ..OffsetCommitRequestPartition::default()
        };
        let commit = OffsetCommitRequest {
            group_id: group_id(&group),
            generation_id_or_member_epoch: joined.generation_id,
            member_id: member.clone(),
            topics: vec![OffsetCommitRequestTopic { name: name(&topic), topic_id, partitions: vec![partition] }],
            ..OffsetCommitRequest::default()
        };
        let committed = bare.call(version, &commit).await;
        assert_eq!(committed.topics[0].partitions[0].error_code, ErrorCode::NONE, "OffsetCommit {version}: {committed:?}");

        let version = at(bare.versions::<OffsetFetchRequest>());
        let mut fetch = OffsetFetchRequest::default();
        if version < 8 {
            fetch.group_id = group_id(&group);
            fetch.topics = Some(vec![OffsetFetchRequestTopic { name: name(&topic), partition_indexes: vec![0] }]);
        } else {
            let topics = vec![OffsetFetchRequestTopics { name: name(&topic), topic_id, partition_indexes: vec![0] }];
            let asked = OffsetFetchRequestGroup {
                group_id: group_id(&group),
                topics: Some(topics),
                ..OffsetFetchRequestGroup::default()
            };
            fetch.groups = vec![asked];
            fetch.topics = Some(Vec::new());
        }
        let fetched = bare.call(version, &fetch).await;
        let offset = if version < 8 {
            fetched.topics[0].partitions[0].committed_offset
        } else {
            fetched.groups[0].topics[0].partitions[0].committed_offset
        };
        assert_eq!(offset, 40 + i64::from(round), "OffsetFetch {version}: {fetched:?}");

        let version = at(bare.versions::<LeaveGroupRequest>());
        let mut leave = LeaveGroupRequest { group_id: group_id(&group), ..LeaveGroupRequest::default() };
        if version < 3 {
            leave.member_id = member.clone();
        } else {
            leave.members = vec![MemberIdentity { member_id: member.clone(), ..MemberIdentity::default() }];
        }
        let left = bare.call(version, &leave).await;
        assert_eq!(left.error_code, ErrorCode::NONE, "LeaveGroup {version}: {left:?}");

        let version = at(bare.versions::<OffsetDeleteRequest>());
        let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
        let delete = OffsetDeleteRequest {
            group_id: group_id(&group),
            topics: vec![OffsetDeleteRequestTopic { name: name(&topic), partitions }],
        };
        let deleted = bare.call(version, &delete).await;
        assert_eq!(deleted.error_code, ErrorCode::NONE, "OffsetDelete {version}: {deleted:?}");
        assert_eq!(deleted.topics[0].partitions[0].error_code, ErrorCode::NONE, "OffsetDelete {version}: {deleted:?}");

        let version = at(bare.versions::<DeleteGroupsRequest>());
        let deleted = bare.call(version, &DeleteGroupsRequest { groups_names: vec![group_id(&group)] }).await;
        assert_eq!(deleted.results[0].error_code, ErrorCode::NONE, "DeleteGroups {version}: {deleted:?}");
    }
    assert!(last <= 10, "as many rounds as the API with the most versions has");
}
