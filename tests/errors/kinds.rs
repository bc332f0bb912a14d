//! One error of every kind, provoked through the public API. Its text stands in `docs/errors.md`, word for word.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use klamm::admin::NewTopic;
use klamm::config::{Properties, Sasl, TlsConfig};
use klamm::consumer::SeekTo;
use klamm::consumer::assignor::{Assignor, MemberId, RangeAssignor, RebalanceProtocol, RoundRobinAssignor, Subscription};
use klamm::network::{BoxFuture, Connector, Target, Transport};
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{ErrorKind, Record, Topic, TopicPartition};
use klamm_broker::{Intercept, Reachability, SaslMechanism};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::table::{example, how};

macro_rules! kinds {
    ($($kind:ident $test:ident $what:literal $provoke:expr;)*) => {
        /// What was done, and the error that came of it.
        pub(crate) async fn provoked(kind: ErrorKind) -> (&'static str, Error) {
            match kind {
                $(ErrorKind::$kind => ($what, Box::pin($provoke()).await),)*
                other => panic!("no test provokes {other:?}: add one to tests/errors/kinds.rs"),
            }
        }

        $(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                as_shown(ErrorKind::$kind).await;
            }
        )*
    };
}

/// The error is what the table and the documentation say of its kind.
async fn as_shown(kind: ErrorKind) {
    let (_, error) = provoked(kind).await;
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(kind.retriable().is_none_or(|retriable| retriable == error.is_retriable()), "{error:?}");
    assert!(kind.fatal().is_none_or(|fatal| fatal == error.is_fatal()), "{error:?}");
    assert!(!error.advice().is_empty());
    assert_eq!(error.to_string(), example(kind), "docs/errors.md shows another text for {kind:?}; {}", how());
}

#[tokio::test(start_paused = true)]
async fn every_kind_is_provoked_by_a_test() {
    for kind in ErrorKind::ALL {
        assert_eq!(provoked(*kind).await.1.kind(), *kind);
    }
}

kinds! {
    Timeout a_batch_that_is_not_acknowledged_in_time_is_a_timeout
        "A producer whose broker takes connections and requests, and answers none:" not_acknowledged;
    Disconnected a_broker_that_cannot_be_reached_is_disconnected
        "Connecting to a port where nobody listens:" refused;
    Tls a_port_without_tls_is_a_tls_error
        "Connecting by TLS to a listener for HTTP:" http;
    Authentication a_wrong_password_is_an_authentication_error
        "Any call with a wrong password:" wrong_password;
    Authorization a_denied_write_is_an_authorization_error
        "Writing to a topic without the ACL for it:" denied;
    Fenced a_second_consumer_of_an_instance_id_fences_the_first
        "A consumer whose `group.instance.id` another one has taken:" fenced;
    InvalidConfig a_setting_that_cannot_be_is_an_invalid_config
        "A setting of a value that it does not have:" wrong_setting;
    InvalidRequest a_partition_that_is_not_there_is_an_invalid_request
        "A record for a partition that the topic does not have:" wrong_partition;
    MessageTooLarge a_record_beyond_the_limit_is_too_large
        "A record of two megabytes:" too_large;
    UnknownTopic a_topic_that_is_not_there_is_unknown
        "A name with a slip in it:" unknown_topic;
    OffsetOutOfRange an_offset_beyond_the_log_is_out_of_range
        "Reading from an offset that does not exist yet:" out_of_range;
    BufferFull a_buffer_that_takes_no_more_is_full
        "A record for a producer whose buffer waits for a slow broker:" buffer_full;
    Decode an_answer_that_is_not_kafkas_cannot_be_decoded
        "A broker that answers with what is no answer:" not_an_answer;
    UnsupportedVersion an_api_that_the_broker_does_not_have_is_unsupported
        "Deleting offsets on a broker before Kafka 2.4:" too_old;
    Group a_group_that_refuses_a_member_is_a_group_error
        "Joining a group whose members use another assignor:" other_assignor;
    Processing a_handler_that_fails_is_a_processing_error
        "A handler that returns an error:" failing_handler;
    Broker any_other_verdict_is_the_brokers
        "Creating a topic that exists:" already_there;
    Closed a_closed_client_is_closed
        "A call on a client that was closed:" on_a_closed_client;
    Bug a_fault_of_the_library_is_a_bug
        "An assignor whose panic panics itself, which no code is written for:" a_panic_that_panics;
}

async fn not_acknowledged() -> Error {
    let (broker, client) = start(Broker::builder());
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Swallow);
    let producer = client.producer().idempotent(false).build().unwrap();
    failure(producer.send(Record::new("orders").partition(0).value("new"))).await
}

async fn refused() -> Error {
    let broker = Broker::builder().start_in_memory().unwrap();
    broker.set_reachability(1, Reachability::Refusing);
    failure(client(&broker).connect()).await
}

/// Answers as a web server does that hears something else than HTTP.
#[derive(Clone, Debug)]
struct Http;

impl Connector for Http {
    fn connect(&self, _target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        Box::pin(async {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            tokio::spawn(async move {
                let _ = theirs.read_u8().await;
                theirs.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await
            });
            Ok(Box::new(ours) as Box<dyn Transport>)
        })
    }
}

async fn http() -> Error {
    let authority = rcgen::generate_simple_self_signed(["kafka1.example".to_owned()]).unwrap();
    let tls = TlsConfig::new().ca(authority.cert.pem());
    failure(Client::builder("kafka1.example:443").connector(Http).tls(tls).seed(7).connect()).await
}

fn with_users() -> (Broker, ClientBuilder) {
    let broker = Broker::builder().topic("orders", 2).sasl_user(SaslMechanism::Plain, "alice", "alice-secret");
    let broker = broker.start_in_memory().unwrap();
    let client = client(&broker).allow_cleartext_sasl(true);
    (broker, client)
}

async fn wrong_password() -> Error {
    let (_broker, builder) = with_users();
    let client = builder.sasl(Sasl::plain("alice", "wrong")).build().unwrap();
    failure(client.topics()).await
}

async fn denied() -> Error {
    let (broker, builder) = with_users();
    let client = builder.sasl(Sasl::plain("alice", "alice-secret")).build().unwrap();
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Error(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    failure(client.deliver(Record::new("orders").partition(0).value("new"))).await
}

async fn fenced() -> Error {
    let (broker, client) = start(Broker::builder());
    broker.append_records("orders", 0, [(None, Some(&b"new"[..]))]).unwrap();
    let member = || client.consumer("billing").topics(["orders"]).group_instance_id("billing-1").build().unwrap();
    let (mut first, mut second) = (member(), member());
    first.next().await.unwrap();
    second.next().await.unwrap();
    failure(async { first.next().await }).await
}

async fn wrong_setting() -> Error {
    let properties = Properties::from_pairs([("bootstrap.servers", "kafka1.example:9092"), ("acks", "2")]);
    failure(async { properties.and_then(Client::from_properties)?.build() }).await
}

async fn wrong_partition() -> Error {
    let (_broker, client) = start(Broker::builder());
    failure(client.deliver(Record::new("orders").partition(7).value("new"))).await
}

async fn too_large() -> Error {
    let (_broker, client) = start(Broker::builder());
    failure(client.deliver(Record::new("orders").value(vec![0; 2_000_000]))).await
}

async fn unknown_topic() -> Error {
    let (_broker, client) = start(Broker::builder());
    failure(client.partition_count("order")).await
}

async fn out_of_range() -> Error {
    let (broker, client) = start(Broker::builder());
    broker.append_records("orders", 0, [(None, Some(&b"new"[..])), (None, Some(&b"paid"[..]))]).unwrap();
    let mut reader = client.reader("orders").partition(0).from(SeekTo::Offset(100)).build().unwrap();
    failure(async { reader.next().await }).await
}

async fn buffer_full() -> Error {
    let (broker, client) = start(Broker::builder());
    client.partition_count("orders").await.unwrap();
    let producer = client.producer().buffer_memory(100_000).max_request_size(50_000).build().unwrap();
    producer.send(Record::new("orders").partition(0).value("first")).await.unwrap();
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Swallow);
    failure(async {
        for _ in 0..100 {
            let delivery = producer.try_enqueue(Record::new("orders").partition(0).value(vec![0; 10_000]))?;
            drop(delivery);
        }
        Ok(())
    })
    .await
}

async fn not_an_answer() -> Error {
    let (broker, client) = start(Broker::builder());
    client.brokers().await.unwrap();
    broker.intercept_all(ApiKey::LIST_GROUPS, |_| Intercept::Respond(Bytes::from_static(&[0xff; 3])));
    failure(client.admin().list_groups()).await
}

async fn too_old() -> Error {
    let (_broker, client) = start(Broker::builder().without(ApiKey::OFFSET_DELETE));
    let admin = client.admin();
    failure(admin.delete_group_offsets("billing", [TopicPartition::new("orders", 0)])).await
}

async fn other_assignor() -> Error {
    let (broker, client) = start(Broker::builder());
    broker.append_records("orders", 0, [(None, Some(&b"new"[..]))]).unwrap();
    let member = |assignor: Arc<dyn Assignor>| client.consumer("billing").topics(["orders"]).assignors([assignor]);
    let mut first = member(Arc::new(RangeAssignor)).build().unwrap();
    first.next().await.unwrap();
    let mut second = member(Arc::new(RoundRobinAssignor)).build().unwrap();
    failure(async { second.next().await }).await
}

async fn failing_handler() -> Error {
    let (broker, client) = start(Broker::builder());
    broker.append_records("orders", 0, [(None, Some(&b"new"[..]))]).unwrap();
    failure(client.each_message("orders", SeekTo::Beginning, async |_| Err("the database is full"))).await
}

async fn already_there() -> Error {
    let (_broker, client) = start(Broker::builder());
    let admin = client.admin();
    failure(admin.create_topic(NewTopic::new("orders"))).await
}

async fn on_a_closed_client() -> Error {
    let (_broker, client) = start(Broker::builder());
    client.close().await;
    failure(client.topics()).await
}

/// Panics with what panics again when it is dropped.
#[derive(Debug)]
struct Panicking;

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the panic's own panic");
    }
}

impl Assignor for Panicking {
    fn name(&self) -> &str {
        "panicking"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn assign(
        &self,
        _topics: &BTreeMap<Topic, i32>,
        _members: &BTreeMap<MemberId, Subscription>,
    ) -> klamm::Result<BTreeMap<MemberId, Vec<TopicPartition>>> {
        std::panic::panic_any(Bomb)
    }
}

async fn a_panic_that_panics() -> Error {
    let (_broker, client) = start(Broker::builder());
    let assignor = Arc::new(Panicking) as Arc<dyn Assignor>;
    let mut consumer = client.consumer("billing").topics(["orders"]).assignors([assignor]).build().unwrap();
    failure(async { consumer.next().await }).await
}
