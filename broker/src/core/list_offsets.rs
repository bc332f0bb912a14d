//! ListOffsets: where a partition begins and ends, and which record was written when.

use std::time::Instant;

use klamm::protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use klamm::protocol::{ErrorCode, TopicName};

use crate::core::{Call, Core, Outcome};

/// Special timestamps.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// From which version each may be asked for.
const SINCE: [(i64, i16); 4] = [(MAX_TIMESTAMP, 7), (EARLIEST_LOCAL, 8), (LATEST_TIERED, 9), (EARLIEST_PENDING_UPLOAD, 11)];

impl Core {
    pub(super) fn list_offsets(&mut self, _: Instant, call: &Call, request: ListOffsetsRequest) -> Outcome<ListOffsetsResponse> {
        let committed_only = request.isolation_level == 1;
        let topics = request.topics.into_iter().map(|topic| {
            let partition = |asked: &ListOffsetsPartition| {
                let found = self.find_offset(call, &topic.name, asked, committed_only);
                let mut response = ListOffsetsPartitionResponse { partition_index: asked.partition_index, ..Default::default() };
                match found {
                    Ok((timestamp, offset, leader_epoch)) => {
                        (response.timestamp, response.offset, response.leader_epoch) = (timestamp, offset, leader_epoch);
                        // Older versions do not have the field.
                        if call.version < 4 {
                            response.leader_epoch = -1;
                        }
                    }
                    Err(code) => response.error_code = code,
                }
                response
            };
            let partitions = topic.partitions.iter().map(partition).collect();
            ListOffsetsTopicResponse { name: topic.name, partitions }
        });
        Outcome::Reply(ListOffsetsResponse { topics: topics.collect(), ..Default::default() })
    }

    /// Timestamp, offset and leader epoch.
    fn find_offset(
        &self,
        call: &Call,
        topic: &TopicName,
        asked: &ListOffsetsPartition,
        committed_only: bool,
    ) -> Result<(i64, i64, i32), ErrorCode> {
        if let Some(code) = call.refusal(topic.as_str(), asked.partition_index) {
            return Err(code);
        }
        let partition = self.topics.partition(topic.as_str(), asked.partition_index);
        let partition = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        partition.check_leader(call.node, asked.current_leader_epoch)?;
        if SINCE.iter().any(|(timestamp, version)| *timestamp == asked.timestamp && call.version < *version) {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        let log = &partition.log;
        let end = log.readable(committed_only);
        let epoch = |offset| log.epoch_at(offset).unwrap_or(partition.leader_epoch);
        let found = match asked.timestamp {
            LATEST => return Ok((-1, end, partition.leader_epoch)),
            EARLIEST | EARLIEST_LOCAL => return Ok((-1, log.start_offset(), epoch(log.start_offset()))),
            // Nothing here is ever moved to other storage.
            LATEST_TIERED | EARLIEST_PENDING_UPLOAD => None,
            MAX_TIMESTAMP => log.find_max_timestamp(),
            timestamp if timestamp >= 0 => log.find_timestamp(timestamp),
            _ => return Err(ErrorCode::UNSUPPORTED_VERSION),
        };
        let found = found.filter(|found| found.offset < end);
        Ok(found.map_or((-1, -1, -1), |found| (found.timestamp, found.offset, found.leader_epoch)))
    }
}
