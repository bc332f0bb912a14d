//! Groups on Apache Kafka: who gets what, and hand-overs (acceptance checks J and N). Groups of several clients: `mixed_groups.rs`.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use klamm::admin::GroupDescription;
use klamm::consumer::assignor::{Assignor, CooperativeStickyAssignor, RangeAssignor};
use klamm::protocol::ApiKey;
use klamm::{Client, Record};
use klamm_real::{
    Member, Node, Place, Tap, all_places as all, bootstrap, cluster_bootstrap, connect, fill, member, new_replicated_topic,
    new_topic, places, seeds, together, unique, wait_until,
};

async fn describe(client: &Client, group: &str) -> GroupDescription {
    client.admin().describe_groups([group]).await.expect("an answer").remove(0).1.expect("a description")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_114_a_new_group_sees_every_record_once() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "thousand", 3).await, unique("group"));
    fill(&client, &topic, 3, 0, 1000).await;
    let member = Member::start(member(&client, &group, &[&topic]));
    wait_until("1000 records are seen", || member.count() >= 1000).await;
    // Time for a second delivery, were there one.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let seen = member.stop().await;
    let values: BTreeSet<String> =
        seen.iter().map(|message| String::from_utf8_lossy(message.value.as_deref().unwrap()).into()).collect();
    assert_eq!(seen.len(), 1000);
    assert_eq!(values, (0..1000).map(|number| number.to_string()).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_115_two_members_share_six_partitions_and_see_every_record_once() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "shared", 6).await, unique("group"));
    let other = connect(&bootstrap()).await;
    let members = [Member::start(member(&client, &group, &[&topic])), Member::start(member(&other, &group, &[&topic]))];
    wait_until("each has three partitions", || members.iter().all(|member| member.owned() == 3)).await;
    fill(&client, &topic, 6, 0, 1000).await;
    wait_until("1000 records are seen", || members.iter().map(Member::count).sum::<usize>() >= 1000).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let [first, second] = members;
    let (first, second) = (first.stop().await, second.stop().await);
    for seen in [&first, &second] {
        let partitions: BTreeSet<i32> = seen.iter().map(|message| message.partition).collect();
        assert_eq!(partitions.len(), 3, "{partitions:?}");
    }
    let seen = together([places(&first), places(&second)]);
    let wanted: Vec<Place> =
        (0..6).flat_map(|partition| (0..if partition < 4 { 167 } else { 166 }).map(move |offset| (partition, offset))).collect();
    assert_eq!(seen, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_inside_one_client_balance_and_rebalance() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "inside", 6).await, unique("group"));
    let mut members = vec![Member::start(member(&client, &group, &[&topic])), Member::start(member(&client, &group, &[&topic]))];
    wait_until("3 and 3", || members.iter().all(|member| member.owned() == 3)).await;
    fill(&client, &topic, 6, 0, 300).await;
    members.push(Member::start(member(&client, &group, &[&topic])));
    wait_until("2, 2 and 2", || members.iter().all(|member| member.owned() == 2)).await;
    let group_now = describe(&client, &group).await;
    assert_eq!((group_now.state.as_str(), group_now.members.len()), ("Stable", 3));
    assert!(group_now.members.iter().all(|member| member.client_id == "klamm-real"), "{group_now:?}");
    fill(&client, &topic, 6, 300, 300).await;
    let mut seen = vec![places(&members.remove(0).stop().await)];
    wait_until("3 and 3 again", || members.iter().all(|member| member.owned() == 3)).await;
    fill(&client, &topic, 6, 600, 300).await;
    let before = seen[0].len();
    wait_until("all is seen", || before + members.iter().map(Member::count).sum::<usize>() >= 900).await;
    for member in members {
        assert!(!member.has_ended());
        seen.push(places(&member.stop().await));
    }
    assert_eq!(together(seen), all(6, 150), "everything once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_116_a_second_member_gets_its_part_soon_and_nothing_is_seen_twice() {
    const EACH: usize = 2000;
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "handover", 6).await, unique("group"));
    let builder = || member(&client, &group, &[&topic]).heartbeat_interval(Duration::from_millis(500));
    let first = Member::start(builder());
    wait_until("the first has all", || first.owned() == 6).await;
    // Records come all the time, and are processed while partitions move.
    let writing = tokio::spawn({
        let (client, topic) = (client.clone(), topic.clone());
        async move {
            for round in 0..EACH / 60 {
                fill(&client, &topic, 6, round * 60, 60).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    wait_until("the first is at work", || first.count() > 0).await;
    let second = Member::start(builder());
    let took = wait_until("both have partitions", || first.owned() == 3 && second.owned() == 3).await;
    println!("both had partitions {took:?} after the second joined");
    writing.await.expect("written");
    let wanted = EACH / 60 * 60;
    wait_until("all is seen", || first.count() + second.count() >= wanted).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (first, second) = (places(&first.stop().await), places(&second.stop().await));
    assert!(!first.is_empty() && !second.is_empty());
    assert_eq!(together([first, second]), all(6, (wanted / 6) as i64), "nothing twice, nothing left out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_117_a_member_that_stops_leaves_and_the_other_has_all_before_the_session_runs_out() {
    let tap = Tap::default();
    let client = connect(&bootstrap()).await;
    let leaving =
        Client::builder(seeds(&bootstrap())).connector(tap.clone()).client_id("leaving").connect().await.expect("a client");
    let (topic, group) = (new_topic(&client, "leave", 6).await, unique("group"));
    // Were it not for LeaveGroup, the other would get nothing for three minutes.
    let session = Duration::from_secs(180);
    let stays = Member::start(member(&client, &group, &[&topic]).session_timeout(session));
    let leaves = Member::start(member(&leaving, &group, &[&topic]).session_timeout(session));
    wait_until("3 and 3", || stays.owned() == 3 && leaves.owned() == 3).await;
    assert_eq!(tap.count(ApiKey::LEAVE_GROUP), 0);
    leaves.stop().await;
    assert_eq!(tap.count(ApiKey::LEAVE_GROUP), 1, "LeaveGroup was sent");
    let took = wait_until("the other has all", || stays.owned() == 6).await;
    // On a wall clock ten times of a heartbeat interval and three seconds.
    assert!(took < Duration::from_secs(33), "{took:?}");
    println!("the other had all after {took:?}");
    stays.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_118_a_group_that_stopped_halfway_goes_on_with_exactly_the_other_half() {
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "halves", 3).await, unique("group"));
    fill(&client, &topic, 3, 0, 1000).await;
    let mut halves = Vec::new();
    for _ in 0..2 {
        let mut consumer = member(&client, &group, &[&topic]).build().expect("a consumer");
        let handle = consumer.handle();
        let mut seen = Vec::new();
        let handled = consumer.each_message(|message| {
            seen.push(message);
            if seen.len() == 500 {
                handle.stop();
            }
            async { Ok::<(), klamm::Error>(()) }
        });
        tokio::time::timeout(Duration::from_secs(60), handled).await.expect("it ends").expect("no error");
        assert_eq!(seen.len(), 500);
        halves.push(places(&seen));
    }
    let wanted: Vec<Place> =
        (0..3).flat_map(|partition| (0..if partition == 0 { 334 } else { 333 }).map(move |offset| (partition, offset))).collect();
    assert_eq!(together(halves), wanted, "nothing twice, nothing left out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_119_members_get_partitions_of_the_topics_they_want_only() {
    let client = connect(&bootstrap()).await;
    let (one, two) = (new_topic(&client, "one", 4).await, new_topic(&client, "two", 4).await);
    let group = unique("group");
    let narrow = Member::start(member(&client, &group, &[&one]));
    let wide = Member::start(member(&client, &group, &[&one, &two]));
    wait_until("everything is owned", || narrow.owned() + wide.owned() == 8 && wide.owned() >= 4 && narrow.owned() > 0).await;
    let owned_by_narrow = narrow.handle().assignment();
    assert!(owned_by_narrow.iter().all(|partition| partition.topic.as_str() == one), "{owned_by_narrow:?}");
    let both: BTreeSet<_> = owned_by_narrow.into_iter().chain(wide.handle().assignment()).collect();
    let of = |topic: &str| both.iter().filter(|partition| partition.topic.as_str() == topic).count();
    assert_eq!((of(&one), of(&two)), (4, 4), "{both:?}");
    fill(&client, &one, 4, 0, 40).await;
    fill(&client, &two, 4, 0, 40).await;
    wait_until("all is seen", || narrow.count() + wide.count() >= 80).await;
    let (narrow, wide) = (narrow.stop().await, wide.stop().await);
    assert!(narrow.iter().all(|message| message.topic.as_str() == one));
    let part = |topic: &str| places(narrow.iter().chain(&wide).filter(|message| message.topic.as_str() == topic));
    assert_eq!((part(&one), part(&two)), (all(4, 10), all(4, 10)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_130_a_group_survives_the_death_of_its_coordinator() {
    let client = connect(&cluster_bootstrap()).await;
    let (topic, group) = (new_replicated_topic(&client, "survivor", 6).await, unique("group"));
    let members = [Member::start(member(&client, &group, &[&topic])), Member::start(member(&client, &group, &[&topic]))];
    wait_until("3 and 3", || members.iter().all(|member| member.owned() == 3)).await;
    let seen = || members.iter().map(Member::count).sum::<usize>();
    fill(&client, &topic, 6, 0, 60).await;
    wait_until("the first records are seen", || seen() >= 60).await;

    let coordinator = describe(&client, &group).await.coordinator.expect("a coordinator");
    let node = Node(u16::try_from(coordinator).expect("nodes are 1, 2 and 3"));
    node.kill();
    let killed = Instant::now();
    fill(&client, &topic, 6, 60, 60).await;
    wait_until("the group goes on", || seen() >= 120).await;
    // Committing needs a coordinator: a new one.
    let group_is_back = async {
        loop {
            let now = client.admin().group_offsets(&group).await.expect("offsets");
            if now.iter().map(|offset| offset.committed).sum::<i64>() >= 120 {
                return;
            }
            for member in &members {
                // One commit may meet the old coordinator's death.
                let _ = member.handle().commit().await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), group_is_back).await.expect("the group commits");
    println!("the group went on {:?} after its coordinator (node {coordinator}) was killed", killed.elapsed());
    let moved = describe(&client, &group).await;
    assert_ne!(moved.coordinator, Some(coordinator));
    assert!(members.iter().all(|member| !member.has_ended()), "no error that a user would see");
    tokio::task::spawn_blocking(move || node.start()).await.expect("the node starts again");

    fill(&client, &topic, 6, 120, 60).await;
    wait_until("all is seen", || seen() >= 180).await;
    let mut all_seen = Vec::new();
    for member in members {
        all_seen.push(places(&member.stop().await));
    }
    let seen: BTreeSet<Place> = all_seen.into_iter().flatten().collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all(6, 30), "nothing is left out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_169_processing_beyond_the_session_timeout_keeps_the_membership() {
    let tap = Tap::default();
    let client = Client::builder(seeds(&bootstrap())).connector(tap.clone()).connect().await.expect("a client");
    let (topic, group) = (new_topic(&client, "slow", 1).await, unique("group"));
    let slow = Member::start_slow(
        member(&client, &group, &[&topic]).auto_commit_interval(Duration::from_secs(1)),
        Duration::from_secs(15),
    );
    wait_until("it has the partition", || slow.owned() == 1).await;
    client.deliver(Record::new(topic.as_str()).value("takes 15 s")).await.expect("delivered");
    let (joins, before) = (tap.count(ApiKey::JOIN_GROUP), describe(&client, &group).await);
    wait_until("it is processed", || slow.count() == 1).await;
    let committed = async || client.admin().group_offsets(&group).await.expect("offsets").first().map(|offset| offset.committed);
    let start = Instant::now();
    while committed().await != Some(1) {
        assert!(start.elapsed() < Duration::from_secs(30), "the record is not committed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Time for a second commit, or a second delivery, were there one.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = describe(&client, &group).await;
    assert_eq!(after.state, "Stable");
    let ids = |group: &GroupDescription| group.members.iter().map(|member| member.member_id.clone()).collect::<Vec<_>>();
    assert_eq!((ids(&after), after.members.len()), (ids(&before), 1), "the same member");
    assert_eq!(tap.count(ApiKey::JOIN_GROUP), joins, "it never had to join again");
    assert_eq!(tap.count(ApiKey::OFFSET_COMMIT), 1, "it is committed once");
    slow.handle().stop();
    assert_eq!(slow.stop().await.len(), 1, "it was seen once");
    let next = Member::start(member(&client, &group, &[&topic]));
    wait_until("the next has the partition", || next.handle().position(topic.as_str(), 0) == Some(1)).await;
    client.deliver(Record::new(topic.as_str()).value("next")).await.expect("delivered");
    wait_until("the next record is seen", || next.count() > 0).await;
    assert_eq!(places(&next.stop().await), [(0, 1)], "no second delivery");
}

/// Members come and go in order, faster than the group settles, while records are written.
async fn coming_and_going(assignor: Arc<dyn Assignor>) {
    const ROUNDS: usize = 8;
    let client = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&client, "restless", 6).await, unique("group"));
    let start = || Member::start(member(&client, &group, &[&topic]).assignors([assignor.clone()]));
    let written = Arc::new(AtomicUsize::new(0));
    let writing = tokio::spawn({
        let (client, topic, written) = (client.clone(), topic.clone(), written.clone());
        async move {
            loop {
                fill(&client, &topic, 6, written.load(Ordering::SeqCst), 60).await;
                if written.fetch_add(60, Ordering::SeqCst) > 3000 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    let (mut members, mut seen) = (vec![start(), start()], Vec::new());
    for round in 0..ROUNDS {
        members.push(start());
        tokio::time::sleep(Duration::from_millis(100 + 150 * (round as u64 % 4))).await;
        // Now the oldest, now the newest: the leader, and one that may not have its part yet.
        let goes = if round % 2 == 0 { members.remove(0) } else { members.pop().expect("there are some") };
        seen.push(places(&goes.stop().await));
    }
    writing.await.expect("written");
    let written = written.load(Ordering::SeqCst);
    let before: usize = seen.iter().map(Vec::len).sum();
    wait_until("all is seen", || before + members.iter().map(Member::count).sum::<usize>() >= written).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for member in members {
        seen.push(places(&member.stop().await));
    }
    assert_eq!(together(seen), all(6, (written / 6) as i64), "nothing twice, nothing left out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_in_order_see_everything_once_on_cooperative_sticky() {
    coming_and_going(Arc::new(CooperativeStickyAssignor)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_in_order_see_everything_once_on_range() {
    coming_and_going(Arc::new(RangeAssignor)).await;
}
