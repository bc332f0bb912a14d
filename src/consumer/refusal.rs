//! Why a group refuses a member, in more words than the code that its coordinator answered with: what the group uses, what limits the
//! broker has. Asked of the brokers when it has come to that, for a moment only; without an answer the first words stand.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{Cluster, Node, Route};
use crate::consumer::group::GroupConfig;
use crate::error::Untrusted;
use crate::protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use crate::protocol::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use crate::protocol::{ErrorCode, GroupId, Str};
use crate::{Error, Result};

/// The longest that the user waits for more words.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most names of clients in an error.
const NAMED: usize = 5;

/// May the brokers know more about this error?
pub(crate) fn can_be_explained(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL | ErrorCode::INVALID_SESSION_TIMEOUT))
}

/// The error, with what the brokers say of its cause. `coordinator` is the one that refused.
pub(crate) async fn explain(cluster: Cluster, config: &GroupConfig, coordinator: Option<Node>, error: Error) -> Error {
    let deadline = Instant::now() + PATIENCE;
    let Some(code) = error.code() else { return error };
    let explained = match code {
        ErrorCode::INCONSISTENT_GROUP_PROTOCOL => {
            described(&cluster, config, deadline).await.map(|group| disagreement(config, &group))
        }
        _ => match coordinator {
            Some(node) => limits(&cluster, &node, deadline).await.map(|limits| session_timeout(config, limits)),
            None => None,
        },
    };
    match explained {
        Some((message, advice)) => {
            let api = error.api().unwrap_or("JoinGroup");
            Error::from_code(code, message)
                .with_advice(advice)
                .with_api(api)
                .with_group(config.group_id.as_str())
                .with_fatal(true)
        }
        None => error,
    }
}

async fn described(cluster: &Cluster, config: &GroupConfig, deadline: Instant) -> Option<DescribedGroup> {
    let request = DescribeGroupsRequest { groups: vec![GroupId(Str::truncated(&config.group_id))], ..Default::default() };
    let response = told(cluster.request_until(request, Route::Group(config.group_id.clone()), deadline).await)?;
    response.groups.into_iter().next().filter(|group| group.error_code.is_ok() && !group.members.is_empty())
}

/// What the group has that this member does not, and what to do.
fn disagreement(config: &GroupConfig, group: &DescribedGroup) -> (String, &'static str) {
    let (id, kind) = (&config.group_id, Untrusted(group.protocol_type.as_str()));
    let mut clients: Vec<String> =
        group.members.iter().map(|member| format!("{:?}", Untrusted(member.client_id.as_str()))).collect();
    clients.sort_unstable();
    clients.dedup();
    let more = if clients.len() > NAMED { ", ..." } else { "" };
    clients.truncate(NAMED);
    let members = match group.members.len() {
        1 => format!("1 member of client {}", clients.join(", ")),
        count => format!("{count} members of clients {}{more}", clients.join(", ")),
    };
    if group.protocol_type.as_str() != "consumer" {
        let message =
            format!("group {id:?} is in use for something else: it is of type {kind:?}, not \"consumer\", and has {members}");
        return (message, "take another group.id");
    }
    let ours = config.offered();
    let message = match group.protocol_data.as_str() {
        "" => format!("group {id:?} has {members}, who share no assignor with this one, which offers {ours}"),
        used => {
            let used = Untrusted(used);
            format!("group {id:?} uses the assignor {used:?} ({members}), and this member offers {ours}")
        }
    };
    (message, "add an assignor of theirs to partition.assignment.strategy, or stop them first")
}

/// The broker's smallest and largest session time-out, as text.
async fn limits(cluster: &Cluster, node: &Node, deadline: Instant) -> Option<(Str, Str)> {
    const KEYS: [&str; 2] = ["group.min.session.timeout.ms", "group.max.session.timeout.ms"];
    // 4: a broker.
    let asked = DescribeConfigsResource {
        resource_type: 4,
        resource_name: Str::truncated(&node.id.0.to_string()),
        configuration_keys: Some(KEYS.map(Str::truncated).to_vec()),
    };
    let request = DescribeConfigsRequest { resources: vec![asked], ..Default::default() };
    let response = told(cluster.request_until(request, Route::Broker(node.id), deadline).await)?;
    let configs = response.results.into_iter().next()?.configs;
    let value = |key: &str| configs.iter().find(|config| config.name.as_str() == key)?.value.clone();
    value(KEYS[0]).zip(value(KEYS[1]))
}

fn session_timeout(config: &GroupConfig, (min, max): (Str, Str)) -> (String, &'static str) {
    let (min, max) = (Untrusted(min.as_str()), Untrusted(max.as_str()));
    let message = format!(
        "session.timeout.ms is {} for group {:?}, and the broker allows {min} to {max} (its group.min.session.timeout.ms and group.max.session.timeout.ms)",
        config.session_timeout.as_millis(),
        config.group_id
    );
    (message, "set session.timeout.ms to what the broker allows")
}

/// Not being told is no reason to fail in another way.
fn told<T>(answer: Result<T>) -> Option<T> {
    answer.inspect_err(|error| tracing::debug!(%error, "the brokers did not say why the group refuses this member")).ok()
}
