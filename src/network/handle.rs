//! [`Connection`]: typed requests from any task, answered by the connection's own.
//!
//! A call waits in a queue until there is room in flight. Its time-out covers all: waiting, connecting, writing, the answer. Whoever
//! drops the future gives up the answer and nothing else: not yet sent, the request is left out; sent, its answer is read and thrown
//! away, and the connection goes on. When an attempt to connect fails, all that waited for it fails with the reason at once; calls
//! that come during the pause before the next attempt wait for that. One whose time is over before then fails with the refusal, if
//! it was one, and not as too slow.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant as TokioInstant;

use crate::error::Error;
use crate::network::connection::later;
use crate::network::{
    ApiVersions, Cause, CauseKind, ConnectionConfig, Connector, Failure, Outgoing, RequestSource, ResponseBody, SourceHandle,
    Target, Written, spawn_source,
};
use crate::protocol::{ApiKey, ApiMessage, Request};

/// Calls that wait, at most, in the channel and again in the source; who comes then waits for room.
const QUEUE: usize = 256;

/// A connection to one broker, opened when it is needed. Cheap to clone; closed with the last clone.
#[derive(Clone)]
pub(crate) struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    calls: mpsc::Sender<Call>,
    handle: SourceHandle,
    target: Target,
    /// What errors call the other end.
    label: String,
}

impl Connection {
    /// Starts the connection's task; nothing is sent before the first request.
    ///
    /// # Errors
    /// When not called inside a tokio runtime.
    pub(crate) fn spawn(connector: Arc<dyn Connector>, target: Target, config: ConnectionConfig) -> Result<Self, Error> {
        let (calls, source) = Calls::queue();
        let label = config.label(&target);
        let handle = spawn_source(connector, target.clone(), config, source)?;
        Ok(Self { inner: Arc::new(Inner { calls, handle, target, label }) })
    }

    /// Sends `request` in the highest version that both sides have, and waits for its answer, at most for `timeout`.
    ///
    /// # Errors
    /// A [`Failure`]; error codes of the broker are in the response.
    ///
    /// # Cancel safety
    /// Dropped before the request was sent, it is not sent; after that, its answer is read and discarded.
    pub(crate) async fn request<R: Request>(&self, request: R, timeout: Duration) -> Result<R::Response, Failure> {
        self.request_with(0..=i16::MAX, request, timeout).await
    }

    /// As [`request`](Self::request), in a version of `versions`.
    pub(crate) async fn request_with<R: Request>(
        &self,
        versions: RangeInclusive<i16>,
        request: R,
        timeout: Duration,
    ) -> Result<R::Response, Failure> {
        let (reply, answer) = oneshot::channel();
        self.call(Job::Request { encode: encode(versions, |_| request), reply }, ApiKey(R::API_KEY), timeout).await?;
        let answer = self.answer(answer.await)?;
        match R::Response::decode(&answer.body, answer.version) {
            Ok(response) => Ok(response),
            Err(error) => {
                let text = R::Response::explain(&answer.body, answer.version, error);
                let cause = Cause::new(CauseKind::Decode, format!("an answer cannot be decoded: {text}")).at(&self.inner.label);
                self.inner.handle.condemn(answer.connection, cause.clone());
                Err(Failure { written: Written::Maybe, cause })
            }
        }
    }

    /// Sends `body`, which somebody else wrote, as a request of `api`, and gives the answer's bytes.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    ///
    /// # Cancel safety
    /// As [`request`](Self::request).
    pub(crate) async fn request_raw(&self, api: ApiKey, version: i16, body: Bytes, timeout: Duration) -> Result<Bytes, Failure> {
        let encode = move |ticket, broker: &ApiVersions, timeout| {
            let version = broker.highest(api, version..=version)?;
            Ok(Outgoing::raw(ticket, api, version, body, timeout))
        };
        let (reply, answer) = oneshot::channel();
        self.call(Job::Request { encode: Box::new(encode), reply }, api, timeout).await?;
        Ok(self.answer(answer.await)?.body)
    }

    /// What the broker serves; connects if need be.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub(crate) async fn versions(&self, timeout: Duration) -> Result<Arc<ApiVersions>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.call(Job::Versions { reply }, ApiKey::API_VERSIONS, timeout).await?;
        self.answer(answer.await)
    }

    /// Closes it: what waits or is in flight fails, and so does every later call.
    pub(crate) fn close(&self) {
        self.inner.handle.close();
    }

    async fn call(&self, job: Job, api: ApiKey, timeout: Duration) -> Result<(), Failure> {
        let now = TokioInstant::now().into_std();
        let call = Call { job, api, since: now, deadline: later(now, timeout) };
        let deadline = TokioInstant::from_std(call.deadline);
        // A value moved into a `send` that is dropped is dropped with it: the request was not sent, as promised.
        match tokio::time::timeout_at(deadline, self.inner.calls.send(call)).await {
            Ok(Ok(())) => {
                self.inner.handle.wake();
                Ok(())
            }
            Ok(Err(_)) => Err(Failure::unwritten(self.closed())),
            Err(_) => {
                let text = format!("{api} found no place in the queue to {} within {timeout:.1?}", self.inner.target);
                Err(Failure::unwritten(Cause::new(CauseKind::Timeout, text).at(&self.inner.label)))
            }
        }
    }

    /// A call that the task dropped without an answer was there when its runtime ended.
    fn answer<T>(&self, answer: Result<Result<T, Failure>, oneshot::error::RecvError>) -> Result<T, Failure> {
        let answer = answer.unwrap_or_else(|_| Err(Failure { written: Written::Maybe, cause: self.closed() }));
        answer.map_err(|failure| Failure { cause: failure.cause.at(&self.inner.label), ..failure })
    }

    fn closed(&self) -> Cause {
        let text = format!("the connection to {} was closed by this client", self.inner.target);
        Cause::new(CauseKind::Closed, text).at(&self.inner.label)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("target", &self.inner.target).finish_non_exhaustive()
    }
}

type Encode = Box<dyn FnOnce(u64, &ApiVersions, Duration) -> Result<Outgoing, Cause> + Send>;
type Reply = oneshot::Sender<Result<ResponseBody, Failure>>;

/// How a request is written once the broker's versions are known: as `build` makes it for the highest of `versions`.
fn encode<R: Request>(versions: RangeInclusive<i16>, build: impl FnOnce(i16) -> R + Send + 'static) -> Encode {
    Box::new(move |ticket, broker, timeout| {
        let version = broker.select_for::<R>(versions)?;
        Outgoing::new(ticket, version, &build(version), timeout).map_err(|error| {
            let text = format!("{} version {version} cannot be encoded: {error}", ApiKey(R::API_KEY));
            Cause::new(CauseKind::Encode, text)
        })
    })
}

/// What a caller wants.
enum Job {
    /// A request; encoded when the versions of the connection that will carry it are known.
    Request { encode: Encode, reply: Reply },
    /// What the broker serves.
    Versions { reply: oneshot::Sender<Result<Arc<ApiVersions>, Failure>> },
}

struct Call {
    job: Job,
    api: ApiKey,
    since: Instant,
    deadline: Instant,
}

impl Call {
    /// Has the caller gone?
    fn is_dropped(&self) -> bool {
        match &self.job {
            Job::Request { reply, .. } => reply.is_closed(),
            Job::Versions { reply } => reply.is_closed(),
        }
    }

    /// Answers that it was not sent. Who does not listen any more is not an error here, nor below.
    fn fail(self, cause: Cause) {
        let failure = Failure::unwritten(cause);
        match self.job {
            Job::Request { reply, .. } => drop(reply.send(Err(failure))),
            Job::Versions { reply } => drop(reply.send(Err(failure))),
        }
    }
}

/// The source of a [`Connection`]: a queue of calls.
struct Calls {
    receiver: mpsc::Receiver<Call>,
    queued: VecDeque<Call>,
    sent: BTreeMap<u64, Reply>,
    next_ticket: u64,
    /// Was there a connection when it was last asked?
    is_ready: bool,
    last_cause: Option<Cause>,
}

impl Calls {
    /// An empty queue, and where calls come in.
    fn queue() -> (mpsc::Sender<Call>, Self) {
        let (calls, receiver) = mpsc::channel(QUEUE);
        let (queued, sent) = (VecDeque::new(), BTreeMap::new());
        (calls, Self { receiver, queued, sent, next_ticket: 0, is_ready: false, last_cause: None })
    }

    /// Takes calls out of the channel, where nobody sees their deadlines.
    fn fill(&mut self) {
        while self.queued.len() < QUEUE
            && let Ok(call) = self.receiver.try_recv()
        {
            self.queued.push_back(call);
        }
    }
}

impl RequestSource for Calls {
    fn poll_request(&mut self, _cx: &mut Context<'_>, now: Instant, versions: &ApiVersions) -> Poll<Option<Outgoing>> {
        (self.is_ready, self.last_cause) = (true, None);
        loop {
            self.fill();
            // Callers wake the connection themselves, after each call: there is no waker to keep.
            let Some(call) = self.queued.pop_front() else { return Poll::Pending };
            if call.is_dropped() {
                continue;
            }
            match call.job {
                Job::Versions { reply } => drop(reply.send(Ok(Arc::new(versions.clone())))),
                Job::Request { encode, reply } => {
                    let ticket = self.next_ticket;
                    self.next_ticket += 1;
                    match encode(ticket, versions, call.deadline.saturating_duration_since(now)) {
                        Ok(request) => {
                            self.sent.insert(ticket, reply);
                            return Poll::Ready(Some(request));
                        }
                        Err(cause) => drop(reply.send(Err(Failure::unwritten(cause)))),
                    }
                }
            }
        }
    }

    fn handle_written(&mut self, _now: Instant, _ticket: u64) {}

    fn handle_response(&mut self, _now: Instant, ticket: u64, result: Result<ResponseBody, Failure>) {
        if let Some(reply) = self.sent.remove(&ticket) {
            drop(reply.send(result));
        }
    }

    fn handle_wake(&mut self) {
        self.fill();
    }

    fn handle_unconnected(&mut self, _now: Instant, cause: &Cause) {
        self.fill();
        for call in self.queued.drain(..) {
            call.fail(cause.clone());
        }
        self.last_cause = Some(cause.clone());
    }

    fn handle_throttled(&mut self, _now: Instant, pause: Duration) {
        for call in &mut self.queued {
            call.deadline = later(call.deadline, pause);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.queued.iter().map(|call| call.deadline).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        for call in std::mem::take(&mut self.queued) {
            if call.deadline > now {
                self.queued.push_back(call);
                continue;
            }
            if let Some(refusal) = self.last_cause.as_ref().filter(|cause| cause.is_refusal()) {
                call.fail(refusal.clone());
                continue;
            }
            let waited = now.saturating_duration_since(call.since);
            let cause = match self.is_ready {
                true => {
                    let text =
                        format!("{} waited {waited:.1?} for answers to requests sent before it, and was not sent", call.api);
                    Cause::new(CauseKind::Timeout, text).because(self.last_cause.clone())
                }
                false => {
                    let text = format!("no connection within {waited:.1?}, so {} was not sent", call.api);
                    Cause::new(CauseKind::Timeout, text).after(self.last_cause.clone())
                }
            };
            call.fail(cause);
        }
    }

    fn wants_connection(&mut self) -> bool {
        self.is_ready = false;
        self.fill();
        self.queued.retain(|call| !call.is_dropped());
        !self.queued.is_empty()
    }
}

/// The connection was closed: what waits has not been sent.
impl Drop for Calls {
    fn drop(&mut self) {
        self.receiver.close();
        while let Ok(call) = self.receiver.try_recv() {
            self.queued.push_back(call);
        }
        for call in self.queued.drain(..) {
            call.fail(Cause::new(CauseKind::Closed, "the connection was closed by this client"));
        }
    }
}

#[cfg(feature = "unstable-cores")]
pub(crate) use untended::{Pending, Queue};

/// Calls for a connection that no task tends.
#[cfg(feature = "unstable-cores")]
mod untended {
    use super::*;

    /// Where calls of such a connection come in.
    #[derive(Clone, Debug)]
    pub(crate) struct Queue(mpsc::Sender<Call>);

    /// The coming answer to a request; dropped, nobody wants it any more.
    #[derive(Debug)]
    pub(crate) struct Pending<R> {
        answer: oneshot::Receiver<Result<ResponseBody, Failure>>,
        of: std::marker::PhantomData<fn() -> R>,
    }

    impl std::fmt::Debug for Call {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Call").field("api", &self.api).finish_non_exhaustive()
        }
    }

    impl Queue {
        /// An empty queue and its source.
        pub(crate) fn new() -> (Self, Box<dyn RequestSource>) {
            let (calls, source) = Calls::queue();
            (Self(calls), Box::new(source))
        }

        /// As [`Connection::request_with`], without waiting. Where the queue is full the request counts as not sent.
        pub(crate) fn request<R: Request>(
            &self,
            now: Instant,
            versions: RangeInclusive<i16>,
            build: impl FnOnce(i16) -> R + Send + 'static,
            timeout: Duration,
        ) -> Pending<R> {
            let (reply, answer) = oneshot::channel();
            let (api, deadline) = (ApiKey(R::API_KEY), later(now, timeout));
            let call = Call { job: Job::Request { encode: encode(versions, build), reply }, api, since: now, deadline };
            if let Err(refused) = self.0.try_send(call) {
                refused.into_inner().fail(Cause::new(CauseKind::Closed, "the queue takes no more calls"));
            }
            Pending { answer, of: std::marker::PhantomData }
        }
    }

    impl<R: Request> Pending<R> {
        /// The answer, once it is there; with the number of the connection on which came what cannot be decoded.
        pub(crate) fn take(&mut self) -> Option<(Result<R::Response, Failure>, Option<u64>)> {
            let answer = match self.answer.try_recv() {
                Ok(answer) => answer,
                Err(oneshot::error::TryRecvError::Empty) => return None,
                Err(oneshot::error::TryRecvError::Closed) => {
                    let cause = Cause::new(CauseKind::Closed, "the connection was closed by this client");
                    Err(Failure { written: Written::Maybe, cause })
                }
            };
            Some(match answer {
                Err(failure) => (Err(failure), None),
                Ok(answer) => match R::Response::decode(&answer.body, answer.version) {
                    Ok(response) => (Ok(response), None),
                    Err(error) => {
                        let text = R::Response::explain(&answer.body, answer.version, error);
                        let cause = Cause::new(CauseKind::Decode, format!("an answer cannot be decoded: {text}"));
                        (Err(Failure { written: Written::Maybe, cause }), Some(answer.connection))
                    }
                },
            })
        }
    }
}
