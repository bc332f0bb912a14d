//! Interceptors: the user's code between what was fetched and what is handed out, for every record of a consumer.
//!
//! They run inside the calls that read, as hooks do, under no lock. Where there is none, nothing is done.

use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Message;
use crate::consumer::batch::Batch;
use crate::consumer::processing::panic_words;

/// Sees what a consumer hands out, and may change it; [`ConsumerBuilder::interceptor`](crate::consumer::ConsumerBuilder::interceptor)
/// adds one. Several are called in the order in which they were added, each with what the one before it gave.
///
/// One that fails or panics is passed over for that record, with a warning in the log: the next gets what it would have got.
///
/// ```
/// use klamm::Message;
/// use klamm::consumer::{Batch, ConsumerInterceptor, Intercepted};
///
/// /// Counts records, and hides what stands in their header "secret".
/// #[derive(Debug, Default)]
/// struct Discreet {
///     records: usize,
/// }
///
/// impl ConsumerInterceptor for Discreet {
///     fn on_message(&mut self, mut message: Message) -> Intercepted<Message> {
///         self.records += 1;
///         message.headers.retain(|header| header.key != "secret");
///         Ok(message)
///     }
///
///     fn on_batch(&mut self, batch: &Batch) -> Intercepted<()> {
///         self.records += batch.len();
///         Ok(())
///     }
/// }
/// ```
pub trait ConsumerInterceptor: Send + 'static {
    /// Called with each record before [`next`](crate::consumer::Consumer::next), a stream or
    /// [`each_message`](crate::consumer::Consumer::each_message) hands it out, and gives the one to be handed out in its place. Where the
    /// record stands (topic, partition, offset, leader epoch) stays as it was.
    ///
    /// # Errors
    /// Any; the record is then handed out as this interceptor got it.
    fn on_message(&mut self, message: Message) -> Intercepted<Message> {
        Ok(message)
    }

    /// Called with each batch before [`next_batch`](crate::consumer::Consumer::next_batch) or
    /// [`each_batch`](crate::consumer::Consumer::each_batch) hands it out. The records of a batch are read in place, so they can be looked
    /// at here and not changed.
    ///
    /// # Errors
    /// Any; they are logged.
    fn on_batch(&mut self, batch: &Batch) -> Intercepted<()> {
        let _ = batch;
        Ok(())
    }
}

/// What an interceptor gives.
pub type Intercepted<T> = Result<T, Box<dyn StdError + Send + Sync>>;

/// All of a consumer's, in order.
#[derive(Default)]
pub(crate) struct Interceptors(Vec<Box<dyn ConsumerInterceptor>>);

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} interceptors", self.0.len())
    }
}

impl Interceptors {
    pub(crate) fn add(&mut self, interceptor: impl ConsumerInterceptor) {
        self.0.push(Box::new(interceptor));
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record as it is to be handed out.
    #[inline(never)]
    pub(crate) fn on_message(&mut self, message: Message) -> Message {
        let (topic, partition, offset, leader_epoch) =
            (message.topic.clone(), message.partition, message.offset, message.leader_epoch);
        let mut now = message;
        for interceptor in &mut self.0 {
            // Shares the record's memory; only the list of headers is copied.
            let before = now.clone();
            match contain(|| interceptor.on_message(now)) {
                Ok(changed) => now = Message { topic: topic.clone(), partition, offset, leader_epoch, ..changed },
                Err(error) => {
                    tracing::warn!(%topic, partition, offset, %error, "an interceptor failed; the record goes on as it was");
                    now = before;
                }
            }
        }
        now
    }

    #[inline(never)]
    pub(crate) fn on_batch(&mut self, batch: &Batch) {
        for interceptor in &mut self.0 {
            if let Err(error) = contain(|| interceptor.on_batch(batch)) {
                tracing::warn!(?batch, %error, "an interceptor failed; the batch goes on");
            }
        }
    }
}

fn contain<T>(call: impl FnOnce() -> Intercepted<T>) -> Intercepted<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result,
        Err(panic) => Err(format!("it panicked: {}", panic_words(&*panic)).into()),
    }
}
