//! What `-v` shows: what each connection has negotiated, on standard error alone, and no secret.

use std::time::Duration;

use klamm_broker::{Broker, SaslMechanism};

use super::{Ran, klamm, start};

/// The lines about connections with this message.
fn about<'a>(ran: &'a Ran, message: &str) -> Vec<&'a str> {
    ran.stderr.lines().filter(|line| line.contains(&format!("DEBUG klamm::network: {message} "))).collect()
}

#[tokio::test]
async fn versions_and_features_are_shown_for_each_connection_and_the_data_stays_as_it_is() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 1)).await;
    klamm(&["-b", &brokers, "produce", "t"], "a\nb\n").await.success();
    let consume = ["-b", &brokers, "--json", "consume", "t", "--exit-at-end"];
    let quiet = klamm(&consume, "").await.success();
    assert_eq!(quiet.stderr, "");
    let ran = klamm(&[&consume[..], &["-v"]].concat(), "").await.success();
    assert_eq!((ran.json().len(), &ran.stdout), (2, &quiet.stdout));

    let (connected, versions) = (about(&ran, "connected"), about(&ran, "versions agreed on"));
    assert!(!connected.is_empty() && connected.len() == versions.len(), "{}", ran.stderr);
    for line in &connected {
        assert!(line.contains(&format!("broker={brokers} ")) && line.contains("tls=false"), "{line}");
    }
    assert!(connected.iter().any(|line| line.contains("node=1 ")), "{}", ran.stderr);
    for line in versions {
        for part in [&format!("broker={brokers} "), " version=", "apis=\"Produce ", ", Fetch ", ", Metadata ", "features=["] {
            assert!(line.contains(part), "no {part:?} in {line}");
        }
    }
    assert!(about(&ran, "TLS agreed on").is_empty() && about(&ran, "authenticated").is_empty(), "{}", ran.stderr);
    assert!(!ran.stderr.contains('\u{1b}'), "colours for nobody: {}", ran.stderr);
}

#[tokio::test]
async fn mechanism_and_session_are_shown_and_the_password_at_no_level() {
    for (mechanism, module) in [(SaslMechanism::Plain, "plain.Plain"), (SaslMechanism::ScramSha512, "scram.Scram")] {
        let builder = Broker::builder().session_lifetime(Duration::from_secs(3600));
        let (_broker, brokers) = start(builder.sasl_user(mechanism, "alice", "canary-secret")).await;
        let name = format!("sasl.mechanism={}", mechanism.name());
        let login = "required username=\"alice\" password=\"canary-secret\";";
        let line = format!("sasl.jaas.config=org.apache.kafka.common.security.{module}LoginModule {login}");
        for level in ["-v", "-vv", "-vvv"] {
            let security = ["-X", "security.protocol=SASL_PLAINTEXT", "-X", &name, "-X", &line];
            let ran = klamm(&[&["-b", &brokers, level, "cluster"], &security[..]].concat(), "").await.success();
            let authenticated = about(&ran, "authenticated");
            assert_eq!(authenticated.len(), about(&ran, "connected").len(), "{}", ran.stderr);
            for line in authenticated {
                for part in [&format!("broker={brokers} "), &format!("by=SASL {} ", mechanism.name()), "session_ms=3600000"] {
                    assert!(line.contains(part), "no {part:?} in {line}");
                }
            }
            assert!(!ran.stderr.contains("canary") && !ran.stdout.contains("canary"), "{}", ran.stderr);
        }
    }
}

#[tokio::test]
async fn why_there_is_no_connection_is_shown() {
    let (_broker, brokers) = start(Broker::builder().sasl_user(SaslMechanism::Plain, "alice", "alice-secret")).await;
    let login = ["-X", "sasl.mechanism=PLAIN", "-X", "sasl.username=alice", "-X", "sasl.password=canary"];
    let security = [&["-X", "security.protocol=SASL_PLAINTEXT"], &login[..]].concat();
    let ran = klamm(&[&["-b", &brokers, "-v", "cluster"], &security[..]].concat(), "").await.failure(1, &["alice"]);
    assert!(about(&ran, "not connected").iter().any(|line| line.contains("SASL PLAIN")), "{}", ran.stderr);
    assert!(about(&ran, "connected").is_empty() && about(&ran, "authenticated").is_empty(), "{}", ran.stderr);
    assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
}
