//! The kinds of errors: what each means, whether trying again is of use, what to do. The table of `docs/errors.md` is made from here.

use crate::protocol::ErrorCode;

/// Declares the kinds, each once: the enum with its documentation, and what programs and documents ask of a kind.
macro_rules! kinds {
    ($($(#[$attribute:meta])* $kind:ident { $meaning:literal; retriable: $retriable:expr; fatal: $fatal:expr; $advice:literal })*) => {
        /// What went wrong, in the terms a program decides by.
        ///
        #[doc = include_str!("../../docs/errors.md")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $(#[doc = $meaning] $(#[$attribute])* $kind,)*
        }

        impl ErrorKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// Its name, as in code.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }

            /// What it means, in a sentence or two.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning,)* }
            }

            /// What to do about it, where the error itself does not know better; see [`Error::advice`](crate::Error::advice).
            pub fn advice(self) -> &'static str {
                match self { $(Self::$kind => $advice,)* }
            }

            /// May the same call succeed when made again? `None` where that is another matter for each error
            /// ([`Error::is_retriable`](crate::Error::is_retriable)).
            pub fn retriable(self) -> Option<bool> {
                match self { $(Self::$kind => $retriable,)* }
            }

            /// Must the producer or consumer be built anew? `None` where that is another matter for each error
            /// ([`Error::is_fatal`](crate::Error::is_fatal)).
            pub fn fatal(self) -> Option<bool> {
                match self { $(Self::$kind => $fatal,)* }
            }
        }
    };
}

kinds! {
    Timeout {
        "The time allowed ran out; the message ends with the last failure seen until then.";
        retriable: Some(true); fatal: Some(false);
        "See what the last failure was. Brokers that are only slow need a longer time-out: the message names the one that ran out."
    }
    Disconnected {
        "No connection to a broker, or it broke.";
        retriable: Some(true); fatal: Some(false);
        "Check that the broker runs, that its address is right (`bootstrap.servers`, its `advertised.listeners`), and routes and firewalls."
    }
    Tls {
        "No encrypted connection could be agreed on: the broker's certificate is not trusted, expired, or of another name, or the broker refused ours.";
        retriable: Some(false); fatal: Some(false);
        "Change the setting or certificate that the message names. Every call says so at once; the same client works once it is right."
    }
    Authentication {
        "The broker did not accept who we say we are, or did not prove who it is.";
        retriable: Some(false); fatal: Some(false);
        "Check mechanism, user name and password. Every call says so at once; the same client works once they are right, after a pause of `reconnect.backoff.max.ms` at most."
    }
    Authorization {
        "The broker knows who we are, and does not allow us this.";
        retriable: Some(false); fatal: None;
        "Have an administrator add the ACL that the message names. A consumer goes on by itself then, save for one that may not use its group."
    }
    Fenced {
        "Another instance took this one's place: the same static member, or a newer producer of the same id.";
        retriable: Some(false); fatal: Some(true);
        "End this instance, or give it a name of its own (`group.instance.id`)."
    }
    InvalidConfig {
        "A setting is unknown, malformed, or contradicts another.";
        retriable: Some(false); fatal: Some(false);
        "Change the setting that the message names."
    }
    InvalidRequest {
        "The call itself cannot be right: a name that Kafka refuses, a partition that does not exist, a state that does not allow it.";
        retriable: Some(false); fatal: Some(false);
        "Change the call."
    }
    MessageTooLarge {
        "A record is larger than the client's or the broker's limit.";
        retriable: Some(false); fatal: Some(false);
        "Send less in one record, or raise `max.request.size` here and the topic's `max.message.bytes` there."
    }
    UnknownTopic {
        "The cluster has no such topic or partition.";
        retriable: None; fatal: Some(false);
        "Check the name, or create the topic. One that was created a moment ago may take a moment to be known everywhere."
    }
    OffsetOutOfRange {
        "The offset asked for is not in the partition's log.";
        retriable: Some(false); fatal: Some(false);
        "Seek to an offset within the range that the message names, or let `auto.offset.reset` say where to go on."
    }
    #[doc(alias = "BufferOverflow")]
    BufferFull {
        "The buffer is full and waiting was not wanted, or took too long.";
        retriable: Some(true); fatal: Some(false);
        "Send more slowly, wait for deliveries, or raise the limit that the message names."
    }
    Decode {
        "Bytes that are not what the protocol says.";
        retriable: None; fatal: Some(false);
        "Check that the address is a Kafka broker's and nothing in between changes bytes; else it is a fault of the broker or of klamm, worth a report."
    }
    UnsupportedVersion {
        "Client and broker have no version of the API in common.";
        retriable: Some(false); fatal: None;
        "Upgrade the broker, or do without what the call needs."
    }
    Group {
        "The group's coordinator refused: protocol, assignors, size, session time-out, or a member that is none any more.";
        retriable: None; fatal: None;
        "Change what the message names. If the error is not fatal, the member joins again by itself."
    }
    #[doc(alias = "ProcessingError")]
    Processing {
        "The user's own code failed or panicked.";
        retriable: Some(false); fatal: Some(false);
        "See the cause, which is the code's own error. The record is handed out again by the next call."
    }
    Broker {
        "Any other verdict of a broker; the code says which.";
        retriable: None; fatal: None;
        "Look the code up in Kafka's documentation; the broker's own words, where it gave any, stand in the message."
    }
    Closed {
        "The client, producer or consumer was closed, or the runtime it was built in has ended.";
        retriable: Some(false); fatal: None;
        "Build another."
    }
    Bug {
        "A fault of this library.";
        retriable: Some(false); fatal: Some(false);
        "Report it, with what a log at level TRACE (`klamm -vvv`) shows."
    }
}

impl ErrorKind {
    /// The kind that a broker's code amounts to.
    pub(super) fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::REQUEST_TIMED_OUT => Self::Timeout,
            ErrorCode::SASL_AUTHENTICATION_FAILED | ErrorCode::UNSUPPORTED_SASL_MECHANISM | ErrorCode::ILLEGAL_SASL_STATE => {
                Self::Authentication
            }
            ErrorCode::TOPIC_AUTHORIZATION_FAILED
            | ErrorCode::GROUP_AUTHORIZATION_FAILED
            | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
            | ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            | ErrorCode::DELEGATION_TOKEN_AUTHORIZATION_FAILED => Self::Authorization,
            ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::FENCED_INSTANCE_ID => Self::Fenced,
            ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => Self::MessageTooLarge,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID => Self::UnknownTopic,
            ErrorCode::OFFSET_OUT_OF_RANGE => Self::OffsetOutOfRange,
            ErrorCode::UNSUPPORTED_VERSION => Self::UnsupportedVersion,
            ErrorCode::INVALID_TOPIC_EXCEPTION | ErrorCode::INVALID_GROUP_ID | ErrorCode::INVALID_REQUEST => Self::InvalidRequest,
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL
            | ErrorCode::INVALID_SESSION_TIMEOUT
            | ErrorCode::GROUP_MAX_SIZE_REACHED
            | ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::REBALANCE_IN_PROGRESS => Self::Group,
            _ => Self::Broker,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn errors_begin_as_their_kind_says() {
        assert!(ErrorKind::ALL.len() > 15);
        for kind in ErrorKind::ALL {
            let error = Error::new(*kind, "");
            assert_eq!(error.is_retriable(), kind.retriable().unwrap_or(false), "{kind:?}");
            assert_eq!(error.is_fatal(), kind.fatal().unwrap_or(*kind == ErrorKind::Closed), "{kind:?}");
            assert!(kind.meaning().ends_with('.') && kind.advice().ends_with('.'), "{kind:?}");
        }
    }

    #[test]
    fn codes_do_not_contradict_their_kind() {
        for code in (-1..200).map(ErrorCode).filter(|code| !code.is_ok()) {
            let error = Error::from_code(code, "");
            let kind = error.kind();
            assert!(kind.retriable().is_none_or(|retriable| retriable == error.is_retriable()), "{code}: {kind:?}");
            assert!(kind.fatal().is_none_or(|fatal| fatal == error.is_fatal()), "{code}: {kind:?}");
        }
    }
}
