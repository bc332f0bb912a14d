use std::time::Duration;

use super::*;
use crate::protocol::messages::find_coordinator::Coordinator;

struct Harness {
    lookups: Coordinators,
    now: Instant,
    sent: Vec<(Ticket, Key)>,
    settled: usize,
}

fn key(key: &str) -> Key {
    Key { kind: CoordinatorType::Group, key: key.into() }
}

fn answer(key: &str, id: i32, code: ErrorCode) -> Result<FindCoordinatorResponse, Error> {
    let host = Str::truncated(if code.is_ok() { "b" } else { "" });
    let entry = Coordinator {
        key: Str::truncated(key),
        node_id: BrokerId(id),
        host,
        port: if code.is_ok() { 9092 } else { -1 },
        error_code: code,
        error_message: None,
    };
    Ok(FindCoordinatorResponse { coordinators: vec![entry], ..Default::default() })
}

impl Harness {
    fn new() -> Self {
        let lookups = Coordinators::new(BackoffConfig::default(), 1);
        Self { lookups, now: Instant::now(), sent: Vec::new(), settled: 0 }
    }

    fn command(&mut self, command: Command) {
        self.lookups.handle_command(self.now, command);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.lookups.poll(self.now) {
            match action {
                Action::Send { ticket, key } => self.sent.push((ticket, key)),
                Action::Settled(_) => self.settled += 1,
            }
        }
    }

    fn answer(&mut self, result: Result<FindCoordinatorResponse, Error>) {
        let (ticket, _) = self.sent.remove(0);
        self.lookups.handle_response(self.now, ticket, result);
        self.drain();
    }

    /// Lets the pause before the next attempt pass; gives its length.
    fn wait(&mut self) -> Duration {
        let at = self.lookups.next_timeout().expect("an attempt is due");
        let pause = at - self.now;
        self.now = at;
        self.drain();
        pause
    }

    fn found(&self, name: &str) -> Option<i32> {
        match self.lookups.state(&key(name)) {
            Some(State::Found(node)) => Some(node.id.0),
            _ => None,
        }
    }
}

#[test]
fn rk_194_not_available_is_asked_again_after_pauses() {
    let mut harness = Harness::new();
    harness.command(Command::Want(key("g")));
    harness.answer(answer("g", -1, ErrorCode::COORDINATOR_NOT_AVAILABLE));
    assert!(harness.sent.is_empty(), "not without a pause");
    assert!(harness.wait() >= Duration::from_millis(80));
    harness.answer(answer("g", -1, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    assert!(harness.wait() >= Duration::from_millis(160));
    harness.answer(answer("g", 2, ErrorCode::NONE));
    assert_eq!((harness.found("g"), harness.settled), (Some(2), 1));
}

#[test]
fn callers_share_a_lookup_and_one_that_leaves_does_not_end_it() {
    let mut harness = Harness::new();
    for _ in 0..2 {
        harness.command(Command::Want(key("g")));
    }
    assert_eq!(harness.sent.len(), 1);
    harness.command(Command::Unwant(key("g")));
    harness.answer(Err(Error::new(ErrorKind::Disconnected, "gone")));
    harness.wait();
    harness.answer(answer("g", 1, ErrorCode::NONE));
    assert_eq!(harness.found("g"), Some(1));
    harness.command(Command::Unwant(key("g")));
    assert_eq!(harness.found("g"), Some(1), "what was found is kept");
}

#[test]
fn every_way_a_lookup_ends_lets_the_next_caller_send_a_new_one() {
    type Outcome = fn() -> Result<FindCoordinatorResponse, Error>;
    let outcomes: [Outcome; 5] = [
        || Err(Error::new(ErrorKind::Timeout, "slow")),
        || Err(Error::new(ErrorKind::UnsupportedVersion, "old")),
        || answer("g", -1, ErrorCode::GROUP_AUTHORIZATION_FAILED),
        || answer("other", 1, ErrorCode::NONE),
        || Ok(FindCoordinatorResponse::default()),
    ];
    for outcome in outcomes {
        // The caller left before the answer came.
        let mut harness = Harness::new();
        harness.command(Command::Want(key("g")));
        harness.command(Command::Unwant(key("g")));
        harness.answer(outcome());
        assert!(harness.lookups.state(&key("g")).is_none());
        assert_eq!(harness.lookups.next_timeout(), None);
        harness.command(Command::Want(key("g")));
        assert_eq!(harness.sent.len(), 1);
        // The caller stayed, saw the outcome, left, and another comes.
        harness.answer(outcome());
        harness.command(Command::Unwant(key("g")));
        harness.command(Command::Want(key("g")));
        assert_eq!(harness.sent.len(), 1);
    }
}

#[test]
fn a_refusal_reaches_all_who_wait_and_the_next_wish_asks_anew() {
    let mut harness = Harness::new();
    harness.command(Command::Want(key("g")));
    harness.command(Command::Want(key("g")));
    harness.answer(answer("g", -1, ErrorCode::GROUP_AUTHORIZATION_FAILED));
    assert_eq!(harness.settled, 1);
    let Some(State::Refused(error)) = harness.lookups.state(&key("g")) else { panic!("not refused") };
    assert_eq!(error.kind(), ErrorKind::Authorization);
    harness.command(Command::Want(key("g")));
    assert_eq!(harness.sent.len(), 1);
}

#[test]
fn forgetting_looks_up_again_but_does_not_disturb_a_lookup_under_way() {
    let mut harness = Harness::new();
    harness.command(Command::Want(key("g")));
    harness.command(Command::Forget(key("g")));
    assert_eq!(harness.sent.len(), 1);
    harness.answer(answer("g", 1, ErrorCode::NONE));
    harness.command(Command::Unwant(key("g")));
    harness.command(Command::Forget(key("g")));
    assert!(harness.lookups.state(&key("g")).is_none());
    harness.command(Command::Want(key("g")));
    assert_eq!(harness.sent.len(), 1);
}

#[test]
fn old_brokers_answer_without_a_list_and_new_ones_are_asked_with_one() {
    let old = request(&key("g"), 3).unwrap();
    assert!(old.coordinator_keys.is_empty() && old.key == *"g");
    let new = request(&key("g"), 4).unwrap();
    assert!(new.key == *"" && new.coordinator_keys == [Str::truncated("g")]);
    let mut harness = Harness::new();
    harness.command(Command::Want(key("g")));
    let alone = FindCoordinatorResponse { node_id: BrokerId(3), host: Str::truncated("b"), port: 1, ..Default::default() };
    harness.answer(Ok(alone));
    assert_eq!(harness.found("g"), Some(3));
}

#[test]
fn lookups_nobody_waits_for_do_not_pile_up() {
    let mut harness = Harness::new();
    for number in 0..MAX_KEPT + 10 {
        let name = number.to_string();
        harness.command(Command::Want(key(&name)));
        harness.answer(answer(&name, 1, ErrorCode::NONE));
        harness.command(Command::Unwant(key(&name)));
    }
    assert_eq!(harness.lookups.lookups.len(), MAX_KEPT);
}
