//! What a message says in the situations that people meet. Some are shown where their subject is:
//!
//! | situation | test |
//! |---|---|
//! | wrong password, user that is not there | `tests/sasl/refusals.rs`, all of it |
//! | mechanism that is not offered, listener without SASL | `tests/sasl/logins.rs` |
//! | wrong authority | `tests/tls/trust.rs`: `a_broker_of_another_authority_is_refused_at_once_with_the_setting_to_look_at` |
//! | certificate that is over, or not yet valid | there: `a_certificate_out_of_its_time_is_refused_with_the_dates` |
//! | certificate of another host | there: `a_certificate_of_another_name_is_refused_with_both_names_unless_any_will_do` |
//! | TLS on a port without, or of HTTP | `tests/tls/handshakes.rs`: `who_does_not_speak_tls_is_named_for_what_it_speaks` |
//! | no TLS on a port with it | there: `a_client_without_tls_is_told_that_the_listener_expects_it` |
//! | no TLS on a port of HTTP | `tests/cluster_bad_input.rs`: `a_port_that_speaks_http_is_recognized` |
//! | group of another protocol type | `tests/group/membership.rs`: `a_group_of_another_protocol_type_is_said_to_be_in_use_for_something_else` |
//! | no assignor in common | there: `members_without_a_common_assignor_are_told_what_the_group_uses` |
//! | session time-out that is not allowed | there: `a_session_time_out_that_the_broker_does_not_allow_is_an_error_with_the_limits` |
//! | what an ACL does not allow | `denials.rs` beside this |
//! | what was closed | `closed.rs` beside this |

use klamm::admin::Validate;
use klamm::consumer::{OffsetReset, SeekTo};
use klamm::protocol::messages::metadata::MetadataRequest;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{ErrorKind, Record};
use klamm_broker::Intercept;

use super::*;
use crate::log::logged;

#[tokio::test(start_paused = true)]
async fn an_advertised_address_that_cannot_be_reached_is_told_with_the_server_that_told_of_it() {
    let broker = Broker::builder().topic("orders", 1).start_in_memory().unwrap();
    broker.append_records("orders", 0, [(None, Some(&b"new"[..]))]).unwrap();
    let client = Client::builder("bootstrap:9092").connector(Advertised(broker.connector())).seed(7);
    let client = client.default_api_timeout(10 * SECOND).connect().await.unwrap();
    let told = ["cannot connect to node-1:9092", "bootstrap server bootstrap:9092 told", "advertised.listeners"];
    says(&failure(client.last_offset("orders", 0)).await, &told);
    says(&failure(client.admin().list_groups()).await, &told);
    says(&failure(client.admin().group_offsets("billing")).await, &told);
    says(&failure(client.fetch_messages("orders", 0).from(0).send()).await, &told);
    let producer = client.producer().delivery_timeout(40 * SECOND).build().unwrap();
    let error = failure(producer.send(Record::new("orders").value("v"))).await;
    says(&error, &["delivery.timeout.ms", "partition orders/0"]);
    says(&error, &told);
}

#[test]
fn a_consumer_that_cannot_reach_an_advertised_address_says_so_in_the_log() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let ((), warnings) = logged(tracing::Level::WARN, || {
        runtime.block_on(async {
            let broker = Broker::builder().topic("orders", 1).start_in_memory().unwrap();
            let client = Client::builder("bootstrap:9092").connector(Advertised(broker.connector())).seed(7).build().unwrap();
            let mut reader = client.reader("orders").partition(0).from(SeekTo::Offset(0)).build().unwrap();
            let mut member = client.consumer("billing").topics(["orders"]).build().unwrap();
            // Both wait: a broker may come back.
            assert!(timeout(3 * SECOND, reader.next()).await.is_err());
            assert!(timeout(90 * SECOND, member.next()).await.is_err());
        });
    });
    for about in ["no records from broker 1", "coordinator"] {
        let found = |line: &&String| line.contains(about) && line.contains("cannot connect to node-1:9092");
        let line = warnings.iter().find(found).unwrap_or_else(|| panic!("{about}: {warnings:#?}"));
        assert!(line.contains("bootstrap server bootstrap:9092 told") && line.contains("advertised.listeners"), "{line}");
    }
    assert!(warnings.len() < 120, "{} lines in a minute and a half", warnings.len());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_comes_with_the_nearest_that_is_known() {
    let (broker, client) = start(Broker::builder().topic("Payments.v2", 1));
    let admin = client.admin();
    let nearest = |error: Error, wanted: &str, meant: &str| {
        assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some(wanted)), "{error:?}");
        says(&error, &["create it first", &format!("there is one called {meant:?}")]);
    };
    for (wanted, meant) in [("order", "orders"), ("odrers", "orders"), ("payments_v2", "Payments.v2")] {
        nearest(failure(client.partition_count(wanted)).await, wanted, meant);
        nearest(failure(client.replica_count(wanted)).await, wanted, meant);
        nearest(failure(client.last_offset(wanted, 0)).await, wanted, meant);
        nearest(failure(client.last_offsets([wanted])).await, wanted, meant);
        nearest(failure(client.deliver(Record::new(wanted).value("v"))).await, wanted, meant);
        nearest(failure(client.fetch_messages(wanted, 0).send()).await, wanted, meant);
        nearest(failure(async { client.reader(wanted).build()?.next().await }).await, wanted, meant);
        nearest(failure(async { admin.describe_topics([wanted]).await?.remove(0).1 }).await, wanted, meant);
        nearest(failure(async { admin.delete_topics([wanted]).await?.remove(0).1 }).await, wanted, meant);
        nearest(failure(admin.create_partitions(wanted, 9, Validate::AndApply)).await, wanted, meant);
    }
    let error = failure(client.partition_count("invoices")).await;
    assert!(!error.to_string().contains("called"), "nothing is near: {error}");
    let error = failure(async { admin.describe_topics(["invoices"]).await?.remove(0).1 }).await;
    says(&error, &["topic invoices", "; check the name"]);
    assert!(!client.has_topic("order").await.unwrap());
    // Who asks again and again makes no list of all topics each time.
    let lists = || broker.decoded::<MetadataRequest>().iter().filter(|request| request.topics.is_none()).count();
    let before = lists();
    for _ in 0..20 {
        drop(client.partition_count("order").await);
    }
    assert!(lists() <= before + 1, "{} lists", lists() - before);
    // A list that is not to be had changes nothing.
    let (broker, client) = start(Broker::builder());
    broker.intercept_all(ApiKey::METADATA, |request| match request.decode::<MetadataRequest>() {
        Ok(asked) if asked.topics.is_none() => Intercept::Swallow,
        _ => Intercept::Pass,
    });
    let begin = tokio::time::Instant::now();
    let error = failure(client.partition_count("order")).await;
    assert_eq!((error.kind(), begin.elapsed() <= 3 * SECOND), (ErrorKind::UnknownTopic, true), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_not_there_is_told_with_those_that_are() {
    let (_broker, client) = start(Broker::builder().topic("one", 1));
    for (topic, said) in [("orders", "no such partition: it has 2, from 0"), ("one", "no such partition: it has 1, from 0")] {
        says(&failure(client.last_offset(topic, 5)).await, &[said, &format!("partition {topic}/5")]);
        says(&failure(client.fetch_messages(topic, 5).from(0).send()).await, &[said, &format!("partition {topic}/5")]);
    }
    says(&failure(client.deliver(Record::new("orders").partition(5))).await, &["it has 2, from 0", "partition orders/5"]);
}

#[tokio::test(start_paused = true)]
async fn an_offset_out_of_range_is_told_with_the_range_of_the_log() {
    let (broker, client) = start(Broker::builder());
    let values: Vec<String> = (0..10).map(|value| value.to_string()).collect();
    broker.append_records("orders", 0, values.iter().map(|value| (None, Some(value.as_bytes())))).unwrap();
    broker.delete_records("orders", 0, 3);
    let range = ["offset 100", "partition orders/0", "the log has offsets 3 to 9, and the next record gets 10", "seek there"];
    let mut reader = client.reader("orders").partition(0).from(SeekTo::Offset(100)).build().unwrap();
    for _ in 0..2 {
        let error = failure(async { reader.next().await }).await;
        assert_eq!((error.kind(), error.offset()), (ErrorKind::OffsetOutOfRange, Some(100)), "{error:?}");
        says(&error, &range);
        says(&error, &["auto_offset_reset"]);
    }
    says(&failure(client.fetch_messages("orders", 0).from(100).send()).await, &range);
    broker.set_committed("billing", "orders", 0, Some(100));
    let consumer = || client.consumer("billing").topics(["orders"]).auto_offset_reset(OffsetReset::Error).build().unwrap();
    let mut member = consumer();
    // The other partition has no committed offset, which is told as well.
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(failure(async { member.next().await }).await);
    }
    told.sort_by_key(Error::partition);
    says(&told[0], &range);
    says(&told[1], &["has committed no offset", "partition orders/1", "the log is empty now, and the next record gets offset 0"]);
    drop(member);
    // An answer that is not to be had changes nothing.
    broker.intercept_all(ApiKey::LIST_OFFSETS, |_| Intercept::Swallow);
    let begin = tokio::time::Instant::now();
    let error = failure(client.fetch_messages("orders", 0).from(100).send()).await;
    assert_eq!(error.code(), Some(ErrorCode::OFFSET_OUT_OF_RANGE));
    assert!(begin.elapsed() <= 3 * SECOND && error.to_string().contains("offset 100"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_that_asks_for_the_range_loses_nothing() {
    let (broker, client) = start(Broker::builder());
    broker.append_records("orders", 0, [(None, Some(&b"new"[..]))]).unwrap();
    broker.intercept_all(ApiKey::LIST_OFFSETS, |_| Intercept::Delay(SECOND / 2));
    let mut reader = client.reader("orders").partition(0).from(SeekTo::Offset(100)).build().unwrap();
    for _ in 0..50 {
        if let Ok(next) = timeout(SECOND / 10, reader.next()).await {
            return says(&next.unwrap_err(), &["the log has offsets 0 to 0"]);
        }
    }
    panic!("the error got lost");
}
