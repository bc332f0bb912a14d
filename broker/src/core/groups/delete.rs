//! DeleteGroups and OffsetDelete: groups without members go whole, of others what no member subscribes to.

use std::time::Instant;

use bytes::Bytes;
use klamm::protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use klamm::protocol::messages::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use klamm::protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use klamm::protocol::{ApiMessage as _, Cx, ErrorCode, GroupId, Reader, Wire as _};

use crate::core::groups::group::Group;
use crate::core::{Call, Core, Outcome};

impl Core {
    pub(in crate::core) fn delete_groups(
        &mut self,
        _: Instant,
        call: &Call,
        request: DeleteGroupsRequest,
    ) -> Outcome<DeleteGroupsResponse> {
        let mut results = Vec::new();
        for group_id in request.groups_names {
            let error_code = self.delete_empty_group(call, &group_id).err().unwrap_or(ErrorCode::NONE);
            results.push(DeletableGroupResult { group_id, error_code, error_message: None });
        }
        Outcome::Reply(DeleteGroupsResponse { results, ..Default::default() })
    }

    fn delete_empty_group(&mut self, call: &Call, group_id: &GroupId) -> Result<(), ErrorCode> {
        let name = group_id.as_str();
        self.check_group(call, name)?;
        let group = self.groups.get(name).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        if !group.members.is_empty() {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        self.groups.groups.remove(name);
        self.transactions.staged.forget_group(name);
        Ok(())
    }

    pub(in crate::core) fn offset_delete(
        &mut self,
        _: Instant,
        call: &Call,
        request: OffsetDeleteRequest,
    ) -> Outcome<OffsetDeleteResponse> {
        let name = request.group_id.as_str();
        let refused = |error_code| Outcome::Reply(OffsetDeleteResponse { error_code, ..Default::default() });
        if let Err(code) = self.check_group(call, name) {
            return refused(code);
        }
        let Some(group) = self.groups.groups.get_mut(name) else { return refused(ErrorCode::GROUP_ID_NOT_FOUND) };
        let consumers = group.protocol_type.as_ref().is_some_and(|kind| kind.as_str() == "consumer");
        if !group.members.is_empty() && !consumers {
            return refused(ErrorCode::NON_EMPTY_GROUP);
        }
        let (topics, staged) = (&self.topics, &mut self.transactions.staged);
        let delete = |topic: OffsetDeleteRequestTopic| {
            let subscribed = is_subscribed(group, topic.name.as_str());
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let error_code = match topics.partition(topic.name.as_str(), index) {
                    None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    Some(_) if subscribed => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
                    Some(_) => {
                        group.offsets.remove(&(topic.name.as_str().to_owned(), index));
                        staged.forget(name, topic.name.as_str(), index);
                        ErrorCode::NONE
                    }
                };
                OffsetDeleteResponsePartition { partition_index: index, error_code }
            });
            let partitions = partitions.collect();
            OffsetDeleteResponseTopic { name: topic.name, partitions }
        };
        let topics = request.topics.into_iter().map(delete).collect();
        Outcome::Reply(OffsetDeleteResponse { topics, ..Default::default() })
    }
}

/// Does a member subscribe to the topic, or say what cannot be read?
fn is_subscribed(group: &Group, topic: &str) -> bool {
    let wants = |metadata: &Bytes| {
        subscription(metadata).is_none_or(|subscription| subscription.topics.iter().any(|name| name.as_str() == topic))
    };
    group.members.values().any(|member| member.protocols.iter().any(|(_, metadata)| wants(metadata)))
}

/// A member's subscription, which stands behind its version.
fn subscription(metadata: &Bytes) -> Option<ConsumerProtocolSubscription> {
    let version = i16::from_be_bytes(*metadata.first_chunk()?);
    let version = version.clamp(0, *ConsumerProtocolSubscription::VERSIONS.end());
    let body = metadata.slice(2..);
    let cx = Cx { version, flexible: false, nullable: false };
    ConsumerProtocolSubscription::take(&mut Reader::new(&body), cx).ok()
}
