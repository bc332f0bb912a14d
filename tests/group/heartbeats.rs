//! Heartbeats, and what their answers lead to (acceptance group N).

use std::sync::{Arc, Mutex};

use klamm::consumer::Membership;
use klamm::protocol::messages::heartbeat::HeartbeatRequest;
use klamm::protocol::messages::join_group::JoinGroupRequest;
use klamm::protocol::messages::leave_group::LeaveGroupRequest;

use super::*;

#[tokio::test(start_paused = true)]
async fn rk_168_an_interval_of_1_second_gives_9_to_11_heartbeats_in_10() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).heartbeat_interval(SECOND).build().unwrap();
    next(&mut consumer).await;
    broker.clear_requests();
    read_for(&mut consumer, 10 * SECOND).await;
    let idle = broker.requests_of(ApiKey::HEARTBEAT).len();
    assert!((9..=11).contains(&idle), "{idle} while the user waits");
    broker.clear_requests();
    tokio::time::sleep(10 * SECOND).await;
    let busy = broker.requests_of(ApiKey::HEARTBEAT).len();
    assert!((9..=11).contains(&busy), "{busy} while the user is busy");
}

#[tokio::test(start_paused = true)]
async fn rk_170_a_heartbeat_answered_27_commits_the_marks_and_then_joins() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..2);
    let mut consumer = member(&client).auto_commit_interval(Duration::ZERO).build().unwrap();
    next(&mut consumer).await;
    next(&mut consumer).await;
    broker.clear_requests();
    refuse(&broker, ApiKey::HEARTBEAT, [ErrorCode::REBALANCE_IN_PROGRESS]);
    read_for(&mut consumer, 10 * SECOND).await;
    let order = order(&broker, &[ApiKey::OFFSET_COMMIT, ApiKey::JOIN_GROUP]);
    assert_eq!(order, [ApiKey::OFFSET_COMMIT, ApiKey::JOIN_GROUP]);
    assert_eq!(commits(&broker), [vec![(0, 2)]]);
}

#[tokio::test(start_paused = true)]
async fn rk_171_after_25_or_22_the_member_joins_again_and_commits_nothing_of_the_old_generation() {
    for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION] {
        let (broker, client) = start(Broker::builder().topic("t", 1)).await;
        append(&broker, 0, 0..5);
        let lost = Arc::new(Mutex::new(Vec::new()));
        let (heard, revoked) = (lost.clone(), lost.clone());
        let mut consumer = member(&client)
            .auto_commit_interval(Duration::ZERO)
            .on_lost(move |partitions| heard.lock().unwrap().push(("lost", partitions.len())))
            .on_revoked(move |partitions| revoked.lock().unwrap().push(("revoked", partitions.len())))
            .build()
            .unwrap();
        let before = next(&mut consumer).await;
        let old = broker.decoded::<HeartbeatRequest>().len();
        broker.clear_requests();
        refuse(&broker, ApiKey::HEARTBEAT, [code]);
        // The user is busy with the first record while the group goes on without it.
        tokio::time::sleep(5 * SECOND).await;
        consumer.mark_as_processed(&before);
        let again = next(&mut consumer).await;
        assert_eq!(again.offset, 0, "{code}: nothing was committed, so it begins again");
        assert_eq!(*lost.lock().unwrap(), [("lost", 1)], "{code}");
        assert!(commits(&broker).is_empty(), "{code}: {:?}", commits(&broker));
        let join = broker.decoded::<JoinGroupRequest>().remove(0);
        assert_eq!(join.member_id.as_str().is_empty(), code == ErrorCode::UNKNOWN_MEMBER_ID, "{code}");
        assert!(old < 2);
        consumer.stop();
        assert!(consumer.next().await.unwrap().is_none());
        assert_eq!(broker.committed("g", "t", 0), Some(1), "{code}: in the new generation it may commit");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_173_a_heartbeat_answered_16_is_repeated_at_the_new_coordinator() {
    let (broker, client) = start(Broker::builder().nodes(3).topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).build().unwrap();
    next(&mut consumer).await;
    let old = broker.coordinator("g").expect("it has one");
    let new = old % 3 + 1;
    let joins = broker.requests_of(ApiKey::JOIN_GROUP).len();
    broker.clear_requests();
    broker.set_coordinator("g", new);
    read_for(&mut consumer, 10 * SECOND).await;
    let beats: Vec<i32> = broker.requests_of(ApiKey::HEARTBEAT).iter().map(|request| request.node).collect();
    assert_eq!(beats[0], old);
    assert!(beats.len() >= 3 && beats[1..].iter().all(|&node| node == new), "{beats:?}");
    assert_eq!(broker.requests_of(ApiKey::FIND_COORDINATOR).len(), 1);
    assert!(broker.requests_of(ApiKey::JOIN_GROUP).is_empty(), "the session goes on ({joins} joins before)");
}

#[tokio::test(start_paused = true)]
async fn rk_172_a_heartbeat_by_hand_goes_out_at_once_and_one_if_due_not_before_the_interval() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).heartbeat_interval(10 * SECOND).build().unwrap();
    let error = consumer.heartbeat().await.unwrap_err();
    assert_eq!(error.kind(), klamm::ErrorKind::InvalidRequest, "it has not begun to read");
    assert_eq!(consumer.membership(), Membership::NotMember);
    let (handle, seen) = (consumer.handle(), broker.clone());
    consumer
        .each_message(async |_| {
            // Half an interval after the sync there is none in the background.
            tokio::time::sleep(5 * SECOND).await;
            let beats = || seen.requests_of(ApiKey::HEARTBEAT).len();
            assert_eq!(beats(), 0);
            assert_eq!(handle.heartbeat_if_due().await?, Membership::Stable);
            assert_eq!(beats(), 0, "the interval is not over");
            assert_eq!(handle.heartbeat().await?, Membership::Stable);
            assert_eq!(beats(), 1, "sent at once");
            // The next in the background is an interval after that one.
            tokio::time::sleep(9 * SECOND).await;
            assert_eq!(handle.heartbeat_if_due().await?, Membership::Stable);
            assert_eq!((beats(), handle.membership()), (1, Membership::Stable));
            tokio::time::sleep(2 * SECOND).await;
            assert_eq!(beats(), 2);
            handle.stop();
            Ok::<(), klamm::Error>(())
        })
        .await
        .unwrap();
    assert_eq!(consumer.membership(), Membership::NotMember, "it has left");
    assert!(consumer.heartbeat().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn rk_174_a_heartbeat_by_hand_that_finds_a_rebalance_is_a_value_and_the_loop_goes_on() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).heartbeat_interval(10 * SECOND).build().unwrap();
    let (handle, seen, found) = (consumer.handle(), broker.clone(), Arc::new(Mutex::new(Vec::new())));
    let noted = found.clone();
    let work = consumer.each_message(move |message| {
        let (handle, broker, noted) = (handle.clone(), seen.clone(), noted.clone());
        async move {
            if message.offset == 0 {
                // The group takes a while to come together again.
                broker.intercept_next(ApiKey::JOIN_GROUP, 1, |_| Intercept::Delay(5 * SECOND));
                broker.rebalance_group("g");
                let membership = handle.heartbeat().await?;
                assert_eq!(handle.membership(), membership);
                noted.lock().unwrap().push(membership);
                append(&broker, 0, 1..2);
            } else {
                // What is kept is read on meanwhile.
                tokio::time::sleep(10 * SECOND).await;
                let membership = handle.heartbeat().await?;
                noted.lock().unwrap().push(membership);
                handle.stop();
            }
            Ok::<(), klamm::Error>(())
        }
    });
    let generation = 1;
    timeout(60 * SECOND, work).await.expect("within a minute").unwrap();
    assert_eq!(*found.lock().unwrap(), [Membership::Rebalancing, Membership::Stable]);
    assert!(broker.group_generation("g") > generation, "it joined again");
    assert_eq!(broker.committed("g", "t", 0), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_handler_learns_that_its_partitions_are_another_s() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).build().unwrap();
    next(&mut consumer).await;
    refuse(&broker, ApiKey::HEARTBEAT, [ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!(consumer.heartbeat().await.unwrap(), Membership::NotMember);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_does_not_answer_ends_the_wait_for_a_heartbeat() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).default_api_timeout(10 * SECOND);
    let client = client.build().unwrap();
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).build().unwrap();
    next(&mut consumer).await;
    broker.intercept_all(ApiKey::HEARTBEAT, |_| Intercept::Swallow);
    let error = timeout(20 * SECOND, consumer.heartbeat()).await.expect("it ends").unwrap_err();
    assert_eq!((error.kind(), error.api()), (klamm::ErrorKind::Timeout, Some("Heartbeat")));
}

#[tokio::test(start_paused = true)]
async fn rk_175_processing_longer_than_the_limit_leaves_the_group_and_says_so() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..2);
    let lost = Arc::new(Mutex::new(0));
    let heard = lost.clone();
    let settings = member(&client).max_poll_interval(20 * SECOND).auto_commit_interval(Duration::ZERO);
    let mut consumer = settings.on_lost(move |partitions| *heard.lock().unwrap() += partitions.len()).build().unwrap();
    next(&mut consumer).await;
    tokio::time::sleep(19 * SECOND).await;
    assert_eq!(broker.group_members("g").len(), 1, "heartbeats do not depend on the user");
    tokio::time::sleep(5 * SECOND).await;
    assert!(broker.group_members("g").is_empty());
    let leave = broker.decoded::<LeaveGroupRequest>().remove(0);
    let reason = leave.members[0].reason.as_ref().expect("a reason").as_str().to_owned();
    assert!(reason.contains("max.poll.interval.ms (20000)"), "{reason}");
    // It stays away until the user asks for more, and then begins where the group stands.
    tokio::time::sleep(600 * SECOND).await;
    assert!(broker.group_members("g").is_empty());
    assert_eq!(next(&mut consumer).await.offset, 0);
    assert_eq!(*lost.lock().unwrap(), 1);
    assert_eq!(broker.group_members("g").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_user_that_waits_for_records_is_not_too_slow() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..1);
    let mut consumer = member(&client).max_poll_interval(20 * SECOND).build().unwrap();
    next(&mut consumer).await;
    read_for(&mut consumer, 300 * SECOND).await;
    assert_eq!(broker.group_members("g").len(), 1);
    assert!(broker.requests_of(ApiKey::LEAVE_GROUP).is_empty());
    // Neither is one that comes back in time, again and again.
    for _ in 0..10 {
        tokio::time::sleep(15 * SECOND).await;
        append(&broker, 0, 0..1);
        next(&mut consumer).await;
    }
    assert!(broker.requests_of(ApiKey::LEAVE_GROUP).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_handler_of_twice_the_session_time_out_keeps_its_membership() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..2);
    let mut consumer = member(&client).session_timeout(10 * SECOND).build().unwrap();
    next(&mut consumer).await;
    let generation = broker.group_generation("g");
    tokio::time::sleep(25 * SECOND).await;
    assert_eq!(next(&mut consumer).await.offset, 1, "no second delivery");
    assert_eq!(broker.group_generation("g"), generation);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_the_group_threw_out_starts_over_from_the_last_commit() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, 0, 0..10);
    let mut consumer = member(&client).auto_commit_interval(Duration::ZERO).build().unwrap();
    for _ in 0..4 {
        next(&mut consumer).await;
    }
    consumer.commit().await.unwrap();
    let id = broker.group_members("g")[0].member_id.clone();
    broker.expire_member("g", &id);
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(next(&mut consumer).await.offset, 3, "the fourth was not marked yet when the commit was made");
}
