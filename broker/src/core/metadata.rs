//! Metadata, DescribeTopicPartitions and DescribeCluster: who is there, and who leads what; FindCoordinator: who coordinates.
//!
//! As in KRaft, the controller that brokers name is just one of them, here the running node with the lowest number.

use std::collections::BTreeSet;
use std::time::Instant;

use klamm::protocol::messages::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use klamm::protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic, TopicRequest,
};
use klamm::protocol::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use klamm::protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use klamm::protocol::{BrokerId, ErrorCode, Str, Uuid};

use crate::core::configs::INVALID_REQUEST;
use crate::core::replication::Partition;
use crate::core::topics::{Topic, invalid_name, text};
use crate::core::{Call, Core, Outcome};

/// How many partitions a page has at most: `max.request.partition.size.limit`.
const MAX_PAGE: usize = 2000;

/// First version of Metadata whose requests may say ids in place of names.
const TOPIC_IDS: i16 = 12;

/// What may be done to a topic, as bits: read, write, create, delete, alter, describe, describe and alter configurations.
const ALL_TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// `key_type` of FindCoordinator.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// First version of FindCoordinator that asks for several at once, and the first that knows of share groups.
const LISTS: i16 = 4;
const LISTS_SHARE: i16 = 6;

/// What may be done to a cluster, as bits: create, alter, describe, act as a broker, describe and alter configurations, write
/// idempotently. There is no authorizer, so everyone may do everything.
const ALL_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// What is wrong with topics in a request as a whole.
fn refused_topics(topics: &[MetadataRequestTopic], version: i16) -> Option<ErrorCode> {
    let has_id = |topic: &MetadataRequestTopic| topic.topic_id != Uuid::ZERO;
    match version {
        // There are ids in these versions, but only in answers.
        ..TOPIC_IDS => topics.iter().any(|topic| has_id(topic) || topic.name.is_none()).then_some(ErrorCode::INVALID_REQUEST),
        // Kafka stumbles over a topic that is not named at all.
        _ => topics.iter().any(|topic| !has_id(topic) && topic.name.is_none()).then_some(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}

/// Says so of all of them, and nothing of the cluster.
fn refused_metadata(topics: Vec<MetadataRequestTopic>, error_code: ErrorCode) -> MetadataResponse {
    let topics = topics.into_iter().map(|topic| MetadataResponseTopic {
        error_code,
        name: Some(topic.name.unwrap_or_default()),
        topic_id: topic.topic_id,
        ..Default::default()
    });
    MetadataResponse { error_code, controller_id: BrokerId(-1), topics: topics.collect(), ..Default::default() }
}

/// Each topic once. Where some are asked for by id, names are not looked at.
fn asked_topics(mut topics: Vec<MetadataRequestTopic>) -> Vec<MetadataRequestTopic> {
    if topics.iter().any(|topic| topic.topic_id != Uuid::ZERO) {
        topics.retain(|topic| topic.topic_id != Uuid::ZERO);
    }
    let mut seen = BTreeSet::new();
    topics.retain(|topic| seen.insert((topic.name.clone(), topic.topic_id)));
    topics
}

impl Core {
    pub(super) fn metadata(&mut self, _: Instant, call: &Call, request: MetadataRequest) -> Outcome<MetadataResponse> {
        let mut topics = match request.topics {
            None => self.all_topics(),
            Some(topics) if topics.is_empty() && call.version == 0 => self.all_topics(),
            Some(topics) => {
                if let Some(code) = refused_topics(&topics, call.version) {
                    return Outcome::Reply(refused_metadata(topics, code));
                }
                let create = request.allow_auto_topic_creation;
                asked_topics(topics).iter().map(|topic| self.topic_metadata(topic, create, call.version)).collect()
            }
        };
        if request.include_topic_authorized_operations {
            for topic in topics.iter_mut().filter(|topic| topic.error_code == ErrorCode::NONE) {
                topic.topic_authorized_operations = ALL_TOPIC_OPERATIONS;
            }
        }
        let cluster_operations = request.include_cluster_authorized_operations && (8..=10).contains(&call.version);
        let brokers = self.nodes.iter().filter(|(_, node)| node.running).map(|(id, node)| MetadataResponseBroker {
            node_id: BrokerId(*id),
            host: text(&node.host),
            port: i32::from(node.port),
            rack: self.rack(*id),
        });
        Outcome::Reply(MetadataResponse {
            brokers: brokers.collect(),
            cluster_id: Some(text(&self.settings.cluster_id)),
            controller_id: self.controller(),
            topics,
            cluster_authorized_operations: if cluster_operations { ALL_OPERATIONS } else { i32::MIN },
            ..Default::default()
        })
    }

    fn all_topics(&self) -> Vec<MetadataResponseTopic> {
        self.topics.iter().map(|topic| self.describe_topic(topic)).collect()
    }

    fn topic_metadata(&mut self, asked: &MetadataRequestTopic, may_create: bool, version: i16) -> MetadataResponseTopic {
        let failed = |error_code| MetadataResponseTopic {
            error_code,
            // Null only since version 12.
            name: asked.name.clone().or_else(|| (version < 12).then(Default::default)),
            topic_id: asked.topic_id,
            ..Default::default()
        };
        let by_id = asked.topic_id != Uuid::ZERO || asked.name.is_none();
        let Some(name) = asked.name.as_ref().filter(|_| !by_id) else {
            let known = self.topics.name_of(asked.topic_id).and_then(|name| self.topics.get(name));
            return known.map_or_else(|| failed(ErrorCode::UNKNOWN_TOPIC_ID), |topic| self.describe_topic(topic));
        };
        if let Some(topic) = self.topics.get(name.as_str()) {
            return self.describe_topic(topic);
        }
        if invalid_name(name.as_str()).is_some() {
            return failed(ErrorCode::INVALID_TOPIC_EXCEPTION);
        }
        if may_create && self.settings.auto_create_topics {
            // Created, but not yet known to the node that is asked: the client has to come again.
            self.create_default_topic(name, self.settings.default_partitions);
        }
        failed(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    }

    fn describe_topic(&self, topic: &Topic) -> MetadataResponseTopic {
        let running = self.running();
        let partitions = (0..).zip(&topic.partitions).map(|(partition_index, partition)| MetadataResponsePartition {
            error_code: leader_error(partition),
            partition_index,
            leader_id: BrokerId(partition.leader.unwrap_or(-1)),
            leader_epoch: partition.leader_epoch,
            replica_nodes: ids(partition, |_| true),
            isr_nodes: ids(partition, |node| partition.isr.contains(&node)),
            offline_replicas: ids(partition, |node| !running.contains(&node)),
        });
        MetadataResponseTopic {
            name: Some(topic.name.clone()),
            topic_id: topic.id,
            is_internal: topic.name.as_str().starts_with("__"),
            partitions: partitions.collect(),
            ..Default::default()
        }
    }

    pub(super) fn describe_topic_partitions(
        &mut self,
        _: Instant,
        _: &Call,
        request: DescribeTopicPartitionsRequest,
    ) -> Outcome<DescribeTopicPartitionsResponse> {
        if request.cursor.as_ref().is_some_and(|cursor| cursor.partition_index < 0) {
            let error_code = ErrorCode::INVALID_REQUEST;
            let refused = |topic: TopicRequest| DescribeTopicPartitionsResponseTopic {
                error_code,
                name: Some(topic.name),
                ..Default::default()
            };
            let topics = request.topics.into_iter().map(refused).collect();
            return Outcome::Reply(DescribeTopicPartitionsResponse { topics, ..Default::default() });
        }
        // Sorted by name, a page of so many partitions, from the cursor on.
        let mut names: BTreeSet<_> = request.topics.iter().map(|topic| topic.name.clone()).collect();
        if names.is_empty() {
            names = self.topics.iter().map(|topic| topic.name.clone()).collect();
        }
        let mut first = 0;
        if let Some(cursor) = &request.cursor {
            names = names.split_off(&cursor.topic_name);
            if names.first() == Some(&cursor.topic_name) {
                first = usize::try_from(cursor.partition_index).unwrap_or(0);
            }
        }
        let mut room = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, MAX_PAGE);
        let mut response = DescribeTopicPartitionsResponse::default();
        let running = self.running();
        for name in names {
            if room == 0 {
                response.next_cursor = Some(Cursor { topic_name: name, partition_index: 0 });
                break;
            }
            let Some(topic) = self.topics.get(name.as_str()) else {
                let error_code = match invalid_name(name.as_str()) {
                    Some(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
                    None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                };
                let unknown = DescribeTopicPartitionsResponseTopic {
                    error_code,
                    name: Some(name),
                    topic_authorized_operations: ALL_TOPIC_OPERATIONS,
                    ..Default::default()
                };
                response.topics.push(unknown);
                continue;
            };
            let after = first.saturating_add(room);
            let page = topic.partitions.iter().zip(0..).skip(std::mem::take(&mut first)).take(room);
            let partitions = page.map(|(partition, partition_index)| DescribeTopicPartitionsResponsePartition {
                error_code: leader_error(partition),
                partition_index,
                leader_id: BrokerId(partition.leader.unwrap_or(-1)),
                leader_epoch: partition.leader_epoch,
                replica_nodes: ids(partition, |_| true),
                isr_nodes: ids(partition, |node| partition.isr.contains(&node)),
                // Nobody is kept here who is out of sync and yet known to have everything (KIP-966).
                eligible_leader_replicas: Some(Vec::new()),
                last_known_elr: Some(Vec::new()),
                offline_replicas: ids(partition, |node| !running.contains(&node)),
            });
            let partitions: Vec<_> = partitions.collect();
            room -= partitions.len();
            response.topics.push(DescribeTopicPartitionsResponseTopic {
                name: Some(topic.name.clone()),
                topic_id: topic.id,
                is_internal: topic.name.as_str().starts_with("__"),
                partitions,
                topic_authorized_operations: ALL_TOPIC_OPERATIONS,
                ..Default::default()
            });
            if after < topic.partitions.len() {
                let partition_index = i32::try_from(after).unwrap_or(i32::MAX);
                response.next_cursor = Some(Cursor { topic_name: name, partition_index });
                break;
            }
        }
        Outcome::Reply(response)
    }

    pub(super) fn describe_cluster(
        &mut self,
        _: Instant,
        _: &Call,
        request: DescribeClusterRequest,
    ) -> Outcome<DescribeClusterResponse> {
        // 1 asks for brokers, 2 for controllers, which listen elsewhere.
        let refused = match request.endpoint_type {
            1 => None,
            2 => {
                let message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
                Some((ErrorCode::MISMATCHED_ENDPOINT_TYPE, message.to_owned()))
            }
            other => Some((ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, format!("Unsupported endpoint type {other}"))),
        };
        if let Some((error_code, message)) = refused {
            let error_message = Some(text(&message));
            return Outcome::Reply(DescribeClusterResponse { error_code, error_message, ..Default::default() });
        }
        let shown = self.nodes.iter().filter(|(_, node)| node.running || request.include_fenced_brokers);
        let brokers = shown.map(|(id, node)| DescribeClusterBroker {
            broker_id: BrokerId(*id),
            host: text(&node.host),
            port: i32::from(node.port),
            rack: self.rack(*id),
            // The field is not there before version 2, when only running brokers are shown.
            is_fenced: !node.running,
        });
        Outcome::Reply(DescribeClusterResponse {
            cluster_id: text(&self.settings.cluster_id),
            controller_id: self.controller(),
            brokers: brokers.collect(),
            cluster_authorized_operations: if request.include_cluster_authorized_operations { ALL_OPERATIONS } else { i32::MIN },
            ..Default::default()
        })
    }

    pub(super) fn find_coordinator(
        &mut self,
        _: Instant,
        call: &Call,
        request: FindCoordinatorRequest,
    ) -> Outcome<FindCoordinatorResponse> {
        let keys = if call.version < 4 { vec![request.key] } else { request.coordinator_keys };
        let mut coordinators = keys.into_iter().map(|key| self.coordinator(call.version, request.key_type, key));
        if call.version >= 4 {
            let coordinators = coordinators.collect();
            return Outcome::Reply(FindCoordinatorResponse { coordinators, error_message: None, ..Default::default() });
        }
        let Coordinator { node_id, host, port, error_code, error_message, .. } = coordinators.next().unwrap_or_default();
        // Text is there since version 1.
        Outcome::Reply(FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() })
    }

    fn coordinator(&self, version: i16, key_type: i8, key: Str) -> Coordinator {
        let failed = |error_code, message: &str| Coordinator {
            key: key.clone(),
            node_id: BrokerId(-1),
            port: -1,
            error_code,
            error_message: Some(text(message)),
            ..Default::default()
        };
        if !matches!(key_type, GROUP | TRANSACTION) {
            // Share groups have coordinators since version 6.
            let too_early = key_type == SHARE && (LISTS..LISTS_SHARE).contains(&version);
            return failed(ErrorCode::INVALID_REQUEST, if too_early { "" } else { INVALID_REQUEST });
        }
        let node = self.coordinator_of(key.as_str()).and_then(|id| Some((id, self.nodes.get(&id)?)));
        let Some((id, node)) = node else {
            let message = if version < LISTS { "The coordinator is not available." } else { "" };
            return failed(ErrorCode::COORDINATOR_NOT_AVAILABLE, message);
        };
        let (host, port) = (text(&node.host), i32::from(node.port));
        let error_message = Some(text(if version < LISTS { "NONE" } else { "" }));
        Coordinator { key, node_id: BrokerId(id), host, port, error_code: ErrorCode::NONE, error_message }
    }

    fn controller(&self) -> BrokerId {
        BrokerId(self.running().first().copied().unwrap_or(-1))
    }

    fn rack(&self, node: i32) -> Option<Str> {
        self.settings.racks.get(&node).map(|rack| text(rack))
    }
}

/// Those of a partition's replicas that are wanted.
fn ids(partition: &Partition, wanted: impl Fn(i32) -> bool) -> Vec<BrokerId> {
    partition.replicas.iter().filter(|node| wanted(**node)).map(|node| BrokerId(*node)).collect()
}

fn leader_error(partition: &Partition) -> ErrorCode {
    if partition.leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE }
}
