//! Offsets and checkpoints on Apache Kafka (acceptance checks K).
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use klamm::consumer::{Consumer, OffsetReset};
use klamm::{Client, ErrorKind, Message, Record, TopicPartition};
use klamm_real::{
    Member, OtherClient, Peer, bootstrap, connect, fill, kafka_tool, klamm, member, new_topic, places, unique, wait_until,
};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

/// What the group has committed for partition 0 of its only topic.
async fn committed(client: &Client, group: &str) -> Option<i64> {
    let offsets = client.admin().group_offsets(group).await.expect("the group's offsets");
    assert!(offsets.len() <= 1, "{offsets:?}");
    offsets.first().map(|offset| offset.committed)
}

async fn next(consumer: &mut Consumer) -> Message {
    timeout(LIMIT, consumer.next()).await.expect("a record comes").expect("no error").expect("the consumer goes on")
}

/// Handles records up to the one at `last` and stops.
async fn handle_until(consumer: &mut Consumer, last: i64) -> Vec<i64> {
    let (handle, mut seen) = (consumer.handle(), Vec::new());
    let handled = consumer.each_message(|message| {
        seen.push(message.offset);
        if message.offset == last {
            handle.stop();
        }
        async { Ok::<(), klamm::Error>(()) }
    });
    timeout(LIMIT, handled).await.expect("it ends").expect("no error");
    seen
}

/// A topic of one partition with `count` records, and a new group's name.
async fn topic_of(client: &Client, name: &str, count: usize) -> (String, String) {
    let topic = new_topic(client, name, 1).await;
    fill(client, &topic, 1, 0, count).await;
    (topic, unique("group"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_131_behind_the_record_at_41_the_stored_offset_is_42() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = topic_of(&client, "stored", 50).await;
    let mut consumer = member(&client, &group, &[&topic]).build().expect("a consumer");
    assert_eq!(handle_until(&mut consumer, 41).await, (0..=41).collect::<Vec<_>>());
    assert_eq!(committed(&client, &group).await, Some(42));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_138_where_a_group_starts_without_a_commit_and_with_one() {
    let client = connect(&bootstrap()).await;
    let (topic, _) = topic_of(&client, "start", 10).await;
    let groups = [(OffsetReset::Earliest, unique("group")), (OffsetReset::Latest, unique("group"))];
    let member = |group: &str, reset| Member::start(member(&client, group, &[&topic]).auto_offset_reset(reset));
    let members = groups.each_ref().map(|(reset, group)| member(group, *reset));
    // New records come only when both know where they start.
    for member in &members {
        wait_until("it knows where it starts", || member.handle().position(topic.as_str(), 0).is_some()).await;
    }
    fill(&client, &topic, 1, 10, 5).await;
    for ((member, (reset, group)), first) in members.into_iter().zip(&groups).zip([0, 10]) {
        wait_until("everything wanted is seen", || member.count() as i64 >= 15 - first).await;
        let wanted: Vec<_> = (first..15).map(|offset| (0, offset)).collect();
        assert_eq!(places(&member.stop().await), wanted, "{reset:?} without a commit");
        assert_eq!(committed(&client, group).await, Some(15));
    }
    // Written while nobody reads: neither "all" nor "only what comes from now on".
    fill(&client, &topic, 1, 15, 5).await;
    for (reset, group) in groups {
        let member = member(&group, reset);
        wait_until("what is behind the commit is seen", || member.count() >= 5).await;
        let wanted: Vec<_> = (15..20).map(|offset| (0, offset)).collect();
        assert_eq!(places(&member.stop().await), wanted, "{reset:?} with a commit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_139_without_any_mark_everything_is_seen_again() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = topic_of(&client, "unmarked", 20).await;
    for run in 0..2 {
        let builder = member(&client, &group, &[&topic]).automatically_mark_as_processed(false);
        let mut consumer = builder.auto_commit_interval(Duration::from_millis(100)).build().expect("a consumer");
        assert_eq!(handle_until(&mut consumer, 19).await, (0..20).collect::<Vec<_>>(), "run {run}");
        assert_eq!(committed(&client, &group).await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_140_a_member_killed_behind_a_commit_of_7_starts_again_at_8() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = topic_of(&client, "killed", 20).await;
    // A member on a runtime of its own, which ends without a word: no LeaveGroup, no last commit.
    let (its_topic, its_group) = (topic.clone(), group.clone());
    let killed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let consumer = runtime.block_on(async {
            let client = connect(&bootstrap()).await;
            let builder = member(&client, &its_group, &[&its_topic]).session_timeout(Duration::from_secs(3));
            let mut consumer = builder.automatically_mark_as_processed(false).build().expect("a consumer");
            for offset in 0..15 {
                let message = next(&mut consumer).await;
                assert_eq!(message.offset, offset);
                if offset == 7 {
                    consumer.mark_as_processed(&message);
                    consumer.commit().await.expect("committed");
                }
            }
            consumer
        });
        // Its threads have ended before the consumer goes: else one of them might still say goodbye.
        runtime.shutdown_timeout(Duration::from_secs(10));
        drop(consumer);
    });
    tokio::task::spawn_blocking(|| killed.join().expect("the member that is killed")).await.expect("joined");
    let left = client.admin().describe_groups([group.as_str()]).await.expect("an answer").remove(0).1.expect("a description");
    assert_eq!(left.members.len(), 1, "nobody told the coordinator: {left:?}");
    assert_eq!(committed(&client, &group).await, Some(8));
    let mut consumer = member(&client, &group, &[&topic]).build().expect("a consumer");
    assert_eq!(handle_until(&mut consumer, 19).await, (8..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_141_a_handler_that_fails_at_5_leaves_0_to_4_committed_and_a_restart_begins_with_5() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = topic_of(&client, "failing", 10).await;
    let mut consumer = member(&client, &group, &[&topic]).build().expect("a consumer");
    let handled = consumer.each_message(async |message| match message.offset {
        5 => Err(std::io::Error::other("the till is empty")),
        _ => Ok(()),
    });
    let error = timeout(LIMIT, handled).await.expect("it ends").expect_err("the handler's failure");
    assert_eq!(error.kind(), ErrorKind::Processing);
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some(topic.as_str()), Some(0), Some(5)));
    let cause = std::error::Error::source(&error).expect("the cause");
    assert_eq!(cause.to_string(), "the till is empty");
    assert_eq!(committed(&client, &group).await, Some(5), "0 to 4 are done");
    consumer.close(LIMIT).await.expect("closed");
    assert_eq!(committed(&client, &group).await, Some(5));
    let mut again = member(&client, &group, &[&topic]).build().expect("a consumer");
    assert_eq!(handle_until(&mut again, 9).await, [5, 6, 7, 8, 9]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_142_of_a_batch_whose_handler_fails_nothing_is_marked() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = topic_of(&client, "failing-batch", 30).await;
    let mut consumer = member(&client, &group, &[&topic]).build().expect("a consumer");
    let mut ends = None;
    let handled = consumer.each_batch(|batch| {
        ends = Some((batch.first_offset(), batch.last_offset()));
        // Half of it was done.
        async { Err::<(), _>(std::io::Error::other("the till is empty")) }
    });
    let error = timeout(LIMIT, handled).await.expect("it ends").expect_err("the handler's failure");
    let (first, last) = ends.expect("a batch was handed out");
    assert_eq!(first, 0);
    assert!(last > first, "a batch of many records");
    assert_eq!(error.kind(), ErrorKind::Processing);
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some(topic.as_str()), Some(0), Some(first)));
    assert!(error.to_string().contains(&last.to_string()), "both ends are told: {error}");
    assert_eq!(consumer.checkpoint(topic.as_str(), 0), None, "nothing is marked");
    consumer.close(LIMIT).await.expect("closed");
    assert_eq!(committed(&client, &group).await, None);
    let mut again = member(&client, &group, &[&topic]).build().expect("a consumer");
    assert_eq!(handle_until(&mut again, 29).await, (0..30).collect::<Vec<_>>(), "the batch comes again, whole");
}

/// Keeps what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("klamm")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line<'a>(&'a mut String);
        impl tracing::field::Visit for Line<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, "{field}={value:?} ");
            }
        }
        let mut log = self.0.lock().expect("nobody panics with it");
        let _ = write!(log, "{} ", event.metadata().level());
        event.record(&mut Line(&mut log));
        log.push('\n');
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

// One thread: the log is kept of the thread that the test runs on.
#[tokio::test]
async fn rk_143_behind_a_commit_that_the_log_has_no_more_consumption_begins_at_its_start() {
    let log = Log::default();
    let _logged = tracing::subscriber::set_default(log.clone());
    let client = connect(&bootstrap()).await;
    let (topic, group) = topic_of(&client, "deleted", 20).await;
    let mut consumer = member(&client, &group, &[&topic]).build().expect("a consumer");
    assert_eq!(handle_until(&mut consumer, 4).await, [0, 1, 2, 3, 4]);
    assert_eq!(committed(&client, &group).await, Some(5));

    let file = std::env::temp_dir().join(format!("{topic}.json"));
    let wanted = serde_json::json!({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 12}]});
    std::fs::write(&file, wanted.to_string()).expect("a file");
    let arguments = ["--bootstrap-server", &bootstrap(), "--offset-json-file", file.to_str().expect("text")];
    kafka_tool("org.apache.kafka.tools.DeleteRecordsCommand", &arguments, "").await;
    std::fs::remove_file(&file).expect("removed");

    assert!(!log.0.lock().expect("no panic").contains("out of range"), "not yet");
    let mut again = member(&client, &group, &[&topic]).build().expect("a consumer");
    assert_eq!(handle_until(&mut again, 19).await, (12..20).collect::<Vec<_>>(), "from the log's start");
    let log = log.0.lock().expect("no panic").clone();
    let line = log.lines().find(|line| line.contains("out of range")).unwrap_or_else(|| panic!("nothing logged:\n{log}"));
    assert!(line.contains("WARN") && line.contains(&topic) && line.contains("offset=5"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_144_after_a_seek_to_14_before_the_loop_the_first_record_is_14() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = topic_of(&client, "sought", 20).await;
    let mut consumer = member(&client, &group, &[&topic]).build().expect("a consumer");
    consumer.seek(topic.as_str(), 0, 14).expect("a place to go");
    assert_eq!(handle_until(&mut consumer, 19).await, (14..20).collect::<Vec<_>>());
    assert_eq!(committed(&client, &group).await, Some(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_146_a_member_that_is_stopped_commits_before_it_leaves() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = topic_of(&client, "stopped", 1000).await;
    // Only the end commits.
    let builder = || member(&client, &group, &[&topic]).auto_commit_interval(Duration::ZERO);
    let first = Member::start_slow(builder(), Duration::from_millis(5));
    wait_until("the first is at work", || first.count() > 0).await;
    // Waits for the only partition, and begins in the moment that the first leaves.
    let second = Member::start(builder());
    let start = Instant::now();
    loop {
        let group =
            client.admin().describe_groups([group.as_str()]).await.expect("an answer").remove(0).1.expect("a description");
        if group.members.len() == 2 && group.state == "Stable" {
            break;
        }
        assert!(start.elapsed() < LIMIT, "{group:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let by_first = places(&first.stop().await);
    let stored = committed(&client, &group).await.expect("a commit");
    assert!(by_first.len() < 1000, "it was stopped on its way");
    assert_eq!(stored, by_first.len() as i64);
    wait_until("the second sees the rest", || second.count() + by_first.len() >= 1000).await;
    let by_second = places(&second.stop().await);
    assert_eq!(by_second.first().map(|place| place.1), by_first.last().map(|place| place.1 + 1), "exactly behind the last one");
    assert_eq!([by_first, by_second].concat(), (0..1000).map(|offset| (0, offset)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_s_lag_ends_at_0_behind_control_records() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = topic_of(&client, "controlled", 3).await;
    let mut java = Peer::start(OtherClient::Java, &["transactions", &bootstrap(), &unique("transactions")]);
    for line in ["begin", &format!("send {topic} 0 kept"), "commit", "begin", &format!("send {topic} 0 dropped"), "abort"] {
        java.say(line).await;
        java.line_where(|said| (said == format!("done {line}")).then_some(())).await;
    }
    java.end().await;
    // Three records, one and a marker, one and a marker.
    assert_eq!(client.last_offset(topic.as_str(), 0).await.expect("an offset"), 6);
    let reader = Member::start(member(&client, &group, &[&topic]).auto_commit_interval(Duration::from_millis(200)));
    wait_until("the records are seen", || reader.count() >= 4).await;
    let start = Instant::now();
    while committed(&client, &group).await != Some(7) {
        assert!(start.elapsed() < LIMIT, "{:?} is committed", committed(&client, &group).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lag = |output: klamm_real::Output| {
        let lines = output.success().json_lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        (lines[0]["committed"].as_i64(), lines[0]["lag"].as_i64())
    };
    let arguments = ["-b", &bootstrap(), "--json", "groups", "offsets", &group];
    assert_eq!(lag(klamm(&arguments, "").await), (Some(7), Some(0)));
    let seen = reader.stop().await;
    assert_eq!(places(&seen), [(0, 0), (0, 1), (0, 2), (0, 3)], "neither markers nor what was aborted");
    assert_eq!(lag(klamm(&arguments, "").await), (Some(7), Some(0)));
    let ends = client.admin().last_stable_offsets([TopicPartition::new(topic.as_str(), 0)]).await.expect("an answer");
    assert_eq!(ends[0].1.as_ref().ok(), Some(&7));
    // One more: lag 1 without anybody who reads.
    client.deliver(Record::new(topic.as_str()).partition(0).value("more")).await.expect("delivered");
    assert_eq!(lag(klamm(&arguments, "").await), (Some(7), Some(1)));
}
