//! From nothing to an assignment, and how partitions change hands.

use super::*;
use crate::consumer::group::leading;

#[test]
fn a_new_member_asks_for_an_id_first_then_joins_at_once_with_it() {
    let mut member = Member::new(config());
    assert_eq!(member.open(), ["FindCoordinator"]);
    member.find_coordinator();
    assert_eq!(member.join_request().member_id.as_str(), "");
    let required = JoinGroupResponse { error_code: ErrorCode::MEMBER_ID_REQUIRED, member_id: text("m1"), ..Default::default() };
    member.answer("JoinGroup", Ok(Response::Join(required.clone())));
    assert_eq!(member.join_request().member_id.as_str(), "m1", "without a pause");
    // A broker that asks for it again and again does not make the member spin.
    member.answer("JoinGroup", Ok(Response::Join(required)));
    assert!(member.open().is_empty());
    member.wait(SECOND);
    assert_eq!(member.open(), ["JoinGroup"]);
}

#[test]
fn a_broker_that_asks_for_an_id_and_gives_none_is_not_asked_without_a_pause() {
    let mut member = Member::new(config());
    member.find_coordinator();
    let required = JoinGroupResponse { error_code: ErrorCode::MEMBER_ID_REQUIRED, ..Default::default() };
    for _ in 0..3 {
        member.answer("JoinGroup", Ok(Response::Join(required.clone())));
        assert!(member.open().is_empty());
        member.wait(2 * SECOND);
        assert_eq!(member.open(), ["JoinGroup"]);
    }
}

#[test]
fn syncs_that_are_refused_for_ever_are_repeated_at_once_and_then_with_growing_pauses() {
    for code in [
        ErrorCode::REBALANCE_IN_PROGRESS,
        ErrorCode::ILLEGAL_GENERATION,
        ErrorCode::UNKNOWN_MEMBER_ID,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::NOT_COORDINATOR,
    ] {
        let mut member = Member::new(config());
        member.find_coordinator();
        let start = member.now;
        let mut joins = 0;
        while member.now < start + 60 * SECOND {
            match member.open().first() {
                Some(&"JoinGroup") => {
                    joins += 1;
                    member.join_as_follower(joins);
                    let refused = SyncGroupResponse { error_code: code, ..Default::default() };
                    member.answer("SyncGroup", Ok(Response::Sync(refused)));
                    let at_once = member.open() == ["JoinGroup"];
                    let part_of_life = !matches!(code, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::NOT_COORDINATOR);
                    assert_eq!(at_once, joins == 1 && part_of_life, "{code}");
                }
                Some(&"FindCoordinator") => member.find_coordinator(),
                _ => member.wait(SECOND / 20),
            }
        }
        assert!((50..85).contains(&joins), "about once a second, {code}: {joins}");
    }
}

#[test]
fn rk_128_a_join_says_the_time_outs_and_the_subscription() {
    // defaults.md: session.timeout.ms 45 s, max.poll.interval.ms (the rebalance time-out) 5 min.
    let mut member = Member::new(config());
    member.find_coordinator();
    let request = member.join_request();
    assert_eq!((request.session_timeout_ms, request.rebalance_timeout_ms), (45_000, 300_000));
    assert_eq!((request.group_id.0.as_str(), request.protocol_type.as_str()), ("billing", "consumer"));
    assert_eq!(request.protocols.len(), 1);
    assert_eq!(request.protocols[0].name.as_str(), "cooperative-sticky");
    let subscription = leading::read_subscription(&request.protocols[0].metadata);
    assert_eq!(subscription.topics, [Topic::from("t")]);
    assert_eq!(subscription.user_data.as_deref(), Some(&[0xff; 4][..]), "no generation yet");
    let Action::Send { timeout, .. } = member.take("JoinGroup") else { panic!("no request") };
    assert_eq!(timeout, 305 * SECOND, "the coordinator may take the rebalance time-out");
}

#[test]
fn a_join_may_take_the_request_time_out_when_the_rebalance_time_out_is_shorter() {
    let mut member = Member::new(GroupConfig { max_poll_interval: 6 * SECOND, ..config() });
    member.find_coordinator();
    assert!(matches!(member.take("JoinGroup"), Action::Send { timeout, .. } if timeout == 30 * SECOND));
}

#[test]
fn rk_127_without_a_subscription_there_is_no_member() {
    // That it is an error is tested where consumers are built; a pattern that matches nothing yet is none.
    let mut member = Member::unsubscribed(config());
    member.command(Command::Polled);
    member.wait(60 * SECOND);
    assert!(member.open().is_empty() && member.core.next_timeout().is_none());
    assert_eq!(member.core.membership(), Membership::NotMember);
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let cases = [
        (GroupConfig { group_id: String::new(), ..config() }, "group.id"),
        (GroupConfig { heartbeat_interval: 45 * SECOND, ..config() }, "heartbeat.interval.ms"),
        (GroupConfig { heartbeat_interval: Duration::ZERO, ..config() }, "heartbeat.interval.ms"),
        (GroupConfig { assignors: Vec::new(), ..config() }, "partition.assignment.strategy"),
        (GroupConfig { max_poll_interval: Duration::ZERO, ..config() }, "max.poll.interval.ms"),
    ];
    for (config, name) in cases {
        let error = config.validate().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_leader_lists_the_topics_assigns_and_tells_where_the_group_stands() {
    let mut member = Member::new(config());
    member.find_coordinator();
    member.answer("JoinGroup", Ok(Response::Join(joined(1))));
    assert_eq!(member.open(), ["ListTopics"]);
    member.answer("ListTopics", Ok(Response::Topics([("t".into(), 2)].into())));
    let (ticket, request) = member.take_request("SyncGroup");
    let Request::Sync(request) = request else { panic!("{request:?}") };
    assert_eq!((request.generation_id, request.assignments.len()), (1, 1));
    assert_eq!(leading::read_assignment(&request.assignments[0].assignment).unwrap(), partitions([0, 1]).into_iter().collect());
    let assignment = request.assignments[0].assignment.clone();
    member.respond(ticket, Ok(Response::Sync(SyncGroupResponse { assignment, ..Default::default() })));
    assert!(member.take_events().is_empty(), "first where the group stands");
    let (ticket, _) = member.take_request("OffsetFetch");
    let answer = vec![
        (partitions([0])[0].clone(), ErrorCode::NONE, Some(OffsetAndMetadata::new(42))),
        (partitions([1])[0].clone(), ErrorCode::NONE, None),
    ];
    member.respond(ticket, Ok(Response::OffsetFetch((ErrorCode::NONE, answer))));
    let events = member.take_events();
    let [Event::Assigned { generation: 1, added }] = &events[..] else { panic!("{events:?}") };
    let at: Vec<_> = added.iter().map(|(partition, at)| (partition.partition, at.as_ref().map(|at| at.offset))).collect();
    assert_eq!(at, [(0, Some(42)), (1, None)]);
}

#[test]
fn a_leader_joins_again_when_partitions_come() {
    let mut member = Member::new(config());
    member.find_coordinator();
    member.answer("JoinGroup", Ok(Response::Join(joined(1))));
    member.answer("ListTopics", Ok(Response::Topics([("t".into(), 2)].into())));
    member.sync([0, 1]);
    member.answer_offsets();
    member.take_events();
    member.command(Command::TopicsChanged([("t".into(), 2)].into()));
    assert!(member.take_events().is_empty(), "nothing changed");
    member.command(Command::TopicsChanged([("t".into(), 3)].into()));
    member.prepared();
    assert!(member.join_request().reason.is_some_and(|reason| reason.as_str().contains("partitions of t")));
}

#[test]
fn a_topic_that_comes_later_is_noticed_by_the_leader() {
    let mut member = Member::new(config());
    member.find_coordinator();
    member.answer("JoinGroup", Ok(Response::Join(joined(1))));
    member.answer("ListTopics", Ok(Response::Topics(BTreeMap::new())));
    member.sync([]);
    member.take_events();
    assert_eq!(member.core.watched().map(|watched| watched[&Topic::from("t")]), Some(0));
    member.command(Command::TopicsChanged([("t".into(), 1)].into()));
    assert_eq!(member.open(), ["JoinGroup"], "nothing is owned, so there is nothing to prepare");
}

#[test]
fn a_leader_told_to_skip_sends_no_assignment() {
    let mut member = Member::new(GroupConfig { instance_id: Some("one".into()), ..config() });
    member.find_coordinator();
    member.answer("JoinGroup", Ok(Response::Join(JoinGroupResponse { skip_assignment: true, ..joined(1) })));
    member.answer("ListTopics", Ok(Response::Topics([("t".into(), 2)].into())));
    let (_, Request::Sync(request)) = member.take_request("SyncGroup") else { panic!("no sync") };
    assert!(request.assignments.is_empty());
    assert!(member.core.watched().is_some(), "it still watches the topics");
}

#[test]
fn a_leader_survives_members_that_send_rubbish() {
    let mut member = Member::new(config());
    member.find_coordinator();
    let mut response = joined(1);
    let rubbish = [
        &b""[..],
        b"\xff",
        b"\x00\x01\x7f\xff\xff\xff",
        b"\x00\x00\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff",
        b"\x00\x63garbage",
    ];
    for (index, bytes) in rubbish.into_iter().enumerate() {
        let metadata = Bytes::copy_from_slice(bytes);
        response.members.push(JoinGroupResponseMember { member_id: text(&format!("x{index}")), metadata, ..Default::default() });
    }
    member.answer("JoinGroup", Ok(Response::Join(response)));
    member.answer("ListTopics", Ok(Response::Topics([("t".into(), 4)].into())));
    let (_, Request::Sync(request)) = member.take_request("SyncGroup") else { panic!("no sync") };
    let given: BTreeMap<_, _> = request
        .assignments
        .iter()
        .map(|part| (part.member_id.as_str().to_owned(), leading::read_assignment(&part.assignment).unwrap().len()))
        .collect();
    assert_eq!(given.len(), 6, "each member gets an answer");
    // x3 is a good subscription of version 0 to t; the others want nothing that can be read.
    assert_eq!((given["m1"], given["x3"]), (2, 2), "{given:?}");
}

#[test]
fn cooperative_partitions_stay_during_the_join_and_go_after_the_sync() {
    let mut member = Member::stable(config(), 0..4);
    member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    assert!(matches!(member.events[..], [Event::Rebalancing { .. }]), "marks are committed first: {:?}", member.events);
    assert_eq!(member.open(), [""; 0]);
    member.prepared();
    let subscription = leading::read_subscription(&member.join_request().protocols[0].metadata);
    assert_eq!(subscription.owned_partitions, partitions(0..4));
    assert_eq!((subscription.generation, subscription.user_data.as_deref()), (Some(5), Some(&5i32.to_be_bytes()[..])));
    member.take_events();
    member.join_as_follower(6);
    member.sync([0, 1, 9]);
    // The new one is looked up while the consumer gives the others away; heartbeats flow.
    member.answer_offsets();
    let events = member.events.iter().map(|event| match event {
        Event::Revoking { partitions, .. } => format!("revoking {}", partitions.len()),
        Event::Assigned { added, .. } => format!("assigned {}", added.len()),
        other => format!("{other:?}"),
    });
    assert_eq!(events.collect::<Vec<_>>(), ["revoking 2", "assigned 1"]);
    member.heartbeat(ErrorCode::NONE);
    member.prepared();
    let request = member.join_request();
    let subscription = leading::read_subscription(&request.protocols[0].metadata);
    assert_eq!(subscription.owned_partitions, partitions([0, 1, 9]));
    assert_eq!(subscription.generation, Some(6));
    assert!(request.reason.is_some_and(|reason| reason.as_str().contains("given away")));
}

#[test]
fn eager_partitions_go_before_the_join_and_come_back_with_the_assignment() {
    let range = JoinGroupResponse { protocol_name: Some(text("range")), leader: text("x"), ..joined(5) };
    let mut member = Member::new(eager());
    member.find_coordinator();
    member.answer("JoinGroup", Ok(Response::Join(range.clone())));
    member.sync([0, 1]);
    member.answer_offsets();
    member.take_events();
    member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    assert!(matches!(&member.events[..], [Event::Revoking { partitions, .. }] if partitions.len() == 2));
    member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    assert!(member.open().is_empty(), "the consumer is not ready; the answer to the heartbeat is old news");
    member.prepared();
    assert!(leading::read_subscription(&member.join_request().protocols[0].metadata).owned_partitions.is_empty());
    member.take_events();
    member.answer("JoinGroup", Ok(Response::Join(JoinGroupResponse { generation_id: 6, ..range })));
    member.sync([1]);
    member.answer_offsets();
    let events = member.take_events();
    assert!(matches!(&events[..], [Event::Assigned { generation: 6, added }] if added.len() == 1), "{events:?}");
}

#[test]
fn a_consumer_that_does_not_come_back_loses_its_partitions_in_time_for_the_join() {
    let range = JoinGroupResponse { protocol_name: Some(text("range")), leader: text("x"), ..joined(5) };
    let mut member = Member::new(GroupConfig { max_poll_interval: 60 * SECOND, ..eager() });
    member.find_coordinator();
    member.answer("JoinGroup", Ok(Response::Join(range)));
    member.sync([0, 1]);
    member.answer_offsets();
    member.take_events();
    member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    let asked = member.now;
    let deadline = match &member.events[..] {
        [Event::Revoking { deadline, .. }] => *deadline,
        other => panic!("{other:?}"),
    };
    assert_eq!(deadline - asked, 45 * SECOND);
    while member.join_is_not_sent() {
        member.command(Command::Polled);
        member.beat(ErrorCode::REBALANCE_IN_PROGRESS);
    }
    assert!(member.now > deadline && member.now < asked + 57 * SECOND, "after {:?}", member.now - asked);
    let (lost, cause) = member.lost().expect("lost");
    assert_eq!(lost, partitions([0, 1]));
    assert!(cause.to_string().contains("max.poll.interval.ms"), "{cause}");
}

#[test]
fn a_subscription_changed_at_any_step_never_leads_to_a_second_join_under_way() {
    for step in 0..6 {
        let mut member = Member::new(config());
        let change = |member: &mut Member, at| {
            if at == step {
                member.command(Command::Subscribe(vec!["t".into(), "u".into()]));
            }
        };
        change(&mut member, 0);
        member.find_coordinator();
        change(&mut member, 1);
        member.join_as_follower(5);
        change(&mut member, 2);
        member.sync([0]);
        change(&mut member, 3);
        member.answer_offsets();
        change(&mut member, 4);
        if !member.open().contains(&"JoinGroup") && member.events.iter().any(|event| matches!(event, Event::Rebalancing { .. })) {
            member.prepared();
        }
        change(&mut member, 5);
        if step == 5 {
            member.prepared();
        }
        let joins = member.open().iter().filter(|open| **open == "JoinGroup").count();
        assert_eq!(joins, usize::from(step > 0), "step {step}: {:?}", member.open());
        if joins == 1 {
            let subscription = leading::read_subscription(&member.join_request().protocols[0].metadata);
            assert_eq!(subscription.topics.len(), 2, "step {step}");
        }
    }
}

#[test]
fn partitions_of_a_topic_no_longer_wanted_are_given_away_before_the_join() {
    let mut member = Member::new(config());
    member.command(Command::Subscribe(vec!["t".into(), "u".into()]));
    member.find_coordinator();
    member.join_as_follower(5);
    let both = [TopicPartition::new("t", 0), TopicPartition::new("u", 0)];
    let assignment = leading::write_assignment(&both);
    member.answer("SyncGroup", Ok(Response::Sync(SyncGroupResponse { assignment, ..Default::default() })));
    member.answer_offsets();
    member.take_events();
    member.command(Command::Subscribe(vec!["t".into()]));
    assert!(matches!(&member.events[..], [Event::Revoking { partitions, .. }] if partitions == &both[1..]));
    member.prepared();
    let subscription = leading::read_subscription(&member.join_request().protocols[0].metadata);
    assert_eq!(subscription.owned_partitions, both[..1]);
}

#[test]
fn a_member_that_is_not_polled_leaves_says_so_and_joins_again_on_the_next_poll() {
    let mut member = Member::stable(config(), 0..2);
    member.command(Command::Polled);
    let polled = member.now;
    while !member.core.is_stale() {
        member.beat(ErrorCode::NONE);
    }
    assert!(member.now - polled >= 300 * SECOND && member.now - polled < 304 * SECOND);
    let (lost, cause) = member.lost().expect("lost");
    assert_eq!(lost, partitions(0..2));
    assert!(cause.to_string().contains("max.poll.interval.ms (300000)"), "{cause}");
    let (_, Request::Leave { member_id, reason }) = member.take_request("LeaveGroup") else { panic!("no LeaveGroup") };
    assert_eq!(member_id, "m1");
    assert!(reason.contains("max.poll.interval.ms"), "{reason}");
    member.asked.clear();
    member.wait_for_timers(600 * SECOND);
    assert!(member.open().is_empty(), "it waits for the user: {:?}", member.open());
    member.command(Command::Polled);
    assert_eq!(member.join_request().member_id.as_str(), "");
}

#[test]
fn a_member_that_is_not_polled_while_its_join_is_parked_gives_the_connection_up() {
    let mut member = Member::stable(GroupConfig { max_poll_interval: 60 * SECOND, ..config() }, 0..2);
    member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    member.prepared();
    member.wait(60 * SECOND);
    assert_eq!(member.open(), ["JoinGroup", "Reconnect", "LeaveGroup"]);
}

#[test]
fn a_static_member_stays_when_it_is_closed_and_says_its_name() {
    let mut member = Member::stable(GroupConfig { instance_id: Some("one".into()), ..config() }, 0..2);
    member.command(Command::Leave { deadline: member.now + SECOND });
    assert!(member.open().is_empty(), "no LeaveGroup: {:?}", member.open());
    assert!(matches!(member.take_events()[..], [Event::Left]));
    let mut member = Member::new(GroupConfig { instance_id: Some("one".into()), ..config() });
    member.find_coordinator();
    assert_eq!(member.join_request().group_instance_id.map(|id| id.as_str().to_owned()).as_deref(), Some("one"));
}

#[test]
fn leaving_ends_a_parked_join_and_is_over_at_the_deadline_at_the_latest() {
    let mut member = Member::stable(config(), 0..2);
    member.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    member.prepared();
    member.take_events();
    member.command(Command::Leave { deadline: member.now + SECOND });
    assert_eq!(member.open(), ["JoinGroup", "Reconnect", "LeaveGroup"]);
    member.wait(SECOND);
    assert!(matches!(member.take_events()[..], [Event::Left]));
    assert_eq!(member.core.next_timeout(), None);
}

#[test]
fn a_member_that_never_joined_leaves_at_once() {
    let mut member = Member::new(config());
    member.command(Command::Leave { deadline: member.now + SECOND });
    assert!(matches!(member.take_events()[..], [Event::Left]));
}

#[test]
fn an_assignment_of_a_topic_not_subscribed_to_is_not_taken() {
    let mut member = Member::new(config());
    member.find_coordinator();
    member.join_as_follower(1);
    let assignment = leading::write_assignment(&[TopicPartition::new("other", 0)]);
    member.answer("SyncGroup", Ok(Response::Sync(SyncGroupResponse { assignment, ..Default::default() })));
    assert!(member.take_events().is_empty());
    member.wait(SECOND);
    assert_eq!(member.open(), ["JoinGroup"]);
}

#[test]
fn an_assignment_that_cannot_be_read_fails_the_consumer_with_a_reason() {
    let mut member = Member::new(config());
    member.find_coordinator();
    member.join_as_follower(1);
    let assignment = Bytes::from_static(b"\x00\x00\x7f\xff\xff\xff");
    member.answer("SyncGroup", Ok(Response::Sync(SyncGroupResponse { assignment, ..Default::default() })));
    let error = member.failed().expect("failed");
    assert_eq!(error.kind(), ErrorKind::Decode);
}

impl Member {
    /// Lets a second pass, and answers the heartbeat if there is one.
    fn beat(&mut self, code: ErrorCode) {
        self.wait(SECOND);
        if self.open().contains(&"Heartbeat") {
            self.heartbeat(code);
        }
    }

    fn join_is_not_sent(&self) -> bool {
        !self.open().contains(&"JoinGroup")
    }
}
