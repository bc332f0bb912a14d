//! DeleteRecords: moves the start of logs (KIP-107).
//!
//! Replicas that are held back or stopped move theirs when they follow again; the answer does not wait for them, unlike Kafka's.

use std::time::Instant;

use klamm::protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use klamm::protocol::{ErrorCode, TopicName};

use crate::core::{Call, Core, Outcome};

/// Stands for the high watermark.
const ALL: i64 = -1;

impl Core {
    pub(super) fn delete_records_by_request(
        &mut self,
        _: Instant,
        call: &Call,
        request: DeleteRecordsRequest,
    ) -> Outcome<DeleteRecordsResponse> {
        let topics = request.topics.into_iter().map(|topic| {
            let mut partition = |asked: &DeleteRecordsPartition| {
                let (error_code, low_watermark) = match self.delete_before(call, &topic.name, asked) {
                    Ok(start) => (ErrorCode::NONE, start),
                    Err(code) => (code, -1),
                };
                DeleteRecordsPartitionResult { partition_index: asked.partition_index, low_watermark, error_code }
            };
            let partitions = topic.partitions.iter().map(&mut partition).collect();
            DeleteRecordsTopicResult { name: topic.name.clone(), partitions }
        });
        let topics = topics.collect();
        Outcome::Reply(DeleteRecordsResponse { topics, ..Default::default() })
    }

    /// Gives the log's start.
    fn delete_before(&mut self, call: &Call, topic: &TopicName, asked: &DeleteRecordsPartition) -> Result<i64, ErrorCode> {
        if let Some(code) = call.refusal(topic.as_str(), asked.partition_index) {
            return Err(code);
        }
        let known = self.topics.get(topic.as_str()).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let is_internal = known.name.as_str().starts_with("__");
        let may_delete = known.has_policy("delete");
        let partition = self.topics.partition_mut(topic.as_str(), asked.partition_index);
        let partition = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if is_internal {
            return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
        }
        partition.check_leader(call.node, -1)?;
        if !may_delete {
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        let high_watermark = partition.log.high_watermark();
        let before = if asked.offset == ALL { high_watermark } else { asked.offset };
        if !(0..=high_watermark).contains(&before) {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        partition.log.delete_before(before);
        let start = partition.log.start_offset();
        self.topics.touch();
        Ok(start)
    }

    /// The same without a request; what is not replicated stays.
    pub(crate) fn delete_records(&mut self, now: Instant, topic: &str, partition: i32, before: i64) {
        if let Some(partition) = self.topics.partition_mut(topic, partition) {
            partition.log.delete_before(before);
        }
        self.topics.touch();
        self.pump(now);
    }
}
