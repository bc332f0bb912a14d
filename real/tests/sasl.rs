//! SASL on Apache Kafka: logging in by every mechanism, refusals in the broker's words, sessions that are renewed (acceptance checks R).
//! On the secured broker, where `admin` and `alice` have the passwords `admin-secret` and `alice-secret`.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use klamm::admin::{NewTopic, OffsetSpec};
use klamm::config::{Sasl, SaslMechanism, TlsConfig};
use klamm::network::{BoxFuture, Connector, Target, Transport};
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{Client, ClientBuilder, Error, ErrorKind, Record, TopicPartition};
use klamm_real::{Listener, Tap, certificate, create, read_all, unique};

const SECOND: Duration = Duration::from_secs(1);

fn client(listener: Listener, sasl: Sasl) -> ClientBuilder {
    let builder = Client::builder(listener.address()).client_id("klamm-real").sasl(sasl);
    match listener {
        Listener::SaslTls => builder.tls(TlsConfig::new().ca_file(certificate("ca.crt"))),
        _ => builder.allow_cleartext_sasl(true),
    }
}

/// Counts connections, and taps them.
#[derive(Clone, Debug, Default)]
struct Counted {
    tap: Tap,
    connections: Arc<AtomicUsize>,
}

impl Connector for Counted {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.tap.connect(target)
    }
}

/// Right credentials write and read; wrong ones are an authentication error with the broker's reason, at once.
async fn right_and_wrong(mechanism: SaslMechanism, reason: &str) {
    for listener in [Listener::SaslPlaintext, Listener::SaslTls] {
        right_and_wrong_at(listener, mechanism, reason).await;
    }
}

async fn right_and_wrong_at(at: Listener, mechanism: SaslMechanism, reason: &str) {
    let right = client(at, Sasl::new(mechanism, "alice", "alice-secret")).connect().await.expect("logged in");
    let topic = unique("sasl");
    create(&right, NewTopic::new(topic.as_str()).partitions(1)).await;
    right.deliver(Record::new(topic.as_str()).value("in")).await.expect("written");
    let read = read_all(&right, &topic).await;
    assert_eq!(read.iter().map(|message| message.value.as_deref()).collect::<Vec<_>>(), [Some(&b"in"[..])]);

    for (user, password) in [("alice", "wrong"), ("nobody", "alice-secret")] {
        let start = Instant::now();
        let error = client(at, Sasl::new(mechanism, user, password)).connect().await.expect_err("refused");
        // A second, guarded ten times.
        assert!(start.elapsed() < 10 * SECOND, "{:?}", start.elapsed());
        assert_eq!((error.kind(), error.code()), (ErrorKind::Authentication, Some(ErrorCode::SASL_AUTHENTICATION_FAILED)));
        let text = error.to_string();
        assert!(text.contains(reason) && !text.contains("could be reached"), "{text}");
        let error =
            client(at, Sasl::new(mechanism, user, password)).build().expect("a client").topics().await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_210_plain_with_right_credentials_works_and_wrong_ones_give_the_brokers_reason() {
    right_and_wrong(SaslMechanism::Plain, "Authentication failed: Invalid username or password").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_211_scram_with_right_credentials_works_and_wrong_ones_give_the_brokers_reason() {
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        let reason = format!("due to invalid credentials with SASL mechanism {mechanism}");
        right_and_wrong(mechanism, &reason).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_that_take_no_sasl_or_want_it_are_named_for_that() {
    let error = client(Listener::Plaintext, Sasl::plain("alice", "alice-secret")).connect().await.expect_err("refused");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Authentication, Some(ErrorCode::ILLEGAL_SASL_STATE)), "{error:?}");
    let error = Client::builder(Listener::SaslPlaintext.address()).connect().await.expect_err("closed");
    assert!(error.to_string().contains("if the listener wants SASL"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_five_seconds_are_renewed_under_traffic_and_nothing_is_lost_doubled_or_reordered() {
    let counted = Counted::default();
    let builder = client(Listener::Reauthentication, Sasl::scram_sha_512("alice", "alice-secret"));
    let client = builder.connector(counted.clone()).connect().await.expect("logged in");
    let topic = unique("renewed");
    create(&client, NewTopic::new(topic.as_str()).partitions(2)).await;
    let end = Instant::now() + 22 * SECOND;

    // Small answers in a row, several in flight.
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (admin, partition) = (client.admin(), TopicPartition::new(topic.as_str(), 0));
        askers.spawn(async move {
            while Instant::now() < end {
                let listed = admin.list_offsets([partition.clone()], OffsetSpec::Beginning).await?.remove(0).1?;
                assert_eq!(listed.offset, Some(0));
            }
            Ok::<_, Error>(())
        });
    }
    let mut consumer = client.consumer(unique("renewed")).topics([topic.as_str()]).build().expect("a consumer");
    let stop = consumer.handle();
    let consuming = tokio::spawn(async move {
        let mut offsets = [Vec::new(), Vec::new()];
        while let Some(message) = consumer.next().await? {
            offsets[usize::try_from(message.partition).expect("0 or 1")].push(message.offset);
        }
        Ok::<_, Error>(offsets)
    });

    let producer = client.producer().linger(Duration::ZERO).build().expect("a producer");
    let (mut deliveries, mut sent) = (Vec::new(), [0, 0]);
    while Instant::now() < end {
        for (partition, sent) in (0..).zip(&mut sent) {
            let record = Record::new(topic.as_str()).partition(partition).value("x");
            deliveries.push((*sent, producer.enqueue(record).await.expect("taken")));
            *sent += 1;
        }
        tokio::time::sleep(SECOND / 200).await;
    }
    for (offset, delivery) in deliveries {
        assert_eq!(delivery.await.expect("delivered").offset, Some(offset), "in order, each once");
    }
    while let Some(asker) = askers.join_next().await {
        asker.expect("no panic").expect("answered");
    }
    tokio::time::sleep(2 * SECOND).await;
    stop.stop();
    let consumed = consuming.await.expect("no panic").expect("consumed");
    for (consumed, sent) in consumed.iter().zip(sent) {
        assert!(consumed.iter().copied().eq(0..sent), "{} of {sent} consumed", consumed.len());
    }
    // Each connection's first login, and four renewals or more of at least four of them.
    let (connections, logins) = (counted.connections.load(Ordering::Relaxed), counted.tap.count(ApiKey::SASL_HANDSHAKE));
    println!("{sent:?} records, {connections} connections, {logins} logins");
    assert!(logins >= connections + 12, "{connections} connections, {logins} logins");
}
