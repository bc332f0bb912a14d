//! What must hold after any sequence of inputs.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// One thing that happens to a member.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    /// The oldest open request, or a later one, is answered: well, with a code, or not at all.
    Answer {
        index: usize,
        code: Option<i16>,
        partitions: Vec<i32>,
    },
    Prepared,
    Polled,
    Commit(i32),
    Heartbeat(bool),
    Subscribe(bool),
    TopicsChanged(i32),
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let codes = prop::sample::select(vec![0, 0, 0, 0, 0, 14, 15, 16, 22, 25, 27, 79, 7, 3, 88, -1, 82, 30, 9999]);
    let answer = (0..3usize, prop::option::weighted(0.9, codes), prop::collection::vec(0..4, 0..4));
    prop_oneof![
        3 => (0..4000u64).prop_map(Step::Wait),
        1 => (0..400_000u64).prop_map(Step::Wait),
        12 => answer.prop_map(|(index, code, partitions)| Step::Answer { index, code, partitions }),
        3 => Just(Step::Prepared),
        2 => Just(Step::Polled),
        2 => (0..5).prop_map(Step::Commit),
        1 => any::<bool>().prop_map(Step::Heartbeat),
        1 => any::<bool>().prop_map(Step::Subscribe),
        1 => (0..5).prop_map(Step::TopicsChanged),
        1 => Just(Step::Leave),
    ]
}

/// Answers the open request at `index` with `code`, or breaks its connection.
fn answer(member: &mut Member, index: usize, code: Option<i16>, numbers: Vec<i32>) {
    member.asked.retain(|action| !matches!(action, Action::Reconnect));
    if member.asked.is_empty() {
        return;
    }
    let action = member.asked.remove(index % member.asked.len());
    let code = code.map(ErrorCode);
    let (ticket, response) = match action {
        Action::FindCoordinator { ticket, .. } => (ticket, code.map(|_| Response::Coordinator)),
        Action::ListTopics { ticket, .. } => (ticket, code.map(|_| Response::Topics([("t".into(), 4)].into()))),
        Action::Assign { ticket, assignor, topics, members } => {
            let result = leading::assign(&*assignor, &topics, &members);
            return member.respond(ticket, result.map(Response::Assigned));
        }
        Action::Send { ticket, request, .. } => {
            let response = code.map(|code| match request {
                Request::Join(_) if code.is_ok() => Response::Join(joined(numbers.len() as i32)),
                Request::Join(_) => {
                    Response::Join(JoinGroupResponse { error_code: code, member_id: text("m1"), ..Default::default() })
                }
                Request::Sync(_) => Response::Sync(SyncGroupResponse {
                    error_code: code,
                    assignment: write_assignment(&partitions(numbers)),
                    ..Default::default()
                }),
                Request::Heartbeat(_) => Response::Heartbeat(code),
                Request::Leave { .. } => Response::Leave(code),
                Request::OffsetFetch { partitions } => Response::OffsetFetch((
                    ErrorCode::NONE,
                    partitions.into_iter().map(|partition| (partition, code, None)).collect(),
                )),
                Request::OffsetCommit { offsets, .. } => {
                    Response::OffsetCommit(offsets.into_keys().map(|partition| (partition, code)).collect())
                }
            });
            (ticket, response)
        }
        other => panic!("{other:?}"),
    };
    let refused = || Error::new(ErrorKind::Authentication, "who are you?");
    member.respond(ticket, response.ok_or_else(|| if ticket % 4 == 0 { refused() } else { disconnected() }));
}

/// What the consumer believes, from the events alone.
#[derive(Default)]
struct Consumer {
    owned: BTreeSet<TopicPartition>,
    committed: BTreeSet<Ticket>,
    told: BTreeSet<Ticket>,
    asked: Vec<Ticket>,
    over: bool,
}

impl Consumer {
    fn hear(&mut self, member: &mut Member) {
        for event in member.take_events() {
            assert!(
                !self.over || matches!(event, Event::Left | Event::Committed { .. } | Event::HeartbeatAnswered { .. }),
                "after the end: {event:?}"
            );
            match event {
                Event::Assigned { added, .. } => {
                    for (partition, _) in added {
                        assert!(self.owned.insert(partition.clone()), "{partition} was ours already");
                    }
                }
                Event::Revoking { ticket, partitions, .. } => {
                    assert!(partitions.iter().all(|partition| self.owned.contains(partition)), "revoked what was not ours");
                    self.asked.push(ticket);
                    partitions.iter().for_each(|partition| _ = self.owned.remove(partition));
                    // Given away at once in the consumer's eyes; a Lost for the same only says that it came too late.
                }
                Event::Rebalancing { ticket } => self.asked.push(ticket),
                Event::Lost { partitions, .. } => partitions.iter().for_each(|partition| _ = self.owned.remove(partition)),
                Event::Committed { id, .. } => assert!(self.committed.insert(id), "{id} answered twice"),
                Event::HeartbeatAnswered { id, .. } => assert!(self.told.insert(id), "{id} told twice"),
                Event::Refused(error) => assert!(error.is_refusal()),
                Event::Left | Event::Failed(_) => self.over = true,
            }
        }
    }
}

fn check(member: &Member) {
    let parked = member.open().iter().filter(|open| matches!(**open, "JoinGroup" | "SyncGroup")).count();
    let given_up = member.asked.iter().filter(|action| matches!(action, Action::Reconnect)).count();
    assert!(parked <= 1 + given_up, "{:?}", member.open());
    for name in ["Heartbeat", "OffsetCommit", "OffsetFetch", "FindCoordinator"] {
        assert!(member.open().iter().filter(|open| **open == name).count() <= 1, "{:?}", member.open());
    }
}

/// What a driver does on `Reconnect`: all that was sent before it comes back as failed.
fn reconnect(member: &mut Member) {
    while let Some(index) = member.asked.iter().position(|action| matches!(action, Action::Reconnect)) {
        let before: Vec<Action> = member.asked.drain(..=index).collect();
        for action in before {
            match action {
                Action::Send { ticket, .. } => member.respond(ticket, Err(disconnected())),
                Action::Reconnect => {}
                other => member.asked.push(other),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn any_sequence_leaves_one_join_at_most_no_timer_in_the_past_and_every_commit_answered_once(
        cooperative in any::<bool>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let config = if cooperative { config() } else { GroupConfig { assignors: vec![Arc::new(CooperativeStickyAssignor), Arc::new(RangeAssignor)], ..config() } };
        let mut member = Member { assigns: false, ..Member::new(config) };
        let mut consumer = Consumer::default();
        let mut commits = 0;
        for step in steps {
            match step {
                Step::Wait(milliseconds) => member.wait(Duration::from_millis(milliseconds)),
                Step::Answer { index, code, partitions } => answer(&mut member, index, code, partitions),
                Step::Prepared => {
                    if let Some(ticket) = consumer.asked.pop() {
                        member.command(Command::Prepared(ticket));
                    }
                }
                Step::Polled => member.command(Command::Polled),
                Step::Commit(partition) => {
                    member.commit([partition], 1);
                    commits += 1;
                }
                Step::Heartbeat(now) => {
                    member.want_heartbeat(if now { Heartbeat::Now } else { Heartbeat::IfDue });
                }
                Step::Subscribe(both) => {
                    let topics = if both { vec!["t".into(), "u".into()] } else { vec!["t".into()] };
                    member.command(Command::Subscribe(topics));
                }
                Step::TopicsChanged(count) => member.command(Command::TopicsChanged([("t".into(), count)].into())),
                Step::Leave => member.command(Command::Leave { deadline: member.now + 2 * SECOND }),
            }
            reconnect(&mut member);
            check(&member);
            consumer.hear(&mut member);
        }
        // However it stands: after a leave and its deadline everything is over and answered.
        member.command(Command::Leave { deadline: member.now + 2 * SECOND });
        reconnect(&mut member);
        member.wait_for_timers(3 * SECOND);
        consumer.hear(&mut member);
        prop_assert!(consumer.over);
        prop_assert_eq!(consumer.committed.len() as u64, commits);
        prop_assert_eq!(consumer.told.len() as u64, member.heartbeats);
        prop_assert_eq!(member.core.next_timeout(), None);
        for action in std::mem::take(&mut member.asked) {
            if let Action::Send { ticket, .. } | Action::FindCoordinator { ticket, .. } | Action::ListTopics { ticket, .. } = action {
                member.respond(ticket, Err(disconnected()));
            }
        }
        prop_assert!(member.asked.is_empty(), "it asks for more after the end: {:?}", member.open());
    }
}
