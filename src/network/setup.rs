//! Set-up steps: what a connection does after ApiVersions and before its first request.
//!
//! A step is a core: it is asked for requests and told their answers, one at a time, in order, under the connection's one deadline for
//! set-up. The connection counts as ready when the last step is done. SASL will be such a step.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;

use crate::network::{ApiVersions, Cause};
use crate::protocol::ApiKey;

/// What a step wants.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "the seam for SASL; until that is built only tests have steps"))]
pub(crate) enum SetupAction {
    /// Send this and hand over the answer.
    Send {
        /// Which API.
        api: ApiKey,
        /// In which version.
        version: i16,
        /// The body, without length and header.
        body: Vec<Bytes>,
    },
    /// Through; on to the next step.
    Done,
    /// The broker refused; the connection is closed.
    Fail(Cause),
}

/// One step.
pub(crate) trait SetupStep: fmt::Debug + Send {
    /// Begins.
    fn start(&mut self, now: Instant, versions: &ApiVersions) -> SetupAction;

    /// The answer to the request last sent: what follows the header.
    fn handle_response(&mut self, now: Instant, body: Bytes) -> SetupAction;
}
