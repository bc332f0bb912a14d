//! What a broker's error code in a Produce answer means for the batch it is about.
//!
//! Two questions decide: may the batch be in the log although the broker refused it, and does sending the same bytes again make
//! sense? A broker can answer `NOT_LEADER_OR_FOLLOWER` after it has appended, when it loses leadership while waiting for replicas;
//! so only codes that Kafka gives out before it appends count as "not written".

use crate::protocol::ErrorCode;

/// What happened to one attempt to write a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is in the log, by this attempt or an earlier one.
    Acked,
    /// It is not in the log by this attempt; try again.
    Unwritten,
    /// Nobody knows (no answer, or an error that can come after the append); send the same bytes again.
    Unknown,
    /// Its sequence numbers do not fit what the broker remembers of this producer.
    OutOfSequence,
    /// Not written, and the same bytes will never be accepted.
    Refused,
    /// Never to be tried again, but it may be in the log.
    RefusedUnknown,
}

impl Answer {
    /// The meaning of `code` in a Produce answer. `idempotent`: do the producer's batches carry sequence numbers?
    pub(super) fn of(code: ErrorCode, idempotent: bool) -> Self {
        match code {
            // The broker has the batch already, and no longer knows at which offset.
            ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Self::Acked,
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::UNKNOWN_PRODUCER_ID | ErrorCode::INVALID_PRODUCER_EPOCH => {
                if idempotent {
                    Self::OutOfSequence
                } else {
                    Self::Refused
                }
            }
            // Found before the append. A wrong checksum is the network's fault: it is computed over bytes that do not change.
            ErrorCode::NOT_ENOUGH_REPLICAS | ErrorCode::CORRUPT_MESSAGE | ErrorCode::CONCURRENT_TRANSACTIONS => Self::Unwritten,
            ErrorCode::UNKNOWN_SERVER_ERROR => Self::RefusedUnknown,
            // Among these NOT_ENOUGH_REPLICAS_AFTER_APPEND and REQUEST_TIMED_OUT, which say that it is in the leader's log.
            code if code.is_retriable() => Self::Unknown,
            code if code.name().is_some() => Self::Refused,
            _ => Self::RefusedUnknown,
        }
    }

    /// For tables of what was reached.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Acked => "acked",
            Self::Unwritten => "unwritten",
            Self::Unknown => "unknown",
            Self::OutOfSequence => "out of sequence",
            Self::Refused => "refused",
            Self::RefusedUnknown => "refused, unknown",
        }
    }

    /// May the batch be in the log after this attempt?
    pub(super) fn leaves_doubt(self) -> bool {
        matches!(self, Self::Unknown | Self::RefusedUnknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_can_follow_an_append_leave_doubt() {
        for code in [
            ErrorCode::REQUEST_TIMED_OUT,
            ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::KAFKA_STORAGE_ERROR,
            ErrorCode::LEADER_NOT_AVAILABLE,
            ErrorCode::FENCED_LEADER_EPOCH,
            ErrorCode::UNKNOWN_TOPIC_ID,
        ] {
            assert_eq!(Answer::of(code, true), Answer::Unknown, "{code}");
        }
        for code in [ErrorCode::UNKNOWN_SERVER_ERROR, ErrorCode(9999)] {
            assert_eq!(Answer::of(code, true), Answer::RefusedUnknown, "{code}");
        }
    }

    #[test]
    fn verdicts_of_the_error_table() {
        let table = [
            (0, Answer::Acked),
            (46, Answer::Acked),
            (2, Answer::Unwritten),
            (19, Answer::Unwritten),
            (10, Answer::Refused),
            (17, Answer::Refused),
            (18, Answer::Refused),
            (21, Answer::Refused),
            (29, Answer::Refused),
            (31, Answer::Refused),
            (32, Answer::Refused),
            (43, Answer::Refused),
            (44, Answer::Refused),
            (76, Answer::Refused),
            (87, Answer::Refused),
            (90, Answer::Refused),
            (45, Answer::OutOfSequence),
            (47, Answer::OutOfSequence),
            (59, Answer::OutOfSequence),
        ];
        for (code, answer) in table {
            assert_eq!(Answer::of(ErrorCode(code), true), answer, "{code}");
        }
        assert_eq!(Answer::of(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, false), Answer::Refused);
    }
}
