//! One task per connection.

use std::sync::Arc;

use crate::error::Error;
use crate::network::{ConnectionConfig, Connector, RequestSource, Target};

/// Controls a connection whose requests come from a source. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct SourceHandle {}

impl SourceHandle {
    /// There is work: the source will be asked.
    pub(crate) fn wake(&self) {}
    /// Closes the connection and drops the source; what is in flight is answered with a failure first.
    pub(crate) fn close(&self) {}
    /// The broker's address is another now: the connection is closed, the next goes there.
    pub(crate) fn retarget(&self, _target: Target) {}
}

/// Starts a task that connects when `source` wants it, and sends what `source` gives.
///
/// # Errors
/// When not called inside a tokio runtime.
pub(crate) fn spawn_source<S: RequestSource>(
    _connector: Arc<dyn Connector>,
    _target: Target,
    _config: ConnectionConfig,
    _source: S,
) -> Result<SourceHandle, Error> {
    Ok(SourceHandle {})
}
