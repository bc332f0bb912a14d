//! TLS on Apache Kafka (acceptance group Q): the right credentials work, for producers, groups and the command line; wrong ones fail at
//! once and say why.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use klamm::config::TlsConfig;
use klamm::{Client, ErrorKind, Record};
use klamm_real::{Listener, Output, certificate, klamm, new_topic, unique};

const SECOND: Duration = Duration::from_secs(1);

/// Trusts the broker's authority.
fn tls() -> TlsConfig {
    TlsConfig::new().ca_file(certificate("ca.crt"))
}

fn text(file: &str) -> String {
    std::fs::read_to_string(certificate(file)).expect("a file of text")
}

async fn connect(listener: Listener, tls: TlsConfig) -> Client {
    let builder = Client::builder(listener.address()).client_id("klamm-real").tls(tls);
    builder.connect().await.unwrap_or_else(|error| panic!("{listener:?}: {error:?}"))
}

/// Sends a record and reads it as a member of a group.
async fn there_and_back(client: &Client) {
    let topic = new_topic(client, "tls", 1).await;
    client.deliver(Record::new(topic.as_str()).value("over TLS")).await.expect("delivered");
    let mut consumer = client.consumer(unique("tls")).topics([topic.as_str()]).build().expect("a consumer");
    let message = tokio::time::timeout(60 * SECOND, consumer.next()).await.expect("a message in time").expect("a message");
    assert_eq!(message.and_then(|message| message.value).as_deref(), Some(&b"over TLS"[..]));
    consumer.close(10 * SECOND).await.expect("closed");
}

/// Why TLS cannot be agreed on: from the first call, and at once.
async fn refused(builder: klamm::ClientBuilder) -> String {
    let start = Instant::now();
    // A second, guarded ten times: the machine may be busy.
    let result = tokio::time::timeout(10 * SECOND, builder.connect()).await.expect("an error at once");
    let error = result.expect_err("must be refused");
    println!("after {:?}: {error:?}", start.elapsed());
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Tls, false), "{error:?}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_199_the_right_authority_works_and_without_tls_the_error_hints_at_it() {
    there_and_back(&connect(Listener::Tls, tls()).await).await;
    let said = refused(Client::builder(Listener::Tls.address())).await;
    assert!(said.contains("TLS") && said.contains("security.protocol=SSL"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_200_a_wrong_authority_is_a_certificate_error_with_the_reason_from_the_first_call() {
    let wrong = TlsConfig::new().ca_file(certificate("other-ca.crt"));
    let said = refused(Client::builder(Listener::Tls.address()).tls(wrong)).await;
    assert!(said.contains("not trusted") && said.contains("ssl.truststore.location"), "{said}");
    let said = refused(Client::builder(Listener::Expired.address()).tls(tls())).await;
    assert!(said.contains("expired on 2021-01-01"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_201_a_name_that_does_not_match_is_an_error_unless_names_are_not_verified() {
    let said = refused(Client::builder(Listener::WrongHost.address()).tls(tls())).await;
    assert!(said.contains("\"elsewhere.example\"") && said.contains("\"localhost\""), "{said}");
    there_and_back(&connect(Listener::WrongHost, tls().dangerous_accept_any_hostname()).await).await;
    let wrong = TlsConfig::new().ca_file(certificate("other-ca.crt")).dangerous_accept_any_hostname();
    let said = refused(Client::builder(Listener::WrongHost.address()).tls(wrong)).await;
    assert!(said.contains("not trusted"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_202_where_client_authentication_is_required_certificate_and_key_work_and_without_it_fails() {
    let with = tls().client_certificate_file(certificate("client.crt")).client_key_file(certificate("client.key"));
    there_and_back(&connect(Listener::MutualTls, with).await).await;
    let said = refused(Client::builder(Listener::MutualTls.address()).tls(tls())).await;
    assert!(said.contains("asks for a client's certificate") && said.contains("ssl.keystore"), "{said}");
    let stranger = tls().client_certificate_file(certificate("stranger.crt")).client_key_file(certificate("stranger.key"));
    let said = refused(Client::builder(Listener::MutualTls.address()).tls(stranger)).await;
    assert!(said.contains("does not accept the client's certificate"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_206_an_encrypted_key_works_with_its_password_and_a_wrong_one_fails_at_construction() {
    let with = |password: &str| {
        let tls = tls().client_certificate_file(certificate("client.crt"));
        tls.client_key_file(certificate("client.encrypted.key")).client_key_password(password)
    };
    there_and_back(&connect(Listener::MutualTls, with("key-secret")).await).await;
    let error = Client::builder(Listener::MutualTls.address()).tls(with("canary")).build().expect_err("a wrong password");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let said = format!("{error:?}");
    assert!(said.contains("ssl.key.password") && said.contains("wrong") && !said.contains("canary"), "{said}");
}

/// The broker trusts the root alone: it must be sent both that stand between. That they come in order is seen by the embedded server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_207_a_chain_of_two_intermediates_is_sent_with_the_leaf() {
    let leaf = || tls().client_certificate_file(certificate("chained.crt")).client_key_file(certificate("chained.key"));
    there_and_back(&connect(Listener::MutualTls, leaf().client_certificate_chain(text("chain.crt"))).await).await;
    let said = refused(Client::builder(Listener::MutualTls.address()).tls(leaf())).await;
    assert!(said.contains("does not accept the client's certificate"), "{said}");
}

/// Versions of TLS are the broker's to agree to: Kafka has both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_of_tls_alone_works() {
    for version in [klamm::config::TlsVersion::Tls12, klamm::config::TlsVersion::Tls13] {
        there_and_back(&connect(Listener::Tls, tls().versions([version])).await).await;
        let said = refused(Client::builder(Listener::MutualTls.address()).tls(tls().versions([version]))).await;
        assert!(said.contains("asks for a client's certificate"), "{version:?}: {said}");
    }
}

/// Runs a command against `listener` with these further words.
async fn run(listener: Listener, words: &[&str], input: &str) -> Output {
    let address = listener.address();
    klamm(&[&["-b", &address, "--json"], words].concat(), input).await
}

/// Produces and consumes by the command line.
async fn there_and_back_by_command(listener: Listener, security: &[&str]) {
    let topic = unique("tls-command");
    run(listener, &[security, &["topics", "create", &topic]].concat(), "").await.success();
    run(listener, &[security, &["produce", &topic]].concat(), "over TLS\n").await.success();
    let consume = ["consume", &topic, "--group", &topic, "--exit-at-end"];
    let read = run(listener, &[security, &consume].concat(), "").await.success();
    assert!(read.stdout.contains("over TLS"), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_takes_tls_settings_one_by_one() {
    let ca = format!("ssl.ca.location={}", certificate("ca.crt").display());
    there_and_back_by_command(Listener::Tls, &["-X", "security.protocol=SSL", "-X", &ca]).await;
    let other = format!("ssl.ca.location={}", certificate("other-ca.crt").display());
    let output = run(Listener::Tls, &["-X", "security.protocol=SSL", "-X", &other, "cluster"], "").await;
    assert!(output.code == Some(1) && output.stderr.contains("not trusted"), "{output:?}");
    let output =
        run(Listener::Tls, &["-X", "security.protocol=SSL", "-X", "ssl.ca.location=/nowhere/ca.crt", "cluster"], "").await;
    assert!(output.code == Some(2) && output.stderr.contains("/nowhere/ca.crt"), "{output:?}");
}

/// A file that goes when this value does.
struct File(PathBuf);

impl File {
    fn new(content: &str) -> Self {
        let path = std::env::temp_dir().join(unique("klamm-properties"));
        std::fs::write(&path, content).expect("written");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_takes_a_properties_file_with_certificates_and_key_in_it() {
    // PEM on continued lines, with the line ends written out and without: both are in use.
    let with_ends = |file: &str| text(file).trim_end().replace('\n', "\\n\\\n  ");
    let without_ends = |file: &str| text(file).trim_end().replace('\n', " \\\n  ");
    for layout in [&with_ends as &dyn Fn(&str) -> String, &without_ends] {
        let file = File::new(&format!(
            "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.certificates={}\nssl.keystore.type=PEM\n\
             ssl.keystore.certificate.chain={}\nssl.keystore.key={}\nssl.key.password=key-secret\n",
            layout("ca.crt"),
            layout("client.crt"),
            layout("client.encrypted.key"),
        ));
        there_and_back_by_command(Listener::MutualTls, &["--config", &file.0.display().to_string()]).await;
    }
}
