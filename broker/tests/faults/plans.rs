//! Plans: times, requests that are waited for, random ones and their end.

use std::time::Duration;

use klamm::protocol::{ApiKey, ErrorCode};
use klamm_broker::faults::{BrokerFault, Kind, NetworkEffect, NetworkFault, Plan, Shape};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{TOPIC, World, builder, metadata, produce};

fn to(node: i32) -> BrokerFault {
    BrokerFault::MoveLeader { topic: TOPIC.to_owned(), partition: 0, to: Some(node) }
}

#[tokio::test(start_paused = true)]
async fn faults_come_at_their_times() {
    let world = World::start(builder(), false).await;
    let plan = Plan::new().after(Duration::from_secs(3), to(1)).after(Duration::from_secs(1), to(2)).after(Duration::ZERO, to(1));
    world.broker.run_plan(plan);
    assert_eq!(world.broker.leader_epoch(TOPIC, 0), 1, "what comes at once is there when the call returns");
    for (millis, epoch) in [(990, 1), (20, 2), (1980, 2), (20, 3)] {
        sleep(Duration::from_millis(millis)).await;
        assert_eq!(world.broker.leader_epoch(TOPIC, 0), epoch);
    }
}

#[tokio::test(start_paused = true)]
async fn faults_come_before_the_request_they_wait_for() {
    let world = World::start(builder(), false).await;
    world.produce(1, "not counted").await;
    let dropped = BrokerFault::Disconnect { api: ApiKey::PRODUCE, times: 1, node: None, handled: false };
    world.broker.run_plan(Plan::new().before(ApiKey::PRODUCE, 2, to(2)).before(ApiKey::PRODUCE, 4, dropped));
    world.metadata(1).await.expect("another API");
    assert_eq!(world.produce(1, "x").await.error_code, ErrorCode::NONE);
    assert_eq!(world.produce(1, "x").await.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(world.produce(2, "x").await.error_code, ErrorCode::NONE);
    assert!(world.ask(2, 9, &produce("x")).await.is_err());
    assert_eq!(world.produce(2, "x").await.error_code, ErrorCode::NONE);
}

#[tokio::test(start_paused = true)]
async fn clearing_ends_what_lasts_and_what_is_to_come() {
    let world = World::start(builder(), false).await;
    let for_ever = |effect: NetworkEffect| NetworkFault::from(effect);
    let plan = Plan::new()
        .after(Duration::ZERO, BrokerFault::KillNode { node: 1, loses_unreplicated: true, lasts: Some(Duration::from_secs(900)) })
        .after(Duration::ZERO, BrokerFault::Throttle { throttle: Duration::from_secs(5), lasts: None })
        .after(Duration::ZERO, BrokerFault::DuplicateMetadata { node: None, lasts: None })
        .after(Duration::ZERO, for_ever(NetworkEffect::BlackHole))
        .after(Duration::ZERO, BrokerFault::Disconnect { api: ApiKey::METADATA, times: 100, node: None, handled: true })
        .before(ApiKey::METADATA, 1, to(2))
        .after(Duration::from_secs(1), BrokerFault::ClockJump { by_millis: 5 });
    world.broker.run_plan(plan);
    assert!(timeout(Duration::from_secs(60), world.metadata(2)).await.is_err());
    let epoch = world.broker.leader_epoch(TOPIC, 0);
    world.broker.clear_faults();
    let answer = world.metadata(1).await.expect("it is there again");
    assert_eq!((answer.throttle_time_ms, answer.brokers.len(), answer.topics.len()), (0, 2, 1));
    assert_eq!(world.broker.leader_epoch(TOPIC, 0), epoch);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_broker_lets_go_of_connections_in_a_black_hole() {
    let world = World::start(builder(), false).await;
    let mut client = world.connect(1).await;
    client.request(9, &produce("x")).await.expect("an answer");
    world.broker.fault(NetworkEffect::BlackHole);
    client.send(9, &produce("x")).await.expect("sent");
    world.broker.close_connections(1);
    assert!(timeout(Duration::from_secs(10), client.rest()).await.is_err(), "nobody hears of the end");
    drop(world);
    assert!(client.rest().await.is_empty());
}

/// Whatever a plan does, at its end the cluster works: that is what lets a simulation demand that every record gets through.
#[tokio::test(start_paused = true)]
async fn after_a_random_plan_everything_works() {
    for seed in 0..100 {
        let world = World::start(builder().nodes(3).seed(seed), false).await;
        let mut shape = Shape::default();
        shape.topics = vec![(TOPIC.to_owned(), 2)];
        shape.groups = vec!["billing".to_owned()];
        shape.transactional_ids = vec!["copy".to_owned()];
        shape.faults = 1..=12;
        let plan = Plan::random(seed, &shape);
        world.broker.run_plan(plan.clone());
        let end = Instant::now() + shape.duration;
        let mut node = 0;
        while Instant::now() < end {
            node = node % 3 + 1;
            // Whether it works in between is not the point.
            let _ = timeout(Duration::from_millis(700), async {
                let mut client = world.try_connect(node).await?;
                client.request(9, &produce("x")).await?;
                client.request(12, &metadata()).await
            })
            .await;
            sleep(Duration::from_millis(200)).await;
        }
        // What waited for a request lasts a quarter longer; what hits so many requests is used up by then.
        for (api, node) in [(ApiKey::PRODUCE, 1), (ApiKey::METADATA, 2)] {
            assert!(!world.broker.requests_of(api).is_empty(), "seed {seed}: node {node} was never reached");
        }
        sleep(shape.duration / 4).await;
        for node in 1..=3 {
            let mut works = false;
            for _ in 0..100 {
                works = timeout(Duration::from_secs(5), world.metadata(node)).await.is_ok_and(|answer| {
                    answer.is_ok_and(|answer| {
                        let all_led = answer.topics.iter().flat_map(|topic| &topic.partitions).all(|one| one.leader_id.0 > 0);
                        answer.brokers.len() == 3 && answer.topics.len() == 1 && answer.topics[0].partitions.len() == 2 && all_led
                    })
                });
                if works {
                    break;
                }
            }
            assert!(works, "seed {seed}, node {node}: {plan:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_random_plan_goes_the_same_way_twice() {
    let mut shape = Shape::default();
    shape.topics = vec![(TOPIC.to_owned(), 2)];
    shape.groups = vec!["billing".to_owned()];
    for seed in 0..50 {
        let mut histories = Vec::new();
        for _ in 0..2 {
            let world = World::start(builder(), false).await;
            let start = Instant::now();
            world.broker.run_plan(Plan::random(seed, &shape));
            let mut history = Vec::new();
            for round in 0..40 {
                let answer = timeout(Duration::from_millis(300), async {
                    world.ask(1 + round % 2, 9, &produce("x")).await.map_err(|error| error.kind())
                });
                history.push((start.elapsed(), format!("{:?}", answer.await)));
                sleep(Duration::from_millis(100)).await;
            }
            histories.push(history);
        }
        assert_eq!(histories[0], histories[1], "seed {seed}");
    }
}

#[test]
fn kinds_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
}
