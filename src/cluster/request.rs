//! Requests of any API, sent where they belong, with the retries that `routing` decides on.

use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::cluster::coordinators::Key;
use crate::cluster::driver::{Shared, failed, now};
use crate::cluster::routing::{Call, Target, Verdict};
use crate::cluster::{CoordinatorType, Node, Route, TopicInterest, refresh};
use crate::error::{Error, Result};
use crate::network::{ApiVersions, Cause, Connection, Failure, Written};
use crate::protocol::{ApiKey, Request};

/// What is sent and what comes back, as the loop of attempts needs to know it.
trait Exchange: Sync {
    /// What is sent.
    type Request: Send;
    /// What comes back; `routing` knows the typed ones.
    type Answer: Send + 'static;
    /// The API.
    fn api(&self) -> ApiKey;
    /// In which version, to a broker that serves these.
    fn select(&self, broker: &ApiVersions) -> Result<i16, Cause>;
    /// The request in a version.
    fn build(&self, version: i16) -> Result<Self::Request>;
    /// Sends it, once.
    fn send(
        connection: &Connection,
        version: i16,
        request: Self::Request,
        timeout: Duration,
        api: ApiKey,
    ) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// A declared request, built for the version chosen, which is one of `versions`.
struct Typed<R, F> {
    versions: RangeInclusive<i16>,
    build: F,
    request: PhantomData<fn() -> R>,
}

impl<R: Request, F: Fn(i16) -> R + Sync> Exchange for Typed<R, F> {
    type Request = R;
    type Answer = R::Response;

    fn api(&self) -> ApiKey {
        ApiKey(R::API_KEY)
    }

    fn select(&self, broker: &ApiVersions) -> Result<i16, Cause> {
        broker.select_for::<R>(self.versions.clone())
    }

    fn build(&self, version: i16) -> Result<R> {
        Ok((self.build)(version))
    }

    async fn send(
        connection: &Connection,
        version: i16,
        request: R,
        timeout: Duration,
        _: ApiKey,
    ) -> Result<R::Response, Failure> {
        connection.request_with(version..=version, request, timeout).await
    }
}

/// Bytes of a body, written for the version chosen, which is one of `versions`.
struct Raw<F> {
    api: ApiKey,
    versions: RangeInclusive<i16>,
    body: F,
}

impl<F: Fn(i16) -> Result<Bytes> + Sync> Exchange for Raw<F> {
    type Request = Bytes;
    type Answer = RawResponse;

    fn api(&self) -> ApiKey {
        self.api
    }

    fn select(&self, broker: &ApiVersions) -> Result<i16, Cause> {
        broker.highest(self.api, self.versions.clone())
    }

    fn build(&self, version: i16) -> Result<Bytes> {
        (self.body)(version)
    }

    async fn send(
        connection: &Connection,
        version: i16,
        body: Bytes,
        timeout: Duration,
        api: ApiKey,
    ) -> Result<RawResponse, Failure> {
        let body = connection.request_raw(api, version, body, timeout).await?;
        Ok(RawResponse { version, body })
    }
}

/// The answer to a request that was sent as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawResponse {
    /// In which version request and answer are written.
    pub version: i16,
    /// The answer's body, without header.
    pub body: Bytes,
}

impl Shared {
    /// See `Cluster::request_built_within`.
    pub(super) async fn request<R: Request>(
        self: &Arc<Self>,
        versions: RangeInclusive<i16>,
        build: impl Fn(i16) -> R + Send + Sync,
        route: Route,
        deadline: Instant,
    ) -> Result<R::Response> {
        self.exchange(&Typed { versions, build, request: PhantomData }, route, deadline).await
    }

    /// See `Cluster::request_raw`.
    pub(super) async fn request_raw(
        self: &Arc<Self>,
        api: ApiKey,
        versions: RangeInclusive<i16>,
        body: impl Fn(i16) -> Result<Bytes> + Send + Sync,
        route: Route,
        deadline: Instant,
    ) -> Result<RawResponse> {
        self.exchange(&Raw { api, versions, body }, route, deadline).await
    }

    async fn exchange<E: Exchange>(self: &Arc<Self>, exchange: &E, route: Route, deadline: Instant) -> Result<E::Answer> {
        let api = exchange.api();
        let name = api.name().unwrap_or("request");
        let backoff = self.config().backoff;
        let mut call = Call::new(api, route.clone(), now(), deadline.into_std(), backoff, self.next_seed());
        let (answers_before, _) = self.progress();
        let failed_before = self.lock().refresh.failed_rounds();
        // Else no refresh would ask for the topic.
        let _interest = match &route {
            Route::Leader(at) => Some(TopicInterest::new(self, &at.topic)),
            _ => None,
        };
        loop {
            let left = call.time_left(now());
            if left.is_zero() {
                return Err(call.timed_out(now()));
            }
            let (answers, favorite) = self.progress();
            let snapshot = self.snapshot();
            let mut needs_metadata = false;
            let node = match call.target(&snapshot, favorite) {
                Target::Unknown(_) if snapshot.version == 0 => {
                    self.learned(deadline).await.map_err(|error| error.with_api(name))?;
                    continue;
                }
                Target::Unknown(error) => {
                    needs_metadata = true;
                    Err(call.handle_unknown(now(), error, answers > answers_before))
                }
                Target::Coordinator(key) => Ok(self.coordinator(key, deadline).await?),
                Target::Node(node) => Ok(node),
            };
            let verdict = match node {
                Err(verdict) => verdict,
                Ok(node) => match self.attempt(&node, exchange, left.min(self.config().request_timeout)).await {
                    Ok(answer) => match call.handle_response(now(), &node, &answer) {
                        Verdict::Done => return Ok(answer),
                        verdict => verdict,
                    },
                    Err((error, written)) => call.handle_failure(now(), &node, error, written),
                },
            };
            match verdict {
                Verdict::Done => {}
                Verdict::Failed(error) => return Err(error),
                Verdict::Retry { at, refresh, forget_coordinator } => {
                    if refresh {
                        self.command(refresh::Command::Refresh);
                    }
                    if forget_coordinator {
                        self.forget_coordinator_of(&route);
                    }
                    let at = Instant::from_std(at);
                    if needs_metadata {
                        let refused = || self.refused_since(failed_before);
                        let refused = self.wait_until(refused, at).await.map_err(|ended| ended.with_api(name))?;
                        if let Some(refusal) = refused {
                            return Err(refusal.with_api(name));
                        }
                    } else {
                        tokio::time::sleep_until(at).await;
                    }
                }
            }
        }
    }

    /// Sends the request once. An error comes with whether it may have taken effect.
    async fn attempt<E: Exchange>(&self, node: &Node, exchange: &E, timeout: Duration) -> Result<E::Answer, (Error, bool)> {
        let api = exchange.api();
        let named = |failure: Failure| {
            let written = failure.written == Written::Maybe;
            (failed(failure, api.name().unwrap_or("request")).with_broker(node.to_string()), written)
        };
        let started = Instant::now();
        let connection = self.control(node).map_err(|error| (error, false))?;
        let known = connection.versions(timeout).await.map_err(named)?;
        let version = exchange.select(&known).map_err(|cause| named(Failure::unwritten(cause)))?;
        let request = exchange.build(version).map_err(|error| (error, false))?;
        // What was waited for the connection counts.
        let left = timeout.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
        E::send(&connection, version, request, left, api).await.map_err(named)
    }

    /// The coordinator that this route led to moved or cannot be reached.
    fn forget_coordinator_of(&self, route: &Route) {
        let (kind, key) = match route {
            Route::Group(key) => (CoordinatorType::Group, key),
            Route::Transaction(key) => (CoordinatorType::Transaction, key),
            _ => return,
        };
        self.forget(Key { kind, key: key.clone() });
    }
}
