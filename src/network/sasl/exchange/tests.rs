use super::*;
use crate::network::sasl::plain::Plain;
use crate::protocol::Writer;
use crate::protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse};

const USER: &str = "alice";
const PASSWORD: &str = "canary-password";

fn exchange() -> Exchange {
    let sasl = Sasl::plain(USER, PASSWORD);
    Exchange::new(&sasl, Box::new(Plain::new(&sasl)))
}

/// A broker's versions of SaslHandshake and SaslAuthenticate.
fn versions(handshake: (i16, i16), authenticate: Option<(i16, i16)>) -> ApiVersions {
    let api = |api_key, (min_version, max_version)| ApiVersion { api_key, min_version, max_version };
    let api_keys = [Some(api(17, handshake)), authenticate.map(|range| api(36, range))].into_iter().flatten().collect();
    ApiVersions::new(&ApiVersionsResponse { api_keys, ..Default::default() })
}

fn body<M: ApiMessage>(version: i16, message: &M) -> Bytes {
    let mut writer = Writer::default();
    message.encode(version, &mut writer);
    writer.finish().concat().into()
}

fn handshake(code: ErrorCode, mechanisms: &[&str]) -> Bytes {
    let mechanisms = mechanisms.iter().map(|name| Str::truncated(name)).collect();
    body(1, &SaslHandshakeResponse { error_code: code, mechanisms })
}

/// Past SaslHandshake, with SaslAuthenticate version 2.
fn authenticating() -> Exchange {
    let mut exchange = exchange();
    let now = Instant::now();
    exchange.start(now, &versions((0, 1), Some((0, 2))));
    let action = exchange.handle_response(now, handshake(ErrorCode::NONE, &["PLAIN"]));
    assert!(matches!(action, SetupAction::Send { api: ApiKey::SASL_AUTHENTICATE, version: 2, .. }), "{action:?}");
    exchange
}

fn authenticated(response: SaslAuthenticateResponse) -> SetupAction {
    authenticating().handle_response(Instant::now(), body(2, &response))
}

/// Why it failed, and never with the password in it.
fn cause(action: SetupAction) -> Cause {
    let SetupAction::Fail(cause) = action else { panic!("{action:?}") };
    assert!(!format!("{cause} {cause:?}").contains("canary"), "{cause}");
    cause
}

#[test]
fn the_configured_mechanism_is_named_in_version_1_and_followed_in_the_newest_common_version() {
    for (theirs, ours) in [((0, 2), 2), ((0, 1), 1), ((0, 0), 0), ((1, 9), 2)] {
        let (mut exchange, now) = (exchange(), Instant::now());
        let SetupAction::Send { api, version, body } = exchange.start(now, &versions((0, 1), Some(theirs))) else { panic!() };
        assert_eq!((api, version), (ApiKey::SASL_HANDSHAKE, 1));
        let asked = SaslHandshakeRequest::decode(&body.concat().into(), 1).unwrap();
        assert_eq!(asked.mechanism, "PLAIN");
        // Whatever else the broker offers.
        let answer = handshake(ErrorCode::NONE, &["SCRAM-SHA-512", "PLAIN"]);
        let SetupAction::Send { api, version, body } = exchange.handle_response(now, answer) else { panic!() };
        assert_eq!((api, version), (ApiKey::SASL_AUTHENTICATE, ours));
        let said = SaslAuthenticateRequest::decode(&body.concat().into(), version).unwrap();
        assert_eq!(&*said.auth_bytes.0, b"\0alice\0canary-password");
    }
}

#[test]
fn requests_do_not_show_what_is_in_them() {
    let mut exchange = exchange();
    exchange.start(Instant::now(), &versions((0, 1), Some((0, 2))));
    let action = exchange.handle_response(Instant::now(), handshake(ErrorCode::NONE, &[]));
    let shown = format!("{action:?} {exchange:?} {:?}", SecretBytes(Bytes::from_static(b"canary")));
    assert_eq!(shown, "Send(SaslAuthenticate version 2, 24 bytes) SASL PLAIN ***");
}

#[test]
fn a_broker_without_sasl_authenticate_is_too_old() {
    for (handshake, authenticate) in [((0, 0), None), ((0, 1), None), ((0, 0), Some((0, 2)))] {
        let cause = cause(exchange().start(Instant::now(), &versions(handshake, authenticate)));
        assert_eq!(cause.kind(), CauseKind::Authentication);
        assert!(cause.to_string().contains("needs Kafka 1.0 or later"), "{cause}");
    }
}

#[test]
fn rk_220_a_mechanism_that_is_not_offered_is_named_with_what_is() {
    let refuse = |mechanisms: &[&str]| {
        let (mut exchange, now) = (exchange(), Instant::now());
        exchange.start(now, &versions((0, 1), Some((0, 2))));
        cause(exchange.handle_response(now, handshake(ErrorCode::UNSUPPORTED_SASL_MECHANISM, mechanisms)))
    };
    let cause = refuse(&["SCRAM-SHA-256", "GSS\u{1b}[31mAPI", PASSWORD]);
    assert_eq!(cause.kind(), CauseKind::Authentication);
    let text = cause.to_string();
    assert!(text.contains("does not offer SASL mechanism PLAIN; it offers: SCRAM-SHA-256, GSS\\u{1b}[31mAPI, ***"), "{text}");
    assert!(text.contains("UNSUPPORTED_SASL_MECHANISM"), "{text}");
    assert!(refuse(&[]).to_string().contains("it offers: none"));
    assert!(refuse(&["x"; 5000]).to_string().len() < 1500, "a long list is cut");
}

#[test]
fn a_listener_that_takes_no_sasl_is_named_for_that() {
    let (mut exchange, now) = (exchange(), Instant::now());
    exchange.start(now, &versions((0, 1), Some((0, 2))));
    let cause = cause(exchange.handle_response(now, handshake(ErrorCode::ILLEGAL_SASL_STATE, &[])));
    assert!(cause.is_refusal() && cause.to_string().contains("takes no SASL") && cause.to_string().contains("security.protocol"));
}

#[test]
fn a_refusal_has_mechanism_user_the_brokers_reason_and_code_but_not_the_password() {
    let refused = |message: Option<&str>| {
        cause(authenticated(SaslAuthenticateResponse {
            error_code: ErrorCode::SASL_AUTHENTICATION_FAILED,
            error_message: message.map(Str::truncated),
            ..Default::default()
        }))
    };
    let text = refused(Some("Authentication failed: Invalid username or password")).to_string();
    assert!(
        text.starts_with("the broker refused SASL PLAIN for user \"alice\": Authentication failed: Invalid username or password")
    );
    assert!(text.contains("SASL_AUTHENTICATION_FAILED (58)"), "{text}");
    assert!(refused(None).to_string().contains("does not say why"));
    let text = refused(Some("no\r\nuser canary-password\u{0}")).to_string();
    assert!(text.contains("no\\r\\nuser ***\\u{0}:"), "{text}");
    assert!(refused(Some(&"x".repeat(30_000))).to_string().len() < 1500, "a long text is cut");
}

#[test]
fn the_session_counts_for_as_long_as_the_broker_says() {
    let answered = |session_lifetime_ms| authenticated(SaslAuthenticateResponse { session_lifetime_ms, ..Default::default() });
    for (millis, expected) in [(0, None), (1000, Some(1)), (3_600_000, Some(3600))] {
        let SetupAction::Done { session } = answered(millis) else { panic!("{millis}") };
        assert_eq!(session, expected.map(Duration::from_secs));
    }
    for millis in [-1, 1, 999, i64::MIN] {
        let cause = cause(answered(millis));
        assert!(cause.is_refusal() && cause.to_string().contains(&format!("{millis} ms, too short")), "{cause}");
    }
    assert!(matches!(answered(i64::MAX), SetupAction::Done { session: Some(_) }));
}

#[test]
fn what_cannot_be_read_is_a_fault_of_the_protocol() {
    let cause = cause(authenticating().handle_response(Instant::now(), Bytes::from_static(&[0])));
    assert_eq!(cause.kind(), CauseKind::Protocol);
}
