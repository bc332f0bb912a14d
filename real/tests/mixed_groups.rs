//! Groups whose members are different clients: klamm beside Java, librdkafka and franz-go, on the assignors that they have in common,
//! led by either side.
#![forbid(unsafe_code)]

use std::sync::Arc;

use klamm::Client;
use klamm::admin::GroupDescription;
use klamm::consumer::assignor::{Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor};
use klamm_real::OtherClient::{self, FranzGo, Java, Librdkafka};
use klamm_real::{
    Member, PeerMember, all_places as all, bootstrap, connect, fill, member, new_topic, places, shown, together, unique,
    wait_until,
};

fn assignor(strategy: &str) -> Arc<dyn Assignor> {
    match strategy {
        "range" => Arc::new(RangeAssignor),
        "roundrobin" => Arc::new(RoundRobinAssignor),
        "cooperative-sticky" => Arc::new(CooperativeStickyAssignor),
        other => panic!("klamm has no assignor {other}"),
    }
}

async fn describe(client: &Client, group: &str) -> GroupDescription {
    client.admin().describe_groups([group]).await.expect("an answer").remove(0).1.expect("a description")
}

/// Who comes first leads the group for as long as it is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leader {
    Klamm,
    Other,
}

/// klamm and another client in one group: one leads, the other joins, a second one of klamm joins, the other client leaves.
async fn mixed(client: OtherClient, strategy: &str, leader: Leader) {
    let klamm = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&klamm, "mixed", 6).await, unique("group"));
    let start_klamm = || Member::start(member(&klamm, &group, &[&topic]).assignors([assignor(strategy)]));
    let start_other = || PeerMember::start(client, &bootstrap(), &group, &topic, strategy);
    let (first, other) = if leader == Leader::Other {
        let other = start_other();
        wait_until("the other client has all", || other.owned() == 6).await;
        (start_klamm(), other)
    } else {
        let first = start_klamm();
        wait_until("klamm has all", || first.owned() == 6).await;
        (first, start_other())
    };
    wait_until("3 and 3", || first.owned() == 3 && other.owned() == 3).await;
    let description = describe(&klamm, &group).await;
    assert_eq!((description.protocol.as_str(), description.members.len()), (strategy, 2));
    fill(&klamm, &topic, 6, 0, 300).await;
    wait_until("the first part is seen", || first.count() + other.places().len() >= 300).await;

    let second = start_klamm();
    wait_until("2, 2 and 2", || first.owned() == 2 && second.owned() == 2 && other.owned() == 2).await;
    fill(&klamm, &topic, 6, 300, 300).await;
    wait_until("the second part is seen", || first.count() + second.count() + other.places().len() >= 600).await;

    assert!(!other.has_ended());
    let by_other = other.stop().await;
    wait_until("3 and 3 without the other client", || first.owned() == 3 && second.owned() == 3).await;
    fill(&klamm, &topic, 6, 600, 300).await;
    wait_until("all is seen", || first.count() + second.count() + by_other.len() >= 900).await;
    let (by_first, by_second) = (places(&first.stop().await), places(&second.stop().await));
    assert!(!by_other.is_empty() && !by_first.is_empty() && !by_second.is_empty());
    assert_eq!(together([by_first, by_second, by_other]), all(6, 150), "everything once");
    let led_by = if leader == Leader::Klamm { "klamm".to_owned() } else { client.to_string() };
    shown("groups", format!("klamm, {client}; led by {led_by}"), strategy, "900");
}

macro_rules! each_group {
    ($($led_by_klamm:ident, $led_by_other:ident: $client:ident $strategy:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $led_by_klamm() {
            mixed($client, $strategy, Leader::Klamm).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $led_by_other() {
            mixed($client, $strategy, Leader::Other).await;
        }
    )*};
}

each_group! {
    a_group_with_java_led_by_klamm_balances_on_cooperative_sticky, a_group_led_by_java_balances_on_cooperative_sticky: Java "cooperative-sticky";
    a_group_with_java_led_by_klamm_balances_on_range, a_group_led_by_java_balances_on_range: Java "range";
    a_group_with_java_led_by_klamm_balances_on_round_robin, a_group_led_by_java_balances_on_round_robin: Java "roundrobin";
    a_group_with_librdkafka_led_by_klamm_balances_on_cooperative_sticky, a_group_led_by_librdkafka_balances_on_cooperative_sticky:
        Librdkafka "cooperative-sticky";
    a_group_with_librdkafka_led_by_klamm_balances_on_range, a_group_led_by_librdkafka_balances_on_range: Librdkafka "range";
    a_group_with_librdkafka_led_by_klamm_balances_on_round_robin, a_group_led_by_librdkafka_balances_on_round_robin:
        Librdkafka "roundrobin";
    a_group_with_franz_go_led_by_klamm_balances_on_cooperative_sticky, a_group_led_by_franz_go_balances_on_cooperative_sticky:
        FranzGo "cooperative-sticky";
    a_group_with_franz_go_led_by_klamm_balances_on_range, a_group_led_by_franz_go_balances_on_range: FranzGo "range";
    a_group_with_franz_go_led_by_klamm_balances_on_round_robin, a_group_led_by_franz_go_balances_on_round_robin: FranzGo "roundrobin";
}

/// All four clients in one group, two partitions each; they come one after the other and go in the same order, the leader first.
async fn all_four(strategy: &str) {
    let klamm = connect(&bootstrap()).await;
    let (topic, group) = (new_topic(&klamm, "four", 8).await, unique("group"));
    let first = Member::start(member(&klamm, &group, &[&topic]).assignors([assignor(strategy)]));
    let mut others: Vec<PeerMember> = Vec::new();
    for (client, most) in [(Java, 4), (FranzGo, 3), (Librdkafka, 2)] {
        others.push(PeerMember::start(client, &bootstrap(), &group, &topic, strategy));
        wait_until("the newcomer has its part", || others.last().is_some_and(|other| (2..=most).contains(&other.owned()))).await;
        fill(&klamm, &topic, 8, 0, 80).await;
    }
    wait_until("two each", || first.owned() == 2 && others.iter().all(|other| other.owned() == 2)).await;
    assert_eq!(describe(&klamm, &group).await.members.len(), 4);
    fill(&klamm, &topic, 8, 0, 240).await;
    let count = |others: &[PeerMember]| others.iter().map(|other| other.places().len()).sum::<usize>();
    wait_until("all is seen by four", || first.count() + count(&others) >= 480).await;

    let mut seen = vec![places(&first.stop().await)];
    while let Some(last) = others.len().checked_sub(1) {
        wait_until("those who stay have all", || others.iter().map(PeerMember::owned).sum::<usize>() == 8).await;
        fill(&klamm, &topic, 8, 0, 80).await;
        let (before, wanted) = (seen.iter().map(Vec::len).sum::<usize>(), 480 + 80 * (3 - last));
        wait_until("those who stay see all", || before + count(&others) >= wanted).await;
        seen.push(others.remove(0).stop().await);
    }
    assert!(seen.iter().all(|seen| !seen.is_empty()));
    assert_eq!(together(seen), all(8, 90), "everything once");
    shown("groups", "klamm, Java, franz-go, librdkafka", strategy, "720");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn klamm_java_librdkafka_and_franz_go_share_a_group_on_range() {
    all_four("range").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn klamm_java_librdkafka_and_franz_go_share_a_group_on_cooperative_sticky() {
    all_four("cooperative-sticky").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn klamm_java_librdkafka_and_franz_go_share_a_group_on_round_robin() {
    all_four("roundrobin").await;
}
