//! Logging in: by which mechanism, on which connections, and what is said where it does not come to that.

use klamm::protocol::messages::metadata::MetadataRequest;
use klamm::protocol::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use klamm::protocol::messages::sasl_handshake::SaslHandshakeRequest;
use klamm::protocol::{ErrorCode, SecretBytes};
use klamm::{ErrorKind, Record, Route};
use klamm_broker::Intercept;

use super::*;

#[tokio::test(start_paused = true)]
async fn rk_210_plain_with_right_credentials_works_and_wrong_ones_give_the_brokers_reason() {
    right_and_wrong(SaslMechanism::Plain, "Authentication failed: Invalid username or password").await;
}

#[tokio::test(start_paused = true)]
async fn rk_211_scram_with_right_credentials_works_and_wrong_ones_give_the_brokers_reason() {
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        let reason = "Authentication failed during authentication due to invalid credentials with SASL mechanism";
        right_and_wrong(mechanism, &format!("{reason} {}", mechanism.name())).await;
    }
}

async fn right_and_wrong(mechanism: SaslMechanism, reason: &str) {
    let broker = secured().start_in_memory().unwrap();
    let client = client(&broker, credentials(mechanism, PASSWORD)).connect().await.unwrap();
    client.deliver(Record::new("t").partition(0).value("in")).await.unwrap();
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    assert_eq!(consumer.next().await.unwrap().unwrap().value.unwrap(), "in");
    consumer.close(SECOND).await.unwrap();
    assert_logged_in_everywhere(&broker);
    for handshake in broker.decoded::<SaslHandshakeRequest>() {
        assert_eq!(handshake.mechanism, mechanism.name(), "the configured one, whatever else is offered");
    }

    let wrong = super::client(&broker, credentials(mechanism, "wrong")).connect();
    let error = at_once("connecting", wrong).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Authentication, Some(ErrorCode::SASL_AUTHENTICATION_FAILED)));
    let text = error.to_string();
    assert!(text.contains(reason) && text.contains("node-1:9092") && text.contains(USER), "{text}");
    assert!(!text.contains("could be reached") && !text.contains("cannot connect"), "{text}");
    assert!(!error.is_retriable());
}

#[tokio::test(start_paused = true)]
async fn users_with_odd_names_and_passwords_log_in() {
    let (user, password) = ("us=e,r ä", "p=ä,ss\u{2168}");
    for mechanism in MECHANISMS {
        let broker = Broker::builder().sasl_user(mechanism, user, password).start_in_memory().unwrap();
        let sasl = Sasl::new(mechanism.name().parse().unwrap(), user, password);
        super::client(&broker, sasl).connect().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_from_properties_logs_in() {
    let broker = secured().start_in_memory().unwrap();
    let properties = klamm::config::Properties::from_pairs([
        ("bootstrap.servers", broker.bootstrap().join(",").as_str()),
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        (
            "sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\" password=\"alice-secret\";",
        ),
    ]);
    let client = Client::from_properties(properties.unwrap()).unwrap().connector(broker.connector()).connect().await.unwrap();
    assert_eq!(client.partition_count("t").await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn rk_214_a_broker_that_does_not_prove_itself_is_an_authentication_failure_and_the_connection_is_closed() {
    // A wrong signature; none at all although the broker reports success; and one that is there before it is due.
    let tamperings: [fn(&mut SaslAuthenticateResponse); 3] = [
        |answer| {
            let text = String::from_utf8(answer.auth_bytes.0.to_vec()).unwrap();
            if let Some(signature) = text.strip_prefix("v=") {
                let other = if signature.starts_with('A') { "B" } else { "A" };
                answer.auth_bytes = SecretBytes(format!("v={other}{}", &signature[1..]).into());
            }
        },
        |answer| {
            if answer.auth_bytes.0.starts_with(b"v=") {
                answer.auth_bytes = SecretBytes::default();
            }
        },
        |answer| answer.auth_bytes = SecretBytes("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".into()),
    ];
    for (number, tamper) in tamperings.into_iter().enumerate() {
        let broker = secured().start_in_memory().unwrap();
        broker.intercept_all(ApiKey::SASL_AUTHENTICATE, move |_| Intercept::edit::<SaslAuthenticateRequest>(tamper));
        let error = at_once("connecting", client(&broker, credentials(SaslMechanism::ScramSha256, PASSWORD)).connect()).await;
        assert_eq!(error.kind(), ErrorKind::Authentication, "{number}: {error:?}");
        assert!(error.to_string().contains("signature") || number == 2, "{error}");
        tokio::time::sleep(SECOND / 10).await;
        assert_eq!(broker.connections(1), 0, "{number}: the connection is still open");
        assert!(broker.requests_of(ApiKey::METADATA).is_empty(), "{number}: it was used");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_hostile_broker_demands_of_a_password_is_not_done() {
    for (demand, why) in [
        ("s=MTIzNDU2Nzg=,i=1", "4096 to 1000000"),
        ("s=MTIzNDU2Nzg=,i=2147483647", "4096 to 1000000"),
        ("s=MTIzNA==,i=4096", "has 4 bytes"),
    ] {
        let broker = secured().start_in_memory().unwrap();
        broker.intercept_all(ApiKey::SASL_AUTHENTICATE, move |_| {
            Intercept::edit::<SaslAuthenticateRequest>(move |answer| {
                let text = String::from_utf8(answer.auth_bytes.0.to_vec()).unwrap();
                let nonce = text.split(',').next().unwrap();
                answer.auth_bytes = SecretBytes(format!("{nonce},{demand}").into());
            })
        });
        let error = at_once("connecting", client(&broker, credentials(SaslMechanism::ScramSha512, PASSWORD)).connect()).await;
        assert_eq!(error.kind(), ErrorKind::Authentication);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_220_a_mechanism_that_is_not_offered_is_named_with_those_that_are() {
    let broker = Broker::builder().sasl_user(SaslMechanism::ScramSha512, USER, PASSWORD).start_in_memory().unwrap();
    let error = at_once("connecting", plain(&broker).connect()).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Authentication, Some(ErrorCode::UNSUPPORTED_SASL_MECHANISM)));
    assert!(error.to_string().contains("does not offer SASL mechanism PLAIN; it offers: SCRAM-SHA-512"), "{error}");
    assert!(broker.requests_of(ApiKey::SASL_AUTHENTICATE).is_empty(), "the password was sent all the same");
}

#[tokio::test(start_paused = true)]
async fn rk_222_after_an_idle_close_the_client_logs_in_anew_before_any_request() {
    let broker = secured().start_in_memory().unwrap();
    let builder = client(&broker, credentials(SaslMechanism::ScramSha256, PASSWORD));
    let client = builder.connections_max_idle(300 * SECOND).metadata_max_age(3600 * SECOND).connect().await.unwrap();
    client.request(MetadataRequest::default(), Route::Any).await.unwrap();
    tokio::time::sleep(301 * SECOND).await;
    assert_eq!(broker.connections(1), 0);
    client.request(MetadataRequest::default(), Route::Any).await.unwrap();
    assert_eq!(by_connection(&broker).len(), 2);
    assert_logged_in_everywhere(&broker);
    // Two nonces of ours: none is used twice.
    let said: Vec<_> = broker.decoded::<SaslAuthenticateRequest>().into_iter().map(|request| request.auth_bytes.0).collect();
    assert!(said.len() == 4 && said[0] != said[2], "the same first message");
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_takes_no_sasl_and_one_that_wants_it_are_named_for_that() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let error = at_once("connecting", plain(&broker).connect()).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Authentication, Some(ErrorCode::ILLEGAL_SASL_STATE)));
    assert!(error.to_string().contains("takes no SASL") && error.to_string().contains("security.protocol"), "{error}");

    let broker = secured().start_in_memory().unwrap();
    let error = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap_err();
    assert!(error.to_string().contains("if the listener wants SASL, set security.protocol"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_closes_while_somebody_logs_in_is_said_to_do_so_and_tried_again() {
    for api in [ApiKey::SASL_HANDSHAKE, ApiKey::SASL_AUTHENTICATE] {
        let broker = secured().start_in_memory().unwrap();
        broker.intercept_all(api, |_| Intercept::CloseBefore);
        let error = at_once("connecting", plain(&broker).connect()).await;
        // Such a broker may be restarting; so this is no refusal.
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        let text = error.to_string();
        assert!(text.contains("closed the connection during set-up (SASL PLAIN)") && text.contains("check user name"), "{text}");
        let client = plain(&broker).build().unwrap();
        let waiting = tokio::spawn(async move { client.partition_count("t").await });
        tokio::time::sleep(5 * SECOND).await;
        broker.clear_intercepts();
        assert_eq!(waiting.await.unwrap().unwrap(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_sasl_authenticate_is_said_to_be_too_old() {
    let broker = secured().without(ApiKey::SASL_AUTHENTICATE).start_in_memory().unwrap();
    let error = at_once("connecting", plain(&broker).connect()).await;
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.to_string().contains("does not serve SaslAuthenticate") && error.to_string().contains("Kafka 1.0"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_lets_somebody_wait_for_the_login_is_a_time_out_of_the_set_up() {
    let broker = secured().start_in_memory().unwrap();
    broker.intercept_all(ApiKey::SASL_AUTHENTICATE, |_| Intercept::Swallow);
    let builder = client(&broker, credentials(SaslMechanism::ScramSha256, PASSWORD));
    let start = Instant::now();
    let error = builder.connection_setup_timeout(5 * SECOND, 5 * SECOND).connect().await.unwrap_err();
    assert!((4 * SECOND..7 * SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(error.to_string().contains("did not answer SASL SCRAM-SHA-256"), "{error}");
}
