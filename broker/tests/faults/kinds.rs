//! Every kind of fault, once in memory on a paused clock and once over TCP.

use std::io::ErrorKind;
use std::time::Duration;

use klamm::protocol::messages::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use klamm::protocol::messages::end_txn::EndTxnRequest;
use klamm::protocol::messages::find_coordinator::FindCoordinatorRequest;
use klamm::protocol::messages::heartbeat::HeartbeatRequest;
use klamm::protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::messages::sasl_authenticate::SaslAuthenticateRequest;
use klamm::protocol::messages::sasl_handshake::SaslHandshakeRequest;
use klamm::protocol::{ApiKey, ErrorCode, GroupId, SecretBytes, Str, TransactionalId};
use klamm_broker::SaslMechanism;
use klamm_broker::faults::{BrokerFault, Coordinated, Direction, FencedProducer, Kind, NetworkEffect, NetworkFault};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::client::{TOPIC, World, batch, builder, one, produce, produce_batches};

#[tokio::test(start_paused = true)]
async fn every_kind_in_memory() {
    for kind in Kind::ALL {
        show(*kind, false).await;
    }
}

/// All at once: they have to wait most of the time.
#[tokio::test]
async fn every_kind_over_tcp() {
    let mut shown = JoinSet::new();
    for kind in Kind::ALL {
        shown.spawn(show(*kind, true));
    }
    while let Some(shown) = shown.join_next().await {
        shown.expect("as in memory");
    }
}

async fn show(kind: Kind, is_tcp: bool) {
    let builder = match kind {
        Kind::ExpireCredentials => builder().sasl_user(SaslMechanism::Plain, "alice", "alice-secret"),
        _ => builder(),
    };
    let name = if is_tcp { "over TCP" } else { "in memory" };
    println!("{kind} {name}");
    let world = World::start(builder, is_tcp).await;
    match kind {
        Kind::Delay => delay(&world).await,
        Kind::BlackHole => black_hole(&world).await,
        Kind::Slow => slow(&world).await,
        Kind::RefuseConnect => refuse_connect(&world).await,
        Kind::Cut => cut(&world).await,
        Kind::Corrupt => corrupt(&world).await,
        Kind::Error => error(&world).await,
        Kind::Disconnect => disconnect(&world).await,
        Kind::LateAnswer => late_answer(&world).await,
        Kind::Throttle => throttle(&world).await,
        Kind::StaleMetadata => stale_metadata(&world).await,
        Kind::DuplicateMetadata => duplicate_metadata(&world).await,
        Kind::MoveLeader => move_leader(&world).await,
        Kind::LoseLeader => lose_leader(&world).await,
        Kind::UncleanElection => unclean_election(&world).await,
        Kind::HoldReplication => hold_replication(&world).await,
        Kind::HoldMarkers => hold_markers(&world).await,
        Kind::Truncate => truncate(&world).await,
        Kind::MoveCoordinator => move_coordinator(&world).await,
        Kind::UnloadCoordinator => unload_coordinator(&world).await,
        Kind::LoadCoordinator => load_coordinator(&world).await,
        Kind::FenceProducer => fence_producer(&world).await,
        Kind::ExpireSessions => expire_sessions(&world).await,
        Kind::KillNode => kill_node(&world).await,
        Kind::RestartNode => restart_node(&world).await,
        Kind::ClockJump => clock_jump(&world).await,
        Kind::DeleteTopic => delete_topic(&world).await,
        Kind::ExpireCredentials => expire_credentials(&world).await,
        other => panic!("{other} is not shown"),
    }
}

// ---- The network ----

async fn delay(world: &World) {
    let late = NetworkEffect::Delay { delay: world.time(), jitter: Duration::ZERO };
    world.broker.fault(NetworkFault::from(late).at(1).towards(Direction::FromBroker).lasting(3 * world.time()));
    let start = Instant::now();
    let mut client = world.connect(1).await;
    client.request(9, &produce("x")).await.expect("an answer");
    // In memory, connecting takes as long as an answer on its way.
    world.took(start, 2 * world.time());
    sleep(2 * world.time()).await;
    let start = Instant::now();
    client.request(9, &produce("x")).await.expect("an answer");
    world.took(start, Duration::ZERO);
}

async fn black_hole(world: &World) {
    let mut client = world.connect(1).await;
    client.request(9, &produce("before")).await.expect("an answer");
    world.broker.fault(NetworkFault::from(NetworkEffect::BlackHole).at(1).towards(Direction::ToBroker).lasting(world.time()));
    let start = Instant::now();
    client.send(9, &produce("late")).await.expect("sent");
    sleep(world.time() / 2).await;
    assert_eq!(world.values(), ["before"]);
    client.receive::<ProduceRequest>(9).await.expect("an answer");
    world.took(start, world.time());
    world.broker.fault(NetworkFault::from(NetworkEffect::BlackHole).towards(Direction::FromBroker));
    client.send(9, &produce("unanswered")).await.expect("sent");
    world.broker.wait_for(ApiKey::PRODUCE, 3).await;
    let answer = tokio::time::timeout(2 * world.time(), client.receive::<ProduceRequest>(9)).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(world.values(), ["before", "late", "unanswered"]);
    world.broker.clear_faults();
    client.receive::<ProduceRequest>(9).await.expect("what was held back comes now");
}

async fn slow(world: &World) {
    let pace = NetworkFault::from(NetworkEffect::Slow { bytes_per_second: 400 });
    let mut client = world.connect(1).await;
    world.broker.fault(pace.clone().towards(Direction::ToBroker));
    let start = Instant::now();
    // 4 pieces of 20 bytes, each but the first 50 ms after the one before.
    let request = produce("0123456789");
    let sent = klamm::protocol::header::encode_request(1, Some(&Str::try_from("raw").expect("short")), 9, &request);
    let pieces = sent.expect("it fits").concat().len().div_ceil(20) as u64;
    client.request(9, &request).await.expect("an answer");
    world.took(start, Duration::from_millis((pieces - 1) * 50));
    assert!(pieces > 4);
}

async fn refuse_connect(world: &World) {
    let mut before = world.connect(1).await;
    before.request(9, &produce("x")).await.expect("an answer");
    world.broker.fault(NetworkFault::from(NetworkEffect::RefuseConnect).at(1).lasting(world.time()));
    match world.try_connect(1).await {
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
        Ok(mut client) => {
            assert!(world.is_tcp());
            assert!(client.request(9, &produce("never")).await.is_err());
        }
    }
    before.request(9, &produce("x")).await.expect("it stays");
    world.metadata(2).await.expect("the other node takes connections");
    sleep(world.time()).await;
    world.metadata(1).await.expect("over");
}

async fn cut(world: &World) {
    let effect = NetworkEffect::Cut { after: 10, connections: 1 };
    world.broker.fault(NetworkFault::from(effect).at(1).towards(Direction::FromBroker));
    let mut client = world.connect(1).await;
    client.send(9, &produce("unanswered")).await.expect("sent");
    assert_eq!(client.rest().await.len(), 10);
    assert_eq!(world.values(), ["unanswered"]);
    world.produce(1, "the next connection").await;
    // The other way, in the middle of a request.
    let effect = NetworkEffect::Cut { after: 30, connections: 1 };
    world.broker.fault(NetworkFault::from(effect).at(1).towards(Direction::ToBroker));
    assert!(world.ask(1, 9, &produce("never there")).await.is_err());
    assert_eq!(world.values().len(), 2);
    // At once.
    let mut client = world.connect(2).await;
    client.request(12, &crate::client::metadata()).await.expect("an answer");
    world.broker.fault(NetworkFault::from(NetworkEffect::Cut { after: 0, connections: 1 }).at(2));
    assert!(client.rest().await.is_empty());
}

async fn corrupt(world: &World) {
    // The last byte of the correlation id, which follows four bytes of length.
    let effect = NetworkEffect::Corrupt { at: 7, mask: 0x40, connections: 1 };
    world.broker.fault(NetworkFault::from(effect).towards(Direction::FromBroker));
    let mut client = world.connect(1).await;
    let sent = client.send(9, &produce("x")).await.expect("sent");
    assert_eq!(client.receive::<ProduceRequest>(9).await.expect("an answer").0, sent ^ 0x40);
    client.request(9, &produce("x")).await.expect("only once");
    // In a batch: its checksum tells.
    let effect = NetworkEffect::Corrupt { at: 120, mask: 1, connections: 1 };
    world.broker.fault(NetworkFault::from(effect).towards(Direction::ToBroker));
    let answer = one(client.request(9, &produce("a longer record, so that byte 120 is in it")).await.expect("an answer"));
    assert_eq!(answer.error_code, ErrorCode::CORRUPT_MESSAGE);
}

// ---- Requests ----

async fn error(world: &World) {
    let fault = |node, partitions| BrokerFault::Error {
        api: ApiKey::PRODUCE,
        code: ErrorCode::NOT_ENOUGH_REPLICAS,
        times: 2,
        node,
        partitions,
    };
    world.broker.fault(fault(None, Vec::new()));
    for code in [ErrorCode::NOT_ENOUGH_REPLICAS, ErrorCode::NOT_ENOUGH_REPLICAS, ErrorCode::NONE] {
        assert_eq!(world.produce(1, "x").await.error_code, code);
    }
    world.broker.fault(fault(Some(2), Vec::new()));
    assert_eq!(world.produce(1, "x").await.error_code, ErrorCode::NONE);
    // In part.
    world.broker.move_leader(TOPIC, 1, 1);
    world.broker.fault(fault(Some(1), vec![(TOPIC.to_owned(), 1)]));
    let both = produce_batches(vec![batch("in 0", -1, -1), batch("in 1", -1, -1)]);
    let answer = world.ask(1, 9, &both).await.expect("an answer");
    let codes: Vec<_> = answer.responses[0].partition_responses.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::NOT_ENOUGH_REPLICAS]);
    assert!(world.broker.log(TOPIC, 1).is_empty());
}

async fn disconnect(world: &World) {
    for (handled, expected) in [(false, vec![]), (true, vec!["x"])] {
        world.broker.fault(BrokerFault::Disconnect { api: ApiKey::PRODUCE, times: 1, node: None, handled });
        assert!(world.ask(1, 9, &produce("x")).await.is_err());
        assert_eq!(world.values(), expected);
    }
    assert_eq!(world.produce(1, "y").await.base_offset, 1);
}

async fn late_answer(world: &World) {
    world.broker.fault(BrokerFault::LateAnswer { api: ApiKey::PRODUCE, times: 1, node: None, delay: world.time() });
    let start = Instant::now();
    let mut client = world.connect(1).await;
    client.send(9, &produce("x")).await.expect("sent");
    sleep(world.time() / 2).await;
    assert_eq!(world.values(), ["x"]);
    client.receive::<ProduceRequest>(9).await.expect("an answer");
    world.took(start, world.time());
}

async fn throttle(world: &World) {
    world.broker.fault(BrokerFault::Throttle { throttle: world.time(), lasts: Some(3 * world.time() / 2) });
    let mut client = world.connect(1).await;
    let start = Instant::now();
    let millis = i32::try_from(world.time().as_millis()).expect("short");
    for expected in [Duration::ZERO, world.time()] {
        assert_eq!(client.request(9, &produce("x")).await.expect("an answer").throttle_time_ms, millis);
        world.took(start, expected);
    }
    assert_eq!(client.request(9, &produce("x")).await.expect("an answer").throttle_time_ms, 0, "over");
}

// ---- The cluster ----

async fn leader(world: &World, node: i32) -> (ErrorCode, i32, i32) {
    let mut answer = world.metadata(node).await.expect("an answer");
    let partition = answer.topics.remove(0).partitions.remove(0);
    (partition.error_code, partition.leader_id.0, partition.leader_epoch)
}

async fn stale_metadata(world: &World) {
    world.broker.fault(BrokerFault::StaleMetadata { node: Some(1), lasts: Some(world.time()) });
    world.broker.move_leader(TOPIC, 0, 2);
    world.broker.create_topic("new", 1);
    assert_eq!(leader(world, 1).await, (ErrorCode::NONE, 1, 0));
    assert_eq!(leader(world, 2).await, (ErrorCode::NONE, 2, 1), "the other node knows");
    world.pass().await;
    assert_eq!(leader(world, 1).await, (ErrorCode::NONE, 2, 1));
}

async fn duplicate_metadata(world: &World) {
    world.broker.fault(BrokerFault::DuplicateMetadata { node: None, lasts: Some(world.time()) });
    let answer = world.metadata(1).await.expect("an answer");
    assert_eq!((answer.brokers.len(), answer.topics.len(), answer.topics[0].partitions.len()), (4, 2, 4));
    world.pass().await;
    let answer = world.metadata(1).await.expect("an answer");
    assert_eq!((answer.brokers.len(), answer.topics.len(), answer.topics[0].partitions.len()), (2, 1, 2));
}

async fn move_leader(world: &World) {
    world.broker.fault(BrokerFault::MoveLeader { topic: TOPIC.to_owned(), partition: 0, to: None });
    assert_eq!(leader(world, 1).await, (ErrorCode::NONE, 2, 1));
    assert_eq!(world.produce(1, "x").await.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(world.produce(2, "x").await.error_code, ErrorCode::NONE);
    world.broker.fault(BrokerFault::MoveLeader { topic: TOPIC.to_owned(), partition: 0, to: Some(1) });
    assert_eq!(leader(world, 1).await, (ErrorCode::NONE, 1, 2));
}

async fn lose_leader(world: &World) {
    world.broker.fault(BrokerFault::LoseLeader { topic: TOPIC.to_owned(), partition: 0, lasts: Some(world.time()) });
    assert_eq!(leader(world, 1).await, (ErrorCode::LEADER_NOT_AVAILABLE, -1, 1));
    assert_eq!(world.produce(1, "x").await.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    world.pass().await;
    assert_eq!(leader(world, 1).await, (ErrorCode::NONE, 1, 2));
    assert_eq!(world.produce(1, "x").await.error_code, ErrorCode::NONE);
}

/// Writes one record that nobody waits for.
async fn produce_unreplicated(world: &World, node: i32, value: &str) {
    let mut request = produce(value);
    request.acks = 1;
    let answer = one(world.ask(node, 9, &request).await.expect("an answer"));
    assert_eq!(answer.error_code, ErrorCode::NONE);
}

async fn hold_replication(world: &World) {
    world.broker.fault(BrokerFault::HoldReplication { node: 2, lasts: Some(world.time()) });
    let start = Instant::now();
    produce_unreplicated(world, 1, "at once").await;
    world.took(start, Duration::ZERO);
    assert_eq!(world.produce(1, "waits for its followers").await.base_offset, 1);
    world.took(start, world.time());
}

async fn unclean_election(world: &World) {
    world.produce(1, "everywhere").await;
    world.broker.fault(BrokerFault::HoldReplication { node: 2, lasts: None });
    produce_unreplicated(world, 1, "lost").await;
    world.broker.fault(BrokerFault::UncleanElection { topic: TOPIC.to_owned(), partition: 0, to: Some(2) });
    assert_eq!(leader(world, 1).await, (ErrorCode::NONE, 2, 1));
    world.broker.clear_faults();
    assert_eq!(world.produce(2, "after").await.base_offset, 1);
    assert_eq!(world.values(), ["everywhere", "after"]);
}

async fn hold_markers(world: &World) {
    let transactional_id = TransactionalId(Str::try_from("copy").expect("short"));
    let node = world.broker.coordinator("copy").expect("a coordinator");
    let request = InitProducerIdRequest {
        transactional_id: Some(transactional_id.clone()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let InitProducerIdResponse { producer_id, producer_epoch, error_code, .. } =
        world.ask(node, 4, &request).await.expect("an answer");
    assert_eq!(error_code, ErrorCode::NONE);
    let topics = vec![AddPartitionsToTxnTopic { name: crate::client::topic(), partitions: vec![0] }];
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: transactional_id.clone(),
        v3_and_below_producer_id: producer_id,
        v3_and_below_producer_epoch: producer_epoch,
        v3_and_below_topics: topics,
        ..Default::default()
    };
    world.ask(node, 3, &request).await.expect("an answer");
    world.broker.fault(BrokerFault::HoldMarkers { lasts: Some(world.time()) });
    let request = EndTxnRequest { transactional_id, producer_id, producer_epoch, committed: true };
    assert_eq!(world.ask(node, 3, &request).await.expect("an answer").error_code, ErrorCode::NONE);
    assert!(world.broker.log(TOPIC, 0).is_empty());
    world.pass().await;
    assert_eq!(world.broker.log(TOPIC, 0).len(), 1, "the marker");
}

async fn truncate(world: &World) {
    for value in ["a", "b", "c"] {
        world.produce(1, value).await;
    }
    world.broker.fault(BrokerFault::Truncate { topic: TOPIC.to_owned(), partition: 0, records: 2 });
    assert_eq!(leader(world, 1).await.2, 1);
    assert_eq!(world.produce(1, "d").await.base_offset, 1);
    assert_eq!(world.values(), ["a", "d"]);
}

// ---- Coordinators ----

fn group() -> GroupId {
    GroupId(Str::try_from("billing").expect("short"))
}

async fn coordinator(world: &World, node: i32) -> (ErrorCode, i32) {
    let coordinator_keys = vec![group().0];
    let request = FindCoordinatorRequest { coordinator_keys, ..Default::default() };
    let found = world.ask(node, 4, &request).await.expect("an answer").coordinators.remove(0);
    (found.error_code, found.node_id.0)
}

/// Joins as the only member, and gives its id.
async fn join(world: &World, node: i32) -> Result<Str, ErrorCode> {
    let protocol = JoinGroupRequestProtocol { name: Str::try_from("range").expect("short"), metadata: bytes::Bytes::new() };
    let request = JoinGroupRequest {
        group_id: group(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: Str::try_from("consumer").expect("short"),
        protocols: vec![protocol],
        ..Default::default()
    };
    // Before version 4, the member gets its id and is in at once.
    let joined = world.ask(node, 3, &request).await.expect("an answer");
    joined.error_code.ok().map(|()| joined.member_id)
}

async fn heartbeat(world: &World, node: i32, member_id: &Str) -> ErrorCode {
    let request = HeartbeatRequest { group_id: group(), generation_id: 1, member_id: member_id.clone(), ..Default::default() };
    world.ask(node, 4, &request).await.expect("an answer").error_code
}

fn of_group() -> Coordinated {
    Coordinated::Group("billing".to_owned())
}

async fn move_coordinator(world: &World) {
    let (_, first) = coordinator(world, 1).await;
    let second = 3 - first;
    world.broker.fault(BrokerFault::MoveCoordinator { of: of_group(), to: None });
    assert_eq!(coordinator(world, 1).await, (ErrorCode::NONE, second));
    assert_eq!(join(world, first).await, Err(ErrorCode::NOT_COORDINATOR));
    assert!(join(world, second).await.is_ok());
    world.broker.fault(BrokerFault::MoveCoordinator { of: of_group(), to: Some(first) });
    assert_eq!(coordinator(world, 1).await, (ErrorCode::NONE, first));
}

async fn unload_coordinator(world: &World) {
    let (_, node) = coordinator(world, 1).await;
    world.broker.fault(BrokerFault::UnloadCoordinator { of: of_group(), lasts: Some(world.time()) });
    assert_eq!(coordinator(world, 1).await, (ErrorCode::COORDINATOR_NOT_AVAILABLE, -1));
    assert_eq!(join(world, node).await, Err(ErrorCode::NOT_COORDINATOR));
    world.pass().await;
    assert_eq!(coordinator(world, 1).await, (ErrorCode::NONE, node));
    assert!(join(world, node).await.is_ok());
}

async fn load_coordinator(world: &World) {
    let (_, node) = coordinator(world, 1).await;
    world.broker.fault(BrokerFault::LoadCoordinator { of: of_group(), lasts: Some(world.time()) });
    assert_eq!(coordinator(world, 1).await, (ErrorCode::NONE, node));
    assert_eq!(join(world, node).await, Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    world.pass().await;
    assert!(join(world, node).await.is_ok());
}

async fn expire_sessions(world: &World) {
    let (_, node) = coordinator(world, 1).await;
    let member = join(world, node).await.expect("joined");
    assert_eq!(heartbeat(world, node, &member).await, ErrorCode::NONE);
    world.broker.fault(BrokerFault::ExpireSessions { group: "billing".to_owned() });
    assert_eq!(heartbeat(world, node, &member).await, ErrorCode::UNKNOWN_MEMBER_ID);
}

async fn fence_producer(world: &World) {
    let mut client = world.connect(1).await;
    let code = |answer| one(answer).error_code;
    let write = |sequence| produce_batches(vec![batch("x", 1000, sequence)]);
    assert_eq!(code(client.request(9, &write(0)).await.expect("an answer")), ErrorCode::NONE);
    world.broker.fault(BrokerFault::FenceProducer { of: FencedProducer::Id(1000) });
    assert_eq!(code(client.request(9, &write(1)).await.expect("an answer")), ErrorCode::INVALID_PRODUCER_EPOCH);
    let other = produce_batches(vec![batch("y", 1001, 0)]);
    assert_eq!(code(client.request(9, &other).await.expect("an answer")), ErrorCode::NONE);
}

// ---- Nodes ----

async fn kill_node(world: &World) {
    let mut client = world.connect(1).await;
    client.request(9, &produce("x")).await.expect("an answer");
    world.broker.fault(BrokerFault::KillNode { node: 1, loses_unreplicated: true, lasts: Some(world.time()) });
    assert!(client.rest().await.is_empty());
    assert_eq!(leader(world, 2).await, (ErrorCode::NONE, 2, 1));
    assert_eq!(world.metadata(2).await.expect("an answer").brokers.len(), 1);
    // Over TCP, the listener goes when its task does.
    sleep(world.time() / 4).await;
    assert!(world.try_connect(1).await.is_err());
    sleep(world.time()).await;
    assert_eq!(world.metadata(1).await.expect("it is back").brokers.len(), 2);
    assert_eq!(world.produce(2, "y").await.base_offset, 1, "nothing was lost");
    // With a follower that is behind.
    for (loses_unreplicated, expected) in [(false, vec!["x", "y", "z"]), (true, vec!["x", "y", "z"])] {
        world.broker.move_leader(TOPIC, 0, 2);
        world.broker.fault(BrokerFault::HoldReplication { node: 1, lasts: None });
        produce_unreplicated(world, 2, "z").await;
        world.broker.fault(BrokerFault::KillNode { node: 2, loses_unreplicated, lasts: None });
        assert_eq!(world.values(), expected, "unreplicated records lost: {loses_unreplicated}");
        world.broker.clear_faults();
        sleep(world.time() / 4).await;
    }
}

async fn restart_node(world: &World) {
    let mut client = world.connect(1).await;
    client.request(9, &produce("x")).await.expect("an answer");
    world.broker.fault(BrokerFault::RestartNode { node: 1, at_new_address: false });
    assert!(client.rest().await.is_empty());
    let before = world.broker.address(1).expect("an address");
    assert_eq!(world.metadata(1).await.expect("it is back").brokers.len(), 2);
    world.broker.fault(BrokerFault::RestartNode { node: 1, at_new_address: true });
    let after = world.broker.address(1).expect("an address");
    assert_ne!(before, after);
    let named = world.metadata(2).await.expect("an answer").brokers;
    assert!(named.iter().any(|node| (node.host.as_str(), node.port) == (&after.0[..], i32::from(after.1))));
    assert_eq!(world.metadata(1).await.expect("it is there").brokers.len(), 2);
    sleep(world.time() / 4).await;
    assert!(world.connect_to(before.0, before.1).await.is_err(), "nobody is at the old address");
    // Killed there, it comes back there.
    world.broker.fault(BrokerFault::KillNode { node: 1, loses_unreplicated: false, lasts: Some(world.time()) });
    sleep(2 * world.time()).await;
    assert_eq!(world.broker.address(1).expect("an address"), after);
    world.metadata(1).await.expect("it is back");
}

async fn clock_jump(world: &World) {
    world.broker.set_topic_config(TOPIC, "message.timestamp.type", Some("LogAppendTime"));
    let before = world.produce(1, "x").await.log_append_time_ms;
    world.broker.fault(BrokerFault::ClockJump { by_millis: 3_600_000 });
    let after = world.produce(1, "x").await.log_append_time_ms;
    assert!((3_600_000..3_610_000).contains(&(after - before)));
    world.broker.fault(BrokerFault::ClockJump { by_millis: -7_200_000 });
    assert!(world.produce(1, "x").await.log_append_time_ms < before);
}

async fn delete_topic(world: &World) {
    world.broker.set_topic_config(TOPIC, "message.timestamp.type", Some("LogAppendTime"));
    world.produce(1, "x").await;
    let id = world.broker.topic_id(TOPIC).expect("a topic");
    world.broker.fault(BrokerFault::DeleteTopic { topic: TOPIC.to_owned(), recreate_after: Some(world.time()) });
    let answer = world.metadata(1).await.expect("an answer");
    assert_eq!(answer.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    world.pass().await;
    let answer = world.metadata(1).await.expect("an answer");
    assert_eq!((answer.topics[0].error_code, answer.topics[0].partitions.len()), (ErrorCode::NONE, 2));
    assert_ne!(answer.topics[0].topic_id, id);
    assert_eq!(world.broker.topic_config(TOPIC, "message.timestamp.type").as_deref(), Some("LogAppendTime"));
    assert!(world.values().is_empty());
}

async fn expire_credentials(world: &World) {
    let mut client = world.connect(1).await;
    let mechanism = Str::try_from("PLAIN").expect("short");
    client.request(1, &SaslHandshakeRequest { mechanism }).await.expect("an answer");
    let auth_bytes = SecretBytes("\0alice\0alice-secret".to_owned().into());
    client.request(2, &SaslAuthenticateRequest { auth_bytes }).await.expect("an answer");
    client.request(9, &produce("x")).await.expect("it is believed");
    world.broker.fault(BrokerFault::ExpireCredentials { node: Some(2) });
    client.request(9, &produce("x")).await.expect("that was the other node");
    world.broker.fault(BrokerFault::ExpireCredentials { node: None });
    assert!(client.request(9, &produce("x")).await.is_err());
}
