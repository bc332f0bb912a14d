//! Topics by request: CreateTopics, DeleteTopics, CreatePartitions.
//!
//! As brokers of KRaft forward such requests to the controller, any node answers them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use klamm::protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use klamm::protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use klamm::protocol::messages::delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse};
use klamm::protocol::{BrokerId, ErrorCode, TopicName, Uuid};

use crate::core::configs::{self, Refusal};
use crate::core::topics::{invalid_name, spread, text};
use crate::core::{Call, Core, Outcome};

fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err((code, message.into()))
}

impl Core {
    pub(super) fn create_topics(
        &mut self,
        now: Instant,
        call: &Call,
        request: CreateTopicsRequest,
    ) -> Outcome<CreateTopicsResponse> {
        let mut seen = BTreeMap::new();
        for topic in &request.topics {
            *seen.entry(topic.name.clone()).or_insert(0) += 1;
        }
        let mut answered = BTreeSet::new();
        let mut topics = Vec::new();
        for topic in &request.topics {
            if !answered.insert(topic.name.clone()) {
                continue;
            }
            let created = match seen.get(&topic.name) {
                Some(2..) => refuse(ErrorCode::INVALID_REQUEST, "Duplicate topic name."),
                _ => self.create_topic(now, call, topic, request.validate_only),
            };
            topics.push(created_topic(topic, created, call.version));
        }
        Outcome::Reply(CreateTopicsResponse { topics, ..Default::default() })
    }

    fn create_topic(
        &mut self,
        now: Instant,
        call: &Call,
        topic: &CreatableTopic,
        validate_only: bool,
    ) -> Result<Created, Refusal> {
        let name = topic.name.as_str();
        if let Some(why) = invalid_name(name) {
            return refuse(ErrorCode::INVALID_TOPIC_EXCEPTION, format!("Topic name is invalid: {why}"));
        }
        if self.topics.get(name).is_some() {
            return refuse(ErrorCode::TOPIC_ALREADY_EXISTS, format!("Topic '{name}' already exists."));
        }
        // In metrics a dot and an underscore are the same.
        let flat = |name: &str| name.replace('.', "_");
        if let Some(other) = self.topics.iter().find(|other| flat(other.name.as_str()) == flat(name)) {
            let message = format!("Topic '{name}' collides with existing topic: {}", other.name);
            return refuse(ErrorCode::INVALID_TOPIC_EXCEPTION, message);
        }
        let mut set = BTreeMap::new();
        for config in &topic.configs {
            let (key, value) = (config.name.as_str(), config.value.as_ref().map_or("", |value| value.as_str()));
            configs::check(key, value).map_err(|message| (ErrorCode::INVALID_CONFIG, message))?;
            set.insert(key.to_owned(), value.to_owned());
        }
        let assignment = self.assignment(topic)?;
        self.charge_mutation(now, call, assignment.len(), call.version >= CREATION_THROTTLED)?;
        let created = Created {
            id: Uuid::ZERO,
            partitions: i32::try_from(assignment.len()).unwrap_or(i32::MAX),
            replication_factor: assignment.first().map_or(-1, |replicas| i16::try_from(replicas.len()).unwrap_or(i16::MAX)),
            configs: set.clone(),
        };
        if validate_only {
            return Ok(created);
        }
        let running = self.running();
        let id = self.topics.create(&topic.name, assignment, set, &running, self.settings.seed);
        Ok(Created { id, ..created })
    }

    /// The replicas of each partition of a new topic.
    fn assignment(&self, topic: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
        let nodes: Vec<_> = self.nodes.keys().copied().collect();
        if !topic.assignments.is_empty() {
            if topic.num_partitions != -1 || topic.replication_factor != -1 {
                let message = "Both partitions and replicas are assigned and counted: give either.";
                return refuse(ErrorCode::INVALID_REQUEST, message);
            }
            let mut by_index = BTreeMap::new();
            for partition in &topic.assignments {
                by_index.insert(partition.partition_index, self.replicas(&partition.broker_ids)?);
            }
            let consecutive = (0..).zip(by_index.keys()).all(|(wanted, index)| wanted == *index);
            if !consecutive || by_index.len() != topic.assignments.len() {
                let message = "Partitions must be numbered from 0 on, each once.";
                return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
            }
            return Ok(by_index.into_values().collect());
        }
        let partitions = if topic.num_partitions == -1 { self.settings.default_partitions } else { topic.num_partitions };
        if partitions < 1 {
            return refuse(ErrorCode::INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.");
        }
        if partitions > MAX_PARTITIONS {
            return refuse(ErrorCode::POLICY_VIOLATION, "Too many partitions for an embedded broker.");
        }
        let factor = match topic.replication_factor {
            -1 => self.settings.replication_factor(),
            factor => factor,
        };
        if factor < 1 {
            return refuse(
                ErrorCode::INVALID_REPLICATION_FACTOR,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            );
        }
        let available = self.running().len();
        if usize::try_from(factor).is_ok_and(|factor| factor > available) {
            let message = format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached because only {available} broker(s) are registered."
            );
            return refuse(ErrorCode::INVALID_REPLICATION_FACTOR, message);
        }
        Ok(spread(self.topics.iter().count(), partitions, factor, &nodes))
    }

    /// Replicas that were assigned by hand: each a node, none twice.
    fn replicas(&self, ids: &[BrokerId]) -> Result<Vec<i32>, Refusal> {
        let replicas: Vec<_> = ids.iter().map(|id| id.0).collect();
        let distinct: BTreeSet<_> = replicas.iter().copied().collect();
        if replicas.is_empty() || distinct.len() != replicas.len() || !distinct.iter().all(|id| self.nodes.contains_key(id)) {
            return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, "A partition's replicas must be different nodes that exist.");
        }
        Ok(replicas)
    }

    pub(super) fn delete_topics(
        &mut self,
        now: Instant,
        call: &Call,
        request: DeleteTopicsRequest,
    ) -> Outcome<DeleteTopicsResponse> {
        let mut responses = Vec::new();
        let by_name = request.topic_names.into_iter().map(|name| (Some(name), Uuid::ZERO));
        let all = by_name.chain(request.topics.into_iter().map(|topic| (topic.name, topic.topic_id)));
        for (name, id) in all {
            let found = match &name {
                Some(name) => self.topics.get(name.as_str()).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                None => {
                    let known = self.topics.name_of(id).and_then(|name| self.topics.get(name));
                    known.ok_or(ErrorCode::UNKNOWN_TOPIC_ID)
                }
            };
            let mut result = DeletableTopicResult { name, topic_id: id, ..Default::default() };
            let found = found.map(|topic| (topic.name.clone(), topic.id, topic.partitions.len()));
            let found = found.map_err(|code| (code, "This server does not host this topic-partition.".to_owned()));
            let strict = call.version >= DELETION_THROTTLED;
            let found = found.and_then(|found| self.charge_mutation(now, call, found.2, strict).map(|()| found));
            match found {
                Ok((name, topic_id, _)) => {
                    self.topics.delete(name.as_str());
                    self.groups.forget_topic(name.as_str());
                    (result.name, result.topic_id) = (Some(name), topic_id);
                }
                Err((code, message)) => {
                    result.error_code = code;
                    result.error_message = Some(text(&message));
                }
            }
            if call.version < 6 && result.name.is_none() {
                result.name = Some(TopicName::default());
            }
            responses.push(result);
        }
        Outcome::Reply(DeleteTopicsResponse { responses, ..Default::default() })
    }

    pub(super) fn create_partitions(
        &mut self,
        now: Instant,
        call: &Call,
        request: CreatePartitionsRequest,
    ) -> Outcome<CreatePartitionsResponse> {
        let mut results = Vec::new();
        for topic in &request.topics {
            let raised = self.raise_partitions(now, call, topic, request.validate_only);
            let (error_code, error_message) = match raised {
                Ok(()) => (ErrorCode::NONE, None),
                Err((code, message)) => (code, Some(text(&message))),
            };
            results.push(CreatePartitionsTopicResult { name: topic.name.clone(), error_code, error_message });
        }
        Outcome::Reply(CreatePartitionsResponse { results, ..Default::default() })
    }

    fn raise_partitions(
        &mut self,
        now: Instant,
        call: &Call,
        wanted: &CreatePartitionsTopic,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let name = wanted.name.as_str();
        let Some(topic) = self.topics.get(name) else {
            return refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.");
        };
        let (have, count) = (i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX), wanted.count);
        if count == have {
            return refuse(ErrorCode::INVALID_PARTITIONS, format!("Topic already has {have} partition(s)."));
        }
        if count < have {
            let message = format!("The topic {name} currently has {have} partition(s); {count} would not be an increase.");
            return refuse(ErrorCode::INVALID_PARTITIONS, message);
        }
        if count > MAX_PARTITIONS {
            return refuse(ErrorCode::POLICY_VIOLATION, "Too many partitions for an embedded broker.");
        }
        let assigned = match &wanted.assignments {
            None => None,
            Some(assignments) => {
                let replicas = assignments.iter().map(|partition| self.replicas(&partition.broker_ids));
                let replicas = replicas.collect::<Result<Vec<_>, _>>()?;
                if i32::try_from(replicas.len()).ok() != Some(count - have) {
                    let message =
                        format!("Assignments for {} partition(s) were given, {} are new.", replicas.len(), count - have);
                    return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
                }
                Some(replicas)
            }
        };
        let more = usize::try_from(count - have).unwrap_or(0);
        self.charge_mutation(now, call, more, call.version >= PARTITIONS_THROTTLED)?;
        if validate_only {
            return Ok(());
        }
        match assigned {
            Some(assigned) => {
                let running = self.running();
                self.topics.add_partitions(name, assigned, &running);
            }
            None => drop(self.add_partitions(name, count)),
        }
        Ok(())
    }
}

/// First versions of CreateTopics, CreatePartitions and DeleteTopics whose clients understand that they have used too much (KIP-599).
const CREATION_THROTTLED: i16 = 6;
const PARTITIONS_THROTTLED: i16 = 3;
const DELETION_THROTTLED: i16 = 5;

/// More than this nobody wants in a test; it bounds what a request can make us allocate.
const MAX_PARTITIONS: i32 = 100_000;

/// What a new topic is like.
struct Created {
    id: Uuid,
    partitions: i32,
    replication_factor: i16,
    configs: BTreeMap<String, String>,
}

fn created_topic(topic: &CreatableTopic, created: Result<Created, Refusal>, version: i16) -> CreatableTopicResult {
    let name = topic.name.clone();
    match created {
        Ok(created) => {
            let config = |(key, value, source): (&str, String, i8)| CreatableTopicConfigs {
                name: text(key),
                value: Some(text(&value)),
                config_source: source,
                ..Default::default()
            };
            CreatableTopicResult {
                name,
                topic_id: created.id,
                error_message: None,
                num_partitions: created.partitions,
                replication_factor: created.replication_factor,
                configs: Some(configs::of_topic(&created.configs).map(config).collect()),
                ..Default::default()
            }
        }
        Err((error_code, message)) => CreatableTopicResult {
            name,
            error_code,
            error_message: Some(text(&message)),
            // Null only since the field is there.
            configs: (version < 5).then(Vec::new),
            ..Default::default()
        },
    }
}
