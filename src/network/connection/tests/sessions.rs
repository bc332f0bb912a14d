//! Sessions that end: what was proven is proven anew on the same connection (KIP-368), and what a refusal does.

use std::sync::atomic::{AtomicUsize, Ordering};

use zeroize::Zeroizing;

use super::*;

/// A step of one request, then work, then a second request; what it proves counts for `life`.
#[derive(Debug)]
struct Login {
    life: Option<Duration>,
}

const API: ApiKey = ApiKey::SASL_AUTHENTICATE;

impl SetupStep for Login {
    fn start(&mut self, _now: Instant, _versions: &ApiVersions) -> SetupAction {
        SetupAction::Send { api: API, version: 0, body: vec![Bytes::from_static(b"name")] }
    }

    fn handle_response(&mut self, _now: Instant, body: Bytes) -> SetupAction {
        match &body[..] {
            b"salt" => SetupAction::Work(Work::new(|| Zeroizing::new(b"salted".to_vec()))),
            b"good" => SetupAction::Done { session: self.life },
            b"odd" => SetupAction::Fail(Cause::new(CauseKind::Protocol, "unreadable")),
            _ => SetupAction::Fail(Cause::new(CauseKind::Authentication, "refused")),
        }
    }

    fn handle_work(&mut self, _now: Instant, result: WorkResult) -> SetupAction {
        assert_eq!(&result[..], b"salted");
        SetupAction::Send { api: API, version: 0, body: vec![Bytes::from_static(b"proof")] }
    }

    fn advice_if_closed(&self) -> &'static str {
        "check the password"
    }
}

fn config(life: u64) -> ConnectionConfig {
    let life = (life > 0).then(|| Duration::from_secs(life));
    let steps = move || Ok(vec![Box::new(Login { life }) as Box<dyn SetupStep>]);
    ConnectionConfig { setup: Some(std::sync::Arc::new(steps)), seed: 3, ..Default::default() }
}

/// The one request that was sent is a step's; its correlation id.
fn step(harness: &mut Harness) -> i32 {
    let seen = harness.exchange();
    assert!(matches!(seen[..], [Seen { api: API, .. }]), "{seen:?}");
    seen[0].correlation_id
}

/// Takes part in a login up to the answer to its last request.
fn log_in_until(harness: &mut Harness, last: &[u8]) {
    let id = step(harness);
    harness.receive(&raw(id, b"salt"));
    let work = harness.events().into_iter().find_map(|event| if let Event::Work(work) = event { Some(work) } else { None });
    let result = work.expect("work is wanted").run();
    harness.core.handle_work(harness.now, harness.core.connection(), Some(result));
    let id = step(harness);
    harness.receive(&raw(id, last));
}

fn ready(config: ConnectionConfig) -> Harness {
    let mut harness = Harness::connecting(config);
    harness.exchange();
    harness.answer_versions(0, newest(), &versions());
    log_in_until(&mut harness, b"good");
    assert!(matches!(harness.events()[..], [Event::Ready]));
    harness
}

/// Lets time pass until something is due.
fn pass_to_timeout(harness: &mut Harness) -> Duration {
    let at = harness.core.next_timeout().expect("something is due");
    let passed = at - harness.now;
    harness.pass(passed);
    passed
}

#[test]
fn a_session_is_renewed_after_85_to_95_percent_of_its_life_on_the_same_connection() {
    let mut renewed = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut harness = ready(ConnectionConfig { seed, ..config(100) });
        for _ in 0..3 {
            let passed = pass_to_timeout(&mut harness);
            assert!((85 * SECOND..=95 * SECOND).contains(&passed), "{passed:?}");
            renewed.insert(passed);
            assert!(!harness.core.has_room(harness.now), "nothing new is sent");
            log_in_until(&mut harness, b"good");
            assert!(matches!(harness.events()[..], [Event::Renewed]));
            assert!(harness.core.has_room(harness.now) && harness.core.connection() == 1);
        }
    }
    assert!(renewed.len() > 50, "spread over clients and times");
}

#[test]
fn what_is_in_flight_is_answered_before_the_session_is_renewed() {
    let mut harness = ready(config(10));
    let tickets: Vec<_> = (0..4).map(|_| harness.send()).collect();
    // The last of them without an answer.
    let silent = harness.send_for(30 * SECOND, false);
    harness.take(5);
    pass_to_timeout(&mut harness);
    assert!(!harness.core.has_room(harness.now), "five are in flight, and it is time");
    assert!(harness.core.next_timeout().unwrap() > harness.now, "nothing spins while it waits for answers");
    let ids: Vec<_> = harness.exchange().iter().map(|seen| (seen.api, seen.correlation_id)).collect();
    assert!(ids.iter().all(|(api, _)| *api == ApiKey::HEARTBEAT) && ids.len() == 5, "{ids:?}");
    for (at, (_, id)) in ids[..4].iter().enumerate() {
        assert!(harness.exchange().is_empty(), "the steps wait for answer {at}");
        harness.pass(SECOND);
        harness.heartbeat(*id, 0);
    }
    let answered: Vec<_> = harness.answers();
    assert_eq!(answered.len(), 5, "{answered:?}");
    assert!(answered.iter().all(|(_, failure)| failure.is_none()) && answered.iter().any(|(ticket, _)| *ticket == silent));
    assert_eq!(tickets.len(), 4);
    log_in_until(&mut harness, b"good");
    assert!(matches!(harness.events()[..], [Event::Renewed]));
    harness.send();
    assert_eq!(harness.exchange().len(), 1);
}

#[test]
fn a_request_without_answer_that_is_the_last_in_flight_lets_the_steps_begin_when_it_is_written() {
    let mut harness = ready(config(10));
    harness.send_for(60 * SECOND, false);
    pass_to_timeout(&mut harness);
    let seen = harness.exchange();
    assert_eq!(seen.iter().map(|seen| seen.api).collect::<Vec<_>>(), [ApiKey::HEARTBEAT, API]);
}

#[test]
fn a_parked_long_poll_may_outlive_the_session() {
    let mut harness = ready(config(10));
    let poll = harness.send_for(300 * SECOND, true);
    let id = harness.exchange()[0].correlation_id;
    pass_to_timeout(&mut harness);
    assert_eq!(harness.core.next_timeout(), Some(harness.now + 300 * SECOND - (harness.now - started(&harness))));
    harness.pass(200 * SECOND);
    assert!(harness.exchange().is_empty() && harness.core.has_transport());
    harness.heartbeat(id, 0);
    assert_eq!(harness.answers(), [(poll, None)]);
    log_in_until(&mut harness, b"good");
    assert!(harness.core.has_room(harness.now));
}

/// When the long poll was sent: all that passed since is the time to renewal.
fn started(harness: &Harness) -> Instant {
    harness.core.in_flight.requests().next().expect("in flight").since
}

#[test]
fn a_long_poll_that_is_not_answered_ends_the_connection_in_its_own_time() {
    let mut harness = ready(config(10));
    let poll = harness.send_for(60 * SECOND, true);
    harness.exchange();
    pass_to_timeout(&mut harness);
    harness.pass(60 * SECOND);
    assert_eq!(harness.answers(), [(poll, Some((Written::Maybe, CauseKind::Timeout)))]);
    assert!(!harness.core.has_transport());
}

#[test]
fn a_refusal_when_the_session_is_renewed_is_told_to_those_who_wait_and_ends_the_connection() {
    let mut harness = ready(config(10));
    harness.send();
    let id = harness.exchange()[0].correlation_id;
    harness.heartbeat(id, 0);
    harness.events();
    pass_to_timeout(&mut harness);
    log_in_until(&mut harness, b"bad");
    let events = harness.events();
    assert!(matches!(&events[..], [Event::Unconnected(cause)] if cause.kind() == CauseKind::Authentication), "{events:?}");
    assert!(!harness.core.has_transport());
    // Even a connection that had worked is not tried again at once.
    let pause = harness.core.retry_at(harness.now).unwrap() - harness.now;
    assert!((800..=1200).contains(&pause.as_millis()), "{pause:?}");
}

#[test]
fn a_broker_that_closes_or_hangs_when_the_session_is_renewed_is_followed_by_another_connection() {
    for closes in [true, false] {
        let mut harness = ready(config(10));
        harness.send();
        let id = harness.exchange()[0].correlation_id;
        harness.heartbeat(id, 0);
        harness.events();
        pass_to_timeout(&mut harness);
        step(&mut harness);
        if closes {
            harness.core.handle_closed(harness.now, None);
        } else {
            let passed = pass_to_timeout(&mut harness);
            assert!((8 * SECOND..=12 * SECOND).contains(&passed), "{passed:?}");
        }
        assert!(harness.events().is_empty(), "who waits goes on waiting");
        assert!(!harness.core.has_transport() && harness.core.retry_at(harness.now).is_none());
        let cause = harness.core.last_cause().unwrap();
        assert!(cause.to_string().contains("session") && cause.to_string().contains("Login"), "{cause}");
    }
}

#[test]
fn an_expired_session_that_the_broker_closes_is_an_ordinary_disconnect() {
    let mut harness = ready(config(10));
    let ticket = harness.send();
    harness.exchange();
    harness.core.handle_closed(harness.now, None);
    assert_eq!(harness.answers(), [(ticket, Some((Written::Maybe, CauseKind::Disconnected)))]);
}

#[test]
fn renewing_is_no_use_of_a_connection() {
    let mut harness = ready(ConnectionConfig { idle_timeout: 30 * SECOND, ..config(10) });
    let mut renewals = 0;
    let start = harness.now;
    while harness.core.has_transport() {
        pass_to_timeout(&mut harness);
        if harness.core.has_output() {
            log_in_until(&mut harness, b"good");
            renewals += 1;
        }
    }
    assert_eq!(harness.now - start, 30 * SECOND);
    assert_eq!(renewals, 3);
}

#[test]
fn a_throttled_connection_is_renewed_after_the_throttle() {
    let mut harness = ready(config(10));
    harness.send();
    let id = harness.exchange()[0].correlation_id;
    harness.heartbeat(id, 20_000);
    harness.events();
    harness.pass(15 * SECOND);
    assert!(harness.exchange().is_empty());
    assert!(harness.core.next_timeout().unwrap() > harness.now);
    assert_eq!(pass_to_timeout(&mut harness), 5 * SECOND);
    log_in_until(&mut harness, b"good");
    assert!(harness.core.has_room(harness.now));
}

#[test]
fn sessions_of_a_second_are_renewed_with_more_than_a_second_in_between() {
    let mut harness = ready(config(1));
    for _ in 0..5 {
        let begun = harness.now;
        while !harness.core.has_output() {
            pass_to_timeout(&mut harness);
        }
        assert_eq!((harness.now - begun).as_millis(), 1100);
        log_in_until(&mut harness, b"good");
        assert!(harness.core.has_room(harness.now));
    }
}

#[test]
fn work_runs_within_the_deadline_of_the_set_up() {
    let mut harness = Harness::connecting(config(0));
    harness.exchange();
    harness.answer_versions(0, newest(), &versions());
    let id = step(&mut harness);
    harness.receive(&raw(id, b"salt"));
    let events = harness.events();
    let [Event::Work(_)] = &events[..] else { panic!("{events:?}") };
    let passed = pass_to_timeout(&mut harness);
    assert!((8 * SECOND..=12 * SECOND).contains(&passed), "{passed:?}");
    assert!(matches!(&harness.events()[..], [Event::Unconnected(cause)] if cause.kind() == CauseKind::SetupTimeout));
    // Its result comes too late, also for the next connection.
    let old = harness.core.connection();
    harness.connect();
    harness.core.handle_work(harness.now, old, Some(Zeroizing::new(b"salted".to_vec())));
    assert!(harness.events().is_empty() && harness.core.is_setting_up());
}

#[test]
fn work_that_could_not_be_done_ends_the_attempt() {
    let mut harness = Harness::connecting(config(0));
    harness.exchange();
    harness.answer_versions(0, newest(), &versions());
    let id = step(&mut harness);
    harness.receive(&raw(id, b"salt"));
    harness.events();
    harness.core.handle_work(harness.now, 1, None);
    assert!(matches!(&harness.events()[..], [Event::Unconnected(cause)] if cause.kind() == CauseKind::Setup));
}

#[test]
fn a_broker_that_talks_while_work_is_done_is_out_of_step() {
    let mut harness = Harness::connecting(config(0));
    harness.exchange();
    harness.answer_versions(0, newest(), &versions());
    let id = step(&mut harness);
    harness.receive(&raw(id, b"salt"));
    harness.events();
    harness.receive(&raw(id, b"good"));
    assert!(matches!(&harness.events()[..], [Event::Unconnected(cause)] if cause.kind() == CauseKind::Protocol));
}

#[test]
fn after_a_refusal_the_pause_is_the_longest_at_once() {
    let mut harness = Harness::new(config(0));
    for _ in 0..3 {
        harness.connect();
        let seen = harness.exchange();
        harness.answer_versions(seen[0].correlation_id, newest(), &versions());
        let id = step(&mut harness);
        harness.receive(&raw(id, b"bad"));
        assert!(matches!(&harness.events()[..], [Event::Unconnected(cause)] if cause.is_refusal()));
        let pause = harness.core.retry_at(harness.now).unwrap() - harness.now;
        assert!((800..=1200).contains(&pause.as_millis()), "{pause:?}");
        harness.pass(pause);
    }
}

#[test]
fn steps_that_cannot_be_made_end_the_attempt() {
    let steps = || Err(Cause::new(CauseKind::Setup, "no chance left"));
    let mut harness = Harness::connecting(ConnectionConfig { setup: Some(std::sync::Arc::new(steps)), ..Default::default() });
    harness.exchange();
    harness.answer_versions(0, newest(), &versions());
    assert!(matches!(&harness.events()[..], [Event::Unconnected(cause)] if cause.to_string().contains("no chance left")));
}

/// As the one without sessions: every ticket is answered once, no timer lies in the past, and only steps are sent between a request's
/// last answer and the end of a renewal.
#[test]
fn every_ticket_is_answered_exactly_once_whatever_happens_while_sessions_end() {
    static RENEWED: AtomicUsize = AtomicUsize::new(0);
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut harness = Harness::new(ConnectionConfig { seed, ..config(1 + seed % 4) });
        let mut answered = std::collections::BTreeSet::new();
        let mut due: VecDeque<Seen> = VecDeque::new();
        let mut work = None;
        for _ in 0..300 {
            if !harness.core.has_transport() {
                due.clear();
                harness.peer.clear();
                harness.now += harness.core.retry_at(harness.now).map_or(Duration::ZERO, |at| at - harness.now);
                harness.connect();
            }
            match random.u8(..32) {
                0..8 if harness.core.has_room(harness.now) => drop(harness.send_for(random.u32(1..20) * SECOND, random.bool())),
                8..12 => drop(harness.take(random.usize(..40))),
                12..26 => {
                    let seen = harness.exchange();
                    due.extend(seen);
                    if let Some(seen) = due.pop_front() {
                        match seen.api {
                            ApiKey::API_VERSIONS => harness.answer_versions(seen.correlation_id, seen.version, &versions()),
                            API => {
                                assert!(due.is_empty(), "seed {seed}: a step beside {due:?}");
                                let answer: &[u8] = [&b"salt"[..], b"good", b"good", b"good", b"bad", b"odd"][random.usize(..6)];
                                harness.receive(&raw(seen.correlation_id, answer));
                            }
                            _ => harness.heartbeat(seen.correlation_id, random.i32(-1..3)),
                        }
                    }
                }
                26..29 => harness.pass(random.u32(..1500) * SECOND / 1000),
                29 => {
                    let result = random.u8(..8).gt(&0).then(|| Zeroizing::new(b"salted".to_vec()));
                    if let Some(connection) = work.take() {
                        harness.core.handle_work(harness.now, connection, result);
                    }
                }
                30 => harness.core.handle_closed(harness.now, random.bool().then_some("reset")),
                _ => {}
            }
            harness.core.handle_timeout(harness.now);
            assert!(harness.core.next_timeout().is_none_or(|at| at > harness.now), "seed {seed}: a timer in the past");
            for event in harness.events() {
                match event {
                    Event::Answered(ticket, _) => assert!(answered.insert(ticket), "seed {seed}: {ticket} answered twice"),
                    Event::Work(_) => work = Some(harness.core.connection()),
                    Event::Renewed => drop(RENEWED.fetch_add(1, Ordering::Relaxed)),
                    _ => {}
                }
            }
        }
        harness.core.close(&Cause::new(CauseKind::Closed, "end"));
        answered.extend(harness.answers().into_iter().map(|(ticket, _)| ticket));
        assert_eq!(answered.len() as u64, harness.next_ticket, "seed {seed}: every ticket has its answer");
    }
    assert!(RENEWED.load(Ordering::Relaxed) > 100, "{RENEWED:?} renewals");
}
