//! Where a group begins, what counts as processed, handlers that fail (acceptance group L).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use klamm::consumer::{Batch, Consumer, ConsumerBuilder, OffsetReset};
use klamm::protocol::ApiKey;
use klamm::{Client, ErrorKind, Message};
use klamm_broker::Broker;
use tokio::time::timeout;

use crate::{append, offsets, start, value};

fn member(client: &Client) -> ConsumerBuilder {
    client.consumer("g").topics(["t"])
}

/// The next `count` records.
pub(crate) async fn next(consumer: &mut Consumer, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.push(timeout(Duration::from_secs(60), consumer.next()).await.expect("no record came").unwrap().unwrap());
    }
    messages
}

/// No record comes for some seconds.
pub(crate) async fn quiet(consumer: &mut Consumer) {
    if let Ok(message) = timeout(Duration::from_secs(5), consumer.next()).await {
        panic!("a record came: {message:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_138_a_new_group_begins_at_the_first_or_behind_the_last_record_and_one_that_committed_there() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    let mut earliest = client.consumer("a").topics(["t"]).build().unwrap();
    assert_eq!(next(&mut earliest, 1).await[0].offset, 0);
    let mut latest = client.consumer("b").topics(["t"]).auto_offset_reset(OffsetReset::Latest).build().unwrap();
    quiet(&mut latest).await;
    append(&broker, "t", 0, 10..11);
    assert_eq!(next(&mut latest, 1).await[0].offset, 10);
    for reset in [OffsetReset::Earliest, OffsetReset::Latest] {
        broker.set_committed("c", "t", 0, Some(4));
        let mut committed = client.consumer("c").topics(["t"]).auto_offset_reset(reset).build().unwrap();
        assert_eq!(next(&mut committed, 1).await[0].offset, 4);
        committed.close(Duration::from_secs(5)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_group_without_a_policy_is_an_error_and_goes_on_after_a_seek() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    let mut consumer = member(&client).auto_offset_reset(OffsetReset::Error).build().unwrap();
    let error = consumer.next().await.unwrap_err();
    assert_eq!((error.kind(), error.topic(), error.partition()), (ErrorKind::OffsetOutOfRange, Some("t"), Some(0)));
    consumer.seek("t", 0, 7).unwrap();
    assert_eq!(offsets(&next(&mut consumer, 3).await), [7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn rk_139_without_marks_everything_is_seen_again() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..5);
    for _ in 0..2 {
        let mut consumer = member(&client).automatically_mark_as_processed(false).build().unwrap();
        assert_eq!(offsets(&next(&mut consumer, 5).await), [0, 1, 2, 3, 4]);
        consumer.commit().await.unwrap();
        consumer.close(Duration::from_secs(5)).await.unwrap();
    }
    assert_eq!(broker.committed("g", "t", 0), None);
}

#[tokio::test(start_paused = true)]
async fn rk_140_a_manual_mark_and_an_explicit_commit_hold_after_a_crash() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..20);
    let builder = || member(&client).automatically_mark_as_processed(false).session_timeout(Duration::from_secs(10));
    let mut consumer = builder().build().unwrap();
    let messages = next(&mut consumer, 12).await;
    consumer.mark_as_processed(&messages[7]);
    consumer.commit().await.unwrap();
    assert_eq!(broker.committed("g", "t", 0), Some(8));
    consumer.mark_as_processed(&messages[10]);
    // Dropping commits nothing.
    drop(consumer);
    let mut consumer = builder().build().unwrap();
    assert_eq!(next(&mut consumer, 1).await[0].offset, 8);
}

#[tokio::test(start_paused = true)]
async fn rk_141_a_handler_that_fails_commits_what_was_before_and_names_the_record() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    let mut consumer = member(&client).build().unwrap();
    let fail =
        |at: i64| move |message: Message| async move { if message.offset == at { Err("no such customer") } else { Ok(()) } };
    let error = consumer.each_message(fail(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Processing);
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some("t"), Some(0), Some(5)));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no such customer");
    assert_eq!(broker.committed("g", "t", 0), Some(5));
    // The same consumer begins with it again, and so does the next one.
    let error = consumer.each_message(fail(5)).await.unwrap_err();
    assert_eq!(error.offset(), Some(5));
    drop(consumer);
    let mut consumer = member(&client).build().unwrap();
    assert_eq!(next(&mut consumer, 1).await[0].offset, 5);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_is_an_error_and_ends_nothing_else() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..3);
    let mut consumer = member(&client).build().unwrap();
    let error = consumer
        .each_message(async |message: Message| {
            assert_ne!(message.offset, 1, "never seen a {}", value(&message));
            Ok::<(), klamm::Error>(())
        })
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Processing, Some(1)));
    assert!(error.to_string().contains("never seen a 1"), "{error}");
    assert_eq!(broker.committed("g", "t", 0), Some(1));
    assert_eq!(offsets(&next(&mut consumer, 2).await), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn rk_142_of_a_batch_that_fails_nothing_is_marked_and_both_ends_are_named() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    let mut consumer = member(&client).build().unwrap();
    let error = consumer.each_batch(async |_: Arc<Batch>| Err("cannot")).await.unwrap_err();
    assert_eq!((error.kind(), error.offset(), error.last_offset()), (ErrorKind::Processing, Some(0), Some(9)));
    assert!(error.to_string().contains("offsets 0..=9"), "{error}");
    assert_eq!(broker.committed("g", "t", 0), None);
    // Then it works, and all is marked.
    let handle = consumer.handle();
    consumer
        .each_batch(async |batch: Arc<Batch>| {
            assert_eq!((batch.len(), batch.first_offset(), batch.last_offset()), (10, 0, 9));
            let values: Vec<i64> = batch.records().map(|record| record.unwrap().offset).collect();
            assert_eq!(values, (0..10).collect::<Vec<_>>());
            handle.stop();
            Ok::<(), klamm::Error>(())
        })
        .await
        .unwrap();
    assert_eq!(broker.committed("g", "t", 0), Some(10));
}

#[tokio::test(start_paused = true)]
async fn rk_143_a_committed_offset_that_retention_passed_begins_at_the_log_s_start() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    for from in [0, 10, 20] {
        append(&broker, "t", 0, from..from + 10);
    }
    broker.set_committed("g", "t", 0, Some(3));
    broker.delete_records("t", 0, 10);
    let mut consumer = member(&client).build().unwrap();
    assert_eq!(next(&mut consumer, 1).await[0].offset, 10);
    // Where the policy is an error, the user is told, with the offset that is gone.
    broker.set_committed("h", "t", 0, Some(3));
    let mut consumer = client.consumer("h").topics(["t"]).auto_offset_reset(OffsetReset::Error).build().unwrap();
    let error = consumer.next().await.unwrap_err();
    assert_eq!((error.kind(), error.partition(), error.offset()), (ErrorKind::OffsetOutOfRange, Some(0), Some(3)));
}

#[tokio::test(start_paused = true)]
async fn rk_144_a_seek_before_the_loop_decides_the_first_record() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..20);
    broker.set_committed("g", "t", 0, Some(3));
    let mut consumer = member(&client).build().unwrap();
    consumer.seek("t", 0, 14).unwrap();
    assert_eq!(offsets(&next(&mut consumer, 2).await), [14, 15]);
    // And during it, also back; what was prefetched does not count.
    consumer.seek("t", 0, 2).unwrap();
    assert_eq!(offsets(&next(&mut consumer, 2).await), [2, 3]);
    consumer.commit().await.unwrap();
    assert_eq!(broker.committed("g", "t", 0), Some(3), "2 was marked by asking for 3");
    assert_eq!(consumer.seek("t", 0, -1).unwrap_err().kind(), ErrorKind::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn rk_146_stopping_commits_before_leaving() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..20);
    let mut consumer = member(&client).auto_commit_interval(Duration::from_secs(3600)).build().unwrap();
    let handle = consumer.handle();
    let mut last = 0;
    consumer
        .each_message(|message: Message| {
            last = message.offset;
            if message.offset == 6 {
                handle.stop();
            }
            async { Ok::<(), klamm::Error>(()) }
        })
        .await
        .unwrap();
    assert_eq!(last, 6, "the record in hand is finished, and no other is begun");
    assert!(consumer.next().await.unwrap().is_none());
    assert_eq!(broker.committed("g", "t", 0), Some(7));
    let apis: Vec<ApiKey> = broker.requests().iter().map(|request| request.api_key).collect();
    let position = |api| apis.iter().position(|seen| *seen == api).unwrap();
    assert!(position(ApiKey::OFFSET_COMMIT) < position(ApiKey::LEAVE_GROUP));
    let mut other = member(&client).build().unwrap();
    assert_eq!(next(&mut other, 1).await[0].offset, 7);
}

#[tokio::test(start_paused = true)]
async fn when_all_is_processed_the_lag_is_0_behind_markers_and_aborted_records() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..3);
    broker.append_transactional("t", 0, (7, 0, 0), [(None, Some(&b"aborted"[..]))]).unwrap();
    broker.end_transaction("t", 0, 7, 0, false).unwrap();
    let mut consumer = member(&client).build().unwrap();
    assert_eq!(offsets(&next(&mut consumer, 3).await), [0, 1, 2]);
    quiet(&mut consumer).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(broker.committed("g", "t", 0), Some(5));
    assert_eq!(broker.committed_offset("g", "t", 0).unwrap().leader_epoch, broker.leader_epoch("t", 0));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_of_next_loses_nothing() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..50);
    let mut consumer = member(&client).build().unwrap();
    let mut seen = Vec::new();
    // Polled once and dropped, again and again, until all came.
    for _ in 0..10_000 {
        let polled = {
            let mut future = std::pin::pin!(consumer.next());
            std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await
        };
        match polled {
            std::task::Poll::Ready(message) => seen.push(message.unwrap().unwrap().offset),
            std::task::Poll::Pending => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        if seen.len() == 50 {
            break;
        }
    }
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_handler_was_cancelled_is_not_marked() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..3);
    let mut consumer = member(&client).build().unwrap();
    let reading = consumer.each_message(async |message: Message| {
        if message.offset == 1 {
            std::future::pending::<()>().await;
        }
        Ok::<(), klamm::Error>(())
    });
    assert!(timeout(Duration::from_secs(10), reading).await.is_err());
    consumer.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(broker.committed("g", "t", 0), Some(1));
}

#[tokio::test]
async fn a_consumer_s_loop_can_be_spawned() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..3);
    let mut consumer = member(&client).build().unwrap();
    let (handle, seen) = (consumer.handle(), Arc::new(Mutex::new(Vec::new())));
    let list = seen.clone();
    let task = tokio::spawn(async move {
        let handler = |message: Message| {
            let (list, handle) = (list.clone(), handle.clone());
            async move {
                tokio::task::yield_now().await;
                list.lock().unwrap().push(message.offset);
                if message.offset == 2 {
                    handle.stop();
                }
                Ok::<(), klamm::Error>(())
            }
        };
        consumer.each_message(handler).await
    });
    task.await.unwrap().unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn consumers_and_readers_are_streams() {
    use futures_core::Stream;
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..3);
    let mut consumer = member(&client).build().unwrap();
    let handle = consumer.handle();
    let mut seen = Vec::new();
    while let Some(message) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut consumer).poll_next(cx)).await {
        seen.push(message.unwrap().offset);
        if seen.len() == 3 {
            handle.stop();
        }
    }
    assert_eq!(seen, [0, 1, 2]);
    assert_eq!(broker.committed("g", "t", 0), Some(3), "asking for more marked the last");
    let mut reader = client.reader("t").to_end().build().unwrap();
    let mut count = 0;
    while let Some(message) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut reader).poll_next(cx)).await {
        assert_eq!(message.unwrap().offset, count);
        count += 1;
    }
    assert_eq!(count, 3);
}
