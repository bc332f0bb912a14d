mod sessions;

use super::*;
use crate::network::setup::{SetupAction, SetupStep};
use crate::protocol::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::messages::fetch::FetchRequest;
use crate::protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::protocol::{ApiMessage, ErrorCode, header};

const SECOND: Duration = Duration::from_secs(1);

/// A core with a clock and the other side in the hands of the test.
struct Harness {
    core: Core,
    now: Instant,
    /// Bytes the peer has and did not look at yet.
    peer: BytesMut,
    next_ticket: u64,
}

/// What the peer sees of a request.
#[derive(Debug, PartialEq)]
struct Seen {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
}

impl Harness {
    fn new(config: ConnectionConfig) -> Self {
        let core = Core::new(config, &Target::new("b1", 9092));
        Self { core, now: Instant::now(), peer: BytesMut::new(), next_ticket: 0 }
    }

    fn connecting(config: ConnectionConfig) -> Self {
        let mut this = Self::new(config);
        this.connect();
        this
    }

    /// Set up by an obliging broker.
    fn ready() -> Self {
        Self::ready_with(ConnectionConfig::default())
    }

    fn ready_with(config: ConnectionConfig) -> Self {
        let mut this = Self::connecting(config);
        this.oblige();
        this
    }

    fn connect(&mut self) {
        self.core.handle_connecting(self.now);
        self.core.handle_connected(self.now);
    }

    /// Answers ApiVersions.
    fn oblige(&mut self) {
        let seen = self.exchange();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].api, ApiKey::API_VERSIONS);
        self.answer_versions(seen[0].correlation_id, seen[0].version, &versions());
        assert!(matches!(self.core.poll(), Some(Event::Ready)));
    }

    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.core.handle_timeout(self.now);
    }

    /// Sends a heartbeat; gives its ticket.
    fn send(&mut self) -> u64 {
        self.send_for(30 * SECOND, true)
    }

    fn send_for(&mut self, timeout: Duration, expects_response: bool) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let request = Outgoing::new(ticket, 4, &HeartbeatRequest::default(), timeout).unwrap();
        self.core.send(self.now, Outgoing { expects_response, ..request });
        ticket
    }

    /// Takes `count` bytes of the output.
    fn take(&mut self, count: usize) -> usize {
        let mut slices = [IoSlice::new(&[]); 8];
        let mut taken = BytesMut::new();
        let used = self.core.slices(&mut slices);
        for slice in &slices[..used] {
            taken.extend_from_slice(&slice[..slice.len().min(count - taken.len())]);
        }
        self.peer.extend_from_slice(&taken);
        if !taken.is_empty() {
            self.core.handle_written(self.now, taken.len());
        }
        taken.len()
    }

    /// Takes all output, and gives the requests that arrived whole.
    fn exchange(&mut self) -> Vec<Seen> {
        while self.take(usize::MAX) > 0 {}
        let mut seen = Vec::new();
        while let Some(len) = self.peer.first_chunk::<4>().map(|len| i32::from_be_bytes(*len) as usize) {
            if self.peer.len() < 4 + len {
                break;
            }
            let frame = self.peer.split_to(4 + len).freeze().slice(4..);
            let (header, _) = header::RequestHeader::decode(&frame).unwrap();
            seen.push(Seen { api: header.api_key, version: header.api_version, correlation_id: header.correlation_id });
        }
        seen
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.core.read_buffer().extend_from_slice(bytes);
        self.core.handle_read(self.now);
    }

    fn answer<M: ApiMessage>(&mut self, correlation_id: i32, version: i16, response: &M) {
        self.receive(&header::encode_response(correlation_id, version, response).unwrap().concat());
    }

    fn answer_versions(&mut self, correlation_id: i32, version: i16, response: &ApiVersionsResponse) {
        self.answer(correlation_id, version, response);
    }

    fn heartbeat(&mut self, correlation_id: i32, throttle_time_ms: i32) {
        self.answer(correlation_id, 4, &HeartbeatResponse { throttle_time_ms, ..Default::default() });
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.core.poll()).collect()
    }

    /// Tickets answered, with how each failed.
    fn answers(&mut self) -> Vec<(u64, Option<(Written, CauseKind)>)> {
        self.events()
            .into_iter()
            .filter_map(|event| match event {
                Event::Answered(ticket, result) => Some((ticket, result.err().map(|it| (it.written, it.cause.kind())))),
                _ => None,
            })
            .collect()
    }
}

fn versions() -> ApiVersionsResponse {
    let api = |api_key, min_version, max_version| ApiVersion { api_key, min_version, max_version };
    ApiVersionsResponse { api_keys: vec![api(12, 0, 4), api(18, 0, 5)], ..Default::default() }
}

fn refusal(listed: Option<i16>) -> ApiVersionsResponse {
    let api_keys = listed.map(|max| ApiVersion { api_key: 18, min_version: 0, max_version: max });
    ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: api_keys.into_iter().collect(),
        ..Default::default()
    }
}

fn newest() -> i16 {
    *ApiVersionsRequest::VERSIONS.end()
}

// ---- set-up ----

#[test]
fn api_versions_comes_first_in_our_highest_version() {
    let mut harness = Harness::connecting(ConnectionConfig::default());
    assert!(!harness.core.has_room(harness.now), "nothing else before the set-up is through");
    let seen = harness.exchange();
    assert_eq!(seen, [Seen { api: ApiKey::API_VERSIONS, version: newest(), correlation_id: 0 }]);
    harness.answer_versions(0, newest(), &versions());
    assert!(matches!(harness.events()[..], [Event::Ready]));
    assert!(harness.core.has_room(harness.now));
    assert_eq!(harness.core.versions().unwrap().range(ApiKey::HEARTBEAT), Some(0..=4));
}

#[test]
fn an_unknown_version_is_asked_again_in_the_greatest_that_the_broker_lists() {
    for (listed, second) in [(Some(3), 3), (Some(0), 0), (None, 0), (Some(99), newest() - 1), (Some(-7), 0)] {
        let mut harness = Harness::connecting(ConnectionConfig::default());
        harness.exchange();
        harness.answer_versions(0, 0, &refusal(listed));
        let seen = harness.exchange();
        assert_eq!(seen, [Seen { api: ApiKey::API_VERSIONS, version: second, correlation_id: 1 }], "listed {listed:?}");
        harness.answer_versions(1, second, &versions());
        assert!(matches!(harness.events()[..], [Event::Ready]));
    }
}

#[test]
fn a_version_refused_twice_is_a_failure() {
    let mut harness = Harness::connecting(ConnectionConfig::default());
    harness.exchange();
    harness.answer_versions(0, 0, &refusal(Some(3)));
    harness.exchange();
    harness.answer_versions(1, 3, &refusal(Some(3)));
    let events = harness.events();
    assert!(matches!(&events[..], [Event::Unconnected(cause)] if cause.kind() == CauseKind::Setup), "{events:?}");
    assert!(!harness.core.has_transport());
}

#[test]
fn a_refusal_at_api_versions_names_the_code() {
    let mut harness = Harness::connecting(ConnectionConfig::default());
    harness.exchange();
    let response = ApiVersionsResponse { error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED, ..Default::default() };
    harness.answer_versions(0, newest(), &response);
    let events = harness.events();
    let [Event::Unconnected(cause)] = &events[..] else { panic!("{events:?}") };
    assert!(cause.to_string().contains("CLUSTER_AUTHORIZATION_FAILED") && cause.to_string().contains("b1:9092"), "{cause}");
}

#[test]
fn after_two_resets_version_0_is_tried_and_the_third_reset_is_told() {
    let mut harness = Harness::new(ConnectionConfig::default());
    for version in [newest(), newest(), 0] {
        assert!(harness.events().is_empty(), "the owner hears of no failure yet");
        harness.now += harness.core.retry_at(harness.now).map_or(Duration::ZERO, |at| at - harness.now);
        harness.connect();
        assert_eq!(harness.exchange()[0].version, version);
        harness.core.handle_closed(harness.now, None);
    }
    let events = harness.events();
    assert!(matches!(&events[..], [Event::Unconnected(cause)] if cause.to_string().contains("during set-up")), "{events:?}");
    // Not remembered for ever.
    harness.connect();
    assert_eq!(harness.exchange()[0].version, newest());
}

#[test]
fn a_broker_that_only_answers_version_0_is_reached() {
    let mut harness = Harness::new(ConnectionConfig::default());
    for _ in 0..2 {
        harness.connect();
        harness.exchange();
        harness.core.handle_closed(harness.now, Some("connection reset by peer"));
    }
    harness.connect();
    harness.oblige();
    assert!(harness.core.has_room(harness.now));
}

#[derive(Debug)]
struct TwoRounds(u8);

impl SetupStep for TwoRounds {
    fn start(&mut self, _now: Instant, versions: &ApiVersions) -> SetupAction {
        assert!(versions.range(ApiKey::HEARTBEAT).is_some());
        SetupAction::Send { api: ApiKey::HEARTBEAT, version: 0, body: vec![Bytes::from_static(b"one")] }
    }

    fn handle_response(&mut self, _now: Instant, body: Bytes) -> SetupAction {
        self.0 += 1;
        match (self.0, &body[..]) {
            (1, b"good") => SetupAction::Send { api: ApiKey::HEARTBEAT, version: 0, body: vec![Bytes::from_static(b"two")] },
            (2, b"good") => SetupAction::Done { session: None },
            _ => SetupAction::Fail(Cause::new(CauseKind::Setup, "refused")),
        }
    }

    fn handle_work(&mut self, _now: Instant, _result: WorkResult) -> SetupAction {
        unreachable!("no work was asked for")
    }

    fn advice_if_closed(&self) -> &'static str {
        "look after the rounds"
    }
}

fn with_steps() -> ConnectionConfig {
    let steps = || Ok(vec![Box::new(TwoRounds(0)) as Box<dyn SetupStep>]);
    ConnectionConfig { setup: Some(std::sync::Arc::new(steps)), ..Default::default() }
}

/// A frame with this correlation id and body, in a version without tags.
fn raw(correlation_id: i32, body: &[u8]) -> Vec<u8> {
    [&(4 + body.len() as i32).to_be_bytes()[..], &correlation_id.to_be_bytes(), body].concat()
}

#[test]
fn a_connection_is_ready_only_after_all_steps() {
    let mut harness = Harness::connecting(with_steps());
    harness.exchange();
    harness.answer_versions(0, newest(), &versions());
    assert_eq!(harness.exchange().len(), 1);
    harness.receive(&raw(1, b"good"));
    assert_eq!(harness.exchange().len(), 1);
    assert!(harness.events().is_empty() && !harness.core.has_room(harness.now));
    harness.receive(&raw(2, b"good"));
    assert!(matches!(harness.events()[..], [Event::Ready]));
    assert_eq!(harness.send(), 0);
    assert_eq!(harness.exchange()[0].correlation_id, 3);
}

#[test]
fn a_step_that_is_refused_ends_the_attempt() {
    let mut harness = Harness::connecting(with_steps());
    harness.exchange();
    harness.answer_versions(0, newest(), &versions());
    harness.exchange();
    harness.receive(&raw(1, b"bad"));
    assert!(matches!(&harness.events()[..], [Event::Unconnected(cause)] if cause.kind() == CauseKind::Setup));
}

#[test]
fn a_close_in_a_step_says_which_and_what_to_look_after() {
    let mut harness = Harness::connecting(with_steps());
    harness.exchange();
    harness.answer_versions(0, newest(), &versions());
    harness.exchange();
    harness.core.handle_closed(harness.now, None);
    let events = harness.events();
    let [Event::Unconnected(cause)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(cause.kind(), CauseKind::Disconnected);
    assert!(cause.to_string().contains("during set-up (TwoRounds(0)): look after the rounds"), "{cause}");
}

#[test]
fn a_listener_that_closes_at_the_first_request_may_want_sasl() {
    let said = |harness: &mut Harness| {
        harness.send();
        harness.exchange();
        harness.core.handle_closed(harness.now, None);
        format!("{:?}", harness.core.last_cause().unwrap())
    };
    assert!(said(&mut Harness::ready()).contains("if the listener wants SASL, set security.protocol"));
    let mut harness = Harness::ready();
    harness.send();
    harness.exchange();
    harness.heartbeat(1, 0);
    assert!(!said(&mut harness).contains("SASL"), "it has answered before");
}

#[test]
fn frames_are_small_until_the_set_up_is_through() {
    let mut harness = Harness::connecting(ConnectionConfig::default());
    harness.exchange();
    harness.receive(&600_000i32.to_be_bytes());
    let events = harness.events();
    assert!(matches!(&events[..], [Event::Unconnected(cause)] if cause.kind() == CauseKind::Protocol), "{events:?}");
    let mut harness = Harness::ready();
    let ticket = harness.send();
    harness.exchange();
    harness.receive(&600_000i32.to_be_bytes());
    assert!(harness.answers().is_empty() && harness.core.has_in_flight());
    harness.receive(&[0; 600_000][..4]);
    assert!(harness.answers().is_empty(), "{ticket} is still due");
}

// ---- time and pace ----

#[test]
fn connecting_and_set_up_share_one_time_and_are_told_apart() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.core.handle_connecting(harness.now);
    harness.pass(13 * SECOND);
    assert!(matches!(&harness.events()[..], [Event::Unconnected(cause)] if cause.kind() == CauseKind::ConnectTimeout));
    harness.pass(SECOND);
    harness.core.handle_connecting(harness.now);
    harness.pass(5 * SECOND);
    harness.core.handle_connected(harness.now);
    // The second attempt may take twice as long.
    harness.pass(10 * SECOND);
    assert!(harness.events().is_empty());
    harness.pass(10 * SECOND);
    let events = harness.events();
    let [Event::Unconnected(cause)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(cause.kind(), CauseKind::SetupTimeout);
    assert!(["did not answer ApiVersions", "expects TLS"].iter().all(|part| cause.to_string().contains(part)), "{cause}");
}

#[test]
fn pauses_between_attempts_double_from_50_ms_to_1_s_within_a_fifth() {
    let mut harness = Harness::new(ConnectionConfig { seed: 7, ..Default::default() });
    for expected in [50, 100, 200, 400, 800, 1000, 1000] {
        assert_eq!(harness.core.retry_at(harness.now), None);
        harness.core.handle_connecting(harness.now);
        harness.core.handle_connect_failed(harness.now, "connection refused");
        let pause = harness.core.retry_at(harness.now).unwrap() - harness.now;
        assert!((expected * 8 / 10..=expected * 12 / 10).contains(&pause.as_millis()), "{pause:?} for {expected}");
        harness.pass(pause);
    }
    harness.connect();
    harness.events();
    harness.oblige();
    harness.send();
    harness.exchange();
    harness.heartbeat(1, 0);
    harness.core.handle_closed(harness.now, None);
    assert_eq!(harness.core.retry_at(harness.now), None, "after a connection that worked the next comes at once");
}

#[test]
fn a_connection_that_answers_nothing_counts_as_a_failure() {
    let mut harness = Harness::ready();
    harness.core.handle_closed(harness.now, None);
    assert!(harness.core.retry_at(harness.now).is_some());
}

#[test]
fn a_refused_connection_names_host_and_port() {
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.core.handle_connecting(harness.now);
    harness.core.handle_connect_failed(harness.now, "connection refused");
    let events = harness.events();
    let [Event::Unconnected(cause)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((cause.kind(), cause.broker()), (CauseKind::Connect, Some("b1:9092")));
    assert!(cause.to_string().contains("cannot connect to b1:9092: connection refused"), "{cause}");
}

#[test]
fn rk_181_a_connection_is_closed_when_it_was_not_used_for_so_long() {
    let mut harness = Harness::ready_with(ConnectionConfig { idle_timeout: 300 * SECOND, ..Default::default() });
    harness.pass(200 * SECOND);
    harness.send();
    harness.exchange();
    harness.pass(SECOND);
    harness.heartbeat(1, 0);
    harness.pass(299 * SECOND);
    assert!(harness.core.has_transport());
    assert_eq!(harness.core.next_timeout(), Some(harness.now + SECOND));
    harness.pass(SECOND);
    assert!(!harness.core.has_transport());
    assert_eq!(harness.core.retry_at(harness.now), None, "that was no failure");
    assert_eq!(harness.answers().len(), 1);
    harness.connect();
    harness.oblige();
}

#[test]
fn a_request_in_flight_keeps_a_connection_from_being_idle() {
    let mut harness = Harness::ready_with(ConnectionConfig { idle_timeout: 10 * SECOND, ..Default::default() });
    harness.send_for(60 * SECOND, true);
    harness.exchange();
    harness.pass(59 * SECOND);
    assert!(harness.core.has_transport());
}

#[test]
fn a_request_without_an_answer_ends_the_connection_at_its_deadline() {
    let mut harness = Harness::ready();
    let (answered, long, late) = (harness.send(), harness.send_for(60 * SECOND, true), harness.send_for(2 * SECOND, true));
    harness.exchange();
    // Written in part, and not at all.
    let (partly, not) = (harness.send(), harness.send());
    harness.take(5);
    harness.heartbeat(1, 0);
    assert_eq!(harness.core.next_timeout(), Some(harness.now + 2 * SECOND));
    harness.pass(2 * SECOND);
    let closed = |written| Some((written, CauseKind::Disconnected));
    assert_eq!(
        harness.answers(),
        [
            (answered, None),
            (long, closed(Written::Maybe)),
            (late, Some((Written::Maybe, CauseKind::Timeout))),
            (partly, closed(Written::Maybe)),
            (not, closed(Written::No)),
        ]
    );
    assert!(!harness.core.has_transport() && !harness.core.has_output());
}

#[test]
fn the_time_of_a_request_covers_its_writing() {
    let mut harness = Harness::ready();
    let ticket = harness.send_for(2 * SECOND, true);
    harness.take(3);
    harness.pass(2 * SECOND);
    let events = harness.events();
    let [Event::Written(0), Event::Answered(found, Err(failure))] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*found, failure.written, failure.cause.kind()), (ticket, Written::Maybe, CauseKind::Timeout));
    assert!(failure.cause.to_string().contains("could not be written"), "{failure}");
}

#[test]
fn a_time_out_that_cannot_be_reckoned_is_a_year() {
    let mut harness = Harness::ready();
    harness.send_for(Duration::MAX, true);
    assert!(harness.core.next_timeout().is_some());
}

// ---- requests and answers ----

#[test]
fn no_more_requests_than_allowed_are_in_flight() {
    let mut harness = Harness::ready();
    for _ in 0..5 {
        assert!(harness.core.has_room(harness.now));
        harness.send();
    }
    assert!(!harness.core.has_room(harness.now));
    harness.exchange();
    harness.heartbeat(1, 0);
    assert!(harness.core.has_room(harness.now));
}

#[test]
fn answers_go_to_the_requests_in_order() {
    let mut harness = Harness::ready();
    let tickets: Vec<_> = (0..3).map(|_| harness.send()).collect();
    let ids: Vec<_> = harness.exchange().iter().map(|seen| seen.correlation_id).collect();
    assert_eq!(ids, [1, 2, 3]);
    for id in ids {
        harness.heartbeat(id, 0);
    }
    assert_eq!(harness.answers(), tickets.into_iter().map(|ticket| (ticket, None)).collect::<Vec<_>>());
}

#[test]
fn an_answer_out_of_step_ends_the_connection() {
    for wrong in [0, 2, 7, -1] {
        let mut harness = Harness::ready();
        let (first, second) = (harness.send(), harness.send());
        harness.exchange();
        harness.heartbeat(wrong, 0);
        let protocol = Some((Written::Maybe, CauseKind::Protocol));
        assert_eq!(harness.answers(), [(first, protocol), (second, protocol)]);
        assert!(!harness.core.has_transport());
    }
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let mut harness = Harness::ready();
    harness.heartbeat(1, 0);
    assert!(!harness.core.has_transport());
    // Nor can a request be answered that is not all written.
    let mut harness = Harness::ready();
    harness.send();
    harness.take(7);
    harness.heartbeat(1, 0);
    assert_eq!(harness.answers(), [(0, Some((Written::Maybe, CauseKind::Protocol)))]);
}

#[test]
fn rk_180_a_late_answer_has_no_connection_to_arrive_on() {
    let mut harness = Harness::ready();
    harness.send_for(SECOND, true);
    harness.exchange();
    harness.pass(SECOND);
    assert_eq!(harness.answers(), [(0, Some((Written::Maybe, CauseKind::Timeout)))]);
    harness.now += harness.core.retry_at(harness.now).map_or(Duration::ZERO, |at| at - harness.now);
    harness.connect();
    // Correlation ids go on, so that even bytes of the old stream could not be taken for an answer.
    assert_eq!(harness.exchange()[0].correlation_id, 2);
}

#[test]
fn a_request_without_response_is_answered_when_all_of_it_is_written() {
    let mut harness = Harness::ready();
    let (asked, silent, last) = (harness.send(), harness.send_for(SECOND, false), harness.send());
    harness.take(6);
    assert!(matches!(harness.events()[..], [Event::Written(0)]));
    harness.exchange();
    let events = harness.events();
    let [Event::Written(1), Event::Answered(answered, Ok(body)), Event::Written(2)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*answered, body.body.len()), (silent, 0));
    harness.heartbeat(1, 0);
    harness.heartbeat(3, 0);
    assert_eq!(harness.answers(), [(asked, None), (last, None)]);
    harness.pass(2 * SECOND);
    assert!(harness.core.has_transport(), "it no longer has a deadline");
}

#[test]
fn a_request_is_told_written_once_at_its_first_byte() {
    let mut harness = Harness::ready();
    harness.send();
    while harness.take(1) > 0 {}
    assert!(matches!(harness.events()[..], [Event::Written(0)]));
}

#[test]
fn a_request_too_large_for_a_frame_fails_alone() {
    let mut harness = Harness::ready();
    let half = Bytes::from(vec![0; 1 << 20]);
    let body = vec![half; 2048];
    let request =
        Outgoing { ticket: 9, api: ApiKey::PRODUCE, version: 3, body, timeout: SECOND, expects_response: true, expected_len: 0 };
    harness.core.send(harness.now, request);
    assert_eq!(harness.answers(), [(9, Some((Written::No, CauseKind::Encode)))]);
    assert!(harness.core.has_transport() && !harness.core.has_output());
}

#[test]
fn what_the_other_side_speaks_instead_is_said() {
    for (bytes, said, kind) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP", CauseKind::Protocol),
        (&[0x15, 3, 3, 0, 2, 2, 70], "security.protocol=SSL", CauseKind::Tls),
        (&[0x7f, 0xff, 0xff, 0xff], "2147483647 bytes", CauseKind::Protocol),
        (&[0xff, 0xff, 0xff, 0xff], "length -1", CauseKind::Protocol),
        (&[0, 0, 0, 3], "length 3", CauseKind::Protocol),
    ] {
        let mut harness = Harness::connecting(ConnectionConfig::default());
        harness.exchange();
        harness.receive(bytes);
        let events = harness.events();
        let [Event::Unconnected(cause)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(cause.kind(), kind);
        assert!(cause.to_string().contains(said) && cause.to_string().contains("b1:9092"), "{cause}");
    }
}

#[test]
fn tls_that_fails_before_the_first_answer_is_told_from_a_connection_that_breaks() {
    let error = TlsFailure::error("not trusted");
    let failure = TlsFailure::of(&error).unwrap();
    let mut harness = Harness::new(ConnectionConfig::default());
    harness.core.handle_connecting(harness.now);
    harness.core.handle_tls_failed(harness.now, failure);
    let mut later = Harness::connecting(ConnectionConfig::default());
    later.exchange();
    later.core.handle_tls_failed(later.now, failure);
    for mut harness in [harness, later] {
        let events = harness.events();
        let [Event::Unconnected(cause)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((cause.kind(), cause.is_retriable()), (CauseKind::Tls, false));
        assert_eq!(cause.to_string(), "TLS with b1:9092 failed: not trusted (broker b1:9092)");
        assert!(harness.core.retry_at(harness.now).is_some(), "there is a pause before the next attempt");
    }

    let mut harness = Harness::ready();
    harness.send();
    harness.exchange();
    harness.core.handle_tls_failed(harness.now, failure);
    assert_eq!(harness.answers(), [(0, Some((Written::Maybe, CauseKind::Disconnected)))]);
    // In the middle of a connection what looks like a record of TLS is nonsense like any other.
    let mut harness = Harness::ready();
    harness.send();
    harness.exchange();
    harness.receive(&[0x15, 3, 3, 0, 2, 2, 70]);
    assert_eq!(harness.answers(), [(0, Some((Written::Maybe, CauseKind::Protocol)))]);
}

#[test]
fn a_time_out_of_connecting_speaks_of_tls_where_there_is_tls() {
    for (is_tls, said) in [(true, "none to the TLS handshake"), (false, "no answer at all; check")] {
        let mut harness = Harness::new(ConnectionConfig { is_tls, ..ConnectionConfig::default() });
        harness.core.handle_connecting(harness.now);
        harness.pass(15 * SECOND);
        let events = harness.events();
        let [Event::Unconnected(cause)] = &events[..] else { panic!("{events:?}") };
        assert!(cause.kind() == CauseKind::ConnectTimeout && cause.to_string().contains(said), "{cause}");
    }
}

#[test]
fn rk_184_a_length_of_2_gb_takes_no_memory() {
    let mut harness = Harness::ready();
    harness.send();
    harness.exchange();
    harness.receive(&[0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(harness.answers(), [(0, Some((Written::Maybe, CauseKind::Protocol)))]);
    assert!(harness.core.read_buffer().capacity() < 1 << 20);
}

#[test]
fn what_a_fetch_allows_is_set_aside_at_once_and_nothing_else() {
    for (request, at_least, at_most) in [(40 << 20, 30 << 20, 50 << 20), (1 << 20, 0, 4 << 20)] {
        let mut harness = Harness::ready();
        let fetch = FetchRequest { max_bytes: request, ..Default::default() };
        harness.core.send(harness.now, Outgoing::new(0, 4, &fetch, SECOND).unwrap());
        harness.exchange();
        harness.receive(&(30i32 << 20).to_be_bytes());
        let capacity = harness.core.read_buffer().capacity();
        assert!((at_least..at_most).contains(&capacity), "{capacity} for {request}");
    }
}

#[test]
fn an_answer_is_the_same_however_its_bytes_arrive() {
    let stream: Vec<u8> =
        (1..4).flat_map(|id| header::encode_response(id, 4, &HeartbeatResponse::default()).unwrap().concat()).collect();
    for step in 1..=stream.len() {
        let mut harness = Harness::ready();
        for _ in 0..3 {
            harness.send();
        }
        harness.exchange();
        for bytes in stream.chunks(step) {
            harness.receive(bytes);
        }
        assert_eq!(harness.answers(), [(0, None), (1, None), (2, None)], "in steps of {step}");
    }
}

#[test]
fn a_close_in_the_middle_of_an_answer_is_told_from_one_between() {
    for (bytes, said) in [(&[0, 0, 0, 9, 0][..], "in the middle of an answer"), (&[], "closed the connection")] {
        let mut harness = Harness::ready();
        harness.send();
        harness.exchange();
        harness.receive(bytes);
        harness.core.handle_closed(harness.now, None);
        let failure = harness.events().into_iter().find_map(|event| match event {
            Event::Answered(_, Err(failure)) => Some(failure),
            _ => None,
        });
        let text = failure.unwrap().to_string();
        assert!(text.contains(said), "{text}");
    }
}

// ---- throttling (KIP-219) ----

#[test]
fn a_throttle_stops_sending_and_gives_what_is_in_flight_more_time() {
    let mut harness = Harness::ready();
    harness.send();
    let slow = harness.send_for(2 * SECOND, true);
    harness.exchange();
    harness.heartbeat(1, 3000);
    assert!(!harness.core.has_room(harness.now));
    assert!(matches!(harness.events()[1..], [.., Event::Throttled(longer)] if longer == 3 * SECOND));
    harness.pass(2 * SECOND);
    assert!(harness.core.has_transport(), "no time-out from a throttle");
    assert!(!harness.core.has_room(harness.now));
    assert_eq!(harness.core.next_timeout(), Some(harness.now + SECOND));
    harness.pass(SECOND);
    assert!(harness.core.has_room(harness.now));
    harness.pass(2 * SECOND);
    assert_eq!(harness.answers(), [(slow, Some((Written::Maybe, CauseKind::Timeout)))]);
}

#[test]
fn a_throttle_is_never_made_shorter_and_never_longer_than_five_minutes() {
    let mut harness = Harness::ready();
    harness.core.handle_throttle(harness.now, 10 * SECOND);
    harness.core.handle_throttle(harness.now, SECOND);
    harness.pass(9 * SECOND);
    assert!(!harness.core.has_room(harness.now));
    harness.pass(SECOND);
    assert!(harness.core.has_room(harness.now));
    harness.core.handle_throttle(harness.now, Duration::from_secs(86_400));
    harness.pass(299 * SECOND);
    assert!(!harness.core.has_room(harness.now));
    harness.pass(SECOND);
    assert!(harness.core.has_room(harness.now));
}

// ---- any order of faults ----

/// Every ticket is answered exactly once, `Written::No` only if the peer got nothing of it, and no timer lies in the past.
#[test]
fn every_ticket_is_answered_exactly_once_whatever_happens() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut harness = Harness::new(ConnectionConfig { seed, ..Default::default() });
        let mut answered = std::collections::BTreeMap::new();
        let mut written = std::collections::BTreeSet::new();
        let mut due: VecDeque<Seen> = VecDeque::new();
        for _ in 0..300 {
            if !harness.core.has_transport() {
                due.clear();
                harness.peer.clear();
                harness.now += harness.core.retry_at(harness.now).map_or(Duration::ZERO, |at| at - harness.now);
                harness.connect();
            }
            match random.u8(..32) {
                0..8 if harness.core.has_room(harness.now) => drop(harness.send_for(random.u32(1..20) * SECOND, random.bool())),
                8..14 => drop(harness.take(random.usize(..40))),
                14..28 => {
                    let seen = if random.bool() { harness.exchange() } else { Vec::new() };
                    due.extend(seen);
                    if let Some(seen) = due.pop_front() {
                        match seen.api {
                            ApiKey::API_VERSIONS => harness.answer_versions(seen.correlation_id, seen.version, &versions()),
                            _ => harness.heartbeat(seen.correlation_id, random.i32(-1..3)),
                        }
                    }
                }
                28 => harness.pass(random.u32(..3) * SECOND),
                29 => harness.heartbeat(random.i32(..8), 0),
                30 => harness.core.handle_closed(harness.now, random.bool().then_some("reset")),
                31 => harness.receive(&random.i32(..).to_be_bytes()),
                _ => {}
            }
            for event in harness.events() {
                match event {
                    Event::Written(ticket) => assert!(written.insert(ticket), "seed {seed}: {ticket} written twice"),
                    Event::Answered(ticket, result) => {
                        if let Err(failure) = &result {
                            assert_eq!(failure.written == Written::Maybe, written.contains(&ticket), "seed {seed}: {ticket}");
                        }
                        assert!(answered.insert(ticket, result.is_ok()).is_none(), "seed {seed}: {ticket} answered twice");
                    }
                    _ => {}
                }
            }
            harness.core.handle_timeout(harness.now);
            assert!(harness.core.next_timeout().is_none_or(|at| at > harness.now), "seed {seed}: a timer in the past");
        }
        harness.core.close(&Cause::new(CauseKind::Closed, "end"));
        answered.extend(harness.answers().into_iter().map(|(ticket, _)| (ticket, false)));
        assert_eq!(answered.len() as u64, harness.next_ticket, "seed {seed}: every ticket has its answer");
    }
}
