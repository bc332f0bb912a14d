//! Logging in, on the level of the protocol: what is taken in which state, and how refusals end.

use std::io;
use std::time::Duration;

use klamm::protocol::messages::api_versions::ApiVersionsRequest;
use klamm::protocol::messages::metadata::MetadataRequest;
use klamm::protocol::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use klamm::protocol::messages::sasl_handshake::SaslHandshakeRequest;
use klamm::protocol::{ErrorCode, SecretBytes, Str};
use klamm_broker::{Broker, Intercept, RawClient, SaslMechanism};

const LIFE: Duration = Duration::from_secs(10);

fn broker() -> Broker {
    let builder = Broker::builder().sasl_user(SaslMechanism::Plain, "alice", "alice-secret");
    builder.sasl_user(SaslMechanism::ScramSha256, "alice", "alice-secret").start_in_memory().expect("a broker")
}

fn software() -> ApiVersionsRequest {
    let text = |text| Str::try_from(text).expect("short");
    ApiVersionsRequest { client_software_name: text("raw"), client_software_version: text("1"), ..Default::default() }
}

async fn handshake(client: &mut RawClient, mechanism: &str) -> io::Result<(ErrorCode, Vec<String>)> {
    let request = SaslHandshakeRequest { mechanism: Str::try_from(mechanism).expect("short") };
    let answer = client.request(1, &request).await?;
    Ok((answer.error_code, answer.mechanisms.iter().map(ToString::to_string).collect()))
}

async fn authenticate(client: &mut RawClient, token: &str) -> io::Result<SaslAuthenticateResponse> {
    let auth_bytes = SecretBytes(token.to_owned().into());
    client.request(2, &SaslAuthenticateRequest { auth_bytes }).await
}

async fn log_in(client: &mut RawClient) {
    assert_eq!(handshake(client, "PLAIN").await.expect("an answer").0, ErrorCode::NONE);
    assert_eq!(authenticate(client, "\0alice\0alice-secret").await.expect("an answer").error_code, ErrorCode::NONE);
}

async fn is_served(client: &mut RawClient) -> bool {
    client.request(12, &MetadataRequest::default()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn only_a_client_that_has_logged_in_is_served() {
    let broker = broker();
    let mut client = broker.raw_client(1);
    assert!(!is_served(&mut client).await, "closed at a request of somebody unknown");
    let mut client = broker.raw_client(1);
    assert!(authenticate(&mut client, "\0alice\0alice-secret").await.is_err(), "no mechanism was named");
    let mut client = broker.raw_client(1);
    assert_eq!(client.request(3, &software()).await.expect("anybody may ask").error_code, ErrorCode::NONE);
    assert_eq!(
        handshake(&mut client, "PLAIN").await.expect("an answer"),
        (ErrorCode::NONE, vec!["PLAIN".into(), "SCRAM-SHA-256".into()])
    );
    assert!(!is_served(&mut client).await, "closed in the middle of it");
    let mut client = broker.raw_client(1);
    log_in(&mut client).await;
    assert!(is_served(&mut client).await);
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_that_is_not_offered_is_refused_with_those_that_are_and_closed() {
    let broker = broker();
    let mut client = broker.raw_client(1);
    let (code, mechanisms) = handshake(&mut client, "SCRAM-SHA-512").await.expect("an answer");
    assert_eq!((code, mechanisms), (ErrorCode::UNSUPPORTED_SASL_MECHANISM, vec!["PLAIN".to_owned(), "SCRAM-SHA-256".to_owned()]));
    assert!(client.read_to_end().await.expect("closed").is_empty());
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_refused_in_kafkas_words_and_closed() {
    let broker = broker();
    for (mechanism, token, words) in [
        ("PLAIN", "\0alice\0wrong", "Authentication failed: Invalid username or password"),
        ("PLAIN", "\0bob\0alice-secret", "Authentication failed: Invalid username or password"),
        (
            "PLAIN",
            "bob\0alice\0alice-secret",
            "Authentication failed: Client requested an authorization id that is different from username",
        ),
        ("PLAIN", "\0\0alice-secret", "Authentication failed: username not specified"),
        ("PLAIN", "alice-secret", "Invalid SASL/PLAIN response: expected 3 tokens, got 1"),
        (
            "SCRAM-SHA-256",
            "n,,n=bob,r=nonce",
            "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256",
        ),
    ] {
        let mut client = broker.raw_client(1);
        handshake(&mut client, mechanism).await.expect("an answer");
        let answer = authenticate(&mut client, token).await.expect("an answer");
        assert_eq!(answer.error_code, ErrorCode::SASL_AUTHENTICATION_FAILED);
        assert_eq!(answer.error_message.expect("a reason").as_str(), words);
        assert!(client.read_to_end().await.expect("closed").is_empty());
    }
    // A refusal that is sent later is still sent, and the last.
    broker.intercept_next(klamm::protocol::ApiKey::SASL_AUTHENTICATE, 1, |_| Intercept::DelayResponse(LIFE));
    let mut client = broker.raw_client(1);
    handshake(&mut client, "PLAIN").await.expect("an answer");
    assert_eq!(authenticate(&mut client, "\0a\0b").await.expect("an answer").error_code, ErrorCode::SASL_AUTHENTICATION_FAILED);
    assert!(client.read_to_end().await.expect("closed").is_empty());
}

#[tokio::test(start_paused = true)]
async fn passwords_can_be_changed_and_users_removed() {
    let broker = broker();
    broker.set_sasl_user(SaslMechanism::Plain, "alice", "other");
    let mut client = broker.raw_client(1);
    handshake(&mut client, "PLAIN").await.expect("an answer");
    assert_eq!(authenticate(&mut client, "\0alice\0other").await.expect("an answer").error_code, ErrorCode::NONE);
    broker.remove_sasl_user(SaslMechanism::Plain, "alice");
    assert!(is_served(&mut client).await, "who is in stays");
    let mut client = broker.raw_client(1);
    handshake(&mut client, "PLAIN").await.expect("the mechanism stays");
    let refused = authenticate(&mut client, "\0alice\0other").await.expect("an answer");
    assert_eq!(refused.error_code, ErrorCode::SASL_AUTHENTICATION_FAILED);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_closes_at_the_next_request_and_can_be_renewed_before_and_after() {
    let broker = broker();
    broker.set_session_lifetime(Some(LIFE));
    let mut client = broker.raw_client(1);
    handshake(&mut client, "PLAIN").await.expect("an answer");
    let answer = authenticate(&mut client, "\0alice\0alice-secret").await.expect("an answer");
    assert_eq!(answer.session_lifetime_ms, 10_000);
    for wait in [LIFE / 2, 2 * LIFE] {
        assert!(is_served(&mut client).await);
        tokio::time::sleep(wait).await;
        log_in(&mut client).await;
    }
    tokio::time::sleep(LIFE).await;
    assert!(!is_served(&mut client).await);
    assert_eq!(broker.connections(1), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_not_renewed_twice_within_a_second_nor_by_another_user_or_mechanism() {
    let broker = broker();
    broker.set_session_lifetime(Some(LIFE));
    broker.set_sasl_user(SaslMechanism::Plain, "bob", "bob-secret");
    let mut client = broker.raw_client(1);
    log_in(&mut client).await;
    log_in(&mut client).await;
    assert_eq!(handshake(&mut client, "PLAIN").await.expect("an answer").0, ErrorCode::ILLEGAL_SASL_STATE);
    assert!(is_served(&mut client).await, "that is all");
    tokio::time::sleep(Duration::from_secs(1)).await;
    handshake(&mut client, "PLAIN").await.expect("an answer");
    let refused = authenticate(&mut client, "\0bob\0bob-secret").await.expect("an answer");
    assert_eq!(refused.error_code, ErrorCode::SASL_AUTHENTICATION_FAILED);
    assert!(client.read_to_end().await.expect("closed").is_empty());
    let mut client = broker.raw_client(1);
    log_in(&mut client).await;
    handshake(&mut client, "SCRAM-SHA-256").await.expect("an answer");
    let refused = authenticate(&mut client, "n,,n=bob,r=nonce").await.expect("an answer");
    assert!(refused.error_message.expect("a reason").as_str().contains("during re-authentication"));
}

#[tokio::test(start_paused = true)]
async fn a_listener_without_users_takes_no_sasl() {
    let broker = Broker::builder().start_in_memory().expect("a broker");
    let mut client = broker.raw_client(1);
    assert_eq!(handshake(&mut client, "PLAIN").await.expect("an answer"), (ErrorCode::ILLEGAL_SASL_STATE, Vec::new()));
    assert_eq!(authenticate(&mut client, "").await.expect("an answer").error_code, ErrorCode::ILLEGAL_SASL_STATE);
    assert!(is_served(&mut client).await);
    // Nor is a session renewed that never ends.
    let broker = self::broker();
    let mut client = broker.raw_client(1);
    log_in(&mut client).await;
    assert_eq!(handshake(&mut client, "PLAIN").await.expect("an answer").0, ErrorCode::ILLEGAL_SASL_STATE);
}

#[test]
fn passwords_are_not_shown() {
    let builder = Broker::builder().sasl_user(SaslMechanism::Plain, "alice", "canary").sasl_user(
        SaslMechanism::ScramSha512,
        "alice",
        "canary",
    );
    let shown = format!("{builder:?}");
    assert!(shown.contains("alice") && !shown.contains("canary"), "{shown}");
}
