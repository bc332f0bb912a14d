//! What is dropped: one entry for each public future, more where it can wait for different things.
//!
//! A call that asks something or changes the cluster is one line.

use klamm::admin::{ConfigChange, ConfigResource, NewTopic, OffsetSpec, Validate};
use klamm::consumer::SeekTo;
use klamm::protocol::messages::list_groups::ListGroupsRequest;
use klamm::protocol::{ApiKey, BrokerId, ErrorCode};
use klamm::{Route, TopicPartition};

use super::asking::{self, ask, change};
use super::cut::{Cut, Progress};
use super::{asynchronous, consuming, producing};

/// A scenario with a cut in it.
pub(crate) type Run = fn(Cut) -> std::pin::Pin<Box<dyn Future<Output = Progress>>>;

/// See the module.
pub(crate) struct Case {
    /// `Type::function`, as the source declares it.
    pub(crate) name: &'static str,
    pub(crate) scenario: &'static str,
    /// It has to wait at least so often.
    pub(crate) least_polls: usize,
    pub(crate) run: Run,
}

/// All of them.
pub(crate) struct Cases {
    pub(crate) asking: &'static [Case],
    pub(crate) producing: &'static [Case],
    pub(crate) consuming: &'static [Case],
}

impl Cases {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Case> {
        self.asking.iter().chain(self.producing).chain(self.consuming)
    }
}

macro_rules! case {
    ($name:literal, $scenario:literal, $least:literal, $run:path) => {
        Case { name: $name, scenario: $scenario, least_polls: $least, run: |at| Box::pin($run(at)) }
    };
}

/// A question to a client that knows nothing yet.
macro_rules! asked {
    ($name:literal, |$client:ident| $call:expr) => {
        Case {
            name: $name,
            scenario: "of a client that knows nothing",
            least_polls: 3,
            run: |at| Box::pin(ask(at, |$client| Box::pin(async move { $call.await.map(drop) }))),
        }
    };
}

/// A change; made again it may say with these codes that it was made already, and `$made` sees that it was.
macro_rules! changed {
    ($name:literal, |$client:ident| $call:expr, $already:expr, |$broker:ident| $made:expr) => {
        Case {
            name: $name,
            scenario: "of a client that knows nothing",
            least_polls: 3,
            run: |at| Box::pin(change(at, |$client| Box::pin(async move { $call.await.map(drop) }), &$already, |$broker| $made)),
        }
    };
}

/// The first partition's result in place of a list with results.
async fn each<K, V>(outcomes: impl Future<Output = klamm::Result<Vec<(K, klamm::Result<V>)>>>) -> klamm::Result<()> {
    outcomes.await?.into_iter().try_for_each(|(_, result)| result.map(drop))
}

fn first() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// See the module.
pub(crate) const CASES: Cases = Cases {
    asking: &[
        case!("ClientBuilder::connect", "to a cluster that answers", 2, asking::connect),
        case!("ClientBuilder::connect", "to a cluster where it logs in", 2, asking::connect_logging_in),
        case!("Client::close", "while a record is delivered", 2, asking::close),
        asked!("Client::topics", |client| client.topics()),
        asked!("Client::has_topic", |client| client.has_topic("t")),
        asked!("Client::partition_count", |client| client.partition_count("t")),
        asked!("Client::replica_count", |client| client.replica_count("t")),
        asked!("Client::brokers", |client| client.brokers()),
        asked!("Client::controller", |client| client.controller()),
        asked!("Client::last_offset", |client| client.last_offset("t", 1)),
        asked!("Client::last_offsets", |client| client.last_offsets(["t"])),
        asked!("Client::supports_api", |client| client.supports_api(ApiKey::FETCH, None)),
        asked!("Client::request", |client| client.request(ListGroupsRequest::default(), Route::Group("g".into()))),
        asked!("Client::request_raw", |client| client.request_raw(
            ApiKey::LIST_GROUPS,
            0..=0,
            |_| Ok(Default::default()),
            Route::Group("g".into())
        )),
        asked!("FetchMessages::send", |client| client.fetch_messages("t", 0).from(SeekTo::Beginning).send()),
        asked!("Admin::describe_cluster", |client| client.admin().describe_cluster()),
        asked!("Admin::api_versions", |client| client.admin().api_versions(None)),
        asked!("Admin::list_topics", |client| client.admin().list_topics()),
        asked!("Admin::has_topic", |client| client.admin().has_topic("t")),
        asked!("Admin::describe_topics", |client| each(client.admin().describe_topics(["t"]))),
        asked!("Admin::list_groups", |client| client.admin().list_groups()),
        asked!("Admin::describe_groups", |client| each(client.admin().describe_groups(["g"]))),
        asked!("Admin::group_offsets", |client| client.admin().group_offsets("g")),
        asked!("Admin::list_offsets", |client| each(client.admin().list_offsets([first()], OffsetSpec::End))),
        asked!("Admin::last_stable_offsets", |client| each(client.admin().last_stable_offsets([first()]))),
        asked!("Admin::describe_configs", |client| client.admin().describe_configs(&ConfigResource::Topic("t".into()), None)),
        asked!("Admin::topic_configs", |client| client.admin().topic_configs("t", Some(&["retention.ms"]))),
        asked!("Admin::broker_configs", |client| client.admin().broker_configs(BrokerId(2), None)),
        changed!(
            "Admin::create_topic",
            |client| client.admin().create_topic(NewTopic::new("new").partitions(3)),
            [ErrorCode::TOPIC_ALREADY_EXISTS],
            |broker| broker.partition_count("new") == Some(3)
        ),
        changed!(
            "Admin::create_topics",
            |client| each(client.admin().create_topics([NewTopic::new("new").partitions(3)], Validate::AndApply)),
            [ErrorCode::TOPIC_ALREADY_EXISTS],
            |broker| broker.partition_count("new") == Some(3)
        ),
        changed!(
            "Admin::delete_topics",
            |client| each(client.admin().delete_topics(["t"])),
            [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION],
            |broker| broker.partition_count("t").is_none()
        ),
        changed!(
            "Admin::create_partitions",
            |client| client.admin().create_partitions("t", 4, Validate::AndApply),
            [ErrorCode::INVALID_PARTITIONS],
            |broker| broker.partition_count("t") == Some(4)
        ),
        changed!(
            "Admin::alter_configs",
            |client| client.admin().alter_configs(
                &ConfigResource::Topic("t".into()),
                [ConfigChange::append("cleanup.policy", "compact"), ConfigChange::set("retention.ms", "1000")],
                Validate::AndApply
            ),
            [],
            |broker| broker.topic_config("t", "cleanup.policy").as_deref() == Some("delete,compact")
                && broker.topic_config("t", "retention.ms").as_deref() == Some("1000")
        ),
        changed!("Admin::alter_topic", |client| client.admin().alter_topic("t", [("retention.ms", "1000")]), [], |broker| broker
            .topic_config("t", "retention.ms")
            .as_deref()
            == Some("1000")),
        changed!(
            "Admin::alter_broker",
            |client| client.admin().alter_broker(BrokerId(2), [("background.threads", "12")]),
            [],
            |broker| broker.broker_config(2, "background.threads").as_deref() == Some("12")
                && broker.broker_config(1, "background.threads").is_none()
        ),
        changed!(
            "Admin::delete_groups",
            |client| each(client.admin().delete_groups(["g"])),
            [ErrorCode::GROUP_ID_NOT_FOUND],
            |broker| broker.committed("g", "t", 0).is_none()
        ),
        changed!(
            "Admin::delete_group_offsets",
            |client| each(client.admin().delete_group_offsets("g", [first()])),
            [],
            |broker| broker.committed("g", "t", 0).is_none() && broker.committed("g", "t", 1) == Some(2)
        ),
    ],
    producing: &[
        case!("Producer::send", "of a producer that knows nothing", 3, producing::send),
        case!("Producer::send", "over connections that log in", 3, producing::send_logging_in),
        case!("Producer::enqueue", "while the topic is not known", 2, producing::enqueue_unknown),
        case!("Producer::enqueue", "in the middle of a queue for memory", 2, producing::enqueue_full),
        case!("Producer::flush", "of records that linger", 2, producing::flush),
        case!("Producer::close", "with records that linger, without an end", 2, producing::close),
        case!("Producer::close", "with records that linger", 2, producing::close_within),
        case!("Delivery::Future", "of a record that lingers", 2, producing::delivery),
        case!("Client::deliver", "the first", 3, producing::deliver),
        case!("BufferedProducer::deliver", "to several partitions", 3, producing::buffered),
        case!("BufferedProducer::deliver", "with a second attempt", 4, producing::buffered_refused),
        case!("BufferedProducer::close", "after a delivery that was dropped", 2, asynchronous::close_buffered),
        case!("AsyncProducer::produce", "in the middle of a queue for a place", 2, asynchronous::produce),
        case!("AsyncProducer::produce", "in the middle of a queue for room", 2, asynchronous::produce_bytes),
        case!("AsyncProducer::close", "with records queued and on their way", 2, asynchronous::close),
        case!("AsyncProducer::close", "with records that nobody acknowledges", 2, asynchronous::close_in_vain),
    ],
    consuming: &[
        case!("Consumer::next", "the first, which joins", 2, consuming::next),
        case!("Consumer::next", "each of them", 2, consuming::next_each),
        case!("Consumer::next", "while partitions are given away", 2, consuming::next_rebalancing),
        case!("Consumer::next", "after a stop", 2, consuming::next_stopped),
        case!("Consumer::next_batch", "the first, which joins", 2, consuming::next_batch),
        case!("Consumer::Stream", "the first, which joins", 2, consuming::stream),
        case!("Consumer::each_message", "to the end", 5, consuming::each_message),
        case!("Consumer::each_batch", "to the end", 5, consuming::each_batch),
        case!("Consumer::subscribe", "while the way to the group is full", 2, consuming::subscribe),
        case!("Consumer::subscribe_matching", "while the way to the group is full", 2, consuming::subscribe_matching),
        case!("Consumer::close", "with marks to commit", 2, consuming::close),
        case!("ConsumerHandle::commit", "of what was read", 2, consuming::commit),
        case!("ConsumerHandle::commit", "while the way to the group is full", 2, consuming::commit_queued),
        case!("ConsumerHandle::commit", "between others", 2, consuming::commit_beside_others),
        case!("ConsumerHandle::heartbeat", "of a member", 2, consuming::heartbeat),
        case!("ConsumerHandle::heartbeat", "while the way to the group is full", 2, consuming::heartbeat_queued),
        case!("ConsumerHandle::heartbeat_if_due", "while one is on its way", 2, consuming::heartbeat_if_due),
        case!("Reader::next", "the first", 3, consuming::reader_next),
        case!("Reader::next_batch", "the first", 3, consuming::reader_next_batch),
        case!("Reader::Stream", "the first", 3, consuming::reader_stream),
        case!("Reader::each_message", "to the end", 5, consuming::reader_each_message),
        case!("Client::each_message", "to the end", 5, consuming::client_each_message),
    ],
};
