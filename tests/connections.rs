//! Connections as a user of the client meets them. (Acceptance group O, and the bad input that comes over a socket.)
//!
//! What has to be a socket is one, on the wall clock; the rest runs on the embedded broker in memory with tokio's paused clock.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use klamm::protocol::ApiKey;
use klamm::protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse};
use klamm::{Client, Error, ErrorKind, Route};
use klamm_broker::{Broker, Intercept};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant as TokioInstant;

const HALF: Duration = Duration::from_millis(500);
const SECOND: Duration = Duration::from_secs(1);

/// A client whose calls take half a second at most.
fn hasty(address: impl ToString) -> Client {
    Client::builder(address.to_string()).request_timeout(HALF).default_api_timeout(HALF).build().unwrap()
}

async fn ask(client: &Client) -> Result<ListGroupsResponse, Error> {
    client.request(ListGroupsRequest::default(), Route::Any).await
}

/// An error with all that caused it.
fn story(error: &Error) -> String {
    format!("{error:?}")
}

/// Accepts one connection, reads its first request and writes `answer`; then waits for the client to close.
async fn speak(listener: TcpListener, answer: &'static [u8]) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut len = [0; 4];
    stream.read_exact(&mut len).await.unwrap();
    let mut request = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut request).await.unwrap();
    stream.write_all(answer).await.unwrap();
    until_closed(&mut stream).await;
}

async fn until_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is a close as well.
    let closed = tokio::time::timeout(SECOND, stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the client keeps the connection open");
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn rk_176_a_peer_that_accepts_and_never_answers_is_a_time_out_and_a_closed_socket() {
    let (listener, address) = listen().await;
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        until_closed(&mut stream).await;
    });
    let client = hasty(address);
    let start = Instant::now();
    let error = ask(&client).await.unwrap_err();
    let elapsed = start.elapsed();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!((HALF..SECOND).contains(&elapsed), "{elapsed:?}");
    assert!(story(&error).contains(&address.to_string()), "{error:?}");
    peer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rk_176_a_broker_that_stops_answering_is_a_time_out_and_a_closed_connection() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap())
        .connector(broker.connector())
        .request_timeout(HALF)
        .default_api_timeout(HALF)
        .connect()
        .await
        .unwrap();
    broker.intercept_all(ApiKey::LIST_GROUPS, |_| Intercept::Swallow);
    let start = TokioInstant::now();
    let error = ask(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!((HALF..SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(story(&error).contains("ListGroups"), "{error:?}");
    tokio::time::sleep(SECOND).await;
    let asked = &broker.requests_of(ApiKey::LIST_GROUPS)[0];
    assert!(!broker.connection_ids(asked.node).contains(&asked.connection), "the connection is still open");
}

#[tokio::test]
async fn rk_177_an_address_that_drops_syns_is_a_connect_time_out() {
    // A listener whose queue is full leaves further SYNs unanswered.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = tokio::time::timeout(HALF / 5, TcpStream::connect(address)).await {
        filling.push(stream.unwrap());
        assert!(filling.len() < 50, "the queue is never full");
    }
    let builder = Client::builder(address.to_string()).connection_setup_timeout(HALF, HALF);
    let start = Instant::now();
    let error = builder.connect().await.unwrap_err();
    let elapsed = start.elapsed();
    assert!(elapsed < SECOND, "{elapsed:?}");
    // A peer that accepts and does not answer (RK-176) is a time-out of the request.
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
    let story = story(&error);
    assert!(story.contains(&format!("connecting to {address} took longer than")), "{story}");
}

#[tokio::test]
async fn rk_178_a_refused_connection_is_an_error_at_once_that_names_host_and_port() {
    let (listener, address) = listen().await;
    drop(listener);
    let start = Instant::now();
    let error = Client::builder(address.to_string()).connect().await.unwrap_err();
    assert!(start.elapsed() < HALF, "{:?}", start.elapsed());
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
    let story = story(&error);
    assert!(story.contains(&format!("cannot connect to {address}")) && story.contains("refused"), "{story}");
}

#[tokio::test(start_paused = true)]
async fn rk_179_after_a_close_between_two_requests_the_next_opens_a_new_connection() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
    ask(&client).await.unwrap();
    for wait in [Duration::ZERO, SECOND] {
        let node = broker.requests_of(ApiKey::LIST_GROUPS)[0].node;
        broker.close_connections(node);
        tokio::time::sleep(wait).await;
        ask(&client).await.unwrap();
    }
    let seen: Vec<_> = broker.requests_of(ApiKey::LIST_GROUPS).iter().map(|request| request.connection).collect();
    assert!(seen[0] != seen[1] && seen[1] != seen[2], "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn rk_180_a_late_answer_is_never_given_to_another_request() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap())
        .connector(broker.connector())
        .request_timeout(SECOND)
        .default_api_timeout(SECOND)
        .connect()
        .await
        .unwrap();
    ask(&client).await.unwrap();
    broker.intercept_next(ApiKey::LIST_GROUPS, 1, |request| {
        let late = ListGroupsResponse { throttle_time_ms: 77, ..Default::default() };
        Intercept::respond(request, &late).after(2 * SECOND)
    });
    assert_eq!(ask(&client).await.unwrap_err().kind(), ErrorKind::Timeout);
    for _ in 0..20 {
        assert_ne!(ask(&client).await.unwrap().throttle_time_ms, 77);
        tokio::time::sleep(HALF / 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn rk_181_after_300_s_without_use_the_next_request_goes_over_a_new_connection() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap())
        .connector(broker.connector())
        .connections_max_idle(300 * SECOND)
        // Else the refresh would use the connection.
        .metadata_max_age(3600 * SECOND)
        .connect()
        .await
        .unwrap();
    for wait in [299, 301] {
        ask(&client).await.unwrap();
        tokio::time::sleep(wait * SECOND).await;
    }
    ask(&client).await.unwrap();
    let seen: Vec<_> = broker.requests_of(ApiKey::LIST_GROUPS).iter().map(|request| request.connection).collect();
    assert!(seen[0] == seen[1] && seen[1] != seen[2], "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn rk_182_a_long_poll_is_not_cut_by_the_request_time_out() {
    let broker = Broker::builder().topic("quiet", 1).start_in_memory().unwrap();
    let client =
        Client::builder(broker.bootstrap()).connector(broker.connector()).request_timeout(10 * SECOND).connect().await.unwrap();
    let start = TokioInstant::now();
    let messages = client.fetch_messages("quiet", 0).from(0).max_wait(30 * SECOND).send().await.unwrap();
    assert!(messages.is_empty());
    assert!((30 * SECOND..31 * SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(broker.requests_of(ApiKey::FETCH).len(), 1, "it was cut and sent again");
}

#[tokio::test]
async fn rk_184_a_length_of_2_gb_is_an_error() {
    for (answer, said) in [
        (&[0x7f, 0xff, 0xff, 0xff][..], "2147483647 bytes"),
        (&[0xff, 0xff, 0xff, 0xff], "length -1"),
        (&[0, 0, 0, 2, 0, 0], "length 2"),
    ] {
        let (listener, address) = listen().await;
        let peer = tokio::spawn(speak(listener, answer));
        let error = Client::builder(address.to_string()).connect().await.unwrap_err();
        let story = story(&error);
        assert!(story.contains(said) && story.contains(&address.to_string()), "{story}");
        peer.await.unwrap();
    }
}

#[tokio::test]
async fn a_port_that_speaks_http_or_tls_is_named_for_what_it_is() {
    let alert = &[0x15, 3, 3, 0, 2, 2, 70];
    for (answer, said) in
        [(&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], "HTTP"), (alert, "security.protocol=SSL")]
    {
        let (listener, address) = listen().await;
        let peer = tokio::spawn(speak(listener, answer));
        let error = Client::builder(address.to_string()).connect().await.unwrap_err();
        let story = story(&error);
        assert!(story.contains(said) && story.contains(&address.to_string()), "{story}");
        peer.await.unwrap();
    }
}

/// A broker that does not know our version of ApiVersions may say so, or just close (KIP-511).
#[tokio::test(start_paused = true)]
async fn a_broker_that_resets_at_new_versions_of_api_versions_is_reached_with_the_oldest() {
    let broker = Broker::builder().start_in_memory().unwrap();
    broker.intercept_all(
        ApiKey::API_VERSIONS,
        |request| {
            if request.version > 0 { Intercept::CloseBefore } else { Intercept::Pass }
        },
    );
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
    ask(&client).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_anywhere_is_asked_for_again() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
    ask(&client).await.unwrap();
    for cut in 0..12 {
        broker.intercept_next(ApiKey::LIST_GROUPS, 1, move |_| Intercept::CutResponse(cut));
        ask(&client).await.unwrap();
    }
    assert_eq!(broker.requests_of(ApiKey::LIST_GROUPS).len(), 1 + 2 * 12);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_another_request_is_an_error_and_the_connection_is_not_trusted_again() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
    broker.intercept_next(ApiKey::LIST_GROUPS, 1, |request| {
        let id = (request.correlation_id + 1).to_be_bytes();
        Intercept::Raw([&[0, 0, 0, 4][..], &id].concat().into())
    });
    ask(&client).await.unwrap();
    let seen = broker.requests_of(ApiKey::LIST_GROUPS);
    assert!(seen.len() == 2 && seen[0].connection != seen[1].connection, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn trailing_bytes_are_an_error_that_names_the_message() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
    broker.intercept_all(ApiKey::LIST_GROUPS, |_| Intercept::Respond(vec![0; 100].into()));
    let error = ask(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode, "{error:?}");
    assert!(story(&error).contains("ListGroups"), "{error:?}");
}
