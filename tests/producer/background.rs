//! The background producer.

use klamm::ErrorKind;

use crate::harness::{one_node, record, values};

#[tokio::test(start_paused = true)]
async fn a_record_is_acknowledged_with_its_place() {
    let (broker, client) = one_node(3);
    let producer = client.producer().build().unwrap();
    let first = producer.send(record(1, "a")).await.unwrap();
    assert_eq!((first.topic.as_str(), first.partition, first.offset), ("t", 1, Some(0)));
    let second = producer.send(record(1, "b")).await.unwrap();
    assert_eq!(second.offset, Some(1));
    assert_eq!(values(&broker, "t", 1), ["a", "b"]);
    producer.close().await.unwrap();
    let error = producer.send(record(1, "c")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}
