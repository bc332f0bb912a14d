//! AddPartitionsToTxn and AddOffsetsToTxn: what a transaction is going to write to.

use std::time::Instant;

use klamm::protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use klamm::protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
};
use klamm::protocol::{ErrorCode, TransactionalId};

use crate::core::transactions::offsets::offsets_partition;
use crate::core::transactions::{Identity, TopicPartition, as_of};
use crate::core::{Call, Core, Outcome};

/// First version that knows PRODUCER_FENCED.
const FENCED: i16 = 2;

/// First version that brokers speak among themselves, of several transactions at once (KIP-890).
const OF_BROKERS: i16 = 4;

impl Core {
    pub(in crate::core) fn add_partitions_to_txn(
        &mut self,
        now: Instant,
        call: &Call,
        request: AddPartitionsToTxnRequest,
    ) -> Outcome<AddPartitionsToTxnResponse> {
        if call.version >= OF_BROKERS {
            let results_by_transaction =
                request.transactions.into_iter().map(|asked| self.add_for_broker(now, call, asked)).collect();
            return Outcome::Reply(AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() });
        }
        let producer = Identity { id: request.v3_and_below_producer_id.0, epoch: request.v3_and_below_producer_epoch };
        let id = &request.v3_and_below_transactional_id;
        let topics = request.v3_and_below_topics;
        // One partition that is not there, and the others are not looked at.
        let is_known =
            |topic: &AddPartitionsToTxnTopic, partition| self.topics.partition(topic.name.as_str(), partition).is_some();
        let all_known = topics.iter().all(|topic| topic.partitions.iter().all(|partition| is_known(topic, *partition)));
        let results = if all_known {
            let added = self.add_to_transaction(now, call, id, producer, partitions_of(&topics));
            let code = as_of(call.version, FENCED, added.err().unwrap_or(ErrorCode::NONE));
            topics.iter().map(|topic| topic_result(topic, |_| code)).collect()
        } else {
            let code = |topic: &AddPartitionsToTxnTopic, partition| match is_known(topic, partition) {
                true => ErrorCode::OPERATION_NOT_ATTEMPTED,
                false => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            };
            topics.iter().map(|topic| topic_result(topic, |partition| code(topic, partition))).collect()
        };
        Outcome::Reply(AddPartitionsToTxnResponse { results_by_topic_v3_and_below: results, ..Default::default() })
    }

    /// The leader of partitions asks for a producer, to have them added or only looked up.
    fn add_for_broker(&mut self, now: Instant, call: &Call, asked: AddPartitionsToTxnTransaction) -> AddPartitionsToTxnResult {
        let id = asked.transactional_id;
        let producer = Identity { id: asked.producer_id.0, epoch: asked.producer_epoch };
        let topic_results = if asked.verify_only {
            let checked = self.check_transactional_id(call, &id);
            let known = checked.and_then(|()| self.transactions.get(id.as_str()).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
            let verify = |topic: &AddPartitionsToTxnTopic, partition| {
                known.and_then(|transaction| transaction.verify(producer, &(topic.name.as_str().to_owned(), partition)))
            };
            let result = |topic: &AddPartitionsToTxnTopic| topic_result(topic, |partition| code_of(verify(topic, partition)));
            asked.topics.iter().map(result).collect()
        } else {
            let added = self.add_to_transaction(now, call, &id, producer, partitions_of(&asked.topics));
            asked.topics.iter().map(|topic| topic_result(topic, |_| code_of(added))).collect()
        };
        AddPartitionsToTxnResult { transactional_id: id, topic_results }
    }

    fn add_to_transaction(
        &mut self,
        now: Instant,
        call: &Call,
        id: &TransactionalId,
        producer: Identity,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), ErrorCode> {
        self.check_transactional_id(call, id)?;
        let now = self.moment(now);
        self.transactions.change(id.as_str(), |transaction, _| transaction.add(now, producer, partitions))
    }

    pub(in crate::core) fn add_offsets_to_txn(
        &mut self,
        now: Instant,
        call: &Call,
        request: AddOffsetsToTxnRequest,
    ) -> Outcome<AddOffsetsToTxnResponse> {
        let producer = Identity { id: request.producer_id.0, epoch: request.producer_epoch };
        let partition = offsets_partition(request.group_id.as_str());
        let added = self.add_to_transaction(now, call, &request.transactional_id, producer, vec![partition]);
        let error_code = as_of(call.version, FENCED, code_of(added));
        Outcome::Reply(AddOffsetsToTxnResponse { error_code, ..Default::default() })
    }
}

fn code_of(result: Result<(), ErrorCode>) -> ErrorCode {
    result.err().unwrap_or(ErrorCode::NONE)
}

fn partitions_of(topics: &[AddPartitionsToTxnTopic]) -> Vec<TopicPartition> {
    let of_topic =
        |topic: &AddPartitionsToTxnTopic| topic.partitions.iter().map(|index| (topic.name.as_str().to_owned(), *index)).collect();
    topics.iter().flat_map(|topic| -> Vec<_> { of_topic(topic) }).collect()
}

fn topic_result(topic: &AddPartitionsToTxnTopic, code: impl Fn(i32) -> ErrorCode) -> AddPartitionsToTxnTopicResult {
    let result = |index: &i32| AddPartitionsToTxnPartitionResult { partition_index: *index, partition_error_code: code(*index) };
    AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic.partitions.iter().map(result).collect(),
    }
}
