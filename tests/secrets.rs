//! Nothing secret is ever shown: not in `Debug`, not in an error or what caused it, not in the log at its finest. Marked secrets are fed in
//! wherever one can come in, every way to fail is walked that can be, and all that was said is searched for them.

use std::error::Error as _;
use std::fmt::Write as _;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use klamm::config::{Properties, Sasl, Secret, TlsConfig};
use klamm::protocol::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use klamm::protocol::{ApiKey, ErrorCode, SecretBytes, Str};
use klamm::{Client, ClientBuilder, Error, ErrorKind, Record};
use klamm_broker::{Broker, Intercept, SaslMechanism};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Metadata, Subscriber};

const SECOND: Duration = Duration::from_secs(1);
/// The start of every secret here; no text of ours has it.
const MARK: &str = "canary";
const PASSWORD: &str = "canary-password";
const MECHANISMS: [SaslMechanism; 3] = [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512];

static LOG: Mutex<String> = Mutex::new(String::new());

/// Writes down everything.
struct Listener;

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

fn write_down(write: impl FnOnce(&mut String)) {
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    write(&mut log);
    log.push('\n');
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        write_down(|log| {
            log.push_str(span.metadata().name());
            span.record(&mut Fields(log));
        });
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Values<'_>) {
        write_down(|log| values.record(&mut Fields(log)));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        write_down(|log| event.record(&mut Fields(log)));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Listener).expect("the only one"));
}

/// All that is shown of something that can be shown.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn debug(&mut self, value: &impl std::fmt::Debug) {
        writeln!(self.0, "{value:?} {value:#?}").unwrap();
    }

    fn error(&mut self, error: &Error) {
        writeln!(self.0, "{error} {error:?} {error:#?}").unwrap();
        let mut source = error.source();
        while let Some(cause) = source {
            writeln!(self.0, "{cause} {cause:?}").unwrap();
            source = cause.source();
        }
    }

    /// Searches this and the log for `secret`, however bytes may be written.
    fn assert_has_not(&self, secret: &[u8]) {
        let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        let decimal = format!("{secret:?}");
        let forms = [
            String::from_utf8_lossy(secret).into_owned(),
            secret.escape_ascii().to_string(),
            decimal.trim_matches(['[', ']']).to_owned(),
            decimal.trim_matches(['[', ']']).replace(", ", ",\n    "),
            secret.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
        ];
        for form in forms {
            for text in [&self.0, &*log] {
                if let Some(at) = text.find(&form) {
                    panic!("{form:?} is shown: …{}", text[..at + form.len()].lines().last().unwrap());
                }
            }
        }
    }
}

fn secured() -> Broker {
    let builder = Broker::builder().topic("t", 1).session_lifetime(10 * SECOND);
    let add = |builder: klamm_broker::BrokerBuilder, mechanism| builder.sasl_user(mechanism, "alice", PASSWORD);
    MECHANISMS.into_iter().fold(builder, add).start_in_memory().unwrap()
}

fn sasl(mechanism: SaslMechanism, password: &str) -> Sasl {
    Sasl::new(mechanism.name().parse().unwrap(), "alice", password)
}

fn builder(broker: &Broker, sasl: Sasl) -> ClientBuilder {
    Client::builder(broker.bootstrap()).connector(broker.connector()).sasl(sasl).allow_cleartext_sasl(true)
}

/// What was said and answered in exchanges: whole messages, proofs and signatures.
fn secrets_of(broker: &Broker, answers: &Mutex<Vec<SecretBytes>>) -> Vec<Vec<u8>> {
    let answers = answers.lock().unwrap();
    let messages = broker.decoded::<SaslAuthenticateRequest>().into_iter().map(|said| said.auth_bytes.0.to_vec());
    let messages: Vec<_> = messages.chain(answers.iter().map(|answer| answer.0.to_vec())).collect();
    let mut secrets = vec![MARK.as_bytes().to_vec()];
    for message in &messages {
        let text = String::from_utf8_lossy(message);
        // From `p=` and `v=` on: the proof and the signature.
        secrets.extend(
            text.split(',')
                .filter_map(|part| part.strip_prefix("p=").or(part.strip_prefix("v=")))
                .map(|found| found.as_bytes().to_vec()),
        );
    }
    secrets.extend(messages.into_iter().filter(|message| message.len() > 8));
    secrets
}

/// Writes down what the broker answers.
fn overhear(broker: &Broker) -> &'static Mutex<Vec<SecretBytes>> {
    let heard: &'static Mutex<Vec<SecretBytes>> = Box::leak(Box::default());
    broker.intercept_all(ApiKey::SASL_AUTHENTICATE, move |_| {
        Intercept::edit::<SaslAuthenticateRequest>(move |answer| heard.lock().unwrap().push(answer.auth_bytes.clone()))
    });
    heard
}

#[tokio::test(start_paused = true)]
async fn rk_223_no_password_token_proof_or_signature_is_in_the_log_of_an_authentication_by_any_mechanism() {
    listen();
    for mechanism in MECHANISMS {
        let broker = secured();
        let answers = overhear(&broker);
        let client = builder(&broker, sasl(mechanism, PASSWORD)).connect().await.unwrap();
        client.deliver(Record::new("t").value("v")).await.unwrap();
        let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
        consumer.next().await.unwrap();
        // Sessions are renewed meanwhile.
        tokio::time::sleep(30 * SECOND).await;
        consumer.close(SECOND).await.unwrap();
        let mut shown = Shown::default();
        shown.debug(&client);
        let secrets = secrets_of(&broker, answers);
        assert!(secrets.len() > 10, "{} secrets", secrets.len());
        for secret in secrets {
            shown.assert_has_not(&secret);
        }
    }
    let log = LOG.lock().unwrap();
    assert!(log.contains("connected") && log.contains("session renewed"), "the log was not listened to");
}

#[tokio::test(start_paused = true)]
async fn no_way_in_which_a_login_can_fail_shows_a_secret() {
    listen();
    type Trouble = fn(&Broker);
    let troubles: [(&str, Trouble); 11] = [
        ("wrong password", |broker| {
            MECHANISMS.into_iter().for_each(|mechanism| broker.set_sasl_user(mechanism, "alice", "other"))
        }),
        ("closed at the handshake", |broker| _ = broker.intercept_all(ApiKey::SASL_HANDSHAKE, |_| Intercept::CloseBefore)),
        ("closed in the middle", |broker| _ = broker.intercept_all(ApiKey::SASL_AUTHENTICATE, |_| Intercept::ProcessThenClose)),
        ("never answered", |broker| _ = broker.intercept_all(ApiKey::SASL_AUTHENTICATE, |_| Intercept::Swallow)),
        ("too old", |broker| broker.set_versions(ApiKey::SASL_AUTHENTICATE, None)),
        ("an answer that cannot be read", |broker| {
            // What was said comes back as the answer.
            _ = broker.intercept_all(ApiKey::SASL_AUTHENTICATE, |request| Intercept::Respond(request.body.clone()));
        }),
        ("an answer that is no frame", |broker| {
            _ = broker.intercept_all(ApiKey::SASL_AUTHENTICATE, |request| Intercept::Raw(request.body.clone()));
        }),
        ("a refusal that repeats what was said", |broker| {
            _ = broker.intercept_all(ApiKey::SASL_AUTHENTICATE, |request| {
                let said = request.decode::<SaslAuthenticateRequest>().unwrap().auth_bytes.0;
                let error_message = Some(Str::truncated(&String::from_utf8_lossy(&said)));
                let error_code = ErrorCode::SASL_AUTHENTICATION_FAILED;
                Intercept::respond(request, &SaslAuthenticateResponse { error_code, error_message, ..Default::default() })
            });
        }),
        ("a refusal that repeats the proof", |broker| {
            _ = broker.intercept_all(ApiKey::SASL_AUTHENTICATE, |request| {
                let said = request.decode::<SaslAuthenticateRequest>().unwrap().auth_bytes.0;
                let Some(proof) = String::from_utf8_lossy(&said).split(",p=").nth(1).map(str::to_owned) else {
                    return Intercept::Pass;
                };
                let error_message = Some(Str::truncated(&format!("wrong proof {proof}!")));
                let error_code = ErrorCode::SASL_AUTHENTICATION_FAILED;
                Intercept::respond(request, &SaslAuthenticateResponse { error_code, error_message, ..Default::default() })
            });
        }),
        ("a wrong signature", |broker| {
            _ = broker.intercept_all(ApiKey::SASL_AUTHENTICATE, |_| {
                Intercept::edit::<SaslAuthenticateRequest>(|answer| {
                    if answer.auth_bytes.0.starts_with(b"v=") {
                        answer.auth_bytes = SecretBytes("v=bm90IGtub3du".into());
                    }
                })
            });
        }),
        ("a mechanism that is not offered", |broker| {
            _ = broker.intercept_all(ApiKey::SASL_HANDSHAKE, |_| Intercept::Error(ErrorCode::UNSUPPORTED_SASL_MECHANISM));
        }),
    ];
    for mechanism in MECHANISMS {
        for (name, trouble) in &troubles {
            let broker = secured();
            let answers = overhear(&broker);
            trouble(&broker);
            let mut shown = Shown::default();
            let builder = builder(&broker, sasl(mechanism, PASSWORD));
            shown.debug(&builder);
            let builder = builder.request_timeout(5 * SECOND).default_api_timeout(5 * SECOND);
            match builder.clone().connect().await {
                // What PLAIN does not have cannot be wrong.
                Ok(_) => {
                    assert!(mechanism == SaslMechanism::Plain && (name.contains("signature") || name.contains("proof")), "{name}")
                }
                Err(error) => shown.error(&error),
            }
            let client = builder.build().unwrap();
            if let Err(error) = client.deliver(Record::new("t").value("v")).await {
                shown.error(&error);
            }
            shown.debug(&client);
            // Of a refusal the broker's own text is shown, here SCRAM's first message, which has a name and a number that is used once.
            let secrets =
                if *name == "a refusal that repeats what was said" { vec![MARK.into()] } else { secrets_of(&broker, answers) };
            for secret in secrets {
                shown.assert_has_not(&secret);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_renewed_shows_no_secret() {
    listen();
    let broker = secured();
    let client = builder(&broker, sasl(SaslMechanism::Plain, PASSWORD)).connect().await.unwrap();
    broker.set_sasl_user(SaslMechanism::Plain, "alice", "other");
    tokio::time::sleep(20 * SECOND).await;
    let error = client.topics().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    let mut shown = Shown::default();
    shown.error(&error);
    shown.assert_has_not(MARK.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn no_setting_and_no_error_about_one_shows_a_secret() {
    listen();
    let mut shown = Shown::default();
    shown.debug(&Secret::from(PASSWORD));
    let tls = TlsConfig::new().client_key_password(PASSWORD).ca("canary certificate".to_owned());
    shown.debug(&tls);
    for mechanism in MECHANISMS {
        shown.debug(&sasl(mechanism, PASSWORD));
        shown.debug(&sasl(mechanism, PASSWORD).delegation_token());
    }
    // Builders that cannot be: without TLS, a NUL, no name, a token where there are none, TLS that does not fit.
    let wrong = [
        Client::builder(["a:1"]).sasl(Sasl::plain("alice", PASSWORD)),
        Client::builder(["a:1"]).sasl(Sasl::plain("alice", "canary\0")).allow_cleartext_sasl(true),
        Client::builder(["a:1"]).sasl(Sasl::plain("", PASSWORD)).allow_cleartext_sasl(true),
        Client::builder(["a:1"]).sasl(Sasl::plain("alice", PASSWORD).delegation_token()).allow_cleartext_sasl(true),
        Client::builder(["a:1"]).tls(tls),
        Client::builder(["canary@a:b"]).sasl(Sasl::plain("alice", PASSWORD)).allow_cleartext_sasl(true),
    ];
    for (number, builder) in wrong.into_iter().enumerate() {
        if number != 5 {
            shown.debug(&builder);
        }
        match builder.build() {
            Ok(_) => assert_eq!(number, 4, "{number} is taken"),
            // What a user gives as an address is no secret, and shown.
            Err(_) if number == 5 => {}
            Err(error) => shown.error(&error),
        }
    }
    let line = |login: &str| format!("org.apache.kafka.common.security.{login}");
    let lines = [
        line("plain.PlainLoginModule required username=\"alice\" password=\"canary\";"),
        line("scram.ScramLoginModule required username=\"alice\" password=\"canary\" tokenauth=\"true\";"),
        line("plain.PlainLoginModule required username=\"alice\" password=\"canary\""),
        line("plain.PlainLoginModule required username=\"alice\" password=\"canary;"),
        line("plain.PlainLoginModule required password=\"canary\";"),
        line("plain.PlainLoginModule required canary=\"canary\" password=\"canary\";"),
        line("plain.PlainLoginModule canary password=\"canary\";"),
        line("canary.Canary required password=\"canary\";"),
        "canary".to_owned(),
        "canary required;".to_owned(),
        "= \"canary\"".to_owned(),
        "username=canary password=canary".to_owned(),
    ];
    for line in &lines {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            for protocol in ["SASL_PLAINTEXT", "SASL_SSL", "PLAINTEXT"] {
                let pairs = [
                    ("bootstrap.servers", "a:1"),
                    ("security.protocol", protocol),
                    ("sasl.mechanism", mechanism),
                    ("sasl.jaas.config", line),
                ];
                of_properties(&mut shown, pairs);
            }
        }
    }
    for (name, value) in [
        ("sasl.password", PASSWORD),
        ("ssl.key.password", PASSWORD),
        ("ssl.keystore.key", PASSWORD),
        ("ssl.truststore.certificates", PASSWORD),
        ("ssl.keystore.password", PASSWORD),
        ("sasl.jaas.config", PASSWORD),
    ] {
        for protocol in ["SASL_PLAINTEXT", "SASL_SSL", "SSL", "PLAINTEXT"] {
            for mechanism in ["PLAIN", "SCRAM-SHA-256", "GSSAPI", "none"] {
                let pairs =
                    [("bootstrap.servers", "a:1"), ("security.protocol", protocol), ("sasl.mechanism", mechanism), (name, value)];
                of_properties(&mut shown, pairs);
            }
        }
    }
    assert!(shown.0.contains("alice") && shown.0.contains("sasl.jaas.config"), "{}", shown.0);
    shown.assert_has_not(MARK.as_bytes());
}

/// Shows all there is of a client from these properties, down to why it could not be made.
fn of_properties<const N: usize>(shown: &mut Shown, pairs: [(&str, &str); N]) {
    let properties = match Properties::from_pairs(pairs) {
        Ok(properties) => properties,
        Err(error) => return shown.error(&error),
    };
    shown.debug(&properties);
    match Client::from_properties(properties) {
        Ok(builder) => {
            shown.debug(&builder);
            match builder.build() {
                Ok(client) => shown.debug(&client),
                Err(error) => shown.error(&error),
            }
        }
        Err(error) => shown.error(&error),
    }
}
