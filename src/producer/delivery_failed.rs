//! What a producer that keeps its records says when some of them were not delivered.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::record::Record;

/// A record that was not acknowledged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedRecord {
    /// As it was produced, with its time.
    pub record: Record,
    /// Why; it says whether the record may have been written.
    pub error: Error,
    /// Does the producer still have it, and try it again with its next delivery? Else it is the caller's now.
    pub kept: bool,
}

/// Some records were not delivered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeliveryFailed {
    /// These, in the order in which they were produced.
    #[doc(alias = "failed_messages")]
    pub failed: Vec<FailedRecord>,
    /// How often it was tried.
    pub attempts: u32,
}

impl DeliveryFailed {
    /// The first of the errors.
    fn first(&self) -> Option<&Error> {
        self.failed.first().map(|failed| &failed.error)
    }
}

impl fmt::Display for DeliveryFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, kept) = (self.failed.len(), self.failed.iter().filter(|failed| failed.kept).count());
        write!(f, "{count} records were not delivered in {} attempts", self.attempts)?;
        match kept {
            0 => {}
            kept if kept == count => f.write_str(" and stay buffered")?,
            kept => write!(f, ", {kept} of them stay buffered")?,
        }
        match self.first() {
            Some(error) => write!(f, "; the first: {error}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DeliveryFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.first().map(|error| error as _)
    }
}

impl From<DeliveryFailed> for Error {
    fn from(failed: DeliveryFailed) -> Self {
        let kind = failed.first().map_or(ErrorKind::Broker, Error::kind);
        let possibly_written = failed.failed.iter().any(|failed| failed.error.is_possibly_written());
        Error::new(kind, failed.to_string()).with_possibly_written(possibly_written).with_source(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_many_there_are_and_how_many_are_kept() {
        let failed = |kept| FailedRecord { record: Record::new("t"), error: Error::new(ErrorKind::Closed, "closed"), kept };
        let text = |kept: &[bool]| {
            let failed = kept.iter().copied().map(failed).collect();
            DeliveryFailed { failed, attempts: 3 }.to_string()
        };
        assert_eq!(text(&[true, true]), "2 records were not delivered in 3 attempts and stay buffered; the first: closed");
        assert_eq!(
            text(&[true, false]),
            "2 records were not delivered in 3 attempts, 1 of them stay buffered; the first: closed"
        );
        assert_eq!(text(&[false]), "1 records were not delivered in 3 attempts; the first: closed");
    }
}
