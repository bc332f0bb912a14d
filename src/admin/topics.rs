//! Topics: listed, described, created, deleted, given more partitions.

use std::collections::BTreeMap;
use std::fmt;

use tokio::time::Instant;

use super::{Admin, Outcomes};
use crate::cluster::{Route, TopicListing};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use crate::protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use crate::protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use crate::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic};
use crate::protocol::{BrokerId, ErrorCode, Str, TopicName, Uuid};
use crate::record::Topic;

/// The first version of CreateTopics in which a broker takes its own defaults for partitions and replicas (KIP-464).
const FIRST_WITH_DEFAULTS: i16 = 4;

/// A topic to create. Without partitions or replicas the broker's defaults hold (Kafka 2.4 and later; 1 and 1 where older).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "give it to Admin::create_topic"]
pub struct NewTopic {
    name: Topic,
    partitions: Option<i32>,
    replicas: Option<i16>,
    configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic called `name`.
    pub fn new(name: impl Into<Topic>) -> Self {
        Self { name: name.into(), partitions: None, replicas: None, configs: BTreeMap::new() }
    }

    /// Sets the number of partitions.
    #[doc(alias = "num_partitions")]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Sets the number of replicas of each partition.
    #[doc(alias = "replication_factor")]
    pub fn replicas(mut self, replicas: i16) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// Sets a configuration of the topic, such as `cleanup.policy`.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(key.into(), value.into());
        self
    }

    /// The name.
    pub fn name(&self) -> &Topic {
        &self.name
    }

    fn to_wire(&self) -> Result<CreatableTopic> {
        let config = |(key, value): (&String, &String)| {
            Ok(CreatableTopicConfig {
                name: text(key, "a configuration's name")?,
                value: Some(text(value, "a configuration's value")?),
            })
        };
        Ok(CreatableTopic {
            name: topic_name(&self.name)?,
            num_partitions: self.partitions.unwrap_or(-1),
            replication_factor: self.replicas.unwrap_or(-1),
            configs: self.configs.iter().map(config).collect::<Result<_>>()?,
            ..CreatableTopic::default()
        })
    }
}

/// Is the change made, or only tried by the broker?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validate {
    /// It is made.
    #[default]
    AndApply,
    /// The broker says whether it could be made.
    Only,
}

/// A topic as described.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicDescription {
    /// Its name.
    pub name: Topic,
    /// Its id; `None` from brokers before Kafka 2.8.
    pub topic_id: Option<Uuid>,
    /// Is it one of Kafka's own?
    pub internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<TopicPartitionDescription>,
}

/// A partition as described.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicPartitionDescription {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it; `None` while there is no leader.
    pub leader: Option<BrokerId>,
    /// How often the leader has changed; -1 if not known.
    pub leader_epoch: i32,
    /// Brokers that hold it.
    pub replicas: Vec<BrokerId>,
    /// Those of them that are in sync.
    pub in_sync_replicas: Vec<BrokerId>,
    /// Those of them that are offline.
    pub offline_replicas: Vec<BrokerId>,
}

impl Admin {
    /// Creates one topic and waits until all its partitions have leaders, so that it can be written to at once.
    ///
    /// # Errors
    /// `TOPIC_ALREADY_EXISTS`, `INVALID_REPLICATION_FACTOR` and the like, with the broker's text; a time-out if the leaders were not
    /// known in time.
    ///
    /// # Cancel safety
    /// What was sent is not taken back: the topic may come to be.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        let outcomes = self.create_topics([topic], Validate::AndApply).await?;
        outcomes.into_iter().try_for_each(|(_, result)| result)
    }

    /// Creates topics, or has the broker say whether it could; a result for each. Waits for the leaders of those created.
    ///
    /// # Errors
    /// As a whole only if no answer was had.
    ///
    /// # Cancel safety
    /// What was sent is not taken back: the topics may come to be.
    pub async fn create_topics(&self, topics: impl IntoIterator<Item = NewTopic>, validate: Validate) -> Result<Outcomes<Topic>> {
        let deadline = self.deadline();
        let topics: Vec<NewTopic> = topics.into_iter().collect();
        let wire: Vec<CreatableTopic> = topics.iter().map(NewTopic::to_wire).collect::<Result<_>>()?;
        let timeout_ms = self.timeout_ms();
        let request = |version: i16| {
            let mut topics = wire.clone();
            if version < FIRST_WITH_DEFAULTS {
                for topic in &mut topics {
                    // Anything else that is wrong is the broker's to refuse.
                    topic.num_partitions = if topic.num_partitions == -1 { 1 } else { topic.num_partitions };
                    topic.replication_factor = if topic.replication_factor == -1 { 1 } else { topic.replication_factor };
                }
            }
            CreateTopicsRequest { topics, timeout_ms, validate_only: validate == Validate::Only }
        };
        let response = self.cluster.request_built(request, Route::Controller, deadline).await?;
        let mut outcomes = Vec::with_capacity(topics.len());
        for topic in topics {
            let answer = response.topics.iter().find(|answer| answer.name.0.as_str() == topic.name.as_str());
            let mut result = match answer {
                Some(answer) => self
                    .verdict(answer.error_code, answer.error_message.as_ref(), format!("topic {} was not created", topic.name))
                    .map_err(|error| error.with_api("CreateTopics").with_topic(&topic.name)),
                None => Err(Error::new(ErrorKind::Decode, "the broker's answer leaves out the topic")
                    .with_api("CreateTopics")
                    .with_topic(&topic.name)),
            };
            if result.is_ok() && validate == Validate::AndApply {
                let made = answer.map(|answer| answer.topic_id).unwrap_or_default();
                result = self.wait_for_leaders(&topic.name, made, topic.partitions, deadline).await;
            }
            outcomes.push((topic.name, result));
        }
        Ok(outcomes)
    }

    /// Deletes topics; a result for each.
    ///
    /// # Errors
    /// As a whole only if no answer was had.
    ///
    /// # Cancel safety
    /// What was sent is not taken back: the topics may be deleted.
    #[doc(alias = "delete_topic")]
    pub async fn delete_topics(&self, topics: impl IntoIterator<Item = impl Into<Topic>>) -> Result<Outcomes<Topic>> {
        let deadline = self.deadline();
        let topics: Vec<Topic> = topics.into_iter().map(Into::into).collect();
        let names: Vec<TopicName> = topics.iter().map(topic_name).collect::<Result<_>>()?;
        let state = |name: &TopicName| DeleteTopicState { name: Some(name.clone()), ..DeleteTopicState::default() };
        let timeout_ms = self.timeout_ms();
        let request = move |version: i16| DeleteTopicsRequest {
            topics: if version >= 6 { names.iter().map(state).collect() } else { Vec::new() },
            topic_names: if version < 6 { names.clone() } else { Vec::new() },
            timeout_ms,
        };
        let response = self.cluster.request_built(request, Route::Controller, deadline).await?;
        let mut outcomes = Vec::with_capacity(topics.len());
        for topic in topics {
            let named = |name: &Option<TopicName>| name.as_ref().is_some_and(|name| name.0.as_str() == topic.as_str());
            let result = match response.responses.iter().find(|answer| named(&answer.name)) {
                Some(answer) => {
                    self.verdict(answer.error_code, answer.error_message.as_ref(), format!("topic {topic} was not deleted"))
                }
                None => Err(Error::new(ErrorKind::Decode, "the broker's answer leaves out the topic")),
            };
            let result = match result.map_err(|error| error.with_api("DeleteTopics").with_topic(&topic)) {
                Err(error) => Err(self.cluster.explain(error).await),
                done => done,
            };
            outcomes.push((topic, result));
        }
        Ok(outcomes)
    }

    /// Raises the number of partitions of `topic` to `total`, and waits until the new ones have leaders. Keys change partitions.
    ///
    /// # Errors
    /// `INVALID_PARTITIONS` if it has as many already, with the broker's text.
    ///
    /// # Cancel safety
    /// What was sent is not taken back: the partitions may come to be.
    #[doc(alias = "create_partitions_for")]
    pub async fn create_partitions(&self, topic: impl Into<Topic>, total: i32, validate: Validate) -> Result<()> {
        let (topic, deadline) = (topic.into(), self.deadline());
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic { name: topic_name(&topic)?, count: total, assignments: None }],
            timeout_ms: self.timeout_ms(),
            validate_only: validate == Validate::Only,
        };
        let response = self.cluster.request_until(request, Route::Controller, deadline).await?;
        for answer in &response.results {
            let what = format!("topic {topic} was not given {total} partitions");
            if let Err(error) = self.verdict(answer.error_code, answer.error_message.as_ref(), what) {
                return Err(self.cluster.explain(error.with_api("CreatePartitions").with_topic(&topic)).await);
            }
        }
        if validate == Validate::AndApply {
            self.wait_for_leaders(&topic, Uuid::default(), Some(total), deadline).await?;
            // Producers of this client use the new partitions at once, not when metadata is old.
            self.cluster.refreshed(deadline).await;
        }
        Ok(())
    }

    /// All topics that may be seen, by name; broken ones are left out.
    ///
    /// # Errors
    /// If no broker answered in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "topics")]
    pub async fn list_topics(&self) -> Result<Vec<TopicListing>> {
        let topics = self.cluster.list_topics(self.deadline()).await?;
        Ok(topics.into_iter().filter(|(_, error)| error.is_none()).map(|(topic, _)| topic).collect())
    }

    /// Does the topic exist? Asking does not create it.
    ///
    /// # Errors
    /// If no broker answered in time, or the broker's answer is another error than that there is no such topic.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn has_topic(&self, topic: impl Into<Topic>) -> Result<bool> {
        let outcomes = self.described(vec![topic.into()]).await?;
        match outcomes.into_iter().next().map(|(_, result)| result) {
            Some(Err(error)) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => Ok(false),
            Some(Err(error)) => Err(error),
            other => Ok(other.is_some()),
        }
    }

    /// Describes topics; a result for each.
    ///
    /// # Errors
    /// As a whole only if no answer was had.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn describe_topics(
        &self,
        topics: impl IntoIterator<Item = impl Into<Topic>>,
    ) -> Result<Outcomes<Topic, TopicDescription>> {
        let mut outcomes = self.described(topics.into_iter().map(Into::into).collect()).await?;
        for (_, result) in &mut outcomes {
            if let Err(error) = result {
                *error = self.cluster.explain(error.clone()).await;
            }
        }
        Ok(outcomes)
    }

    async fn described(&self, topics: Vec<Topic>) -> Result<Outcomes<Topic, TopicDescription>> {
        let response = self.metadata(&topics, self.deadline()).await?;
        let outcome = |topic: Topic| {
            let named =
                |answer: &&MetadataResponseTopic| answer.name.as_ref().is_some_and(|name| name.0.as_str() == topic.as_str());
            let result =
                match response.topics.iter().find(named) {
                    Some(answer) => self
                        .verdict(answer.error_code, None, format!("topic {topic} can't be described"))
                        .map_err(|error| error.with_api("Metadata").with_topic(&topic))
                        .map(|()| describe(topic.clone(), answer)),
                    None => Err(Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "the cluster has no such topic")
                        .with_topic(&topic)),
                };
            (topic, result)
        };
        Ok(topics.into_iter().map(outcome).collect())
    }

    /// A Metadata answer on these topics.
    async fn metadata(&self, topics: &[Topic], deadline: Instant) -> Result<MetadataResponse> {
        let asked =
            |topic: &Topic| Ok(MetadataRequestTopic { name: Some(topic_name(topic)?), ..MetadataRequestTopic::default() });
        let topics = topics.iter().map(asked).collect::<Result<Vec<_>>>()?;
        let request = MetadataRequest { topics: Some(topics), allow_auto_topic_creation: false, ..MetadataRequest::default() };
        self.cluster.request_until(request, Route::Any, deadline).await
    }

    /// Waits until every broker-side leader of `topic` is known; of the one with the id `made`, if that is known: brokers may still
    /// have another one of this name in mind that was deleted a moment ago.
    async fn wait_for_leaders(&self, topic: &Topic, made: Uuid, partitions: Option<i32>, deadline: Instant) -> Result<()> {
        let wanted = partitions.and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
        let start = Instant::now();
        let mut backoff = self.cluster.new_backoff();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let answer = self.metadata(std::slice::from_ref(topic), deadline).await?;
            let ready = answer.topics.iter().any(|answer| {
                answer.error_code.is_ok()
                    && (made == Uuid::default() || id(answer).is_none_or(|found| found == made))
                    && answer.partitions.len() >= wanted
                    && answer.partitions.iter().all(|partition| partition.error_code.is_ok() && partition.leader_id.0 >= 0)
            });
            if ready {
                return Ok(());
            }
            let pause = backoff.next_pause();
            if Instant::now() + pause >= deadline {
                return Err(Error::new(ErrorKind::Timeout, "the topic was made, but not all its partitions have leaders yet")
                    .with_topic(topic)
                    .with_attempts(attempts, start.elapsed()));
            }
            tokio::time::sleep(pause).await;
        }
    }
}

fn id(topic: &MetadataResponseTopic) -> Option<Uuid> {
    (topic.topic_id != Uuid::default()).then_some(topic.topic_id)
}

fn describe(name: Topic, answer: &MetadataResponseTopic) -> TopicDescription {
    let mut partitions: Vec<TopicPartitionDescription> = answer
        .partitions
        .iter()
        .map(|partition| TopicPartitionDescription {
            partition: partition.partition_index,
            leader: (partition.leader_id.0 >= 0).then_some(partition.leader_id),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes.clone(),
            in_sync_replicas: partition.isr_nodes.clone(),
            offline_replicas: partition.offline_replicas.clone(),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    TopicDescription { name, topic_id: id(answer), internal: answer.is_internal, partitions }
}

/// A topic's name for the wire; what Kafka would refuse is refused here.
pub(super) fn topic_name(topic: &Topic) -> Result<TopicName> {
    match topic.invalid() {
        None => Ok(TopicName(text(topic.as_str(), "a topic's name")?)),
        Some(why) => Err(Error::from_code(ErrorCode::INVALID_TOPIC_EXCEPTION, format!("topic name {:?}: {why}", topic.as_str()))
            .with_topic(topic)),
    }
}

/// Text for the wire.
pub(super) fn text(text: &str, what: impl fmt::Display) -> Result<Str> {
    let too_long = || Error::new(ErrorKind::InvalidRequest, format!("{what} has at most 32767 bytes, not {}", text.len()));
    Str::new(text.to_owned()).ok_or_else(too_long)
}
