//! Joining and leaving (acceptance group J).

use std::sync::Arc;

use klamm::ErrorKind;
use klamm::consumer::assignor::{CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor};
use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use klamm::protocol::messages::leave_group::LeaveGroupRequest;
use klamm::protocol::{GroupId, Str};

use super::*;

#[tokio::test(start_paused = true)]
async fn rk_127_without_a_subscription_there_is_an_error_and_no_join() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    let error = client.consumer("g").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("topic"), "{error}");
    tokio::time::sleep(10 * SECOND).await;
    assert!(broker.requests_of(ApiKey::JOIN_GROUP).is_empty());
}

#[tokio::test(start_paused = true)]
async fn rk_128_join_group_says_45_seconds_and_5_minutes_by_default() {
    // defaults.md, Consumer: `session.timeout.ms` 45 s, `max.poll.interval.ms` (= rebalance time-out) 5 min; ruby-kafka has 30 s and 60 s.
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    next(&mut member(&client).build().unwrap()).await;
    for request in broker.decoded::<JoinGroupRequest>() {
        assert_eq!((request.session_timeout_ms, request.rebalance_timeout_ms), (45_000, 300_000));
    }
    let set = member(&client).session_timeout(30 * SECOND).max_poll_interval(60 * SECOND);
    broker.clear_requests();
    next(&mut set.build().unwrap()).await;
    let request = broker.decoded::<JoinGroupRequest>().remove(0);
    assert_eq!((request.session_timeout_ms, request.rebalance_timeout_ms), (30_000, 60_000));
}

#[tokio::test(start_paused = true)]
async fn rk_129_a_member_gets_over_unknown_member_loading_not_coordinator_and_not_available() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..3);
    refuse(
        &broker,
        ApiKey::JOIN_GROUP,
        [
            ErrorCode::UNKNOWN_MEMBER_ID,
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ErrorCode::NOT_COORDINATOR,
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ],
    );
    let mut consumer = member(&client).build().unwrap();
    for expected in ["0", "1", "2"] {
        assert_eq!(next(&mut consumer).await.value.as_deref(), Some(expected.as_bytes()));
    }
    let joins = broker.decoded::<JoinGroupRequest>();
    assert_eq!(joins[1].member_id.as_str(), "", "after 25");
    // 25, 14, 16, 15, then the id is given, then it holds.
    assert_eq!(joins.len(), 6);
    assert!(!joins[5].member_id.as_str().is_empty());
    assert!(broker.requests_of(ApiKey::FIND_COORDINATOR).len() >= 3, "16 and 15 look the coordinator up again");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_member_leaves_the_group() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).build().unwrap();
    next(&mut consumer).await;
    assert_eq!(broker.group_members("g").len(), 1);
    consumer.stop();
    assert!(consumer.next().await.unwrap().is_none());
    assert!(broker.group_members("g").is_empty());
    assert_eq!(broker.committed("g", "t", 0), Some(1), "what was given out before counts");
    let leave = broker.decoded::<LeaveGroupRequest>();
    assert_eq!(leave.len(), 1);
    assert!(leave[0].members[0].reason.is_some(), "KIP-800");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_member_leaves_the_group_without_a_commit() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).build().unwrap();
    next(&mut consumer).await;
    drop(consumer);
    tokio::time::sleep(SECOND).await;
    assert!(broker.group_members("g").is_empty());
    assert_eq!(broker.committed("g", "t", 0), None);
}

#[tokio::test(start_paused = true)]
async fn a_static_member_keeps_its_place_and_partitions_over_a_restart() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    append(&broker, 0, 0..1);
    append(&broker, 1, 0..1);
    let named = || member(&client).group_instance_id("one").build().unwrap();
    let mut first = named();
    next(&mut first).await;
    first.close(5 * SECOND).await.unwrap();
    assert!(broker.requests_of(ApiKey::LEAVE_GROUP).is_empty());
    assert_eq!(broker.group_members("g").len(), 1, "it comes back before the session is over");
    let generation = broker.group_generation("g");
    let mut second = named();
    next(&mut second).await;
    assert_eq!(broker.group_members("g").len(), 1);
    assert!(broker.group_generation("g") <= generation + 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_consumer_of_the_same_instance_id_fences_the_first() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let named = || member(&client).group_instance_id("one").build().unwrap();
    let (mut first, mut second) = (named(), named());
    next(&mut first).await;
    next(&mut second).await;
    let error = timeout(60 * SECOND, async {
        loop {
            if let Err(error) = first.next().await {
                break error;
            }
        }
    });
    let error = error.await.expect("fenced within a minute");
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(error.is_fatal() && error.to_string().contains("one"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn members_without_a_common_assignor_are_told_what_the_group_uses() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut first = member(&client).assignors([Arc::new(RangeAssignor) as _]).build().unwrap();
    next(&mut first).await;
    let refused = async || {
        let mut second = member(&client).assignors([Arc::new(RoundRobinAssignor) as _]).build().unwrap();
        let error = timeout(60 * SECOND, second.next()).await.expect("soon").unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Group, Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)));
        assert!(error.is_fatal() && error.to_string().contains("\"g\""), "{error}");
        error.to_string()
    };
    let error = refused().await;
    for words in ["uses the assignor \"range\"", "[\"roundrobin\"]", "client \"klamm\"", "partition.assignment.strategy"] {
        assert!(error.contains(words), "{words}: {error}");
    }
    // Who may not describe groups is told what it offers itself.
    broker.intercept_all(ApiKey::DESCRIBE_GROUPS, |_| Intercept::Error(ErrorCode::GROUP_AUTHORIZATION_FAILED));
    let error = refused().await;
    assert!(error.contains("roundrobin") && !error.contains("range"), "{error}");
    // And one that is not answered waits for some seconds only.
    broker.intercept_all(ApiKey::DESCRIBE_GROUPS, |_| Intercept::Swallow);
    let begin = tokio::time::Instant::now();
    assert!(refused().await.contains("roundrobin"));
    assert!(begin.elapsed() < 7 * SECOND, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_group_of_another_protocol_type_is_said_to_be_in_use_for_something_else() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    let mut join = JoinGroupRequest {
        group_id: GroupId(Str::truncated("g")),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: Str::truncated("connect"),
        protocols: vec![JoinGroupRequestProtocol { name: Str::truncated("default"), ..Default::default() }],
        ..Default::default()
    };
    join.member_id = broker.raw_request(1, 9, &join).await.unwrap().member_id;
    let joined = broker.raw_request(1, 9, &join).await.unwrap();
    assert_eq!(joined.error_code, ErrorCode::NONE);
    let mut consumer = member(&client).build().unwrap();
    let error = timeout(60 * SECOND, consumer.next()).await.expect("soon").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
    for words in ["type \"connect\", not \"consumer\"", "1 member of client", "another group.id"] {
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_time_out_that_the_broker_does_not_allow_is_an_error_with_the_limits() {
    let (broker, client) = start(Broker::builder().topic("t", 1).session_timeouts(7 * SECOND..=31 * SECOND)).await;
    let refused = async || {
        let mut consumer = member(&client).build().unwrap();
        let error = timeout(60 * SECOND, consumer.next()).await.expect("soon").unwrap_err();
        assert_eq!((error.code(), error.is_fatal()), (Some(ErrorCode::INVALID_SESSION_TIMEOUT), true));
        error.to_string()
    };
    let error = refused().await;
    for words in ["45000", "7000 to 31000", "group.max.session.timeout.ms"] {
        assert!(error.contains(words), "{words}: {error}");
    }
    // Who may not see the broker's settings is told which they are.
    broker.intercept_all(ApiKey::DESCRIBE_CONFIGS, |_| Intercept::Error(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    let error = refused().await;
    assert!(error.contains("45000") && error.contains("group.max.session.timeout.ms (1800000 unless set)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_full_group_refuses_one_more_member_by_name() {
    let (broker, client) = start(Broker::builder().topic("t", 1).group_max_size(1)).await;
    append(&broker, 0, 0..1);
    let mut first = member(&client).build().unwrap();
    next(&mut first).await;
    let mut second = member(&client).build().unwrap();
    let error = timeout(60 * SECOND, second.next()).await.expect("at once").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::GROUP_MAX_SIZE_REACHED));
    assert!(error.to_string().contains("group.max.size"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_assignors_offered_are_the_ones_named_in_order() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let assignors: [Arc<dyn klamm::consumer::assignor::Assignor>; 2] =
        [Arc::new(RangeAssignor), Arc::new(CooperativeStickyAssignor)];
    next(&mut member(&client).assignors(assignors).build().unwrap()).await;
    let request = broker.decoded::<JoinGroupRequest>().remove(0);
    let names: Vec<&str> = request.protocols.iter().map(|protocol| protocol.name.as_str()).collect();
    assert_eq!(names, ["range", "cooperative-sticky"]);
    assert_eq!(broker.group_protocol("g").as_deref(), Some("range"));
}
