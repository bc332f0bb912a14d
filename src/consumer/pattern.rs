//! Subscribing by pattern: which of the cluster's topics a consumer wants, and when to look for them again.
//!
//! The member tells its group the topics that match now, by name, as Kafka's own client does, so it may share a group with members of
//! any kind. When the list of topics is looked through again and others match, it subscribes to those and the group rebalances.
//!
//! A topic that a list leaves out is not given up at once: brokers hear of topics at different times. The list is asked for again
//! soon, and a topic is gone once [`MISSING_BEFORE_GONE`] lists in a row did not have it. After that nothing asks for it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use crate::cluster::TopicListing;
use crate::protocol::ErrorCode;
use crate::{Error, ErrorKind, Result, Topic};

/// How many lists in a row must leave out a topic before it is gone.
const MISSING_BEFORE_GONE: u32 = 3;

/// How soon a list that left out a topic is asked for again.
const SOON: Duration = Duration::from_secs(1);

/// A pattern that topics' names are matched against: a regular expression, found anywhere in the name unless it begins with `^` and
/// ends with `$`. (Kafka's own client matches the whole name; ruby-kafka anywhere.)
#[derive(Clone)]
pub struct TopicPattern(regex_lite::Regex);

impl TopicPattern {
    /// Reads a pattern, in the syntax of the crate [`regex-lite`](https://docs.rs/regex-lite).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming a pattern that is none.
    pub fn new(pattern: &str) -> Result<Self> {
        let wrong = |error| {
            let message = format!("the topic pattern {pattern:?} is not a regular expression: {error}");
            Error::new(ErrorKind::InvalidConfig, message).with_source(error)
        };
        regex_lite::Regex::new(pattern).map(Self).map_err(wrong)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Does a topic of this name match?
    pub fn matches(&self, topic: &str) -> bool {
        self.0.is_match(topic)
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicPattern({:?})", self.as_str())
    }
}

/// What a consumer subscribes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscribed {
    /// By name.
    pub(crate) topics: Vec<Topic>,
    pub(crate) patterns: Vec<TopicPattern>,
    /// Do patterns pass over Kafka's own topics?
    pub(crate) exclude_internal: bool,
    /// How often the list is looked through; `None`: once.
    pub(crate) interval: Option<Duration>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Matching {
    to: Subscribed,
    /// What matches now, each with the number of lists in a row that did not have it.
    matched: BTreeMap<Topic, u32>,
    /// Was there ever a list?
    listed: bool,
    /// When to ask for the next.
    next: Option<Instant>,
}

impl Matching {
    /// Wants the first list at once; none at all without a pattern.
    pub(crate) fn new(to: Subscribed, now: Instant) -> Self {
        let next = (!to.patterns.is_empty()).then_some(now);
        Self { to, matched: BTreeMap::new(), listed: false, next }
    }

    /// When a list is wanted.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Was there a list yet?
    pub(crate) fn has_listed(&self) -> bool {
        self.listed
    }

    /// Everything subscribed to, in order.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        let topics: BTreeSet<&Topic> = self.to.topics.iter().chain(self.matched.keys()).collect();
        topics.into_iter().cloned().collect()
    }

    /// A list came, each topic with what is wrong with it. Has what is subscribed to changed?
    pub(crate) fn handle_listed(&mut self, now: Instant, list: &[(TopicListing, Option<ErrorCode>)]) -> bool {
        let is_unknown = |error: &Option<ErrorCode>| {
            matches!(error, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID))
        };
        // One that has another kind of trouble is there all the same, but nothing to begin with.
        let there: BTreeSet<&Topic> = list.iter().filter(|(_, error)| !is_unknown(error)).map(|(topic, _)| &topic.name).collect();
        for (topic, missing) in &mut self.matched {
            *missing = if there.contains(topic) { 0 } else { *missing + 1 };
        }
        let before = self.matched.len();
        self.matched.retain(|_, missing| *missing < MISSING_BEFORE_GONE);
        let stayed = self.matched.len();
        for (topic, _) in list.iter().filter(|(topic, error)| error.is_none() && self.to.wants(topic)) {
            self.matched.entry(topic.name.clone()).or_insert(0);
        }
        let changed = stayed < before || self.matched.len() > stayed;
        let uncertain = self.matched.values().any(|missing| *missing > 0);
        self.next = self.to.interval.map(|interval| now + if uncertain { interval.min(SOON) } else { interval });
        // The first one says for certain what there is, be it nothing.
        changed | !std::mem::replace(&mut self.listed, true)
    }

    /// No list came; another is wanted after `pause`.
    pub(crate) fn handle_failed(&mut self, now: Instant, pause: Duration) {
        self.next = Some(now + pause);
    }
}

impl Subscribed {
    /// Does a pattern want this topic?
    fn wants(&self, topic: &TopicListing) -> bool {
        !(topic.internal && self.exclude_internal) && self.patterns.iter().any(|pattern| pattern.matches(topic.name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn subscribed(patterns: &[&str]) -> Subscribed {
        let patterns = patterns.iter().map(|pattern| TopicPattern::new(pattern).expect("a pattern")).collect();
        Subscribed { topics: Vec::new(), patterns, exclude_internal: true, interval: Some(MINUTE) }
    }

    fn topic(name: &str) -> (TopicListing, Option<ErrorCode>) {
        let internal = name.starts_with("__");
        (TopicListing { name: name.into(), topic_id: None, partitions: 1, internal }, None)
    }

    fn list(names: &[&str]) -> Vec<(TopicListing, Option<ErrorCode>)> {
        names.iter().map(|name| topic(name)).collect()
    }

    fn names(matching: &Matching) -> Vec<String> {
        matching.topics().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pattern_is_found_anywhere_and_a_wrong_one_is_named() {
        for (pattern, topic, found) in [
            ("^orders\\.", "orders.a", true),
            ("^orders\\.", "my.orders.a", false),
            ("orders", "my-orders-2", true),
            ("^orders$", "orders.a", false),
            ("^(eu|us)-.*-events$", "us-click-events", true),
        ] {
            assert_eq!(TopicPattern::new(pattern).expect("a pattern").matches(topic), found, "{pattern} in {topic}");
        }
        let error = TopicPattern::new("orders(").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("\"orders(\""), "{error}");
    }

    #[test]
    fn topics_that_match_are_taken_beside_those_named_and_internal_ones_only_if_wanted() {
        let now = Instant::now();
        let all = list(&["__consumer_offsets", "orders.a", "orders.b", "other", "plain"]);
        let mut to = subscribed(&["orders", "offsets"]);
        to.topics = vec!["plain".into()];
        let mut matching = Matching::new(to.clone(), now);
        assert_eq!(matching.next_timeout(), Some(now));
        assert!(matching.handle_listed(now, &all));
        assert_eq!(names(&matching), ["orders.a", "orders.b", "plain"]);
        assert!(!matching.handle_listed(now, &all), "nothing changed");
        let mut matching = Matching::new(Subscribed { exclude_internal: false, ..to }, now);
        assert!(matching.handle_listed(now, &all));
        assert_eq!(names(&matching), ["__consumer_offsets", "orders.a", "orders.b", "plain"]);
    }

    #[test]
    fn the_list_is_wanted_again_after_the_interval_or_never() {
        let now = Instant::now();
        let mut matching = Matching::new(subscribed(&["t"]), now);
        assert!(matching.handle_listed(now, &list(&[])), "that nothing matches is said once");
        assert_eq!(matching.next_timeout(), Some(now + MINUTE));
        assert!(matching.handle_listed(now + MINUTE, &list(&["t1"])));
        let mut once = Matching::new(Subscribed { interval: None, ..subscribed(&["t"]) }, now);
        once.handle_failed(now, MINUTE);
        assert_eq!(once.next_timeout(), Some(now + MINUTE), "a first list must come");
        once.handle_listed(now, &list(&["t1"]));
        assert_eq!(once.next_timeout(), None);
        assert_eq!(Matching::new(Subscribed::default(), now).next_timeout(), None, "no pattern, no list");
    }

    #[test]
    fn a_topic_is_gone_when_three_lists_in_a_row_do_not_have_it() {
        let now = Instant::now();
        let mut matching = Matching::new(subscribed(&["t"]), now);
        let (both, one) = (list(&["t1", "t2"]), list(&["t1"]));
        matching.handle_listed(now, &both);
        for again in [&one, &one, &both, &one, &one] {
            assert!(!matching.handle_listed(now, again));
            let soon = matching.next_timeout().expect("it goes on") == now + SOON;
            assert_eq!(soon, again.len() == 1);
        }
        let unknown = (topic("t2").0, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        assert!(matching.handle_listed(now, &[topic("t1"), unknown]));
        assert_eq!(names(&matching), ["t1"]);
        assert_eq!(matching.next_timeout(), Some(now + MINUTE), "and that is that");
    }

    #[test]
    fn a_topic_with_trouble_is_not_given_up_and_not_taken() {
        let now = Instant::now();
        let mut matching = Matching::new(subscribed(&["t"]), now);
        matching.handle_listed(now, &list(&["t1"]));
        let trouble = |name| (topic(name).0, Some(ErrorCode::LEADER_NOT_AVAILABLE));
        for _ in 0..5 {
            assert!(!matching.handle_listed(now, &[trouble("t1"), trouble("t2")]));
        }
        assert_eq!(names(&matching), ["t1"]);
    }
}
