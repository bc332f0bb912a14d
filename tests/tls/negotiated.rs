//! What the log says of a connection: each fact once, under the names that `klamm::network` promises.

use std::time::Duration;

use klamm::config::{Sasl, TlsConfig, TlsVersion};
use klamm::protocol::ApiKey;
use klamm::{Client, Record};
use klamm_broker::{Broker, SaslMechanism};
use tracing::Level;

use crate::{Authority, NODE, logged, server};

const SECOND: Duration = Duration::from_secs(1);

/// What is logged of connections while a client connects, writes a record, and lives on for `life`.
fn log(
    broker: fn() -> Broker,
    change: impl FnOnce(klamm::ClientBuilder, &Broker) -> klamm::ClientBuilder,
    life: Duration,
) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let run = async {
        let broker = broker();
        let builder = Client::builder("node-1:9092").connector(broker.connector());
        let client = change(builder, &broker).connect().await.unwrap();
        client.deliver(Record::new("t").value("v")).await.unwrap();
        tokio::time::sleep(life).await;
    };
    let (_, lines) = logged(Level::DEBUG, || runtime.block_on(run));
    lines.into_iter().filter(|line| line.starts_with("klamm::network: ")).collect()
}

/// The lines with this message.
fn about<'a>(lines: &'a [String], message: &str) -> Vec<&'a String> {
    lines.iter().filter(|line| line.contains(&format!("message={message} "))).collect()
}

fn plain() -> Broker {
    Broker::builder().topic("t", 1).start_in_memory().unwrap()
}

fn for_alice() -> Broker {
    let builder = Broker::builder().topic("t", 1).session_lifetime(10 * SECOND);
    builder.sasl_user(SaslMechanism::ScramSha256, "alice", "alice-secret").start_in_memory().unwrap()
}

#[test]
fn the_versions_agreed_on_are_logged_once_for_each_connection() {
    let lines = log(plain, |builder, _| builder, SECOND);
    let (connected, versions) = (about(&lines, "connected"), about(&lines, "versions agreed on"));
    // To the bootstrap server, of which no id is known, and to the broker that it has named.
    assert_eq!(connected.len(), 2, "{lines:#?}");
    assert_eq!(versions.len(), connected.len(), "{lines:#?}");
    assert!(!connected[0].contains("node=") && connected[1].contains("node=1 "), "{lines:#?}");
    for line in connected {
        assert!(line.contains("broker=node-1:9092 ") && line.contains("tls=false "), "{line}");
    }
    for line in versions {
        for part in
            ["broker=node-1:9092 ", " version=", "apis=\"Produce ", ", Fetch ", ", Metadata ", ", JoinGroup ", " features=["]
        {
            assert!(line.contains(part), "no {part:?} in {line}");
        }
    }
    assert!(about(&lines, "authenticated").is_empty() && about(&lines, "TLS agreed on").is_empty(), "{lines:#?}");
}

#[test]
fn an_api_without_a_common_version_is_logged_as_none() {
    let broker = || Broker::builder().topic("t", 1).without(ApiKey::LIST_OFFSETS).start_in_memory().unwrap();
    let lines = log(broker, |builder, _| builder, SECOND);
    assert!(about(&lines, "versions agreed on").iter().all(|line| line.contains("ListOffsets none")), "{lines:#?}");
}

#[test]
fn what_tls_agreed_on_and_the_brokers_certificate_are_logged() {
    for (version, shown) in [(TlsVersion::Tls13, "version=\"TLSv1.3\" "), (TlsVersion::Tls12, "version=\"TLSv1.2\" ")] {
        let ca = Authority::new("the authority");
        let issued = ca.broker_with(&[NODE], |params| params.not_after = rcgen::date_time_ymd(2093, 2, 1));
        let tls = TlsConfig::new().ca(ca.pem()).versions([version]);
        let lines = log(plain, |builder, broker| builder.connector(server(&issued).before(broker)).tls(tls), SECOND);
        let agreed = about(&lines, "TLS agreed on");
        assert_eq!(agreed.len(), about(&lines, "connected").len(), "{lines:#?}");
        for line in &agreed {
            for part in [
                "broker=node-1:9092 ",
                shown,
                "suite=\"TLS",
                "handshake=",
                "subject=\"CN=broker\" ",
                "issuer=\"CN=the authority\" ",
            ] {
                assert!(line.contains(part), "no {part:?} in {line}");
            }
            assert!(line.contains("expires=\"2093-02-01T00:00:00Z\" ") && line.contains("names=[\"node-1\"]"), "{line}");
        }
        assert!(agreed[0].contains("handshake=Full "), "{lines:#?}");
        assert!(about(&lines, "connected").iter().all(|line| line.contains("tls=true ")), "{lines:#?}");
    }
}

#[test]
fn mechanism_and_life_of_a_session_are_logged_and_no_secret() {
    let sasl = Sasl::scram_sha_256("alice", "alice-secret");
    let lines = log(for_alice, |builder, _| builder.sasl(sasl).allow_cleartext_sasl(true), 15 * SECOND);
    let (authenticated, renewed) = (about(&lines, "authenticated"), about(&lines, "session renewed"));
    assert!(!renewed.is_empty(), "{lines:#?}");
    assert_eq!(authenticated.len(), about(&lines, "connected").len() + renewed.len(), "{lines:#?}");
    for line in authenticated {
        for part in ["broker=node-1:9092 ", "by=SASL SCRAM-SHA-256 ", "session_ms=10000 "] {
            assert!(line.contains(part), "no {part:?} in {line}");
        }
    }
    assert!(lines.iter().all(|line| !line.contains("alice-secret")), "{lines:#?}");
}
