//! The two ways to a broker: TCP, and a klamm `Connector` in memory.

use std::io::ErrorKind;
use std::time::Duration;

use klamm::network::{Connector, Target};
use klamm::protocol::header::encode_request;
use klamm::protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use klamm::protocol::{ApiMessage, Str};
use klamm_broker::{Broker, Reachability};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn metadata(mut transport: impl AsyncRead + AsyncWrite + Unpin) -> MetadataResponse {
    let client_id = Str::try_from("test").expect("short");
    let frame = encode_request(1, Some(&client_id), 5, &MetadataRequest { topics: None, ..Default::default() });
    transport.write_all(&frame.expect("fits").concat()).await.expect("written");
    let mut frame = vec![0; transport.read_u32().await.expect("a length") as usize];
    transport.read_exact(&mut frame).await.expect("a frame");
    MetadataResponse::decode(&bytes::Bytes::from(frame).slice(4..), 5).expect("an answer")
}

#[tokio::test]
async fn every_node_listens_at_the_address_that_it_names() {
    let broker = Broker::builder().nodes(3).topic("orders", 3).start_tcp("127.0.0.1:0").await.expect("a broker");
    for address in broker.bootstrap() {
        let response = metadata(TcpStream::connect(&address).await.expect("connected")).await;
        let named: Vec<_> = response.brokers.iter().map(|node| format!("{}:{}", node.host, node.port)).collect();
        assert_eq!(named, broker.bootstrap());
    }
}

#[tokio::test]
async fn a_stopped_node_refuses_over_tcp_and_comes_back_at_its_address() {
    let broker = Broker::builder().nodes(2).start_tcp("127.0.0.1:0").await.expect("a broker");
    let address = broker.bootstrap().remove(1);
    let mut before = TcpStream::connect(&address).await.expect("connected");
    broker.raw_client(1);
    broker.stop_node(2);
    let refused = timeout(Duration::from_secs(10), async {
        // The listener goes when its task does.
        while TcpStream::connect(&address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    refused.await.expect("refused");
    let end = timeout(Duration::from_secs(10), before.read_u8()).await.expect("closed");
    assert!(end.is_err());
    broker.start_node(2).await.expect("started");
    metadata(TcpStream::connect(&address).await.expect("connected")).await;
}

#[tokio::test]
async fn a_dropped_broker_closes_its_connections_and_its_port() {
    let broker = Broker::builder().start_tcp("127.0.0.1:0").await.expect("a broker");
    let address = broker.bootstrap().remove(0);
    let mut client = TcpStream::connect(&address).await.expect("connected");
    metadata(&mut client).await;
    drop(broker);
    assert!(timeout(Duration::from_secs(10), client.read_u8()).await.expect("closed").is_err());
    let refused = timeout(Duration::from_secs(10), async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    refused.await.expect("refused");
}

#[tokio::test]
async fn what_does_not_speak_kafka_is_hung_up_on() {
    let broker = Broker::builder().start_tcp("127.0.0.1:0").await.expect("a broker");
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 16],
        &[0, 0, 0, 3, 1, 2, 3],
        &[0, 0, 0, 12, 0x7f, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let mut client = TcpStream::connect(&broker.bootstrap()[0]).await.expect("connected");
        client.write_all(bytes).await.expect("written");
        let mut answer = Vec::new();
        // Closed in order or, where bytes were left unread, with a reset.
        let _ = timeout(Duration::from_secs(10), client.read_to_end(&mut answer)).await.expect("closed");
        assert!(answer.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_connector_reaches_nodes_by_the_names_they_give() {
    let broker = Broker::builder().nodes(2).start_in_memory().expect("a broker");
    let connect = |host: &str| broker.connector().connect(Target { host: host.to_owned(), port: 9092 });
    metadata(connect("node-2").await.expect("connected")).await;
    assert_eq!((broker.requests().len(), broker.requests()[0].node), (1, 2));
    assert_eq!(connect("node-3").await.err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    broker.set_reachability(1, Reachability::Refusing);
    assert_eq!(connect("node-1").await.err().map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
    broker.set_reachability(1, Reachability::BlackHole);
    assert!(timeout(Duration::from_secs(1000), connect("node-1")).await.is_err());
    broker.stop_node(2);
    assert_eq!(connect("node-2").await.err().map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
    broker.start_node(2).await.expect("started");
    broker.set_address(2, "elsewhere", 9092);
    assert!(connect("node-2").await.is_err());
    metadata(connect("elsewhere").await.expect("connected")).await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_counted_until_they_close() {
    let broker = Broker::builder().start_in_memory().expect("a broker");
    let clients: Vec<_> = (0..3).map(|_| broker.raw_client(1)).collect();
    tokio::task::yield_now().await;
    assert_eq!(broker.connections(1), 3);
    drop(clients);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(broker.connections(1), 0);
}

#[test]
fn without_a_runtime_it_does_not_start() {
    assert!(Broker::builder().start_in_memory().is_err());
}

#[tokio::test]
async fn topics_that_cannot_be_are_refused_at_the_start() {
    assert!(Broker::builder().topic("bad name", 1).start_in_memory().is_err());
    assert!(Broker::builder().topic("orders", 0).start_in_memory().is_err());
}
