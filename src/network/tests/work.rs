//! Work of a set-up step: done on the blocking pool, while the connection's own time runs on.

use std::sync::mpsc::{Receiver, Sender, channel};

use zeroize::Zeroizing;

use super::*;
use crate::network::setup::{SetupAction, SetupStep, Work, WorkResult};

/// A step that is through when its work is, which takes as long as the test wants.
struct Slow {
    begun: Sender<()>,
    /// Whether to panic.
    end: Option<Receiver<bool>>,
}

impl std::fmt::Debug for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slow")
    }
}

impl SetupStep for Slow {
    fn start(&mut self, _now: Instant, _versions: &ApiVersions) -> SetupAction {
        let (begun, end) = (self.begun.clone(), self.end.take());
        SetupAction::Work(Work::new(move || {
            begun.send(()).unwrap();
            assert!(!end.unwrap().recv().unwrap_or(true), "as the test wants it");
            Zeroizing::new(b"done".to_vec())
        }))
    }

    fn handle_response(&mut self, _now: Instant, _body: Bytes) -> SetupAction {
        unreachable!("nothing was asked")
    }

    fn handle_work(&mut self, _now: Instant, result: WorkResult) -> SetupAction {
        assert_eq!(&result[..], b"done");
        SetupAction::Done { session: None }
    }

    fn advice_if_closed(&self) -> &'static str {
        "wait"
    }
}

/// A configuration whose connections each have such a step; the ends of their work, and who hears of their beginnings.
fn slow() -> (ConnectionConfig, mpsc::UnboundedReceiver<Sender<bool>>, Receiver<()>) {
    let ((ends, coming), (begun, beginnings)) = (mpsc::unbounded_channel(), channel());
    let steps = move || {
        let (end, ended) = channel();
        ends.send(end).unwrap();
        Ok(vec![Box::new(Slow { begun: begun.clone(), end: Some(ended) }) as Box<dyn SetupStep>])
    };
    (ConnectionConfig { setup: Some(Arc::new(steps)), ..ConnectionConfig::default() }, coming, beginnings)
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_ready_when_its_work_is_done() {
    let (config, mut ends, begun) = slow();
    let mut net = Net::new(&[]);
    let connection = net.connection_with(config);
    let asked = send(&connection, "a", 30 * SECOND);
    let mut peer = net.peer().await;
    peer.set_up().await;
    let end = ends.recv().await.unwrap();
    begun.recv().unwrap();
    end.send(false).unwrap();
    let (header, _) = peer.heartbeat().await;
    peer.beat(&header, 7).await;
    assert_eq!(asked.await.unwrap().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn work_that_takes_too_long_or_fails_ends_the_attempt_and_its_result_concerns_nobody() {
    let (config, mut ends, begun) = slow();
    let mut net = Net::new(&[]);
    let connection = net.connection_with(config);
    let asked = send(&connection, "a", 300 * SECOND);
    let mut peer = net.peer().await;
    peer.set_up().await;
    let late = ends.recv().await.unwrap();
    begun.recv().unwrap();
    // The clock does not go by itself while something blocks.
    tokio::time::advance(20 * SECOND).await;
    let failure = asked.await.unwrap().unwrap_err();
    assert_eq!(failure.cause.kind(), CauseKind::SetupTimeout);
    peer.closed().await;
    late.send(false).unwrap();

    // A panic in it is a failure of that attempt alone.
    let asked = send(&connection, "b", 300 * SECOND);
    let mut peer = net.peer().await;
    peer.set_up().await;
    let end = ends.recv().await.unwrap();
    begun.recv().unwrap();
    end.send(true).unwrap();
    let failure = asked.await.unwrap().unwrap_err();
    assert_eq!(failure.cause.kind(), CauseKind::Setup);
    peer.closed().await;

    let asked = send(&connection, "c", 300 * SECOND);
    let mut peer = net.peer().await;
    peer.set_up().await;
    let end = ends.recv().await.unwrap();
    begun.recv().unwrap();
    end.send(false).unwrap();
    let (header, _) = peer.heartbeat().await;
    peer.beat(&header, 7).await;
    assert_eq!(asked.await.unwrap().unwrap(), 7);
}
