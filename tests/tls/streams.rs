//! What goes through once TLS is agreed on: large and small, bit by bit, and how it ends.

use std::time::Duration;

use bytes::Bytes;
use klamm::config::TlsConfig;
use klamm::consumer::SeekTo;
use klamm::network::Connector;
use klamm::{Client, ErrorKind, Record};

use crate::{Authority, Drip, End, NODE, ask, broker, client, server};

/// Sends `values` to topic `t` and reads them again, through `way`.
async fn there_and_back(way: impl Connector, ca: &Authority, values: &[Bytes]) {
    let client = client(way, TlsConfig::new().ca(ca.pem())).connect().await.unwrap();
    let producer = client.producer().build().unwrap();
    let mut deliveries = Vec::new();
    for value in values {
        deliveries.push(producer.enqueue(Record::new("t").value(value.clone())).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close(Duration::from_secs(30)).await.unwrap();
    let mut reader = client.reader("t").from(SeekTo::Beginning).to_end().build().unwrap();
    for value in values {
        let message = reader.next().await.unwrap().expect("as many as were sent");
        assert!(message.value.as_ref() == Some(value), "offset {}", message.offset);
    }
    assert!(reader.next().await.unwrap().is_none());
}

/// Bytes that look like nothing in particular.
fn value(seed: u32, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8
    };
    (0..len).map(next).collect()
}

#[tokio::test]
async fn megabytes_go_there_and_back_through_wide_and_narrow_pipes() {
    let ca = Authority::new("ca");
    let values: Vec<_> = (0..12).map(|seed| value(seed, 700_000)).collect();
    for bytes in [1 << 20, 1 << 16, 1_000] {
        let broker = broker();
        let front = server(&ca.broker(&[NODE])).before(&broker).with_pipes_of(bytes);
        there_and_back(front, &ca, &values).await;
    }
}

#[tokio::test]
async fn one_byte_at_a_time_is_slow_and_right() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let values: Vec<_> = (0..20).map(|seed| value(seed, 3_000)).collect();
    there_and_back(Drip(server(&ca.broker(&[NODE])).before(&broker)), &ca, &values).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_between_two_answers_is_like_any_other_with_farewell_and_without() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let issued = ca.broker(&[NODE]);
    for end in [End::Orderly, End::Abrupt] {
        let front = server(&issued).before(&broker).ending(end);
        let client: Client = client(front.clone(), TlsConfig::new().ca(ca.pem())).connect().await.unwrap();
        ask(&client).await.unwrap();
        let before = front.seen().len();
        broker.close_connections(1);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        // It was noticed when it happened, so nothing is lost on the old connection.
        ask(&client).await.unwrap_or_else(|error| panic!("{end:?}: {error:?}"));
        assert_eq!(front.seen().len(), before + 1, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_inside_an_answer_is_a_break() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let front = server(&ca.broker(&[NODE])).before(&broker).ending(End::AbruptAfter(10));
    let error = client(front, TlsConfig::new().ca(ca.pem())).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
    assert!(format!("{error:?}").contains("closed the connection in the middle of an answer"), "{error:?}");
}
