//! Each call in each state of a group, what the log keeps of it, and what becomes of its offsets.

use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::messages::heartbeat::HeartbeatRequest;
use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use klamm::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use klamm::protocol::{ApiKey, ErrorCode, GroupId, Str};

use crate::core::groups::{Commit, Committed, Group, GroupReply, Groups};
use crate::core::topics::text;
use crate::core::transactions::StagedOffsets;
use crate::core::{Call, Settings};
use crate::script::ConnectionId;

const GROUP: &str = "billing";
const PARKED: &str = "waits";

/// A table of groups on a handed-in clock; every call comes over a connection of its own.
struct Harness {
    groups: Groups,
    now: Instant,
    calls: u64,
}

impl Harness {
    fn new(settings: Settings) -> Self {
        let now = Instant::now();
        Self { groups: Groups::new(now, &settings), now, calls: 0 }
    }

    fn call(&mut self) -> Call {
        self.calls += 1;
        Call {
            connection: ConnectionId(self.calls),
            node: 1,
            api_key: ApiKey::JOIN_GROUP,
            version: 9,
            correlation_id: 1,
            client_id: Some(text("client")),
            host: text("/127.0.0.1"),
            refused: Vec::new(),
        }
    }

    /// The answer to a JoinGroup, if it does not wait.
    fn join(&mut self, member: &Member, protocols: &[&str]) -> Option<JoinGroupResponse> {
        let protocol = |name: &&str| JoinGroupRequestProtocol {
            name: text(name),
            metadata: Bytes::from_static(b"\0\0\0\0\0\0\xff\xff\xff\xff"),
        };
        let request = JoinGroupRequest {
            group_id: GroupId(text(GROUP)),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 30_000,
            member_id: member.id.clone(),
            group_instance_id: member.instance.map(text),
            protocol_type: text("consumer"),
            protocols: protocols.iter().map(protocol).collect(),
            ..Default::default()
        };
        let call = self.call();
        match self.groups.join(self.now, &call, &request) {
            Ok(joined) => joined,
            Err((error_code, member_id)) => Some(JoinGroupResponse { error_code, member_id, ..Default::default() }),
        }
    }

    /// The code of a SyncGroup; `assignments` as the leader sends them.
    fn sync(&mut self, member: &Member, generation_id: i32, assignments: &[&Member]) -> String {
        let assignment = |to: &&Member| SyncGroupRequestAssignment { member_id: to.id.clone(), assignment: "some".into() };
        let request = SyncGroupRequest {
            group_id: GroupId(text(GROUP)),
            generation_id,
            member_id: member.id.clone(),
            group_instance_id: member.instance.map(text),
            assignments: assignments.iter().map(assignment).collect(),
            ..Default::default()
        };
        let call = self.call();
        match self.groups.sync(self.now, &call, request) {
            Ok(Some(_)) => shown(ErrorCode::NONE),
            Ok(None) => PARKED.to_owned(),
            Err(code) => shown(code),
        }
    }

    fn heartbeat(&mut self, member: &Member, generation_id: i32) -> ErrorCode {
        let (group_id, member_id) = (GroupId(text(GROUP)), member.id.clone());
        let group_instance_id = member.instance.map(text);
        let request = HeartbeatRequest { group_id, generation_id, member_id, group_instance_id };
        self.groups.heartbeat(self.now, &request).err().unwrap_or(ErrorCode::NONE)
    }

    fn leave(&mut self, member: &Member) -> ErrorCode {
        let left = self.groups.leave(GROUP, &member.id, member.instance.map(text).as_ref());
        if left.is_ok() {
            self.groups.have_left(self.now, GROUP);
        }
        left.err().unwrap_or(ErrorCode::NONE)
    }

    fn commit(&mut self, member: &Member, generation: i32, commit: Commit) -> ErrorCode {
        let instance = member.instance.map(text);
        let checked = self.groups.check_commit(self.now, GROUP, (&member.id, instance.as_ref(), generation), commit);
        checked.err().unwrap_or(ErrorCode::NONE)
    }

    /// Answers that were waited for: the connection's number and the code.
    fn replies(&mut self) -> Vec<(u64, ErrorCode)> {
        let code = |reply: &GroupReply| match reply {
            GroupReply::Join(response) => response.error_code,
            GroupReply::Sync(response) => response.error_code,
        };
        std::iter::from_fn(|| self.groups.next_reply()).map(|(call, reply)| (call.connection.0, code(&reply))).collect()
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.groups.next_timeout().filter(|at| *at <= end) {
            assert!(at > self.now, "a time-out that is over stays due");
            self.now = at;
            self.groups.handle_timeout(self.now, &StagedOffsets::default());
        }
        self.now = end;
    }

    fn state(&self) -> &'static str {
        self.groups.get(GROUP).map_or("Dead", Group::state_name)
    }

    fn generation(&self) -> i32 {
        self.groups.get(GROUP).and_then(Group::classic).map_or(0, |classic| classic.generation)
    }

    /// A member that has been given its id.
    fn known(&mut self) -> Member {
        let given = self.join(&Member::unknown(), RANGE).expect("an answer");
        assert_eq!(given.error_code, ErrorCode::MEMBER_ID_REQUIRED);
        Member { id: given.member_id, instance: None }
    }

    /// Brings the group to a state, with one member that leads (`CompletingRebalance`, `Stable`) or has not joined again.
    fn in_state(state: &str) -> (Self, Member) {
        let mut harness = Self::new(Settings::default());
        if state == "Dead" {
            return (harness, Member::named("client-1"));
        }
        let one = harness.known();
        assert!(harness.join(&one, RANGE).is_none());
        match state {
            "Empty" => {
                assert_eq!(harness.leave(&one), ErrorCode::NONE);
            }
            "PreparingRebalance" => {
                assert_eq!(harness.sync(&one, 1, &[&one]), PARKED);
                harness.groups.rebalance(harness.now, GROUP);
            }
            "CompletingRebalance" => {}
            "Stable" => assert_eq!(harness.sync(&one, 1, &[&one]), PARKED),
            other => panic!("{other}"),
        }
        assert_eq!(harness.state(), state);
        harness.replies();
        (harness, one)
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq)]
struct Member {
    id: Str,
    instance: Option<&'static str>,
}

impl Member {
    fn unknown() -> Self {
        Self::named("")
    }

    fn named(id: &str) -> Self {
        Self { id: text(id), instance: None }
    }

    fn of_instance(id: &str, instance: &'static str) -> Self {
        Self { id: text(id), instance: Some(instance) }
    }
}

const RANGE: &[&str] = &["range"];
const STATES: [&str; 5] = ["Dead", "Empty", "PreparingRebalance", "CompletingRebalance", "Stable"];

fn shown(code: ErrorCode) -> String {
    code.name().unwrap_or("?").to_owned()
}

/// One call: what it is, and what makes it.
type Row = (&'static str, fn(&mut Harness, &Member) -> String, [&'static str; 5]);

const UNKNOWN: &str = "UNKNOWN_MEMBER_ID";
const OLD: &str = "ILLEGAL_GENERATION";
const FENCED: &str = "FENCED_INSTANCE_ID";
const AGAIN: &str = "REBALANCE_IN_PROGRESS";
const OTHER: &str = "INCONSISTENT_GROUP_PROTOCOL";

fn code_of(joined: Option<JoinGroupResponse>) -> String {
    joined.map_or(PARKED.to_owned(), |joined| shown(joined.error_code))
}

/// The answer to each call, in the order of `STATES`.
const TABLE: &[Row] = &[
    ("join, new", |h, _| code_of(h.join(&Member::unknown(), RANGE)), ["MEMBER_ID_REQUIRED"; 5]),
    (
        "join, new, other protocol",
        |h, _| code_of(h.join(&Member::unknown(), &["sticky"])),
        ["MEMBER_ID_REQUIRED", "MEMBER_ID_REQUIRED", OTHER, OTHER, OTHER],
    ),
    ("join, new, no protocol", |h, _| code_of(h.join(&Member::unknown(), &[])), [OTHER; 5]),
    ("join, a stranger", |h, _| code_of(h.join(&Member::named("nobody"), RANGE)), [UNKNOWN; 5]),
    ("join, the member", |h, one| code_of(h.join(one, RANGE)), [UNKNOWN, UNKNOWN, PARKED, "NONE", PARKED]),
    // It is the only one: a group of no members would have no protocol in common with it.
    ("join, the member, other protocol", |h, one| code_of(h.join(one, &["sticky"])), [UNKNOWN, UNKNOWN, OTHER, OTHER, OTHER]),
    (
        "join, the member, one more protocol",
        |h, one| code_of(h.join(one, &["sticky", "range"])),
        [UNKNOWN, UNKNOWN, PARKED, PARKED, PARKED],
    ),
    ("join, static, new", |h, _| code_of(h.join(&Member::of_instance("", "till"), RANGE)), [PARKED; 5]),
    ("join, static, a stranger", |h, _| code_of(h.join(&Member::of_instance("nobody", "till"), RANGE)), [UNKNOWN; 5]),
    ("sync", |h, one| h.sync(one, 1, &[one]), [UNKNOWN, UNKNOWN, AGAIN, PARKED, "NONE"]),
    ("sync, old generation", |h, one| h.sync(one, 0, &[]), [UNKNOWN, UNKNOWN, OLD, OLD, OLD]),
    ("sync, a stranger", |h, _| h.sync(&Member::named("nobody"), 1, &[]), [UNKNOWN; 5]),
    ("sync, unknown instance", |h, one| h.sync(&Member { instance: Some("till"), ..one.clone() }, 1, &[]), [UNKNOWN; 5]),
    ("heartbeat", |h, one| shown(h.heartbeat(one, 1)), [UNKNOWN, UNKNOWN, AGAIN, "NONE", "NONE"]),
    ("heartbeat, old generation", |h, one| shown(h.heartbeat(one, 0)), [UNKNOWN, UNKNOWN, OLD, OLD, OLD]),
    ("heartbeat, a stranger", |h, _| shown(h.heartbeat(&Member::named("nobody"), 1)), [UNKNOWN; 5]),
    ("leave", |h, one| shown(h.leave(one)), [UNKNOWN, UNKNOWN, "NONE", "NONE", "NONE"]),
    ("leave, a stranger", |h, _| shown(h.leave(&Member::named("nobody"))), [UNKNOWN; 5]),
    ("leave, unknown instance", |h, _| shown(h.leave(&Member::of_instance("", "till"))), [UNKNOWN; 5]),
    ("commit", |h, one| shown(h.commit(one, 1, Commit::Plain)), [OLD, UNKNOWN, "NONE", AGAIN, "NONE"]),
    ("commit, old generation", |h, one| shown(h.commit(one, 0, Commit::Plain)), [OLD, UNKNOWN, OLD, OLD, OLD]),
    (
        "commit, a stranger",
        |h, _| shown(h.commit(&Member::named("nobody"), 1, Commit::Plain)),
        [OLD, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN],
    ),
    (
        "commit, no member",
        |h, _| shown(h.commit(&Member::unknown(), -1, Commit::Plain)),
        ["NONE", "NONE", UNKNOWN, UNKNOWN, UNKNOWN],
    ),
    ("commit, no generation", |h, one| shown(h.commit(one, -1, Commit::Plain)), ["NONE", "NONE", OLD, OLD, OLD]),
    ("commit in a transaction", |h, one| shown(h.commit(one, 1, Commit::Transactional)), [OLD, UNKNOWN, "NONE", "NONE", "NONE"]),
    ("commit in a transaction, no member", |h, _| shown(h.commit(&Member::unknown(), -1, Commit::Transactional)), ["NONE"; 5]),
];

#[test]
fn each_call_in_each_state_has_its_code() {
    let mut wrong = Vec::new();
    for (name, call, expected) in TABLE {
        for (state, expected) in STATES.iter().zip(expected) {
            let (mut harness, one) = Harness::in_state(state);
            let code = call(&mut harness, &one);
            if code != *expected {
                wrong.push(format!("{name} in {state}: {code}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_static_member_that_was_replaced_is_fenced_by_each_call() {
    let mut harness = Harness::new(Settings::default());
    assert!(harness.join(&Member::of_instance("", "till"), RANGE).is_none());
    let Some((_, GroupReply::Join(first))) = harness.groups.next_reply() else { panic!("no answer") };
    let old = Member { id: first.member_id, instance: Some("till") };
    assert_eq!(harness.sync(&old, 1, &[&old]), PARKED);
    harness.replies();
    let back = harness.join(&Member::of_instance("", "till"), RANGE).expect("an answer at once");
    assert_eq!((back.error_code, back.generation_id, back.skip_assignment), (ErrorCode::NONE, 1, true));
    assert_eq!(harness.state(), "Stable");
    let calls = [
        shown(harness.heartbeat(&old, 1)),
        harness.sync(&old, 1, &[]),
        shown(harness.commit(&old, 1, Commit::Plain)),
        shown(harness.leave(&old)),
        code_of(harness.join(&old, RANGE)),
    ];
    assert_eq!(calls, [FENCED; 5]);
    let now = Member { id: back.member_id, instance: Some("till") };
    assert_eq!(harness.heartbeat(&now, 1), ErrorCode::NONE);
    // An administrator takes it out by its name alone.
    assert_eq!(harness.leave(&Member::of_instance("", "till")), ErrorCode::NONE);
    assert_eq!(harness.state(), "Empty");
}

#[test]
fn a_static_member_that_comes_back_with_another_protocol_has_all_join_again() {
    let mut harness = Harness::new(Settings::default());
    assert!(harness.join(&Member::of_instance("", "till"), &["range", "sticky"]).is_none());
    let Some((_, GroupReply::Join(first))) = harness.groups.next_reply() else { panic!("no answer") };
    let one = Member { id: first.member_id, instance: Some("till") };
    harness.sync(&one, 1, &[&one]);
    harness.replies();
    assert!(harness.join(&Member::of_instance("", "till"), &["sticky"]).is_none());
    assert_eq!((harness.state(), harness.generation()), ("CompletingRebalance", 2));
}

#[test]
fn a_member_that_never_comes_back_with_its_id_is_forgotten_and_a_new_one_waits_five_minutes() {
    let (mut harness, one) = Harness::in_state("PreparingRebalance");
    let never = harness.known();
    let two = harness.known();
    assert!(harness.join(&two, RANGE).is_none());
    assert!(harness.join(&one, RANGE).is_none());
    assert_eq!(harness.replies(), [], "one is missing");
    harness.pass(Duration::from_millis(9_999));
    assert_eq!(harness.state(), "PreparingRebalance");
    harness.pass(Duration::from_millis(1));
    assert_eq!(harness.state(), "CompletingRebalance", "its session is over");
    assert_eq!(code_of(harness.join(&never, RANGE)), UNKNOWN);
    // A new member whose client is gone does not hold up the group for ever.
    let (mut harness, one) = Harness::in_state("Stable");
    let two = harness.known();
    let request = harness.calls + 1;
    assert!(harness.join(&two, RANGE).is_none());
    for _ in 0..9 {
        harness.pass(Duration::from_secs(3));
        assert_eq!(harness.heartbeat(&one, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    assert!(harness.replies().is_empty());
    harness.pass(Duration::from_secs(3));
    assert_eq!(harness.replies(), [(request, ErrorCode::NONE)], "the old one is out after the rebalance time-out");
}

#[test]
fn the_last_member_may_leave_while_the_next_one_is_about_to_join() {
    let (mut harness, one) = Harness::in_state("Stable");
    let two = harness.known();
    assert_eq!(harness.leave(&one), ErrorCode::NONE);
    assert_eq!(harness.state(), "PreparingRebalance", "one is expected");
    assert!(harness.join(&two, &["sticky"]).is_none());
    assert_eq!((harness.state(), harness.generation()), ("CompletingRebalance", 2));
    // And if it does not come, the group is empty soon.
    let (mut harness, one) = Harness::in_state("Stable");
    harness.known();
    assert_eq!(harness.leave(&one), ErrorCode::NONE);
    harness.pass(Duration::from_millis(1));
    assert_eq!(harness.state(), "Empty");
}

#[test]
fn followers_wait_for_the_leader_and_those_that_never_sync_are_out() {
    let (mut harness, one) = Harness::in_state("Stable");
    let two = harness.known();
    harness.join(&two, RANGE);
    harness.join(&one, RANGE);
    assert_eq!(harness.replies().len(), 2);
    assert_eq!(harness.sync(&two, 2, &[]), PARKED);
    let follower = harness.calls;
    assert_eq!(harness.heartbeat(&one, 2), ErrorCode::NONE);
    assert_eq!(harness.sync(&one, 2, &[&one, &two]), PARKED);
    let mut replies = harness.replies();
    replies.sort();
    assert_eq!(replies, [(follower, ErrorCode::NONE), (follower + 1, ErrorCode::NONE)]);
    // The leader joins again and then is silent: the other one is told, and leads when it is out.
    harness.join(&one, RANGE);
    harness.join(&two, RANGE);
    harness.replies();
    assert_eq!(harness.sync(&two, 3, &[]), PARKED);
    let follower = harness.calls;
    harness.pass(Duration::from_secs(10));
    assert_eq!(harness.replies(), [(follower, ErrorCode::REBALANCE_IN_PROGRESS)], "the leader's session is over");
    assert!(harness.join(&two, RANGE).is_none());
    let Some((_, GroupReply::Join(joined))) = harness.groups.next_reply() else { panic!("no answer") };
    assert_eq!((joined.generation_id, &joined.leader), (4, &two.id));
}

#[test]
fn a_group_that_is_too_large_keeps_those_who_join_again_first() {
    let (mut harness, one) = Harness::in_state("Stable");
    let two = harness.known();
    harness.join(&two, RANGE);
    harness.join(&one, RANGE);
    harness.replies();
    harness.groups.max_size = 1;
    harness.groups.rebalance(harness.now, GROUP);
    assert!(harness.join(&two, RANGE).is_none());
    assert_eq!(code_of(harness.join(&one, RANGE)), "GROUP_MAX_SIZE_REACHED");
    assert_eq!(harness.heartbeat(&one, 2), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_new_group_waits_longer_for_each_that_comes_but_not_longer_than_a_rebalance_takes() {
    let delay = Duration::from_secs(12);
    let mut harness = Harness::new(Settings { group_initial_rebalance_delay: delay, ..Settings::default() });
    let one = harness.known();
    assert!(harness.join(&one, RANGE).is_none());
    harness.pass(Duration::from_secs(11));
    let two = harness.known();
    assert!(harness.join(&two, RANGE).is_none());
    harness.pass(Duration::from_secs(12));
    let three = harness.known();
    assert!(harness.join(&three, RANGE).is_none());
    assert_eq!(harness.replies(), []);
    // 12, 12 and the 6 that are left of 30.
    harness.pass(Duration::from_millis(6_999));
    assert_eq!(harness.state(), "PreparingRebalance");
    harness.pass(Duration::from_millis(1));
    assert_eq!(harness.replies().len(), 3);
}

#[test]
fn what_the_log_says_is_there_after_a_move() {
    // In the midst of a rebalance: the generation before comes back, and who waits is told.
    let (mut harness, one) = Harness::in_state("Stable");
    let two = harness.known();
    harness.join(&two, RANGE);
    let waiting = harness.calls;
    harness.groups.reload(harness.now, GROUP);
    assert_eq!(harness.replies(), [(waiting, ErrorCode::NOT_COORDINATOR)]);
    assert_eq!((harness.state(), harness.generation()), ("Stable", 1));
    assert_eq!(harness.heartbeat(&one, 1), ErrorCode::NONE);
    assert_eq!(harness.sync(&one, 1, &[]), "NONE");
    assert_eq!(code_of(harness.join(&two, RANGE)), UNKNOWN);
    // Sessions begin anew.
    harness.pass(Duration::from_secs(9));
    harness.groups.reload(harness.now, GROUP);
    harness.pass(Duration::from_secs(9));
    assert_eq!(harness.state(), "Stable");
    harness.pass(Duration::from_secs(1));
    assert_eq!(harness.state(), "Empty");
    harness.groups.reload(harness.now, GROUP);
    assert_eq!((harness.state(), harness.generation()), ("Empty", 2));
    // A first generation without assignments was never written.
    let (mut harness, one) = Harness::in_state("CompletingRebalance");
    assert_eq!(harness.sync(&one, 1, &[]), PARKED);
    let (mut harness, one) = Harness::in_state("CompletingRebalance");
    harness.groups.reload(harness.now, GROUP);
    assert_eq!((harness.state(), harness.heartbeat(&one, 1)), ("Empty", ErrorCode::UNKNOWN_MEMBER_ID));
    // Of a group that only commits, the offsets are there.
    let mut harness = Harness::new(Settings::default());
    let committed = Committed::new(harness.now, 7, -1, Str::default());
    harness.groups.get_or_create(GROUP).offsets.insert(("orders".to_owned(), 0), committed);
    harness.groups.reload(harness.now, GROUP);
    assert_eq!(harness.state(), "Empty");
    assert_eq!(harness.groups.get(GROUP).map(|group| group.offsets.len()), Some(1));
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn commit(harness: &mut Harness, topic: &str) {
    let committed = Committed::new(harness.now, 7, -1, Str::default());
    harness.groups.get_or_create(GROUP).offsets.insert((topic.to_owned(), 0), committed);
    harness.groups.note_change(harness.now);
}

fn offsets(harness: &Harness) -> Vec<String> {
    let of_group = harness.groups.get(GROUP).into_iter().flat_map(|group| group.offsets.keys());
    of_group.map(|(topic, _)| topic.clone()).collect()
}

#[test]
fn offsets_of_a_client_without_a_group_are_kept_a_week_from_the_commit() {
    let mut harness = Harness::new(Settings::default());
    commit(&mut harness, "orders");
    harness.pass(7 * DAY - Duration::from_secs(1));
    commit(&mut harness, "bills");
    assert_eq!(offsets(&harness), ["bills", "orders"]);
    harness.pass(Duration::from_secs(601));
    assert_eq!(offsets(&harness), ["bills"]);
    harness.pass(7 * DAY);
    assert_eq!(harness.state(), "Dead");
    assert_eq!(harness.groups.next_timeout(), None, "nothing is left to wait for");
}

#[test]
fn offsets_of_a_group_are_kept_a_week_from_when_it_became_empty() {
    let (mut harness, one) = Harness::in_state("Stable");
    commit(&mut harness, "orders");
    for _ in 0..10 * 24 * 360 {
        harness.pass(Duration::from_secs(10) - Duration::from_millis(1));
        assert_eq!(harness.heartbeat(&one, 1), ErrorCode::NONE);
    }
    // Its one member subscribes to nothing: the topic is not read any more, and the week since the commit is over.
    assert_eq!((harness.state(), offsets(&harness)), ("Stable", vec![]));
    commit(&mut harness, "orders");
    harness.pass(3 * DAY);
    assert_eq!(harness.state(), "Empty", "its session is over");
    commit(&mut harness, "bills");
    harness.pass(4 * DAY - Duration::from_secs(1));
    assert_eq!(offsets(&harness), ["bills", "orders"]);
    harness.pass(Duration::from_secs(700));
    assert_eq!(harness.state(), "Dead", "whenever they were committed");
}

#[test]
fn topics_that_are_read_keep_their_offsets_and_clients_may_say_how_long() {
    let (mut harness, one) = Harness::in_state("Empty");
    let two = harness.known();
    let request = JoinGroupRequest {
        group_id: GroupId(text(GROUP)),
        session_timeout_ms: 1_800_000,
        rebalance_timeout_ms: 30_000,
        member_id: two.id.clone(),
        protocol_type: text("consumer"),
        protocols: vec![JoinGroupRequestProtocol {
            name: text("range"),
            metadata: Bytes::from_static(b"\0\x01\0\0\0\x01\0\x06orders\xff\xff\xff\xff"),
        }],
        ..Default::default()
    };
    let call = harness.call();
    assert!(matches!(harness.groups.join(harness.now, &call, &request), Ok(None)));
    let generation = harness.generation();
    assert_eq!(harness.sync(&two, generation, &[]), PARKED);
    assert_ne!(one, two);
    commit(&mut harness, "orders");
    let short = Committed::new(harness.now, 7, -1, Str::default()).kept_for(3_600_000);
    harness.groups.get_or_create(GROUP).offsets.insert(("bills".to_owned(), 0), short);
    harness.groups.note_change(harness.now);
    for _ in 0..8 * 24 * 2 {
        harness.pass(Duration::from_secs(1800) - Duration::from_millis(1));
        assert_eq!(harness.heartbeat(&two, generation), ErrorCode::NONE);
        let kept = offsets(&harness);
        assert!(kept == ["bills", "orders"] || kept == ["orders"], "{kept:?}");
    }
    assert_eq!(offsets(&harness), ["orders"]);
}
