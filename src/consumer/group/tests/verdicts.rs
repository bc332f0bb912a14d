//! Each error code of the group's APIs, in the states it can come in.

use super::*;

/// What is expected of the member after a code.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// The same request again, after a pause.
    Again,
    /// The coordinator is looked up again.
    Elsewhere,
    /// A join as the same member, without a loss.
    Joins,
    /// A loss, then a join as the same member.
    LosesAndJoins,
    /// A loss, then a join as a new member.
    LosesAndJoinsAnew,
    Fails,
    /// It goes on as if nothing had been.
    GoesOn,
}

/// Sees what the member does: it lets a second pass, finds the coordinator if asked, says "done" when the consumer is asked.
fn observe(member: &mut Member, what: &str, code: ErrorCode) -> Then {
    let lost = member.events.iter().any(|event| matches!(event, Event::Lost { .. }));
    if let Some(error) = member.events.iter().find_map(|event| match event {
        Event::Failed(error) => Some(error.clone()),
        _ => None,
    }) {
        assert_eq!(error.code(), Some(code), "{what}: {error}");
        assert!(error.is_fatal() && error.api() == Some(what), "{error:?}");
        assert_eq!(member.core.next_timeout(), None, "it is over");
        return Then::Fails;
    }
    // A pause is at most 1.2 s, and less than the time to the next heartbeat.
    member.wait_for_timers(Duration::from_millis(1300));
    if member.open().contains(&"FindCoordinator") {
        assert!(!lost, "a moved coordinator takes nothing away");
        member.find_coordinator();
        assert!(member.open().contains(&what) || member.open().contains(&"JoinGroup"), "{what} {code}: {:?}", member.open());
        return Then::Elsewhere;
    }
    if member.events.iter().any(|event| matches!(event, Event::Rebalancing { .. })) {
        member.prepared();
    }
    if !member.open().contains(&"JoinGroup") {
        return if member.open().contains(&what) { Then::Again } else { Then::GoesOn };
    }
    match (lost, member.join_request().member_id.as_str()) {
        (true, "") => Then::LosesAndJoinsAnew,
        (true, "m1") => Then::LosesAndJoins,
        (false, "m1") => Then::Joins,
        other => panic!("{what} {code}: {other:?}"),
    }
}

const COORDINATOR: [(ErrorCode, Then); 2] =
    [(ErrorCode::COORDINATOR_NOT_AVAILABLE, Then::Elsewhere), (ErrorCode::NOT_COORDINATOR, Then::Elsewhere)];

#[test]
fn rk_129_every_code_of_join_group() {
    let table = [
        (ErrorCode::REBALANCE_IN_PROGRESS, Then::Joins),
        (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, Then::Joins),
        (ErrorCode::UNKNOWN_MEMBER_ID, Then::LosesAndJoinsAnew),
        (ErrorCode::ILLEGAL_GENERATION, Then::LosesAndJoins),
        (ErrorCode::REQUEST_TIMED_OUT, Then::Joins),
        (ErrorCode::UNKNOWN_SERVER_ERROR, Then::Joins),
        (ErrorCode::FENCED_INSTANCE_ID, Then::Fails),
        (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, Then::Fails),
        (ErrorCode::INVALID_GROUP_ID, Then::Fails),
        (ErrorCode::INVALID_SESSION_TIMEOUT, Then::Fails),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, Then::Fails),
        (ErrorCode::GROUP_MAX_SIZE_REACHED, Then::Fails),
        (ErrorCode::UNSUPPORTED_VERSION, Then::Fails),
        (ErrorCode(9999), Then::Fails),
    ];
    for (code, then) in table.into_iter().chain(COORDINATOR) {
        let mut member = Member::stable(config(), 0..2);
        member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
        member.prepared();
        member.take_events();
        member.answer_join(code);
        assert_eq!(observe(&mut member, "JoinGroup", code), then, "{code}");
    }
}

#[test]
fn every_code_of_sync_group() {
    let table = [
        (ErrorCode::REBALANCE_IN_PROGRESS, Then::Joins),
        (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, Then::Joins),
        (ErrorCode::ILLEGAL_GENERATION, Then::LosesAndJoins),
        (ErrorCode::UNKNOWN_MEMBER_ID, Then::LosesAndJoinsAnew),
        (ErrorCode::REQUEST_TIMED_OUT, Then::Joins),
        (ErrorCode::FENCED_INSTANCE_ID, Then::Fails),
        (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, Then::Fails),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, Then::Fails),
        (ErrorCode(9999), Then::Fails),
    ];
    for (code, then) in table.into_iter().chain(COORDINATOR) {
        let mut member = Member::stable(config(), 0..2);
        member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
        member.prepared();
        member.join_as_follower(6);
        member.take_events();
        member.answer_sync(code);
        assert_eq!(observe(&mut member, "SyncGroup", code), then, "{code}");
    }
}

#[test]
fn rk_171_every_code_of_heartbeat() {
    let table = [
        (ErrorCode::NONE, Then::GoesOn),
        (ErrorCode::REBALANCE_IN_PROGRESS, Then::Joins),
        (ErrorCode::ILLEGAL_GENERATION, Then::LosesAndJoins),
        (ErrorCode::UNKNOWN_MEMBER_ID, Then::LosesAndJoinsAnew),
        (ErrorCode::FENCED_INSTANCE_ID, Then::Fails),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, Then::Fails),
        (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, Then::GoesOn),
        (ErrorCode(9999), Then::GoesOn),
    ];
    for (code, then) in table.into_iter().chain(COORDINATOR) {
        let mut member = Member::stable(config(), 0..2);
        member.heartbeat(code);
        assert_eq!(observe(&mut member, "Heartbeat", code), then, "{code}");
        if matches!(then, Then::LosesAndJoins | Then::LosesAndJoinsAnew) {
            let commit = member.commit([0], 11);
            assert!(member.committed(commit).expect("answered").is_err(), "nothing of the old generation is committed");
        }
    }
}

#[test]
fn rk_173_a_heartbeat_that_finds_no_coordinator_is_repeated_as_soon_as_there_is_one() {
    let mut member = Member::stable(config(), 0..2);
    member.heartbeat(ErrorCode::NOT_COORDINATOR);
    member.wait_for_timers(Duration::from_millis(200));
    assert!(matches!(member.asked[..], [Action::FindCoordinator { stale: true, .. }]), "{:?}", member.open());
    member.find_coordinator();
    assert_eq!(member.open(), ["Heartbeat"]);
    member.heartbeat(ErrorCode::NONE);
    assert!(member.take_events().is_empty(), "the user has seen nothing of it");
}

#[test]
fn a_verdict_on_an_old_generation_is_ignored() {
    for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION, ErrorCode::REBALANCE_IN_PROGRESS] {
        let mut member = Member::stable(config(), 0..2);
        member.wait(3 * SECOND);
        let (old, _) = member.take_request("Heartbeat");
        member.command(Command::Subscribe(vec!["t".into(), "u".into()]));
        member.prepared();
        member.join_as_follower(6);
        member.take_events();
        member.respond(old, Ok(Response::Heartbeat(code)));
        member.sync([0, 1]);
        assert_eq!(member.open(), [""; 0]);
        assert!(matches!(member.take_events()[..], [Event::Assigned { generation: 6, .. }]));
    }
}

#[test]
fn every_code_of_leave_group() {
    let table = [
        (ErrorCode::NONE, true),
        (ErrorCode::UNKNOWN_MEMBER_ID, true),
        (ErrorCode::FENCED_INSTANCE_ID, true),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, true),
        (ErrorCode(9999), true),
        (ErrorCode::NOT_COORDINATOR, false),
        (ErrorCode::COORDINATOR_NOT_AVAILABLE, false),
        (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, false),
    ];
    for (code, over) in table {
        let mut member = Member::stable(config(), 0..2);
        member.command(Command::Leave { deadline: member.now + 10 * SECOND });
        member.answer("LeaveGroup", Ok(Response::Leave(code)));
        assert_eq!(matches!(member.take_events()[..], [Event::Left]), over, "{code}");
        if !over {
            member.wait_for_timers(SECOND);
            if code != ErrorCode::COORDINATOR_LOAD_IN_PROGRESS {
                member.find_coordinator();
            }
            member.answer("LeaveGroup", Ok(Response::Leave(ErrorCode::NONE)));
            assert!(matches!(member.take_events()[..], [Event::Left]), "{code}");
        }
    }
}

#[test]
fn a_connection_that_breaks_takes_nothing_away() {
    for api in ["JoinGroup", "SyncGroup", "Heartbeat"] {
        let mut member = Member::stable(config(), 0..2);
        match api {
            "Heartbeat" => member.wait(3 * SECOND),
            _ => {
                member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
                member.prepared();
                if api == "SyncGroup" {
                    member.join_as_follower(6);
                }
            }
        }
        member.take_events();
        member.answer(api, Err(disconnected()));
        member.wait_for_timers(SECOND);
        assert_eq!(member.open(), ["FindCoordinator"], "{api}");
        member.answer("FindCoordinator", Err(disconnected()));
        member.wait_for_timers(SECOND);
        member.find_coordinator();
        assert_eq!(member.open(), [if api == "Heartbeat" { "Heartbeat" } else { "JoinGroup" }]);
        assert!(member.take_events().is_empty(), "{api}");
    }
}

#[test]
fn what_no_attempt_can_change_fails_at_once() {
    for kind in [ErrorKind::Authorization, ErrorKind::UnsupportedVersion] {
        let mut member = Member::new(config());
        member.answer("FindCoordinator", Err(Error::new(kind, "no")));
        assert_eq!(member.failed().expect("failed").kind(), kind);
        let mut member = Member::stable(config(), 0..2);
        member.wait(3 * SECOND);
        member.answer("Heartbeat", Err(Error::new(kind, "no")));
        let events = member.take_events();
        assert!(matches!(events[..], [Event::Lost { .. }, Event::Failed(_)]), "{events:?}");
    }
}

#[test]
fn a_refusal_for_who_the_client_is_is_told_at_once_and_the_member_goes_on() {
    for kind in [ErrorKind::Authentication, ErrorKind::Tls] {
        let refused = || Err(Error::new(kind, "who are you?"));
        let told = |member: &mut Member| {
            let events = member.take_events();
            assert!(matches!(&events[..], [Event::Refused(error)] if error.kind() == kind), "{events:?}");
        };
        let mut member = Member::new(config());
        for _ in 0..3 {
            member.answer("FindCoordinator", refused());
            told(&mut member);
            member.wait_for_timers(2 * SECOND);
        }
        member.find_coordinator();
        member.answer("JoinGroup", refused());
        told(&mut member);
        let mut member = Member::stable(config(), 0..2);
        member.wait(3 * SECOND);
        member.answer("Heartbeat", refused());
        told(&mut member);
        // Credentials were mended before the session was over: nothing is lost.
        member.wait_for_timers(SECOND);
        member.find_coordinator();
        assert_eq!(member.open(), ["Heartbeat"]);
        assert!(member.take_events().is_empty());
    }
}

#[test]
fn a_commit_or_goodbye_that_is_refused_for_who_the_client_is_is_not_tried_again() {
    let refused = || Err(Error::new(ErrorKind::Authentication, "who are you?"));
    let mut member = Member::stable(config(), 0..2);
    let id = member.commit(0..2, 5);
    member.answer("OffsetCommit", refused());
    let error = member.committed(id).expect("at once").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    member.take_events();
    member.command(Command::Leave { deadline: member.now + 60 * SECOND });
    member.answer("LeaveGroup", refused());
    let events = member.take_events();
    assert!(matches!(events[..], [Event::Left]), "{events:?}");
}

#[test]
fn fatal_errors_say_what_to_do() {
    let cases = [
        (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, "[\"cooperative-sticky\"]"),
        (ErrorCode::INVALID_SESSION_TIMEOUT, "group.min.session.timeout.ms"),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, "READ"),
        (ErrorCode::GROUP_MAX_SIZE_REACHED, "group.max.size"),
        (ErrorCode::FENCED_INSTANCE_ID, "group.instance.id"),
    ];
    for (code, part) in cases {
        let mut member = Member::new(config());
        member.find_coordinator();
        member.answer_join(code);
        let error = member.failed().expect("failed");
        let said = error.to_string();
        assert!(said.contains(part) && said.contains("billing"), "{said}");
        assert_eq!(error.api(), Some("JoinGroup"));
    }
}

#[test]
fn a_group_of_another_kind_is_named_with_both_sides() {
    let mut member = Member::new(config());
    member.find_coordinator();
    member.answer("JoinGroup", Ok(Response::Join(JoinGroupResponse { protocol_type: Some(text("connect")), ..joined(1) })));
    let error = member.failed().expect("failed");
    assert!(error.to_string().contains("connect") && error.to_string().contains("consumer"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Group);
}

#[test]
fn rk_168_heartbeats_keep_their_interval_whatever_the_answers_take() {
    let mut member = Member::stable(GroupConfig { heartbeat_interval: SECOND, ..config() }, 0..1);
    let start = member.now;
    let mut beats = 0;
    while member.now < start + 10 * SECOND {
        member.wait_for_timers(Duration::from_millis(100));
        if member.open().contains(&"Heartbeat") {
            beats += 1;
            member.now += Duration::from_millis(300);
            member.answer("Heartbeat", Ok(Response::Heartbeat(ErrorCode::NONE)));
        }
    }
    assert!((9..=11).contains(&beats), "{beats} heartbeats in 10 s");
}
