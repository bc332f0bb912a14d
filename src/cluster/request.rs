//! Requests of any API, sent where they belong, with the retries that `routing` decides on.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::coordinators::Key;
use crate::cluster::driver::{Shared, failed, now};
use crate::cluster::routing::{Call, Target, Verdict};
use crate::cluster::{CoordinatorType, Node, Route, TopicInterest, refresh};
use crate::error::{Error, Result};
use crate::network::{Failure, Written};
use crate::protocol::{ApiKey, Request};

impl Shared {
    /// See `Cluster::request_built_within`.
    pub(super) async fn request<R: Request>(
        self: &Arc<Self>,
        versions: RangeInclusive<i16>,
        build: impl Fn(i16) -> R + Send + Sync,
        route: Route,
        deadline: Instant,
    ) -> Result<R::Response> {
        let api = ApiKey(R::API_KEY);
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
                Ok(node) => match self.attempt(&node, versions.clone(), &build, left.min(self.config().request_timeout)).await {
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
    async fn attempt<R: Request>(
        &self,
        node: &Node,
        versions: RangeInclusive<i16>,
        build: &(impl Fn(i16) -> R + Send + Sync),
        timeout: Duration,
    ) -> Result<R::Response, (Error, bool)> {
        let named = |failure: Failure| {
            let written = failure.written == Written::Maybe;
            (failed(failure, ApiKey(R::API_KEY).name().unwrap_or("request")).with_broker(node.to_string()), written)
        };
        let started = Instant::now();
        let connection = self.control(node).map_err(|error| (error, false))?;
        let known = connection.versions(timeout).await.map_err(named)?;
        let version = known.select_for::<R>(versions).map_err(|cause| named(Failure::unwritten(cause)))?;
        // What was waited for the connection counts.
        let left = timeout.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
        connection.request_with(version..=version, build(version), left).await.map_err(named)
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
