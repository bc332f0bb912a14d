use super::*;
use crate::error::ErrorKind;
use crate::protocol::{Str, TopicName};

/// A partition of an answer: leader (-1 for none), epoch, error.
fn partition(index: i32, leader: i32, epoch: i32, error: ErrorCode) -> MetadataResponsePartition {
    MetadataResponsePartition {
        partition_index: index,
        leader_id: BrokerId(leader),
        leader_epoch: epoch,
        error_code: error,
        ..Default::default()
    }
}

fn topic(id: u8, partitions: Vec<MetadataResponsePartition>) -> MetadataResponseTopic {
    let name = Some(TopicName(Str::truncated("t")));
    MetadataResponseTopic { name, topic_id: Uuid([id; 16]), partitions, ..Default::default() }
}

fn refused(code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic { error_code: code, ..topic(0, Vec::new()) }
}

fn answer(topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    let broker = |id: i32| MetadataResponseBroker {
        node_id: BrokerId(id),
        host: Str::truncated(&format!("b{id}")),
        port: 9092,
        rack: None,
    };
    MetadataResponse { brokers: (1..=3).map(broker).collect(), topics, ..Default::default() }
}

/// The snapshots that follow from the answers, each over the one before.
fn after(answers: impl IntoIterator<Item = Vec<MetadataResponseTopic>>) -> Snapshot {
    let topics = BTreeSet::from([Topic::from("t")]);
    answers.into_iter().fold(Snapshot::default(), |known, topics_of| known.merged(&answer(topics_of), &topics))
}

fn leader(snapshot: &Snapshot) -> Result<i32, ErrorCode> {
    snapshot.leader(&"t".into(), 0).map(|node| node.id.0).map_err(|error| error.code().unwrap())
}

const OK: ErrorCode = ErrorCode::NONE;

#[test]
fn an_older_epoch_is_ignored_and_the_same_or_a_newer_one_taken() {
    let first = || vec![topic(1, vec![partition(0, 1, 5, OK)])];
    let then = |leader, epoch| vec![topic(1, vec![partition(0, leader, epoch, OK)])];
    for (second, expected) in [(then(2, 4), 1), (then(2, 5), 2), (then(2, 6), 2), (then(2, -1), 2)] {
        assert_eq!(leader(&after([first(), second])), Ok(expected));
    }
}

#[test]
fn another_topic_id_is_another_topic_whose_epochs_begin_anew() {
    let snapshot = after([
        vec![topic(1, vec![partition(0, 1, 5, OK), partition(1, 1, 5, OK)])],
        vec![topic(2, vec![partition(0, 2, 0, OK)])],
    ]);
    assert_eq!(leader(&snapshot), Ok(2));
    assert_eq!(snapshot.topic(&"t".into()).unwrap().partition_count(), 1);
}

#[test]
fn rk_190_a_partition_or_topic_that_cannot_be_used_says_why() {
    let none = vec![topic(1, vec![partition(0, -1, 0, ErrorCode::LEADER_NOT_AVAILABLE)])];
    assert_eq!(leader(&after([none])), Err(ErrorCode::LEADER_NOT_AVAILABLE));
    assert_eq!(leader(&after([vec![refused(ErrorCode::INVALID_TOPIC_EXCEPTION)]])), Err(ErrorCode::INVALID_TOPIC_EXCEPTION));
    let other = vec![topic(1, vec![partition(1, 1, 0, OK)])];
    assert_eq!(leader(&after([other])), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    let snapshot = after([vec![topic(1, vec![partition(0, 1, 0, OK)])]]);
    let error = snapshot.leader(&"t".into(), 9).unwrap_err();
    assert_eq!((error.kind(), error.topic(), error.partition()), (ErrorKind::UnknownTopic, Some("t"), Some(9)));
    let away = after([vec![topic(1, vec![partition(0, 99, 0, OK)])]]);
    assert_eq!(leader(&away), Err(ErrorCode::LEADER_NOT_AVAILABLE), "the leader is not among the brokers");
}

#[test]
fn rk_191_replica_not_available_does_not_matter() {
    let snapshot = after([vec![topic(1, vec![partition(0, 2, 0, ErrorCode::REPLICA_NOT_AVAILABLE)])]]);
    assert_eq!(leader(&snapshot), Ok(2));
    assert!(snapshot.topic(&"t".into()).unwrap().partitions[0].is_ready());
}

#[test]
fn a_partition_with_an_error_or_left_out_keeps_its_leader() {
    let known = || vec![topic(1, vec![partition(0, 1, 5, OK), partition(1, 2, 5, OK)])];
    let failing = || vec![topic(1, vec![partition(0, -1, 6, ErrorCode::LEADER_NOT_AVAILABLE)])];
    let snapshot = after([known(), failing()]);
    assert_eq!(leader(&snapshot), Ok(1));
    let found = &snapshot.topic(&"t".into()).unwrap().partitions;
    assert_eq!((found[0].leader_epoch, found[0].is_ready()), (5, false), "the epoch is that of the leader kept");
    assert_eq!((found[1].leader, found[1].is_ready()), (Some(BrokerId(2)), true), "left out of the answer");
    let elected = after([known(), failing(), vec![topic(1, vec![partition(0, 3, 6, OK)])]]);
    assert_eq!(leader(&elected), Ok(3));
}

#[test]
fn a_topic_missing_from_an_answer_is_kept_until_that_is_certain() {
    let known = || vec![topic(1, vec![partition(0, 1, 5, OK)])];
    let gone = || vec![refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)];
    let error = |snapshot: &Snapshot| snapshot.topic(&"t".into()).unwrap().error;
    for absent in [gone, Vec::new] {
        let mut answers = vec![known()];
        for times in 1..=5 {
            answers.push(absent());
            let snapshot = after(answers.clone());
            let certain = times >= MISSING_BEFORE_UNKNOWN;
            assert_eq!(error(&snapshot).is_some(), certain, "after {times}");
            assert_eq!(leader(&snapshot), Ok(1), "partitions are kept in any case");
        }
        answers.push(known());
        assert_eq!(error(&after(answers)), None, "it is back");
    }
    let never = after([gone()]);
    assert_eq!(error(&never), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(never.topic_error(&"t".into()).unwrap().kind(), ErrorKind::UnknownTopic);
}

#[test]
fn what_is_not_asked_about_is_dropped_and_what_did_not_change_is_shared() {
    let first = after([vec![topic(1, vec![partition(0, 1, 5, OK)])]]);
    let topics = BTreeSet::from([Topic::from("t")]);
    let second = first.merged(&answer(vec![topic(1, vec![partition(0, 1, 5, OK)])]), &topics);
    assert!(second.same_as(&first) && second.version == first.version + 1);
    assert!(Arc::ptr_eq(second.topic(&"t".into()).unwrap(), first.topic(&"t".into()).unwrap()));
    assert!(second.merged(&answer(vec![]), &BTreeSet::new()).topics.is_empty());
}

#[test]
fn hostile_answers_are_no_topics_of_a_billion_partitions() {
    let giant = vec![topic(1, vec![partition(i32::MAX, 1, 0, OK), partition(-5, 1, 0, OK), partition(0, 1, 0, OK)])];
    let snapshot = after([giant]);
    assert!(snapshot.topic(&"t".into()).unwrap().partitions.len() <= MAX_PARTITIONS);
    assert_eq!(leader(&snapshot), Ok(1));
    let mut strange = answer(vec![]);
    strange.brokers[0].port = 70_000;
    strange.brokers[1].port = 0;
    assert_eq!(Snapshot::default().merged(&strange, &BTreeSet::new()).brokers.len(), 1);
}

#[test]
fn nodes_are_shown_with_number_and_address() {
    assert_eq!(Node::new(BrokerId(1), "host", 9092).to_string(), "1 (host:9092)");
    assert_eq!(Node::new(BrokerId(2), "::1", 9092).to_string(), "2 ([::1]:9092)");
}
