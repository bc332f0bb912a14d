//! A background producer with interceptors: each record passes them on its way in, and its result reaches them on a task of their own.
//!
//! ```text
//!   enqueue ── a place in line ── on_send ── append ──> Delivery, to the caller
//!                                              └─────── its twin, in line ──> task: awaits each, on_acknowledgement
//! ```
//!
//! Producers without interceptors have none of this. The line is bounded: interceptors that are slower than the cluster hold the
//! callers up, as a full buffer does. Connections know nothing of it. The task ends once the producer is dropped and the line is empty.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::delivery::Delivery;
use super::engine::{Engine, closed};
use super::interceptor::Interceptors;
use super::rejected::Rejected;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;

/// Records whose interceptors have not been told of their result.
const LINE: usize = 65_536;

/// What stands in line.
#[derive(Debug)]
enum Entry {
    /// A record that was accepted.
    Record(Delivery),
    /// Somebody waits until all before it were told.
    Mark(oneshot::Sender<()>),
}

/// The interceptors of a background producer, and the line to their task.
#[derive(Debug)]
pub(super) struct Interception {
    interceptors: Interceptors,
    line: mpsc::Sender<Entry>,
}

impl Interception {
    /// Begins the task, if there are interceptors. The engine has found the runtime before.
    pub(super) fn start(interceptors: &Interceptors) -> Option<Self> {
        if interceptors.is_empty() {
            return None;
        }
        let (line, entries) = mpsc::channel(LINE);
        #[expect(clippy::disallowed_methods, reason = "the engine has found the runtime")]
        tokio::spawn(tell(interceptors.clone(), entries));
        Some(Self { interceptors: interceptors.clone(), line })
    }

    /// See `Producer::enqueue`.
    pub(super) async fn enqueue(&self, engine: &Arc<Engine>, record: Record) -> Result<Delivery> {
        let deadline = Instant::now() + engine.settings.max_block;
        let record = self.interceptors.intercept(&record);
        let watch = self.interceptors.watch(&record.topic);
        let accepted = async {
            let place = match timeout_at(deadline, self.line.reserve()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) => return Err(closed()),
                Err(_) => return Err(behind(&record)),
            };
            let delivery = super::enqueue(engine, &record).await?;
            place.send(Entry::Record(delivery.twin()));
            Ok(delivery)
        };
        let accepted = accepted.await;
        watch.end();
        accepted.inspect_err(|error| self.interceptors.acknowledged(Err(error)))
    }

    /// See `Producer::try_enqueue`.
    pub(super) fn try_enqueue(&self, engine: &Arc<Engine>, record: Record) -> Result<Delivery, Rejected<Record>> {
        let intercepted = self.interceptors.intercept(&record);
        let taken = match self.line.try_reserve() {
            Ok(place) => super::try_enqueue(engine, &intercepted).inspect(|delivery| place.send(Entry::Record(delivery.twin()))),
            Err(mpsc::error::TrySendError::Full(())) => Err(behind(&intercepted)),
            Err(mpsc::error::TrySendError::Closed(())) => Err(closed()),
        };
        // What is given back is as it came, and not given up: handed over again, it passes the interceptors again.
        taken.map_err(|error| Rejected::new(record, error))
    }

    /// Waits until the interceptors were told of all records before this call, at most for `within`.
    pub(super) async fn told(&self, within: Duration) {
        let (told, done) = oneshot::channel();
        let wait = async {
            if self.line.send(Entry::Mark(told)).await.is_ok() {
                // An error is as good: the task has ended.
                let _ = done.await;
            }
        };
        let _ = tokio::time::timeout(within, wait).await;
    }
}

/// The task: tells the interceptors of each record, in the order in which they were accepted.
async fn tell(interceptors: Interceptors, mut entries: mpsc::Receiver<Entry>) {
    while let Some(entry) = entries.recv().await {
        match entry {
            Entry::Record(delivery) => interceptors.acknowledged(delivery.await.as_ref()),
            Entry::Mark(told) => drop(told.send(())),
        }
    }
}

#[cold]
fn behind(record: &Record) -> Error {
    let message =
        format!("the producer's interceptors have not been told of {LINE} records yet: they are slower than the cluster");
    Error::new(ErrorKind::BufferFull, message).with_topic(&record.topic)
}
