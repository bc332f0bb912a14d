//! What goes over the wire, prefetch, and what brokers may do to a reader (acceptance group N).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use klamm::consumer::IsolationLevel;
use klamm::protocol::messages::fetch::FetchRequest;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{ErrorKind, Message};
use klamm_broker::{Broker, Intercept};
use tokio::time::{Instant, sleep, timeout};

use crate::processing::{next, quiet};
use crate::{append, connect, offsets, start};

#[tokio::test(start_paused = true)]
async fn rk_157_a_consumer_s_fetch_has_the_defaults() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..1);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    next(&mut consumer, 1).await;
    // defaults.md: fetch.max.wait.ms 500, fetch.min.bytes 1, fetch.max.bytes 50 MiB, max.partition.fetch.bytes 1 MiB, read_committed.
    let request = &broker.decoded::<FetchRequest>()[0];
    assert_eq!((request.max_wait_ms, request.min_bytes, request.max_bytes, request.isolation_level), (500, 1, 52_428_800, 1));
    assert_eq!(request.topics[0].partitions[0].partition_max_bytes, 1_048_576);
}

#[tokio::test(start_paused = true)]
async fn rk_158_the_settings_of_a_consumer_are_on_the_wire() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..1);
    let builder =
        client.consumer("g").topics(["t"]).fetch_min_bytes(3).fetch_max_bytes(7_000_000).max_partition_fetch_bytes(70_000);
    let mut consumer = builder.fetch_max_wait(Duration::from_millis(321)).build().unwrap();
    next(&mut consumer, 1).await;
    let requests = broker.decoded::<FetchRequest>();
    for request in requests {
        assert_eq!((request.max_wait_ms, request.min_bytes, request.max_bytes), (321, 3, 7_000_000));
        assert_eq!(request.topics[0].partitions[0].partition_max_bytes, 70_000);
    }
}

#[tokio::test(start_paused = true)]
async fn rk_158_topics_may_have_a_limit_of_their_own_for_each_partition() {
    let (broker, client) = start(Broker::builder().topic("t", 2).topic("small", 1).topic("large", 1)).await;
    let builder = client.consumer("g").topics(["t", "small", "large"]).max_partition_fetch_bytes(70_000);
    let builder = builder.max_partition_fetch_bytes_of("small", 500).max_partition_fetch_bytes_of("large", 2_000_000);
    let mut consumer = builder.build().unwrap();
    for _ in 0..2 {
        append(&broker, "t", 1, 0..1);
        append(&broker, "small", 0, 0..1);
        append(&broker, "large", 0, 0..1);
        next(&mut consumer, 3).await;
    }
    let limits = [("t", 70_000), ("small", 500), ("large", 2_000_000)];
    for (name, limit) in limits {
        let requests = broker.decoded::<FetchRequest>();
        let topics = requests.iter().flat_map(|request| &request.topics);
        let asked: Vec<_> =
            topics.filter(|topic| broker.topic_id(name) == Some(topic.topic_id)).flat_map(|it| &it.partitions).collect();
        assert!(!asked.is_empty() && asked.iter().all(|asked| asked.partition_max_bytes == limit), "{name}: {asked:?}");
    }
    for bytes in [0, 1 << 31] {
        let error = client.consumer("g").topics(["t"]).max_partition_fetch_bytes_of("t", bytes).build().unwrap_err();
        assert_eq!((error.kind(), error.topic()), (ErrorKind::InvalidConfig, Some("t")));
        assert!(error.to_string().contains("max.partition.fetch.bytes"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_159_a_silent_leader_does_not_delay_another_s_records() {
    let (broker, client) = start(Broker::builder().nodes(2).topic("t", 2)).await;
    broker.move_leader("t", 0, 1);
    broker.move_leader("t", 1, 2);
    let mut consumer = client.consumer("g").topics(["t"]).fetch_max_wait(Duration::from_secs(5)).build().unwrap();
    quiet(&mut consumer).await;
    for round in 0..20 {
        sleep(Duration::from_millis(130)).await;
        append(&broker, "t", 0, round..round + 1);
        let appended = Instant::now();
        assert_eq!(next(&mut consumer, 1).await[0].offset, i64::try_from(round).unwrap());
        assert!(appended.elapsed() < Duration::from_millis(200), "{:?}", appended.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn rk_160_a_record_that_comes_while_the_queue_is_empty_is_processed_at_once() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    let mut consumer = client.consumer("g").topics(["t"]).fetch_max_wait(Duration::from_secs(1)).build().unwrap();
    quiet(&mut consumer).await;
    let (message, appended) = tokio::join!(consumer.next(), async {
        sleep(Duration::from_millis(50)).await;
        append(&broker, "t", 0, 0..1);
        Instant::now()
    });
    assert_eq!(message.unwrap().unwrap().offset, 0);
    assert!(appended.elapsed() < Duration::from_millis(100), "{:?}", appended.elapsed());
}

/// Records of 1,000,000 B, a slow handler: the gauge stays within its limit plus one batch per broker, and fetching goes on as the
/// handler gets through.
#[tokio::test(start_paused = true)]
async fn rk_161_prefetch_stops_at_its_limit_and_goes_on_when_drained() {
    const LIMIT: usize = 5_000_000;
    let (broker, client) = start(Broker::builder().nodes(2).topic("t", 4)).await;
    let large = vec![b'x'; 1_000_000];
    for _ in 0..10 {
        for partition in 0..4 {
            broker.append_records("t", partition, [(None, Some(large.as_slice()))]).unwrap();
        }
    }
    let mut consumer = client.consumer("g").topics(["t"]).prefetch_bytes(LIMIT).build().unwrap();
    let (handle, most) = (consumer.handle(), Arc::new(AtomicUsize::new(0)));
    let (watched, peak) = (consumer.handle(), most.clone());
    let watching = tokio::spawn(async move {
        loop {
            peak.fetch_max(watched.buffered_bytes(), Ordering::Relaxed);
            sleep(Duration::from_millis(10)).await;
        }
    });
    let mut count = 0;
    consumer
        .each_message(|message: Message| {
            assert_eq!(message.value.map(|value| value.len()), Some(1_000_000));
            count += 1;
            if count == 40 {
                handle.stop();
            }
            async {
                sleep(Duration::from_secs(1)).await;
                Ok::<(), klamm::Error>(())
            }
        })
        .await
        .unwrap();
    watching.abort();
    let most = most.load(Ordering::Relaxed);
    assert!(most <= LIMIT + 2 * 1_000_100, "{most} bytes were buffered");
    assert!(most >= 3_000_000, "hardly anything was fetched ahead: {most}");
    assert_eq!(count, 40);
    assert_eq!(handle.buffered_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn rk_162_nothing_fetched_before_a_rebalance_is_processed_after_it_for_a_partition_that_went() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    for from in (0..1000).step_by(10) {
        for partition in 0..2 {
            append(&broker, "t", partition, from..from + 10);
        }
    }
    let gone = Arc::new(Mutex::new(Vec::new()));
    let revoked = gone.clone();
    let mut first = client
        .consumer("g")
        .topics(["t"])
        .heartbeat_interval(Duration::from_secs(1))
        .on_revoked(move |partitions| revoked.lock().unwrap().extend(partitions.iter().map(|partition| partition.partition)))
        .build()
        .unwrap();
    let mut seen = next(&mut first, 20).await;
    assert!(first.buffered_bytes() > 0, "much is prefetched");
    let mut second = client.consumer("g").topics(["t"]).heartbeat_interval(Duration::from_secs(1)).build().unwrap();
    let handle = second.handle();
    let other = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(message) = second.next().await.unwrap() {
            seen.push((message.partition, message.offset));
        }
        seen
    });
    let mut taken = None;
    for _ in 0..400 {
        sleep(Duration::from_millis(100)).await;
        let message = next(&mut first, 1).await.remove(0);
        let went = gone.lock().unwrap().clone();
        assert!(!went.contains(&message.partition), "a record of a partition that went: {message:?}");
        if !went.is_empty() && taken.is_none() {
            taken = Some(went[0]);
        }
        seen.push(message);
    }
    let taken = taken.expect("no partition was given away");
    handle.stop();
    let other = other.await.unwrap();
    let last = seen.iter().filter(|message| message.partition == taken).map(|message| message.offset).max().unwrap_or(-1);
    assert_eq!(other.first(), Some(&(taken, last + 1)), "the new owner begins exactly there");
}

#[tokio::test(start_paused = true)]
async fn rk_163_aborted_records_are_not_delivered_and_what_follows_is() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..2);
    let values = [(None, Some(&b"a"[..])), (None, Some(&b"b"[..])), (None, Some(&b"c"[..]))];
    assert_eq!(broker.append_transactional("t", 0, (5, 0, 0), values), Some(2));
    assert_eq!(broker.end_transaction("t", 0, 5, 0, false), Some(5));
    append(&broker, "t", 0, 6..7);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    assert_eq!(offsets(&next(&mut consumer, 3).await), [0, 1, 6]);
}

#[tokio::test(start_paused = true)]
async fn rk_164_a_batch_that_is_cut_is_fetched_again() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..5);
    append(&broker, "t", 0, 5..10);
    let cut = broker.log("t", 0).iter().map(|batch| batch.len()).sum::<usize>() - 7;
    broker.intercept_next(ApiKey::FETCH, 1, move |_| {
        Intercept::edit::<FetchRequest>(move |response| {
            for data in response.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
                if let Some(records) = &mut data.records {
                    records.0.truncate(cut);
                }
            }
        })
    });
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    assert_eq!(offsets(&next(&mut consumer, 10).await), (0..10).collect::<Vec<_>>());
    let asked: Vec<i64> = broker.decoded::<FetchRequest>().iter().map(|r| r.topics[0].partitions[0].fetch_offset).collect();
    assert_eq!(asked[..2], [0, 5]);
}

#[tokio::test(start_paused = true)]
async fn rk_165_a_partition_whose_leader_moved_goes_on_at_the_same_offset() {
    let (broker, client) = start(Broker::builder().nodes(3).topic("t", 1)).await;
    append(&broker, "t", 0, 0..5);
    broker.move_leader("t", 0, 1);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    assert_eq!(offsets(&next(&mut consumer, 5).await), [0, 1, 2, 3, 4]);
    for node in [2, 3, 1] {
        broker.move_leader("t", 0, node);
        let before = broker.requests_of(ApiKey::METADATA).len();
        append(&broker, "t", 0, 5..7);
        let moved = Instant::now();
        assert_eq!(next(&mut consumer, 2).await.len(), 2);
        assert!(moved.elapsed() < Duration::from_secs(2), "{:?}", moved.elapsed());
        // The broker named the new leader (KIP-951), so the refresh is in no hurry.
        sleep(Duration::from_secs(2)).await;
        assert!(broker.requests_of(ApiKey::METADATA).len() > before, "metadata was not refreshed");
        let last = broker.requests_of(ApiKey::FETCH).pop().unwrap();
        assert_eq!(last.node, node);
    }
}

#[tokio::test(start_paused = true)]
async fn rk_166_many_small_batches_take_few_fetches() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    let value = [b'x'; 100];
    // 10 MB in batches of 100 records.
    let mut bytes = 0;
    while bytes < 10_000_000 {
        broker.append_records("t", 0, (0..100).map(|_| (None, Some(&value[..])))).unwrap();
        bytes += 100 * 107;
    }
    let count = broker.offsets("t", 0).unwrap().1;
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    let mut seen = 0;
    while seen < count {
        let batch = consumer.next_batch().await.unwrap().unwrap();
        seen += i64::try_from(batch.records().filter(Result::is_ok).count()).unwrap();
    }
    let fetches = broker.requests_of(ApiKey::FETCH).len();
    assert!(fetches <= 30, "{fetches} fetches for 10 MB");
}

#[tokio::test(start_paused = true)]
async fn rk_167_uncommitted_records_are_delivered_where_that_is_chosen() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..1);
    broker.append_transactional("t", 0, (5, 0, 0), [(None, Some(&b"open"[..]))]).unwrap();
    let mut dirty = client.consumer("a").topics(["t"]).isolation_level(IsolationLevel::ReadUncommitted).build().unwrap();
    assert_eq!(offsets(&next(&mut dirty, 2).await), [0, 1]);
    let mut clean = client.consumer("b").topics(["t"]).build().unwrap();
    assert_eq!(offsets(&next(&mut clean, 1).await), [0]);
    quiet(&mut clean).await;
    broker.end_transaction("t", 0, 5, 0, true).unwrap();
    assert_eq!(offsets(&next(&mut clean, 1).await), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_corrupted_batch_is_an_error_with_its_place_and_what_is_before_it_is_delivered() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    append(&broker, "t", 0, 0..3);
    append(&broker, "t", 0, 3..6);
    let broken = broker.intercept_all(ApiKey::FETCH, |_| {
        Intercept::edit::<FetchRequest>(|response| {
            for data in response.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
                let Some(records) = data.records.as_mut().filter(|records| !records.0.is_empty() && data.partition_index == 0)
                else {
                    continue;
                };
                let mut bytes = records.0.to_vec();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                records.0 = bytes.into();
            }
        })
    });
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    assert_eq!(offsets(&next(&mut consumer, 3).await), [0, 1, 2]);
    for _ in 0..3 {
        let error = consumer.next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert_eq!((error.topic(), error.partition(), error.offset()), (Some("t"), Some(0), Some(3)));
    }
    // Other partitions go on, and it does as well once the broker sends what was written.
    append(&broker, "t", 1, 0..1);
    loop {
        match consumer.next().await {
            Ok(message) => break assert_eq!(message.unwrap().partition, 1),
            Err(error) => assert_eq!(error.offset(), Some(3)),
        }
    }
    broker.remove_intercept(broken);
    loop {
        match consumer.next().await {
            Ok(message) => break assert_eq!(message.unwrap().offset, 3),
            Err(error) => assert_eq!(error.offset(), Some(3)),
        }
    }
    consumer.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(broker.committed("g", "t", 0), Some(3), "what could not be read was not passed");
}

/// Regression row 55: one record among others that cannot be read, though its batch has the right checksum. It is met when the user
/// comes to it, when what follows it was fetched long ago.
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_an_error_again_and_again_and_never_passed() {
    // The fourth record ends with its value and the number of its headers: a value that is longer than the record, a header too many.
    for damage in [&[0x04, b'3', 0x00], &[0x02, b'3', 0x02]] {
        let (broker, client) = start(Broker::builder().topic("t", 1)).await;
        append(&broker, "t", 0, 0..6);
        append(&broker, "t", 0, 6..8);
        let broken = broker.intercept_all(ApiKey::FETCH, move |_| {
            Intercept::edit::<FetchRequest>(move |response| {
                for data in response.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    let Some(records) = data.records.as_mut() else { continue };
                    let mut bytes = records.0.to_vec();
                    let found = bytes.iter().skip(61).zip(bytes.iter().skip(62)).position(|pair| pair == (&0x02, &b'3'));
                    let Some(at) = found.map(|found| 61 + found) else { continue };
                    bytes[at..at + 3].copy_from_slice(damage);
                    // It is in the first batch, behind 61 bytes: length at 8, checksum at 17 of what begins at 21.
                    let end = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
                    let checksum = crc32c::crc32c(&bytes[21..end]);
                    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
                    records.0 = bytes.into();
                }
            })
        });
        let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
        assert_eq!(offsets(&next(&mut consumer, 3).await), [0, 1, 2]);
        for _ in 0..3 {
            let error = timeout(Duration::from_secs(60), consumer.next()).await.expect("it is told again").unwrap_err();
            assert_eq!((error.kind(), error.partition(), error.offset()), (ErrorKind::Decode, Some(0), Some(3)));
        }
        consumer.commit().await.unwrap();
        assert_eq!(broker.committed("g", "t", 0), Some(3));
        broker.remove_intercept(broken);
        let mut seen = Vec::new();
        while seen.len() < 5 {
            match timeout(Duration::from_secs(60), consumer.next()).await.expect("no record comes any more") {
                Ok(message) => seen.push(message.unwrap().offset),
                Err(error) => assert_eq!(error.offset(), Some(3)),
            }
        }
        assert_eq!(seen, [3, 4, 5, 6, 7]);
    }
}

#[tokio::test(start_paused = true)]
async fn missing_authorization_is_told_and_reading_goes_on_when_it_comes() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..3);
    let refused =
        broker.intercept_all(ApiKey::FETCH, |_| Intercept::partition_error("t", 0, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    let error = consumer.next().await.unwrap_err();
    assert_eq!((error.kind(), error.topic(), error.partition()), (ErrorKind::Authorization, Some("t"), Some(0)));
    broker.remove_intercept(refused);
    loop {
        match consumer.next().await {
            Ok(message) => break assert_eq!(message.unwrap().offset, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Authorization),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn brokers_that_hang_or_cut_answers_lose_nothing() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..5);
    for trouble in 0..4 {
        broker.intercept_next(ApiKey::FETCH, 1, move |_| match trouble {
            0 => Intercept::CloseBefore,
            1 => Intercept::ProcessThenClose,
            2 => Intercept::CutResponse(50),
            _ => Intercept::Swallow,
        });
        let mut reader = client.reader("t").to_end().build().unwrap();
        let mut seen = Vec::new();
        while let Some(message) = reader.next().await.unwrap() {
            seen.push(message.offset);
        }
        assert_eq!(seen, [0, 1, 2, 3, 4], "trouble {trouble}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_consumer_asks_no_more_often_than_its_wait_says() {
    let (broker, client) = start(Broker::builder().nodes(2).topic("t", 4)).await;
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    quiet(&mut consumer).await;
    broker.clear_requests();
    let begun = Instant::now();
    for _ in 0..4 {
        quiet(&mut consumer).await;
    }
    let (fetches, seconds) = (broker.requests_of(ApiKey::FETCH).len(), begun.elapsed().as_secs_f64());
    let rate = fetches as f64 / seconds;
    assert!(rate <= 2.0 * 2.0 + 0.5, "{rate} fetches per second at two brokers");
}

#[tokio::test(start_paused = true)]
async fn brokers_without_topic_ids_are_asked_by_name() {
    let (broker, _) = start(Broker::builder().topic("t", 1).versions(ApiKey::METADATA, 0..=9)).await;
    append(&broker, "t", 0, 0..5);
    let client = connect(&broker).await;
    let mut reader = client.reader("t").to_end().build().unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap().offset, 0);
    assert!(broker.requests_of(ApiKey::FETCH).iter().all(|request| request.version <= 12));
}
