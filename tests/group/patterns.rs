//! Subscriptions by pattern (acceptance checks RK-125 and RK-126).

use std::collections::BTreeSet;

use klamm::ErrorKind;
use klamm::protocol::messages::metadata::MetadataRequest;

use super::*;

/// Appends one record to a topic's only partition.
fn write(broker: &Broker, topic: &str) {
    broker.append_records(topic, 0, [(None, Some(topic.as_bytes()))]).unwrap();
}

fn matching(client: &Client) -> ConsumerBuilder {
    client.consumer("g").topics_matching(r"^orders\.")
}

/// Topics of the records that come within `time`.
async fn topics_within(consumer: &mut Consumer, time: Duration) -> BTreeSet<String> {
    read_for(consumer, time).await.iter().map(|message| message.topic.to_string()).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(String::from).into()
}

/// How many requests asked for all topics, and all names that the others asked for.
fn metadata(broker: &Broker) -> (usize, BTreeSet<String>) {
    let requests = broker.decoded::<MetadataRequest>();
    let all = requests.iter().filter(|request| request.topics.is_none()).count();
    let named = requests.into_iter().flat_map(|request| request.topics.unwrap_or_default());
    (all, named.filter_map(|topic| topic.name).map(|name| name.to_string()).collect())
}

#[tokio::test(start_paused = true)]
async fn rk_125_topics_that_match_the_pattern_are_consumed_and_others_not() {
    let (broker, client) = start(Broker::builder()).await;
    for topic in ["orders.a", "orders.b", "other", "my.orders.c"] {
        broker.create_topic(topic, 1);
        write(&broker, topic);
    }
    let mut consumer = matching(&client).build().unwrap();
    assert_eq!(topics_within(&mut consumer, 10 * SECOND).await, names(["orders.a", "orders.b"]));
    let assigned: BTreeSet<String> = consumer.assignment().iter().map(|partition| partition.topic.to_string()).collect();
    assert_eq!(assigned, names(["orders.a", "orders.b"]));
    // RK-189 stays true: refreshes name the topics in use, and nobody but the pattern asks for all.
    let (all, named) = metadata(&broker);
    assert_eq!((all, named), (1, names(["orders.a", "orders.b"])));
    consumer.stop();
    assert!(consumer.next().await.unwrap().is_none());
    assert_eq!(broker.committed("g", "orders.b", 0), Some(1));
}

#[tokio::test(start_paused = true)]
async fn rk_126_a_topic_that_is_created_later_is_found_at_the_interval_or_never_with_zero() {
    let (broker, client) = start(Broker::builder().topic("orders.a", 1)).await;
    write(&broker, "orders.a");
    let mut often = matching(&client).refresh_topic_interval(SECOND).build().unwrap();
    let mut once = client.consumer("h").topics_matching(r"^orders\.").refresh_topic_interval(Duration::ZERO).build().unwrap();
    assert_eq!(topics_within(&mut often, 5 * SECOND).await, names(["orders.a"]));
    assert_eq!(topics_within(&mut once, 5 * SECOND).await, names(["orders.a"]));
    broker.create_topic("orders.c", 1);
    write(&broker, "orders.c");
    assert_eq!(topics_within(&mut often, 10 * SECOND).await, names(["orders.c"]));
    assert!(topics_within(&mut once, 3600 * SECOND).await.is_empty());
    once.close(5 * SECOND).await.unwrap();
    let mut again = client.consumer("h").topics_matching(r"^orders\.").refresh_topic_interval(Duration::ZERO).build().unwrap();
    assert_eq!(topics_within(&mut again, 5 * SECOND).await, names(["orders.c"]), "a restart finds it");
}

#[tokio::test(start_paused = true)]
async fn without_an_interval_of_its_own_a_pattern_is_matched_as_often_as_metadata_is_refreshed() {
    let (broker, _) = start(Broker::builder().topic("orders.a", 1)).await;
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).metadata_max_age(60 * SECOND);
    let client = client.build().unwrap();
    let mut consumer = matching(&client).build().unwrap();
    read_for(&mut consumer, 10 * SECOND).await;
    broker.create_topic("orders.b", 1);
    write(&broker, "orders.b");
    assert!(topics_within(&mut consumer, 40 * SECOND).await.is_empty());
    assert_eq!(topics_within(&mut consumer, 20 * SECOND).await, names(["orders.b"]));
    read_for(&mut consumer, 600 * SECOND).await;
    let (all, _) = metadata(&broker);
    assert!((11..=12).contains(&all), "{all} lists in eleven minutes");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_deleted_leaves_without_an_endless_reload_and_the_others_go_on() {
    let (broker, client) = start(Broker::builder().topic("orders.a", 1).topic("orders.b", 1)).await;
    write(&broker, "orders.a");
    write(&broker, "orders.b");
    let mut consumer = matching(&client).refresh_topic_interval(10 * SECOND).build().unwrap();
    assert_eq!(topics_within(&mut consumer, 5 * SECOND).await.len(), 2);
    broker.delete_topic("orders.b");
    read_for(&mut consumer, 30 * SECOND).await;
    let assigned: Vec<_> = consumer.assignment();
    assert_eq!((assigned.len(), assigned[0].topic.as_str()), (1, "orders.a"));
    // What is asked for from then on is the list, and what is left.
    broker.clear_requests();
    write(&broker, "orders.a");
    assert_eq!(topics_within(&mut consumer, 600 * SECOND).await, names(["orders.a"]));
    let (all, named) = metadata(&broker);
    assert!((58..=62).contains(&all), "{all} lists in ten minutes");
    assert!(named.is_subset(&names(["orders.a"])), "{named:?}");
    let refreshes = broker.requests_of(ApiKey::METADATA).len() - all;
    assert!(refreshes <= 3, "{refreshes} refreshes in ten minutes");
    assert!(broker.requests_of(ApiKey::JOIN_GROUP).is_empty());
    // Made anew, it is consumed anew.
    broker.create_topic("orders.b", 1);
    write(&broker, "orders.b");
    assert_eq!(topics_within(&mut consumer, 15 * SECOND).await, names(["orders.b"]));
}

#[tokio::test(start_paused = true)]
async fn a_pattern_may_lose_its_last_topic_and_find_another() {
    let (broker, client) = start(Broker::builder().topic("orders.a", 2)).await;
    let mut consumer = matching(&client).refresh_topic_interval(SECOND).build().unwrap();
    read_for(&mut consumer, 5 * SECOND).await;
    assert_eq!(consumer.assignment().len(), 2);
    broker.delete_topic("orders.a");
    read_for(&mut consumer, 60 * SECOND).await;
    assert!(consumer.assignment().is_empty());
    broker.create_topic("orders.b", 1);
    write(&broker, "orders.b");
    assert_eq!(topics_within(&mut consumer, 10 * SECOND).await, names(["orders.b"]));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_leaves_out_a_topic_for_once_moves_nothing() {
    let (broker, client) = start(Broker::builder().topic("orders.a", 1).topic("orders.b", 1)).await;
    let mut consumer = matching(&client).refresh_topic_interval(10 * SECOND).build().unwrap();
    read_for(&mut consumer, 5 * SECOND).await;
    let generation = broker.group_generation("g");
    let mut left = 2;
    broker.intercept_all(ApiKey::METADATA, move |request| {
        let of_all = request.decode::<MetadataRequest>().is_ok_and(|request| request.topics.is_none());
        if !of_all || left == 0 {
            return Intercept::Pass;
        }
        left -= 1;
        Intercept::edit::<MetadataRequest>(|answer| {
            answer.topics.retain(|topic| topic.name.as_ref().is_some_and(|name| name.as_str() != "orders.b"));
        })
    });
    read_for(&mut consumer, 120 * SECOND).await;
    assert_eq!((consumer.assignment().len(), broker.group_generation("g")), (2, generation));
}

#[tokio::test(start_paused = true)]
async fn patterns_stand_beside_names_and_pass_over_internal_topics_unless_told_otherwise() {
    let (broker, client) = start(Broker::builder()).await;
    for topic in ["__orders", "orders", "plain"] {
        broker.create_topic(topic, 1);
        write(&broker, topic);
    }
    let both = |group: &str| client.consumer(group).topics(["plain"]).topics_matching("orders");
    let mut consumer = both("g").build().unwrap();
    assert_eq!(topics_within(&mut consumer, 10 * SECOND).await, names(["orders", "plain"]));
    let mut consumer = both("h").topics_matching("^nothing$").exclude_internal_topics(false).build().unwrap();
    assert_eq!(topics_within(&mut consumer, 10 * SECOND).await, names(["__orders", "orders", "plain"]));
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_matches_nothing_yet_waits_outside_the_group() {
    let (broker, client) = start(Broker::builder()).await;
    let mut consumer = matching(&client).refresh_topic_interval(SECOND).build().unwrap();
    assert!(read_for(&mut consumer, 60 * SECOND).await.is_empty());
    assert!(broker.requests_of(ApiKey::JOIN_GROUP).is_empty());
    broker.create_topic("orders.a", 1);
    write(&broker, "orders.a");
    assert_eq!(topics_within(&mut consumer, 10 * SECOND).await, names(["orders.a"]));
}

#[tokio::test(start_paused = true)]
async fn members_with_a_pattern_share_with_members_that_name_topics() {
    let (broker, client) = start(Broker::builder().topic("orders.a", 4).topic("orders.b", 2)).await;
    let mut by_pattern = matching(&client).build().unwrap();
    let mut by_name = client.consumer("g").topics(["orders.a"]).build().unwrap();
    for _ in 0..10 {
        read_for(&mut by_pattern, 2 * SECOND).await;
        read_for(&mut by_name, 2 * SECOND).await;
    }
    let (first, second) = (by_pattern.assignment(), by_name.assignment());
    assert_eq!((first.len() + second.len(), second.is_empty()), (6, false));
    assert!(second.iter().all(|partition| partition.topic == "orders.a"));
    assert_eq!(broker.group_members("g").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_changes_to_a_pattern_and_back() {
    let (broker, client) = start(Broker::builder().topic("t", 1).topic("orders.a", 1)).await;
    let mut consumer = member(&client).build().unwrap();
    read_for(&mut consumer, 5 * SECOND).await;
    consumer.subscribe_matching(r"^orders\.").await.unwrap();
    write(&broker, "t");
    write(&broker, "orders.a");
    assert!(topics_within(&mut consumer, 10 * SECOND).await.contains("orders.a"));
    assert_eq!(consumer.assignment()[0].topic, "orders.a");
    consumer.subscribe(["t"]).await.unwrap();
    read_for(&mut consumer, 10 * SECOND).await;
    assert_eq!(consumer.assignment()[0].topic, "t");
    broker.clear_requests();
    read_for(&mut consumer, 1000 * SECOND).await;
    assert_eq!(metadata(&broker).0, 0, "nobody needs the list any more");
    let error = consumer.subscribe_matching("(").await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidConfig && error.to_string().contains("\"(\""), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_is_none_is_an_error_when_the_consumer_is_built() {
    let (broker, client) = start(Broker::builder()).await;
    let error = client.consumer("g").topics(["t"]).topics_matching("orders[").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("\"orders[\""), "{error}");
    assert!(broker.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_list_its_topics_is_told_to_the_user_and_recovers() {
    let (broker, _) = start(Broker::builder().topic("orders.a", 1)).await;
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).default_api_timeout(10 * SECOND);
    let client = client.build().unwrap();
    write(&broker, "orders.a");
    broker.stop_node(1);
    let mut consumer = matching(&client).build().unwrap();
    let error = timeout(60 * SECOND, consumer.next()).await.expect("it is told").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    broker.start_node(1).await.unwrap();
    assert_eq!(next(&mut consumer).await.topic, "orders.a");
}
