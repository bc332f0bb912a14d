//! A connection of a consumer's own to its group's coordinator, speaking the core's requests.

use std::time::Duration;

use crate::cluster::{Cluster, Node};
use crate::consumer::group::{GroupConfig, Request, Response};
use crate::{Error, ErrorKind, Result};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct GroupLink;

impl GroupLink {
    /// Connects on first use.
    pub(crate) fn open(_cluster: &Cluster, _node: &Node) -> Result<Self> {
        Ok(Self)
    }

    /// Sends `request` and gives its answer; errors are those of the way.
    pub(crate) async fn exchange(&self, _config: &GroupConfig, request: Request, _timeout: Duration) -> Result<Response> {
        Err(Error::new(ErrorKind::Bug, "connections are not wired yet").with_api(request.api()))
    }
}
