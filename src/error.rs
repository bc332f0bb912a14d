//! The one error type of the client: what was tried, on what, what happened, and what a program may do about it.
//!
//! An [`Error`] is one pointer wide and cheap to clone, because one failure often answers many callers. What a program acts on is
//! [`ErrorKind`]; everything a person needs to find the cause is kept as fields, not only as text. Layers below have small error
//! types of their own and turn them into this one at their border.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::protocol::ErrorCode;

/// What went wrong, in the terms a program decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The time allowed ran out; `source` holds the last failure seen until then.
    Timeout,
    /// No connection to a broker, or it broke.
    Disconnected,
    /// No encrypted connection could be agreed on: the broker's certificate is not trusted, expired, or of another name, or the broker
    /// refused ours.
    Tls,
    /// The broker did not accept who we say we are, or did not prove who it is. Every call says so at once; once credentials are right the
    /// same client works, after a pause of `reconnect.backoff.max.ms` at most.
    Authentication,
    /// The broker does not allow this to whom we are.
    Authorization,
    /// Another instance took this one's place (producer epoch, static member).
    Fenced,
    /// A setting is unknown, malformed, or contradicts another.
    InvalidConfig,
    /// The call itself cannot be right: a name that Kafka refuses, a partition that does not exist, a state that does not allow it.
    InvalidRequest,
    /// A record is larger than the client's or the broker's limit.
    MessageTooLarge,
    /// The cluster has no such topic or partition.
    UnknownTopic,
    /// The offset asked for is not in the partition's log.
    OffsetOutOfRange,
    /// The buffer is full and waiting was not wanted, or took too long.
    BufferFull,
    /// Bytes that are not what the protocol says.
    Decode,
    /// Client and broker have no version of the API in common.
    UnsupportedVersion,
    /// The group's coordinator refused: protocol, group type, size, time-outs.
    Group,
    /// The user's own code failed or panicked.
    Processing,
    /// Any other verdict of a broker; see [`Error::code`].
    Broker,
    /// The client, producer or consumer was closed.
    Closed,
    /// A fault of this library.
    Bug,
}

/// The error of every call of the client.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    code: Option<ErrorCode>,
    api: Option<&'static str>,
    broker: Option<String>,
    topic: Option<Arc<str>>,
    partition: Option<i32>,
    offset: Option<i64>,
    attempts: Option<u32>,
    elapsed: Option<Duration>,
    retriable: bool,
    fatal: bool,
    possibly_written: bool,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The client's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`; `message` says what failed and, where there is something to do, what.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            code: None,
            api: None,
            broker: None,
            topic: None,
            partition: None,
            offset: None,
            attempts: None,
            elapsed: None,
            retriable: matches!(kind, ErrorKind::Timeout | ErrorKind::Disconnected | ErrorKind::BufferFull),
            fatal: matches!(kind, ErrorKind::Fenced | ErrorKind::Closed),
            possibly_written: false,
            source: None,
        }))
    }

    /// A broker's verdict; the kind follows from the code.
    pub fn from_code(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(kind_of(code), message);
        error.0.code = Some(code);
        error.0.retriable = code.is_retriable();
        error
    }

    /// What a program decides by.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The broker's code, where a broker refused.
    pub fn code(&self) -> Option<ErrorCode> {
        self.0.code
    }

    /// Name of the API that was called, as in the protocol guide.
    pub fn api(&self) -> Option<&'static str> {
        self.0.api
    }

    /// The broker concerned: number (if known) and address.
    pub fn broker(&self) -> Option<&str> {
        self.0.broker.as_deref()
    }

    /// The topic concerned.
    pub fn topic(&self) -> Option<&str> {
        self.0.topic.as_deref()
    }

    /// The partition concerned.
    pub fn partition(&self) -> Option<i32> {
        self.0.partition
    }

    /// The offset concerned.
    pub fn offset(&self) -> Option<i64> {
        self.0.offset
    }

    /// How often it was tried.
    pub fn attempts(&self) -> Option<u32> {
        self.0.attempts
    }

    /// How long it was tried.
    pub fn elapsed(&self) -> Option<Duration> {
        self.0.elapsed
    }

    /// May the same call succeed when made again?
    pub fn is_retriable(&self) -> bool {
        self.0.retriable
    }

    /// Did a broker and this client refuse one another for who they are? Then waiting or asking elsewhere is of no use: it is told at
    /// once, wherever it happens.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Tls | ErrorKind::Authentication)
    }

    /// Must the producer or consumer be built anew?
    pub fn is_fatal(&self) -> bool {
        self.0.fatal
    }

    /// For what was sent: may the broker have it in its log all the same?
    pub fn is_possibly_written(&self) -> bool {
        self.0.possibly_written
    }

    /// Sets the broker's code without changing the kind.
    #[must_use]
    pub fn with_code(mut self, code: ErrorCode) -> Self {
        self.0.code = Some(code);
        self
    }

    /// What failed, without the context that `Display` adds.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// Names the API.
    #[must_use]
    pub fn with_api(mut self, api: &'static str) -> Self {
        self.0.api = Some(api);
        self
    }

    /// Names the broker.
    #[must_use]
    pub fn with_broker(mut self, broker: impl Into<String>) -> Self {
        self.0.broker = Some(broker.into());
        self
    }

    /// Names the topic.
    #[must_use]
    pub fn with_topic(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.0.topic = Some(topic.into());
        self
    }

    /// Names the partition.
    #[must_use]
    pub fn with_partition(mut self, partition: i32) -> Self {
        self.0.partition = Some(partition);
        self
    }

    /// Names the offset.
    #[must_use]
    pub fn with_offset(mut self, offset: i64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// Says how often and how long it was tried.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.0.attempts = Some(attempts);
        self.0.elapsed = Some(elapsed);
        self
    }

    /// Sets whether the same call may succeed when made again.
    #[must_use]
    pub fn with_retriable(mut self, retriable: bool) -> Self {
        self.0.retriable = retriable;
        self
    }

    /// Sets whether the producer or consumer must be built anew.
    #[must_use]
    pub fn with_fatal(mut self, fatal: bool) -> Self {
        self.0.fatal = fatal;
        self
    }

    /// Sets whether the broker may have in its log what was sent.
    #[must_use]
    pub fn with_possibly_written(mut self, possibly_written: bool) -> Self {
        self.0.possibly_written = possibly_written;
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }
}

/// The kind that a broker's code amounts to.
fn kind_of(code: ErrorCode) -> ErrorKind {
    match code {
        ErrorCode::REQUEST_TIMED_OUT => ErrorKind::Timeout,
        ErrorCode::SASL_AUTHENTICATION_FAILED | ErrorCode::UNSUPPORTED_SASL_MECHANISM | ErrorCode::ILLEGAL_SASL_STATE => {
            ErrorKind::Authentication
        }
        ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::GROUP_AUTHORIZATION_FAILED
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
        | ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        | ErrorCode::DELEGATION_TOKEN_AUTHORIZATION_FAILED => ErrorKind::Authorization,
        ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::FENCED_INSTANCE_ID => ErrorKind::Fenced,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => ErrorKind::MessageTooLarge,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID => ErrorKind::UnknownTopic,
        ErrorCode::OFFSET_OUT_OF_RANGE => ErrorKind::OffsetOutOfRange,
        ErrorCode::UNSUPPORTED_VERSION => ErrorKind::UnsupportedVersion,
        ErrorCode::INVALID_TOPIC_EXCEPTION | ErrorCode::INVALID_GROUP_ID | ErrorCode::INVALID_REQUEST => {
            ErrorKind::InvalidRequest
        }
        ErrorCode::INCONSISTENT_GROUP_PROTOCOL
        | ErrorCode::INVALID_SESSION_TIMEOUT
        | ErrorCode::GROUP_MAX_SIZE_REACHED
        | ErrorCode::UNKNOWN_MEMBER_ID
        | ErrorCode::ILLEGAL_GENERATION
        | ErrorCode::REBALANCE_IN_PROGRESS => ErrorKind::Group,
        _ => ErrorKind::Broker,
    }
}

/// One line: what was tried, on what, what happened.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str(&inner.message)?;
        if let Some(code) = inner.code {
            write!(f, ": {code}")?;
        }
        let mut open = false;
        let mut part = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            write!(f, "{}{name} {value}", if std::mem::replace(&mut open, true) { ", " } else { " (" })
        };
        if let Some(api) = inner.api {
            part(f, "api", &api)?;
        }
        if let Some(broker) = &inner.broker {
            part(f, "broker", broker)?;
        }
        match (&inner.topic, inner.partition) {
            (Some(topic), Some(partition)) => part(f, "partition", &format_args!("{topic}/{partition}"))?,
            (Some(topic), None) => part(f, "topic", topic)?,
            (None, Some(partition)) => part(f, "partition", &partition)?,
            (None, None) => {}
        }
        if let Some(offset) = inner.offset {
            part(f, "offset", &offset)?;
        }
        if let (Some(attempts), Some(elapsed)) = (inner.attempts, inner.elapsed) {
            part(f, "after", &format_args!("{attempts} attempts in {elapsed:.1?}"))?;
        }
        if inner.possibly_written {
            part(f, "possibly written:", &"the broker may have it in its log")?;
        }
        if open { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, "; caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_what_was_tried_and_on_what() {
        let error = Error::from_code(ErrorCode::NOT_LEADER_OR_FOLLOWER, "produce refused")
            .with_api("Produce")
            .with_broker("1 (localhost:9092)")
            .with_topic("orders")
            .with_partition(3)
            .with_attempts(2, Duration::from_millis(1500));
        assert_eq!(
            error.to_string(),
            "produce refused: NOT_LEADER_OR_FOLLOWER (6) (api Produce, broker 1 (localhost:9092), partition orders/3, after 2 attempts in 1.5s)"
        );
        assert!(error.is_retriable());
        assert_eq!(error.kind(), ErrorKind::Broker);
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
