//! Calls that do not take what they were given hand it back.

use std::fmt;

use crate::error::Error;

/// A record (or whatever else) that was not accepted, with the reason.
///
/// It turns into [`Error`] by `?`, which drops what was handed back.
#[doc(alias = "BufferOverflow")]
pub struct Rejected<T>(Box<(T, Error)>);

impl<T> Rejected<T> {
    pub(super) fn new(value: T, error: Error) -> Self {
        Self(Box::new((value, error)))
    }

    /// Why.
    pub fn error(&self) -> &Error {
        &self.0.1
    }

    /// What was not accepted.
    pub fn get(&self) -> &T {
        &self.0.0
    }

    /// Takes back what was not accepted.
    pub fn into_inner(self) -> T {
        self.0.0
    }

    /// Both.
    pub fn into_parts(self) -> (T, Error) {
        *self.0
    }
}

impl<T> fmt::Debug for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rejected({:?})", self.0.1)
    }
}

impl<T> fmt::Display for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.1.fmt(f)
    }
}

impl<T> std::error::Error for Rejected<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.1.source()
    }
}

impl<T> From<Rejected<T>> for Error {
    fn from(rejected: Rejected<T>) -> Self {
        rejected.0.1
    }
}
