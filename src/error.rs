//! The one error type of the client: what was tried, on what, what happened, and what a program may do about it.
//!
//! An [`Error`] is one pointer wide and cheap to clone, because one failure often answers many callers. What a program acts on is
//! [`ErrorKind`]; everything a person needs to find the cause is kept as fields, not only as text. Layers below have small error
//! types of their own and turn them into this one at their border.
//!
//! An error's own text says what failed, with the last failure before it where one ended the time; beside it stand a broker's code, what
//! to do, and where it was. `kind` has the kinds and the table of them, `denial` what a denied request needs, `untrusted` how words of
//! others are shown.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::protocol::ErrorCode;

mod denial;
mod kind;
mod untrusted;

pub use kind::ErrorKind;
pub(crate) use untrusted::{Untrusted, said};

/// The error of every call of the client.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    advice: Option<Cow<'static, str>>,
    code: Option<ErrorCode>,
    api: Option<&'static str>,
    broker: Option<String>,
    topic: Option<Arc<str>>,
    partition: Option<i32>,
    offset: Option<i64>,
    last_offset: Option<i64>,
    group: Option<Arc<str>>,
    principal: Option<Arc<str>>,
    attempts: Option<u32>,
    elapsed: Option<Duration>,
    retriable: bool,
    fatal: bool,
    possibly_written: bool,
    /// Does the message have the code in it already?
    is_code_told: bool,
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
            advice: None,
            code: None,
            api: None,
            broker: None,
            topic: None,
            partition: None,
            offset: None,
            last_offset: None,
            group: None,
            principal: None,
            attempts: None,
            elapsed: None,
            retriable: kind.retriable().unwrap_or(false),
            fatal: kind.fatal().unwrap_or(kind == ErrorKind::Closed),
            possibly_written: false,
            is_code_told: false,
            source: None,
        }))
    }

    /// A broker's verdict; the kind follows from the code.
    pub fn from_code(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(ErrorKind::of(code), message);
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

    /// The offset concerned; of several records, the first.
    pub fn offset(&self) -> Option<i64> {
        self.0.offset
    }

    /// Of several records, the last offset concerned.
    pub fn last_offset(&self) -> Option<i64> {
        self.0.last_offset
    }

    /// The group concerned.
    pub fn group(&self) -> Option<&str> {
        self.0.group.as_deref()
    }

    /// For what the brokers do not allow: who this client is to them, as far as it knows. They may call it something else.
    pub fn principal(&self) -> Option<&str> {
        self.0.principal.as_deref()
    }

    /// What to do about it. Where the error itself does not know, what its [kind](ErrorKind::advice) says.
    pub fn advice(&self) -> Cow<'_, str> {
        match (&self.0.advice, self.needed()) {
            (Some(advice), _) => Cow::Borrowed(advice),
            (None, Some(needed)) => Cow::Owned(needed),
            (None, None) => Cow::Borrowed(self.kind().advice()),
        }
    }

    /// What to do, where the error itself knows.
    pub(crate) fn own_advice(&self) -> Option<&str> {
        self.0.advice.as_deref()
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

    /// What failed, without the code, advice and context that `Display` adds.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// What failed, with the code: to stand in another error's text, which has advice and context of its own.
    pub(crate) fn brief(&self) -> String {
        match self.0.code.filter(|_| !self.0.is_code_told) {
            Some(code) => format!("{}: {code}", self.0.message),
            None => self.0.message.clone().into_owned(),
        }
    }

    /// Says what the last failure was before this one, and takes over what is known of it only there.
    #[must_use]
    pub(crate) fn after(mut self, last: Self) -> Self {
        let message = format!("{}; last: {}", self.0.message, last.brief());
        self.0.message = message.into();
        self.0.code = self.0.code.or(last.0.code);
        self.0.advice = self.0.advice.or_else(|| last.0.advice.clone());
        self.0.broker = self.0.broker.or_else(|| last.0.broker.clone());
        self.0.principal = self.0.principal.or_else(|| last.0.principal.clone());
        // Its code was told with it.
        self.0.is_code_told = true;
        self.with_source(last)
    }

    /// What an ACL must allow, for what the brokers do not allow.
    fn needed(&self) -> Option<String> {
        let Inner { code: Some(code), api: Some(api), .. } = *self.0 else { return None };
        let (operation, resource) = (denial::operation(code, api)?, denial::resource(code)?);
        let name = match code {
            ErrorCode::TOPIC_AUTHORIZATION_FAILED => self.topic(),
            ErrorCode::GROUP_AUTHORIZATION_FAILED => self.group(),
            _ => None,
        };
        let name = name.map_or(String::new(), |name| format!(" {:?}", Untrusted(name)));
        let who = self.principal().unwrap_or("this client's principal");
        Some(format!("an ACL must allow {operation} on {resource}{name} to {who}"))
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

    /// Names the first and the last offset of several records.
    #[must_use]
    pub(crate) fn with_offsets(mut self, offsets: RangeInclusive<i64>) -> Self {
        self.0.last_offset = Some(*offsets.end());
        self.with_offset(*offsets.start())
    }

    /// Names the group.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.0.group = Some(group.into());
        self
    }

    /// Names who this client is to the brokers; of use with what they do not allow, and kept for that alone.
    #[must_use]
    pub(crate) fn with_principal(mut self, principal: Option<Arc<str>>) -> Self {
        if self.0.kind == ErrorKind::Authorization {
            self.0.principal = principal;
        }
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Says what to do, unless that was said.
    pub(crate) fn or_advice(mut self, advice: &'static str) -> Self {
        self.0.advice.get_or_insert(Cow::Borrowed(advice));
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

/// One line: what was tried and what happened, what to do, on what.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str(&inner.message)?;
        if let Some(code) = inner.code.filter(|_| !inner.is_code_told) {
            write!(f, ": {code}")?;
        }
        // What a kind alone advises is for its documentation, except for what only we can do something about.
        let is_bug = inner.kind == ErrorKind::Bug;
        if is_bug || inner.advice.is_some() || self.needed().is_some() {
            write!(f, "; {}", self.advice())?;
        }
        let mut open = false;
        let mut part = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            write!(f, "{}{name} {value}", if std::mem::replace(&mut open, true) { ", " } else { " (" })
        };
        if let Some(api) = inner.api {
            part(f, "api", &api)?;
        }
        if let Some(broker) = &inner.broker {
            part(f, "broker", &Untrusted(broker))?;
        }
        match (self.topic().map(Untrusted), inner.partition) {
            (Some(topic), Some(partition)) => part(f, "partition", &format_args!("{topic}/{partition}"))?,
            (Some(topic), None) => part(f, "topic", &topic)?,
            (None, Some(partition)) => part(f, "partition", &partition)?,
            (None, None) => {}
        }
        if let (Some(first), Some(last)) = (inner.offset, inner.last_offset) {
            part(f, "offsets", &format_args!("{first}..={last}"))?;
        } else if let Some(offset) = inner.offset {
            part(f, "offset", &offset)?;
        }
        // Most messages about groups name them.
        if let Some(group) = self.group().filter(|group| !inner.message.contains(group)) {
            part(f, "group", &Untrusted(group))?;
        }
        match (inner.attempts, inner.elapsed) {
            (Some(1), Some(elapsed)) if elapsed.is_zero() => part(f, "after", &"1 attempt")?,
            (Some(1), Some(elapsed)) => part(f, "after", &format_args!("1 attempt in {elapsed:.1?}"))?,
            (Some(attempts @ 2..), Some(elapsed)) => part(f, "after", &format_args!("{attempts} attempts in {elapsed:.1?}"))?,
            (_, Some(elapsed)) if !elapsed.is_zero() => part(f, "after", &format_args!("{elapsed:.1?}"))?,
            _ => {}
        }
        if inner.possibly_written {
            let what = if inner.api.is_none_or(|api| api == "Produce") { "have it in its log" } else { "have done it" };
            part(f, "possibly written:", &format_args!("the broker may {what}"))?;
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
    fn what_ended_a_wait_is_told_once_with_its_code_and_advice() {
        let last = Error::from_code(ErrorCode::COORDINATOR_NOT_AVAILABLE, "no coordinator")
            .with_advice("wait")
            .with_broker("1 (a:9092)")
            .with_group("billing");
        let error = Error::new(ErrorKind::Timeout, "no commit in time").with_api("OffsetCommit").after(last);
        assert_eq!(
            error.to_string(),
            "no commit in time; last: no coordinator: COORDINATOR_NOT_AVAILABLE (15); wait (api OffsetCommit, broker 1 (a:9092))"
        );
        assert_eq!(error.code(), Some(ErrorCode::COORDINATOR_NOT_AVAILABLE));
        assert_eq!(error.brief().matches("(15)").count(), 1, "{}", error.brief());
    }

    #[test]
    fn advice_is_the_errors_own_before_that_of_what_is_denied_and_of_the_kind() {
        let denied = Error::from_code(ErrorCode::GROUP_AUTHORIZATION_FAILED, "no").with_api("JoinGroup").with_group("a\nb");
        assert_eq!(denied.advice(), "an ACL must allow READ on group \"a\\nb\" to this client's principal");
        assert_eq!(denied.clone().with_advice("ask").advice(), "ask");
        assert_eq!(Error::new(ErrorKind::Closed, "no").advice(), ErrorKind::Closed.advice());
        let principal = |error: Error| error.with_principal(Some("User:alice".into())).principal().map(str::to_owned);
        assert_eq!((principal(denied).as_deref(), principal(Error::new(ErrorKind::Timeout, ""))), (Some("User:alice"), None));
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
