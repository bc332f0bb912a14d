//! Names that are typed wrong, of settings, options, commands and values: exit code 2 with the one that was meant. What a user types may be
//! a password in the wrong place: it is not repeated.

use std::path::PathBuf;

use super::{Ran, klamm};

/// No broker is looked for before all that was typed is understood.
const NOWHERE: &str = "192.0.2.1:9092";

/// A settings file that goes when this value does.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("klamm-{name}-{}.properties", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn refused(arguments: &[&str], words: &[&str]) -> Ran {
    let ran = klamm(&[&["-b", NOWHERE], arguments].concat(), "").await;
    assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{arguments:?}: no {word:?} in: {}", ran.stderr);
    }
    ran
}

#[tokio::test]
async fn the_setting_that_was_meant_is_named_for_an_argument_and_for_a_line_of_a_file() {
    for (typed, meant) in [
        ("lingr.ms", "linger.ms"),
        ("linger_ms", "linger.ms"),
        ("security.protokol", "security.protocol"),
        ("sasl.mechanizm", "sasl.mechanism"),
        ("sasl.jaas.conf", "sasl.jaas.config"),
        ("sasl.pasword", "sasl.password"),
        ("ssl.trustore.location", "ssl.truststore.location"),
        ("ssl.ca.locations", "ssl.ca.location"),
        ("auto.ofset.reset", "auto.offset.reset"),
        ("Group.Id", "group.id"),
    ] {
        let meant = format!("\"{meant}\"");
        let setting = format!("{typed}=x");
        for command in [&["cluster"][..], &["produce", "t"], &["consume", "t"], &["perf", "produce"]] {
            refused(&[&["-X", &setting], command].concat(), &[&format!("\"{typed}\""), &meant]).await;
        }
        let file = File::new("typed", &format!("# settings\nclient.id=one\n{typed} = x\n"));
        refused(&["--config", file.path(), "cluster"], &[file.path(), "line 3", typed, &meant]).await;
    }
    let ran = refused(&["-X", "nothing.like.any=5", "cluster"], &["nothing.like.any"]).await;
    assert!(!ran.stderr.contains("meant"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_value_that_a_setting_cannot_have_is_answered_with_those_it_can() {
    for (setting, words) in [
        ("security.protocol=SASLSSL", &["security.protocol", "SASLSSL", "SASL_SSL"][..]),
        ("acks=some", &["acks", "some", "all"]),
        ("compression.type=lz5", &["compression.type", "lz5", "lz4"]),
        ("auto.offset.reset=first", &["auto.offset.reset", "first", "earliest"]),
        ("isolation.level=read", &["isolation.level", "read_committed"]),
        ("enable.idempotence=maybe", &["enable.idempotence", "maybe", "true"]),
        ("request.timeout.ms=10s", &["request.timeout.ms", "10s", "milliseconds"]),
    ] {
        for command in [&["cluster"][..], &["produce", "t"], &["consume", "t", "--group", "g"]] {
            refused(&[&["-X", setting], command].concat(), words).await;
        }
    }
    let login = ["-X", "security.protocol=SASL_SSL", "-X", "sasl.username=a", "-X", "sasl.password=b"];
    refused(&[&login[..], &["-X", "sasl.mechanism=SCRAM-SHA-265", "cluster"]].concat(), &["SCRAM-SHA-265", "SCRAM-SHA-256"])
        .await;
    let tls = ["-X", "security.protocol=SSL", "-X", "ssl.enabled.protocols=TLSv1.4", "cluster"];
    refused(&tls, &["ssl.enabled.protocols", "TLSv1.4", "TLSv1.3"]).await;
}

#[tokio::test]
async fn the_option_command_or_value_that_was_meant_is_named() {
    for (arguments, word) in [
        (&["consmue", "t"][..], "'consume'"),
        (&["topcs"], "'topics'"),
        (&["topics", "lst"], "'list'"),
        (&["groups", "ofsets", "g"], "'offsets'"),
        (&["consume", "t", "--grop", "g"], "'--group'"),
        (&["produce", "t", "--compresion", "lz4"], "'--compression'"),
        (&["topics", "create", "t", "--partitons", "3"], "'--partitions'"),
        (&["--tiemout", "5", "cluster"], "'--timeout'"),
        (&["consume", "t", "--protocol", "clasic"], "'classic'"),
        (&["consume", "t", "--isolation", "read_comitted"], "'read_committed'"),
        (&["produce", "t", "--compression", "lz5"], "lz4"),
        (&["produce", "t", "--acks", "al"], "all"),
    ] {
        refused(arguments, &[word]).await;
    }
}

#[tokio::test]
async fn a_password_in_the_wrong_place_is_not_repeated() {
    let file = File::new("secret", "sasl.pasword=canary\n");
    let twice = File::new("twice", "sasl.mechanism=PLAIN\nsasl.password=canary\nsasl.jaas.config=canary password=\"canary\";\n");
    for (arguments, word) in [
        (&["--config", "sasl.password=canary", "cluster"][..], "--config sasl.password=…"),
        (&["--config", "sasl.password=canary", "produce", "t"], "-X sasl.password=…"),
        (&["-X", "sasl.password:canary", "cluster"], "-X sasl.password…"),
        (&["-X", "sasl.password canary", "cluster"], "-X sasl.password…"),
        (&["-X", "sasl.pasword=canary", "cluster"], "\"sasl.password\""),
        (&["-X", "sasl.password=canary", "cluster"], "sasl.password"),
        (&["-X", "ssl.key.password=canary", "cluster"], "ssl.key.password"),
        (&["-X", "security.protocol=SASL_SSL", "-X", "sasl.password=canary", "cluster"], "sasl.mechanism"),
        (
            &[
                "-X",
                "security.protocol=SASL_SSL",
                "-X",
                "sasl.mechanism=PLAIN",
                "-X",
                "sasl.jaas.config=canary=canary",
                "cluster",
            ],
            "sasl.jaas.config",
        ),
        (&["--config", file.path(), "cluster"], "line 1"),
        (&["--config", twice.path(), "-X", "security.protocol=SASL_SSL", "cluster"], "sasl.jaas.config"),
    ] {
        for verbose in [&[][..], &["-vvv"]] {
            let ran = refused(&[arguments, verbose].concat(), &[word]).await;
            assert!(!ran.stderr.contains("canary"), "{arguments:?}: {}", ran.stderr);
        }
    }
}
