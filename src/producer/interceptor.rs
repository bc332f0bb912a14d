//! Interceptors: the user's code that sees each record before it is buffered, and hears what became of it.
//!
//! They are called in the order in which they were given to the builder, each with what the one before returned, on the task that
//! hands the record over. One that fails or panics is logged and skipped; the record goes on as it was before it. So a fault in what
//! only watches never costs a record.

use std::fmt;
use std::sync::Arc;

use super::contained::contained;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Record, RecordMetadata, Topic};

/// Sees, and may change, each record before it is buffered; hears once what became of it. A closure that takes and returns a record is
/// one that does the first.
///
/// Nothing in it may block: the first call holds up the task that hands records over, the second the results of other records. A record
/// that a call gives back to its caller is not given up: handed over again, it passes the interceptors again. A dropped
/// [`BufferedProducer`](crate::producer::BufferedProducer) says nothing of what was in it; one that is closed does.
///
/// ```no_run
/// # fn example(client: klamm::Client) -> klamm::Result<()> {
/// use klamm::producer::Interceptor;
/// use klamm::{Error, Record, RecordMetadata};
///
/// struct Failures;
///
/// impl Interceptor for Failures {
///     fn on_acknowledgement(&self, result: Result<&RecordMetadata, &Error>) {
///         if let Err(error) = result {
///             eprintln!("not delivered: {error}");
///         }
///     }
/// }
///
/// let producer = client.producer().interceptor(|record: Record| Ok(record.header("from", "here"))).interceptor(Failures).build()?;
/// # drop(producer);
/// # Ok(())
/// # }
/// ```
pub trait Interceptor: Send + Sync + 'static {
    /// The record that is to be sent in place of `record`. It is checked after this, and refused if it is not one that can be sent.
    ///
    /// # Errors
    /// Logged as a warning; the record goes on as it came.
    fn on_send(&self, record: Record) -> Result<Record, Box<dyn std::error::Error + Send + Sync>> {
        Ok(record)
    }

    /// The record is acknowledged, or its producer has given it up: the error says why, of which topic and partition, and whether it
    /// may have been written. Called on a task of its own or on that of a delivery, never on a connection's.
    fn on_acknowledgement(&self, result: Result<&RecordMetadata, &Error>) {
        let _ = result;
    }
}

impl<F> Interceptor for F
where
    F: Fn(Record) -> Result<Record, Box<dyn std::error::Error + Send + Sync>> + Send + Sync + 'static,
{
    fn on_send(&self, record: Record) -> Result<Record, Box<dyn std::error::Error + Send + Sync>> {
        self(record)
    }
}

/// Those of one producer, in order.
#[derive(Clone, Default)]
pub(super) struct Interceptors(Vec<Arc<dyn Interceptor>>);

impl Interceptors {
    pub(super) fn push(&mut self, interceptor: impl Interceptor) {
        self.0.push(Arc::new(interceptor));
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record that is to be sent for `record`.
    pub(super) fn intercept(&self, record: &Record) -> Record {
        self.0.iter().enumerate().fold(record.clone(), |record, (number, interceptor)| {
            let why: Box<dyn std::error::Error + Send + Sync> = match contained(|| interceptor.on_send(record.clone())) {
                Ok(Ok(changed)) => return changed,
                Ok(Err(error)) => error,
                Err(panic) => format!("it panicked: {panic}").into(),
            };
            tracing::warn!(interceptor = number, topic = %record.topic, error = %why, "an interceptor failed; the record goes on without it");
            record
        })
    }

    /// While this lives, a record of `topic` waits to be accepted: should the call be dropped, they are told.
    pub(super) fn watch<'a>(&'a self, topic: &Topic) -> Watch<'a> {
        Watch(self, (!self.is_empty()).then(|| topic.clone()))
    }

    /// Tells what became of a record.
    pub(super) fn acknowledged(&self, result: Result<&RecordMetadata, &Error>) {
        for (number, interceptor) in self.0.iter().enumerate() {
            if let Err(panic) = contained(|| interceptor.on_acknowledgement(result)) {
                tracing::warn!(interceptor = number, panic, "an interceptor panicked when it was told of an acknowledgement");
            }
        }
    }
}

/// See [`Interceptors::watch`].
pub(super) struct Watch<'a>(&'a Interceptors, Option<Topic>);

impl Watch<'_> {
    /// The call has its result.
    pub(super) fn end(mut self) {
        self.1 = None;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(topic) = self.1.take() {
            let error = Error::new(ErrorKind::Closed, "the call was dropped before the record was accepted").with_fatal(false);
            self.0.acknowledged(Err(&error.with_topic(topic)));
        }
    }
}

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} interceptors", self.0.len())
    }
}
