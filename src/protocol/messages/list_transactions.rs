//! ListTransactions: transactions that a coordinator knows of (KIP-664). To each broker; one knows only its own.

use crate::protocol::{ErrorCode, ProducerId, Str, TransactionalId};

message! {
    request 66 -> ListTransactionsResponse, versions 0..=2, flexible 0.., listeners [broker];

    /// Which are wanted; empty means all.
    struct ListTransactionsRequest {
        state_filters: Vec<Str> [0..],
        producer_id_filters: Vec<ProducerId> [0..],
        /// Only those that have been open for longer, in milliseconds; negative for all (KIP-994).
        duration_filter: i64 [1..] = -1,
        /// A regular expression; null or empty for all (KIP-1152).
        transactional_id_pattern: Option<Str> [2.., null 2..] = None,
    }
}

message! {
    response 66, versions 0..=2, flexible 0..;

    /// The transactions.
    struct ListTransactionsResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        /// States that were asked for and that the broker has never heard of.
        unknown_state_filters: Vec<Str> [0..],
        transaction_states: Vec<TransactionState> [0..],
    }

    /// One transaction.
    struct TransactionState {
        transactional_id: TransactionalId [0..],
        producer_id: ProducerId [0..],
        transaction_state: Str [0..],
    }
}
