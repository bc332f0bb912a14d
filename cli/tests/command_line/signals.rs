//! Signals, and what is delivered or committed before the end.

use std::time::{Duration, Instant};

use klamm::protocol::ApiKey;
use klamm_broker::{Broker, Intercept};
use serde_json::json;

use super::{Running, json, start};

#[tokio::test]
async fn a_stopped_produce_delivers_what_it_has_read_while_its_input_stays_open() {
    let (broker, brokers) = start(Broker::builder().topic("t", 1)).await;
    for signal in ["-TERM", "-INT"] {
        // One record a batch, and time enough for the signal: the last records are owed when it comes.
        let mut producing = Running::start(&["-b", &brokers, "-X", "linger.ms=1000", "--json", "produce", "t"]);
        producing.write(b"a\n").await;
        assert!(producing.line().await.is_some());
        producing.write(b"b\nc\n").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        producing.signal(signal);
        let ran = producing.end().await.success();
        assert_eq!(ran.last_error_line(), "3 delivered, 0 failed");
        assert_eq!(ran.json().len(), 2);
    }
    assert_eq!(broker.records("t", 0).unwrap().len(), 6);
}

#[tokio::test]
async fn a_stopped_produce_does_not_wait_on_for_a_topic_that_is_missing() {
    let (broker, brokers) = start(Broker::builder()).await;
    let mut producing = Running::start(&["-b", &brokers, "-X", "max.block.ms=600000", "--json", "produce", "missing"]);
    producing.write(b"a\nb\n").await;
    // Asked for by connecting, and for the topic.
    broker.wait_for(ApiKey::METADATA, 3).await;
    let begin = Instant::now();
    producing.signal("-TERM");
    let ran = producing.end().await.failure(1, &["0 delivered, 1 failed"]);
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    let lines = ran.json();
    assert_eq!((&lines[0]["line"], &lines[0]["possibly_written"], lines.len()), (&json!(1), &json!(false), 1));
    assert!(lines[0]["error"].as_str().unwrap().contains("stopped"), "{}", lines[0]);
}

/// No room in the buffer, and a broker that takes nothing: the line that waits for room is owed, but not for `max.block.ms`.
#[tokio::test]
async fn a_stopped_produce_gives_a_record_that_waits_for_room_a_while_only() {
    let (broker, brokers) = start(Broker::builder().topic("t", 1)).await;
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Swallow);
    let limits = ["-X", "buffer.memory=2000", "-X", "max.request.size=2000", "-X", "max.block.ms=600000"];
    let times = ["-X", "request.timeout.ms=1000", "-X", "delivery.timeout.ms=9000", "-X", "linger.ms=0"];
    let mut producing = Running::start(&[&["-b", &brokers, "--json", "produce", "t"], &limits[..], &times].concat());
    let line = format!("{}\n", "x".repeat(1500));
    producing.write(line.repeat(3).as_bytes()).await;
    broker.wait_for(ApiKey::PRODUCE, 1).await;
    let begin = Instant::now();
    producing.signal("-TERM");
    let ran = producing.end().await.failure(1, &["0 delivered, 2 failed"]);
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    let lines = ran.json();
    assert_eq!(lines.iter().map(|line| line["possibly_written"] == true).collect::<Vec<_>>(), [true, false]);
    assert!(lines[1]["error"].as_str().unwrap().contains("stopped"), "{}", lines[1]);
}

#[tokio::test]
async fn a_stopped_member_commits_and_leaves() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 1)).await;
    json(&brokers, &["produce", "t"], "a\nb\nc\n").await.success();
    let mut member = Running::start(&["-b", &brokers, "-X", "auto.commit.interval.ms=3600000", "consume", "t", "--group", "g"]);
    for value in ["a", "b", "c"] {
        assert_eq!(member.line().await.as_deref(), Some(value));
    }
    member.signal("-TERM");
    member.end().await.success();
    let offsets = json(&brokers, &["groups", "offsets", "g"], "").await.success().json();
    assert_eq!((&offsets[0]["committed"], &offsets[0]["lag"]), (&json!(3), &json!(0)));
    let groups = json(&brokers, &["groups", "describe", "g"], "").await.success().json();
    assert_eq!((&groups[0]["state"], &groups[0]["members"]), (&json!("Empty"), &json!([])));
    let mut alone = Running::start(&["-b", &brokers, "consume", "t"]);
    assert_eq!(alone.line().await.as_deref(), Some("a"));
    alone.signal("-INT");
    alone.end().await.success();
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (broker, brokers) = start(Broker::builder().topic("t", 1)).await;
    let mut producing = Running::start(&["-b", &brokers, "--json", "produce", "t"]);
    producing.write(b"a\n").await;
    assert!(producing.line().await.is_some());
    // From now on nothing is acknowledged, so something stays owed.
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Swallow);
    producing.write(b"b\n").await;
    broker.wait_for(ApiKey::PRODUCE, 2).await;
    producing.signal("-TERM");
    tokio::time::sleep(Duration::from_secs(1)).await;
    producing.signal("-TERM");
    producing.end().await.failure(130, &["once more to end at once"]);
}

#[tokio::test]
async fn a_command_that_waits_for_an_answer_ends_when_it_is_told_to() {
    let (broker, brokers) = start(Broker::builder()).await;
    broker.intercept_all(ApiKey::LIST_GROUPS, |_| Intercept::Swallow);
    let waiting = Running::start(&["-b", &brokers, "groups", "list"]);
    broker.wait_for(ApiKey::LIST_GROUPS, 1).await;
    waiting.signal("-INT");
    waiting.end().await.success();
    let limited = super::klamm(&["-b", &brokers, "--timeout", "0.5", "groups"], "").await;
    limited.failure(124, &["listing groups", "--timeout 0.5"]);
}
