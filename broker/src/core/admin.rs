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
use klamm::protocol::{BrokerId, ErrorCode, Str, TopicName, Uuid};

use crate::core::configs::{self, Refusal};
use crate::core::topics::{spread, text};
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
            topics.push(created_topic(topic, created));
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
        if let Some(why) = configs::refused_name(name) {
            return refuse(ErrorCode::INVALID_TOPIC_EXCEPTION, why);
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
            let key = config.name.as_str();
            let Some(value) = config.value.as_ref().map(Str::as_str) else {
                let message = format!("Null value not supported for topic configs: {key}");
                return refuse(ErrorCode::INVALID_CONFIG, message);
            };
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
            // Kafka gives an id all the same.
            return Ok(Created { id: self.topics.unused_id(self.settings.seed), ..created });
        }
        let running = self.running();
        let id = self.topics.create(&topic.name, assignment, set, &running, self.settings.seed);
        Ok(Created { id, ..created })
    }

    /// The replicas of each partition of a new topic.
    fn assignment(&self, topic: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
        let nodes: Vec<_> = self.nodes.keys().copied().collect();
        if !topic.assignments.is_empty() {
            for (count, name) in
                [(i32::from(topic.replication_factor), "replication factor"), (topic.num_partitions, "numPartitions")]
            {
                if count != -1 {
                    let message = format!("A manual partition assignment was specified, but {name} was not set to -1.");
                    return refuse(ErrorCode::INVALID_REQUEST, message);
                }
            }
            let mut by_index = BTreeMap::new();
            let mut wanted = None;
            for partition in &topic.assignments {
                let index = partition.partition_index;
                let replicas = self.replicas(&partition.broker_ids, wanted)?;
                wanted = Some(replicas.len());
                if by_index.insert(index, replicas).is_some() {
                    let message = format!("Found multiple manual partition assignments for partition {index}");
                    return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
                }
            }
            if !(0..).zip(by_index.keys()).all(|(wanted, index)| wanted == *index) {
                let message = "partitions should be a consecutive 0-based integer sequence";
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
                "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached because only {available} broker(s) are registered or some brokers have all their log directories cordoned."
            );
            return refuse(ErrorCode::INVALID_REPLICATION_FACTOR, message);
        }
        Ok(spread(self.topics.iter().count(), partitions, factor, &nodes))
    }

    /// Replicas that were assigned by hand: each a node, none twice, and as many as the other partitions have, if that is `wanted`.
    fn replicas(&self, ids: &[BrokerId], wanted: Option<usize>) -> Result<Vec<i32>, Refusal> {
        let replicas: Vec<_> = ids.iter().map(|id| id.0).collect();
        let mut seen = BTreeSet::new();
        let why = if replicas.is_empty() {
            "an empty replica list.".to_owned()
        } else if let Some(id) = replicas.iter().find(|id| !seen.insert(**id)) {
            format!("the broker {id} more than once.")
        } else if let Some(id) = seen.iter().find(|id| !self.nodes.contains_key(id)) {
            format!("broker {id}, but no such broker is registered.")
        } else if let Some(wanted) = wanted.filter(|wanted| *wanted != replicas.len()) {
            let count = replicas.len();
            format!(
                "a partition with {count} replica(s), but this is not consistent with previous partitions, which have {wanted} replica(s)."
            )
        } else {
            return Ok(replicas);
        };
        refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, format!("The manual partition assignment includes {why}"))
    }

    pub(super) fn delete_topics(
        &mut self,
        now: Instant,
        call: &Call,
        request: DeleteTopicsRequest,
    ) -> Outcome<DeleteTopicsResponse> {
        let mut responses = Vec::new();
        let by_name = request.topic_names.into_iter().map(|name| (Some(name), Uuid::ZERO));
        let all: Vec<_> = by_name.chain(request.topics.into_iter().map(|topic| (topic.name, topic.topic_id))).collect();
        let mut answered = BTreeSet::new();
        for (name, id) in &all {
            // Each is answered once.
            if !answered.insert((name, *id)) {
                continue;
            }
            let times = all.iter().filter(|other| **other == (name.clone(), *id)).count();
            let invalid = |message| refuse(ErrorCode::INVALID_REQUEST, message);
            let found = match name {
                None if *id == Uuid::ZERO => invalid("Neither topic name nor id were specified."),
                Some(_) if *id != Uuid::ZERO => invalid("You may not specify both topic name and topic id."),
                Some(_) if times > 1 => invalid("Duplicate topic name."),
                None if times > 1 => invalid("Duplicate topic id."),
                Some(name) => self.topics.get(name.as_str()).map_or_else(
                    || refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition."),
                    Ok,
                ),
                None => {
                    let known = self.topics.name_of(*id).and_then(|name| self.topics.get(name));
                    known.map_or_else(|| refuse(ErrorCode::UNKNOWN_TOPIC_ID, "This server does not host this topic ID."), Ok)
                }
            };
            let (name, id) = (name.clone(), *id);
            let mut result = DeletableTopicResult { name, topic_id: id, ..Default::default() };
            let found = found.map(|topic| (topic.name.clone(), topic.id, topic.partitions.len()));
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
        let mut answered = BTreeSet::new();
        for topic in &request.topics {
            if !answered.insert(&topic.name) {
                continue;
            }
            let times = request.topics.iter().filter(|other| other.name == topic.name).count();
            let raised = match times {
                2.. => refuse(ErrorCode::INVALID_REQUEST, "Duplicate topic name."),
                _ => self.raise_partitions(now, call, topic, request.validate_only),
            };
            let (error_code, error_message) = match raised {
                Ok(()) => (ErrorCode::NONE, None),
                Err((code, message)) => (code, Some(text(&message)).filter(|message| !message.as_str().is_empty())),
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
            return refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "");
        };
        let replication_factor = topic.partitions.first().map(|partition| partition.replicas.len());
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
                let (given, wanted) = (assignments.len(), count - have);
                if i32::try_from(given).ok() != Some(wanted) {
                    let message = format!(
                        "Attempted to add {wanted} additional partition(s), but only {given} assignment(s) were specified."
                    );
                    return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
                }
                let replicas = assignments.iter().map(|partition| self.replicas(&partition.broker_ids, replication_factor));
                Some(replicas.collect::<Result<Vec<_>, _>>()?)
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

fn created_topic(topic: &CreatableTopic, created: Result<Created, Refusal>) -> CreatableTopicResult {
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
            configs: Some(Vec::new()),
            ..Default::default()
        },
    }
}
