//! Partitions that change hands between members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use klamm::consumer::assignor::{Assignor, RangeAssignor};
use klamm::protocol::messages::join_group::JoinGroupRequest;

use super::*;

/// Runs a member until it is told to stop; gives the offsets it saw per partition, in order.
fn run(mut consumer: Consumer, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<Vec<(i32, i64)>> {
    tokio::spawn(async move {
        let mut seen = Vec::new();
        let handle = consumer.handle();
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(SECOND / 20).await;
            }
            handle.stop();
        });
        while let Some(message) = consumer.next().await.unwrap() {
            seen.push((message.partition, message.offset));
        }
        seen
    })
}

fn flag() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

#[tokio::test(start_paused = true)]
async fn two_members_of_one_client_share_and_hand_over_without_loss_or_repeat() {
    for assignor in [None, Some(Arc::new(RangeAssignor) as Arc<dyn Assignor>)] {
        let (broker, client) = start(Broker::builder().topic("t", 6)).await;
        let build = || {
            let settings = member(&client);
            match &assignor {
                Some(assignor) => settings.assignors([assignor.clone()]).build().unwrap(),
                None => settings.build().unwrap(),
            }
        };
        let (stop_first, stop_second) = (flag(), flag());
        let first = run(build(), stop_first.clone());
        for round in 0..20 {
            for partition in 0..6 {
                append(&broker, partition, round * 5..round * 5 + 5);
            }
            tokio::time::sleep(SECOND).await;
        }
        let second = run(build(), stop_second.clone());
        for round in 20..40 {
            for partition in 0..6 {
                append(&broker, partition, round * 5..round * 5 + 5);
            }
            tokio::time::sleep(SECOND).await;
        }
        let sizes: Vec<usize> = broker.group_members("g").iter().map(|member| member.assignment.len()).collect();
        assert_eq!(sizes.len(), 2);
        assert_eq!(sizes[0], sizes[1], "three partitions each");
        // The first goes; the second takes over where it was.
        stop_first.store(true, Ordering::Relaxed);
        let first = first.await.unwrap();
        for partition in 0..6 {
            append(&broker, partition, 200..205);
        }
        tokio::time::sleep(20 * SECOND).await;
        stop_second.store(true, Ordering::Relaxed);
        let second = second.await.unwrap();
        assert!(!second.is_empty() && first.len() > second.len());
        let mut all: Vec<(i32, i64)> = first.iter().chain(&second).copied().collect();
        all.sort_unstable();
        let expected: Vec<(i32, i64)> = (0..6).flat_map(|partition| (0..205).map(move |offset| (partition, offset))).collect();
        assert_eq!(all.len(), expected.len(), "each record once: {assignor:?}");
        assert_eq!(all, expected);
        for seen in [first, second] {
            let mut last = BTreeMap::new();
            for (partition, offset) in seen {
                assert!(last.insert(partition, offset).is_none_or(|before| before < offset), "in order");
            }
        }
        for partition in 0..6 {
            assert_eq!(broker.committed("g", "t", partition), Some(205));
        }
    }
}

/// The time until `condition` holds.
async fn takes(mut condition: impl FnMut() -> bool) -> Duration {
    let start = tokio::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < 300 * SECOND, "it never does");
        tokio::time::sleep(SECOND / 50).await;
    }
    start.elapsed()
}

/// On Apache Kafka in `real/`; here the times are exact. The default heartbeat interval is 3 s (defaults.md; ruby-kafka's is 10 s).
#[tokio::test(start_paused = true)]
async fn rk_116_117_partitions_are_shared_and_taken_over_within_the_time_of_some_heartbeats() {
    for (interval, busy) in [(None, false), (Some(SECOND), false), (Some(10 * SECOND), true)] {
        let (broker, client) = start(Broker::builder().topic("t", 6)).await;
        let build = || match interval {
            Some(interval) => member(&client).heartbeat_interval(interval).build().unwrap(),
            None => member(&client).build().unwrap(),
        };
        let interval = interval.unwrap_or(3 * SECOND);
        let (stop_first, stop_second) = (flag(), flag());
        let (first, second) = (build(), build());
        let handles = [first.handle(), second.handle()];
        let owned = || handles.each_ref().map(|handle| handle.assignment().len());
        let first = run(first, stop_first.clone());
        takes(|| owned() == [6, 0]).await;
        let writing = tokio::spawn({
            let broker = broker.clone();
            async move {
                for round in 0..if busy { 1000 } else { 0 } {
                    append(&broker, round % 6, 0..3);
                    tokio::time::sleep(SECOND / 20).await;
                }
            }
        });
        // At any point between two heartbeats.
        tokio::time::sleep(SECOND * 7 / 10).await;
        let second = run(second, stop_second.clone());
        let took = takes(|| owned() == [3, 3]).await;
        assert!(took <= 2 * interval + 5 * SECOND, "both have partitions after {took:?}, heartbeats each {interval:?}");

        assert!(broker.requests_of(ApiKey::LEAVE_GROUP).is_empty());
        stop_first.store(true, Ordering::Relaxed);
        let first = first.await.unwrap();
        assert_eq!(broker.requests_of(ApiKey::LEAVE_GROUP).len(), 1);
        let took = takes(|| owned()[1] == 6).await;
        assert!(took <= interval + 3 * SECOND, "the other has all after {took:?}, heartbeats each {interval:?}");
        writing.await.unwrap();
        tokio::time::sleep(5 * SECOND).await;
        stop_second.store(true, Ordering::Relaxed);
        let all: Vec<_> = [first, second.await.unwrap()].concat();
        let written: i64 = (0..6).map(|partition| broker.offsets("t", partition).unwrap().1).sum();
        assert_eq!((all.len() as i64, all.iter().collect::<BTreeSet<_>>().len() as i64), (written, written), "each once");
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_is_read_on_during_the_rebalance() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    let mut first = member(&client).build().unwrap();
    append(&broker, 0, 0..1);
    append(&broker, 1, 0..1);
    next(&mut first).await;
    next(&mut first).await;
    // The second member's JoinGroup starts a rebalance, and for a while nobody hears how it ends.
    let held = broker.intercept_all(ApiKey::SYNC_GROUP, |_| Intercept::Delay(20 * SECOND));
    let stop = flag();
    let second = run(member(&client).build().unwrap(), stop.clone());
    read_for(&mut first, 5 * SECOND).await;
    append(&broker, 0, 1..2);
    append(&broker, 1, 1..2);
    let during = read_for(&mut first, 5 * SECOND).await;
    assert_eq!(during.len(), 2, "the partitions are still its own");
    broker.remove_intercept(held);
    read_for(&mut first, 60 * SECOND).await;
    assert_eq!(first.assignment().len(), 1);
    stop.store(true, Ordering::Relaxed);
    read_for(&mut first, 5 * SECOND).await;
    assert!(second.await.unwrap().is_empty(), "what was read before the hand-over is not read again");
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_given_away_only_after_the_user_is_back_and_its_marks_are_committed() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    append(&broker, 0, 0..3);
    append(&broker, 1, 0..3);
    let events = Arc::new(Mutex::new(Vec::new()));
    let (assigned, revoked, committed) = (events.clone(), events.clone(), broker.clone());
    let mut first = member(&client)
        .auto_commit_interval(Duration::ZERO)
        .on_assigned(move |partitions| assigned.lock().unwrap().push(format!("assigned {}", partitions.len())))
        .on_revoked(move |partitions| {
            let at: i64 = partitions.iter().filter_map(|partition| committed.committed("g", "t", partition.partition)).sum();
            revoked.lock().unwrap().push(format!("revoked {} at {at}", partitions.len()));
        })
        .build()
        .unwrap();
    for _ in 0..6 {
        next(&mut first).await;
    }
    let stop = flag();
    let second = run(member(&client).build().unwrap(), stop.clone());
    // In its block for half a minute: the group waits.
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(*events.lock().unwrap(), ["assigned 2"]);
    read_for(&mut first, 10 * SECOND).await;
    assert_eq!(*events.lock().unwrap(), ["assigned 2", "revoked 1 at 3"]);
    stop.store(true, Ordering::Relaxed);
    read_for(&mut first, 10 * SECOND).await;
    assert!(second.await.unwrap().is_empty());
    assert_eq!(*events.lock().unwrap(), ["assigned 2", "revoked 1 at 3", "assigned 1"]);
}

#[tokio::test(start_paused = true)]
async fn members_of_different_subscriptions_get_what_they_want() {
    let (broker, client) = start(Broker::builder().topic("t", 3).topic("u", 2)).await;
    let mut first = client.consumer("g").topics(["t"]).build().unwrap();
    let mut second = client.consumer("g").topics(["t", "u"]).build().unwrap();
    tokio::join!(read_for(&mut first, 30 * SECOND), read_for(&mut second, 30 * SECOND));
    let (ours, theirs) = (first.assignment(), second.assignment());
    assert!(ours.iter().all(|partition| partition.topic == "t"));
    assert_eq!(theirs.iter().filter(|partition| partition.topic == "u").count(), 2);
    let all: BTreeSet<_> = ours.iter().chain(&theirs).collect();
    assert_eq!(all.len(), 5, "{ours:?} {theirs:?}");
    assert_eq!(broker.group_members("g").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn partitions_that_are_added_are_consumed_from_their_beginning() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).build().unwrap();
    next(&mut consumer).await;
    broker.add_partitions("t", 3);
    append(&broker, 2, 0..2);
    // defaults.md: metadata is at most five minutes old.
    let seen = read_for(&mut consumer, 330 * SECOND).await;
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|message| message.partition == 2));
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_created_later_is_consumed() {
    let (broker, client) = start(Broker::builder().topic("other", 1)).await;
    let stop = flag();
    let consumer = run(client.consumer("g").topics(["t", "other"]).build().unwrap(), stop.clone());
    tokio::time::sleep(10 * SECOND).await;
    assert!(broker.create_topic("t", 1));
    append(&broker, 0, 0..2);
    tokio::time::sleep(330 * SECOND).await;
    stop.store(true, Ordering::Relaxed);
    assert_eq!(consumer.await.unwrap(), [(0, 0), (0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_dies_is_replaced_after_the_session_time_out_from_the_last_commit() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    append(&broker, 0, 0..10);
    append(&broker, 1, 0..10);
    let mut first = member(&client).auto_commit_interval(Duration::ZERO).build().unwrap();
    let mut seen = Vec::new();
    for _ in 0..20 {
        let message = next(&mut first).await;
        seen.push((message.partition, message.offset));
        if seen.len() == 10 {
            first.commit().await.unwrap();
        }
    }
    let committed: BTreeMap<i32, i64> = (0..2).map(|p| (p, broker.committed("g", "t", p).unwrap_or(0))).collect();
    // It does not say goodbye: all its requests vanish.
    let id = broker.group_members("g")[0].member_id.clone();
    broker.intercept(move |request| match request.api_key {
        ApiKey::LEAVE_GROUP | ApiKey::HEARTBEAT => Intercept::Swallow,
        _ => Intercept::Pass,
    });
    drop(first);
    assert_eq!(broker.group_members("g")[0].member_id, id);
    let mut second = member(&client).build().unwrap();
    let again = read_for(&mut second, 55 * SECOND).await;
    let expected: i64 = committed.values().map(|&at| 10 - at).sum();
    assert_eq!(again.len() as i64, expected, "everything since the last commit, and no more");
    assert!(again.iter().all(|message| message.offset >= committed[&message.partition]));
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_parked_does_not_hold_up_a_commit() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..2);
    let mut consumer = member(&client).auto_commit_interval(Duration::ZERO).build().unwrap();
    next(&mut consumer).await;
    broker.intercept_next(ApiKey::JOIN_GROUP, 1, |_| Intercept::Delay(100 * SECOND));
    broker.rebalance_group("g");
    read_for(&mut consumer, 10 * SECOND).await;
    assert_eq!(broker.decoded::<JoinGroupRequest>().last().map(|join| join.member_id.as_str().is_empty()), Some(false));
    let begun = tokio::time::Instant::now();
    append(&broker, 0, 2..3);
    let mut last = next(&mut consumer).await;
    while last.offset < 2 {
        last = next(&mut consumer).await;
    }
    consumer.mark_as_processed(&last);
    consumer.commit().await.unwrap();
    assert!(begun.elapsed() < 5 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(broker.committed("g", "t", 0), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_can_change_while_the_consumer_runs() {
    let (broker, client) = start(Broker::builder().topic("t", 1).topic("u", 1)).await;
    append(&broker, 0, 0..2);
    broker.append_records("u", 0, [(None, Some(b"in u".as_slice()))]).unwrap();
    let revoked = Arc::new(Mutex::new(Vec::new()));
    let heard = revoked.clone();
    let mut consumer =
        member(&client).on_revoked(move |partitions| heard.lock().unwrap().extend_from_slice(partitions)).build().unwrap();
    next(&mut consumer).await;
    next(&mut consumer).await;
    assert_eq!(consumer.subscribe(["not a name"]).await.unwrap_err().kind(), klamm::ErrorKind::InvalidRequest);
    consumer.subscribe(["u"]).await.unwrap();
    assert_eq!(next(&mut consumer).await.topic, "u");
    assert_eq!(*revoked.lock().unwrap(), [klamm::TopicPartition::new("t", 0)]);
    assert_eq!(broker.committed("g", "t", 0), Some(2), "what was done before counts");
    assert_eq!(consumer.assignment(), [klamm::TopicPartition::new("u", 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_not_back_in_time_loses_the_partitions_but_not_what_was_marked() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..3);
    let range = || Arc::new(RangeAssignor) as Arc<dyn Assignor>;
    let events = Arc::new(Mutex::new(Vec::new()));
    let (lost, revoked) = (events.clone(), events.clone());
    let mut consumer = member(&client)
        .assignors([range()])
        .max_poll_interval(60 * SECOND)
        .auto_commit_interval(Duration::ZERO)
        .on_lost(move |partitions| lost.lock().unwrap().push(("lost", partitions.len())))
        .on_revoked(move |partitions| revoked.lock().unwrap().push(("revoked", partitions.len())))
        .build()
        .unwrap();
    for _ in 0..3 {
        next(&mut consumer).await;
    }
    broker.rebalance_group("g");
    tokio::time::sleep(44 * SECOND).await;
    assert_eq!(broker.committed("g", "t", 0), None, "it waits for the user");
    tokio::time::sleep(12 * SECOND).await;
    assert_eq!(broker.committed("g", "t", 0), Some(2), "the third is in the user's hands");
    assert_eq!(next(&mut consumer).await.offset, 2, "and comes again");
    assert_eq!(*events.lock().unwrap(), [("lost", 1)]);
}
