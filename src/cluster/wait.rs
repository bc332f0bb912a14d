//! Waiting for the cluster to be known: for any state, for a topic, for a coordinator.
//!
//! A waiter says so to the core while it waits, which then does not rest, looks whenever something happened, and gives up at its
//! deadline with the reasons that the cores kept. Who waits for metadata gives up at once when a round that ended meanwhile found this
//! client refused: [`Shared::wait_for`] is the one place for that. Dropping the future takes the wish back and nothing else.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cluster::coordinators::{self, Key, State};
use crate::cluster::driver::Shared;
use crate::cluster::refresh::{self, Peer};
use crate::cluster::{Node, Snapshot, TopicMetadata};
use crate::error::{Error, ErrorKind, Result};
use crate::network::Target;
use crate::record::Topic;

impl Shared {
    /// See `Cluster::topic`.
    pub(super) async fn topic(self: &Arc<Self>, topic: &Topic, deadline: Instant) -> Result<Arc<TopicMetadata>> {
        let (answers_before, _) = self.progress();
        let _waiting = Waiting::new(self);
        if self.snapshot().topic(topic).is_some() {
            // What is known is an error, perhaps an old one.
            self.command(refresh::Command::Refresh);
        }
        let usable = || {
            if let Some(known) = self.known_topic(topic) {
                return Some(Ok(known));
            }
            let fresh = self.progress().0 > answers_before;
            let final_error = |error: &Error| fresh && !error.is_retriable();
            self.snapshot().topic_error(topic).filter(final_error).map(Err)
        };
        match self.wait_for(usable, deadline).await.map_err(|refusal| refusal.with_topic(topic))? {
            Some(result) => result,
            None if self.snapshot().version == 0 => Err(self.unreachable(ErrorKind::Timeout).with_topic(topic)),
            None => Err(self.snapshot().topic_error(topic).unwrap_or_else(|| self.unreachable(ErrorKind::Timeout))),
        }
    }

    /// See `Cluster::learned`.
    pub(super) async fn learned(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Snapshot>> {
        let known = || Some(self.snapshot()).filter(|snapshot| snapshot.version > 0);
        if let Some(snapshot) = known() {
            return Ok(snapshot);
        }
        let _waiting = Waiting::new(self);
        self.wait_for(known, deadline).await?.ok_or_else(|| self.unreachable(ErrorKind::Timeout))
    }

    /// See `Cluster::refreshed`.
    pub(super) async fn refreshed(self: &Arc<Self>, deadline: Instant) {
        // An answer under way may have been asked for too early.
        let (before, is_asking) = {
            let inner = self.lock();
            (inner.refresh.answered_rounds(), inner.refresh.is_asking())
        };
        let wanted = before + 1 + u64::from(is_asking);
        self.command(refresh::Command::Refresh);
        let _waiting = Waiting::new(self);
        // Whoever needs what is not to be had will hear of it.
        let _ = self.wait_for(|| (self.progress().0 >= wanted).then_some(()), deadline).await;
    }

    /// See `Cluster::connect`.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<()> {
        let failed_before = self.lock().refresh.failed_rounds();
        let _waiting = Waiting::new(self);
        let settled = || {
            if self.snapshot().version > 0 {
                return Some(Ok(()));
            }
            let failed = self.lock().refresh.failed_rounds() > failed_before;
            failed.then(|| Err(self.unreachable(ErrorKind::Disconnected)))
        };
        let mut events = self.events.subscribe();
        loop {
            if let Some(result) = settled() {
                return result;
            }
            self.check()?;
            if events.changed().await.is_err() {
                return Err(self.unreachable(ErrorKind::Disconnected));
            }
        }
    }

    /// See `Cluster::coordinator`.
    pub(super) async fn coordinator(self: &Arc<Self>, key: Key, deadline: Instant) -> Result<Node> {
        let started = Instant::now();
        let wish = Wish::new(self, key);
        let settled = || match self.lock().coordinators.state(&wish.key) {
            Some(State::Found(node)) => Some(Ok(node.clone())),
            Some(State::Refused(error)) => Some(Err(error.clone())),
            _ => None,
        };
        // Not ended by a refusal of metadata: a lookup goes by other connections, and says itself what it met.
        if let Some(result) = self.wait_until(settled, deadline).await? {
            return result;
        }
        let last = self.lock().coordinators.reason(&wish.key).cloned();
        let last = last.unwrap_or_else(|| self.unreachable(ErrorKind::Disconnected));
        let message = format!("no coordinator was found for \"{}\" in time", wish.key.key);
        let error = Error::new(ErrorKind::Timeout, message).with_api("FindCoordinator").after(last);
        Err(error.with_attempts(0, started.elapsed()))
    }

    /// Why brokers refuse this client, if a round that ended after `failed_before` failed ones showed that they do.
    pub(super) fn refused_since(&self, failed_before: u64) -> Option<Error> {
        let is_refused = {
            let inner = self.lock();
            inner.refresh.failed_rounds() > failed_before && inner.refresh.refusal().is_some()
        };
        is_refused.then(|| self.unreachable(ErrorKind::Disconnected))
    }

    /// Waits for what a round of metadata may bring, as [`wait_until`](Self::wait_until).
    ///
    /// # Errors
    /// A round failed since because brokers refuse this client: no other brings it.
    async fn wait_for<T>(&self, mut look: impl FnMut() -> Option<T>, deadline: Instant) -> Result<Option<T>> {
        let failed_before = self.lock().refresh.failed_rounds();
        let look = || look().map(Ok).or_else(|| self.refused_since(failed_before).map(Err));
        self.wait_until(look, deadline).await?.transpose()
    }

    /// Looks each time something happened until there is something to see or the deadline has come.
    ///
    /// # Errors
    /// If nothing will happen any more.
    pub(super) async fn wait_until<T>(&self, mut look: impl FnMut() -> Option<T>, deadline: Instant) -> Result<Option<T>> {
        let mut events = self.events.subscribe();
        loop {
            if let Some(seen) = look() {
                return Ok(Some(seen));
            }
            self.check()?;
            match tokio::time::timeout_at(deadline, events.changed()).await {
                Ok(Ok(())) => {}
                _ => return Ok(look()),
            }
        }
    }

    /// An error that lists why each peer could not be used; of `kind`, unless one refused this client.
    pub(super) fn unreachable(&self, kind: ErrorKind) -> Error {
        let inner = self.lock();
        let snapshot = inner.refresh.snapshot();
        let reason = |(peer, error): (&Peer, &Error)| {
            let (name, address) = match peer {
                Peer::Seed(index) => {
                    let address = self.config().seeds.get(*index).map(ToString::to_string).unwrap_or_default();
                    (address.clone(), address)
                }
                Peer::Broker(id) => match snapshot.node(*id) {
                    Some(node) => (node.to_string(), Target::new(&*node.host, node.port).to_string()),
                    None => (format!("broker {}", id.0), String::new()),
                },
            };
            // The advice comes once, at the end, and most reasons name the address.
            let mut text = error.message().to_owned();
            // A refusal's code is shown at the error's end.
            if let Some(code) = error.code().filter(|_| !error.is_refusal()) {
                text = format!("{text}: {code}");
            }
            if !address.is_empty() && text.contains(&address) { text } else { format!("{name}: {text}") }
        };
        let failures = inner.refresh.failures();
        let (refusals, others): (Vec<_>, Vec<_>) = failures.iter().partition(|(_, error)| error.is_refusal());
        if let Some((_, refusal)) = refusals.first().copied() {
            let mut message = refusals.into_iter().map(reason).collect::<Vec<_>>().join("; ");
            if !others.is_empty() {
                let others: Vec<_> = others.into_iter().map(reason).collect();
                message = format!("{message} (besides: {})", others.join("; "));
            }
            let mut error = Error::new(refusal.kind(), message).with_api("Metadata").with_source(refusal.clone());
            if let Some(code) = refusal.code() {
                error = error.with_code(code);
            }
            return match refusal.own_advice() {
                Some(advice) => error.with_advice(advice.to_owned()),
                None => error,
            };
        }
        let reasons: Vec<_> = failures.iter().map(reason).collect();
        let servers: Vec<_> = self.config().seeds.iter().map(ToString::to_string).collect();
        let message = if reasons.is_empty() {
            format!("no broker has answered yet (bootstrap servers: {})", servers.join(", "))
        } else {
            format!("no broker could be reached: {}", reasons.join("; "))
        };
        let error = Error::new(kind, message).with_api("Metadata").with_retriable(true);
        let error = error.with_advice("check bootstrap.servers and that brokers listen there");
        match failures.values().next() {
            Some(first) => error.with_source(first.clone()),
            None => error,
        }
    }
}

/// Somebody waits for metadata.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.command(refresh::Command::Wait);
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.command(refresh::Command::Unwait);
    }
}

/// Somebody waits for a coordinator.
struct Wish<'a> {
    shared: &'a Shared,
    key: Key,
}

impl<'a> Wish<'a> {
    fn new(shared: &'a Shared, key: Key) -> Self {
        shared.lookup(coordinators::Command::Want(key.clone()));
        Self { shared, key }
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        self.shared.lookup(coordinators::Command::Unwant(self.key.clone()));
    }
}
