//! What was closed says so from every call, at once: nothing is sent, nothing waits.

use klamm::admin::{ConfigChange, ConfigResource, NewTopic, OffsetSpec, Validate};
use klamm::consumer::SeekTo;
use klamm::protocol::messages::list_groups::ListGroupsRequest;
use klamm::protocol::{ApiKey, BrokerId};
use klamm::{ErrorKind, Record, Route, TopicPartition};
use tokio::time::Instant;

use super::*;

async fn assert_closed<T>(what: &str, call: impl Future<Output = Result<T, Error>>) {
    let begin = Instant::now();
    let error = failure(call).await;
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Closed, false), "{what}: {error:?}");
    assert!(begin.elapsed() < SECOND, "{what}: {:?}", begin.elapsed());
    let text = error.to_string();
    assert!(text.contains("closed") && text.contains("build another"), "{what}: {text}");
}

macro_rules! closed {
    ($($call:expr),* $(,)?) => {$( assert_closed(stringify!($call), $call).await; )*};
}

#[tokio::test(start_paused = true)]
async fn every_call_of_a_closed_client_says_that_it_was_closed() {
    let (broker, client) = start(Broker::builder());
    let admin = client.admin();
    client.deliver(Record::new("orders").value("before")).await.unwrap();
    client.close().await;
    broker.clear_requests();
    let partition = || TopicPartition::new("orders", 0);
    let topic = ConfigResource::Topic("orders".into());
    closed!(
        client.request(ListGroupsRequest::default(), Route::Any),
        client.brokers(),
        client.controller(),
        client.topics(),
        client.has_topic("orders"),
        client.partition_count("orders"),
        client.replica_count("orders"),
        client.last_offset("orders", 0),
        client.last_offsets(["orders"]),
        client.supports_api(ApiKey::FETCH, None),
        client.deliver(Record::new("orders").value("v")),
        client.each_message("orders", SeekTo::Beginning, async |_| Ok::<_, Error>(())),
        client.fetch_messages("orders", 0).send(),
        client.fetch_messages("orders", 0).from(0).send(),
        admin.describe_cluster(),
        admin.api_versions(None),
        admin.api_versions(Some(BrokerId(1))),
        admin.list_topics(),
        admin.has_topic("orders"),
        admin.describe_topics(["orders"]),
        admin.create_topic(NewTopic::new("new")),
        admin.create_topics([NewTopic::new("new")], Validate::Only),
        admin.delete_topics(["orders"]),
        admin.create_partitions("orders", 5, Validate::AndApply),
        admin.list_groups(),
        admin.group_offsets("billing"),
        admin.delete_group_offsets("billing", [partition()]),
        admin.describe_configs(&topic, None),
        admin.alter_configs(&topic, [ConfigChange::delete("retention.ms")], Validate::AndApply),
        admin.topic_configs("orders", None),
        admin.alter_topic("orders", [("retention.ms", "1")]),
        admin.broker_configs(BrokerId(1), None),
        admin.alter_broker(BrokerId(1), [("log.cleaner.threads", "2")]),
    );
    // Where a result is one of several.
    closed!(
        async { admin.describe_groups(["billing"]).await?.remove(0).1 },
        async { admin.delete_groups(["billing"]).await?.remove(0).1 },
        async { admin.list_offsets([partition()], OffsetSpec::End).await?.remove(0).1 },
        async { admin.last_stable_offsets([partition()]).await?.remove(0).1 },
    );
    assert!(broker.requests().is_empty(), "{:?}", broker.requests());
    // What is made from it later.
    closed!(
        async { client.producer().build()?.send(Record::new("orders").value("v")).await },
        async { client.reader("orders").build()?.next().await },
        async { client.consumer("billing").topics(["orders"]).build()?.next().await },
        async {
            let mut buffer = client.buffered_producer().build()?;
            buffer.produce(Record::new("orders").value("v")).map_err(|rejected| rejected.error().clone())?;
            Err::<(), _>(buffer.deliver().await.unwrap_err().failed.remove(0).error)
        },
    );
    assert_eq!(broker.values("orders", 0).unwrap().len() + broker.values("orders", 1).unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_call_of_a_closed_producer_says_that_it_is_closed() {
    let (broker, client) = start(Broker::builder());
    let producer = client.producer().build().unwrap();
    producer.send(Record::new("orders").value("before")).await.unwrap();
    producer.clone().close(SECOND).await.unwrap();
    let record = || Record::new("orders").value("late");
    closed!(producer.send(record()), async { producer.enqueue(record()).await?.await }, async {
        producer.try_enqueue(record()).map_err(|rejected| rejected.error().clone())
    },);
    // There is nothing left to be delivered, and nothing that could fail.
    producer.flush().await.unwrap();
    producer.close(SECOND).await.unwrap();

    let background = client.async_producer().build().unwrap();
    background.close(SECOND).await.unwrap();
    closed!(
        async { background.produce(record()).await.map_err(|rejected| rejected.error().clone()) },
        async { background.try_produce(record()).map_err(|rejected| rejected.error().clone()) },
        async { background.deliver() },
    );
    assert_eq!(broker.values("orders", 0).unwrap().len() + broker.values("orders", 1).unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_closed_consumer_says_that_it_was_closed() {
    let (broker, client) = start(Broker::builder());
    broker.append_records("orders", 0, [(None, Some(&b"new"[..]))]).unwrap();
    let mut consumer = client.consumer("billing").topics(["orders"]).build().unwrap();
    let message = consumer.next().await.unwrap().unwrap();
    let handle = consumer.handle();
    consumer.close(SECOND).await.unwrap();
    handle.mark_as_processed(&message);
    closed!(handle.commit(), handle.heartbeat(), handle.heartbeat_if_due());

    let mut consumer = client.consumer("billing").topics(["orders"]).build().unwrap();
    consumer.next_batch().await.unwrap();
    consumer.stop();
    assert!(consumer.next().await.unwrap().is_none() && consumer.next_batch().await.unwrap().is_none(), "stopped is no error");
    closed!(consumer.commit(), consumer.heartbeat());
}
