//! Groups: what members say about themselves, read by the one that leads, and assignments for members that claim anything.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use klamm::consumer::assignor::{
    Assignor, CooperativeStickyAssignor, RangeAssignor, RebalanceProtocol, RoundRobinAssignor, Subscription,
};
use klamm::protocol::Str;
use klamm::protocol::messages::join_group::JoinGroupResponseMember;
use klamm::unstable::{lead, read_assignment, read_subscription, write_assignment, write_subscription};
use klamm::{Topic, TopicPartition};

use crate::input::Input;

type Members = BTreeMap<String, Subscription>;
type Assignment = BTreeMap<String, Vec<TopicPartition>>;

fn all() -> [&'static dyn Assignor; 3] {
    [&RangeAssignor, &RoundRobinAssignor, &CooperativeStickyAssignor]
}

/// Members' subscriptions as bytes, one behind the other; an assignment is made of each, too.
pub(crate) fn subscriptions(input: &[u8]) {
    let mut input = Input(input);
    let topics: BTreeMap<Topic, i32> = (0..4).map(|topic| (Topic::from(format!("t{topic}")), input.below(12) as i32)).collect();
    let mut members = Vec::new();
    while !input.is_empty() && members.len() < 64 {
        let metadata = Bytes::copy_from_slice(input.piece());
        assignment(&metadata);
        let said = read_subscription(&metadata);
        let written = write_subscription(&said);
        let again = read_subscription(&written);
        assert_eq!(write_subscription(&again), written, "what was written says the same");
        assert_eq!((&again.user_data, again.generation, &again.rack), (&said.user_data, said.generation, &said.rack));
        assert_eq!(set(&again.topics), set(&said.topics));
        assert_eq!(set(&again.owned_partitions), set(&said.owned_partitions));
        let group_instance_id = (members.len() % 3 == 2).then(|| text(&format!("instance-{}", members.len())));
        members.push(JoinGroupResponseMember { member_id: text(&format!("m{}", members.len())), group_instance_id, metadata });
    }
    for assignor in all() {
        let parts = lead(assignor, &topics, &members).unwrap_or_else(|error| panic!("{}: {error}", assignor.name()));
        let read = |(member, part): (String, Bytes)| {
            (member, read_assignment(&part).expect("what the leader wrote").into_iter().collect())
        };
        let assignment: Assignment = parts.into_iter().map(read).collect();
        let said = |member: &JoinGroupResponseMember| (member.member_id.as_str().to_owned(), read_subscription(&member.metadata));
        assert_valid(assignor, &topics, &members.iter().map(said).collect(), &assignment);
    }
}

fn set<T: Ord>(items: &[T]) -> BTreeSet<&T> {
    items.iter().collect()
}

fn text(text: &str) -> Str {
    Str::new(text.to_owned()).unwrap_or_default()
}

/// What a leader may have sent.
fn assignment(bytes: &Bytes) {
    let Ok(partitions) = read_assignment(bytes) else { return };
    let partitions: Vec<_> = partitions.into_iter().collect();
    assert!(partitions.iter().all(|partition| partition.partition >= 0));
    let again = read_assignment(&write_assignment(&partitions)).expect("what was just written");
    assert!(again.iter().eq(&partitions), "{again:?} is not {partitions:?}");
}

/// Each partition at most once, to a member that wants it; every one that somebody wants, unless it has to be given away first.
fn assert_valid(assignor: &dyn Assignor, topics: &BTreeMap<Topic, i32>, members: &Members, assignment: &Assignment) {
    let mut given = BTreeSet::new();
    for (member, partitions) in assignment {
        let wants = set(&members[member].topics);
        for partition in partitions {
            assert!(given.insert(partition), "{}: {partition} twice", assignor.name());
            assert!(wants.contains(&partition.topic), "{}: {partition} for {member}, which does not want it", assignor.name());
            assert!((0..topics[&partition.topic]).contains(&partition.partition), "{}: no {partition}", assignor.name());
        }
    }
    let wanted: BTreeSet<&Topic> = members.values().flat_map(|member| &member.topics).collect();
    let claimed: BTreeSet<&TopicPartition> = members.values().flat_map(|member| &member.owned_partitions).collect();
    for (topic, partitions) in topics.iter().filter(|(topic, _)| wanted.contains(topic)) {
        for partition in (0..*partitions).map(|partition| TopicPartition::new(topic, partition)) {
            let may_wait = assignor.protocol() == RebalanceProtocol::Cooperative && claimed.contains(&partition);
            assert!(may_wait || given.contains(&partition), "{}: nobody got {partition}", assignor.name());
        }
    }
}

/// Topics, then members: what each wants, claims, and in which generation.
fn members_of(input: &mut Input<'_>) -> (BTreeMap<Topic, i32>, Members) {
    let topics: BTreeMap<Topic, i32> = (0..input.below(8)).map(|topic| (topic_of(topic), input.below(40) as i32)).collect();
    let mut members = Members::new();
    while !input.is_empty() && members.len() < 24 {
        let wants = input.byte();
        let mut member = Subscription::default();
        member.topics = (0..8).filter(|topic| wants >> topic & 1 == 1).map(topic_of).collect();
        let how = input.byte();
        member.generation =
            [None, Some(-1), Some(0), Some(1), Some(2), Some(i32::MAX), Some(i32::MIN), Some(3)][usize::from(how & 7)];
        member.instance_id = (how & 8 == 8).then(|| format!("i{}", input.below(4)));
        member.user_data = (how & 16 == 16).then(|| Bytes::copy_from_slice(input.piece()));
        for _ in 0..input.below(48) {
            let (topic, partition) = (input.below(9), i32::from(input.byte() as i8));
            member.owned_partitions.push(TopicPartition::new(topic_of(topic), partition));
        }
        members.insert(format!("m{:02}", members.len()), member);
    }
    (topics, members)
}

fn topic_of(number: usize) -> Topic {
    Topic::from(format!("t{number}"))
}

/// See [`members_of`].
pub(crate) fn assignors(input: &[u8]) {
    let (topics, members) = members_of(&mut Input(input));
    for assignor in all() {
        let assignment = assignor.assign(&topics, &members).unwrap_or_else(|error| panic!("{}: {error}", assignor.name()));
        assert_valid(assignor, &topics, &members, &assignment);
        let again = assignor.assign(&topics, &members).expect("as before");
        assert_eq!(again, assignment, "{}: the same for the same", assignor.name());
        if assignor.protocol() == RebalanceProtocol::Cooperative {
            settles(assignor, &topics, members.clone(), assignment);
        }
    }
}

/// Members that do as they are told have everything after the second rebalance, evenly as far as can be seen, and then keep it.
fn settles(assignor: &dyn Assignor, topics: &BTreeMap<Topic, i32>, mut members: Members, mut assignment: Assignment) {
    for generation in 10..13 {
        let before = assignment.clone();
        for (name, member) in &mut members {
            member.owned_partitions = assignment.remove(name).unwrap_or_default();
            member.generation = Some(generation);
            member.user_data = None;
        }
        assignment = assignor.assign(topics, &members).expect("as before");
        assert_valid(assignor, topics, &members, &assignment);
        if generation > 10 {
            let total = |assignment: &Assignment| assignment.values().map(Vec::len).sum::<usize>();
            let wanted: BTreeSet<&Topic> = members.values().flat_map(|member| &member.topics).collect();
            let all: i32 = topics.iter().filter(|(topic, _)| wanted.contains(topic)).map(|(_, partitions)| partitions).sum();
            assert_eq!(total(&assignment), all as usize, "all is given out in the second rebalance");
        }
        if generation > 11 {
            for (member, partitions) in &before {
                assert_eq!(set(&assignment[member]), set(partitions), "{member} keeps what it has");
            }
        }
    }
}
