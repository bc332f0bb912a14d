use super::*;
use crate::protocol::messages::create_topics::{CreatableTopicResult, CreateTopicsResponse};
use crate::protocol::messages::list_groups::ListGroupsResponse;
use crate::protocol::messages::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse};
use crate::protocol::{Str, TopicName};
use crate::record::TopicPartition;

fn snapshot(brokers: i32) -> Snapshot {
    let node = |id| (BrokerId(id), Node::new(BrokerId(id), format!("b{id}"), 9092));
    Snapshot { version: 1, controller: Some(BrokerId(1)), brokers: (1..=brokers).map(node).collect(), ..Snapshot::default() }
}

fn call(api: ApiKey, route: Route, now: Instant) -> Call {
    Call::new(api, route, now, now + Duration::from_secs(10), BackoffConfig::default(), 1)
}

fn node(id: i32) -> Node {
    Node::new(BrokerId(id), format!("b{id}"), 9092)
}

fn refused() -> Error {
    Error::new(ErrorKind::Disconnected, "refused")
}

fn target(call: &mut Call, snapshot: &Snapshot, favorite: Option<i32>) -> Result<i32, String> {
    match call.target(snapshot, favorite.map(BrokerId)) {
        Target::Node(node) => Ok(node.id.0),
        Target::Coordinator(key) => Err(key.key),
        Target::Unknown(error) => Err(error.to_string()),
    }
}

#[test]
fn any_goes_to_the_favorite_and_then_to_each_other_broker_without_a_pause() {
    let now = Instant::now();
    let mut call = call(ApiKey::METADATA, Route::Any, now);
    let snapshot = snapshot(3);
    let mut tried = vec![target(&mut call, &snapshot, Some(2)).unwrap()];
    assert_eq!(tried, [2]);
    for _ in 0..2 {
        let failed = node(*tried.last().unwrap());
        let Verdict::Retry { at, .. } = call.handle_failure(now, &failed, refused(), false) else { panic!("gave up") };
        assert_eq!(at, now);
        tried.push(target(&mut call, &snapshot, Some(2)).unwrap());
    }
    tried.sort_unstable();
    assert_eq!(tried, [1, 2, 3]);
    call.handle_failure(now, &node(tried[0]), refused(), false);
    call.handle_failure(now, &node(tried[1]), refused(), false);
    call.handle_failure(now, &node(tried[2]), refused(), false);
    let Target::Unknown(error) = call.target(&snapshot, None) else { panic!("a fourth broker") };
    let Verdict::Retry { at, .. } = call.handle_unknown(now, error, true) else { panic!("gave up") };
    assert!(at > now, "a pause once all failed");
    assert!(target(&mut call, &snapshot, None).is_ok(), "and then again");
}

#[test]
fn routes_lead_where_they_say() {
    let now = Instant::now();
    let snapshot = snapshot(3);
    assert_eq!(target(&mut call(ApiKey::CREATE_TOPICS, Route::Controller, now), &snapshot, None), Ok(1));
    assert_eq!(target(&mut call(ApiKey::LIST_GROUPS, Route::Broker(BrokerId(3)), now), &snapshot, None), Ok(3));
    assert_eq!(target(&mut call(ApiKey::HEARTBEAT, Route::Group("g".into()), now), &snapshot, None), Err("g".into()));
    let nowhere = Snapshot::default();
    assert!(target(&mut call(ApiKey::METADATA, Route::Any, now), &nowhere, None).is_err());
}

#[test]
fn a_broker_that_is_not_in_the_cluster_is_an_error_once_that_is_certain() {
    let now = Instant::now();
    let mut call = call(ApiKey::LIST_GROUPS, Route::Broker(BrokerId(9)), now);
    let Target::Unknown(error) = call.target(&snapshot(2), None) else { panic!("found") };
    assert!(matches!(call.handle_unknown(now, error.clone(), false), Verdict::Retry { refresh: true, .. }));
    let Verdict::Failed(error) = call.handle_unknown(now, error, true) else { panic!("goes on") };
    assert!(error.to_string().contains("no broker 9") && error.to_string().contains("1, 2"), "{error}");
}

#[test]
fn an_answer_from_the_wrong_broker_is_followed_by_another_attempt_elsewhere() {
    let now = Instant::now();
    let moved = |code| CreateTopicsResponse {
        topics: vec![CreatableTopicResult { error_code: code, ..Default::default() }],
        ..Default::default()
    };
    let mut create = call(ApiKey::CREATE_TOPICS, Route::Controller, now);
    let verdict = create.handle_response(now, &node(1), &moved(ErrorCode::NOT_CONTROLLER));
    assert!(matches!(verdict, Verdict::Retry { refresh: true, .. }));
    let verdict = create.handle_response(now, &node(1), &moved(ErrorCode::TOPIC_ALREADY_EXISTS));
    assert!(matches!(verdict, Verdict::Done), "that is an answer");
    let mut list = call(ApiKey::LIST_GROUPS, Route::Group("g".into()), now);
    let loading = ListGroupsResponse { error_code: ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ..Default::default() };
    assert!(matches!(list.handle_response(now, &node(1), &loading), Verdict::Retry { forget_coordinator: false, .. }));
    let moved = ListGroupsResponse { error_code: ErrorCode::NOT_COORDINATOR, ..Default::default() };
    assert!(matches!(list.handle_response(now, &node(1), &moved), Verdict::Retry { forget_coordinator: true, .. }));
}

#[test]
fn a_moved_leader_matters_only_to_who_asked_for_the_leader() {
    let now = Instant::now();
    let partition = ListOffsetsPartitionResponse { error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER, ..Default::default() };
    let name = TopicName(Str::truncated("t"));
    let answer = ListOffsetsResponse {
        topics: vec![ListOffsetsTopicResponse { name, partitions: vec![partition] }],
        ..Default::default()
    };
    let mut leader = call(ApiKey::LIST_OFFSETS, Route::Leader(TopicPartition::new("t", 0)), now);
    assert!(matches!(leader.handle_response(now, &node(1), &answer), Verdict::Retry { refresh: true, .. }));
    let mut broker = call(ApiKey::LIST_OFFSETS, Route::Broker(BrokerId(1)), now);
    assert!(matches!(broker.handle_response(now, &node(1), &answer), Verdict::Done));
}

#[test]
fn what_may_have_been_written_is_not_sent_again() {
    let now = Instant::now();
    let route = || Route::Leader(TopicPartition::new("t", 0));
    let Verdict::Failed(error) = call(ApiKey::PRODUCE, route(), now).handle_failure(now, &node(1), refused(), true) else {
        panic!("sent again")
    };
    assert!(error.is_possibly_written());
    let unwritten = call(ApiKey::PRODUCE, route(), now).handle_failure(now, &node(1), refused(), false);
    assert!(matches!(unwritten, Verdict::Retry { .. }));
    let read = call(ApiKey::LIST_OFFSETS, route(), now).handle_failure(now, &node(1), refused(), true);
    assert!(matches!(read, Verdict::Retry { .. }));
}

#[test]
fn what_cannot_pass_fails_at_once() {
    let now = Instant::now();
    let error = Error::new(ErrorKind::UnsupportedVersion, "too old");
    let verdict = call(ApiKey::METADATA, Route::Any, now).handle_failure(now, &node(1), error, false);
    assert!(matches!(verdict, Verdict::Failed(_)));
}

#[test]
fn retries_end_at_the_deadline_with_each_brokers_last_reason() {
    let start = Instant::now();
    let mut now = start;
    let mut call = call(ApiKey::CREATE_TOPICS, Route::Controller, now);
    let error = loop {
        let reason = Error::new(ErrorKind::Disconnected, format!("try {:?}", now - start));
        match call.handle_failure(now, &node(1), reason, false) {
            Verdict::Retry { at, .. } => now = at,
            Verdict::Failed(error) => break error,
            Verdict::Done => panic!("no answer came"),
        }
        assert!(now <= start + Duration::from_secs(10));
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("1 (b1:9092): try "), "{error}");
    assert!((10..30).contains(&error.attempts().unwrap()), "{error}");
}
