//! Why a request got no answer, and whether the broker can have seen it.
//!
//! A failure answers many requests at once (all that were in flight) and is kept as the last reason of later ones, so it is one
//! pointer wide and cheap to clone. Broker's error codes are not failures: they stay in the response.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::protocol::ErrorCode;

/// Can the broker have seen the request?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Written {
    /// No: not one byte of it was handed to the transport.
    No,
    /// Perhaps: its first byte was.
    Maybe,
}

/// A request that got no answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Can the broker have seen it?
    pub written: Written,
    /// What happened.
    pub cause: Cause,
}

impl CauseKind {
    /// Did one side refuse the other for who it is? No other attempt ends otherwise before somebody changes credentials or
    /// certificates, so it is told at once; and the next attempt comes late, for brokers lock accounts out.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, Self::Tls | Self::Authentication)
    }
}

impl Failure {
    /// A failure before the first byte.
    pub(crate) fn unwritten(cause: Cause) -> Self {
        Self { written: Written::No, cause }
    }

    /// As the error of a call to `api`.
    pub(crate) fn into_error(self, api: &'static str) -> Error {
        // What only reads leaves nothing behind.
        let writes = matches!(api, "Produce" | "OffsetCommit");
        self.cause.to_error().with_api(api).with_possibly_written(writes && self.written == Written::Maybe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CauseKind {
    /// The request's own time ran out.
    Timeout,
    /// No connection: the name is unknown, or every address refused.
    Connect,
    /// No connection: no address answered within the time for set-up.
    ConnectTimeout,
    /// Connected, but the set-up was not answered in its time.
    SetupTimeout,
    /// Connected, but the broker refused in a set-up step.
    Setup,
    /// Connected, but TLS could not be agreed on: a certificate that is not trusted, or one side refused the other.
    Tls,
    /// Connected, but the broker did not accept who the client says it is, or did not prove who it is itself.
    Authentication,
    /// The connection broke or was closed.
    Disconnected,
    /// The other side sent what is not, or no longer, Kafka's protocol.
    Protocol,
    /// Broker and client have no version of the API in common, or none that can carry the request.
    UnsupportedVersion,
    /// The request cannot be encoded.
    Encode,
    /// The response cannot be decoded.
    Decode,
    /// The client closed the connection.
    Closed,
}

/// Why TLS failed, in words. A connector or transport puts it inside its I/O error, where the driver looks for it.
#[derive(Clone, Debug)]
pub(crate) struct TlsFailure(String);

impl TlsFailure {
    /// An I/O error with this inside; `message` says what failed and what to do.
    #[cfg_attr(not(any(test, feature = "tls")), expect(dead_code, reason = "only TLS makes them"))]
    pub(crate) fn error(message: impl Into<String>) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Self(message.into()))
    }

    /// The one inside `error`, if TLS is what failed.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsFailure {}

/// What happened, to whom, and what had happened before.
#[derive(Clone)]
pub(crate) struct Cause(Arc<Inner>);

struct Inner {
    kind: CauseKind,
    message: String,
    advice: Option<String>,
    code: Option<ErrorCode>,
    broker: Option<String>,
    source: Option<Cause>,
}

impl Cause {
    /// A cause; `message` says what failed, where, and what to do unless [`advise`](Self::advise) does.
    pub(crate) fn new(kind: CauseKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), advice: None, code: None, broker: None, source: None }))
    }

    /// The same, with what to do: apart from the message, for where several causes are told in one text.
    pub(crate) fn advise(self, advice: impl Into<String>) -> Self {
        self.change(|inner| inner.advice = Some(advice.into()))
    }

    /// The same, naming the broker's address unless one is named already.
    pub(crate) fn at(self, broker: impl fmt::Display) -> Self {
        match self.0.broker {
            Some(_) => self,
            None => self.change(|inner| inner.broker = Some(broker.to_string())),
        }
    }

    /// The same, with the code by which the broker refused.
    pub(crate) fn with_code(self, code: ErrorCode) -> Self {
        self.change(|inner| inner.code = Some(code))
    }

    /// The same, with what had happened before.
    pub(crate) fn because(self, source: Option<Self>) -> Self {
        match source {
            None => self,
            source => self.change(|inner| inner.source = source),
        }
    }

    /// The same, said to come after `last`, whose words and advice it takes over.
    pub(crate) fn after(self, last: Option<Self>) -> Self {
        let Some(told) = last.clone() else { return self };
        let after = self.change(|inner| {
            inner.message = format!("{}; last: {}", inner.message, told.0.message);
            inner.advice = inner.advice.take().or_else(|| told.0.advice.clone());
        });
        after.because(last)
    }

    fn change(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// What kind of thing happened.
    pub(crate) fn kind(&self) -> CauseKind {
        self.0.kind
    }

    /// The address of the broker concerned.
    #[cfg(test)]
    pub(crate) fn broker(&self) -> Option<&str> {
        self.0.broker.as_deref()
    }

    /// Is it about the connection, so that the same request may succeed on another one?
    pub(crate) fn is_retriable(&self) -> bool {
        !matches!(
            self.0.kind,
            CauseKind::UnsupportedVersion
                | CauseKind::Encode
                | CauseKind::Decode
                | CauseKind::Closed
                | CauseKind::Setup
                | CauseKind::Tls
                | CauseKind::Authentication
        )
    }

    /// Did one side refuse the other for who it is?
    pub(crate) fn is_refusal(&self) -> bool {
        self.0.kind.is_refusal()
    }

    /// As an error, without the API that was called.
    pub(crate) fn to_error(&self) -> Error {
        let kind = match self.0.kind {
            CauseKind::Timeout | CauseKind::SetupTimeout => ErrorKind::Timeout,
            CauseKind::Connect | CauseKind::ConnectTimeout | CauseKind::Disconnected => ErrorKind::Disconnected,
            CauseKind::Setup => ErrorKind::Broker,
            CauseKind::Tls => ErrorKind::Tls,
            CauseKind::Authentication => ErrorKind::Authentication,
            CauseKind::Protocol | CauseKind::Decode => ErrorKind::Decode,
            CauseKind::UnsupportedVersion => ErrorKind::UnsupportedVersion,
            CauseKind::Encode => ErrorKind::InvalidRequest,
            CauseKind::Closed => ErrorKind::Closed,
        };
        let mut error = Error::new(kind, self.0.message.clone()).with_retriable(self.is_retriable()).with_fatal(false);
        if let Some(code) = self.0.code {
            error = error.with_code(code);
        }
        if let Some(advice) = &self.0.advice {
            error = error.with_advice(advice.clone());
        }
        if let Some(broker) = &self.0.broker {
            error = error.with_broker(broker.clone());
        }
        match &self.0.source {
            Some(source) => error.with_source(source.clone()),
            None => error,
        }
    }
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        let Self { kind, code, .. } = *self;
        let (message, advice) = (self.message.clone(), self.advice.clone());
        Self { kind, message, advice, code, broker: self.broker.clone(), source: self.source.clone() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(code) = self.0.code {
            write!(f, ": {code}")?;
        }
        if let Some(advice) = &self.0.advice {
            write!(f, "; {advice}")?;
        }
        match &self.0.broker {
            Some(broker) => write!(f, " (broker {broker})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        match &self.0.source {
            Some(source) => write!(f, "; before: {source:?}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_api_and_broker_and_keeps_what_happened_before() {
        let refused = Cause::new(CauseKind::Connect, "cannot connect: connection refused").at("b:9092");
        let cause = Cause::new(CauseKind::Timeout, "no connection within 5s").at("b:9092").because(Some(refused));
        let error = Failure { written: Written::Maybe, cause }.into_error("Produce");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!((error.api(), error.broker()), (Some("Produce"), Some("b:9092")));
        assert!(error.is_possibly_written() && error.is_retriable());
        assert!(std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("connection refused")));
    }

    #[test]
    fn a_refusal_is_final_and_has_the_brokers_code() {
        let cause =
            Cause::new(CauseKind::Authentication, "refused").with_code(ErrorCode::SASL_AUTHENTICATION_FAILED).at("b:9092");
        assert!(cause.is_refusal() && !cause.is_retriable());
        assert_eq!(cause.to_string(), "refused: SASL_AUTHENTICATION_FAILED (58) (broker b:9092)");
        let error = cause.to_error();
        assert!(error.is_refusal() && !error.is_retriable() && !error.is_fatal());
        assert_eq!((error.kind(), error.code()), (ErrorKind::Authentication, Some(ErrorCode::SASL_AUTHENTICATION_FAILED)));
        assert!(Cause::new(CauseKind::Tls, "").to_error().is_refusal());
        assert!(!Cause::new(CauseKind::Disconnected, "").to_error().is_refusal());
    }

    #[test]
    fn the_first_broker_named_stays() {
        let cause = Cause::new(CauseKind::Disconnected, "gone").at("a:1").at("b:2");
        assert_eq!(cause.broker(), Some("a:1"));
    }

    #[test]
    fn a_connect_timeout_is_told_from_a_peer_that_does_not_answer() {
        let kind = |kind| Cause::new(kind, "").to_error().kind();
        assert_ne!(kind(CauseKind::ConnectTimeout), kind(CauseKind::Timeout));
        assert_ne!(kind(CauseKind::ConnectTimeout), kind(CauseKind::SetupTimeout));
    }
}
