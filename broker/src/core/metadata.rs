//! Metadata and DescribeCluster: who is there, and who leads what; FindCoordinator: who coordinates.
//!
//! As in KRaft, the controller that brokers name is just one of them, here the running node with the lowest number.

use std::time::Instant;

use klamm::protocol::messages::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use klamm::protocol::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use klamm::protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use klamm::protocol::{BrokerId, ErrorCode, Str};

use crate::core::configs::INVALID_REQUEST;
use crate::core::topics::{Topic, invalid_name, text};
use crate::core::{Call, Core, Outcome};

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

impl Core {
    pub(super) fn metadata(&mut self, _: Instant, call: &Call, request: MetadataRequest) -> Outcome<MetadataResponse> {
        let topics = match request.topics {
            None => self.all_topics(),
            Some(topics) if topics.is_empty() && call.version == 0 => self.all_topics(),
            Some(topics) => {
                let create = request.allow_auto_topic_creation;
                topics.iter().map(|topic| self.topic_metadata(topic, create, call.version)).collect()
            }
        };
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
        let Some(name) = &asked.name else {
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
        let ids = |nodes: &[i32], wanted: bool| -> Vec<BrokerId> {
            nodes.iter().filter(|node| running.contains(node) == wanted).map(|node| BrokerId(*node)).collect()
        };
        let partitions = (0..).zip(&topic.partitions).map(|(partition_index, partition)| MetadataResponsePartition {
            error_code: if partition.leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
            partition_index,
            leader_id: BrokerId(partition.leader.unwrap_or(-1)),
            leader_epoch: partition.leader_epoch,
            replica_nodes: partition.replicas.iter().map(|node| BrokerId(*node)).collect(),
            isr_nodes: ids(&partition.replicas, true),
            offline_replicas: ids(&partition.replicas, false),
        });
        MetadataResponseTopic {
            name: Some(topic.name.clone()),
            topic_id: topic.id,
            is_internal: topic.name.as_str().starts_with("__"),
            partitions: partitions.collect(),
            ..Default::default()
        }
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
            2 => Some((ErrorCode::MISMATCHED_ENDPOINT_TYPE, "The request was sent to an endpoint of type BROKER")),
            _ => Some((ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, "Unsupported endpoint type")),
        };
        if let Some((error_code, message)) = refused {
            let error_message = Some(text(message));
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
