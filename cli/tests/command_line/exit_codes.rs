//! The exit codes of the contract that `bad_input` and `signals` leave: 1 for what is not allowed, 3 for what the broker does not have,
//! 124 for `--timeout`, 130 for a second signal, each by every kind of command.

use std::time::{Duration, Instant};

use klamm::protocol::messages::metadata::MetadataRequest;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm_broker::{Broker, Intercept};
use tokio::net::TcpListener;

use super::{Running, klamm, start};

#[tokio::test]
async fn what_the_broker_does_not_have_is_exit_code_3_and_named() {
    for (api, arguments) in [
        (ApiKey::LIST_GROUPS, &["groups", "list"][..]),
        (ApiKey::DESCRIBE_GROUPS, &["groups", "describe", "g"]),
        (ApiKey::FIND_COORDINATOR, &["groups", "describe", "g", "h"]),
        (ApiKey::OFFSET_FETCH, &["groups", "offsets", "g"]),
        (ApiKey::DELETE_GROUPS, &["groups", "delete", "g", "--yes"]),
        (ApiKey::DESCRIBE_CONFIGS, &["configs", "describe", "topic", "t"]),
        (ApiKey::DESCRIBE_CONFIGS, &["topics", "describe", "t"]),
        (ApiKey::CREATE_TOPICS, &["topics", "create", "u"]),
        (ApiKey::CREATE_PARTITIONS, &["topics", "add-partitions", "t", "4"]),
        (ApiKey::DELETE_TOPICS, &["topics", "delete", "t", "--yes"]),
        (ApiKey::INCREMENTAL_ALTER_CONFIGS, &["topics", "alter", "t", "--config", "retention.ms=5"]),
        (ApiKey::INCREMENTAL_ALTER_CONFIGS, &["configs", "alter", "topic", "t", "--config", "retention.ms=5"]),
        (ApiKey::LIST_OFFSETS, &["query-offsets", "t"]),
        (ApiKey::LIST_OFFSETS, &["consume", "t", "--exit-at-end"]),
        (ApiKey::JOIN_GROUP, &["consume", "t", "--group", "g"]),
        (ApiKey::FIND_COORDINATOR, &["consume", "t", "--group", "g"]),
    ] {
        let (_broker, brokers) = start(Broker::builder().topic("t", 1).without(api)).await;
        let ran = klamm(&[&["-b", &*brokers], arguments].concat(), "").await;
        assert_eq!((ran.code, &*ran.stdout), (Some(3), ""), "{api} {arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(&api.to_string()), "{api} {arguments:?}: {}", ran.stderr);
    }
    // It has it, but in none of the versions that this client speaks.
    let (_broker, brokers) = start(Broker::builder().topic("t", 1).versions(ApiKey::LIST_OFFSETS, 0..=0)).await;
    klamm(&["-b", &brokers, "query-offsets", "t"], "").await.failure(3, &["ListOffsets", "the broker has 0"]);
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_with_the_code_and_what_was_asked_for() {
    let topic = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    let group = ErrorCode::GROUP_AUTHORIZATION_FAILED;
    let cluster = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
    for (api, code, arguments, word) in [
        (ApiKey::METADATA, topic, &["topics", "describe", "orders"][..], "orders"),
        (ApiKey::METADATA, topic, &["query-offsets", "orders"], "orders"),
        (ApiKey::METADATA, topic, &["consume", "orders", "--exit-at-end"], "orders"),
        (ApiKey::METADATA, topic, &["produce", "orders"], "orders"),
        (ApiKey::PRODUCE, topic, &["produce", "orders"], "orders"),
        (ApiKey::FETCH, topic, &["consume", "orders"], "orders"),
        (ApiKey::FETCH, topic, &["consume", "orders", "--group", "billing"], "orders"),
        (ApiKey::LIST_OFFSETS, topic, &["query-offsets", "orders"], "orders"),
        (ApiKey::CREATE_TOPICS, topic, &["topics", "create", "other"], "other"),
        (ApiKey::DELETE_TOPICS, topic, &["topics", "delete", "orders", "--yes"], "orders"),
        (ApiKey::CREATE_PARTITIONS, topic, &["topics", "add-partitions", "orders", "4"], "orders"),
        (ApiKey::INCREMENTAL_ALTER_CONFIGS, topic, &["topics", "alter", "orders", "--config", "retention.ms=5"], "orders"),
        (ApiKey::DESCRIBE_CONFIGS, topic, &["configs", "describe", "topic", "orders"], "orders"),
        (ApiKey::FIND_COORDINATOR, group, &["consume", "orders", "--group", "billing"], "billing"),
        (ApiKey::JOIN_GROUP, group, &["consume", "orders", "--group", "billing"], "billing"),
        (ApiKey::OFFSET_FETCH, group, &["groups", "offsets", "billing"], "billing"),
        (ApiKey::DELETE_GROUPS, group, &["groups", "delete", "billing", "--yes"], "billing"),
        (ApiKey::DESCRIBE_GROUPS, group, &["groups", "describe", "billing"], "billing"),
        (ApiKey::DESCRIBE_CONFIGS, cluster, &["configs", "describe", "broker", "1"], "1"),
        (ApiKey::LIST_GROUPS, cluster, &["groups", "list"], "ListGroups"),
    ] {
        let (broker, brokers) = start(Broker::builder().topic("orders", 1)).await;
        klamm(&["-b", &brokers, "produce", "orders"], "before\n").await.success();
        broker.intercept_all(api, move |request| match request.is::<MetadataRequest>() {
            true => Intercept::edit::<MetadataRequest>(move |answer| {
                for topic in &mut answer.topics {
                    topic.error_code = code;
                    topic.partitions.clear();
                }
            }),
            false => Intercept::Error(code),
        });
        let begin = Instant::now();
        let ran = klamm(&[&["-b", &*brokers], arguments].concat(), "x\n").await;
        let at = format!("{api} {arguments:?} {:?}", begin.elapsed());
        assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{at}: {}", ran.stderr);
        let name = code.name().expect("it has a name");
        assert!(ran.stderr.contains(name) && ran.stderr.contains(word), "{at}: {}", ran.stderr);
        // Nothing is tried again until some time is over.
        assert!(begin.elapsed() < Duration::from_secs(20), "{at}");
    }
}

#[tokio::test]
async fn the_time_for_one_answer_is_limited_for_every_command() {
    for (api, arguments, what) in [
        (ApiKey::METADATA, &["cluster"][..], "connecting"),
        (ApiKey::METADATA, &["produce", "t"], "connecting"),
        (ApiKey::METADATA, &["consume", "t"], "connecting"),
        (ApiKey::METADATA, &["consume", "t", "--group", "g"], "connecting"),
        (ApiKey::METADATA, &["perf", "produce", "--count", "1"], "connecting"),
        (ApiKey::LIST_OFFSETS, &["query-offsets", "t"], "listing offsets"),
        (ApiKey::LIST_OFFSETS, &["consume", "t", "--offset", "-1"], "listing offsets"),
        (ApiKey::DESCRIBE_CONFIGS, &["topics", "describe", "t"], "describing configurations"),
        (ApiKey::DESCRIBE_CONFIGS, &["configs", "describe", "topic", "t"], "describing the configuration"),
        (ApiKey::CREATE_TOPICS, &["topics", "create", "u"], "creating the topic"),
        (ApiKey::CREATE_PARTITIONS, &["topics", "add-partitions", "t", "3"], "adding partitions"),
        (ApiKey::DELETE_TOPICS, &["topics", "delete", "t", "--yes"], "deleting topics"),
        (ApiKey::INCREMENTAL_ALTER_CONFIGS, &["topics", "alter", "t", "--config", "a=1"], "changing the configuration"),
        (ApiKey::LIST_GROUPS, &["groups"], "listing groups"),
        (ApiKey::DESCRIBE_GROUPS, &["groups", "describe", "g"], "describing groups"),
        (ApiKey::OFFSET_FETCH, &["groups", "offsets", "g"], "fetching the group's offsets"),
        (ApiKey::DELETE_GROUPS, &["groups", "delete", "g", "--yes"], "deleting groups"),
    ] {
        let (broker, brokers) = start(Broker::builder().topic("t", 1)).await;
        broker.intercept_all(api, |_| Intercept::Swallow);
        let ran = klamm(&[&["-b", &*brokers, "--timeout", "0.4"], arguments].concat(), "x\n").await;
        assert_eq!((ran.code, &*ran.stdout), (Some(124), ""), "{api} {arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(&format!("klamm: {what} took longer than --timeout 0.4 s")), "{arguments:?}: {}", ran.stderr);
    }
    // Somebody listens and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    klamm(&["-b", &address, "--timeout", "0.4", "topics"], "").await.failure(124, &["connecting", "--timeout 0.4"]);
}

#[tokio::test]
async fn the_limit_never_ends_a_produce_that_reads_or_a_consume_that_waits() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 1)).await;
    let mut producing = Running::start(&["-b", &brokers, "--timeout", "1", "--json", "produce", "t"]);
    let alone = ["-b", &brokers, "--timeout", "1", "consume", "t"];
    let mut consuming = [Running::start(&alone), Running::start(&[&alone[..], &["--group", "g"]].concat())];
    tokio::time::sleep(Duration::from_millis(2500)).await;
    producing.write(b"late\n").await;
    assert!(producing.line().await.is_some());
    drop(producing.input.take());
    assert_eq!(producing.end().await.success().last_error_line(), "1 delivered, 0 failed");
    for running in &mut consuming {
        assert_eq!(running.line().await.as_deref(), Some("late"));
    }
    for running in consuming {
        running.signal("-TERM");
        running.end().await.success();
    }
}

#[tokio::test]
async fn a_second_signal_ends_a_member_that_cannot_commit_at_once() {
    let (broker, brokers) = start(Broker::builder().topic("t", 1)).await;
    klamm(&["-b", &brokers, "produce", "t"], "a\n").await.success();
    broker.intercept_all(ApiKey::OFFSET_COMMIT, |_| Intercept::Swallow);
    let arguments = ["-b", &brokers, "-X", "auto.commit.interval.ms=3600000", "consume", "t", "--group", "g"];
    let mut member = Running::start(&arguments);
    assert_eq!(member.line().await.as_deref(), Some("a"));
    member.signal("-INT");
    broker.wait_for(ApiKey::OFFSET_COMMIT, 1).await;
    member.signal("-INT");
    member.end().await.failure(130, &["once more to end at once"]);
}
