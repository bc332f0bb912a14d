//! What the simulator has found in klamm, by seed: each was red before it was mended.

use std::time::Duration;

use klamm::protocol::ApiKey;
use klamm_broker::faults::BrokerFault;
use klamm_sim::drivers::Drivers;
use klamm_sim::history::{Event, History};
use klamm_sim::oracles;
use klamm_sim::run::{Case, Level};
use klamm_sim::trouble::{How, Trouble, Whim};
use klamm_sim::workload::Kind;

/// The run of a seed with what went wrong in it then, whatever is drawn from the seed today.
fn history(kind: Kind, seed: u64, troubles: impl IntoIterator<Item = (u64, Trouble)>) -> History {
    let troubles = troubles.into_iter().map(|(millis, trouble)| (Duration::from_millis(millis), trouble)).collect();
    let case = Case { troubles, login: None, ..Case::draw(kind, seed) };
    let history = Drivers.run(&case).history;
    if let Err(violation) = oracles::check(&history) {
        panic!("{kind:?}, seed {seed}: {violation}");
    }
    history
}

/// The member's JoinGroup went into a connection that is silent. Its commits, on another one, were answered with UNKNOWN_MEMBER_ID; it
/// went on with what it had, and committed again, for as long as a rebalance may take: five minutes and five seconds by default.
#[test]
fn a_member_that_is_unknown_gives_up_a_join_that_nobody_answers() {
    let closes = BrokerFault::Disconnect { api: ApiKey::FIND_COORDINATOR, times: 5, node: None, handled: true };
    let troubles = [
        (12_548, Trouble::Break { node: 2, how: How::Silence }),
        (12_627, Trouble::Whim { api: ApiKey::FETCH, times: 1, whim: Whim::Swallow }),
        (14_917, Trouble::Fault(closes.into())),
    ];
    let history = history(Kind::Group, 2204, troubles);
    let position = |what: &dyn Fn(&Event) -> bool, from: usize| {
        history.events.iter().enumerate().skip(from).find(|(_, entry)| what(&entry.event)).map(|(at, entry)| (at, entry.at))
    };
    let refused = |event: &Event| matches!(event, Event::Fault(text) if text.starts_with("member 0 commits") && text.contains("UNKNOWN_MEMBER_ID"));
    let (at, refused) = position(&refused, 0).expect("a commit is refused");
    let lost = |event: &Event| matches!(event, Event::Lost { member: 0, .. });
    let (_, lost) = position(&lost, at).expect("the member finds that it has lost its partitions");
    assert!(lost - refused < Duration::from_secs(5), "refused at {refused:?}, lost at {lost:?}");
}
