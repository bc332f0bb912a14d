//! Fetching and pausing on Apache Kafka, and what is seen of transactions (acceptance checks L and M).
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use klamm::Client;
use klamm::consumer::{IsolationLevel, SeekTo};
use klamm::protocol::ApiKey;
use klamm_real::{
    Member, OtherClient, Peer, Tap, bootstrap, connect, fill, klamm, member, new_topic, places, seeds, unique, wait_until,
};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_148_a_paused_partition_waits_and_goes_on_where_it_stopped() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "paused", 2).await, unique("group"));
    fill(&client, &topic, 2, 0, 400).await;
    let member = Member::start_slow(member(&client, &group, &[&topic]), Duration::from_millis(2));
    let of = |partition: i32| member.seen().iter().filter(|message| message.partition == partition).count();
    wait_until("some of partition 0 is seen", || of(0) >= 10).await;
    member.handle().pause(topic.as_str(), 0);
    // The record in hand at that moment may still be processed.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stopped_at = of(0);
    assert!(stopped_at < 200, "stopped on its way");
    fill(&client, &topic, 2, 400, 200).await;
    wait_until("all of partition 1 is seen", || of(1) == 300).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(of(0), stopped_at, "nothing of partition 0");
    assert_eq!(member.handle().paused().len(), 1);
    assert_eq!(member.owned(), 2, "it stays assigned");

    member.handle().resume(topic.as_str(), 0);
    wait_until("all of partition 0 is seen", || of(0) >= 300).await;
    let seen = member.stop().await;
    for partition in 0..2 {
        let offsets: Vec<i64> =
            seen.iter().filter(|message| message.partition == partition).map(|message| message.offset).collect();
        assert_eq!(offsets, (0..300).collect::<Vec<_>>(), "partition {partition}: no gap, no repeat, in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_155_a_pause_while_3_is_processed_holds_back_4_which_is_first_after_it() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "paused-inside", 1).await, unique("group"));
    // One batch, so that what is held back was fetched already.
    fill(&client, &topic, 1, 0, 10).await;
    let mut consumer = member(&client, &group, &[&topic]).build().expect("a consumer");
    let handle = consumer.handle();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (inside, noted, name) = (handle.clone(), seen.clone(), topic.clone());
    let task = tokio::spawn(async move {
        let handler = move |message: klamm::Message| {
            if message.offset == 3 {
                inside.pause(name.as_str(), 0);
            }
            noted.lock().expect("no panic").push(message.offset);
            async { Ok::<(), klamm::Error>(()) }
        };
        consumer.each_message(handler).await
    });
    let offsets = || seen.lock().expect("no panic").clone();
    wait_until("3 is processed", || offsets().last() == Some(&3)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(offsets(), [0, 1, 2, 3], "4 waits");
    assert!(!task.is_finished());
    handle.resume(topic.as_str(), 0);
    wait_until("the rest is processed", || offsets().len() >= 10).await;
    assert_eq!(offsets(), (0..10).collect::<Vec<_>>(), "4 is the first one");
    handle.stop();
    timeout(LIMIT, task).await.expect("it ends").expect("no panic").expect("no error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_166_a_million_records_need_few_fetches() {
    const RECORDS: u64 = 1_000_000;
    let tap = Tap::default();
    let client = Client::builder(seeds(&bootstrap())).connector(tap.clone()).connect().await.expect("a client");
    let topic = new_topic(&client, "million", 1).await;
    let count = RECORDS.to_string();
    klamm(&["-b", &bootstrap(), "perf", "produce", "--topic", &topic, "--count", &count, "--size", "100"], "").await.success();
    assert_eq!(client.last_offset(topic.as_str(), 0).await.expect("an offset"), RECORDS as i64 - 1);

    let before = tap.count(ApiKey::FETCH);
    let mut reader = client.reader(topic.as_str()).partition(0).from(SeekTo::Beginning).to_end().build().expect("a reader");
    let (mut records, mut bytes) = (0, 0);
    let read = async {
        while let Some(batch) = reader.next_batch().await.expect("a batch") {
            for record in &batch {
                bytes += record.expect("a record").value.map_or(0, <[u8]>::len) as u64;
                records += 1;
            }
        }
    };
    timeout(2 * LIMIT, read).await.expect("it ends");
    assert_eq!((records, bytes), (RECORDS, 100 * RECORDS));
    let fetches = tap.count(ApiKey::FETCH) - before;
    let most = 30 * bytes.div_ceil(10_000_000) as usize;
    println!("{fetches} fetches for {bytes} bytes of values");
    assert!(fetches <= most, "{fetches} fetches; at most {most} are wanted");
    client.admin().delete_topics([topic.as_str()]).await.expect("deleted").remove(0).1.expect("deleted");
}

/// Says lines to a Java peer, each after the one before is done.
async fn done(java: &mut Peer, lines: &[String]) {
    for line in lines {
        java.done(line).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_167_records_of_an_open_transaction_are_seen_by_those_who_want_them_so() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "open", 1).await;
    let mut java = Peer::start(OtherClient::Java, &["transactions", &bootstrap(), &unique("transactions")]);
    done(&mut java, &["begin".into(), format!("send {topic} 0 first"), format!("send {topic} 0 second")]).await;
    let start = |isolation| Member::start(member(&client, &unique("group"), &[&topic]).isolation_level(isolation));
    let (dirty, clean) = (start(IsolationLevel::ReadUncommitted), start(IsolationLevel::ReadCommitted));
    wait_until("the open transaction is seen", || dirty.count() >= 2).await;
    wait_until("the other has its partition, too", || clean.handle().position(topic.as_str(), 0).is_some()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(clean.count(), 0, "not by default");
    done(&mut java, &["commit".into()]).await;
    wait_until("the committed transaction is seen", || clean.count() >= 2).await;
    java.end().await;
    for member in [dirty, clean] {
        let seen = member.stop().await;
        let values: Vec<_> = seen.iter().map(|message| message.value.as_deref().expect("a value")).collect();
        assert_eq!(values, [&b"first"[..], b"second"]);
        assert_eq!(places(&seen), [(0, 0), (0, 1)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_163_records_of_aborted_transactions_of_java_are_never_seen() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "aborted", 1).await;
    let value = |name: &str| format!("send {topic} 0 {name}");
    fill(&client, &topic, 1, 0, 2).await;
    let mut java = Peer::start(OtherClient::Java, &["transactions", &bootstrap(), &unique("transactions")]);
    // Offsets 2 to 4 are aborted, the marker is at 5, and 6 is kept.
    let (begin, abort) = ("begin".to_owned(), "abort".to_owned());
    done(&mut java, &[begin.clone(), value("a"), value("b"), value("c"), abort.clone()]).await;
    done(&mut java, &[begin.clone(), value("kept"), "commit".into()]).await;
    done(&mut java, &[begin, value("d"), abort]).await;
    java.end().await;
    let start = |isolation| Member::start(member(&client, &unique("group"), &[&topic]).isolation_level(isolation));
    let (clean, dirty) = (start(IsolationLevel::ReadCommitted), start(IsolationLevel::ReadUncommitted));
    // 7 ends the transaction of 6; 8 and its marker at 9 are passed, too.
    wait_until("both are at the end", || {
        [&clean, &dirty].iter().all(|member| member.handle().position(topic.as_str(), 0) == Some(10))
    })
    .await;
    assert_eq!(places(&clean.stop().await), [(0, 0), (0, 1), (0, 6)], "and the position passes what was aborted");
    assert_eq!(places(&dirty.stop().await), [0, 1, 2, 3, 4, 6, 8].map(|offset| (0, offset)));
}
