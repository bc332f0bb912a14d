//! DescribeGroups and ListGroups.

use std::time::Instant;

use klamm::protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use klamm::protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use klamm::protocol::{ErrorCode, GroupId, Str};

use crate::core::groups::member::Member;
use crate::core::groups::{Classic, Group, Kind, State};
use crate::core::topics::text;
use crate::core::{Call, Core, Outcome};

/// What may be done to a group, as bits: read, delete, describe, and describe and alter its configurations. There is no authorizer,
/// so everyone may do everything.
const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

impl Core {
    pub(in crate::core) fn describe_groups(
        &mut self,
        _: Instant,
        call: &Call,
        request: DescribeGroupsRequest,
    ) -> Outcome<DescribeGroupsResponse> {
        let describe = |group_id: GroupId| {
            // Old clients commit for a group whose name is empty; so it can be looked at, too.
            if let Err(error_code) = self.check_coordinator(call, group_id.as_str()) {
                return DescribedGroup { error_code, group_id, ..Default::default() };
            }
            let classic = self.groups.get(group_id.as_str()).and_then(Group::classic);
            if let Some(group) = classic {
                let mut described = described(group_id, group);
                if request.include_authorized_operations {
                    described.authorized_operations = ALL_OPERATIONS;
                }
                return described;
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
        if self.is_loading(call.node) {
            let error_code = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
            return Outcome::Reply(ListGroupsResponse { error_code, ..Default::default() });
        }
        let wanted = |filter: &[Str], value: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.as_str().eq_ignore_ascii_case(value))
        };
        // Each node lists the groups that it coordinates.
        let ours = self.groups.groups.iter().filter(|(name, _)| self.coordinator_of(name) == Some(call.node));
        let ours = ours.filter(|(_, group)| {
            wanted(&request.states_filter, group.state_name()) && wanted(&request.types_filter, kind(group))
        });
        let listed = ours.map(|(name, group)| ListedGroup {
            group_id: GroupId(text(name)),
            protocol_type: match &group.kind {
                Kind::Classic(classic) => classic.protocol_type.clone().unwrap_or_default(),
            },
            group_state: text(group.state_name()),
            group_type: text(kind(group)),
        });
        Outcome::Reply(ListGroupsResponse { groups: listed.collect(), ..Default::default() })
    }
}

/// The name of a group's protocol in Kafka's tools.
fn kind(group: &Group) -> &'static str {
    match &group.kind {
        Kind::Classic(_) => "classic",
    }
}

fn described(group_id: GroupId, group: &Classic) -> DescribedGroup {
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
