//! ListOffsets: where a partition begins and ends, and which record was written when.

use std::collections::BTreeSet;
use std::time::Instant;

use klamm::protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use klamm::protocol::{ErrorCode, TopicName};

use crate::core::{Call, Core, Outcome};

/// Who asks: a consumer, or a tool that looks at any replica. What is not negative is a replica.
const CONSUMER: i32 = -1;
const DEBUGGER: i32 = -2;

/// First version with the code for it.
const OFFSET_NOT_AVAILABLE: i16 = 5;

/// Special timestamps.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// From which version each may be asked for.
const SINCE: [(i64, i16); 4] = [(MAX_TIMESTAMP, 7), (EARLIEST_LOCAL, 8), (LATEST_TIERED, 9), (EARLIEST_PENDING_UPLOAD, 11)];

/// Who asks.
#[derive(Clone, Copy)]
struct Reader {
    isolation_level: i8,
    replica_id: i32,
}

impl Core {
    pub(super) fn list_offsets(&mut self, _: Instant, call: &Call, request: ListOffsetsRequest) -> Outcome<ListOffsetsResponse> {
        let reader = Reader { isolation_level: request.isolation_level, replica_id: request.replica_id.0 };
        let mut seen = BTreeSet::new();
        let mut twice = BTreeSet::new();
        for topic in &request.topics {
            for asked in &topic.partitions {
                let partition = (topic.name.clone(), asked.partition_index);
                if !seen.insert(partition.clone()) {
                    twice.insert(partition);
                }
            }
        }
        let mut answered = BTreeSet::new();
        let topics = request.topics.into_iter().map(|mut topic| {
            // One that is asked for twice is refused once.
            topic.partitions.retain(|asked| answered.insert((topic.name.clone(), asked.partition_index)));
            let partition = |asked: &ListOffsetsPartition| {
                let found = match twice.contains(&(topic.name.clone(), asked.partition_index)) {
                    true => Err(ErrorCode::INVALID_REQUEST),
                    false => self.find_offset(call, &topic.name, asked, reader),
                };
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
        reader: Reader,
    ) -> Result<(i64, i64, i32), ErrorCode> {
        if let Some(code) = call.refusal(topic.as_str(), asked.partition_index) {
            return Err(code);
        }
        let partition = self.topics.partition(topic.as_str(), asked.partition_index);
        let partition = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if !(reader.replica_id == DEBUGGER && partition.replicas.contains(&call.node)) {
            partition.check_leader(call.node, asked.current_leader_epoch)?;
        }
        if SINCE.iter().any(|(timestamp, version)| *timestamp == asked.timestamp && call.version < *version) {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        let log = &partition.log;
        // Replicas, and who asks like one, see everything.
        let end = match reader.replica_id {
            CONSUMER => log.readable(reader.isolation_level == 1),
            _ => log.end_offset(),
        };
        // A leader that does not know yet that its predecessor's records are replicated cannot say where they end.
        let not_available = match reader.replica_id == CONSUMER && partition.epoch_start > log.high_watermark() {
            true if call.version >= OFFSET_NOT_AVAILABLE => Err(ErrorCode::OFFSET_NOT_AVAILABLE),
            true => Err(ErrorCode::LEADER_NOT_AVAILABLE),
            false => Ok(()),
        };
        let found = match asked.timestamp {
            LATEST => return not_available.map(|()| (-1, end, partition.leader_epoch)),
            EARLIEST | EARLIEST_LOCAL => {
                let start = log.start_offset();
                return Ok((-1, start, log.epoch_at(start).unwrap_or(-1)));
            }
            // Nothing here is ever moved to other storage.
            LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok((-1, -1, -1)),
            MAX_TIMESTAMP => log.find_max_timestamp(),
            timestamp if timestamp >= 0 => log.find_timestamp(timestamp),
            _ => return Err(ErrorCode::UNSUPPORTED_VERSION),
        };
        match found.filter(|found| found.offset < end) {
            Some(found) => Ok((found.timestamp, found.offset, found.leader_epoch)),
            None => not_available.map(|()| (-1, -1, -1)),
        }
    }
}
