//! Where a connection's requests come from.
//!
//! The connection asks its source when there is room in flight, and hands back the answers as they come. Both run in the connection's
//! task, one call at a time: a source needs no lock for what only it touches, and must never block or take long.

use std::any::Any;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::network::{ApiVersions, Cause, Failure};
use crate::protocol::messages::fetch::FetchRequest;
use crate::protocol::{ApiKey, EncodeError, Request};

/// A request ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The source's own number for it; comes back with the answer.
    pub ticket: u64,
    /// Which API is called.
    pub api: ApiKey,
    /// In which version `body` is written.
    pub version: i16,
    /// The body, without length and header.
    pub body: Vec<Bytes>,
    /// From now on to the answer. When it is over the connection is closed: whatever came on it later could not be trusted.
    pub timeout: Duration,
    /// Without (a Produce with acks=0), the request is answered with an empty body once all of it was handed to the transport.
    pub expects_response: bool,
    /// As long an answer as the request allows, where that is known: so much memory is set aside as soon as a length says so,
    /// instead of in steps as the bytes come.
    pub expected_len: usize,
}

impl Outgoing {
    /// A typed request.
    ///
    /// # Errors
    /// When `version` cannot carry what is set in `request`.
    pub(crate) fn new<R: Request>(ticket: u64, version: i16, request: &R, timeout: Duration) -> Result<Self, EncodeError> {
        let body = request.checked(version)?.write(&[]);
        let (api, expected_len) = (ApiKey(R::API_KEY), expected_len(request));
        Ok(Self { ticket, api, version, body, timeout, expects_response: true, expected_len })
    }

    /// A request whose body was written elsewhere.
    pub(crate) fn raw(ticket: u64, api: ApiKey, version: i16, body: Bytes, timeout: Duration) -> Self {
        Self { ticket, api, version, body: vec![body], timeout, expects_response: true, expected_len: 0 }
    }
}

/// The longest answer that `request` allows: a Fetch says how many bytes of records it wants, and one batch may exceed that.
fn expected_len<R: Request>(request: &R) -> usize {
    let fetch = (request as &dyn Any).downcast_ref::<FetchRequest>();
    fetch.map_or(0, |fetch| usize::try_from(fetch.max_bytes).unwrap_or(0).saturating_add(1 << 20))
}

/// An answer: what follows the response's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseBody {
    /// Which API was called.
    pub api: ApiKey,
    /// In which version to decode `body`.
    pub version: i16,
    /// The body, a slice of the buffer it was read into.
    pub body: Bytes,
    /// Which of a target's successive connections it came on.
    pub(in crate::network) connection: u64,
}

/// What a source found in an answer that concerns the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feedback {
    /// The broker's `throttle_time_ms`: nothing is sent for so long (KIP-219). Only a source of Produce requests needs to say
    /// it: elsewhere the field comes first in the body and the connection reads it itself.
    pub throttle: Option<Duration>,
    /// The answer could not be decoded: the connection is closed with this cause.
    pub broken: Option<Cause>,
}

/// Gives out requests when there is room, and takes their answers.
///
/// Every ticket given out gets exactly one `handle_response`, and before it one `handle_written` if a byte of it was written.
pub(crate) trait RequestSource: Send + 'static {
    /// The next request to write now. `Pending` must keep the waker of `cx`, or whoever makes work calls [`SourceHandle::wake`]. `None`:
    /// there will never be another; the connection closes when all answers are there.
    ///
    /// Asked only when the connection is ready and has room in flight.
    ///
    /// [`SourceHandle::wake`]: crate::network::SourceHandle::wake
    fn poll_request(&mut self, cx: &mut Context<'_>, now: Instant, versions: &ApiVersions) -> Poll<Option<Outgoing>>;

    /// The first byte of this request was handed to the transport: the broker may see it.
    fn handle_written(&mut self, now: Instant, ticket: u64);

    /// The answer to a request, or why there is none.
    fn handle_response(&mut self, now: Instant, ticket: u64, result: Result<ResponseBody, Failure>);

    /// Asked after each `handle_response`: what it said about the connection.
    fn feedback(&mut self) -> Feedback {
        Feedback::default()
    }

    /// The task runs: somebody may have made work, even where there is no room for it now.
    fn handle_wake(&mut self) {}

    /// An attempt to connect failed. The next comes after a pause, if the source still wants a connection.
    fn handle_unconnected(&mut self, _now: Instant, _cause: &Cause) {}

    /// The broker wants nothing sent for a while; in-flight requests got that much more time.
    fn handle_throttled(&mut self, _now: Instant, _pause: Duration) {}

    /// When `handle_timeout` is to be called (and `poll_request`, if there is room). One that is already over after that is ignored
    /// until something else happens.
    fn next_timeout(&self) -> Option<Instant>;

    /// `next_timeout` is over.
    fn handle_timeout(&mut self, _now: Instant) {}

    /// Is there something to send? Asked while there is no connection: whoever makes work calls [`SourceHandle::wake`].
    ///
    /// [`SourceHandle::wake`]: crate::network::SourceHandle::wake
    fn wants_connection(&mut self) -> bool;
}
