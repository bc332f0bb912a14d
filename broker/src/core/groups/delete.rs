//! DeleteGroups and OffsetDelete: groups without members go whole, of others what no member subscribes to.

use std::time::Instant;

use klamm::protocol::messages::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use klamm::protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use klamm::protocol::{ErrorCode, GroupId};

use crate::core::groups::{Kind, State};
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
        // Old clients commit for a group whose name is empty; so it can be removed, too.
        self.check_coordinator(call, name)?;
        match &self.groups.get(name).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?.kind {
            Kind::Classic(classic) if classic.state != State::Empty => return Err(ErrorCode::NON_EMPTY_GROUP),
            Kind::Classic(_) => {}
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
        match &group.kind {
            Kind::Classic(classic) if classic.state != State::Empty && !classic.are_consumers() => {
                return refused(ErrorCode::NON_EMPTY_GROUP);
            }
            Kind::Classic(_) => {}
        }
        let (topics, staged) = (&self.topics, &mut self.transactions.staged);
        let delete = |topic: OffsetDeleteRequestTopic| {
            let subscribed = match &group.kind {
                Kind::Classic(classic) => classic.is_subscribed(topic.name.as_str()),
            };
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
