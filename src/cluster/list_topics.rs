//! The names of all topics: what the admin lists, and what patterns are matched against.
//!
//! Refreshes of metadata name exactly the topics in use, so that a client of a large cluster hears of what it needs alone. Whoever
//! needs the names of all asks for them here, when it needs them, and nobody else pays for it.

use tokio::time::Instant;

use crate::cluster::{Cluster, Route};
use crate::error::Result;
use crate::protocol::messages::metadata::{MetadataRequest, MetadataResponseTopic};
use crate::protocol::{ApiMessage, ErrorCode, Uuid};
use crate::record::Topic;

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicListing {
    /// Its name.
    pub name: Topic,
    /// Its id; `None` from brokers before Kafka 2.8.
    pub topic_id: Option<Uuid>,
    /// How many partitions it has.
    pub partitions: usize,
    /// Is it one of Kafka's own?
    pub internal: bool,
}

impl Cluster {
    /// All topics that may be seen, by name, each with what the broker says is wrong with it. Asking creates none.
    ///
    /// # Errors
    /// If no broker answered by `deadline`.
    pub(crate) async fn list_topics(&self, deadline: Instant) -> Result<Vec<(TopicListing, Option<ErrorCode>)>> {
        let request = MetadataRequest { topics: None, allow_auto_topic_creation: false, ..MetadataRequest::default() };
        self.check()?;
        // Not by `request_until`, whose errors may need the names of topics themselves.
        let response = self.shared().request(MetadataRequest::VERSIONS, |_| request.clone(), Route::Any, deadline).await?;
        let listing = |topic: &MetadataResponseTopic| {
            let listing = TopicListing {
                name: Topic::from(topic.name.as_ref()?.0.as_str()),
                topic_id: (!topic.topic_id.is_zero()).then_some(topic.topic_id),
                partitions: topic.partitions.len(),
                internal: topic.is_internal,
            };
            Some((listing, topic.error_code.ok().err()))
        };
        let mut topics: Vec<_> = response.topics.iter().filter_map(listing).collect();
        topics.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        Ok(topics)
    }
}
