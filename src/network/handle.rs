//! [`Connection`]: typed requests from any task, answered by the connection's own.
//!
//! A call waits in a queue until there is room in flight. Its time-out covers all: waiting, connecting, writing, the answer. Whoever
//! drops the future gives up the answer and nothing else: not yet sent, the request is left out; sent, its answer is read and thrown
//! away, and the connection goes on.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::network::{ApiVersions, Cause, CauseKind, ConnectionConfig, Connector, Failure, Target};
use crate::protocol::Request;

/// A connection to one broker, opened when it is needed. Cheap to clone; closed with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Connection {}

impl Connection {
    /// Starts the connection's task; nothing is sent before the first request.
    ///
    /// # Errors
    /// When not called inside a tokio runtime.
    pub(crate) fn spawn(_connector: Arc<dyn Connector>, _target: Target, _config: ConnectionConfig) -> Result<Self, Error> {
        Ok(Self {})
    }

    /// Sends `request` in the highest version that both sides have, and waits for its answer, at most for `timeout`.
    pub(crate) async fn request<R: Request>(&self, request: R, timeout: Duration) -> Result<R::Response, Failure> {
        self.request_with(0..=i16::MAX, request, timeout).await
    }

    /// As [`request`](Self::request), in a version of `versions`.
    pub(crate) async fn request_with<R: Request>(
        &self,
        _versions: RangeInclusive<i16>,
        _request: R,
        _timeout: Duration,
    ) -> Result<R::Response, Failure> {
        Err(Failure::unwritten(Cause::new(CauseKind::Closed, "not wired yet")))
    }

    /// What the broker serves; connects if need be.
    pub(crate) async fn versions(&self, _timeout: Duration) -> Result<Arc<ApiVersions>, Failure> {
        Err(Failure::unwritten(Cause::new(CauseKind::Closed, "not wired yet")))
    }

    /// Closes it: what waits or is in flight fails, and so does every later call.
    pub(crate) fn close(&self) {}
}
