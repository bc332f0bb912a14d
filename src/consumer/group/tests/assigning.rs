//! Assignors of the user's: what they see, and what becomes of their faults.

use bytes::Bytes;

use super::*;
use crate::consumer::assignor::{MemberId, RebalanceProtocol};

/// What an assignor does.
type Assign = fn(&BTreeMap<Topic, i32>, &BTreeMap<MemberId, Subscription>) -> Result<BTreeMap<MemberId, Vec<TopicPartition>>>;

/// An assignor called `own`.
#[derive(Debug)]
struct Own {
    assign: Assign,
    user_data: fn() -> Option<Bytes>,
}

impl Assignor for Own {
    fn name(&self) -> &str {
        "own"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn user_data(&self, _: &[Topic], _: &[TopicPartition], _: Option<i32>) -> Option<Bytes> {
        (self.user_data)()
    }

    fn assign(
        &self,
        topics: &BTreeMap<Topic, i32>,
        members: &BTreeMap<MemberId, Subscription>,
    ) -> Result<BTreeMap<MemberId, Vec<TopicPartition>>> {
        (self.assign)(topics, members)
    }
}

fn none(_: &BTreeMap<Topic, i32>, _: &BTreeMap<MemberId, Subscription>) -> Result<BTreeMap<MemberId, Vec<TopicPartition>>> {
    Ok(BTreeMap::new())
}

fn member(assign: Assign, user_data: fn() -> Option<Bytes>) -> Member {
    let mut member = Member::new(GroupConfig { assignors: vec![Arc::new(Own { assign, user_data })], ..config() });
    member.find_coordinator();
    member
}

/// Leads a group of itself and `m2`, which has its own user data, over a topic of three partitions.
fn lead(member: &mut Member) {
    let own = leading::read_subscription(&member.join_request().protocols[0].metadata);
    let other = Subscription { user_data: Some(Bytes::from_static(b"second")), ..own.clone() };
    let of = |id: &str, subscription: &Subscription| JoinGroupResponseMember {
        member_id: text(id),
        metadata: write_subscription(subscription),
        ..Default::default()
    };
    let members = vec![of("m1", &own), of("m2", &other)];
    member.answer("JoinGroup", Ok(Response::Join(JoinGroupResponse { protocol_name: Some(text("own")), members, ..joined(1) })));
    member.answer("ListTopics", Ok(Response::Topics([("t".into(), 3)].into())));
}

#[test]
fn rk_124_the_leader_s_assignor_sees_the_user_data_of_all_members() {
    let by_user_data: Assign = |topics, members| {
        let wanted = members.iter().find(|(_, member)| member.user_data.as_deref() == Some(b"second"));
        let (wanted, _) = wanted.expect("user data of both members");
        assert!(members.values().any(|member| member.user_data.as_deref() == Some(b"first")));
        let all = (0..topics[&Topic::from("t")]).map(|partition| TopicPartition::new("t", partition)).collect();
        Ok([(wanted.clone(), all)].into())
    };
    let mut member = member(by_user_data, || Some(Bytes::from_static(b"first")));
    lead(&mut member);
    let (_, Request::Sync(request)) = member.take_request("SyncGroup") else { panic!("no sync") };
    let parts: Vec<_> = request
        .assignments
        .iter()
        .map(|part| (part.member_id.to_string(), leading::read_assignment(&part.assignment).unwrap().len()))
        .collect();
    assert_eq!(parts, [("m1".to_owned(), 0), ("m2".to_owned(), 3)]);
}

#[test]
fn an_assignor_that_fails_or_panics_ends_the_member_that_leads_with_a_processing_error() {
    let fails: Assign = |_, _| Err(Error::new(ErrorKind::InvalidRequest, "the moon is not full"));
    let panics: Assign = |_, _| panic!("out of cheese");
    for (assign, words) in [(fails, "the moon is not full"), (panics, "out of cheese")] {
        let mut member = member(assign, || None);
        lead(&mut member);
        let error = member.failed().expect("it failed");
        assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::Processing, true));
        assert!(error.to_string().contains("\"own\""), "{error}");
        assert!(format!("{error:?}").contains(words), "{error:?}");
        assert!(!member.open().contains(&"SyncGroup"));
    }
    let mut member = member(none, || panic!("no data"));
    let error = member.failed().expect("it failed");
    assert!(error.kind() == ErrorKind::Processing && format!("{error:?}").contains("no data"), "{error:?}");
}

#[test]
fn an_assignment_that_no_member_could_take_is_refused_with_what_is_wrong() {
    let twice: Assign = |_, _| Ok(["m1", "m2"].map(|member| (member.to_owned(), vec![TopicPartition::new("t", 1)])).into());
    let not_there: Assign = |_, _| Ok([("m1".to_owned(), vec![TopicPartition::new("t", 3)])].into());
    let not_wanted: Assign = |_, _| Ok([("m1".to_owned(), vec![TopicPartition::new("u", 0)])].into());
    for (assign, words) in [(twice, "t/1 to two members, m1 and m2"), (not_there, "t/3 to member m1"), (not_wanted, "u/0")] {
        let mut member = member(assign, || None);
        lead(&mut member);
        let error = member.failed().expect("it failed");
        assert!(error.kind() == ErrorKind::Processing && format!("{error:?}").contains(words), "{error:?}");
    }
    let stranger: Assign = |_, _| Ok([("m9".to_owned(), vec![TopicPartition::new("t", 3)])].into());
    let mut member = member(stranger, || None);
    lead(&mut member);
    assert!(member.open().contains(&"SyncGroup"), "who is not in the group is passed over");
}

#[test]
fn heartbeats_go_on_while_an_assignor_takes_its_time() {
    let mut member = Member { assigns: false, ..member(none, || None) };
    lead(&mut member);
    assert_eq!(member.open(), ["Assign"]);
    member.wait(3 * SECOND);
    member.heartbeat(ErrorCode::NONE);
    assert_eq!(member.core.membership(), Membership::Rebalancing);
    member.answer("Assign", Ok(Response::Assigned(Vec::new())));
    assert_eq!(member.open(), ["SyncGroup"]);
    // Thrown out meanwhile: the work was for nothing.
    let mut member = Member { assigns: false, ..self::member(none, || None) };
    lead(&mut member);
    member.heartbeat(ErrorCode::UNKNOWN_MEMBER_ID);
    assert!(member.open().contains(&"JoinGroup"));
    member.answer("Assign", Ok(Response::Assigned(Vec::new())));
    assert!(!member.open().contains(&"SyncGroup"));
}
