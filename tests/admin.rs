//! Administration on the embedded broker. (Acceptance groups S and T; on Kafka itself they run in `real/`.)

use std::time::Duration;

use klamm::admin::{ConfigChange, ConfigResource, ConfigSource, NewTopic, OffsetSpec, Validate};
use klamm::protocol::messages::create_topics::CreateTopicsRequest;
use klamm::protocol::{ApiKey, BrokerId, ErrorCode};
use klamm::{Client, ErrorKind, Record, TopicPartition};
use klamm_broker::{Broker, Intercept};

async fn connect(broker: &Broker) -> Client {
    Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn rk_224_a_topic_is_created_with_partitions_and_configuration_and_defaults_are_one() {
    let broker = Broker::builder().nodes(3).start_in_memory().unwrap();
    let client = connect(&broker).await;
    let admin = client.admin();
    admin.create_topic(NewTopic::new("t").partitions(3).config("cleanup.policy", "compact")).await.unwrap();
    assert_eq!(client.partition_count("t").await.unwrap(), 3);
    let entries = admin.describe_configs(&ConfigResource::Topic("t".into()), Some(&["cleanup.policy"])).await.unwrap();
    assert_eq!((entries[0].name.as_str(), entries[0].value.as_deref()), ("cleanup.policy", Some("compact")));
    admin.create_topic(NewTopic::new("one").replicas(1)).await.unwrap();
    assert_eq!((client.partition_count("one").await.unwrap(), client.replica_count("one").await.unwrap()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn where_brokers_have_no_defaults_to_give_a_topic_gets_one_partition_and_one_replica() {
    // Kafka 2.3 and older.
    let broker = Broker::builder().nodes(3).versions(ApiKey::CREATE_TOPICS, 0..=3).start_in_memory().unwrap();
    let client = connect(&broker).await;
    client.admin().create_topic(NewTopic::new("t")).await.unwrap();
    assert_eq!((client.partition_count("t").await.unwrap(), client.replica_count("t").await.unwrap()), (1, 1));
    client.admin().create_topic(NewTopic::new("wide").partitions(4).replicas(3)).await.unwrap();
    assert_eq!((client.partition_count("wide").await.unwrap(), client.replica_count("wide").await.unwrap()), (4, 3));
    let asked = broker.decoded::<CreateTopicsRequest>().into_iter().flat_map(|request| request.topics);
    let asked: Vec<_> = asked.map(|topic| (topic.num_partitions, topic.replication_factor)).collect();
    assert_eq!(asked, [(1, 1), (4, 3)]);
    let error = client.admin().create_topic(NewTopic::new("none").partitions(0)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::INVALID_PARTITIONS), "a mistake is not made up for");
}

#[tokio::test(start_paused = true)]
async fn rk_225_a_topic_that_exists_is_an_error_and_does_not_fail_its_neighbours() {
    let broker = Broker::builder().topic("old", 1).start_in_memory().unwrap();
    let admin = connect(&broker).await.admin();
    let outcomes = admin.create_topics(["old", "new"].map(NewTopic::new), Validate::AndApply).await.unwrap();
    let codes: Vec<_> = outcomes.iter().map(|(_, result)| result.as_ref().err().and_then(klamm::Error::code)).collect();
    assert_eq!(codes, [Some(ErrorCode::TOPIC_ALREADY_EXISTS), None]);
    assert_eq!(broker.topics(), ["new", "old"]);
    admin.create_topics([NewTopic::new("tried")], Validate::Only).await.unwrap().remove(0).1.unwrap();
    assert_eq!(broker.topics(), ["new", "old"], "validate only");
}

#[tokio::test(start_paused = true)]
async fn rk_226_a_topic_can_be_written_to_as_soon_as_it_is_created() {
    let broker = Broker::builder().nodes(3).start_in_memory().unwrap();
    let client = connect(&broker).await;
    // Leaders are elected some time after the topic is there.
    broker.intercept_next(ApiKey::METADATA, 2, |_| {
        Intercept::edit::<klamm::protocol::messages::metadata::MetadataRequest>(|answer| {
            for partition in answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.leader_id = BrokerId(-1);
                partition.error_code = ErrorCode::LEADER_NOT_AVAILABLE;
            }
        })
    });
    client.admin().create_topic(NewTopic::new("t").partitions(6)).await.unwrap();
    let asked = broker.requests_of(ApiKey::METADATA).len();
    for partition in 0..6 {
        client.deliver(Record::new("t").partition(partition).value("x")).await.unwrap();
    }
    assert!(asked >= 3, "create returned before leaders were known");
}

#[tokio::test(start_paused = true)]
async fn rk_227_a_deleted_topic_is_gone_and_an_unknown_one_an_error() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    let client = connect(&broker).await;
    let outcomes = client.admin().delete_topics(["t", "missing"]).await.unwrap();
    assert!(outcomes[0].1.is_ok());
    assert_eq!(outcomes[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert!(!client.topics().await.unwrap().contains(&"t".into()));
}

#[tokio::test(start_paused = true)]
async fn rk_228_partitions_can_be_added_but_not_taken() {
    let broker = Broker::builder().topic("t", 3).start_in_memory().unwrap();
    let client = connect(&broker).await;
    client.deliver(Record::new("t").partition(2).value("x")).await.unwrap();
    client.admin().create_partitions("t", 10, Validate::AndApply).await.unwrap();
    client.deliver(Record::new("t").partition(9).value("x")).await.unwrap();
    assert_eq!(client.partition_count("t").await.unwrap(), 10);
    let error = client.admin().create_partitions("t", 3, Validate::AndApply).await.unwrap_err();
    assert_eq!((error.code(), error.topic()), (Some(ErrorCode::INVALID_PARTITIONS), Some("t")));
}

#[tokio::test(start_paused = true)]
async fn rk_229_one_setting_of_a_topic_is_described_as_text() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    let admin = connect(&broker).await.admin();
    let settings = admin.topic_configs("t", Some(&["retention.ms"])).await.unwrap();
    assert_eq!(settings.into_iter().collect::<Vec<_>>(), [("retention.ms".to_owned(), "604800000".to_owned())]);
    assert!(admin.topic_configs("t", None).await.unwrap().len() > 20);
    let error = admin.topic_configs("missing", None).await.unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some("missing")));
}

#[tokio::test(start_paused = true)]
async fn rk_230_settings_of_a_topic_are_altered_and_others_left_alone() {
    let broker = Broker::builder().nodes(3).topic("t", 1).start_in_memory().unwrap();
    broker.set_topic_config("t", "segment.bytes", Some("1000000"));
    let client = connect(&broker).await;
    let admin = client.admin();
    admin.alter_topic("t", [("retention.ms", "1000"), ("max.message.bytes", "2000")]).await.unwrap();
    let keys: &[&str] = &["max.message.bytes", "retention.ms", "segment.bytes"];
    let settings = admin.topic_configs("t", Some(keys)).await.unwrap();
    assert_eq!(settings.values().collect::<Vec<_>>(), ["2000", "1000", "1000000"], "what was not named stays");
    let error = client.deliver(Record::new("t").value(vec![b'x'; 3000])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge, "it is in force");

    let topic = ConfigResource::Topic("t".into());
    let changes = [
        ConfigChange::append("cleanup.policy", "compact"),
        ConfigChange::delete("retention.ms"),
        ConfigChange::set("segment.bytes", "2000000"),
    ];
    admin.alter_configs(&topic, changes.clone(), Validate::Only).await.unwrap();
    assert_eq!(admin.topic_configs("t", Some(keys)).await.unwrap(), settings, "only tried");
    admin.alter_configs(&topic, changes, Validate::AndApply).await.unwrap();
    admin.alter_configs(&topic, [ConfigChange::subtract("cleanup.policy", "delete")], Validate::AndApply).await.unwrap();
    let entries = admin.describe_configs(&topic, Some(&["cleanup.policy", "retention.ms"])).await.unwrap();
    let shown: Vec<_> = entries.iter().map(|entry| (entry.value.as_deref().unwrap(), entry.source, entry.is_default)).collect();
    assert_eq!(shown, [("compact", ConfigSource::Topic, false), ("604800000", ConfigSource::Default, true)]);

    let error = admin.alter_topic("t", [("no.such", "1")]).await.unwrap_err();
    assert_eq!((error.code(), error.topic()), (Some(ErrorCode::INVALID_CONFIG), Some("t")));
    assert!(error.to_string().contains("no.such"), "{error}");
    assert!(!format!("{:?}", ConfigChange::set("ssl.key.password", "secret")).contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_could_only_replace_a_whole_configuration_changes_nothing() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    broker.set_versions(ApiKey::INCREMENTAL_ALTER_CONFIGS, None);
    let admin = connect(&broker).await.admin();
    let error = admin.alter_topic("t", [("retention.ms", "1000")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedVersion);
    assert!(error.to_string().contains("older than Kafka 2.3") && error.to_string().contains("nothing was changed"), "{error}");
    assert!(broker.requests_of(ApiKey::ALTER_CONFIGS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn rk_233_a_broker_s_settings_are_described_and_altered() {
    let broker = Broker::builder().nodes(3).start_in_memory().unwrap();
    let admin = connect(&broker).await.admin();
    let entries = admin.broker_configs(BrokerId(2), Some(&["background.threads", "node.id"])).await.unwrap();
    let [threads, id] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((threads.name.as_str(), threads.value.as_deref()), ("background.threads", Some("10")));
    assert!(!threads.read_only && threads.is_default && !threads.sensitive);
    assert_eq!((id.value.as_deref(), id.read_only, id.source), (Some("2"), true, ConfigSource::Static));

    admin.alter_broker(BrokerId(2), [("background.threads", "12")]).await.unwrap();
    let threads = async |broker| {
        let entry = admin.broker_configs(broker, Some(&["background.threads"])).await.unwrap().remove(0);
        (entry.value.unwrap(), entry.source)
    };
    assert_eq!(threads(BrokerId(2)).await, ("12".into(), ConfigSource::Broker));
    assert_eq!(threads(BrokerId(3)).await, ("10".into(), ConfigSource::Default));
    admin.alter_configs(&ConfigResource::AllBrokers, [("background.threads", "14")], Validate::AndApply).await.unwrap();
    assert_eq!(threads(BrokerId(2)).await, ("12".into(), ConfigSource::Broker), "its own counts more");
    assert_eq!(threads(BrokerId(3)).await, ("14".into(), ConfigSource::AllBrokers));
    let error = admin.alter_broker(BrokerId(2), [("node.id", "7")]).await.unwrap_err();
    assert!(error.to_string().contains("broker 2") && error.to_string().contains("node.id"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn rk_231_the_list_has_new_topics_and_no_broken_ones() {
    let broker = Broker::builder().topic("t", 2).topic("broken", 1).start_in_memory().unwrap();
    broker.intercept_all(ApiKey::METADATA, |_| {
        Intercept::edit::<klamm::protocol::messages::metadata::MetadataRequest>(|answer| {
            let broken = answer.topics.iter_mut().find(|topic| topic.name.as_ref().is_some_and(|name| name.0 == "broken"));
            if let Some(broken) = broken {
                broken.error_code = ErrorCode::INVALID_TOPIC_EXCEPTION;
            }
        })
    });
    let listed = connect(&broker).await.admin().list_topics().await.unwrap();
    let shown: Vec<_> = listed.iter().map(|topic| (topic.name.as_str(), topic.partitions, topic.internal)).collect();
    assert_eq!(shown, [("t", 2, false)]);
}

#[tokio::test(start_paused = true)]
async fn rk_232_asking_for_a_topic_does_not_create_it() {
    let broker = Broker::builder().auto_create_topics(true).start_in_memory().unwrap();
    let client = connect(&broker).await;
    assert!(!client.has_topic("t").await.unwrap());
    assert!(broker.topics().is_empty());
    broker.create_topic("t", 1);
    assert!(client.has_topic("t").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn rk_234_the_time_limit_is_on_the_wire_and_ends_the_wait_for_leaders() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let admin = connect(&broker).await.admin().with_timeout(Duration::from_secs(30));
    admin.create_topic(NewTopic::new("t")).await.unwrap();
    assert_eq!(broker.decoded::<CreateTopicsRequest>()[0].timeout_ms, 30_000);
    broker.intercept_all(ApiKey::METADATA, |_| {
        Intercept::edit::<klamm::protocol::messages::metadata::MetadataRequest>(|answer| {
            answer.topics.iter_mut().for_each(|topic| topic.error_code = ErrorCode::LEADER_NOT_AVAILABLE);
        })
    });
    let start = tokio::time::Instant::now();
    let error = admin.create_topic(NewTopic::new("never")).await.unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::Timeout, Some("never")));
    assert!(start.elapsed() <= Duration::from_secs(31), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_moved_is_found() {
    let broker = Broker::builder().nodes(3).start_in_memory().unwrap();
    let admin = connect(&broker).await.admin();
    broker.intercept_next(ApiKey::CREATE_TOPICS, 2, |_| Intercept::Error(ErrorCode::NOT_CONTROLLER));
    admin.create_topic(NewTopic::new("t")).await.unwrap();
    assert_eq!(broker.requests_of(ApiKey::CREATE_TOPICS).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn names_that_kafka_refuses_are_refused_before_anything_is_sent() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let admin = connect(&broker).await.admin();
    let error = admin.create_topic(NewTopic::new("no blanks")).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::INVALID_TOPIC_EXCEPTION));
    assert!(error.to_string().contains("no blanks"), "{error}");
    let (_, described) = admin.describe_groups([""]).await.unwrap().remove(0);
    assert_eq!(described.unwrap_err().code(), Some(ErrorCode::INVALID_GROUP_ID));
    assert!(broker.requests_of(ApiKey::CREATE_TOPICS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn rk_235_to_238_groups_are_described_listed_once_and_their_offsets_told() {
    let broker = Broker::builder().nodes(3).topic("t", 2).start_in_memory().unwrap();
    let client = connect(&broker).await;
    for number in 0..6 {
        client.deliver(Record::new("t").partition(0).value(number.to_string())).await.unwrap();
    }
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    // The sixth record is in hand at the end: asking for it marked the fifth as processed.
    for _ in 0..6 {
        consumer.next().await.unwrap().unwrap();
    }
    let admin = client.admin();
    let (_, described) = admin.describe_groups(["g"]).await.unwrap().remove(0);
    let described = described.unwrap();
    assert_eq!((described.state.as_str(), described.protocol_type.as_str()), ("Stable", "consumer"));
    assert_eq!(described.protocol, "cooperative-sticky");
    let [member] = described.members.as_slice() else { panic!("{:?}", described.members) };
    assert!(!member.member_id.is_empty() && !member.host.is_empty());
    assert_eq!(member.client_id, "klamm");
    assert_eq!(member.assignment, [TopicPartition::new("t", 0), TopicPartition::new("t", 1)]);
    let listed = admin.list_groups().await.unwrap();
    assert_eq!(listed.iter().filter(|group| group.group_id == "g").count(), 1);

    consumer.close(Duration::from_secs(5)).await.unwrap();
    let (_, described) = admin.describe_groups(["g"]).await.unwrap().remove(0);
    let described = described.unwrap();
    assert_eq!((described.state.as_str(), described.members.len()), ("Empty", 0));
    let offsets = admin.group_offsets("g").await.unwrap();
    assert_eq!(offsets.len(), 1);
    assert_eq!((offsets[0].partition.clone(), offsets[0].committed), (TopicPartition::new("t", 0), 5));

    assert!(admin.group_offsets("unknown").await.unwrap().is_empty());
    let (_, described) = admin.describe_groups(["unknown"]).await.unwrap().remove(0);
    let described = described.unwrap();
    assert_eq!((described.state.as_str(), described.members.len()), ("Dead", 0));
}

#[tokio::test(start_paused = true)]
async fn rk_239_a_group_without_members_is_deleted_and_one_with_members_is_not() {
    let broker = Broker::builder().nodes(3).topic("t", 2).start_in_memory().unwrap();
    let client = connect(&broker).await;
    client.deliver(Record::new("t").partition(0).value("x")).await.unwrap();
    let mut consumer = client.consumer("busy").topics(["t"]).build().unwrap();
    consumer.next().await.unwrap().unwrap();
    broker.set_committed("idle", "t", 0, Some(5));
    let admin = client.admin();
    // The first answer comes from a broker that does not coordinate the group any more.
    broker.intercept_next(ApiKey::DELETE_GROUPS, 1, |_| Intercept::Error(ErrorCode::NOT_COORDINATOR));
    let outcomes = admin.delete_groups(["idle", "busy", "none"]).await.unwrap();
    let codes: Vec<_> = outcomes.iter().map(|(_, result)| result.as_ref().err().and_then(klamm::Error::code)).collect();
    assert_eq!(codes, [None, Some(ErrorCode::NON_EMPTY_GROUP), Some(ErrorCode::GROUP_ID_NOT_FOUND)]);
    let error = outcomes[1].1.as_ref().unwrap_err();
    assert!(error.to_string().contains("busy") && error.to_string().contains("stop them"), "{error}");
    assert_eq!(broker.group_state("idle"), None);
    assert!(admin.group_offsets("idle").await.unwrap().is_empty());
    assert_eq!(broker.group_members("busy").len(), 1);
    consumer.close(Duration::from_secs(5)).await.unwrap();
    admin.delete_groups(["busy"]).await.unwrap().remove(0).1.unwrap();
    assert!(admin.list_groups().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn offsets_of_a_group_are_deleted_unless_a_member_subscribes_to_the_topic() {
    let broker = Broker::builder().nodes(3).topic("t", 2).topic("old", 1).start_in_memory().unwrap();
    let client = connect(&broker).await;
    client.deliver(Record::new("t").partition(0).value("x")).await.unwrap();
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    consumer.next().await.unwrap().unwrap();
    broker.set_committed("g", "t", 1, Some(5));
    broker.set_committed("g", "old", 0, Some(7));
    let admin = client.admin();
    let partitions = || [TopicPartition::new("t", 1), TopicPartition::new("old", 0), TopicPartition::new("none", 0)];
    let outcomes = admin.delete_group_offsets("g", partitions()).await.unwrap();
    let codes: Vec<_> = outcomes.iter().map(|(_, result)| result.as_ref().err().and_then(klamm::Error::code)).collect();
    assert_eq!(codes, [Some(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC), None, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]);
    assert_eq!(outcomes[0].1.as_ref().unwrap_err().topic(), Some("t"));
    assert_eq!((broker.committed("g", "t", 1), broker.committed("g", "old", 0)), (Some(5), None));
    let error = admin.delete_group_offsets("none", partitions()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::GROUP_ID_NOT_FOUND));
}

#[tokio::test(start_paused = true)]
async fn offsets_are_listed_by_place_and_time_and_follow_leaders() {
    let broker = Broker::builder().nodes(3).topic("t", 3).start_in_memory().unwrap();
    let client = connect(&broker).await;
    for timestamp in [1000, 2000, 3000] {
        client.deliver(Record::new("t").partition(0).value("x").timestamp(timestamp)).await.unwrap();
    }
    let admin = client.admin();
    broker.move_leader("t", 0, 3);
    let partitions = || [TopicPartition::new("t", 0), TopicPartition::new("t", 1), TopicPartition::new("t", 9)];
    let mut offsets = Vec::new();
    for spec in [OffsetSpec::Beginning, OffsetSpec::End, OffsetSpec::Timestamp(1500), OffsetSpec::Timestamp(9999)] {
        let listed = admin.list_offsets(partitions(), spec).await.unwrap();
        assert_eq!(listed[2].1.as_ref().unwrap_err().kind(), ErrorKind::UnknownTopic);
        offsets.push((listed[0].1.as_ref().unwrap().offset, listed[1].1.as_ref().unwrap().offset));
    }
    assert_eq!(offsets, [(Some(0), Some(0)), (Some(3), Some(0)), (Some(1), None), (None, None)]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_without_a_leader_ends_with_a_time_out_that_says_why_and_the_others_are_answered() {
    let broker = Broker::builder().nodes(3).topic("t", 2).start_in_memory().unwrap();
    let client = connect(&broker).await;
    broker.remove_leader("t", 0);
    let admin = client.admin().with_timeout(Duration::from_secs(10));
    let partitions = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
    let start = tokio::time::Instant::now();
    let listed = admin.list_offsets(partitions, OffsetSpec::End).await.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(listed[1].1.as_ref().unwrap().offset, Some(0));
    let error = listed[0].1.as_ref().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Timeout, Some(ErrorCode::LEADER_NOT_AVAILABLE)), "{error:?}");
    assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
    assert!(error.attempts().unwrap() > 3 && std::error::Error::source(error).is_some(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn the_highest_time_is_not_asked_of_brokers_that_would_take_it_for_a_time() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    let client = connect(&broker).await;
    for timestamp in [1000, 3000, 2000] {
        client.deliver(Record::new("t").partition(0).value("x").timestamp(timestamp)).await.unwrap();
    }
    let admin = client.admin();
    let ask = async || admin.list_offsets([TopicPartition::new("t", 0)], OffsetSpec::MaxTimestamp).await.unwrap().remove(0).1;
    let listed = ask().await.unwrap();
    assert_eq!((listed.offset, listed.timestamp), (Some(1), Some(3000)));

    // Kafka 2.8: it would answer with the first record.
    broker.set_versions(ApiKey::LIST_OFFSETS, Some(0..=6));
    broker.close_connections(1);
    let error = ask().await.unwrap_err();
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::UnsupportedVersion, false));
    assert!(error.to_string().contains("ListOffsets") && error.to_string().contains("0 to 6"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_cluster_is_described() {
    let broker = Broker::builder().nodes(3).cluster_id("abc").rack(2, "r2").start_in_memory().unwrap();
    let client = connect(&broker).await;
    let described = client.admin().describe_cluster().await.unwrap();
    assert_eq!(described.cluster_id.as_deref(), Some("abc"));
    assert_eq!(described.brokers.len(), 3);
    assert_eq!(described.brokers[1].rack.as_deref(), Some("r2"));
    assert!(described.controller_id.is_some());
    let apis = client.admin().api_versions(Some(BrokerId(3))).await.unwrap();
    assert!(apis.iter().any(|api| api.api_key == ApiKey::FETCH.0 && api.max_version > 0));
    let error = client.admin().api_versions(Some(BrokerId(99))).await.unwrap_err();
    assert!(error.to_string().contains("no broker 99"), "{error}");
}
