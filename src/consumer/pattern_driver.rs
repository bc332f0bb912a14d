//! Looks through the cluster's topics when the patterns' core wants it; nobody else asks for all of them.

use tokio::time::{Instant, sleep_until};

use crate::cluster::{Backoff, Cluster, TopicListing};
use crate::consumer::pattern::{Matching, Subscribed};
use crate::network::BoxFuture;
use crate::protocol::ErrorCode;
use crate::{Result, Topic};

/// A subscription by patterns at work.
pub(crate) struct TopicSearch {
    cluster: Cluster,
    core: Matching,
    asked: Option<BoxFuture<'static, Result<Vec<(TopicListing, Option<ErrorCode>)>>>>,
    backoff: Backoff,
}

impl TopicSearch {
    pub(crate) fn new(cluster: Cluster, to: Subscribed) -> Self {
        let core = Matching::new(to, Instant::now().into_std());
        Self { backoff: cluster.new_backoff(), cluster, core, asked: None }
    }

    /// The topics subscribed to, whenever others match. An error only for the first list: the user waits for it; later ones are in the
    /// log, and the topics stay as they are.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn changed(&mut self) -> Result<Vec<Topic>> {
        loop {
            let Some(asked) = &mut self.asked else {
                match self.core.next_timeout() {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
                let cluster = self.cluster.clone();
                self.asked = Some(Box::pin(async move {
                    let deadline = Instant::now() + cluster.config().default_api_timeout;
                    cluster.list_topics(deadline).await
                }));
                continue;
            };
            let listed = asked.await;
            self.asked = None;
            let now = Instant::now().into_std();
            match listed {
                Ok(list) => {
                    self.backoff.reset();
                    if self.core.handle_listed(now, &list) {
                        return Ok(self.core.topics());
                    }
                }
                Err(error) => {
                    self.core.handle_failed(now, self.backoff.next_pause());
                    if !self.core.has_listed() {
                        return Err(error);
                    }
                    tracing::warn!(%error, "the cluster's topics could not be listed to look for those that match; it is tried again");
                }
            }
        }
    }
}
