//! OffsetForLeaderEpoch: where the records of an epoch end, so that a reader finds out whether its history was cut (KIP-320).

use std::time::Instant;

use klamm::protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};
use klamm::protocol::{ErrorCode, TopicName};

use crate::core::{Call, Core, Outcome};

impl Core {
    pub(super) fn offset_for_leader_epoch(
        &mut self,
        _: Instant,
        call: &Call,
        request: OffsetForLeaderEpochRequest,
    ) -> Outcome<OffsetForLeaderEpochResponse> {
        let topics = request.topics.into_iter().map(|topic| {
            let partition = |asked: &OffsetForLeaderPartition| {
                let mut response = EpochEndOffset { partition: asked.partition, ..Default::default() };
                match self.end_of_epoch(call, &topic.topic, asked) {
                    Ok(Some((leader_epoch, end_offset))) => {
                        (response.leader_epoch, response.end_offset) = (leader_epoch, end_offset)
                    }
                    // Unknown epochs have no end, and that is no error.
                    Ok(None) => {}
                    Err(code) => response.error_code = code,
                }
                response
            };
            let partitions = topic.partitions.iter().map(partition).collect();
            OffsetForLeaderTopicResult { topic: topic.topic, partitions }
        });
        Outcome::Reply(OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() })
    }

    fn end_of_epoch(
        &self,
        call: &Call,
        topic: &TopicName,
        asked: &OffsetForLeaderPartition,
    ) -> Result<Option<(i32, i64)>, ErrorCode> {
        if let Some(code) = call.refusal(topic.as_str(), asked.partition) {
            return Err(code);
        }
        let partition = self.topics.partition(topic.as_str(), asked.partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        partition.check_leader(call.node, asked.current_leader_epoch)?;
        Ok(partition.log.end_of_epoch(asked.leader_epoch))
    }
}
