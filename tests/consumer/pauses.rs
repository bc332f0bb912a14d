//! Pausing and resuming (acceptance group M).

use std::time::Duration;

use klamm::consumer::PauseOptions;
use klamm::protocol::messages::fetch::FetchRequest;
use klamm::{ErrorKind, Message};
use klamm_broker::Broker;
use tokio::time::{Instant, sleep};

use crate::processing::{next, quiet};
use crate::{append, offsets, start};

#[tokio::test(start_paused = true)]
async fn rk_148_a_pause_from_outside_holds_one_partition_and_resume_goes_on_without_gap_or_repeat() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    append(&broker, "t", 0, 0..10);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    let before = next(&mut consumer, 4).await;
    assert_eq!(offsets(&before), [0, 1, 2, 3]);
    let handle = consumer.handle();
    handle.pause("t", 0);
    assert_eq!(handle.paused().len(), 1);
    append(&broker, "t", 1, 0..10);
    append(&broker, "t", 0, 10..20);
    let during = next(&mut consumer, 10).await;
    assert!(during.iter().all(|message| message.partition == 1));
    quiet(&mut consumer).await;
    handle.resume("t", 0);
    let after = next(&mut consumer, 16).await;
    assert_eq!(offsets(&after), (4..20).collect::<Vec<_>>());
    assert!(after.iter().all(|message| message.partition == 0));
}

#[tokio::test(start_paused = true)]
async fn rk_155_a_pause_inside_the_processing_of_a_record_holds_back_the_next_of_its_batch() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    assert_eq!(broker.batches("t", 0).len(), 1);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    let handle = consumer.handle();
    let mut seen: Vec<(i64, Instant)> = Vec::new();
    let resuming = handle.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(30)).await;
        resuming.resume("t", 0);
    });
    let begun = Instant::now();
    consumer
        .each_message(|message: Message| {
            seen.push((message.offset, Instant::now()));
            match message.offset {
                3 => handle.pause("t", 0),
                9 => handle.stop(),
                _ => {}
            }
            async { Ok::<(), klamm::Error>(()) }
        })
        .await
        .unwrap();
    assert_eq!(seen.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    for (offset, at) in seen {
        assert_eq!(at - begun >= Duration::from_secs(30), offset > 3, "offset {offset} after {:?}", at - begun);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_record_is_retried_more_and_more_slowly_with_exponential_backoff() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    let options = PauseOptions::new().timeout(Duration::from_secs(10)).exponential_backoff(true);
    let mut tries = Vec::new();
    for _ in 0..4 {
        let error = consumer
            .each_message(async |message: Message| if message.offset == 5 { Err("not now") } else { Ok(()) })
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Processing, Some(5)));
        tries.push(Instant::now());
        consumer.pause_with("t", 0, options).unwrap();
    }
    let pauses: Vec<u64> = tries.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(pauses, [10, 20, 40]);
}

/// Whoever marks: by itself, by hand, record by record or batch by batch.
#[tokio::test(start_paused = true)]
async fn rk_154_after_a_success_the_next_pause_is_a_first_one_again() {
    let options = PauseOptions::new().timeout(Duration::from_secs(10)).exponential_backoff(true);
    for (automatically, by_batch) in [(true, false), (true, true), (false, false), (false, true)] {
        let (broker, client) = start(Broker::builder().topic("t", 1)).await;
        append(&broker, "t", 0, 0..1);
        let builder = client.consumer("g").topics(["t"]).automatically_mark_as_processed(automatically);
        let mut consumer = builder.build().unwrap();
        let (mut tries, mut pauses) = (0, Vec::new());
        let mut last = None;
        while pauses.len() < 5 {
            let mut attempt = |offset: i64| {
                tries += 1;
                let now = Instant::now();
                pauses.extend(last.replace(now).map(|last| (now - last).as_secs()));
                // Two pauses, then a success; the record that comes then fails from the beginning on.
                if offset == 0 && tries == 3 {
                    append(&broker, "t", 0, 1..2);
                    return Ok(());
                }
                Err("not now")
            };
            let result = if by_batch {
                consumer.each_batch(|batch| std::future::ready(attempt(batch.first_offset()))).await
            } else {
                consumer.each_message(|message| std::future::ready(attempt(message.offset))).await
            };
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Processing);
            consumer.pause_with("t", 0, options).unwrap();
        }
        // Between the success and the next record there is none.
        assert_eq!(pauses, [10, 20, 0, 10, 20], "marked automatically: {automatically}, by batch: {by_batch}");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_156_resuming_a_partition_that_is_not_assigned_does_nothing() {
    let (broker, client) = start(Broker::builder().topic("t", 1).topic("other", 1)).await;
    append(&broker, "t", 0, 0..3);
    append(&broker, "other", 0, 0..3);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    consumer.pause("other", 0);
    next(&mut consumer, 3).await;
    consumer.resume("other", 0);
    consumer.resume("t", 7);
    quiet(&mut consumer).await;
    for request in broker.decoded::<FetchRequest>() {
        let asked: Vec<i32> = request.topics.iter().flat_map(|topic| &topic.partitions).map(|asked| asked.partition).collect();
        assert_eq!(asked, [0], "only what is assigned is fetched");
        assert_eq!(request.topics[0].topic_id, broker.topic_id("t").unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_paused_before_it_is_assigned_begins_paused_and_its_time_runs() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..3);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    consumer.pause_with("t", 0, PauseOptions::new().timeout(Duration::from_secs(20))).unwrap();
    let begun = Instant::now();
    assert_eq!(next(&mut consumer, 1).await[0].offset, 0);
    assert!(begun.elapsed() >= Duration::from_secs(20), "{:?}", begun.elapsed());
    let options = PauseOptions::new().max_timeout(Duration::from_secs(1));
    assert_eq!(consumer.pause_with("t", 0, options).unwrap_err().kind(), ErrorKind::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn while_all_is_paused_nothing_is_fetched() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..3);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    next(&mut consumer, 3).await;
    consumer.pause("t", 0);
    quiet(&mut consumer).await;
    broker.clear_requests();
    quiet(&mut consumer).await;
    assert!(broker.decoded::<FetchRequest>().is_empty());
}
