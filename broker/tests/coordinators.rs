//! Coordinators that move, load, or are not there, on the level of the protocol.

use std::time::Duration;

use bytes::Bytes;
use klamm::protocol::messages::find_coordinator::FindCoordinatorRequest;
use klamm::protocol::messages::heartbeat::HeartbeatRequest;
use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use klamm::protocol::messages::list_groups::ListGroupsRequest;
use klamm::protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use klamm::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use klamm::protocol::{ErrorCode, GroupId, Str};
use klamm_broker::Broker;
use tokio::time::sleep;

const GROUP: &str = "billing";

fn text(text: &str) -> Str {
    Str::try_from(text).expect("short text")
}

fn broker() -> Broker {
    let broker = Broker::builder().nodes(3).topic("orders", 1).start_in_memory().expect("a broker");
    broker.set_coordinator(GROUP, 1);
    broker
}

async fn join(broker: &Broker, node: i32, member_id: Str) -> JoinGroupResponse {
    let mut request = JoinGroupRequest {
        group_id: GroupId(text(GROUP)),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 30_000,
        member_id,
        protocol_type: text("consumer"),
        protocols: vec![JoinGroupRequestProtocol { name: text("range"), metadata: Bytes::from_static(b"mine") }],
        ..Default::default()
    };
    let response = broker.raw_request(node, 9, &request).await.expect("an answer");
    if response.error_code != ErrorCode::MEMBER_ID_REQUIRED {
        return response;
    }
    request.member_id = response.member_id;
    broker.raw_request(node, 9, &request).await.expect("an answer")
}

async fn sync(broker: &Broker, node: i32, joined: &JoinGroupResponse) -> (ErrorCode, Bytes) {
    let to = SyncGroupRequestAssignment { member_id: joined.member_id.clone(), assignment: Bytes::from_static(b"all") };
    let request = SyncGroupRequest {
        group_id: GroupId(text(GROUP)),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: joined.protocol_type.clone(),
        protocol_name: joined.protocol_name.clone(),
        assignments: vec![to],
        ..Default::default()
    };
    let response = broker.raw_request(node, 5, &request).await.expect("an answer");
    (response.error_code, response.assignment)
}

async fn heartbeat(broker: &Broker, node: i32, joined: &JoinGroupResponse) -> ErrorCode {
    let (generation_id, member_id) = (joined.generation_id, joined.member_id.clone());
    let request = HeartbeatRequest { group_id: GroupId(text(GROUP)), generation_id, member_id, ..Default::default() };
    broker.raw_request(node, 4, &request).await.expect("an answer").error_code
}

async fn found(broker: &Broker) -> (ErrorCode, i32) {
    let request = FindCoordinatorRequest { coordinator_keys: vec![text(GROUP)], ..Default::default() };
    let response = broker.raw_request(1, 6, &request).await.expect("an answer");
    (response.coordinators[0].error_code, response.coordinators[0].node_id.0)
}

async fn fetched(broker: &Broker, node: i32) -> (ErrorCode, usize) {
    let asked = OffsetFetchRequestGroup { group_id: GroupId(text(GROUP)), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![asked], ..Default::default() };
    let response = broker.raw_request(node, 9, &request).await.expect("an answer").groups.remove(0);
    (response.error_code, response.topics.len())
}

#[tokio::test(start_paused = true)]
async fn members_and_offsets_survive_a_move_and_what_waits_is_told() {
    let broker = broker();
    let one = join(&broker, 1, text("")).await;
    assert_eq!(sync(&broker, 1, &one).await, (ErrorCode::NONE, Bytes::from_static(b"all")));
    broker.set_committed(GROUP, "orders", 0, Some(5));
    let (two, ()) = tokio::join!(join(&broker, 1, text("")), async {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(heartbeat(&broker, 1, &one).await, ErrorCode::REBALANCE_IN_PROGRESS);
        broker.set_coordinator(GROUP, 2);
    });
    assert_eq!(two.error_code, ErrorCode::NOT_COORDINATOR);
    assert_eq!(found(&broker).await, (ErrorCode::NONE, 2));
    assert_eq!(heartbeat(&broker, 1, &one).await, ErrorCode::NOT_COORDINATOR);
    // The rebalance is forgotten; the new member was never written down.
    assert_eq!(heartbeat(&broker, 2, &one).await, ErrorCode::NONE);
    assert_eq!(sync(&broker, 2, &one).await, (ErrorCode::NONE, Bytes::from_static(b"all")));
    assert_eq!(fetched(&broker, 2).await, (ErrorCode::NONE, 1));
    assert_eq!(broker.group_members(GROUP).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_loads_says_so_but_takes_heartbeats() {
    let broker = broker();
    let one = join(&broker, 1, text("")).await;
    sync(&broker, 1, &one).await;
    broker.move_coordinator(GROUP, 3, Duration::from_secs(5));
    assert_eq!(found(&broker).await, (ErrorCode::NONE, 3));
    assert_eq!(heartbeat(&broker, 3, &one).await, ErrorCode::NONE);
    assert_eq!(join(&broker, 3, text("")).await.error_code, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    assert_eq!(fetched(&broker, 3).await, (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, 0));
    let listed = async |node| broker.raw_request(node, 5, &ListGroupsRequest::default()).await.expect("an answer");
    assert_eq!(listed(3).await.error_code, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    assert_eq!(listed(1).await.error_code, ErrorCode::NONE);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(join(&broker, 3, one.member_id.clone()).await.generation_id, 2);
    assert_eq!(listed(3).await.groups.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_without_coordinator_is_nowhere_until_it_has_one() {
    let broker = broker();
    let one = join(&broker, 1, text("")).await;
    sync(&broker, 1, &one).await;
    broker.unload_coordinator(GROUP);
    assert_eq!((found(&broker).await, broker.coordinator(GROUP)), ((ErrorCode::COORDINATOR_NOT_AVAILABLE, -1), None));
    for node in 1..=3 {
        assert_eq!(heartbeat(&broker, node, &one).await, ErrorCode::NOT_COORDINATOR);
    }
    broker.set_coordinator(GROUP, 1);
    assert_eq!(heartbeat(&broker, 1, &one).await, ErrorCode::NONE);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_dies_hands_its_groups_over() {
    let broker = broker();
    let one = join(&broker, 1, text("")).await;
    sync(&broker, 1, &one).await;
    // A second generation whose assignment never came.
    let again = join(&broker, 1, one.member_id.clone()).await;
    assert_eq!(again.generation_id, 2);
    broker.stop_node(1);
    assert_eq!(heartbeat(&broker, 2, &again).await, ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(heartbeat(&broker, 2, &one).await, ErrorCode::NONE);
    broker.start_node(1).await.expect("started");
    assert_eq!(heartbeat(&broker, 2, &one).await, ErrorCode::NOT_COORDINATOR);
    assert_eq!(heartbeat(&broker, 1, &one).await, ErrorCode::NONE);
}
