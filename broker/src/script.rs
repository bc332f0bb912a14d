//! What a test says to the broker and hears from it: the requests it saw, and what it shall do with the next ones.
//!
//! A closure given to [`Broker::intercept`](crate::Broker::intercept) sees every request as it arrives and answers with an
//! [`Intercept`]. Arrival and effect are two moments: as a real broker, this one handles the requests of a connection one after
//! the other, so a verdict takes effect once those before it are answered. Delays count from arrival.

use std::any::Any;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::{ApiKey, DecodeError, DecodeErrorKind, ErrorCode, Request, Str, Writer};

/// Number of a connection: 1 for the first that was made to the broker, whichever the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// A request that arrived at a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SeenRequest {
    /// When its last byte was read. In an in-memory broker on tokio's paused clock, that clock's time.
    pub at: Instant,
    /// The node it was sent to.
    pub node: i32,
    /// The connection it came over.
    pub connection: ConnectionId,
    /// Which API is called.
    pub api_key: ApiKey,
    /// In which version.
    pub version: i16,
    /// What pairs it with its response.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<Str>,
    /// All after the header.
    pub body: Bytes,
}

/// What a closure given to [`Broker::intercept`](crate::Broker::intercept) looks at.
pub type RequestView = SeenRequest;

impl SeenRequest {
    /// Is it an `R`?
    pub fn is<R: Request>(&self) -> bool {
        self.api_key.0 == R::API_KEY
    }

    /// The request as an `R`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::UnknownApi`] with the number of its API when it is not an `R`; else what is wrong with its bytes.
    pub fn decode<R: Request>(&self) -> Result<R, DecodeError> {
        if !self.is::<R>() {
            return Err(DecodeError { kind: DecodeErrorKind::UnknownApi(self.api_key.0), left: self.body.len() });
        }
        R::decode(&self.body, self.version)
    }
}

/// What the broker shall do with a request.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Intercept {
    /// Handle it; ask the closures that were added later first.
    #[default]
    Pass,
    /// Answer with this body, which stands after the response's header, and handle nothing. See [`Intercept::respond`].
    Respond(Bytes),
    /// Answer with this code and handle nothing: on the top level where the API has one there, else for each topic, partition or
    /// group that was asked for.
    Error(ErrorCode),
    /// Handle it, but refuse these partitions. For Produce, Fetch, ListOffsets, OffsetCommit and OffsetFetch.
    PartitionErrors(Vec<PartitionError>),
    /// Handle it no sooner than so long after its arrival.
    Delay(Duration),
    /// Handle it now and send the answer so much later.
    DelayResponse(Duration),
    /// Neither handle nor answer it, nor anything after it on its connection, until [`Broker::release`](crate::Broker::release).
    Hold,
    /// Close the connection without handling it.
    CloseBefore,
    /// Handle it, then close the connection in place of an answer.
    ProcessThenClose,
    /// Never answer, and never handle it or what follows on its connection: the broker hangs.
    Swallow,
    /// Handle it, and then be silent on its connection for ever.
    ProcessThenSwallow,
    /// Handle it and change the answer. See [`Intercept::edit`].
    Edit(Edit),
    /// Send these bytes as they are, not even framed, and handle nothing.
    Raw(Bytes),
    /// Handle it, send only so many bytes of the answer's frame (its four bytes of length included), and close.
    CutResponse(usize),
    /// Like [`Delay`](Self::Delay), and then this. See [`Intercept::after`].
    After(Duration, Box<Intercept>),
}

impl Intercept {
    /// Answers `request` with `response` and handles nothing. `throttle_time_ms` is sent as it stands.
    ///
    /// Fields that the request's version does not have are dropped.
    pub fn respond<M: klamm::protocol::ApiMessage>(request: &RequestView, response: &M) -> Self {
        let mut w = Writer::with_capacity(response.encoded_len(request.version));
        response.encode(request.version, &mut w);
        Self::Respond(w.finish().concat().into())
    }

    /// Handles the request, which must be an `R`, and passes the answer through `change`. Of another API it is answered unchanged.
    pub fn edit<R>(change: impl FnOnce(&mut R::Response) + Send + 'static) -> Self
    where
        R: Request<Response: 'static>,
    {
        Self::Edit(Edit(Box::new(move |response| {
            if let Some(response) = response.downcast_mut() {
                change(response);
            }
        })))
    }

    /// Handles the request, but refuses one partition.
    pub fn partition_error(topic: impl Into<String>, partition: i32, code: ErrorCode) -> Self {
        Self::PartitionErrors(vec![PartitionError { topic: topic.into(), partition, code }])
    }

    /// Does the same so long after the request's arrival.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::After(delay, Box::new(self))
    }
}

/// A partition that a request shall not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionError {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Why not.
    pub code: ErrorCode,
}

/// A change to a response.
pub struct Edit(pub(crate) Change);

/// Finds the response behind `Any` and changes it.
type Change = Box<dyn FnOnce(&mut dyn Any) + Send>;

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Edit(..)")
    }
}

/// How a client may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// The password as it is.
    Plain,
    /// RFC 7677.
    ScramSha256,
    /// The same with another hash.
    ScramSha512,
}

impl SaslMechanism {
    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// What meets those who connect to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reachability {
    /// It is served.
    #[default]
    Open,
    /// In memory, the connection is refused; over TCP it is closed as soon as it is made. The node stays leader of its partitions.
    Refusing,
    /// In memory, connecting never ends; over TCP, the connection is made and nothing is ever read from it.
    BlackHole,
}
