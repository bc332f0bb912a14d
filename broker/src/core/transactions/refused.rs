//! The answer to a request about transactions that a test wants to fail.

use bytes::Bytes;
use klamm::protocol::messages::{
    add_offsets_to_txn::*, add_partitions_to_txn::*, describe_producers, describe_transactions, end_txn::*, list_transactions::*,
    txn_offset_commit::*, write_txn_markers::*,
};
use klamm::protocol::{ApiKey, ApiMessage as _, DecodeError, ErrorCode};

use crate::core::Call;
use crate::core::reply::Answer;

/// Answers with `code` in every place where a real broker would put one.
///
/// # Errors
/// When the request cannot be read.
pub(crate) fn refuse(call: &Call, body: &Bytes, error_code: ErrorCode, to: impl Answer) -> Result<(), DecodeError> {
    let version = call.version;
    match call.api_key {
        ApiKey::ADD_PARTITIONS_TO_TXN => to.answer(add_partitions(AddPartitionsToTxnRequest::decode(body, version)?, error_code)),
        ApiKey::ADD_OFFSETS_TO_TXN => to.answer(AddOffsetsToTxnResponse { error_code, ..Default::default() }),
        ApiKey::END_TXN => to.answer(EndTxnResponse { error_code, ..Default::default() }),
        ApiKey::TXN_OFFSET_COMMIT => to.answer(offset_commit(TxnOffsetCommitRequest::decode(body, version)?, error_code)),
        ApiKey::WRITE_TXN_MARKERS => to.answer(markers(WriteTxnMarkersRequest::decode(body, version)?, error_code)),
        ApiKey::LIST_TRANSACTIONS => to.answer(ListTransactionsResponse { error_code, ..Default::default() }),
        ApiKey::DESCRIBE_TRANSACTIONS => {
            let request = describe_transactions::DescribeTransactionsRequest::decode(body, version)?;
            let state =
                |transactional_id| describe_transactions::TransactionState { error_code, transactional_id, ..Default::default() };
            let transaction_states = request.transactional_ids.into_iter().map(state).collect();
            to.answer(describe_transactions::DescribeTransactionsResponse { transaction_states, ..Default::default() });
        }
        ApiKey::DESCRIBE_PRODUCERS => {
            let request = describe_producers::DescribeProducersRequest::decode(body, version)?;
            let partition =
                |partition_index| describe_producers::PartitionResponse { partition_index, error_code, ..Default::default() };
            let topics = request.topics.into_iter().map(|topic| describe_producers::TopicResponse {
                name: topic.name,
                partitions: topic.partition_indexes.into_iter().map(partition).collect(),
            });
            to.answer(describe_producers::DescribeProducersResponse { topics: topics.collect(), ..Default::default() });
        }
        _ => {}
    }
    Ok(())
}

fn add_partitions(request: AddPartitionsToTxnRequest, error_code: ErrorCode) -> AddPartitionsToTxnResponse {
    let partition = |partition_index| AddPartitionsToTxnPartitionResult { partition_index, partition_error_code: error_code };
    let topics = |topics: Vec<AddPartitionsToTxnTopic>| {
        let topic = |topic: AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
            name: topic.name,
            results_by_partition: topic.partitions.into_iter().map(partition).collect(),
        };
        topics.into_iter().map(topic).collect()
    };
    let transaction = |transaction: AddPartitionsToTxnTransaction| AddPartitionsToTxnResult {
        transactional_id: transaction.transactional_id,
        topic_results: topics(transaction.topics),
    };
    AddPartitionsToTxnResponse {
        error_code,
        results_by_transaction: request.transactions.into_iter().map(transaction).collect(),
        results_by_topic_v3_and_below: topics(request.v3_and_below_topics),
        ..Default::default()
    }
}

fn offset_commit(request: TxnOffsetCommitRequest, error_code: ErrorCode) -> TxnOffsetCommitResponse {
    let partition = |partition: TxnOffsetCommitRequestPartition| TxnOffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code,
    };
    let topic = |topic: TxnOffsetCommitRequestTopic| TxnOffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    TxnOffsetCommitResponse { topics: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}

fn markers(request: WriteTxnMarkersRequest, error_code: ErrorCode) -> WriteTxnMarkersResponse {
    let partition = |partition_index| WritableTxnMarkerPartitionResult { partition_index, error_code };
    let topic = |topic: WritableTxnMarkerTopic| WritableTxnMarkerTopicResult {
        name: topic.name,
        partitions: topic.partition_indexes.into_iter().map(partition).collect(),
    };
    let marker = |marker: WritableTxnMarker| WritableTxnMarkerResult {
        producer_id: marker.producer_id,
        topics: marker.topics.into_iter().map(topic).collect(),
    };
    WriteTxnMarkersResponse { markers: request.markers.into_iter().map(marker).collect() }
}
