//! I7: who has a partition.

use std::collections::BTreeMap;

use super::{Verdict, broken};
use crate::history::{Event, History, Partition};

/// To whom a partition was assigned, the last one last, and whether that member has given it away since.
#[derive(Default)]
struct Owners(Vec<(u32, bool)>);

impl Owners {
    fn assigned(&mut self, member: u32) {
        self.0.retain(|(other, _)| *other != member);
        self.0.push((member, false));
    }

    fn revoked(&mut self, member: u32) {
        self.0.iter_mut().filter(|(other, _)| *other == member).for_each(|(_, is_over)| *is_over = true);
    }

    /// It was not its own any more, perhaps not even when it heard that it was.
    fn lost(&mut self, member: u32) {
        self.0.retain(|(other, _)| *other != member);
        while self.0.pop_if(|(_, is_over)| *is_over).is_some() {}
    }

    fn last(&self) -> Option<u32> {
        self.0.last().map(|(member, _)| *member)
    }
}

/// I7: whoever is handed a record of a partition is the one to whom it was assigned last. (A member that was thrown out while it worked on
/// a record hears of it with its next call; until then it is handed nothing. Then it may hear of an assignment together with its loss: the
/// partition is whose it was before.)
pub(super) fn one_owner(history: &History) -> Verdict {
    let mut owners: BTreeMap<Partition, Owners> = BTreeMap::new();
    let mut expired = None;
    let mut thrown_out = BTreeMap::new();
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        match &entry.event {
            Event::Assigned { member, partitions } => {
                partitions.iter().for_each(|partition| owners.entry(*partition).or_default().assigned(*member));
            }
            Event::Revoked { member, partitions } => {
                partitions.iter().for_each(|partition| owners.entry(*partition).or_default().revoked(*member));
            }
            Event::Lost { member, partitions } => {
                partitions.iter().for_each(|partition| owners.entry(*partition).or_default().lost(*member));
            }
            Event::Expired => expired = Some(entry.at),
            Event::ThrownOut { member } => _ = thrown_out.insert(*member, entry.at),
            Event::Delivered { member, partition, offset, .. } => {
                let mut moments = expired.iter().chain(thrown_out.get(member));
                let excused = moments.any(|moment| entry.at <= *moment + history.bounds.overlap);
                if let Some(owner) = owners.get(partition).and_then(Owners::last).filter(|owner| owner != member && !excused) {
                    let text =
                        format!("member {member} is handed {partition} at {offset}, which was assigned to member {owner} since");
                    return Err(broken("I7", history, at, text));
                }
                checks += 1;
            }
            _ => {}
        }
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::super::scene::*;
    use super::*;

    #[test]
    fn the_last_owner_alone_is_handed_records() {
        holds("I7", &history([assigned(1), delivered(1, 0), assigned(2), delivered(2, 1)]));
        objects("I7", &history([assigned(1), assigned(2), delivered(1, 0)]), "was assigned to member 2 since");
    }

    #[test]
    fn an_assignment_that_is_lost_when_it_is_heard_of_changes_nothing() {
        let lost = |member| Event::Lost { member, partitions: vec![P] };
        let revoked = |member| Event::Revoked { member, partitions: vec![P] };
        holds("I7", &history([assigned(1), assigned(2), assigned(1), lost(1), delivered(2, 0)]));
        objects(
            "I7",
            &history([assigned(1), assigned(2), assigned(1), lost(1), delivered(1, 0)]),
            "was assigned to member 2 since",
        );
        objects("I7", &history([assigned(1), assigned(2), assigned(1), delivered(2, 0)]), "was assigned to member 1 since");
        let given_away = [assigned(3), assigned(1), revoked(1), assigned(2), lost(2), delivered(1, 0)];
        objects("I7", &history(given_away), "was assigned to member 3 since");
    }

    #[test]
    fn who_was_thrown_out_behind_its_back_has_a_moment_to_notice() {
        holds("I7", &history([assigned(1), Event::Expired, assigned(2), delivered(1, 0)]));
        let thrown_out = |member| history([assigned(1), Event::ThrownOut { member }, assigned(2), delivered(1, 0)]);
        holds("I7", &thrown_out(1));
        objects("I7", &thrown_out(2), "was assigned to member 2 since");
        let late = [
            assigned(1),
            Event::Expired,
            assigned(2),
            delivered(2, 0),
            Event::Healed,
            Event::Healed,
            Event::Healed,
            delivered(1, 1),
        ];
        objects("I7", &history(late), "was assigned to member 2 since");
    }
}
