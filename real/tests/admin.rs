//! Topics, configurations and groups administered on Apache Kafka (acceptance checks S and T).
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use klamm::admin::{Admin, ConfigChange, ConfigResource, ConfigSource, GroupDescription, NewTopic, Validate};
use klamm::protocol::{BrokerId, ErrorCode};
use klamm::{Client, Error, Record, Topic, TopicPartition};
use klamm_real::{Member, bootstrap, cluster_bootstrap, connect, create, member, new_topic, read_all, unique, wait_until};

/// What is promised within seconds gets ten times as long on a wall clock.
const LIMIT: Duration = Duration::from_secs(50);

/// Asks again until `look` has found something.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            println!("{what}: after {:?}", start.elapsed());
            return found;
        }
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A topic's settings of these names, as `name=value`; brokers hear of changes some moments later.
async fn settings(admin: &Admin, topic: &str, keys: &[&str]) -> Vec<String> {
    let found = admin.topic_configs(topic, Some(keys)).await.expect("settings");
    found.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

async fn describe(admin: &Admin, group: &str) -> GroupDescription {
    admin.describe_groups([group]).await.expect("an answer").remove(0).1.expect("a description")
}

async fn topics(client: &Client) -> Vec<Topic> {
    client.topics().await.expect("topics")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_224_a_topic_is_created_with_partitions_and_configuration_and_defaults_are_one() {
    let client = connect(&bootstrap()).await;
    let admin = client.admin();
    let compacted = unique("compacted");
    create(&client, NewTopic::new(compacted.as_str()).partitions(3).config("cleanup.policy", "compact")).await;
    assert_eq!(client.partition_count(compacted.as_str()).await.expect("a count"), 3);
    assert_eq!(settings(&admin, &compacted, &["cleanup.policy"]).await, ["cleanup.policy=compact"]);

    let plain = unique("plain");
    create(&client, NewTopic::new(plain.as_str())).await;
    assert_eq!(client.partition_count(plain.as_str()).await.expect("a count"), 1);
    assert_eq!(client.replica_count(plain.as_str()).await.expect("a count"), 1);
    assert_eq!(settings(&admin, &plain, &["cleanup.policy"]).await, ["cleanup.policy=delete"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_225_creating_a_topic_that_exists_is_an_error() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "twice", 1).await;
    let error = client.admin().create_topic(NewTopic::new(topic.as_str())).await.expect_err("it exists");
    assert_eq!((error.code(), error.topic()), (Some(ErrorCode::TOPIC_ALREADY_EXISTS), Some(&*topic)), "{error:?}");
    assert_eq!(ErrorCode::TOPIC_ALREADY_EXISTS.0, 36);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_226_every_partition_can_be_written_to_when_create_returns() {
    let client = connect(&cluster_bootstrap()).await;
    for _ in 0..3 {
        let topic = unique("at-once");
        create(&client, NewTopic::new(topic.as_str()).partitions(9).replicas(3)).await;
        let producer = client.producer().max_block(Duration::from_secs(1)).build().expect("a producer");
        for partition in 0..9 {
            producer.send(Record::new(topic.as_str()).partition(partition).value("x")).await.expect("written at once");
        }
        assert_eq!(read_all(&client, &topic).await.len(), 9);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_227_a_deleted_topic_leaves_the_list_and_an_unknown_one_is_an_error() {
    let client = connect(&cluster_bootstrap()).await;
    let (topic, missing) = (unique("deleted"), unique("missing"));
    create(&client, NewTopic::new(topic.as_str()).partitions(3).replicas(3)).await;
    assert!(topics(&client).await.contains(&topic.as_str().into()));
    let outcomes = client.admin().delete_topics([topic.as_str(), &missing]).await.expect("an answer");
    assert!(outcomes[0].1.is_ok(), "{outcomes:?}");
    let error = outcomes[1].1.as_ref().expect_err("there is no such topic");
    assert_eq!((error.code(), error.topic()), (Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), Some(&*missing)), "{error:?}");
    until("it is gone from the list", async || (!topics(&client).await.contains(&topic.as_str().into())).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_228_partitions_become_more_and_never_fewer() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "grows", 3).await;
    let admin = client.admin();
    admin.create_partitions(topic.as_str(), 10, Validate::AndApply).await.expect("raised");
    assert_eq!(client.partition_count(topic.as_str()).await.expect("a count"), 10);
    for total in [10, 3, 1] {
        let error = admin.create_partitions(topic.as_str(), total, Validate::AndApply).await.expect_err("no more than before");
        assert_eq!((error.code(), error.topic()), (Some(ErrorCode::INVALID_PARTITIONS), Some(&*topic)), "{error:?}");
        // In the broker's own words.
        assert!(error.to_string().contains("10 partition"), "{error}");
    }
    assert_eq!(ErrorCode::INVALID_PARTITIONS.0, 37);
    assert_eq!(client.partition_count(topic.as_str()).await.expect("a count"), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_229_one_setting_of_a_topic_is_described_alone_as_text() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "described", 1).await;
    let admin = client.admin();
    let found = admin.topic_configs(topic.as_str(), Some(&["retention.ms"])).await.expect("settings");
    assert_eq!(found.keys().collect::<Vec<_>>(), ["retention.ms"]);
    assert!(found["retention.ms"].parse::<i64>().is_ok(), "{found:?}");
    let all = admin.topic_configs(topic.as_str(), None).await.expect("settings");
    assert!(all.len() > 20 && all.contains_key("cleanup.policy"), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_230_settings_of_a_topic_are_altered_and_those_not_named_stay() {
    let client = connect(&cluster_bootstrap()).await;
    let (topic, admin) = (unique("altered"), client.admin());
    create(&client, NewTopic::new(topic.as_str()).replicas(3).config("segment.bytes", "2000000")).await;
    admin.alter_topic(topic.as_str(), [("retention.ms", "123456"), ("max.message.bytes", "54321")]).await.expect("altered");
    let keys = ["max.message.bytes", "retention.ms", "segment.bytes"];
    let wanted = ["max.message.bytes=54321", "retention.ms=123456", "segment.bytes=2000000"];
    until("both read back", async || (settings(&admin, &topic, &keys).await == wanted).then_some(())).await;

    let resource = ConfigResource::Topic(topic.as_str().into());
    let changes = [ConfigChange::delete("retention.ms"), ConfigChange::append("cleanup.policy", "compact")];
    admin.alter_configs(&resource, changes.clone(), Validate::Only).await.expect("it could be");
    assert_eq!(settings(&admin, &topic, &keys).await, wanted, "only tried");
    admin.alter_configs(&resource, changes, Validate::AndApply).await.expect("altered");
    let policy = until("the list has one item more", async || {
        let entries = admin.describe_configs(&resource, Some(&["cleanup.policy", "retention.ms"])).await.expect("settings");
        let policy = entries.iter().find(|entry| entry.name == "cleanup.policy").expect("the policy").clone();
        let retention = entries.iter().find(|entry| entry.name == "retention.ms").expect("the retention");
        (policy.source == ConfigSource::Topic && retention.source != ConfigSource::Topic).then_some(policy)
    })
    .await;
    assert_eq!(policy.value.as_deref(), Some("delete,compact"));
    admin
        .alter_configs(&resource, [ConfigChange::subtract("cleanup.policy", "delete")], Validate::AndApply)
        .await
        .expect("altered");
    until("and one less", async || {
        (settings(&admin, &topic, &["cleanup.policy"]).await == ["cleanup.policy=compact"]).then_some(())
    })
    .await;

    let refused = async |changes: Vec<ConfigChange>| {
        let error = admin.alter_topic(topic.as_str(), changes).await.expect_err("refused");
        assert_eq!(error.topic(), Some(&*topic), "{error:?}");
        println!("{error}");
        error
    };
    let fine = ConfigChange::set("retention.ms", "1");
    let error = refused(vec![fine.clone(), ConfigChange::set("no.such", "1")]).await;
    assert!(error.code() == Some(ErrorCode::INVALID_CONFIG) && error.to_string().contains("no.such"), "{error:?}");
    let error = refused(vec![fine, ConfigChange::set("max.message.bytes", "many")]).await;
    assert!(error.to_string().contains("max.message.bytes"), "{error}");
    assert_ne!(settings(&admin, &topic, &["retention.ms"]).await, ["retention.ms=1"], "all of a call or nothing");
    let error = admin.alter_topic(unique("missing"), [("retention.ms", "1")]).await.expect_err("there is no such topic");
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_231_new_topics_are_in_the_list_and_what_is_listed_is_not_broken() {
    let client = connect(&bootstrap()).await;
    let (first, second) = (new_topic(&client, "listed", 2).await, new_topic(&client, "listed", 1).await);
    let listed = client.admin().list_topics().await.expect("topics");
    for (name, partitions) in [(&first, 2), (&second, 1)] {
        let found = listed.iter().find(|topic| topic.name.as_str() == name).expect("it is listed");
        assert_eq!((found.partitions, found.internal), (partitions, false));
        assert!(found.topic_id.is_some());
    }
    // Kafka has no way to break a topic as a whole: that one which has an error is left out is shown on the embedded broker. One that
    // is being deleted is the nearest to it.
    client.admin().delete_topics([first.as_str()]).await.expect("an answer").remove(0).1.expect("deleted");
    until("it is gone", async || (!topics(&client).await.contains(&first.as_str().into())).then_some(())).await;
    assert!(topics(&client).await.contains(&second.as_str().into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_232_asking_for_a_missing_topic_says_no_and_does_not_create_it() {
    // This broker creates topics that are asked for, if the client lets it.
    let client = Client::builder(bootstrap()).allow_auto_create_topics(true).connect().await.expect("a broker");
    let missing = unique("not-there");
    for _ in 0..3 {
        assert!(!client.has_topic(missing.as_str()).await.expect("an answer"));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!topics(&client).await.contains(&missing.as_str().into()));
    let there = new_topic(&client, "there", 1).await;
    assert!(client.has_topic(there.as_str()).await.expect("an answer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_233_a_setting_of_a_broker_is_described_and_altered() {
    let client = connect(&bootstrap()).await;
    let admin = client.admin();
    let broker = client.brokers().await.expect("brokers")[0].id;
    let threads = async || {
        let mut entries = admin.broker_configs(broker, Some(&["background.threads"])).await.expect("settings");
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    };
    let entry = threads().await;
    assert_eq!((entry.name.as_str(), entry.value.as_deref()), ("background.threads", Some("10")));
    assert_eq!((entry.read_only, entry.is_default, entry.sensitive), (false, true, false), "{entry:?}");
    let id = admin.broker_configs(broker, Some(&["node.id"])).await.expect("settings").remove(0);
    assert_eq!((id.value, id.read_only, id.is_default), (Some(broker.0.to_string()), true, false));

    admin.alter_broker(broker, [("background.threads", "11")]).await.expect("altered");
    until("the broker has one thread more", async || {
        let entry = threads().await;
        (entry.value.as_deref() == Some("11") && entry.source == ConfigSource::Broker).then_some(())
    })
    .await;
    let back = [ConfigChange::delete("background.threads")];
    admin.alter_configs(&ConfigResource::Broker(broker), back, Validate::AndApply).await.expect("altered");
    until("and has it no more", async || (threads().await.source == ConfigSource::Default).then_some(())).await;
    let error = admin.alter_broker(broker, [("node.id", "7")]).await.expect_err("it cannot be changed");
    assert!(error.to_string().contains("node.id"), "{error}");
    let error = admin.broker_configs(BrokerId(99), None).await.expect_err("there is no such broker");
    assert!(error.to_string().contains("no broker 99"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_235_an_active_group_is_described_with_its_member_and_what_that_has() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "active", 3).await, unique("group"));
    let running = Member::start(member(&client, &group, &[&topic]));
    wait_until("it has all", || running.owned() == 3).await;
    let described = describe(&client.admin(), &group).await;
    assert_eq!((described.group_id.as_str(), described.state.as_str()), (&*group, "Stable"));
    assert_eq!((described.protocol_type.as_str(), described.protocol.as_str()), ("consumer", "cooperative-sticky"));
    let [member] = described.members.as_slice() else { panic!("{:?}", described.members) };
    assert!(member.member_id.starts_with("klamm-real-") && member.host.starts_with('/'), "{member:?}");
    assert_eq!(member.client_id, "klamm-real");
    assert_eq!(member.assignment, [0, 1, 2].map(|partition| TopicPartition::new(topic.as_str(), partition)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_236_an_unknown_group_is_dead_and_one_without_members_empty() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "inactive", 1).await, unique("group"));
    let unknown = describe(&client.admin(), &unique("nobody")).await;
    assert_eq!((unknown.state.as_str(), unknown.members.len()), ("Dead", 0));
    let running = Member::start(member(&client, &group, &[&topic]));
    wait_until("it has all", || running.owned() == 1).await;
    running.stop().await;
    let inactive = describe(&client.admin(), &group).await;
    assert_eq!((inactive.state.as_str(), inactive.members.len()), ("Empty", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_237_a_group_is_listed_once_also_with_three_brokers() {
    for addresses in [bootstrap(), cluster_bootstrap()] {
        let client = connect(&addresses).await;
        let (topic, group) = (new_topic(&client, "listed", 1).await, unique("group"));
        let running = Member::start(member(&client, &group, &[&topic]));
        wait_until("it has all", || running.owned() == 1).await;
        let listed = client.admin().list_groups().await.expect("groups");
        let found: Vec<_> = listed.iter().filter(|listing| listing.group_id == group).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].protocol_type.as_str(), found[0].state.as_deref()), ("consumer", Some("Stable")));
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_238_what_a_group_committed_is_told_and_nothing_of_an_unknown_one() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "committed", 2).await, unique("group"));
    for number in 0..5 {
        client.deliver(Record::new(topic.as_str()).partition(0).value(number.to_string())).await.expect("delivered");
    }
    let running = Member::start(member(&client, &group, &[&topic]));
    wait_until("all is seen", || running.count() == 5).await;
    running.stop().await;
    let offsets = client.admin().group_offsets(&group).await.expect("offsets");
    let offsets: Vec<_> = offsets.iter().map(|offset| (offset.partition.clone(), offset.committed)).collect();
    assert_eq!(offsets, [(TopicPartition::new(topic.as_str(), 0), 5)]);
    assert!(client.admin().group_offsets(&unique("nobody")).await.expect("an answer").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_239_a_group_without_members_is_deleted_and_one_with_members_is_not() {
    let client = connect(&cluster_bootstrap()).await;
    let (topic, group) = (new_topic(&client, "delete", 1).await, unique("group"));
    client.deliver(Record::new(topic.as_str()).value("x")).await.expect("delivered");
    let running = Member::start(member(&client, &group, &[&topic]));
    wait_until("it is seen", || running.count() == 1).await;
    let admin = client.admin();
    let delete = async || admin.delete_groups([group.as_str()]).await.expect("an answer").remove(0).1;
    let error = delete().await.expect_err("it has a member");
    assert_eq!(error.code(), Some(ErrorCode::NON_EMPTY_GROUP), "{error:?}");
    assert!(error.to_string().contains(&group), "{error}");
    running.stop().await;
    assert_eq!(admin.group_offsets(&group).await.expect("offsets").len(), 1);
    delete().await.expect("deleted");
    assert!(admin.group_offsets(&group).await.expect("an answer").is_empty());
    assert_eq!(describe(&admin, &group).await.state, "Dead");
    assert!(admin.list_groups().await.expect("groups").iter().all(|listing| listing.group_id != group));
    assert_eq!(delete().await.expect_err("it is gone").code(), Some(ErrorCode::GROUP_ID_NOT_FOUND));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_group_are_deleted_where_no_member_subscribes() {
    let client = connect(&bootstrap()).await;
    let (old, new, group) = (new_topic(&client, "old", 1).await, new_topic(&client, "new", 1).await, unique("group"));
    for topic in [&old, &new] {
        client.deliver(Record::new(topic.as_str()).value("x")).await.expect("delivered");
    }
    let both = Member::start(member(&client, &group, &[&old, &new]));
    wait_until("both are seen", || both.count() == 2).await;
    both.stop().await;
    let running = Member::start(member(&client, &group, &[&new]));
    wait_until("it has the partition", || running.owned() == 1).await;
    let admin = client.admin();
    let partitions = [&old, &new].map(|topic| TopicPartition::new(topic.as_str(), 0));
    let outcomes = admin.delete_group_offsets(&group, partitions).await.expect("an answer");
    let codes: Vec<_> = outcomes.iter().map(|(_, result)| result.as_ref().err().and_then(Error::code)).collect();
    assert_eq!(codes, [None, Some(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC)]);
    let left = admin.group_offsets(&group).await.expect("offsets");
    assert!(left.iter().all(|offset| offset.partition.topic.as_str() == new) && left.len() == 1, "{left:?}");
    running.stop().await;
}
