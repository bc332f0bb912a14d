//! Assignors of the user's own (acceptance check RK-124).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use klamm::consumer::assignor::{Assignor, MemberId, RebalanceProtocol, Subscription};
use klamm::{Error, ErrorKind, Result, Topic, TopicPartition};

use super::*;

/// What an assignment was made of.
type Seen = Arc<Mutex<Vec<BTreeSet<String>>>>;

/// Gives everything to the member whose user data says "me".
#[derive(Debug)]
struct ToOne {
    says: &'static str,
    seen: Seen,
    fails: fn() -> Result<()>,
}

impl ToOne {
    fn that(says: &'static str, seen: &Seen) -> Arc<dyn Assignor> {
        Arc::new(Self { says, seen: seen.clone(), fails: || Ok(()) })
    }
}

impl Assignor for ToOne {
    fn name(&self) -> &str {
        "to-one"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn user_data(&self, _: &[Topic], _: &[TopicPartition], _: Option<i32>) -> Option<Bytes> {
        Some(Bytes::from_static(self.says.as_bytes()))
    }

    fn assign(
        &self,
        topics: &BTreeMap<Topic, i32>,
        members: &BTreeMap<MemberId, Subscription>,
    ) -> Result<BTreeMap<MemberId, Vec<TopicPartition>>> {
        (self.fails)()?;
        let says = |member: &Subscription| String::from_utf8_lossy(member.user_data.as_deref().unwrap_or_default()).into_owned();
        self.seen.lock().unwrap().push(members.values().map(says).collect());
        let all = topics.iter().flat_map(|(topic, &count)| (0..count).map(move |number| TopicPartition::new(topic, number)));
        let all: Vec<TopicPartition> = all.collect();
        let chosen = members.iter().filter(|(_, member)| says(member) == "me");
        Ok(chosen.map(|(id, _)| (id.clone(), all.clone())).collect())
    }
}

/// Runs a member by itself until it is told to stop.
fn run(mut consumer: Consumer) -> (klamm::consumer::ConsumerHandle, tokio::task::JoinHandle<Result<Vec<i64>>>) {
    let handle = consumer.handle();
    let task = tokio::spawn(async move {
        let mut offsets = Vec::new();
        while let Some(message) = consumer.next().await? {
            offsets.push(message.offset);
        }
        Ok(offsets)
    });
    (handle, task)
}

#[tokio::test(start_paused = true)]
async fn rk_124_a_strategy_of_one_s_own_gives_all_to_one_and_sees_the_user_data_of_all() {
    let (broker, client) = start(Broker::builder().topic("t", 4)).await;
    let seen = Seen::default();
    let build = |says| member(&client).assignors([ToOne::that(says, &seen)]).build().unwrap();
    // The first to come leads, and it is not the chosen one.
    let members = [run(build("not me")), run(build("me")), run(build("nor me"))];
    tokio::time::sleep(30 * SECOND).await;
    let owned: Vec<usize> = members.iter().map(|(handle, _)| handle.assignment().len()).collect();
    assert_eq!(owned, [0, 4, 0]);
    assert_eq!(broker.group_protocol("g").as_deref(), Some("to-one"));
    let last = seen.lock().unwrap().last().cloned().expect("an assignment");
    assert_eq!(last, ["me", "not me", "nor me"].map(String::from).into());
    for partition in 0..4 {
        append(&broker, partition, 0..5);
    }
    tokio::time::sleep(5 * SECOND).await;
    let mut counts = Vec::new();
    for (handle, task) in members {
        handle.stop();
        counts.push(task.await.unwrap().unwrap().len());
    }
    assert_eq!(counts, [0, 20, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_assignor_that_fails_or_panics_fails_the_leader_alone_with_its_words() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    append(&broker, 0, 0..1);
    let causes: [(fn() -> Result<()>, &str); 2] = [
        (|| Err(Error::new(ErrorKind::InvalidRequest, "no machine is large enough")), "no machine is large enough"),
        (|| panic!("out of cheese"), "it panicked: out of cheese"),
    ];
    for (fails, words) in causes {
        let assignor = Arc::new(ToOne { says: "me", seen: Seen::default(), fails });
        let mut leader = member(&client).assignors([assignor as _]).build().unwrap();
        let error = timeout(60 * SECOND, leader.next()).await.expect("soon").unwrap_err();
        assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::Processing, true));
        assert!(error.to_string().contains("to-one"), "{error}");
        assert!(format!("{error:?}").contains(words), "{error:?}");
        drop(leader);
        // Everything else goes on: another member of the same client takes over.
        tokio::time::sleep(60 * SECOND).await;
        let mut other = member(&client).assignors([ToOne::that("me", &Seen::default())]).build().unwrap();
        assert_eq!(next(&mut other).await.offset, 0);
        drop(other);
        tokio::time::sleep(SECOND).await;
    }
}
