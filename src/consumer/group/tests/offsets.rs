//! Reading and writing the group's offsets, in and out of rebalances.

use super::*;
use crate::consumer::group::messages;

#[test]
fn a_commit_goes_out_as_the_member_of_its_generation() {
    let mut member = Member::stable(config(), 0..2);
    let id = member.commit([0, 1], 11);
    let (ticket, request) = member.take_request("OffsetCommit");
    let Request::OffsetCommit { generation: 5, member_id, offsets: sent } = request else { panic!("{request:?}") };
    assert_eq!((member_id.as_str(), sent), ("m1", offsets([0, 1], 11)));
    member.respond(ticket, Ok(Response::OffsetCommit(partitions([0, 1]).into_iter().map(|p| (p, ErrorCode::NONE)).collect())));
    assert!(member.committed(id).expect("answered").is_ok());
}

#[test]
fn commits_go_one_after_the_other_in_order() {
    let mut member = Member::stable(config(), 0..1);
    let first = member.commit([0], 11);
    let second = member.commit([0], 12);
    assert_eq!(member.open(), ["OffsetCommit"]);
    member.answer_commit(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    assert!(member.open().is_empty(), "the second must not overtake the first");
    member.wait_for_timers(SECOND);
    member.answer_commit(ErrorCode::NONE);
    assert!(member.committed(first).expect("answered").is_ok());
    assert!(member.committed(second).is_none());
    member.answer_commit(ErrorCode::NONE);
    assert!(member.committed(second).expect("answered").is_ok());
}

/// Found by the simulator (group, seed 2204): the JoinGroup went into a connection that was silent, and while it waited for as long as a
/// rebalance may take, the member went on with partitions that the coordinator had given to others.
#[test]
fn a_commit_of_an_unknown_member_ends_a_join_that_nobody_answers() {
    let mut member = Member::stable(config(), 0..2);
    member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    member.prepared();
    assert_eq!(member.open(), ["JoinGroup"]);
    member.take_events();
    let id = member.commit([0], 11);
    assert_eq!(member.open(), ["JoinGroup", "OffsetCommit"], "kept partitions are committed during the join");
    member.answer_commit(ErrorCode::UNKNOWN_MEMBER_ID);
    assert!(member.committed(id).expect("answered").is_err());
    assert_eq!(member.lost().map(|(partitions, _)| partitions.len()), Some(2));
    // The old connection is given up, and the member joins as a new one.
    assert_eq!(member.open(), ["JoinGroup", "Reconnect", "JoinGroup"]);
    let (old, _) = member.take_request("JoinGroup");
    _ = member.take("Reconnect");
    member.respond(old, Err(disconnected()));
    assert_eq!(member.open(), ["JoinGroup"], "the end of the old one says nothing about the new one");
    assert_eq!(member.join_request().member_id.as_str(), "");
}

/// The JoinGroup may be answered with a later generation at this moment.
#[test]
fn a_commit_in_an_old_generation_leaves_the_join_alone() {
    let mut member = Member::stable(config(), 0..2);
    member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    member.prepared();
    member.take_events();
    _ = member.commit([0], 11);
    member.answer_commit(ErrorCode::ILLEGAL_GENERATION);
    assert!(member.lost().is_none());
    assert_eq!(member.open(), ["JoinGroup"]);
}

#[test]
fn every_code_of_offset_commit() {
    // Code; is it tried again; is the membership over.
    let table = [
        (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, true, false),
        (ErrorCode::COORDINATOR_NOT_AVAILABLE, true, false),
        (ErrorCode::NOT_COORDINATOR, true, false),
        (ErrorCode::REQUEST_TIMED_OUT, true, false),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, true, false),
        (ErrorCode::REBALANCE_IN_PROGRESS, true, false),
        (ErrorCode::ILLEGAL_GENERATION, false, true),
        (ErrorCode::UNKNOWN_MEMBER_ID, false, true),
        (ErrorCode::OFFSET_METADATA_TOO_LARGE, false, false),
        (ErrorCode::INVALID_COMMIT_OFFSET_SIZE, false, false),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, false, false),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, false, false),
        (ErrorCode::GROUP_ID_NOT_FOUND, false, false),
        (ErrorCode(9999), false, false),
    ];
    for (code, again, over) in table {
        let mut member = Member::stable(config(), 0..2);
        let id = member.commit([0], 11);
        member.answer_commit(code);
        assert_eq!(
            member.committed(id).map(|result| result.map_err(|error| error.code())),
            (!again).then_some(Err(Some(code))),
            "{code}"
        );
        assert_eq!(member.events.iter().any(|event| matches!(event, Event::Lost { .. })), over, "{code}");
        if again {
            member.wait_for_timers(SECOND);
            if member.open().contains(&"FindCoordinator") {
                member.find_coordinator();
            }
            if code == ErrorCode::REBALANCE_IN_PROGRESS {
                // It learned of the rebalance by this; the commit is repeated as soon as that allows it.
                assert_eq!(member.open(), ["OffsetCommit"]);
                member.prepared();
                assert_eq!(member.open(), ["OffsetCommit", "JoinGroup"]);
                member.answer_commit(ErrorCode::REBALANCE_IN_PROGRESS);
                member.join_as_follower(6);
                member.wait(SECOND);
                assert_eq!(member.open(), ["SyncGroup"], "not between join and sync");
                member.sync(0..2);
            }
            member.answer_commit(ErrorCode::NONE);
            assert!(member.committed(id).expect("answered").is_ok(), "{code}");
        }
    }
}

#[test]
fn a_commit_for_a_topic_that_stays_unknown_fails_soon_and_the_rest_goes_through() {
    let mut member = Member::stable(config(), 0..2);
    let (id, next) = (member.commit([0, 1], 11), member.commit([1], 12));
    let start = member.now;
    for attempt in 0..4 {
        let (ticket, request) = member.take_request("OffsetCommit");
        let Request::OffsetCommit { offsets, .. } = request else { panic!("{request:?}") };
        assert_eq!(offsets.len(), if attempt == 0 { 2 } else { 1 }, "the other one is done");
        let verdict = |partition: TopicPartition| {
            let code = if partition.partition == 0 { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { ErrorCode::NONE };
            (partition, code)
        };
        member.respond(ticket, Ok(Response::OffsetCommit(offsets.into_keys().map(verdict).collect())));
        if attempt < 3 {
            assert!(member.committed(id).is_none());
            member.wait_for_timers(SECOND);
        }
    }
    let error = member.committed(id).expect("answered").unwrap_err();
    assert_eq!((error.code(), error.partition()), (Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), Some(0)));
    assert!(member.now - start <= 3 * SECOND);
    member.answer_commit(ErrorCode::NONE);
    assert!(member.committed(next).expect("answered").is_ok());
}

#[test]
fn rk_147_a_commit_survives_connections_that_break() {
    let mut member = Member::stable(config(), 0..1);
    let id = member.commit([0], 11);
    for _ in 0..2 {
        member.answer("OffsetCommit", Err(disconnected()));
        member.wait_for_timers(Duration::from_millis(1300));
        member.find_coordinator();
    }
    member.answer_commit(ErrorCode::NONE);
    assert!(member.committed(id).expect("answered").is_ok());
}

#[test]
fn a_commit_without_an_answer_ends_at_its_deadline_as_possibly_written() {
    let mut member = Member::stable(config(), 0..1);
    let id = member.commit([0], 11);
    let behind = member.commit([0], 12);
    member.wait(60 * SECOND);
    for id in [id, behind] {
        let error = member.committed(id).expect("answered").unwrap_err();
        assert_eq!((error.kind(), error.api()), (ErrorKind::Timeout, Some("OffsetCommit")));
        assert_eq!(error.is_possibly_written(), id != behind, "only the first was sent");
    }
    // The late answer of the one is not taken for that of another.
    let next = member.commit([0], 13);
    assert!(!member.open().iter().filter(|open| **open == "OffsetCommit").count() > 1);
    member.answer_commit(ErrorCode::NONE);
    assert!(member.committed(next).is_none());
    member.answer_commit(ErrorCode::NONE);
    assert!(member.committed(next).expect("answered").is_ok());
}

#[test]
fn what_is_not_ours_is_not_committed_and_the_rest_is() {
    let mut member = Member::stable(config(), 0..2);
    let id = member.commit([0, 7], 11);
    let (ticket, request) = member.take_request("OffsetCommit");
    assert!(matches!(request, Request::OffsetCommit { offsets: sent, .. } if sent == offsets([0], 11)));
    member.respond(ticket, Ok(Response::OffsetCommit(vec![(partitions([0])[0].clone(), ErrorCode::NONE)])));
    let error = member.committed(id).expect("answered").unwrap_err();
    assert_eq!((error.kind(), error.partition()), (ErrorKind::InvalidRequest, Some(7)));
    let id = member.commit([7], 11);
    assert!(member.committed(id).expect("answered").is_err(), "at once");
}

#[test]
fn a_commit_of_a_generation_that_has_passed_is_repeated_in_the_next_for_what_is_still_ours() {
    let mut member = Member::stable(config(), 0..2);
    member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    member.prepared();
    member.take_events();
    let id = member.commit([0, 1], 11);
    assert_eq!(member.open(), ["JoinGroup", "OffsetCommit"], "the coordinator takes commits while it collects members");
    member.join_as_follower(6);
    member.sync([0]);
    member.prepared();
    member.answer_commit(ErrorCode::ILLEGAL_GENERATION);
    assert!(member.lost().is_none(), "that generation was left");
    member.join_as_follower(7);
    member.sync([0]);
    member.wait_for_timers(SECOND);
    let (ticket, request) = member.take_request("OffsetCommit");
    assert!(
        matches!(&request, Request::OffsetCommit { generation: 7, offsets: sent, .. } if *sent == offsets([0], 11)),
        "{request:?}"
    );
    member.respond(ticket, Ok(Response::OffsetCommit(vec![(partitions([0])[0].clone(), ErrorCode::NONE)])));
    let error = member.events.iter().find_map(|event| match event {
        Event::Committed { id: of, result } if *of == id => result.as_ref().err(),
        _ => None,
    });
    assert_eq!(error.and_then(Error::partition), Some(1));
}

#[test]
fn a_partition_left_out_of_the_answer_is_committed_again() {
    let mut member = Member::stable(config(), 0..2);
    let id = member.commit([0, 1], 11);
    member.answer("OffsetCommit", Ok(Response::OffsetCommit(vec![(partitions([0])[0].clone(), ErrorCode::NONE)])));
    member.wait_for_timers(SECOND);
    let (ticket, request) = member.take_request("OffsetCommit");
    assert!(matches!(request, Request::OffsetCommit { offsets: sent, .. } if sent == offsets([1], 11)));
    member.respond(ticket, Ok(Response::OffsetCommit(vec![(partitions([1])[0].clone(), ErrorCode::NONE)])));
    assert!(member.committed(id).expect("answered").is_ok());
}

#[test]
fn every_code_of_offset_fetch_and_none_of_them_is_no_offset() {
    let codes = [
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_COORDINATOR,
        ErrorCode::UNSTABLE_OFFSET_COMMIT,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::STALE_MEMBER_EPOCH,
        ErrorCode::UNKNOWN_MEMBER_ID,
        ErrorCode::UNKNOWN_SERVER_ERROR,
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode(9999),
    ];
    for code in codes {
        for in_partition in [false, true] {
            let mut member = Member::new(config());
            member.find_coordinator();
            member.join_as_follower(5);
            member.sync([0]);
            // 88 goes on without limit; so may the others.
            for _ in 0..20 {
                let found = vec![(partitions([0])[0].clone(), code, None)];
                let answer = if in_partition {
                    Response::OffsetFetch((ErrorCode::NONE, found))
                } else {
                    Response::OffsetFetch((code, Vec::new()))
                };
                member.answer("OffsetFetch", Ok(answer));
                assert!(member.take_events().is_empty(), "{code}");
                let before = member.now;
                while !member.open().contains(&"OffsetFetch") {
                    member.wait_for_timers(Duration::from_millis(50));
                    if member.open().contains(&"FindCoordinator") {
                        member.find_coordinator();
                    }
                    if member.open().contains(&"Heartbeat") {
                        member.heartbeat(ErrorCode::NONE);
                    }
                }
                assert!(member.now > before, "{code}: asked again without a pause");
            }
            member.answer_offsets();
            assert!(matches!(&member.take_events()[..], [Event::Assigned { added, .. }] if added[0].1.is_some()), "{code}");
        }
    }
    for code in [ErrorCode::GROUP_AUTHORIZATION_FAILED, ErrorCode::TOPIC_AUTHORIZATION_FAILED] {
        let mut member = Member::new(config());
        member.find_coordinator();
        member.join_as_follower(5);
        member.sync([0]);
        member
            .answer("OffsetFetch", Ok(Response::OffsetFetch((ErrorCode::NONE, vec![(partitions([0])[0].clone(), code, None)]))));
        assert_eq!(member.failed().expect("failed").code(), Some(code));
    }
}

#[test]
fn offsets_of_a_partition_that_went_before_they_were_known_are_not_told() {
    let mut member = Member::new(config());
    member.find_coordinator();
    member.join_as_follower(5);
    member.sync([0, 1]);
    let (late, _) = member.take_request("OffsetFetch");
    member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(member.open(), ["JoinGroup"], "the consumer knows of nothing that it could give away");
    member.join_as_follower(6);
    member.sync([1]);
    let both = partitions([0, 1]).into_iter().map(|partition| (partition, ErrorCode::NONE, Some(OffsetAndMetadata::new(3))));
    member.respond(late, Ok(Response::OffsetFetch((ErrorCode::NONE, both.collect()))));
    let events = member.take_events();
    assert!(
        matches!(&events[..], [Event::Assigned { added, .. }] if added.len() == 1 && added[0].0.partition == 1),
        "{events:?}"
    );
}

#[test]
fn requests_take_the_shape_of_the_version() {
    let config = config();
    let before = messages::offset_fetch(&config, &partitions([0]), 7);
    assert!(before.require_stable && before.groups.is_empty() && before.topics.is_some_and(|topics| topics.len() == 1));
    let after = messages::offset_fetch(&config, &partitions([0]), 8);
    assert!(
        after.require_stable
            && after.groups.len() == 1
            && after.groups[0].topics.as_ref().is_some_and(|topics| topics.len() == 1)
    );
    assert!(!messages::offset_fetch(&config, &partitions([0]), 6).require_stable);
    assert_eq!(messages::leave(&config, "m", "r", 2).member_id.as_str(), "m");
    assert_eq!(messages::leave(&config, "m", "r", 5).members[0].member_id.as_str(), "m");
    let with_retention = GroupConfig { offset_retention: Some(300 * SECOND), ..config.clone() };
    let request = messages::offset_commit(&with_retention, 1, "m", &offsets([0], 1), messages::LAST_WITH_RETENTION);
    assert_eq!(request.retention_time_ms, 300_000);
    assert_eq!(messages::offset_commit(&with_retention, 1, "m", &offsets([0], 1), 9).retention_time_ms, -1);
    for version in 1..=messages::LAST_WITH_NAMES {
        use crate::protocol::ApiMessage;
        messages::offset_fetch(&config, &partitions([0]), version).check_version(version).unwrap();
        messages::leave(&config, "m", "r", version.min(5)).check_version(version.min(5)).unwrap();
        messages::offset_commit(&config, 1, "m", &offsets([0], 1), version.max(2)).check_version(version.max(2)).unwrap();
    }
}

#[test]
fn a_commit_is_not_repeated_for_what_was_lost_and_came_back() {
    let answers: [fn() -> Result<Response>; 2] =
        [|| Ok(Response::OffsetCommit(vec![(partitions([0])[0].clone(), ErrorCode::UNKNOWN_MEMBER_ID)])), || Err(disconnected())];
    for answer in answers {
        let mut member = Member::stable(config(), 0..1);
        let (sent, behind) = (member.commit([0], 28), member.commit([0], 29));
        member.heartbeat(ErrorCode::UNKNOWN_MEMBER_ID);
        assert!(member.lost().is_some());
        member.join_as_follower(6);
        member.sync([0]);
        // Meanwhile somebody else may have got further: the group stands where it stands.
        member.answer_offsets();
        member.answer("OffsetCommit", answer());
        member.wait_for_timers(SECOND);
        assert!(!member.open().contains(&"OffsetCommit"), "{:?}", member.open());
        let error = member.committed(sent).expect("answered").unwrap_err();
        assert_eq!(error.partition(), Some(0));
        assert_eq!(error.is_possibly_written(), answer().is_err());
        assert!(member.committed(behind).expect("answered").is_err());
    }
}
