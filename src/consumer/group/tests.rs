//! The group's core against a coordinator that the tests play: no sockets, no runtime, the time is a variable.

mod assigning;
mod heartbeats;
mod joining;
mod offsets;
mod properties;
mod verdicts;

use bytes::Bytes;

use super::classic::Classic;
use super::leading::{text, write_assignment, write_subscription};
use super::*;
use crate::cluster::BackoffConfig;
use crate::consumer::assignor::{CooperativeStickyAssignor, RangeAssignor, Subscription};
use crate::protocol::messages::join_group::JoinGroupResponseMember;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> GroupConfig {
    GroupConfig {
        group_id: "billing".into(),
        session_timeout: 45 * SECOND,
        heartbeat_interval: 3 * SECOND,
        max_poll_interval: 300 * SECOND,
        assignors: vec![Arc::new(CooperativeStickyAssignor)],
        instance_id: None,
        rack: None,
        request_timeout: 30 * SECOND,
        offset_retention: None,
    }
}

fn eager() -> GroupConfig {
    GroupConfig { assignors: vec![Arc::new(RangeAssignor)], ..config() }
}

fn partitions(numbers: impl IntoIterator<Item = i32>) -> Vec<TopicPartition> {
    numbers.into_iter().map(|number| TopicPartition::new("t", number)).collect()
}

fn offsets(numbers: impl IntoIterator<Item = i32>, offset: i64) -> BTreeMap<TopicPartition, OffsetAndMetadata> {
    partitions(numbers).into_iter().map(|partition| (partition, OffsetAndMetadata::new(offset))).collect()
}

fn disconnected() -> Error {
    Error::new(ErrorKind::Disconnected, "the connection broke")
}

/// A core, its time, and what it asked for and was not answered yet.
struct Member {
    core: Classic,
    now: Instant,
    /// Everything but events, in order.
    asked: Vec<Action>,
    events: Vec<Event>,
    commits: Ticket,
    heartbeats: Ticket,
    /// Is an assignor's work over as soon as it is asked for?
    assigns: bool,
}

impl Member {
    /// One that subscribes to nothing yet.
    fn unsubscribed(config: GroupConfig) -> Self {
        let now = Instant::now();
        config.validate().expect("a valid configuration");
        let core = Classic::new(Arc::new(config), BackoffConfig::default(), 7, now);
        Self { core, now, asked: Vec::new(), events: Vec::new(), commits: 0, heartbeats: 0, assigns: true }
    }

    fn new(config: GroupConfig) -> Self {
        let mut member = Self::unsubscribed(config);
        member.command(Command::Subscribe(vec!["t".into()]));
        member
    }

    /// A follower of generation 5 that owns partitions `numbers`, where the group stands at 10, and has told the consumer.
    fn stable(config: GroupConfig, numbers: impl IntoIterator<Item = i32>) -> Self {
        let mut member = Self::new(config);
        member.find_coordinator();
        member.join_as_follower(5);
        member.sync(numbers);
        member.answer_offsets();
        member.take_events();
        member
    }

    fn drive(&mut self) {
        while let Some(action) = self.core.poll(self.now) {
            match action {
                Action::Event(event) => self.events.push(event),
                // The driver runs it elsewhere, which is over at once here.
                Action::Assign { ticket, assignor, topics, members } if self.assigns => {
                    let result = leading::assign(&*assignor, &topics, &members).map(Response::Assigned);
                    self.core.handle_response(self.now, ticket, result);
                }
                action => self.asked.push(action),
            }
        }
        let timeout = self.core.next_timeout();
        assert!(timeout.is_none_or(|at| at > self.now), "a timer in the past: {:?}", timeout.map(|at| self.now - at));
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.drive();
    }

    /// Lets timers fire one by one until something is asked or said, or `time` is over.
    fn wait_for_timers(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.next_timeout().filter(|&at| at <= end) {
            self.now = at;
            self.drive();
        }
        self.now = end;
        self.drive();
    }

    fn command(&mut self, command: Command) {
        self.core.handle_command(self.now, command);
        self.drive();
    }

    fn respond(&mut self, ticket: Ticket, result: Result<Response>) {
        self.core.handle_response(self.now, ticket, result);
        self.drive();
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Names of the requests that wait for an answer.
    fn open(&self) -> Vec<&'static str> {
        let name = |action: &Action| match action {
            Action::FindCoordinator { .. } => "FindCoordinator",
            Action::ListTopics { .. } => "ListTopics",
            Action::Assign { .. } => "Assign",
            Action::Send { request, .. } => request.api(),
            Action::Reconnect => "Reconnect",
            Action::Event(_) => "Event",
        };
        self.asked.iter().map(name).collect()
    }

    fn take(&mut self, name: &str) -> Action {
        let index = self.open().iter().position(|open| *open == name);
        self.asked.remove(index.unwrap_or_else(|| panic!("no {name} but {:?}", self.open())))
    }

    fn take_request(&mut self, name: &str) -> (Ticket, Request) {
        match self.take(name) {
            Action::Send { ticket, request, .. } => (ticket, request),
            other => panic!("{other:?} is no request"),
        }
    }

    /// Answers the open request `name`.
    fn answer(&mut self, name: &str, result: Result<Response>) {
        let ticket = match self.take(name) {
            Action::Send { ticket, .. }
            | Action::FindCoordinator { ticket, .. }
            | Action::ListTopics { ticket, .. }
            | Action::Assign { ticket, .. } => ticket,
            other => panic!("{other:?} has no ticket"),
        };
        self.respond(ticket, result);
    }

    fn find_coordinator(&mut self) {
        self.answer("FindCoordinator", Ok(Response::Coordinator));
    }

    fn answer_join(&mut self, code: ErrorCode) {
        self.answer("JoinGroup", Ok(Response::Join(JoinGroupResponse { error_code: code, ..Default::default() })));
    }

    fn answer_sync(&mut self, code: ErrorCode) {
        self.answer("SyncGroup", Ok(Response::Sync(SyncGroupResponse { error_code: code, ..Default::default() })));
    }

    fn join_as_follower(&mut self, generation: i32) {
        let mut response = joined(generation);
        response.leader = text("somebody else");
        self.answer("JoinGroup", Ok(Response::Join(response)));
    }

    /// Answers the SyncGroup with partitions of topic `t`.
    fn sync(&mut self, numbers: impl IntoIterator<Item = i32>) {
        let assignment = write_assignment(&partitions(numbers));
        self.answer("SyncGroup", Ok(Response::Sync(SyncGroupResponse { assignment, ..Default::default() })));
    }

    /// Answers an OffsetFetch, if there is one: the group stands at 10 everywhere.
    fn answer_offsets(&mut self) {
        if self.open().contains(&"OffsetFetch") {
            let (ticket, request) = self.take_request("OffsetFetch");
            let Request::OffsetFetch { partitions } = request else { panic!("{request:?}") };
            let found = partitions.into_iter().map(|partition| (partition, ErrorCode::NONE, Some(OffsetAndMetadata::new(10))));
            self.respond(ticket, Ok(Response::OffsetFetch((ErrorCode::NONE, found.collect()))));
        }
    }

    fn heartbeat(&mut self, code: ErrorCode) {
        if !self.open().contains(&"Heartbeat") {
            self.wait(3 * SECOND);
        }
        self.answer("Heartbeat", Ok(Response::Heartbeat(code)));
    }

    fn commit(&mut self, numbers: impl IntoIterator<Item = i32>, offset: i64) -> Ticket {
        self.commits += 1;
        let deadline = self.now + 60 * SECOND;
        self.command(Command::Commit { id: self.commits, offsets: offsets(numbers, offset), deadline });
        self.commits
    }

    /// Asks for a heartbeat by hand.
    fn want_heartbeat(&mut self, when: Heartbeat) -> Ticket {
        self.heartbeats += 1;
        self.command(Command::Heartbeat { id: self.heartbeats, when });
        self.heartbeats
    }

    /// What whoever asked for heartbeat `id` was told, if anything.
    fn told(&mut self, id: Ticket) -> Option<Membership> {
        let index = self.events.iter().position(|event| matches!(event, Event::HeartbeatAnswered { id: of, .. } if *of == id))?;
        match self.events.remove(index) {
            Event::HeartbeatAnswered { membership, .. } => Some(membership),
            _ => None,
        }
    }

    /// Answers the open OffsetCommit, each partition with `code`.
    fn answer_commit(&mut self, code: ErrorCode) {
        let (ticket, request) = self.take_request("OffsetCommit");
        let Request::OffsetCommit { offsets, .. } = request else { panic!("{request:?}") };
        self.respond(ticket, Ok(Response::OffsetCommit(offsets.into_keys().map(|partition| (partition, code)).collect())));
    }

    /// The consumer does what the last event of the kind asked for.
    fn prepared(&mut self) {
        let ticket = self.events.iter().rev().find_map(|event| match event {
            Event::Rebalancing { ticket } | Event::Revoking { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let ticket = ticket.unwrap_or_else(|| panic!("nothing to prepare for in {:?}", self.events));
        self.command(Command::Prepared(ticket));
    }

    /// What the open JoinGroup says.
    fn join_request(&self) -> JoinGroupRequest {
        let open = self.asked.iter().find_map(|action| match action {
            Action::Send { request: Request::Join(request), .. } => Some(request.clone()),
            _ => None,
        });
        open.unwrap_or_else(|| panic!("no JoinGroup but {:?}", self.open()))
    }

    fn lost(&mut self) -> Option<(Vec<TopicPartition>, Error)> {
        self.take_events().into_iter().find_map(|event| match event {
            Event::Lost { partitions, cause } => Some((partitions, cause)),
            _ => None,
        })
    }

    fn failed(&mut self) -> Option<Error> {
        self.take_events().into_iter().find_map(|event| match event {
            Event::Failed(error) => Some(error),
            _ => None,
        })
    }

    fn committed(&mut self, id: Ticket) -> Option<Result<()>> {
        let index = self.events.iter().position(|event| matches!(event, Event::Committed { id: of, .. } if *of == id))?;
        match self.events.remove(index) {
            Event::Committed { result, .. } => Some(result),
            _ => None,
        }
    }
}

/// A JoinGroup's good answer for member `m1` as the leader.
fn joined(generation: i32) -> JoinGroupResponse {
    let metadata = write_subscription(&Subscription { topics: vec!["t".into()], ..Default::default() });
    JoinGroupResponse {
        generation_id: generation,
        protocol_type: Some(text("consumer")),
        protocol_name: Some(text("cooperative-sticky")),
        leader: text("m1"),
        member_id: text("m1"),
        members: vec![JoinGroupResponseMember { member_id: text("m1"), metadata, ..Default::default() }],
        ..Default::default()
    }
}
