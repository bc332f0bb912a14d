//! ElectLeaders: the preferred leaders, or any that run (KIP-460).

use std::time::Instant;

use klamm::protocol::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult, TopicPartitions,
};
use klamm::protocol::{ErrorCode, TopicName};

use crate::core::topics::text;
use crate::core::{Call, Core, Outcome};

/// `election_type`.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// An election of a kind that there is not.
fn refused(topics: Vec<TopicPartitions>, election_type: i8) -> ElectLeadersResponse {
    let error_code = ErrorCode::INVALID_REQUEST;
    let error_message = Some(text(&format!("Unknown election type {election_type}")));
    let topics = topics.into_iter().map(|topic| {
        let result = |partition_id| PartitionResult { partition_id, error_code, error_message: error_message.clone() };
        let partition_result = topic.partitions.into_iter().map(result).collect();
        ReplicaElectionResult { topic: topic.topic, partition_result }
    });
    ElectLeadersResponse { error_code, replica_election_results: topics.collect(), ..Default::default() }
}

impl Core {
    pub(super) fn elect_leaders(
        &mut self,
        _: Instant,
        call: &Call,
        request: ElectLeadersRequest,
    ) -> Outcome<ElectLeadersResponse> {
        // Version 0 knows no other.
        let election_type = if call.version == 0 { PREFERRED } else { request.election_type };
        if !matches!(election_type, PREFERRED | UNCLEAN) {
            return Outcome::Reply(refused(request.topic_partitions.unwrap_or_default(), election_type));
        }
        let asked_for_all = request.topic_partitions.is_none();
        let wanted = request.topic_partitions.unwrap_or_else(|| self.every_partition());
        let mut results = Vec::new();
        for topic in wanted {
            let mut partition_result = Vec::new();
            for partition in topic.partitions {
                let (error_code, message) = match self.elect(call, &topic.topic, partition, election_type) {
                    Ok(()) => (ErrorCode::NONE, None),
                    Err((code, message)) => (code, Some(text(&message))),
                };
                // Who asks for all does not want to hear of those that are well.
                if !(asked_for_all && error_code == ErrorCode::ELECTION_NOT_NEEDED) {
                    partition_result.push(PartitionResult { partition_id: partition, error_code, error_message: message });
                }
            }
            if !(asked_for_all && partition_result.is_empty()) {
                results.push(ReplicaElectionResult { topic: topic.topic, partition_result });
            }
        }
        Outcome::Reply(ElectLeadersResponse { replica_election_results: results, ..Default::default() })
    }

    fn every_partition(&self) -> Vec<TopicPartitions> {
        let numbers = |count: usize| (0..i32::try_from(count).unwrap_or(i32::MAX)).collect();
        let topics = self.topics.iter();
        topics.map(|topic| TopicPartitions { topic: topic.name.clone(), partitions: numbers(topic.partitions.len()) }).collect()
    }

    fn elect(&mut self, call: &Call, name: &TopicName, partition: i32, election_type: i8) -> Result<(), (ErrorCode, String)> {
        let topic = name.as_str();
        if let Some(code) = call.refusal(topic, partition) {
            return Err((code, "refused by the test".to_owned()));
        }
        if self.topics.get(topic).is_none() {
            return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("No such topic as {topic}")));
        }
        let Some(state) = self.topics.partition(topic, partition) else {
            return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("No such partition as {topic}-{partition}")));
        };
        let elected = match (election_type, state.leader) {
            (PREFERRED, _) => self.elect_preferred(topic, partition),
            (_, Some(_)) => Err(ErrorCode::ELECTION_NOT_NEEDED),
            (_, None) => self.elect_unclean(topic, partition, None),
        };
        elected.map_err(|code| {
            let message = match code {
                ErrorCode::ELECTION_NOT_NEEDED => "Leader election not needed for topic partition.",
                ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE => "The preferred leader was not available.",
                _ => "Eligible topic partition leaders are not available.",
            };
            (code, message.to_owned())
        })
    }
}
