//! What callers of an asynchronous producer and its worker share: the queue between them, and what each tells the other.
//!
//! A record needs a place and room before it enters, and holds both until the worker takes it, so that no number of callers passes
//! either limit; who waits for them waits in line. The queue outlives the worker: whatever ended that, what was queued can be given
//! back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::builder::AsyncSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::producer::delivery_failed::DeliveryFailed;
use crate::producer::memory::{Charge, Memory};
use crate::producer::rejected::Rejected;
use crate::record::Record;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) settings: AsyncSettings,
    places: Arc<Semaphore>,
    room: Arc<Memory>,
    state: Mutex<State>,
    /// Wakes the worker.
    wake: Notify,
    closing: watch::Sender<Option<Closing>>,
    ended: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Queued>,
    /// Was a delivery asked for?
    asked: bool,
    /// Why nothing is taken any more.
    ended: Option<Error>,
    /// What the worker could not deliver, until somebody takes it.
    left: Option<DeliveryFailed>,
}

/// A record that wants to be in the queue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Record,
    /// The most bytes that it can take in a batch.
    pub(super) size: usize,
    /// As it came, if interceptors changed it.
    pub(super) original: Option<Record>,
    /// Did it come without a time?
    pub(super) untimed: bool,
}

/// A record with its place and room in the queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) record: Record,
    pub(super) size: usize,
    _permits: Permits,
}

type Permits = (OwnedSemaphorePermit, Charge);

/// No more records come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    /// When the worker must have ended; `None`: when it has tried.
    pub(super) deadline: Option<Instant>,
}

impl Queue {
    pub(super) fn new(settings: AsyncSettings) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(settings.max_queue_size.min(Semaphore::MAX_PERMITS))),
            room: Memory::new(settings.max_queue_bytesize),
            settings,
            state: Mutex::default(),
            wake: Notify::new(),
            closing: watch::Sender::new(None),
            ended: watch::Sender::new(false),
        })
    }

    /// Puts a record in, if there is room for it now.
    pub(super) fn try_put(&self, entry: Entry) -> Result<(), Rejected<Entry>> {
        let permits = match self.places.clone().try_acquire_owned() {
            Ok(place) => self.room.try_charge(entry.size).map(|room| (place, room)),
            Err(_) => None,
        };
        match permits {
            Some(permits) => self.put(entry, permits),
            None => Err(self.refusal(entry)),
        }
    }

    /// As `try_put`, in line with others until there is room, at most for `longest`.
    pub(super) async fn put_within(&self, entry: Entry, longest: Duration) -> Result<(), Rejected<Entry>> {
        let permits = async {
            let place = self.places.clone().acquire_owned().await.ok()?;
            Some((place, self.room.charge(entry.size).await?))
        };
        match timeout(longest, permits).await {
            Ok(Some(permits)) => self.put(entry, permits),
            Ok(None) => Err(self.refusal(entry)),
            Err(_) => {
                let (entry, full) = self.refusal(entry).into_parts();
                let message = format!("no room in the producer's queue within {longest:?}: {}", full.message());
                let error = Error::new(ErrorKind::Timeout, message).with_topic(&entry.record.topic).with_source(full);
                Err(Rejected::new(entry, error))
            }
        }
    }

    fn put(&self, entry: Entry, permits: Permits) -> Result<(), Rejected<Entry>> {
        let mut state = self.lock();
        if let Some(error) = &state.ended {
            return Err(Rejected::new(entry, error.clone()));
        }
        state.records.push_back(Queued { record: entry.record, size: entry.size, _permits: permits });
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Why a record finds no room.
    #[cold]
    fn refusal(&self, entry: Entry) -> Rejected<Entry> {
        if let Some(error) = &self.lock().ended {
            return Rejected::new(entry, error.clone());
        }
        let AsyncSettings { max_queue_size, max_queue_bytesize, .. } = self.settings;
        let limit = if self.places.available_permits() == 0 {
            format!("max_queue_size is {max_queue_size} records")
        } else {
            format!("max_queue_bytesize is {max_queue_bytesize} bytes, and the record takes up to {}", entry.size)
        };
        let message = format!("the producer's queue is full: {limit}; brokers do not take records as fast as they come");
        let error = Error::new(ErrorKind::BufferFull, message).with_topic(&entry.record.topic);
        Rejected::new(entry, error)
    }

    /// Records that the worker has not taken.
    pub(super) fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// What is queued is to be delivered.
    pub(super) fn ask(&self) -> Result<()> {
        let mut state = self.lock();
        if let Some(error) = &state.ended {
            return Err(error.clone());
        }
        state.asked = true;
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes no more records. Of several deadlines the earliest counts.
    pub(super) fn close(&self, deadline: Option<Instant>) {
        self.lock().ended.get_or_insert_with(closed);
        self.refuse();
        self.closing.send_if_modified(|closing| {
            let earlier = match closing {
                None => true,
                Some(Closing { deadline: None }) => deadline.is_some(),
                Some(Closing { deadline: Some(known) }) => deadline.is_some_and(|deadline| deadline < *known),
            };
            if earlier {
                *closing = Some(Closing { deadline });
            }
            earlier
        });
        self.wake.notify_one();
    }

    /// Nobody gets a place any more, and nobody waits for one.
    fn refuse(&self) {
        self.places.close();
        self.room.close();
    }

    /// Waits until the worker has ended, and takes what it left, if nobody did before.
    pub(super) async fn left(&self) -> Option<DeliveryFailed> {
        // The sender is our own: it can't be gone.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
        self.lock().left.take()
    }

    /// For the worker: the next record, if `fits` says that it can be taken. Returns also whether one waits that can't.
    pub(super) fn take(&self, fits: impl FnOnce(usize) -> bool) -> (Option<Queued>, bool) {
        let mut state = self.lock();
        match state.records.front() {
            Some(first) if fits(first.size) => (state.records.pop_front(), false),
            first => (None, first.is_some()),
        }
    }

    /// For the worker: was a delivery asked for since it last looked?
    pub(super) fn take_asked(&self) -> bool {
        std::mem::take(&mut self.lock().asked)
    }

    /// For the worker: is the producer closing?
    pub(super) fn closing(&self) -> Option<Closing> {
        *self.closing.borrow()
    }

    /// For the worker: until there is something to look at.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// For the worker: until the time to close is over.
    pub(super) async fn time_is_over(&self) {
        let mut closing = self.closing.subscribe();
        loop {
            let deadline = closing.borrow_and_update().and_then(|closing| closing.deadline);
            let over = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = over => return,
                // The sender is our own: it can't be gone.
                _ = closing.changed() => {}
            }
        }
    }

    /// For the worker: it ends. Returns what is queued.
    pub(super) fn end(&self, why: &Error) -> VecDeque<Queued> {
        let mut state = self.lock();
        state.ended.get_or_insert_with(|| why.clone());
        let records = std::mem::take(&mut state.records);
        drop(state);
        self.refuse();
        records
    }

    /// For the worker: it has ended, and this is what it leaves.
    pub(super) fn leave(&self, left: Option<DeliveryFailed>) {
        self.lock().left = left;
        self.ended.send_replace(true);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The record as it came: handed over again, it passes the interceptors again, and gets another time.
    #[cold]
    pub(super) fn give_back(rejected: Rejected<Self>) -> Rejected<Record> {
        let (Self { mut record, original, untimed, .. }, error) = rejected.into_parts();
        if untimed {
            record.timestamp = None;
        }
        Rejected::new(original.unwrap_or(record), error)
    }
}

/// The producer takes nothing any more.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the producer is closed; build another")
}
