//! Handlers: the user's code called with each record or batch, and what its failing means.

use std::any::Any;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use crate::consumer::batch::Batch;
use crate::{Error, ErrorKind, TopicPartition};

/// Why a handler did not succeed.
#[derive(Debug)]
pub(crate) enum Failed {
    Error(Box<dyn StdError + Send + Sync>),
    Panic(String),
}

/// Runs a handler; a panic in it becomes a failure.
pub(crate) async fn contain<E: Into<Box<dyn StdError + Send + Sync>>>(
    handler: impl Future<Output = Result<(), E>>,
) -> Result<(), Failed> {
    let mut handler = pin!(handler);
    let result = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    });
    match result.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failed::Error(error.into())),
        Err(panic) => Err(Failed::Panic(panic_words(&*panic))),
    }
}

/// What a panic said.
pub(crate) fn panic_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

impl Failed {
    fn into_error(self, what: &str) -> Error {
        match self {
            Self::Error(cause) => {
                Error::new(ErrorKind::Processing, format!("the handler failed to process {what}")).with_source(cause)
            }
            Self::Panic(words) => {
                Error::new(ErrorKind::Processing, format!("the handler panicked while it processed {what}: {words}"))
            }
        }
    }

    /// As the error of the call, for a record.
    pub(crate) fn on_record(self, partition: &TopicPartition, offset: i64) -> Error {
        self.into_error("a record").with_topic(&partition.topic).with_partition(partition.partition).with_offset(offset)
    }

    /// As the error of the call, for a batch.
    pub(crate) fn on_batch(self, batch: &Batch) -> Error {
        let error = self.into_error("a batch of records").with_topic(batch.topic()).with_partition(batch.partition());
        error.with_offsets(batch.first_offset()..=batch.last_offset())
    }
}
