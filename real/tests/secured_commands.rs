//! The command line on the secured broker: what `-v` shows of a connection, credentials and certificates by `-X` and by a file, right and
//! wrong, what an ACL denies, each with its exit code.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use klamm_real::{Listener, Output, certificate, kafka_tool, klamm, unique};

const SECOND: Duration = Duration::from_secs(1);

/// A settings file that goes when this value does.
struct File(PathBuf);

impl File {
    fn new(content: &str) -> Self {
        let path = std::env::temp_dir().join(unique("klamm-secured"));
        std::fs::write(&path, content).expect("written");
        Self(path)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a Java client's file would hold for this listener.
fn java(listener: Listener, mechanism: &str, user: &str, password: &str, ca: &str) -> File {
    let module = if mechanism == "PLAIN" { "plain.PlainLoginModule" } else { "scram.ScramLoginModule" };
    let protocol = if listener == Listener::SaslTls { "SASL_SSL" } else { "SASL_PLAINTEXT" };
    let tls = format!("ssl.truststore.type=PEM\nssl.truststore.location={}\n", certificate(ca).display());
    File::new(&format!(
        "bootstrap.servers={}\nsecurity.protocol={protocol}\nsasl.mechanism={mechanism}\n{}\
         sasl.jaas.config=org.apache.kafka.common.security.{module} required \\\n  username=\"{user}\" password=\"{password}\";\n",
        listener.address(),
        if listener == Listener::SaslTls { &tls } else { "" },
    ))
}

/// The same by librdkafka's names.
fn librdkafka(listener: Listener, mechanism: &str, user: &str, password: &str, ca: &str) -> Vec<String> {
    let protocol = if listener == Listener::SaslTls { "sasl_ssl" } else { "sasl_plaintext" };
    let mut settings = vec![format!("bootstrap.servers={}", listener.address()), format!("security.protocol={protocol}")];
    settings.push(format!("sasl.mechanisms={mechanism}"));
    settings.extend([format!("sasl.username={user}"), format!("sasl.password={password}")]);
    if listener == Listener::SaslTls {
        settings.push(format!("ssl.ca.location={}", certificate(ca).display()));
    }
    settings.into_iter().flat_map(|setting| ["-X".to_owned(), setting]).collect()
}

fn words<'a>(security: &'a [String], command: &[&'a str]) -> Vec<&'a str> {
    security.iter().map(String::as_str).chain(command.iter().copied()).collect()
}

/// The lines about connections with this message.
fn about<'a>(output: &'a Output, message: &str) -> Vec<&'a str> {
    output.stderr.lines().filter(|line| line.contains(&format!("klamm::network: {message} "))).collect()
}

/// It ends with exit code 1 at once, without a word on standard output, and says each of `words`, but no secret.
async fn refused(arguments: &[&str], words: &[&str]) {
    let start = Instant::now();
    let output = klamm(arguments, "in\n").await;
    // A second, guarded: the machine may be busy.
    assert!(start.elapsed() < 15 * SECOND, "{arguments:?} took {:?}", start.elapsed());
    assert_eq!((output.code, &*output.stdout), (Some(1), ""), "{arguments:?}: {}", output.stderr);
    for word in words {
        assert!(output.stderr.contains(word), "{arguments:?}: no {word:?} in {}", output.stderr);
    }
    assert!(!output.stderr.contains("canary") && !output.stderr.contains("alice-secret"), "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v_shows_tls_certificate_versions_and_mechanism_of_each_connection_and_no_secret() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let file = java(Listener::SaslTls, mechanism, "alice", "alice-secret", "ca.crt");
        let quiet = klamm(&["--config", &file.path(), "--json", "cluster"], "").await.success();
        for level in ["-v", "-vvv"] {
            let output = klamm(&["--config", &file.path(), level, "--json", "cluster"], "").await.success();
            assert_eq!(output.stdout, quiet.stdout);
            let connected = about(&output, "connected");
            assert!(!connected.is_empty() && connected.iter().all(|line| line.contains("tls=true")), "{}", output.stderr);
            let broker = format!("broker={} ", Listener::SaslTls.address());
            let by = format!("by=SASL {mechanism}");
            for (message, parts) in [
                (
                    "TLS agreed on",
                    &[
                        "version=\"TLSv1.3\" ",
                        "suite=\"TLS13_AES_",
                        "issuer=\"CN=klamm test CA\" ",
                        "subject=",
                        "expires=\"",
                        "localhost",
                    ][..],
                ),
                ("versions agreed on", &["apis=\"Produce ", "Fetch ", "features=[", "(\"metadata.version\", "]),
                ("authenticated", &[&by]),
            ] {
                let lines = about(&output, message);
                assert_eq!(lines.len(), connected.len(), "{message}: {}", output.stderr);
                for line in lines {
                    assert!(line.contains(&broker), "{line}");
                    assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} in {line}");
                }
            }
            assert!(!output.stderr.contains("alice-secret") && !output.stderr.contains("PRIVATE KEY"), "{}", output.stderr);
        }
    }
    // A session that ends: for how long it counts.
    let file = java(Listener::Reauthentication, "PLAIN", "alice", "alice-secret", "ca.crt");
    let output = klamm(&["--config", &file.path(), "-v", "cluster"], "").await.success();
    assert!(about(&output, "authenticated").iter().all(|line| line.contains("session_ms=5000")), "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_credentials_by_file_and_by_argument_write_and_read() {
    for (listener, mechanism) in [(Listener::SaslTls, "SCRAM-SHA-512"), (Listener::SaslPlaintext, "PLAIN")] {
        let file = java(listener, mechanism, "alice", "alice-secret", "ca.crt");
        let by_file = ["--config".to_owned(), file.path()];
        let by_argument = librdkafka(listener, mechanism, "alice", "alice-secret", "ca.crt");
        let topic = unique("secured-command");
        klamm(&words(&by_file, &["topics", "create", &topic]), "").await.success();
        klamm(&words(&by_argument, &["produce", &topic]), "in\n").await.success();
        for security in [&by_file[..], &by_argument] {
            for more in [&[][..], &["--group", &topic]] {
                let consume = [&["consume", &topic, "--exit-at-end"], more].concat();
                let read = klamm(&words(security, &consume), "").await.success();
                // A group has read it once.
                assert!(read.stdout == "in\n" || !more.is_empty() && read.stdout.is_empty(), "{read:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_by_file_and_by_argument_are_exit_code_1_at_once_with_the_brokers_reason() {
    for (listener, mechanism) in [(Listener::SaslTls, "SCRAM-SHA-256"), (Listener::SaslPlaintext, "PLAIN")] {
        for (user, password) in [("alice", "canary"), ("nobody", "canary")] {
            let file = java(listener, mechanism, user, password, "ca.crt");
            let by_file = ["--config".to_owned(), file.path()];
            let by_argument = librdkafka(listener, mechanism, user, password, "ca.crt");
            for security in [&by_file[..], &by_argument] {
                for command in
                    [&["cluster"][..], &["produce", "t"], &["consume", "t", "--group", "g"], &["topics", "list", "--json"]]
                {
                    refused(&words(security, command), &[mechanism, user, "Authentication failed"]).await;
                }
            }
        }
    }
    // A mechanism that does not exist there is no wrong usage: which there are, only the broker knows.
    let wrong = librdkafka(Listener::Plaintext, "PLAIN", "alice", "canary", "ca.crt");
    refused(&words(&wrong, &["cluster"]), &["SASL"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_certificates_and_listeners_by_file_and_by_argument_are_exit_code_1_at_once() {
    let other = java(Listener::SaslTls, "PLAIN", "alice", "alice-secret", "other-ca.crt");
    refused(&["--config", &other.path(), "cluster"], &["not trusted"]).await;
    let other = librdkafka(Listener::SaslTls, "PLAIN", "alice", "alice-secret", "other-ca.crt");
    refused(&words(&other, &["consume", "t"]), &["not trusted"]).await;

    let ca = format!("ssl.truststore.location={}", certificate("ca.crt").display());
    let tls = ["-X", "security.protocol=SSL", "-X", &ca];
    let at = async |listener: Listener, more: &[&str], said: &[&str]| {
        let address = listener.address();
        refused(&[&["-b", &address], &tls[..], more, &["cluster"]].concat(), said).await;
    };
    at(Listener::Expired, &[], &["expired", "2021"]).await;
    at(Listener::WrongHost, &[], &["elsewhere.example", "localhost"]).await;
    at(Listener::MutualTls, &[], &["client's certificate"]).await;
    at(Listener::Plaintext, &[], &["TLS", "security.protocol"]).await;
    let keys = ["stranger.crt", "stranger.key"].map(|file| certificate(file).display().to_string());
    let chain = format!("ssl.certificate.location={}", keys[0]);
    let key = format!("ssl.key.location={}", keys[1]);
    at(Listener::MutualTls, &["-X", &chain, "-X", &key], &["client's certificate"]).await;
    // The reverse: no TLS where it is expected.
    let address = Listener::Tls.address();
    refused(&["-b", &address, "cluster"], &["TLS", "security.protocol=SSL"]).await;

    // What can be known without a broker is wrong usage.
    let chain = format!("ssl.certificate.location={}", certificate("client.crt").display());
    let key = format!("ssl.key.location={}", certificate("client.encrypted.key").display());
    let mutual = Listener::MutualTls.address();
    let identity = [&["-b", &mutual], &tls[..], &["-X", &chain, "-X", &key]].concat();
    for (password, code) in [("ssl.key.password=canary", Some(2)), ("ssl.key.password=key-secret", Some(0))] {
        let output = klamm(&[&identity[..], &["-X", password, "cluster"]].concat(), "").await;
        assert_eq!(output.code, code, "{}", output.stderr);
        assert!(code == Some(0) || output.stderr.contains("ssl.key.password"), "{}", output.stderr);
        assert!(!output.stderr.contains("canary") && !output.stderr.contains("key-secret"), "{}", output.stderr);
    }
    let no_names = ["-X", "ssl.endpoint.identification.algorithm="];
    let address = Listener::WrongHost.address();
    klamm(&[&["-b", &address], &tls[..], &no_names, &["cluster"]].concat(), "").await.success();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_acl_denies_is_exit_code_1_with_the_topic_or_group_named() {
    let (topic, group) = (unique("denied"), unique("denied"));
    let plain = Listener::Plaintext.address();
    klamm(&["-b", &plain, "topics", "create", &topic], "").await.success();
    klamm(&["-b", &plain, "produce", &topic], "in\n").await.success();
    let deny = ["--bootstrap-server", &plain, "--add", "--deny-principal", "User:alice"];
    for on in [
        // Who may not even describe a topic is told that it does not exist; so describing stays allowed.
        &["--operation", "Write", "--operation", "Read", "--operation", "AlterConfigs", "--topic", &topic][..],
        &["--operation", "Read", "--operation", "Delete", "--group", &group],
    ] {
        kafka_tool("org.apache.kafka.tools.AclCommand", &[&deny[..], on].concat(), "").await;
    }
    let allow = ["--bootstrap-server", &plain, "--add", "--allow-principal", "User:alice", "--operation", "Describe"];
    kafka_tool("org.apache.kafka.tools.AclCommand", &[&allow[..], &["--topic", &topic]].concat(), "").await;
    kafka_tool("org.apache.kafka.tools.AclCommand", &[&allow[..], &["--group", &group]].concat(), "").await;

    let alice = librdkafka(Listener::SaslPlaintext, "SCRAM-SHA-256", "alice", "alice-secret", "ca.crt");
    for (command, code, named) in [
        (&["produce", &topic][..], "TOPIC_AUTHORIZATION_FAILED", &topic),
        (&["consume", &topic], "TOPIC_AUTHORIZATION_FAILED", &topic),
        (&["topics", "alter", &topic, "--config", "retention.ms=7200000"], "TOPIC_AUTHORIZATION_FAILED", &topic),
        (&["consume", &topic, "--group", &group], "GROUP_AUTHORIZATION_FAILED", &group),
        (&["groups", "delete", &group, "--yes"], "GROUP_AUTHORIZATION_FAILED", &group),
    ] {
        refused(&words(&alice, command), &[code, named]).await;
    }
}
