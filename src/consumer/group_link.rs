//! A connection of a consumer's own to its group's coordinator, speaking the core's requests.

use std::time::Duration;

use crate::cluster::{Cluster, Node};
use crate::consumer::group::messages::{self, LAST_WITH_NAMES, LAST_WITH_RETENTION};
use crate::consumer::group::{GroupConfig, Request, Response};
use crate::network::Connection;
use crate::protocol::messages::leave_group::LeaveGroupRequest;
use crate::protocol::messages::offset_commit::OffsetCommitRequest;
use crate::protocol::messages::offset_fetch::OffsetFetchRequest;
use crate::{Error, Result, protocol};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct GroupLink {
    connection: Connection,
    node: String,
}

impl GroupLink {
    /// Connects on first use.
    ///
    /// # Errors
    /// Outside a runtime.
    pub(crate) fn open(cluster: &Cluster, node: &Node) -> Result<Self> {
        Ok(Self { connection: cluster.connection(node)?, node: node.to_string() })
    }

    /// Sends `request` and gives its answer; errors are those of the way.
    pub(crate) async fn exchange(&self, config: &GroupConfig, request: Request, timeout: Duration) -> Result<Response> {
        tracing::trace!(group = %config.group_id, broker = %self.node, api = request.api(), "asking the coordinator");
        match request {
            Request::Join(request) => self.ask(request, timeout).await.map(Response::Join),
            Request::Sync(request) => self.ask(request, timeout).await.map(Response::Sync),
            Request::Heartbeat(request) => {
                self.ask(request, timeout).await.map(|response| Response::Heartbeat(response.error_code))
            }
            Request::Leave { member_id, reason } => {
                let version = self.version::<LeaveGroupRequest>(i16::MAX, timeout).await?;
                let request = messages::leave(config, &member_id, &reason, version);
                self.ask_in(version, request, timeout).await.map(|response| messages::read_leave(&response))
            }
            Request::OffsetFetch { partitions } => {
                let version = self.version::<OffsetFetchRequest>(LAST_WITH_NAMES, timeout).await?;
                let request = messages::offset_fetch(config, &partitions, version);
                self.ask_in(version, request, timeout).await.map(|response| messages::read_offset_fetch(&response))
            }
            Request::OffsetCommit { generation, member_id, offsets } => {
                // A static member needs a version that can name it, and those carry no retention.
                let with_retention = config.offset_retention.is_some() && config.instance_id.is_none();
                let last = if with_retention { LAST_WITH_RETENTION } else { LAST_WITH_NAMES };
                let version = self.version::<OffsetCommitRequest>(last, timeout).await?;
                let request = messages::offset_commit(config, generation, &member_id, &offsets, version);
                self.ask_in(version, request, timeout).await.map(|response| messages::read_offset_commit(&response))
            }
        }
    }

    /// The version, `last` at most, that both sides have.
    async fn version<R: protocol::Request>(&self, last: i16, timeout: Duration) -> Result<i16> {
        let versions = self.connection.versions(timeout).await.map_err(|failure| self.error(failure.into_error(api::<R>())))?;
        versions.select_for::<R>(0..=last).map_err(|cause| self.error(cause.to_error().with_api(api::<R>())))
    }

    async fn ask<R: protocol::Request>(&self, request: R, timeout: Duration) -> Result<R::Response> {
        let answer = self.connection.request(request, timeout).await;
        answer.map_err(|failure| self.error(failure.into_error(api::<R>())))
    }

    async fn ask_in<R: protocol::Request>(&self, version: i16, request: R, timeout: Duration) -> Result<R::Response> {
        let answer = self.connection.request_with(version..=version, request, timeout).await;
        answer.map_err(|failure| self.error(failure.into_error(api::<R>())))
    }

    fn error(&self, error: Error) -> Error {
        if error.broker().is_some() { error } else { error.with_broker(self.node.clone()) }
    }
}

/// The API's name, without the schema's "Request".
fn api<R: protocol::Request>() -> &'static str {
    R::NAME.strip_suffix("Request").unwrap_or(R::NAME)
}
