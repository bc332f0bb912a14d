//! What members of groups subscribe to and how it is shared out, where that is the user's own: patterns and strategies; and what is
//! said to members that a group refuses (acceptance checks RK-124 to RK-126).
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use klamm::admin::NewTopic;
use klamm::consumer::ConsumerBuilder;
use klamm::consumer::assignor::{Assignor, MemberId, RangeAssignor, RoundRobinAssignor, Subscription};
use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use klamm::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use klamm::protocol::{ErrorCode, GroupId, Str};
use klamm::{Client, Error, ErrorKind, Record, Result, Route, Topic, TopicPartition};
use klamm_real::{Member, OtherClient, PeerMember, bootstrap, connect, create, fill, member, new_topic, unique, wait_until};

/// Gives everything to the member whose user data says "me", and notes what all say.
#[derive(Debug)]
struct ToOne {
    says: &'static str,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

impl Assignor for ToOne {
    fn name(&self) -> &str {
        "to-one"
    }

    fn user_data(&self, _: &[Topic], _: &[TopicPartition], _: Option<i32>) -> Option<Bytes> {
        Some(Bytes::from_static(self.says.as_bytes()))
    }

    fn assign(
        &self,
        topics: &BTreeMap<Topic, i32>,
        members: &BTreeMap<MemberId, Subscription>,
    ) -> Result<BTreeMap<MemberId, Vec<TopicPartition>>> {
        let says = |member: &Subscription| String::from_utf8_lossy(member.user_data.as_deref().unwrap_or_default()).into_owned();
        *self.seen.lock().expect("no panic under it") = members.values().map(says).collect();
        let all = topics.iter().flat_map(|(topic, &count)| (0..count).map(move |number| TopicPartition::new(topic, number)));
        let all: Vec<TopicPartition> = all.collect();
        Ok(members.iter().filter(|(_, member)| says(member) == "me").map(|(id, _)| (id.clone(), all.clone())).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_124_a_strategy_of_one_s_own_gives_all_to_one_member_and_sees_the_user_data_of_all() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "to-one", 4).await, unique("group"));
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let start = |says| {
        let assignor = Arc::new(ToOne { says, seen: seen.clone() });
        Member::start(member(&client, &group, &[&topic]).assignors([assignor as _]))
    };
    // The first to come leads, and is not the chosen one.
    let first = start("not me");
    wait_until("the first leads", || seen.lock().expect("no panic under it").len() == 1).await;
    let (chosen, third) = (start("me"), start("nor me"));
    wait_until("the chosen one has all, and all are there", || {
        chosen.owned() == 4 && seen.lock().expect("no panic under it").len() == 3
    })
    .await;
    assert_eq!((first.owned(), third.owned()), (0, 0));
    assert_eq!(*seen.lock().expect("no panic under it"), ["me", "nor me", "not me"].map(String::from).into());
    let described = client.admin().describe_groups([group.as_str()]).await.expect("an answer").remove(0).1.expect("described");
    assert_eq!((described.protocol.as_str(), described.members.len()), ("to-one", 3));
    fill(&client, &topic, 4, 0, 100).await;
    wait_until("all is seen", || chosen.count() == 100).await;
    assert_eq!((first.stop().await.len(), third.stop().await.len(), chosen.stop().await.len()), (0, 0, 100));
}

/// A builder with short times for topics that match, looked through every `interval`.
fn matching(client: &Client, group: &str, pattern: &str, interval: Duration) -> ConsumerBuilder {
    member(client, group, &[]).topics_matching(pattern).refresh_topic_interval(interval)
}

async fn write(client: &Client, topic: &str) {
    client.deliver(Record::new(topic).value(topic.to_owned())).await.expect("delivered");
}

fn topics_of(member: &Member) -> BTreeSet<String> {
    member.seen().iter().map(|message| message.topic.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_125_topics_that_match_the_pattern_are_consumed_and_others_not() {
    let client = connect(&bootstrap()).await;
    let orders = unique("orders");
    let (a, b, other) = (format!("{orders}.a"), format!("{orders}.b"), format!("other.{orders}.c"));
    for topic in [&a, &b, &other] {
        create(&client, NewTopic::new(topic.as_str()).partitions(1)).await;
        write(&client, topic).await;
    }
    let running = Member::start(matching(&client, &unique("group"), &format!(r"^{orders}\."), Duration::from_secs(60)));
    wait_until("both are seen", || running.count() >= 2).await;
    // Time for the other one's record, were it consumed.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(running.owned(), 2);
    assert_eq!(topics_of(&running), [a, b].into());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_126_a_topic_that_is_created_later_is_found_at_the_interval_or_never_with_zero() {
    let client = connect(&bootstrap()).await;
    let orders = unique("orders");
    let (pattern, a, c) = (format!(r"^{orders}\."), format!("{orders}.a"), format!("{orders}.c"));
    create(&client, NewTopic::new(a.as_str()).partitions(1)).await;
    write(&client, &a).await;
    let often = Member::start(matching(&client, &unique("group"), &pattern, Duration::from_secs(1)));
    let group = unique("group");
    let once = Member::start(matching(&client, &group, &pattern, Duration::ZERO));
    wait_until("the first topic is seen by both", || often.count() == 1 && once.count() == 1).await;
    create(&client, NewTopic::new(c.as_str()).partitions(1)).await;
    write(&client, &c).await;
    let took = wait_until("the new topic's record has come", || topics_of(&often).contains(&c)).await;
    println!("the new topic's record came after {took:?}");
    // Ten times of what is asked for, on a wall clock; `wait_until` ends before.
    assert!(took < Duration::from_secs(100), "{took:?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((once.owned(), topics_of(&once)), (1, [a.clone()].into()), "with 0, never");
    once.stop().await;
    let again = Member::start(matching(&client, &group, &pattern, Duration::ZERO));
    wait_until("a restart finds it", || topics_of(&again) == [c.clone()].into()).await;
    again.stop().await;

    // And a topic that is deleted leaves, while the other goes on.
    client.admin().delete_topics([c.as_str()]).await.expect("an answer").remove(0).1.expect("deleted");
    wait_until("it is given up", || often.owned() == 1).await;
    write(&client, &a).await;
    wait_until("the other goes on", || often.count() == 3).await;
    often.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_a_pattern_shares_with_a_member_of_java() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "by-pattern", 6).await, unique("group"));
    let klamm = Member::start(matching(&client, &group, &format!("^{topic}$"), Duration::from_secs(1)));
    wait_until("klamm has all", || klamm.owned() == 6).await;
    let java = PeerMember::start(OtherClient::Java, &bootstrap(), &group, &topic, "cooperative-sticky");
    wait_until("3 and 3", || klamm.owned() == 3 && java.owned() == 3).await;
    fill(&client, &topic, 6, 0, 120).await;
    wait_until("all is seen", || klamm.count() + java.places().len() >= 120).await;
    assert_eq!((klamm.count(), java.stop().await.len()), (60, 60));
    klamm.stop().await;
}

/// The error of a member that its group refuses.
async fn refused(builder: ConsumerBuilder) -> Error {
    let mut consumer = builder.build().expect("a consumer");
    let result = tokio::time::timeout(Duration::from_secs(60), consumer.next()).await.expect("it is told");
    let error = result.expect_err("refused");
    println!("{error}");
    assert!(error.is_fatal(), "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_common_assignor_is_told_what_the_group_uses() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "strategies", 1).await, unique("group"));
    let first = Member::start(member(&client, &group, &[&topic]).assignors([Arc::new(RangeAssignor) as _]));
    wait_until("the first has all", || first.owned() == 1).await;
    let error = refused(member(&client, &group, &[&topic]).assignors([Arc::new(RoundRobinAssignor) as _])).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Group, Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)));
    for words in [&*group, "uses the assignor \"range\"", "[\"roundrobin\"]", "klamm-real"] {
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_another_protocol_type_is_said_to_be_in_use_for_something_else() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "types", 1).await, unique("group"));
    let text = |text: &str| Str::try_from(text).expect("short");
    let mut join = JoinGroupRequest {
        group_id: GroupId(text(&group)),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: text("connect"),
        protocols: vec![JoinGroupRequestProtocol { name: text("default"), metadata: Bytes::from_static(b"x") }],
        ..JoinGroupRequest::default()
    };
    let route = || Route::Group(group.clone());
    let given = client.request(join.clone(), route()).await.expect("an answer");
    assert_eq!(given.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    join.member_id = given.member_id;
    let joined = client.request(join, route()).await.expect("an answer");
    assert_eq!(joined.error_code, ErrorCode::NONE, "{joined:?}");
    let sync = SyncGroupRequest {
        group_id: GroupId(text(&group)),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: Some(text("connect")),
        protocol_name: Some(text("default")),
        assignments: vec![SyncGroupRequestAssignment { member_id: joined.member_id, assignment: Bytes::from_static(b"y") }],
        ..SyncGroupRequest::default()
    };
    assert_eq!(client.request(sync, route()).await.expect("an answer").error_code, ErrorCode::NONE);

    let error = refused(member(&client, &group, &[&topic])).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Group, Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)));
    for words in [&*group, "type \"connect\", not \"consumer\"", "another group.id"] {
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_time_out_that_the_broker_does_not_allow_is_an_error_with_its_limits() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "session", 1).await;
    let limits = ["group.min.session.timeout.ms", "group.max.session.timeout.ms"];
    let broker = client.brokers().await.expect("brokers")[0].id;
    let limits = client.admin().broker_configs(broker, Some(&limits)).await.expect("settings");
    let value =
        |name: &str| limits.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.clone()).expect("a limit");
    let (min, max) = (value("group.min.session.timeout.ms"), value("group.max.session.timeout.ms"));
    // Below and above what any broker of the tests allows.
    for session in [Duration::from_millis(500), Duration::from_secs(3 * 3600)] {
        let builder = member(&client, &unique("group"), &[&topic]).session_timeout(session);
        let error = refused(builder.heartbeat_interval(Duration::from_millis(100))).await;
        assert_eq!((error.kind(), error.code()), (ErrorKind::Group, Some(ErrorCode::INVALID_SESSION_TIMEOUT)));
        for words in [session.as_millis().to_string(), format!("{min} to {max}")] {
            assert!(error.to_string().contains(&words), "{words}: {error}");
        }
    }
}
