//! DescribeGroups and ListGroups.

use std::time::Instant;

use klamm::protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use klamm::protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use klamm::protocol::{ErrorCode, GroupId, Str};

use crate::core::groups::group::{Group, State};
use crate::core::groups::member::Member;
use crate::core::topics::text;
use crate::core::{Call, Core, Outcome};

/// The only kind there is here.
const CLASSIC: &str = "classic";

impl Core {
    pub(in crate::core) fn describe_groups(
        &mut self,
        _: Instant,
        call: &Call,
        request: DescribeGroupsRequest,
    ) -> Outcome<DescribeGroupsResponse> {
        let describe = |group_id: GroupId| {
            if let Err(error_code) = self.check_group(call, group_id.as_str()) {
                return DescribedGroup { error_code, group_id, ..Default::default() };
            }
            if let Some(group) = self.groups.get(group_id.as_str()) {
                return described(group_id, group);
            }
            // Older versions take "Dead" for an answer.
            let (error_code, error_message) = match call.version {
                6.. => (ErrorCode::GROUP_ID_NOT_FOUND, Some(text(&format!("Group {group_id} not found.")))),
                _ => (ErrorCode::NONE, None),
            };
            DescribedGroup { error_code, error_message, group_id, group_state: text("Dead"), ..Default::default() }
        };
        let groups = request.groups.into_iter().map(describe).collect();
        Outcome::Reply(DescribeGroupsResponse { groups, ..Default::default() })
    }

    pub(in crate::core) fn list_groups(
        &mut self,
        _: Instant,
        call: &Call,
        request: ListGroupsRequest,
    ) -> Outcome<ListGroupsResponse> {
        let wanted = |filter: &[Str], value: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.as_str().eq_ignore_ascii_case(value))
        };
        // Each node lists the groups that it coordinates.
        let ours = self.groups.groups.iter().filter(|(name, _)| self.coordinator_of(name) == Some(call.node));
        let ours = ours
            .filter(|(_, group)| wanted(&request.states_filter, group.state_name()) && wanted(&request.types_filter, CLASSIC));
        let listed = ours.map(|(name, group)| ListedGroup {
            group_id: GroupId(text(name)),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            group_state: text(group.state_name()),
            group_type: text(CLASSIC),
        });
        Outcome::Reply(ListGroupsResponse { groups: listed.collect(), ..Default::default() })
    }
}

fn described(group_id: GroupId, group: &Group) -> DescribedGroup {
    // What members say of themselves means something under a protocol only.
    let protocol = group.protocol.clone().filter(|_| group.state == State::Stable);
    let member = |(id, member): (&Str, &Member)| DescribedGroupMember {
        member_id: id.clone(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.host.clone(),
        member_metadata: protocol.as_ref().map(|protocol| member.metadata(protocol)).unwrap_or_default(),
        member_assignment: member.assignment.clone(),
    };
    DescribedGroup {
        group_id,
        group_state: text(group.state_name()),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        members: group.members.iter().map(member).collect(),
        protocol_data: protocol.unwrap_or_default(),
        ..Default::default()
    }
}
