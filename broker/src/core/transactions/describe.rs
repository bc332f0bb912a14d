//! What can be seen of transactions and producers (KIP-664): DescribeTransactions, ListTransactions, DescribeProducers.

use std::time::Instant;

use klamm::protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use klamm::protocol::messages::describe_transactions as described;
use klamm::protocol::messages::describe_transactions::{DescribeTransactionsRequest, DescribeTransactionsResponse};
use klamm::protocol::messages::list_transactions as listed;
use klamm::protocol::messages::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use klamm::protocol::{ErrorCode, ProducerId, TopicName, TransactionalId};
use regex_lite::RegexBuilder;

use crate::core::topics::{Partition, text};
use crate::core::transactions::{Moment, Transaction};
use crate::core::{Call, Core, Outcome};

/// What Kafka calls the states of a transaction.
const STATES: [&str; 8] =
    ["Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"];

/// What a pattern may come to, in bytes of memory: it is a client's.
const PATTERN_SIZE: usize = 1 << 20;

fn millis_of(started: Option<Moment>) -> i64 {
    started.map_or(-1, |started| started.millis)
}

impl Core {
    pub(in crate::core) fn describe_transactions(
        &mut self,
        _: Instant,
        call: &Call,
        request: DescribeTransactionsRequest,
    ) -> Outcome<DescribeTransactionsResponse> {
        let describe = |transactional_id: TransactionalId| {
            let checked = self.check_transactional_id(call, &transactional_id);
            let found = checked
                .and_then(|()| self.transactions.get(transactional_id.as_str()).ok_or(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND));
            match found {
                Ok(transaction) => description(transactional_id, transaction),
                Err(error_code) => described::TransactionState { error_code, transactional_id, ..Default::default() },
            }
        };
        let transaction_states = request.transactional_ids.into_iter().map(describe).collect();
        Outcome::Reply(DescribeTransactionsResponse { transaction_states, ..Default::default() })
    }

    pub(in crate::core) fn list_transactions(
        &mut self,
        now: Instant,
        call: &Call,
        request: ListTransactionsRequest,
    ) -> Outcome<ListTransactionsResponse> {
        let pattern = request.transactional_id_pattern.as_ref().filter(|pattern| !pattern.as_str().is_empty());
        // The whole id has to match.
        let pattern = pattern.map(|pattern| {
            let pattern = pattern.as_str();
            RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build()?;
            RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_SIZE).build()
        });
        let Ok(pattern) = pattern.transpose() else {
            let error_code = ErrorCode::INVALID_REGULAR_EXPRESSION;
            return Outcome::Reply(ListTransactionsResponse { error_code, ..Default::default() });
        };
        let unknown_state_filters = request.state_filters.iter().filter(|state| !STATES.contains(&state.as_str())).cloned();
        let now = self.wall_millis(now);
        let is_wanted = |id: &str, transaction: &Transaction| {
            let states = &request.state_filters;
            let state = states.is_empty() || states.iter().any(|state| state.as_str() == transaction.state().name());
            let ids = &request.producer_id_filters;
            let producer = ids.is_empty() || ids.iter().any(|id| id.0 == transaction.producer().id);
            let age = now.saturating_sub(millis_of(transaction.started()));
            let duration = request.duration_filter < 0 || age > request.duration_filter;
            state && producer && duration && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
        };
        let ours = self.transactions.iter().filter(|(id, _)| self.coordinator_of(id) == Some(call.node));
        let listed =
            ours.filter(|(id, transaction)| is_wanted(id, transaction)).map(|(id, transaction)| listed::TransactionState {
                transactional_id: TransactionalId(text(id)),
                producer_id: ProducerId(transaction.producer().id),
                transaction_state: text(transaction.state().name()),
            });
        Outcome::Reply(ListTransactionsResponse {
            unknown_state_filters: unknown_state_filters.collect(),
            transaction_states: listed.collect(),
            ..Default::default()
        })
    }

    pub(in crate::core) fn describe_producers(
        &mut self,
        _: Instant,
        call: &Call,
        request: DescribeProducersRequest,
    ) -> Outcome<DescribeProducersResponse> {
        let topics = request.topics.into_iter().map(|topic| {
            let partition = |index: &i32| {
                let partition = self.topics.partition(topic.name.as_str(), *index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                let refused = call.refusal(topic.name.as_str(), *index).map_or(Ok(()), Err);
                let led = refused.and(partition).and_then(|partition| partition.check_leader(call.node, -1).map(|()| partition));
                let (error_code, active_producers) = match led {
                    Ok(partition) => (ErrorCode::NONE, producers_of(partition)),
                    Err(code) => (code, Vec::new()),
                };
                let unknown = self.topics.get(topic.name.as_str()).is_none();
                let error_message = unknown.then(|| text("This server does not host this topic-partition."));
                PartitionResponse { partition_index: *index, error_code, error_message, active_producers }
            };
            let partitions = topic.partition_indexes.iter().map(partition).collect();
            TopicResponse { name: topic.name, partitions }
        });
        Outcome::Reply(DescribeProducersResponse { topics: topics.collect(), ..Default::default() })
    }
}

fn description(transactional_id: TransactionalId, transaction: &Transaction) -> described::TransactionState {
    let mut topics: Vec<described::TopicData> = Vec::new();
    // Sorted by topic, so those of one stand together.
    for (name, partition) in transaction.partitions() {
        if topics.last().is_none_or(|last| last.topic.as_str() != name) {
            topics.push(described::TopicData { topic: TopicName(text(name)), partitions: Vec::new() });
        }
        if let Some(last) = topics.last_mut() {
            last.partitions.push(*partition);
        }
    }
    let producer = transaction.producer();
    described::TransactionState {
        error_code: ErrorCode::NONE,
        transactional_id,
        transaction_state: text(transaction.state().name()),
        transaction_timeout_ms: i32::try_from(transaction.timeout().as_millis()).unwrap_or(i32::MAX),
        transaction_start_time_ms: millis_of(transaction.started()),
        producer_id: ProducerId(producer.id),
        producer_epoch: producer.epoch,
        topics,
    }
}

fn producers_of(partition: &Partition) -> Vec<ProducerState> {
    let state = |(id, producer): (i64, crate::core::producers::Seen)| ProducerState {
        producer_id: ProducerId(id),
        producer_epoch: i32::from(producer.epoch),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: partition.log.open_transaction(id).unwrap_or(-1),
    };
    partition.producers.iter().map(state).collect()
}
