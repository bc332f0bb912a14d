//! Heartbeats asked for by hand, and where the membership stands.

use super::*;

#[test]
fn rk_172_now_sends_one_at_once_and_if_due_none_before_the_interval() {
    let mut member = Member::stable(config(), 0..1);
    member.wait(SECOND);
    let early = member.want_heartbeat(Heartbeat::IfDue);
    assert!(member.open().is_empty(), "2 s are left of the interval");
    assert_eq!(member.told(early), Some(Membership::Stable));
    let now = member.want_heartbeat(Heartbeat::Now);
    assert_eq!(member.open(), ["Heartbeat"]);
    assert_eq!(member.told(now), None, "it is not answered yet");
    member.answer("Heartbeat", Ok(Response::Heartbeat(ErrorCode::NONE)));
    assert_eq!(member.told(now), Some(Membership::Stable));
    // The interval begins anew with it.
    member.wait(2 * SECOND);
    assert!(member.open().is_empty());
    member.wait(SECOND);
    assert_eq!(member.open(), ["Heartbeat"]);
    // The one that is due, and is on its way already, will do for both.
    let (due, another) = (member.want_heartbeat(Heartbeat::IfDue), member.want_heartbeat(Heartbeat::Now));
    assert_eq!(member.open(), ["Heartbeat"]);
    member.answer("Heartbeat", Ok(Response::Heartbeat(ErrorCode::NONE)));
    assert_eq!((member.told(due), member.told(another)), (Some(Membership::Stable), Some(Membership::Stable)));
}

#[test]
fn rk_174_a_heartbeat_by_hand_that_finds_a_rebalance_says_so_and_the_member_joins_again() {
    let mut member = Member::stable(config(), 0..1);
    let id = member.want_heartbeat(Heartbeat::Now);
    member.answer("Heartbeat", Ok(Response::Heartbeat(ErrorCode::REBALANCE_IN_PROGRESS)));
    assert_eq!(member.told(id), Some(Membership::Rebalancing));
    assert!(member.failed().is_none());
    assert_eq!(member.core.membership(), Membership::Rebalancing);
    member.wait(3 * SECOND);
    assert!(member.open().contains(&"JoinGroup"), "{:?}", member.open());
    // Parked behind the join there is no heartbeat to be had: it is one as good as any.
    let id = member.want_heartbeat(Heartbeat::Now);
    assert_eq!(member.told(id), Some(Membership::Rebalancing));
}

#[test]
fn a_heartbeat_by_hand_that_finds_the_membership_gone_says_so() {
    for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION, ErrorCode::FENCED_INSTANCE_ID] {
        let mut member = Member::stable(config(), 0..1);
        let id = member.want_heartbeat(Heartbeat::Now);
        member.answer("Heartbeat", Ok(Response::Heartbeat(code)));
        assert_eq!(member.told(id), Some(Membership::NotMember), "{code}");
    }
    let mut member = Member::new(config());
    let id = member.want_heartbeat(Heartbeat::Now);
    assert_eq!(member.told(id), Some(Membership::NotMember), "it has not joined yet");
}

#[test]
fn a_heartbeat_by_hand_waits_while_the_coordinator_is_looked_for() {
    let mut member = Member::stable(config(), 0..1);
    let id = member.want_heartbeat(Heartbeat::Now);
    member.answer("Heartbeat", Err(disconnected()));
    assert_eq!(member.told(id), None);
    member.wait_for_timers(2 * SECOND);
    member.find_coordinator();
    assert_eq!(member.open(), ["Heartbeat"], "at once, for the session is running");
    member.answer("Heartbeat", Ok(Response::Heartbeat(ErrorCode::NONE)));
    assert_eq!(member.told(id), Some(Membership::Stable));
    // One that leaves meanwhile has no more to wait for.
    let id = member.want_heartbeat(Heartbeat::Now);
    let deadline = member.now + SECOND;
    member.command(Command::Leave { deadline });
    assert_eq!(member.told(id), Some(Membership::NotMember));
}

#[test]
fn the_membership_follows_the_state() {
    let mut member = Member::new(config());
    assert_eq!(member.core.membership(), Membership::NotMember);
    member.find_coordinator();
    member.join_as_follower(5);
    assert_eq!(member.core.membership(), Membership::Rebalancing);
    member.sync(0..1);
    assert_eq!(member.core.membership(), Membership::Stable);
    member.core.handle_command(member.now, Command::Subscribe(vec!["u".into()]));
    assert_eq!(member.core.membership(), Membership::Rebalancing, "it will join again");
}
