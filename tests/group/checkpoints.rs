//! Offsets and checkpoints (acceptance group K).

use klamm::protocol::messages::offset_fetch::OffsetFetchRequest;

use super::*;

#[tokio::test(start_paused = true)]
async fn rk_132_an_interval_of_10_commits_one_mark_at_10_seconds() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).auto_commit_interval(10 * SECOND).automatically_mark_as_processed(false).build().unwrap();
    let message = next(&mut consumer).await;
    consumer.mark_as_processed(&message);
    read_for(&mut consumer, 9 * SECOND).await;
    assert_eq!(broker.committed("g", "t", 0), None);
    read_for(&mut consumer, 2 * SECOND).await;
    assert_eq!(broker.committed("g", "t", 0), Some(1));
    read_for(&mut consumer, 60 * SECOND).await;
    assert_eq!(commits(&broker).len(), 1, "nothing changed since: {:?}", commits(&broker));
}

#[tokio::test(start_paused = true)]
async fn rk_133_a_threshold_of_3_commits_at_the_third_mark() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..3);
    let settings = member(&client).auto_commit_interval(Duration::ZERO).auto_commit_threshold(3);
    let mut consumer = settings.automatically_mark_as_processed(false).build().unwrap();
    for expected in [None, None, Some(3)] {
        let message = next(&mut consumer).await;
        consumer.mark_as_processed(&message);
        tokio::time::sleep(SECOND).await;
        assert_eq!(broker.committed("g", "t", 0), expected);
    }
    assert_eq!(commits(&broker).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rk_134_without_interval_and_threshold_commits_happen_on_request_and_at_the_end() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..10);
    let mut consumer = member(&client).auto_commit_interval(Duration::ZERO).build().unwrap();
    assert_eq!(read_for(&mut consumer, 120 * SECOND).await.len(), 10);
    assert_eq!(commits(&broker).len(), 0);
    append(&broker, 0, 10..12);
    next(&mut consumer).await;
    consumer.commit().await.unwrap();
    assert_eq!(broker.committed("g", "t", 0), Some(10));
    next(&mut consumer).await;
    consumer.stop();
    assert!(consumer.next().await.unwrap().is_none());
    assert_eq!(broker.committed("g", "t", 0), Some(12));
}

#[tokio::test(start_paused = true)]
async fn rk_135_of_marks_42_and_5_the_place_behind_42_is_committed() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..50);
    let mut consumer = member(&client).automatically_mark_as_processed(false).build().unwrap();
    let mut messages = Vec::new();
    for _ in 0..50 {
        messages.push(next(&mut consumer).await);
    }
    consumer.mark_as_processed(&messages[42]);
    consumer.mark_as_processed(&messages[5]);
    consumer.commit().await.unwrap();
    assert_eq!(broker.committed("g", "t", 0), Some(43));
}

#[tokio::test(start_paused = true)]
async fn rk_136_a_mark_on_a_partition_that_is_not_assigned_is_never_committed() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).automatically_mark_as_processed(false).build().unwrap();
    next(&mut consumer).await;
    consumer.mark_as_processed(&Message::new("t", 7, 3));
    consumer.mark_as_processed(&Message::new("other", 0, 3));
    consumer.commit().await.unwrap();
    read_for(&mut consumer, 60 * SECOND).await;
    assert!(commits(&broker).is_empty(), "{:?}", commits(&broker));
}

#[tokio::test(start_paused = true)]
async fn rk_137_marks_of_a_partition_that_was_lost_are_in_no_commit() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    append(&broker, 0, 0..1);
    append(&broker, 1, 0..1);
    let mut first = member(&client).auto_commit_interval(Duration::ZERO).automatically_mark_as_processed(false).build().unwrap();
    let messages = [next(&mut first).await, next(&mut first).await];
    let mut second = member(&client).automatically_mark_as_processed(false).build().unwrap();
    let (kept, _) = tokio::join!(
        async {
            timeout(60 * SECOND, async {
                while first.assignment().len() != 1 {
                    _ = timeout(SECOND / 10, first.next()).await;
                }
            })
            .await
            .expect("one of two partitions goes");
            let kept = first.assignment()[0].partition;
            // Both are marked, but one of them only after it was given away.
            messages.iter().for_each(|message| first.mark_as_processed(message));
            first.commit().await.unwrap();
            kept
        },
        read_for(&mut second, 20 * SECOND),
    );
    assert_eq!(commits(&broker), [vec![(kept, 1)]]);
}

#[tokio::test(start_paused = true)]
async fn rk_145_unchanged_offsets_go_with_the_first_commit_and_again_after_half_the_retention() {
    let (broker, client) = start(Broker::builder().topic("t", 3)).await;
    append(&broker, 1, 0..30);
    append(&broker, 2, 0..10);
    broker.set_committed("g", "t", 1, Some(20));
    broker.set_committed("g", "t", 2, Some(10));
    let settings = member(&client).offset_retention(300 * SECOND).auto_commit_interval(Duration::ZERO);
    let mut consumer = settings.automatically_mark_as_processed(false).build().unwrap();
    loop {
        let message = next(&mut consumer).await;
        if (message.partition, message.offset) == (1, 25) {
            consumer.mark_as_processed(&message);
            break;
        }
    }
    consumer.commit().await.unwrap();
    assert_eq!(commits(&broker), [vec![(1, 26), (2, 10)]], "partition 0 never had an offset");
    let first = broker.decoded::<OffsetCommitRequest>().remove(0);
    assert_eq!(first.retention_time_ms, 300_000);
    read_for(&mut consumer, 149 * SECOND).await;
    assert_eq!(commits(&broker).len(), 1);
    read_for(&mut consumer, 2 * SECOND).await;
    assert_eq!(commits(&broker)[1..], [vec![(1, 26), (2, 10)]], "half of 300 s later");
}

#[tokio::test(start_paused = true)]
async fn rk_147_a_final_commit_survives_two_broken_connections() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..3);
    let mut consumer = member(&client).build().unwrap();
    for _ in 0..3 {
        next(&mut consumer).await;
    }
    broker.intercept_next(ApiKey::OFFSET_COMMIT, 2, |_| Intercept::CloseBefore);
    consumer.stop();
    assert!(timeout(60 * SECOND, consumer.next()).await.expect("it ends").unwrap().is_none());
    assert_eq!(broker.committed("g", "t", 0), Some(3));
    assert_eq!(broker.requests_of(ApiKey::OFFSET_COMMIT).len(), 3);
    assert!(broker.group_members("g").is_empty());
}

#[tokio::test(start_paused = true)]
async fn offsets_of_an_open_transaction_are_waited_for_and_never_taken_for_none() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..10);
    broker.set_committed("g", "t", 0, Some(5));
    broker.intercept_next(ApiKey::OFFSET_FETCH, 20, |_| Intercept::partition_error("t", 0, ErrorCode::UNSTABLE_OFFSET_COMMIT));
    let mut consumer = member(&client).build().unwrap();
    assert_eq!(next(&mut consumer).await.offset, 5);
    let requests = broker.decoded::<OffsetFetchRequest>();
    assert_eq!(requests.len(), 21);
    assert!(requests.iter().all(|request| request.require_stable));
}

#[tokio::test(start_paused = true)]
async fn a_failing_offset_fetch_never_starts_at_the_beginning() {
    for code in [
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::NOT_COORDINATOR,
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::UNKNOWN_SERVER_ERROR,
        ErrorCode::REQUEST_TIMED_OUT,
    ] {
        let (broker, client) = start(Broker::builder().topic("t", 1)).await;
        append(&broker, 0, 0..10);
        broker.set_committed("g", "t", 0, Some(5));
        refuse(&broker, ApiKey::OFFSET_FETCH, [code; 3]);
        assert_eq!(next(&mut member(&client).build().unwrap()).await.offset, 5, "{code}");
    }
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..10);
    broker.set_committed("g", "t", 0, Some(5));
    broker.intercept_next(ApiKey::OFFSET_FETCH, 2, |_| Intercept::CloseBefore);
    assert_eq!(next(&mut member(&client).build().unwrap()).await.offset, 5, "a broken connection");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_the_group_refuses_for_a_topic_says_which() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).automatically_mark_as_processed(false).build().unwrap();
    let message = next(&mut consumer).await;
    consumer.mark_as_processed(&message);
    broker
        .intercept_next(ApiKey::OFFSET_COMMIT, 1, |_| Intercept::partition_error("t", 0, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    let error = consumer.commit().await.unwrap_err();
    assert_eq!(
        (error.code(), error.topic(), error.partition()),
        (Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED), Some("t"), Some(0))
    );
    assert_eq!(error.api(), Some("OffsetCommit"));
    consumer.commit().await.unwrap();
    assert_eq!(broker.committed("g", "t", 0), Some(1), "the same again");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_nobody_waits_for_and_that_is_refused_is_made_again_an_interval_later() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).automatically_mark_as_processed(false).build().unwrap();
    let message = next(&mut consumer).await;
    consumer.mark_as_processed(&message);
    broker
        .intercept_next(ApiKey::OFFSET_COMMIT, 1, |_| Intercept::partition_error("t", 0, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    assert!(timeout(Duration::ZERO, consumer.commit()).await.is_err(), "dropped while it waits");
    read_for(&mut consumer, 4 * SECOND).await;
    assert_eq!((broker.requests_of(ApiKey::OFFSET_COMMIT).len(), broker.committed("g", "t", 0)), (1, None));
    read_for(&mut consumer, 2 * SECOND).await;
    assert_eq!(broker.committed("g", "t", 0), Some(1));
}

#[tokio::test(start_paused = true)]
async fn many_commits_at_once_are_few_requests_and_all_hear_of_theirs() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).automatically_mark_as_processed(false).build().unwrap();
    let message = next(&mut consumer).await;
    consumer.mark_as_processed(&message);
    let commits: Vec<_> = (0..1000)
        .map(|_| {
            let handle = consumer.handle();
            tokio::spawn(async move { handle.commit().await })
        })
        .collect();
    for commit in commits {
        commit.await.unwrap().unwrap();
    }
    assert_eq!(broker.committed("g", "t", 0), Some(1));
    assert!(broker.requests_of(ApiKey::OFFSET_COMMIT).len() <= 2, "one under way, and one for those who came meanwhile");
}

/// The log lost its end and the reader began anew; what it processed again was never committed, for the place before was further on.
#[tokio::test(start_paused = true)]
async fn what_is_read_again_after_an_offset_out_of_range_is_committed() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    append(&broker, 0, 1..2);
    append(&broker, 0, 2..3);
    let mut consumer =
        member(&client).auto_commit_interval(SECOND).auto_offset_reset(klamm::consumer::OffsetReset::Earliest).build().unwrap();
    assert_eq!(read_for(&mut consumer, 5 * SECOND).await.len(), 3);
    assert_eq!(broker.committed("g", "t", 0), Some(3));
    broker.truncate("t", 0, 1);
    let again: Vec<_> = read_for(&mut consumer, 10 * SECOND).await.iter().map(|message| message.offset).collect();
    assert_eq!(again, [0]);
    assert_eq!(broker.committed("g", "t", 0), Some(1));
}
