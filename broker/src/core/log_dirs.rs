//! DescribeLogDirs (KIP-113): each node has one directory, which is full of nothing but memory.

use std::time::Instant;

use klamm::protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use crate::core::topics::{Partition, Topic, text};
use crate::core::{Call, Core, Outcome};

/// The name of the directory.
const LOG_DIR: &str = "/klamm-broker";

impl Core {
    pub(super) fn describe_log_dirs(
        &mut self,
        _: Instant,
        call: &Call,
        request: DescribeLogDirsRequest,
    ) -> Outcome<DescribeLogDirsResponse> {
        let is_wanted = |topic: &str, partition: i32| {
            request.topics.as_ref().is_none_or(|topics| {
                let mut named = topics.iter().filter(|named| named.topic.as_str() == topic);
                named.any(|named| named.partitions.contains(&partition))
            })
        };
        let described = |topic: &Topic| {
            let partition = |(partition_index, partition): (i32, &Partition)| DescribeLogDirsPartition {
                partition_index,
                partition_size: i64::try_from(partition.log.available(partition.log.start_offset(), i64::MAX))
                    .unwrap_or(i64::MAX),
                ..Default::default()
            };
            let ours = (0..)
                .zip(&topic.partitions)
                .filter(|(index, partition)| partition.replicas.contains(&call.node) && is_wanted(topic.name.as_str(), *index));
            DescribeLogDirsTopic { name: topic.name.clone(), partitions: ours.map(partition).collect() }
        };
        let topics = self.topics.iter().map(described).filter(|topic| !topic.partitions.is_empty()).collect();
        let results = vec![DescribeLogDirsResult { log_dir: text(LOG_DIR), topics, ..Default::default() }];
        Outcome::Reply(DescribeLogDirsResponse { results, ..Default::default() })
    }
}
