//! What a user can get wrong about addresses and names, and what a peer that is no broker can do: each a typed error that says what
//! failed, where, what to do, within its time.

use std::time::Duration;

use klamm::{Client, Error, ErrorKind, Record};
use klamm_broker::Broker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

/// The error of connecting to a peer that answers the first bytes it gets with `answer`, and keeps the connection open.
async fn error_of_peer(answer: &'static [u8]) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut bytes = [0; 64];
            let _ = socket.read(&mut bytes).await;
            let _ = socket.write_all(answer).await;
            open.push(socket);
        }
    });
    let second = Duration::from_secs(1);
    let connecting = Client::builder(address.to_string()).connection_setup_timeout(second, second).connect();
    let error = timeout(Duration::from_secs(20), connecting).await.expect("it hangs").expect_err("it connected");
    assert!(error.to_string().contains(&address.to_string()), "which address? {error}");
    error
}

#[tokio::test]
async fn no_broker_at_the_address_is_said_at_once() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = Instant::now();
    let error = Client::builder(format!("127.0.0.1:{port}")).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")) && error.to_string().contains("refused"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_port_that_speaks_http_is_recognized() {
    let error = error_of_peer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    assert!(error.to_string().contains("HTTP"), "{error}");
}

#[tokio::test]
async fn a_port_that_speaks_tls_is_recognized() {
    // A fatal alert: the handshake failed.
    let error = error_of_peer(&[0x15, 3, 3, 0, 2, 2, 40]).await;
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[tokio::test]
async fn a_peer_that_accepts_and_never_answers_is_given_up() {
    error_of_peer(b"").await;
}

#[tokio::test]
async fn lengths_that_cannot_be_are_errors_and_no_allocations() {
    for answer in [&[0xff, 0xff, 0xff, 0xff, 0, 0][..], &[0x7f, 0xff, 0xff, 0xff, 0, 0], &[0, 0, 0, 1, 7]] {
        error_of_peer(answer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_an_error_within_the_time_that_sending_may_take() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
    let limit = Duration::from_secs(3);
    let producer = client.producer().max_block(limit).build().unwrap();
    let start = Instant::now();
    let error = producer.send(Record::new("missing").value("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some("missing")));
    assert!(error.to_string().contains("create it"), "what to do? {error}");
    assert!(start.elapsed() <= limit + Duration::from_millis(200), "{:?}", start.elapsed());
    assert!(broker.topics().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_invalid_topic_name_is_an_error_at_once() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
    let start = Instant::now();
    let error = client.deliver(Record::new("not a name").value("x")).await.unwrap_err();
    assert!(error.to_string().contains("not a name"), "{error}");
    assert!(!error.is_retriable());
    let error = client.partition_count("").await.unwrap_err();
    assert!(error.to_string().contains("must not be empty"), "{error}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}
