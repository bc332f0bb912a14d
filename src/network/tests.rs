//! The task of a connection over in-memory pipes, on tokio's paused clock. The other side is a [`Peer`] in the test's hands.

mod work;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant as TokioInstant, timeout};

use super::*;
use crate::error::ErrorKind;
use crate::protocol::header::{self, RequestHeader};
use crate::protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use crate::protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::protocol::messages::metadata::MetadataRequest;
use crate::protocol::{ApiKey, ApiMessage, ErrorCode, Str};

const SECOND: Duration = Duration::from_secs(1);

/// How an attempt to connect goes.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Connect,
    Refuse,
    Hang,
}

/// Makes pipes of `size` bytes and gives the other ends to the test.
#[derive(Debug)]
struct Pipes {
    peers: mpsc::UnboundedSender<Peer>,
    plans: Mutex<VecDeque<Plan>>,
    targets: Mutex<Vec<Target>>,
    size: usize,
    polls: Arc<AtomicUsize>,
}

impl Connector for Pipes {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        self.targets.lock().unwrap().push(target);
        let plan = self.plans.lock().unwrap().pop_front().unwrap_or(Plan::Connect);
        let (ours, theirs) = tokio::io::duplex(self.size);
        let (peers, polls) = (self.peers.clone(), Arc::clone(&self.polls));
        Box::pin(async move {
            match plan {
                Plan::Refuse => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                Plan::Hang => std::future::pending().await,
                Plan::Connect => {
                    peers.send(Peer { stream: theirs }).unwrap();
                    Ok(Box::new(Counted { stream: ours, polls }) as Box<dyn Transport>)
                }
            }
        })
    }
}

/// Counts how often it is polled.
struct Counted {
    stream: DuplexStream,
    polls: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The broker's end of one connection.
#[derive(Debug)]
struct Peer {
    stream: DuplexStream,
}

impl Peer {
    /// The next request, or `None` at a clean end; panics at an end inside a request.
    async fn request(&mut self) -> Option<(RequestHeader, Bytes)> {
        let mut len = [0; 4];
        match self.stream.read(&mut len[..1]).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => self.stream.read_exact(&mut len[1..]).await.unwrap(),
        };
        let mut frame = vec![0; u32::from_be_bytes(len) as usize];
        self.stream.read_exact(&mut frame).await.unwrap();
        Some(RequestHeader::decode(&Bytes::from(frame)).unwrap())
    }

    async fn answer<M: ApiMessage>(&mut self, correlation_id: i32, version: i16, response: &M) {
        let frame = header::encode_response(correlation_id, version, response).unwrap().concat();
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Answers ApiVersions.
    async fn set_up(&mut self) {
        let (header, _) = self.request().await.unwrap();
        assert_eq!(header.api_key, ApiKey::API_VERSIONS);
        let api = |api_key, max_version| ApiVersion { api_key, min_version: 0, max_version };
        let response = ApiVersionsResponse { api_keys: vec![api(12, 4), api(18, 5)], ..Default::default() };
        self.answer(header.correlation_id, header.api_version, &response).await;
    }

    /// A heartbeat's header and member id.
    async fn heartbeat(&mut self) -> (RequestHeader, String) {
        let (header, body) = self.request().await.expect("a request");
        let request = HeartbeatRequest::decode(&body, header.api_version).unwrap();
        (header, request.member_id.as_str().to_owned())
    }

    /// Answers a heartbeat with a code of its own, so that answers can be told apart.
    async fn beat(&mut self, header: &RequestHeader, code: i16) {
        let response = HeartbeatResponse { error_code: ErrorCode(code), ..Default::default() };
        self.answer(header.correlation_id, header.api_version, &response).await;
    }

    /// Waits until the client has closed.
    async fn closed(&mut self) {
        let mut rest = Vec::new();
        timeout(SECOND, self.stream.read_to_end(&mut rest)).await.expect("the client closes").unwrap();
    }
}

struct Net {
    pipes: Arc<Pipes>,
    peers: mpsc::UnboundedReceiver<Peer>,
}

impl Net {
    fn new(plans: &[Plan]) -> Self {
        Self::of_size(plans, 1 << 16)
    }

    fn of_size(plans: &[Plan], size: usize) -> Self {
        let (sender, peers) = mpsc::unbounded_channel();
        let plans = Mutex::new(plans.iter().copied().collect());
        let pipes = Pipes { peers: sender, plans, targets: Mutex::default(), size, polls: Arc::default() };
        Self { pipes: Arc::new(pipes), peers }
    }

    fn connection(&self) -> Connection {
        self.connection_with(ConnectionConfig::default())
    }

    fn connection_with(&self, config: ConnectionConfig) -> Connection {
        let connector = Arc::clone(&self.pipes) as Arc<dyn Connector>;
        Connection::spawn(connector, Target::new("b1", 9092), config).unwrap()
    }

    /// The next connection that the client opens.
    async fn peer(&mut self) -> Peer {
        timeout(10 * SECOND, self.peers.recv()).await.expect("a connection").unwrap()
    }

    async fn set_up(&mut self) -> Peer {
        let mut peer = self.peer().await;
        peer.set_up().await;
        peer
    }

    fn attempts(&self) -> usize {
        self.pipes.targets.lock().unwrap().len()
    }
}

fn heartbeat(member: &str) -> HeartbeatRequest {
    HeartbeatRequest { member_id: Str::new(member.to_owned()).unwrap(), ..Default::default() }
}

/// Sends a heartbeat from a task of its own; gives the code that came back.
fn send(connection: &Connection, member: &str, timeout: Duration) -> tokio::task::JoinHandle<Result<i16, Failure>> {
    let (connection, request) = (connection.clone(), heartbeat(member));
    tokio::spawn(async move { connection.request(request, timeout).await.map(|response| response.error_code.0) })
}

fn kind<T: std::fmt::Debug>(result: Result<T, Failure>) -> (Written, CauseKind) {
    let failure = result.unwrap_err();
    (failure.written, failure.cause.kind())
}

/// Lets every task run until nothing moves.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_opened_before_the_first_request_and_then_one_connection_serves_all() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    settle().await;
    assert_eq!(net.attempts(), 0);
    let first = send(&connection, "a", SECOND);
    let mut peer = net.set_up().await;
    let (header, member) = peer.heartbeat().await;
    assert_eq!((member.as_str(), header.client_id.as_ref().map(Str::as_str)), ("a", Some("klamm")));
    peer.beat(&header, 1).await;
    assert_eq!(first.await.unwrap().unwrap(), 1);
    let second = send(&connection, "b", SECOND);
    let (header, _) = peer.heartbeat().await;
    peer.beat(&header, 2).await;
    assert_eq!(second.await.unwrap().unwrap(), 2);
    assert_eq!(net.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn versions_are_there_without_a_request() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let asked = tokio::spawn(async move { connection.versions(SECOND).await });
    let _peer = net.set_up().await;
    assert_eq!(asked.await.unwrap().unwrap().range(ApiKey::HEARTBEAT), Some(0..=4));
}

#[tokio::test(start_paused = true)]
async fn an_api_that_the_broker_does_not_serve_is_an_error_without_sending() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let asked = tokio::spawn(async move { connection.request(MetadataRequest::default(), SECOND).await });
    let _peer = net.set_up().await;
    let failure = asked.await.unwrap().unwrap_err();
    assert_eq!((failure.written, failure.cause.kind()), (Written::No, CauseKind::UnsupportedVersion));
    let error = failure.into_error("Metadata");
    assert_eq!((error.kind(), error.broker(), error.is_retriable()), (ErrorKind::UnsupportedVersion, Some("b1:9092"), false));
}

#[tokio::test(start_paused = true)]
async fn rk_176_a_peer_that_never_answers_is_a_time_out_and_a_closed_socket() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let start = TokioInstant::now();
    let asked = send(&connection, "a", SECOND / 2);
    let mut peer = net.peer().await;
    assert_eq!(kind(asked.await.unwrap()), (Written::No, CauseKind::Timeout));
    assert!((SECOND / 2..SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stops_answering_is_a_time_out_and_a_closed_socket() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let asked = send(&connection, "a", SECOND / 2);
    let mut peer = net.set_up().await;
    peer.heartbeat().await;
    assert_eq!(kind(asked.await.unwrap()), (Written::Maybe, CauseKind::Timeout));
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn rk_177_an_address_that_does_not_answer_at_all_is_a_connect_timeout() {
    let net = Net::new(&[Plan::Hang]);
    let connection = net.connection_with(ConnectionConfig { setup_timeout: SECOND / 2, ..Default::default() });
    let start = TokioInstant::now();
    let failure = send(&connection, "a", 30 * SECOND).await.unwrap().unwrap_err();
    assert!(start.elapsed() < SECOND);
    assert_eq!((failure.written, failure.cause.kind()), (Written::No, CauseKind::ConnectTimeout));
    assert!(failure.to_string().contains("b1:9092"), "{failure}");
    assert_eq!(failure.into_error("Heartbeat").kind(), ErrorKind::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn rk_178_a_refused_connection_is_an_error_at_once_that_names_host_and_port() {
    let net = Net::new(&[Plan::Refuse]);
    let connection = net.connection();
    let start = TokioInstant::now();
    let failure = send(&connection, "a", 30 * SECOND).await.unwrap().unwrap_err();
    assert_eq!((start.elapsed(), failure.cause.kind()), (Duration::ZERO, CauseKind::Connect));
    assert!(failure.to_string().contains("cannot connect to b1:9092"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn requests_during_the_pause_after_a_failure_wait_for_the_next_attempt() {
    let mut net = Net::new(&[Plan::Refuse, Plan::Refuse]);
    let connection = net.connection();
    assert_eq!(kind(send(&connection, "a", 30 * SECOND).await.unwrap()).1, CauseKind::Connect);
    let start = TokioInstant::now();
    assert_eq!(kind(send(&connection, "b", 30 * SECOND).await.unwrap()).1, CauseKind::Connect);
    assert!((Duration::from_millis(40)..=Duration::from_millis(62)).contains(&start.elapsed()), "{:?}", start.elapsed());
    let asked = send(&connection, "c", 30 * SECOND);
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    peer.beat(&header, 0).await;
    assert_eq!(asked.await.unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_time_out_while_unconnected_says_what_had_happened() {
    let net = Net::new(&[Plan::Refuse, Plan::Hang]);
    let connection = net.connection();
    drop(send(&connection, "a", SECOND).await);
    let failure = send(&connection, "b", SECOND).await.unwrap().unwrap_err();
    assert_eq!(failure.cause.kind(), CauseKind::Timeout);
    let error = failure.into_error("Heartbeat");
    assert!(format!("{error:?}").contains("connection refused"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn rk_179_after_a_close_between_requests_the_next_opens_a_new_connection() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    for code in [1, 2, 3] {
        let asked = send(&connection, "a", SECOND);
        let mut peer = net.set_up().await;
        let (header, _) = peer.heartbeat().await;
        peer.beat(&header, code).await;
        assert_eq!(asked.await.unwrap().unwrap(), code);
        drop(peer);
        settle().await;
    }
    assert_eq!(net.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn rk_180_the_answer_to_a_dropped_call_is_discarded_and_the_connection_goes_on() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let dropped = send(&connection, "a", 30 * SECOND);
    let mut peer = net.set_up().await;
    let (first, _) = peer.heartbeat().await;
    dropped.abort();
    settle().await;
    let kept = send(&connection, "b", 30 * SECOND);
    let (second, _) = peer.heartbeat().await;
    peer.beat(&first, 11).await;
    peer.beat(&second, 22).await;
    assert_eq!(kept.await.unwrap().unwrap(), 22);
    assert_eq!(net.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn rk_181_after_300_s_without_use_the_next_request_goes_over_a_new_connection() {
    let mut net = Net::new(&[]);
    let connection = net.connection_with(ConnectionConfig { idle_timeout: 300 * SECOND, ..Default::default() });
    let asked = send(&connection, "a", SECOND);
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    peer.beat(&header, 0).await;
    asked.await.unwrap().unwrap();
    tokio::time::sleep(301 * SECOND).await;
    peer.closed().await;
    let asked = send(&connection, "b", SECOND);
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    peer.beat(&header, 0).await;
    asked.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn rk_182_a_long_poll_has_its_own_time() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let long = send(&connection, "a", 40 * SECOND);
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    tokio::time::sleep(30 * SECOND).await;
    peer.beat(&header, 0).await;
    assert_eq!(long.await.unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_swallowed_answer_ends_the_connection_at_its_deadline_and_fails_all_in_flight() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let swallowed = send(&connection, "a", 5 * SECOND);
    let mut peer = net.set_up().await;
    peer.heartbeat().await;
    let other = send(&connection, "b", 30 * SECOND);
    peer.heartbeat().await;
    assert_eq!(kind(swallowed.await.unwrap()), (Written::Maybe, CauseKind::Timeout));
    assert_eq!(kind(other.await.unwrap()), (Written::Maybe, CauseKind::Disconnected));
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_a_time_out() {
    let mut net = Net::of_size(&[], 200);
    let connection = net.connection();
    let first = send(&connection, "a", 30 * SECOND);
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    peer.beat(&header, 0).await;
    first.await.unwrap().unwrap();
    let failure = send(&connection, &"long".repeat(1000), 2 * SECOND).await.unwrap().unwrap_err();
    assert_eq!((failure.written, failure.cause.kind()), (Written::Maybe, CauseKind::Timeout));
    assert!(failure.to_string().contains("could not be written"), "{failure}");
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn five_are_in_flight_the_next_waits_and_its_time_runs_meanwhile() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let asked: Vec<_> = (0..5).map(|n| send(&connection, &n.to_string(), 30 * SECOND)).collect();
    let mut peer = net.set_up().await;
    let mut headers = Vec::new();
    for n in 0..5 {
        let (header, member) = peer.heartbeat().await;
        assert_eq!(member, n.to_string());
        headers.push(header);
    }
    let (late, waiting) = (send(&connection, "late", 2 * SECOND), send(&connection, "waiting", 30 * SECOND));
    settle().await;
    assert_eq!(kind(late.await.unwrap()), (Written::No, CauseKind::Timeout));
    peer.beat(&headers[0], 0).await;
    let (header, member) = peer.heartbeat().await;
    assert_eq!(member, "waiting");
    for header in &headers[1..] {
        peer.beat(header, 0).await;
    }
    peer.beat(&header, 9).await;
    assert_eq!(waiting.await.unwrap().unwrap(), 9);
    for asked in asked {
        asked.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_is_not_sent() {
    let mut net = Net::new(&[]);
    let connection = net.connection_with(ConnectionConfig { max_in_flight: 1, ..Default::default() });
    let first = send(&connection, "a", 30 * SECOND);
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    let dropped = send(&connection, "b", 30 * SECOND);
    settle().await;
    dropped.abort();
    let last = send(&connection, "c", 30 * SECOND);
    peer.beat(&header, 0).await;
    first.await.unwrap().unwrap();
    let (header, member) = peer.heartbeat().await;
    assert_eq!(member, "c");
    peer.beat(&header, 0).await;
    last.await.unwrap().unwrap();
}

/// Whatever poll of a call is its last, the peer sees whole requests only, also where each byte is a turn of its own.
#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_point_leaves_the_stream_in_step() {
    for polls in 0..60 {
        let mut net = Net::of_size(&[], 1);
        let connection = net.connection();
        let peer = tokio::spawn(async move {
            let mut peer = net.set_up().await;
            while let Some((header, _)) = peer.request().await {
                peer.beat(&header, 0).await;
            }
        });
        let mut dropped = Box::pin(connection.request(heartbeat("dropped"), 30 * SECOND));
        for _ in 0..polls {
            let done = std::future::poll_fn(|cx| Poll::Ready(dropped.as_mut().poll(cx).is_ready())).await;
            if done {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(dropped);
        for _ in 0..3 {
            connection.request(heartbeat("kept"), 30 * SECOND).await.unwrap();
        }
        drop(connection);
        peer.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_decoded_is_an_error_and_ends_the_connection() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let asked = send(&connection, "a", 30 * SECOND);
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    let mut frame = header::encode_response(header.correlation_id, 4, &HeartbeatResponse::default()).unwrap().concat();
    frame.push(0);
    frame[3] += 1;
    peer.stream.write_all(&frame).await.unwrap();
    let failure = asked.await.unwrap().unwrap_err();
    assert_eq!((failure.written, failure.cause.kind()), (Written::Maybe, CauseKind::Decode));
    assert!(failure.to_string().contains("Heartbeat"), "{failure}");
    peer.closed().await;
    let asked = send(&connection, "b", 30 * SECOND);
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    peer.beat(&header, 0).await;
    asked.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn ports_that_speak_something_else_are_named_for_what_they_are() {
    let alert = &[0x15, 3, 3, 0, 2, 2, 70][..];
    for (bytes, said, kind) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "HTTP", CauseKind::Protocol), (alert, "TLS", CauseKind::Tls)]
    {
        let mut net = Net::new(&[]);
        let connection = net.connection();
        let asked = send(&connection, "a", 30 * SECOND);
        let mut peer = net.peer().await;
        peer.request().await.unwrap();
        peer.stream.write_all(bytes).await.unwrap();
        let failure = asked.await.unwrap().unwrap_err();
        assert_eq!(failure.cause.kind(), kind);
        assert!(failure.to_string().contains(said) && failure.to_string().contains("b1:9092"), "{failure}");
        peer.closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_throttled_and_nothing_times_out_from_it() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let (first, second) = (send(&connection, "a", SECOND), send(&connection, "b", SECOND));
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    let (in_flight, _) = peer.heartbeat().await;
    let throttled = HeartbeatResponse { throttle_time_ms: 5000, ..Default::default() };
    peer.answer(header.correlation_id, 4, &throttled).await;
    first.await.unwrap().unwrap();
    let start = TokioInstant::now();
    let third = send(&connection, "c", 6 * SECOND);
    assert!(timeout(4 * SECOND, peer.request()).await.is_err(), "nothing comes meanwhile");
    peer.beat(&in_flight, 2).await;
    assert_eq!(second.await.unwrap().unwrap(), 2);
    let (header, _) = peer.heartbeat().await;
    assert!(start.elapsed() >= 5 * SECOND, "{:?}", start.elapsed());
    peer.beat(&header, 3).await;
    assert_eq!(third.await.unwrap().unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn closing_fails_what_is_in_flight_and_what_waits_and_all_that_follows() {
    let mut net = Net::new(&[]);
    let connection = net.connection_with(ConnectionConfig { max_in_flight: 1, ..Default::default() });
    let in_flight = send(&connection, "a", 30 * SECOND);
    let mut peer = net.set_up().await;
    peer.heartbeat().await;
    let waiting = send(&connection, "b", 30 * SECOND);
    settle().await;
    connection.close();
    assert_eq!(kind(in_flight.await.unwrap()), (Written::Maybe, CauseKind::Closed));
    assert_eq!(kind(waiting.await.unwrap()), (Written::No, CauseKind::Closed));
    assert_eq!(kind(send(&connection, "c", 30 * SECOND).await.unwrap()), (Written::No, CauseKind::Closed));
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_clone_dropped_closes_the_connection() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let asked = send(&connection, "a", 30 * SECOND);
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    peer.beat(&header, 0).await;
    asked.await.unwrap().unwrap();
    drop(connection);
    peer.closed().await;
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let net = Net::new(&[]);
    let connector = Arc::clone(&net.pipes) as Arc<dyn Connector>;
    let error = Connection::spawn(connector, Target::new("b1", 9092), ConnectionConfig::default()).unwrap_err();
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_not_polled() {
    let mut net = Net::new(&[]);
    let connection = net.connection();
    let asked = send(&connection, "a", 60 * SECOND);
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    let polls = || net.pipes.polls.load(Ordering::Relaxed);
    settle().await;
    let before = polls();
    tokio::time::sleep(50 * SECOND).await;
    assert!(polls() - before <= 2, "{} polls with one request in flight", polls() - before);
    peer.beat(&header, 0).await;
    asked.await.unwrap().unwrap();
    settle().await;
    let before = polls();
    tokio::time::sleep(500 * SECOND).await;
    assert!(polls() - before <= 3, "{} polls while idle", polls() - before);
}

// ---- a source of its own ----

/// What a source was told, in order.
#[derive(Debug, PartialEq)]
enum Told {
    Written(u64),
    Answered(u64, Option<Written>),
    Unconnected,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Option<Outgoing>>,
    told: Vec<Told>,
    throttle: Option<Duration>,
}

#[derive(Clone, Default)]
struct Script(Arc<Mutex<State>>);

impl Script {
    fn push(&self, ticket: u64, expects_response: bool) {
        let request = Outgoing::new(ticket, 4, &heartbeat(&ticket.to_string()), 10 * SECOND).unwrap();
        self.0.lock().unwrap().requests.push_back(Some(Outgoing { expects_response, ..request }));
    }

    fn told(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap().told)
    }
}

impl RequestSource for Script {
    fn poll_request(&mut self, _cx: &mut Context<'_>, _now: Instant, versions: &ApiVersions) -> Poll<Option<Outgoing>> {
        assert!(versions.range(ApiKey::HEARTBEAT).is_some());
        self.0.lock().unwrap().requests.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
    fn handle_written(&mut self, _now: Instant, ticket: u64) {
        self.0.lock().unwrap().told.push(Told::Written(ticket));
    }
    fn handle_response(&mut self, _now: Instant, ticket: u64, result: Result<ResponseBody, Failure>) {
        self.0.lock().unwrap().told.push(Told::Answered(ticket, result.err().map(|failure| failure.written)));
    }
    fn feedback(&mut self) -> Feedback {
        Feedback { throttle: self.0.lock().unwrap().throttle.take(), broken: None }
    }
    fn handle_unconnected(&mut self, _now: Instant, _cause: &Cause) {
        self.0.lock().unwrap().told.push(Told::Unconnected);
    }
    /// One that is always over: it must not keep the task busy.
    fn next_timeout(&self) -> Option<Instant> {
        Some(TokioInstant::now().into_std() - Duration::from_nanos(1))
    }
    fn wants_connection(&mut self) -> bool {
        !self.0.lock().unwrap().requests.is_empty()
    }
}

fn source(net: &Net, script: &Script) -> SourceHandle {
    let connector = Arc::clone(&net.pipes) as Arc<dyn Connector>;
    spawn_source(connector, Target::new("b1", 9092), ConnectionConfig::default(), script.clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_source_is_asked_when_woken_and_told_in_order() {
    let mut net = Net::new(&[Plan::Refuse]);
    let script = Script::default();
    let handle = source(&net, &script);
    script.push(1, true);
    script.push(2, false);
    script.push(3, true);
    handle.wake();
    let mut peer = net.set_up().await;
    let (first, _) = peer.heartbeat().await;
    peer.heartbeat().await;
    let (third, _) = peer.heartbeat().await;
    settle().await;
    assert_eq!(script.told(), [Told::Unconnected, Told::Written(1), Told::Written(2), Told::Answered(2, None), Told::Written(3)]);
    peer.beat(&first, 0).await;
    peer.beat(&third, 0).await;
    settle().await;
    assert_eq!(script.told(), [Told::Answered(1, None), Told::Answered(3, None)]);
    drop(handle);
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_at_its_end_gets_its_answers_before_the_connection_closes() {
    let mut net = Net::new(&[]);
    let script = Script::default();
    let handle = source(&net, &script);
    script.push(1, true);
    script.0.lock().unwrap().requests.push_back(None);
    handle.wake();
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    settle().await;
    assert!(!handle.is_closed());
    peer.beat(&header, 0).await;
    peer.closed().await;
    assert_eq!(script.told(), [Told::Written(1), Told::Answered(1, None)]);
    assert!(handle.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_throttle_that_the_source_found_is_kept() {
    let mut net = Net::new(&[]);
    let script = Script::default();
    let handle = source(&net, &script);
    script.push(1, true);
    script.0.lock().unwrap().throttle = Some(3 * SECOND);
    handle.wake();
    let mut peer = net.set_up().await;
    let (header, _) = peer.heartbeat().await;
    peer.beat(&header, 0).await;
    settle().await;
    script.push(2, true);
    handle.wake();
    assert!(timeout(2 * SECOND, peer.request()).await.is_err());
    peer.heartbeat().await;
}

#[tokio::test(start_paused = true)]
async fn a_moved_broker_is_reached_at_its_new_address() {
    let mut net = Net::new(&[]);
    let script = Script::default();
    let handle = source(&net, &script);
    script.push(1, true);
    handle.wake();
    let mut peer = net.set_up().await;
    peer.heartbeat().await;
    handle.retarget(Target::new("b2", 9093));
    peer.closed().await;
    assert_eq!(script.told(), [Told::Written(1), Told::Answered(1, Some(Written::Maybe))]);
    script.push(2, true);
    handle.wake();
    net.set_up().await.heartbeat().await;
    assert_eq!(net.pipes.targets.lock().unwrap()[1], Target::new("b2", 9093));
}
