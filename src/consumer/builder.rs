//! How consumers are made: settings under their standard names, then `build`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::consumer::Consumer;
use crate::consumer::assignor::Assignor;
use crate::consumer::interceptor::{ConsumerInterceptor, Interceptors};
use crate::consumer::settings::{Assigning, ConsumerSettings, IsolationLevel, OffsetReset};
use crate::{Result, Topic, TopicPartition};

/// Called with partitions that came or went; see [`ConsumerBuilder::on_revoked`].
pub(crate) type Hook = Box<dyn FnMut(&[TopicPartition]) + Send>;

/// The user's code that the calls which read run beside handing out records.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) assigned: Option<Hook>,
    pub(crate) revoked: Option<Hook>,
    pub(crate) lost: Option<Hook>,
    pub(crate) interceptors: Interceptors,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// Makes a [`Consumer`]; from `Client::consumer`.
///
/// Without any setting but [`topics`](Self::topics) it begins at the first record where the group has committed nothing, hands out
/// records of committed transactions only, and commits what was processed every five seconds.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ConsumerBuilder {
    cluster: Cluster,
    settings: ConsumerSettings,
    hooks: Hooks,
}

/// Settings of fetching, which readers and members of groups have alike, by their standard names.
macro_rules! fetch_settings {
    () => {
        /// Which records of transactions to hand out; [`IsolationLevel::ReadCommitted`] unless set. `isolation.level`.
        pub fn isolation_level(mut self, isolation_level: IsolationLevel) -> Self {
            self.settings.isolation_level = isolation_level;
            self
        }

        /// The longest that a broker waits for [`fetch_min_bytes`](Self::fetch_min_bytes); 500 ms unless set. `fetch.max.wait.ms`.
        #[doc(alias = "max_wait_time")]
        pub fn fetch_max_wait(mut self, fetch_max_wait: Duration) -> Self {
            self.settings.fetch_max_wait = fetch_max_wait;
            self
        }

        /// A broker answers a fetch once it has so many bytes; 1 unless set. `fetch.min.bytes`.
        #[doc(alias = "min_bytes")]
        pub fn fetch_min_bytes(mut self, bytes: usize) -> Self {
            self.settings.fetch_min_bytes = bytes;
            self
        }

        /// The most bytes of one answer, but for a first batch that is larger; 50 MiB unless set. `fetch.max.bytes`.
        #[doc(alias = "max_bytes")]
        pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
            self.settings.fetch_max_bytes = bytes;
            self
        }

        /// The most bytes of one partition in an answer, but for a first batch that is larger; 1 MiB unless set.
        /// `max.partition.fetch.bytes`.
        #[doc(alias = "max_bytes_per_partition")]
        pub fn max_partition_fetch_bytes(mut self, bytes: usize) -> Self {
            self.settings.max_partition_fetch_bytes = bytes;
            self
        }

        /// The most bytes that are fetched ahead of the user; 64 MiB unless set. A batch that is larger comes on top, once per broker.
        #[doc(alias = "fetcher_max_queue_size")]
        pub fn prefetch_bytes(mut self, bytes: usize) -> Self {
            self.settings.prefetch_bytes = bytes;
            self
        }
    };
}
pub(super) use fetch_settings;

impl ConsumerBuilder {
    /// A consumer of group `group_id`, in the rest as `settings` have it.
    pub(crate) fn new(cluster: Cluster, group_id: impl Into<String>, settings: ConsumerSettings) -> Self {
        let settings = ConsumerSettings { group_id: group_id.into(), ..settings };
        Self { cluster, settings, hooks: Hooks::default() }
    }

    /// The topics to consume; at least one, or a [pattern](Self::topics_matching). Each call adds to those named before.
    #[doc(alias = "subscribe")]
    pub fn topics<T: Into<Topic>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.settings.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Topics by what their names are like, besides those [named](Self::topics): a regular expression (see
    /// [`TopicPattern`](crate::consumer::TopicPattern)), found anywhere in the name unless it begins with `^` and ends with `$`. Each call
    /// adds one.
    ///
    /// The cluster's topics are looked through at the beginning, and again each
    /// [`refresh_topic_interval`](Self::refresh_topic_interval). Topics that match come and go with a rebalance of the group; one that
    /// is found late is read from its beginning, unless [`auto_offset_reset`](Self::auto_offset_reset) says otherwise. Other members may
    /// subscribe as they like.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn example(client: klamm::Client) -> klamm::Result<()> {
    /// let builder = client.consumer("billing").topics_matching(r"^orders\.");
    /// let consumer = builder.refresh_topic_interval(Duration::from_secs(10)).build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "regex")]
    pub fn topics_matching(mut self, pattern: impl Into<String>) -> Self {
        self.settings.patterns.push(pattern.into());
        self
    }

    /// How often the cluster's topics are looked through for those that match a pattern, which asks for the names of all of them; as
    /// often as metadata is refreshed (`metadata.max.age.ms`, 5 min) unless set. Zero: at the beginning only.
    pub fn refresh_topic_interval(mut self, interval: Duration) -> Self {
        self.settings.refresh_topic_interval = Some(interval);
        self
    }

    /// Do patterns pass over Kafka's own topics, such as `__consumer_offsets`? Yes unless set. `exclude.internal.topics`.
    pub fn exclude_internal_topics(mut self, exclude: bool) -> Self {
        self.settings.exclude_internal_topics = exclude;
        self
    }

    /// Where to begin in a partition for which the group has committed nothing, or an offset that the log does not have any more;
    /// [`OffsetReset::Earliest`] unless set, so that nothing is skipped in silence. `auto.offset.reset`.
    #[doc(alias = "start_from_beginning")]
    #[doc(alias = "default_offset")]
    pub fn auto_offset_reset(mut self, auto_offset_reset: OffsetReset) -> Self {
        self.settings.auto_offset_reset = auto_offset_reset;
        self
    }

    fetch_settings!();

    /// As [`max_partition_fetch_bytes`](Self::max_partition_fetch_bytes), for the partitions of `topic` alone; may be called for several
    /// topics. It does not subscribe to the topic.
    #[doc(alias = "max_bytes_per_partition")]
    pub fn max_partition_fetch_bytes_of(mut self, topic: impl Into<Topic>, bytes: usize) -> Self {
        self.settings.topic_fetch_bytes.insert(topic.into(), bytes);
        self
    }

    /// After so long without a heartbeat the group goes on without this member; 45 s unless set. `session.timeout.ms`.
    pub fn session_timeout(mut self, session_timeout: Duration) -> Self {
        self.settings.session_timeout = session_timeout;
        self
    }

    /// Time between heartbeats, which a task of its own sends; 3 s unless set. `heartbeat.interval.ms`.
    pub fn heartbeat_interval(mut self, heartbeat_interval: Duration) -> Self {
        self.settings.heartbeat_interval = heartbeat_interval;
        self
    }

    /// The longest that processing may take between two calls for more: after it the member leaves the group, and joins again with
    /// the next call. It is also how long a rebalance waits for this member. 5 min unless set. `max.poll.interval.ms`.
    #[doc(alias = "rebalance_timeout")]
    pub fn max_poll_interval(mut self, max_poll_interval: Duration) -> Self {
        self.settings.max_poll_interval = max_poll_interval;
        self
    }

    /// Time between automatic commits of what was marked; 5 s unless set, zero turns them off. `auto.commit.interval.ms`.
    #[doc(alias = "offset_commit_interval")]
    pub fn auto_commit_interval(mut self, auto_commit_interval: Duration) -> Self {
        self.settings.auto_commit_interval = auto_commit_interval;
        self
    }

    /// Commit once so many records were marked since the last commit; 0, the default, never does.
    #[doc(alias = "offset_commit_threshold")]
    pub fn auto_commit_threshold(mut self, records: u32) -> Self {
        self.settings.auto_commit_threshold = records;
        self
    }

    /// For how long brokers shall keep the offsets; unless set as long as they are configured to. Half of it, else 12 hours, is also
    /// the time after which unchanged offsets are committed again.
    #[doc(alias = "offset_retention_time")]
    pub fn offset_retention(mut self, offset_retention: Duration) -> Self {
        self.settings.offset_retention = Some(offset_retention);
        self
    }

    /// Are records marked as processed without a word from the user? Yes unless set: `each_message` marks after the handler returned
    /// without error, `each_batch` after the batch, `next` marks what it gave last when it is called again. Otherwise only
    /// [`mark_as_processed`](crate::consumer::ConsumerHandle::mark_as_processed) marks.
    pub fn automatically_mark_as_processed(mut self, automatically: bool) -> Self {
        self.settings.automatically_mark = automatically;
        self
    }

    /// How partitions are spread over the members, the most wanted first; cooperative-sticky unless set. One's own is an
    /// [`Assignor`], too. `partition.assignment.strategy`.
    #[doc(alias = "assignment_strategy")]
    pub fn assignors(mut self, assignors: impl IntoIterator<Item = Arc<dyn Assignor>>) -> Self {
        self.settings.assignors = assignors.into_iter().collect();
        self
    }

    /// A name that the member keeps across restarts, so that a restart within the session time-out moves no partitions (KIP-345).
    /// `group.instance.id`.
    pub fn group_instance_id(mut self, instance_id: impl Into<String>) -> Self {
        self.settings.instance_id = Some(instance_id.into());
        self
    }

    /// The rack this consumer runs in, told to the assignor (KIP-881). `client.rack`.
    pub fn client_rack(mut self, rack: impl Into<String>) -> Self {
        self.settings.rack = Some(rack.into());
        self
    }

    /// Sees, and may change, each record before it is handed out; several are called in the order in which they were added.
    #[doc(alias = "interceptors")]
    #[doc(alias = "interceptor.classes")]
    pub fn interceptor(mut self, interceptor: impl ConsumerInterceptor) -> Self {
        self.hooks.interceptors.add(interceptor);
        self
    }

    /// Called with partitions that were assigned, before their first record is handed out. Hooks run inside the calls that read,
    /// never beside the user's processing; a panic in one is caught and logged.
    pub fn on_assigned(mut self, hook: impl FnMut(&[TopicPartition]) + Send + 'static) -> Self {
        self.hooks.assigned = Some(Box::new(hook));
        self
    }

    /// Called with partitions that are given away, after what was marked in them was committed: no record of them follows. A
    /// rebalance waits for it, but no longer than [`max_poll_interval`](Self::max_poll_interval).
    pub fn on_revoked(mut self, hook: impl FnMut(&[TopicPartition]) + Send + 'static) -> Self {
        self.hooks.revoked = Some(Box::new(hook));
        self
    }

    /// Called with partitions that were lost: somebody else may have them already, and nothing can be committed. Without this hook
    /// [`on_revoked`](Self::on_revoked) is called in its place.
    pub fn on_lost(mut self, hook: impl FnMut(&[TopicPartition]) + Send + 'static) -> Self {
        self.hooks.lost = Some(Box::new(hook));
        self
    }

    /// For tests that replay: call the assignor in the group's task instead of on the runtime's blocking pool.
    #[doc(hidden)]
    pub fn assign_inline(mut self) -> Self {
        self.settings.assigning = Assigning::Inline;
        self
    }

    /// The consumer; nothing is sent before its first record is asked for.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) for settings that are wrong or contradict each other, and if no
    /// tokio runtime is around.
    pub fn build(self) -> Result<Consumer> {
        self.settings.check()?;
        // A pattern that is none is an error here and not when the consumer begins.
        self.settings.subscribed(Duration::ZERO)?;
        Consumer::new(self.cluster, self.settings, self.hooks)
    }
}
