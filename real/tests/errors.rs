//! Errors as Apache Kafka gives cause for them: what an ACL does not allow, on the secured broker, where `bob` may do what he is allowed
//! alone; a topic that is not there.
#![forbid(unsafe_code)]

use std::future::Future;
use std::time::{Duration, Instant};

use klamm::admin::{ConfigResource, NewTopic};
use klamm::config::Sasl;
use klamm::{Client, Error, ErrorKind, Record};
use klamm_real::{Listener, bootstrap, connect, create, kafka_tool, new_topic, unique};
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);

/// Adds ACLs by Kafka's own tool.
async fn allow(arguments: &[&str]) {
    let server = Listener::Plaintext.address();
    let arguments = [&["--bootstrap-server", &server, "--add"], arguments].concat();
    kafka_tool("org.apache.kafka.tools.AclCommand", &arguments, "").await;
}

/// A client that logs in as this user.
async fn logged_in(user: &str) -> Client {
    let builder = Client::builder(Listener::SaslPlaintext.address()).client_id("klamm-real");
    let sasl = Sasl::scram_sha_512(user, format!("{user}-secret"));
    builder.sasl(sasl).allow_cleartext_sasl(true).connect().await.expect("logged in")
}

/// The brokers tell each other of ACLs, which takes a moment: a call is made again until it is denied.
async fn assert_denied<T, F: Future<Output = Result<T, Error>>>(what: &str, needed: &str, mut call: impl FnMut() -> F) {
    let begin = Instant::now();
    loop {
        let asked = Instant::now();
        let answer = timeout(30 * SECOND, call()).await.unwrap_or_else(|_| panic!("{what} hangs"));
        match answer {
            Ok(_) if begin.elapsed() < 10 * SECOND => tokio::time::sleep(SECOND / 5).await,
            Ok(_) => panic!("{what} is allowed"),
            Err(error) => {
                assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Authorization, false), "{what}: {error:?}");
                let text = error.to_string();
                let advice = format!("an ACL must allow {needed} to User:bob");
                assert!(text.contains(&advice), "{what}: {advice:?} is not in {text}");
                // At once, guarded ten times.
                assert!(asked.elapsed() < 10 * SECOND, "{what}: {:?}", asked.elapsed());
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_acl_does_not_allow_is_told_at_once_with_the_operation_the_resource_and_who_was_denied() {
    let alice = logged_in("alice").await;
    let (readable, writable, hidden, new) = (unique("readable"), unique("writable"), unique("hidden"), unique("new"));
    let (closed, described) = (unique("closed"), unique("described"));
    for topic in [&readable, &writable, &hidden] {
        create(&alice, NewTopic::new(topic.as_str()).partitions(1)).await;
    }
    // Once a resource has an ACL, nobody may do what none allows: the cluster's stay open to all but bob.
    // (Not DELETE, which on the cluster is for all topics, whatever their own ACLs say.)
    let operations = ["Alter", "AlterConfigs", "Create", "Describe", "DescribeConfigs", "IdempotentWrite"];
    let operations = operations.map(|operation| ["--operation", operation]).concat();
    allow(&[&["--cluster", "--allow-principal", "User:*"], &operations[..]].concat()).await;
    allow(&["--cluster", "--deny-principal", "User:bob", "--operation", "Create", "--operation", "IdempotentWrite"]).await;
    allow(&["--topic", &readable, "--group", &described, "--allow-principal", "User:bob", "--operation", "Describe"]).await;
    allow(&["--topic", &readable, "--allow-principal", "User:bob", "--operation", "Read"]).await;
    allow(&["--topic", &writable, "--allow-principal", "User:bob", "--operation", "Write"]).await;
    allow(&["--topic", &hidden, "--topic", &new, "--group", &closed, "--allow-principal", "User:alice", "--operation", "All"])
        .await;

    let bob = logged_in("bob").await;
    let (admin, bob) = (bob.admin(), &bob);
    let topic = |name: &str| format!("topic {name:?}");
    let write = format!("WRITE on {}", topic(&readable));
    assert_denied("producing", &write, || bob.deliver(Record::new(readable.as_str()).value("x"))).await;
    let read = format!("READ on {}", topic(&writable));
    assert_denied("reading", &read, || bob.fetch_messages(writable.as_str(), 0).from(0).send()).await;
    assert_denied("reading on", &read, || async { bob.reader(writable.as_str()).build()?.next().await }).await;
    let describe = format!("DESCRIBE on {}", topic(&hidden));
    assert_denied("describing", &describe, || bob.partition_count(hidden.as_str())).await;
    assert_denied("producing unseen", &describe, || bob.deliver(Record::new(hidden.as_str()).value("x"))).await;
    let configs = format!("DESCRIBE_CONFIGS on {}", topic(&hidden));
    let resource = ConfigResource::Topic(hidden.as_str().into());
    assert_denied("describing configs", &configs, || admin.describe_configs(&resource, None)).await;
    let create = format!("CREATE on {}", topic(&new));
    assert_denied("creating", &create, || admin.create_topic(NewTopic::new(new.as_str()).partitions(1))).await;
    let delete = format!("DELETE on {}", topic(&readable));
    assert_denied("deleting", &delete, || async { admin.delete_topics([readable.as_str()]).await?.remove(0).1 }).await;
    let member = |group: &str| {
        let (group, readable) = (group.to_owned(), readable.as_str());
        async move { bob.consumer(group).topics([readable]).build()?.next().await }
    };
    let find = format!("DESCRIBE (a consumer needs READ) on group {closed:?}");
    assert_denied("joining a group unseen", &find, || member(&closed)).await;
    let join = format!("READ on group {described:?}");
    assert_denied("joining a group", &join, || member(&described)).await;
    let describe = format!("DESCRIBE (a consumer needs READ) on group {closed:?}");
    assert_denied("reading a group's offsets", &describe, || admin.group_offsets(&closed)).await;

    // Nothing has to be built anew for what is allowed.
    alice.deliver(Record::new(readable.as_str()).value("in")).await.expect_err("it is bob's alone now");
    bob.deliver(Record::new(writable.as_str()).value("in")).await.expect("bob may write here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_not_there_comes_with_the_nearest_that_is() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "neighbour", 1).await;
    let error = client.partition_count(topic.replacen("neigh", "niegh", 1)).await.expect_err("not there");
    assert_eq!(error.kind(), ErrorKind::UnknownTopic, "{error:?}");
    assert!(error.to_string().contains(&format!("there is one called {topic:?}")), "{error}");
    let error = client.last_offset(topic.as_str(), 9).await.expect_err("not there");
    assert!(error.to_string().contains("no such partition: it has 1, from 0"), "{error}");
}
