//! What errors say beyond a broker's code: who this client is to the brokers, for what they do not allow; the topic that may have been
//! meant, for one that is not there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cluster::snapshot::CREATE_IT;
use crate::cluster::{Cluster, TopicListing};
use crate::config::nearest;
use crate::error::{Error, ErrorKind, Untrusted};
use crate::record::Topic;

/// The longest that an error waits for the names of topics.
const PATIENCE: Duration = Duration::from_secs(2);
/// Names are taken from what was asked so long ago at most: who asks for a topic until it is there makes no list of all each time.
const FRESH: Duration = Duration::from_secs(30);

/// The names of topics as they were last asked for, and when that was.
#[derive(Debug, Default)]
pub(super) struct KnownTopics(Mutex<Option<(Instant, Arc<[Topic]>)>>);

impl Cluster {
    /// The error with all that is known of its cause.
    pub(crate) async fn explain(&self, error: Error) -> Error {
        let error = self.with_principal(error);
        let unknown = error.topic().filter(|_| error.kind() == ErrorKind::UnknownTopic).map(Topic::from);
        match unknown {
            // If it is known, it is one of its partitions that is not.
            Some(topic) if self.snapshot().topic(&topic).is_none_or(|known| known.partitions.is_empty()) => {
                match self.meant(&topic).await {
                    Some(meant) => {
                        let meant = Untrusted(meant.as_str());
                        error.with_advice(format!("there is one called {meant:?}; if that is not meant, {CREATE_IT}"))
                    }
                    None => error.or_advice("check the name"),
                }
            }
            _ => error,
        }
    }

    /// The error with who this client is, if it is about what the brokers do not allow.
    pub(crate) fn with_principal(&self, error: Error) -> Error {
        if error.principal().is_some() { error } else { error.with_principal(self.config().principal.clone()) }
    }

    /// The topic that may be meant by a name that is not there.
    async fn meant(&self, topic: &Topic) -> Option<Topic> {
        let names = self.topic_names().await?;
        nearest(topic.as_str(), names.iter().map(Topic::as_str)).map(Topic::from)
    }

    async fn topic_names(&self) -> Option<Arc<[Topic]>> {
        let known = &self.shared().known_topics.0;
        let now = Instant::now();
        if let Some((at, names)) = &*known.lock().unwrap_or_else(PoisonError::into_inner)
            && now.saturating_duration_since(*at) < FRESH
        {
            return Some(names.clone());
        }
        // Not being told is no reason to fail in another way.
        let listed = timeout(PATIENCE, self.list_topics(now + PATIENCE)).await.ok()?.ok()?;
        let usable = |(topic, error): (TopicListing, Option<_>)| (error.is_none() && !topic.internal).then_some(topic.name);
        let names: Arc<[Topic]> = listed.into_iter().filter_map(usable).collect();
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, names.clone()));
        Some(names)
    }
}
