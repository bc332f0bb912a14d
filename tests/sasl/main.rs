//! SASL on the embedded broker: logging in, sessions that end, and refusals, which every call tells at once. (Acceptance group R.)
//!
//! Everything is in memory and time is paused, so "at once" is a number.

mod logins;
mod refusals;
mod sessions;
mod settings;

use std::future::Future;
use std::time::Duration;

use klamm::config::Sasl;
use klamm::protocol::ApiKey;
use klamm::{Client, ClientBuilder, Error};
use klamm_broker::{Broker, BrokerBuilder, SaslMechanism, SeenRequest};
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);
const USER: &str = "alice";
const PASSWORD: &str = "alice-secret";
const MECHANISMS: [SaslMechanism; 3] = [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512];

/// A broker with topic `t`, where alice may log in by every mechanism.
fn secured() -> BrokerBuilder {
    MECHANISMS
        .into_iter()
        .fold(Broker::builder().topic("t", 2), |builder, mechanism| builder.sasl_user(mechanism, USER, PASSWORD))
}

fn credentials(mechanism: SaslMechanism, password: &str) -> Sasl {
    match mechanism {
        SaslMechanism::Plain => Sasl::plain(USER, password),
        SaslMechanism::ScramSha256 => Sasl::scram_sha_256(USER, password),
        _ => Sasl::scram_sha_512(USER, password),
    }
}

fn client(broker: &Broker, sasl: Sasl) -> ClientBuilder {
    Client::builder(broker.bootstrap()).connector(broker.connector()).sasl(sasl).allow_cleartext_sasl(true)
}

fn plain(broker: &Broker) -> ClientBuilder {
    client(broker, Sasl::plain(USER, PASSWORD))
}

/// Alice has this password from now on, by every mechanism.
fn set_password(broker: &Broker, password: &str) {
    MECHANISMS.into_iter().for_each(|mechanism| broker.set_sasl_user(mechanism, USER, password));
}

/// What a call failed with, which it must within the longest pause between attempts, not after its time-out.
async fn at_once<T>(what: &str, call: impl Future<Output = Result<T, Error>>) -> Error {
    let start = Instant::now();
    let result = timeout(300 * SECOND, call).await.unwrap_or_else(|_| panic!("{what} hangs"));
    let error = result.err().unwrap_or_else(|| panic!("{what} succeeded"));
    assert!(start.elapsed() < 3 * SECOND, "{what} took {:?}: {error}", start.elapsed());
    error
}

/// The requests of each connection, in order, by connection.
fn by_connection(broker: &Broker) -> Vec<Vec<SeenRequest>> {
    let mut connections = std::collections::BTreeMap::<_, Vec<_>>::new();
    for request in broker.requests() {
        connections.entry(request.connection).or_default().push(request);
    }
    connections.into_values().collect()
}

/// Asserts that nothing was asked on a connection before somebody had logged in on it.
fn assert_logged_in_everywhere(broker: &Broker) {
    for requests in by_connection(broker) {
        let apis: Vec<_> = requests.iter().map(|request| request.api_key).collect();
        let first = apis
            .iter()
            .position(|api| !matches!(*api, ApiKey::API_VERSIONS | ApiKey::SASL_HANDSHAKE | ApiKey::SASL_AUTHENTICATE));
        let before = &apis[..first.unwrap_or(apis.len())];
        assert!(
            before.starts_with(&[ApiKey::API_VERSIONS, ApiKey::SASL_HANDSHAKE, ApiKey::SASL_AUTHENTICATE]),
            "{apis:?} without logging in"
        );
    }
}
