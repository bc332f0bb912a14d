//! Set-up steps: what a connection does after ApiVersions and before its first request.
//!
//! A step is a core: it is asked for requests and told their answers, one at a time, in order, under the connection's one deadline for
//! set-up. The connection counts as ready when the last step is done. SASL is such a step; when what it proved counts for a limited
//! time, the steps are run again on the same connection before that is over (KIP-368).

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::network::{ApiVersions, Cause};
use crate::protocol::ApiKey;

/// What a step wants.
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
    /// Have this done elsewhere and hand over what comes of it.
    Work(Work),
    /// Through; on to the next step.
    Done {
        /// How long what was proven counts; `None` as long as the connection lasts.
        session: Option<Duration>,
    },
    /// The broker refused, or cannot be trusted; the connection is closed.
    Fail(Cause),
}

/// Of a request its size only: it may hold what nobody must see.
impl fmt::Debug for SetupAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { api, version, body } => {
                let bytes: usize = body.iter().map(Bytes::len).sum();
                write!(f, "Send({api} version {version}, {bytes} bytes)")
            }
            Self::Work(work) => work.fmt(f),
            Self::Done { session } => f.debug_struct("Done").field("session", session).finish(),
            Self::Fail(cause) => f.debug_tuple("Fail").field(cause).finish(),
        }
    }
}

/// What takes a processor for longer than a connection's task may be held up. It goes to where blocking is allowed; should the
/// connection end before it does, nobody hears of its result.
pub(crate) struct Work(Box<dyn FnOnce() -> WorkResult + Send>);

/// What comes of it; wiped when dropped.
pub(crate) type WorkResult = Zeroizing<Vec<u8>>;

impl Work {
    /// Work that `run` does.
    pub(crate) fn new(run: impl FnOnce() -> WorkResult + Send + 'static) -> Self {
        Self(Box::new(run))
    }

    /// Does it.
    pub(crate) fn run(self) -> WorkResult {
        (self.0)()
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work(..)")
    }
}

/// One step. Its `Debug` is what texts for users call it.
pub(crate) trait SetupStep: fmt::Debug + Send {
    /// Begins.
    fn start(&mut self, now: Instant, versions: &ApiVersions) -> SetupAction;

    /// The answer to the request last sent: what follows the header.
    fn handle_response(&mut self, now: Instant, body: Bytes) -> SetupAction;

    /// What came of the work last asked for.
    fn handle_work(&mut self, now: Instant, result: WorkResult) -> SetupAction;

    /// What may be wrong if the broker closes the connection in the middle of it, and what to do.
    fn advice_if_closed(&self) -> &'static str;
}
