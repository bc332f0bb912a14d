//! Groups on the level of the protocol: joining, syncing, timers, static members, committed offsets.

use std::time::Duration;

use bytes::Bytes;
use klamm::protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use klamm::protocol::messages::delete_groups::DeleteGroupsRequest;
use klamm::protocol::messages::describe_groups::DescribeGroupsRequest;
use klamm::protocol::messages::heartbeat::HeartbeatRequest;
use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use klamm::protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use klamm::protocol::messages::list_groups::ListGroupsRequest;
use klamm::protocol::messages::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use klamm::protocol::messages::offset_delete::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use klamm::protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use klamm::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use klamm::protocol::{ApiMessage, ErrorCode, GroupId, Str, TopicName, Writer};
use klamm_broker::Broker;
use tokio::time::{Instant, sleep};

const GROUP: &str = "billing";

fn text(text: &str) -> Str {
    Str::try_from(text).expect("short text")
}

fn group() -> GroupId {
    GroupId(text(GROUP))
}

fn broker() -> Broker {
    Broker::builder().topic("orders", 2).start_in_memory().expect("a broker")
}

fn join(member_id: &Str, protocols: &[(&str, &str)]) -> JoinGroupRequest {
    let protocol = |(name, metadata): &(&str, &str)| JoinGroupRequestProtocol {
        name: text(name),
        metadata: Bytes::copy_from_slice(metadata.as_bytes()),
    };
    JoinGroupRequest {
        group_id: group(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 30_000,
        member_id: member_id.clone(),
        protocol_type: text("consumer"),
        protocols: protocols.iter().map(protocol).collect(),
        ..Default::default()
    }
}

/// Joins and gives the answer; takes up the member id that a first attempt is given.
async fn joined(broker: &Broker, mut request: JoinGroupRequest) -> JoinGroupResponse {
    let response = broker.raw_request(1, 9, &request).await.expect("an answer");
    if response.error_code != ErrorCode::MEMBER_ID_REQUIRED {
        return response;
    }
    request.member_id = response.member_id;
    broker.raw_request(1, 9, &request).await.expect("an answer")
}

async fn sync(broker: &Broker, joined: &JoinGroupResponse, assignments: &[(&Str, &str)]) -> SyncGroupResponse {
    let assignment = |(member_id, assignment): &(&Str, &str)| SyncGroupRequestAssignment {
        member_id: (*member_id).clone(),
        assignment: Bytes::copy_from_slice(assignment.as_bytes()),
    };
    let request = SyncGroupRequest {
        group_id: group(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: joined.protocol_type.clone(),
        protocol_name: joined.protocol_name.clone(),
        assignments: assignments.iter().map(assignment).collect(),
        ..Default::default()
    };
    broker.raw_request(1, 5, &request).await.expect("an answer")
}

async fn heartbeat(broker: &Broker, joined: &JoinGroupResponse) -> ErrorCode {
    let (generation_id, member_id) = (joined.generation_id, joined.member_id.clone());
    let request = HeartbeatRequest { group_id: group(), generation_id, member_id, ..Default::default() };
    broker.raw_request(1, 4, &request).await.expect("an answer").error_code
}

const RANGE: &[(&str, &str)] = &[("range", "r")];

#[tokio::test(start_paused = true)]
async fn a_first_join_is_given_an_id_to_come_back_with() {
    let broker = broker();
    let first = broker.raw_request(1, 4, &join(&text(""), RANGE)).await.expect("an answer");
    assert_eq!(first.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    assert!(first.member_id.as_str().starts_with("raw-"), "{}", first.member_id);
    let second = broker.raw_request(1, 4, &join(&first.member_id, RANGE)).await.expect("an answer");
    assert_eq!((second.error_code, second.generation_id), (ErrorCode::NONE, 1));
    assert_eq!((&second.leader, &second.member_id), (&first.member_id, &first.member_id));
    assert_eq!(second.members.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn before_version_4_a_member_is_in_at_once() {
    for version in 0..=3 {
        let response = broker().raw_request(1, version, &join(&text(""), RANGE)).await.expect("an answer");
        assert_eq!((response.error_code, response.generation_id), (ErrorCode::NONE, 1), "version {version}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_members_balance_and_the_leader_assigns() {
    let broker = broker();
    let one = joined(&broker, join(&text(""), &[("range", "1r"), ("sticky", "1s")])).await;
    assert_eq!(sync(&broker, &one, &[(&one.member_id, "all")]).await.assignment, "all");
    assert_eq!((broker.group_state(GROUP), broker.group_generation(GROUP)), (Some("Stable"), 1));
    // The second member waits until the first has heard of it and joined again.
    let ((two, again), waited) = tokio::join!(
        async {
            tokio::join!(joined(&broker, join(&text(""), &[("sticky", "2s")])), async {
                sleep(Duration::from_secs(2)).await;
                assert_eq!(heartbeat(&broker, &one).await, ErrorCode::REBALANCE_IN_PROGRESS);
                joined(&broker, join(&one.member_id, &[("range", "1r"), ("sticky", "1s")])).await
            })
        },
        async {
            sleep(Duration::from_secs(1)).await;
            broker.group_state(GROUP)
        }
    );
    assert_eq!(waited, Some("PreparingRebalance"));
    assert_eq!((two.generation_id, again.generation_id), (2, 2));
    assert_eq!(two.protocol_name.clone().expect("a protocol"), "sticky");
    assert_eq!((&two.leader, &again.leader), (&one.member_id, &one.member_id));
    assert!(two.members.is_empty(), "only the leader sees the members");
    let mut seen: Vec<_> = again.members.iter().map(|member| (member.member_id.clone(), member.metadata.clone())).collect();
    seen.sort();
    let mut expected = vec![(one.member_id.clone(), Bytes::from("1s")), (two.member_id.clone(), Bytes::from("2s"))];
    expected.sort();
    assert_eq!(seen, expected);
    let (theirs, ours) = tokio::join!(sync(&broker, &two, &[]), async {
        sleep(Duration::from_millis(500)).await;
        assert_eq!(broker.group_state(GROUP), Some("CompletingRebalance"));
        sync(&broker, &again, &[(&one.member_id, "half"), (&two.member_id, "other half")]).await
    });
    assert_eq!((theirs.assignment, ours.assignment), (Bytes::from("other half"), Bytes::from("half")));
    assert_eq!(heartbeat(&broker, &two).await, ErrorCode::NONE);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_join_again_in_time_is_out() {
    let broker = broker();
    let one = joined(&broker, join(&text(""), RANGE)).await;
    sync(&broker, &one, &[(&one.member_id, "all")]).await;
    let start = Instant::now();
    let (two, ()) = tokio::join!(joined(&broker, join(&text(""), RANGE)), async {
        // It lives, but does not join.
        for _ in 0..9 {
            sleep(Duration::from_secs(3)).await;
            assert_eq!(heartbeat(&broker, &one).await, ErrorCode::REBALANCE_IN_PROGRESS);
        }
    });
    assert_eq!(start.elapsed().as_secs(), 30, "the rebalance time-out");
    assert_eq!((two.generation_id, &two.leader), (2, &two.member_id));
    assert_eq!(heartbeat(&broker, &one).await, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_is_out_when_its_session_ends() {
    let broker = broker();
    let one = joined(&broker, join(&text(""), RANGE)).await;
    sync(&broker, &one, &[(&one.member_id, "all")]).await;
    sleep(Duration::from_millis(9_900)).await;
    assert_eq!(broker.group_members(GROUP).len(), 1);
    sleep(Duration::from_millis(200)).await;
    assert_eq!((broker.group_members(GROUP).len(), broker.group_state(GROUP)), (0, Some("Empty")));
    assert_eq!(heartbeat(&broker, &one).await, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_a_member_in() {
    let broker = broker();
    let one = joined(&broker, join(&text(""), RANGE)).await;
    sync(&broker, &one, &[(&one.member_id, "all")]).await;
    for _ in 0..10 {
        sleep(Duration::from_secs(9)).await;
        assert_eq!(heartbeat(&broker, &one).await, ErrorCode::NONE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_never_syncs_is_out_after_the_rebalance_timeout() {
    let broker = broker();
    let one = joined(&broker, join(&text(""), RANGE)).await;
    for _ in 0..10 {
        assert_eq!(broker.group_state(GROUP), Some("CompletingRebalance"));
        assert_eq!(heartbeat(&broker, &one).await, ErrorCode::NONE);
        sleep(Duration::from_millis(3_001)).await;
    }
    assert_eq!(broker.group_state(GROUP), Some("Empty"));
}

#[tokio::test(start_paused = true)]
async fn an_old_generation_and_an_unknown_member_are_told_so() {
    let broker = broker();
    let mut one = joined(&broker, join(&text(""), RANGE)).await;
    sync(&broker, &one, &[(&one.member_id, "all")]).await;
    one.generation_id = 0;
    assert_eq!(heartbeat(&broker, &one).await, ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(sync(&broker, &one, &[]).await.error_code, ErrorCode::ILLEGAL_GENERATION);
    one.member_id = text("nobody");
    assert_eq!(heartbeat(&broker, &one).await, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(joined(&broker, join(&text("nobody"), RANGE)).await.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[tokio::test(start_paused = true)]
async fn a_leave_makes_the_others_join_again() {
    let broker = broker();
    let one = joined(&broker, join(&text(""), RANGE)).await;
    let (two, _) = tokio::join!(joined(&broker, join(&text(""), RANGE)), async {
        sleep(Duration::from_secs(1)).await;
        joined(&broker, join(&one.member_id, RANGE)).await
    });
    let members = vec![
        MemberIdentity { member_id: one.member_id.clone(), ..Default::default() },
        MemberIdentity { member_id: text("nobody"), ..Default::default() },
    ];
    let request = LeaveGroupRequest { group_id: group(), members, ..Default::default() };
    let left = broker.raw_request(1, 5, &request).await.expect("an answer");
    let codes: Vec<_> = left.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!(heartbeat(&broker, &two).await, ErrorCode::REBALANCE_IN_PROGRESS);
    let again = joined(&broker, join(&two.member_id, RANGE)).await;
    assert_eq!((again.generation_id, &again.leader), (3, &two.member_id));
}

#[tokio::test(start_paused = true)]
async fn what_a_group_cannot_take_is_refused() {
    let broker = broker();
    let one = joined(&broker, join(&text(""), RANGE)).await;
    sync(&broker, &one, &[]).await;
    let refused = |change: fn(&mut JoinGroupRequest)| {
        let mut request = join(&text(""), RANGE);
        change(&mut request);
        let broker = &broker;
        async move { broker.raw_request(1, 9, &request).await.expect("an answer").error_code }
    };
    assert_eq!(refused(|request| request.group_id = GroupId::default()).await, ErrorCode::INVALID_GROUP_ID);
    assert_eq!(refused(|request| request.session_timeout_ms = 5_999).await, ErrorCode::INVALID_SESSION_TIMEOUT);
    assert_eq!(refused(|request| request.session_timeout_ms = 1_800_001).await, ErrorCode::INVALID_SESSION_TIMEOUT);
    assert_eq!(refused(|request| request.protocols.clear()).await, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(refused(|request| request.protocol_type = text("connect")).await, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(refused(|request| request.protocols[0].name = text("sticky")).await, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[tokio::test(start_paused = true)]
async fn a_group_of_the_largest_size_takes_no_more() {
    let broker = Broker::builder().group_max_size(1).start_in_memory().expect("a broker");
    let one = joined(&broker, join(&text(""), RANGE)).await;
    assert_eq!(one.error_code, ErrorCode::NONE);
    assert_eq!(joined(&broker, join(&text(""), RANGE)).await.error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
}

#[tokio::test(start_paused = true)]
async fn a_new_group_waits_for_more_members_if_told_to() {
    let delay = Duration::from_secs(3);
    let broker = Broker::builder().initial_rebalance_delay(delay).start_in_memory().expect("a broker");
    let start = Instant::now();
    let (request, other) = (join(&text(""), RANGE), join(&text(""), RANGE));
    let (one, two) = tokio::join!(joined(&broker, request), async {
        sleep(Duration::from_secs(2)).await;
        joined(&broker, other).await
    });
    assert_eq!((one.generation_id, two.generation_id), (1, 1));
    assert_eq!(start.elapsed().as_secs(), 6, "the second one makes it wait once more");
}

#[tokio::test(start_paused = true)]
async fn a_static_member_comes_back_without_a_rebalance() {
    let broker = broker();
    let mut request = join(&text(""), RANGE);
    request.group_instance_id = Some(text("till-1"));
    let one = broker.raw_request(1, 9, &request).await.expect("an answer");
    assert_eq!((one.error_code, one.generation_id), (ErrorCode::NONE, 1));
    sync(&broker, &one, &[(&one.member_id, "all")]).await;
    let again = broker.raw_request(1, 9, &request).await.expect("an answer");
    assert_eq!((again.error_code, again.generation_id, again.skip_assignment), (ErrorCode::NONE, 1, true));
    assert_ne!(again.member_id, one.member_id);
    assert_eq!(sync(&broker, &again, &[]).await.assignment, "all");
    let mut old = HeartbeatRequest { group_id: group(), generation_id: 1, member_id: one.member_id, ..Default::default() };
    old.group_instance_id = Some(text("till-1"));
    assert_eq!(broker.raw_request(1, 4, &old).await.expect("an answer").error_code, ErrorCode::FENCED_INSTANCE_ID);
}

fn commit(version: i16, broker: &Broker, generation: i32, member_id: &Str, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: 1,
        committed_offset: offset,
        committed_metadata: Some(text("mine")),
        ..Default::default()
    };
    let mut topic = OffsetCommitRequestTopic { partitions: vec![partition], ..Default::default() };
    match version {
        10.. => topic.topic_id = broker.topic_id("orders").expect("an id"),
        _ => topic.name = TopicName(text("orders")),
    }
    OffsetCommitRequest {
        group_id: group(),
        generation_id_or_member_epoch: generation,
        member_id: member_id.clone(),
        topics: vec![topic],
        ..Default::default()
    }
}

async fn committed(broker: &Broker, version: i16, request: &OffsetCommitRequest) -> ErrorCode {
    let response = broker.raw_request(1, version, request).await.expect("an answer");
    response.topics[0].partitions[0].error_code
}

#[tokio::test(start_paused = true)]
async fn offsets_are_committed_and_read_in_every_version() {
    let broker = broker();
    for version in 2..=10 {
        let request = commit(version, &broker, -1, &text(""), i64::from(version));
        assert_eq!(committed(&broker, version, &request).await, ErrorCode::NONE);
        assert_eq!(broker.committed(GROUP, "orders", 1), Some(i64::from(version)));
    }
    for version in 1..=7 {
        let topic = OffsetFetchRequestTopic { name: TopicName(text("orders")), partition_indexes: vec![0, 1] };
        let request = OffsetFetchRequest { group_id: group(), topics: Some(vec![topic]), ..Default::default() };
        let response = broker.raw_request(1, version, &request).await.expect("an answer");
        let offsets: Vec<_> = response.topics[0].partitions.iter().map(|partition| partition.committed_offset).collect();
        assert_eq!(offsets, [-1, 10], "version {version}");
    }
    for version in 8..=10 {
        let mut topic = OffsetFetchRequestTopics { partition_indexes: vec![0, 1], ..Default::default() };
        match version {
            10 => topic.topic_id = broker.topic_id("orders").expect("an id"),
            _ => topic.name = TopicName(text("orders")),
        }
        for topics in [Some(vec![topic]), None] {
            let all = topics.is_none();
            let asked = OffsetFetchRequestGroup { group_id: group(), topics, ..Default::default() };
            let request = OffsetFetchRequest { groups: vec![asked], ..Default::default() };
            let response = broker.raw_request(1, version, &request).await.expect("an answer");
            let partitions = &response.groups[0].topics[0].partitions;
            let offsets: Vec<_> = partitions.iter().map(|partition| partition.committed_offset).collect();
            assert_eq!(offsets, if all { vec![10] } else { vec![-1, 10] }, "version {version}");
            assert_eq!(partitions.last().and_then(|last| last.metadata.clone()).expect("metadata"), "mine");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_members_of_the_generation_commit_for_a_group_that_has_members() {
    let broker = broker();
    let one = joined(&broker, join(&text(""), RANGE)).await;
    let of_one = |generation| commit(8, &broker, generation, &one.member_id, 5);
    assert_eq!(committed(&broker, 8, &of_one(1)).await, ErrorCode::REBALANCE_IN_PROGRESS);
    sync(&broker, &one, &[]).await;
    assert_eq!(committed(&broker, 8, &of_one(1)).await, ErrorCode::NONE);
    assert_eq!(committed(&broker, 8, &of_one(0)).await, ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(committed(&broker, 8, &commit(8, &broker, -1, &text(""), 5)).await, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(committed(&broker, 8, &commit(8, &broker, 1, &text("nobody"), 5)).await, ErrorCode::UNKNOWN_MEMBER_ID);
    let mut elsewhere = of_one(1);
    elsewhere.topics[0].partitions[0].partition_index = 2;
    assert_eq!(committed(&broker, 8, &elsewhere).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let mut wordy = of_one(1);
    wordy.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(4097)));
    assert_eq!(committed(&broker, 8, &wordy).await, ErrorCode::OFFSET_METADATA_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn only_the_coordinator_answers_for_a_group() {
    let broker = Broker::builder().nodes(3).start_in_memory().expect("a broker");
    broker.set_coordinator(GROUP, 3);
    let request = HeartbeatRequest { group_id: group(), ..Default::default() };
    let asked = async |node| broker.raw_request(node, 4, &request).await.expect("an answer").error_code;
    assert_eq!(asked(1).await, ErrorCode::NOT_COORDINATOR);
    assert_eq!(asked(3).await, ErrorCode::UNKNOWN_MEMBER_ID);
    broker.stop_node(3);
    assert_eq!(asked(1).await, ErrorCode::UNKNOWN_MEMBER_ID, "the next node takes over");
}

#[tokio::test(start_paused = true)]
async fn groups_are_described_and_listed() {
    let broker = broker();
    let one = joined(&broker, join(&text(""), RANGE)).await;
    sync(&broker, &one, &[(&one.member_id, "all")]).await;
    for version in 0..=6 {
        let groups = vec![group(), GroupId(text("none"))];
        let request = DescribeGroupsRequest { groups, ..Default::default() };
        let response = broker.raw_request(1, version, &request).await.expect("an answer");
        let known = &response.groups[0];
        assert_eq!((known.group_state.as_str(), known.protocol_data.as_str()), ("Stable", "range"));
        assert_eq!((known.members[0].client_id.as_str(), known.members[0].client_host.as_str()), ("raw", "/127.0.0.1"));
        assert_eq!((&known.members[0].member_metadata[..], &known.members[0].member_assignment[..]), (&b"r"[..], &b"all"[..]));
        let expected = if version >= 6 { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::NONE };
        assert_eq!((response.groups[1].group_state.as_str(), response.groups[1].error_code), ("Dead", expected));
    }
    let listed = async |request: ListGroupsRequest| broker.raw_request(1, 5, &request).await.expect("an answer").groups;
    let all = listed(ListGroupsRequest::default()).await;
    assert_eq!((all[0].group_id.as_str(), all[0].group_state.as_str(), all[0].group_type.as_str()), (GROUP, "Stable", "classic"));
    assert!(listed(ListGroupsRequest { states_filter: vec![text("Empty")], ..Default::default() }).await.is_empty());
    assert_eq!(listed(ListGroupsRequest { types_filter: vec![text("Classic")], ..Default::default() }).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_groups_without_members_are_deleted() {
    let broker = broker();
    let one = joined(&broker, join(&text(""), RANGE)).await;
    sync(&broker, &one, &[(&one.member_id, "all")]).await;
    broker.set_committed("idle", "orders", 0, Some(5));
    for version in 0..=3 {
        let groups_names = [GROUP, "idle", "none", ""].map(|name| GroupId(text(name))).to_vec();
        let response = broker.raw_request(1, version, &DeleteGroupsRequest { groups_names }).await.expect("an answer");
        let codes: Vec<ErrorCode> = response.results.iter().map(|result| result.error_code).collect();
        let idle = if version == 0 { ErrorCode::NONE } else { ErrorCode::GROUP_ID_NOT_FOUND };
        let unknown = ErrorCode::GROUP_ID_NOT_FOUND;
        let expected = [ErrorCode::NON_EMPTY_GROUP, idle, unknown, unknown];
        assert_eq!(codes, expected, "version {version}");
    }
    assert_eq!((broker.group_state("idle"), broker.committed("idle", "orders", 0)), (None, None));
    assert_eq!(heartbeat(&broker, &one).await, ErrorCode::NONE);
}

/// A subscription to `topic` behind its version.
fn subscription(topic: &str) -> Bytes {
    let message = ConsumerProtocolSubscription { topics: vec![text(topic)], ..Default::default() };
    let mut writer = Writer::default();
    writer.copy(&3_i16.to_be_bytes());
    message.encode(3, &mut writer);
    writer.finish().concat().into()
}

#[tokio::test(start_paused = true)]
async fn offsets_are_deleted_where_no_member_subscribes() {
    let broker = broker();
    broker.create_topic("old", 1);
    let mut request = join(&text(""), RANGE);
    request.protocols[0].metadata = subscription("orders");
    let one = joined(&broker, request).await;
    sync(&broker, &one, &[(&one.member_id, "all")]).await;
    for topic in ["orders", "old"] {
        broker.set_committed(GROUP, topic, 0, Some(5));
    }
    let delete = async |group: &str| {
        let partitions = || vec![OffsetDeleteRequestPartition { partition_index: 0 }];
        let topic = |name: &str| OffsetDeleteRequestTopic { name: TopicName(text(name)), partitions: partitions() };
        let topics = vec![topic("orders"), topic("old"), topic("none")];
        let request = OffsetDeleteRequest { group_id: GroupId(text(group)), topics };
        broker.raw_request(1, 0, &request).await.expect("an answer")
    };
    let response = delete(GROUP).await;
    let codes: Vec<ErrorCode> = response.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    assert_eq!(codes, [ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC, ErrorCode::NONE, unknown]);
    assert_eq!((broker.committed(GROUP, "orders", 0), broker.committed(GROUP, "old", 0)), (Some(5), None));
    assert_eq!(delete("none").await.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    broker.expire_member(GROUP, one.member_id.as_str());
    assert_eq!(delete(GROUP).await.topics[0].partitions[0].error_code, ErrorCode::NONE);
    assert_eq!(broker.committed(GROUP, "orders", 0), None);
}
