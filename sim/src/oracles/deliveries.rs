//! I6: what a member is handed, against the log and the commits.

use std::collections::{BTreeMap, BTreeSet};

use super::visible::Visible;
use super::{Verdict, broken};
use crate::history::{Event, History, Partition};

/// What is known of a partition of the consumed topics.
#[derive(Default)]
struct Place {
    /// Everything before it was handed to somebody.
    covered: i64,
    /// Handed out beyond it.
    beyond: BTreeSet<i64>,
    /// What somebody wanted to be committed.
    asked: BTreeSet<i64>,
    /// The last commit that somebody was told of.
    acked: i64,
    /// Where the end of the log was lost.
    lost: BTreeSet<i64>,
}

impl Place {
    /// Was handed out; `pass` leads on to the next offset with a record to see.
    fn deliver(&mut self, offset: i64, pass: impl Fn(i64) -> i64) {
        _ = self.beyond.insert(offset);
        self.covered = pass(self.covered);
        while self.beyond.remove(&self.covered) {
            self.covered = pass(self.covered + 1);
        }
        self.beyond = self.beyond.split_off(&self.covered);
    }
}

/// An assignment: the commit that it must not begin before, and what was delivered last.
#[derive(Clone, Copy)]
struct Assignment {
    not_before: i64,
    last: Option<i64>,
}

/// I6: an assignment begins at a committed place (the start of the log without one), behind every commit that was confirmed before it,
/// and goes on record by record; what is delivered is what is, or was, in the log; a partition that is not assigned is silent. What a
/// reader of committed records does not see is passed.
///
/// Where the end of a log was lost, a reader may begin again at its start (the reset policy) or at the place of the loss, and who begins
/// there need not be behind commits of what is gone. One that was behind that place goes on with what was written there anew, once there is
/// enough of it: klamm does not ask brokers yet where an epoch has ended (KIP-320).
pub(super) fn prefix(history: &History) -> Verdict {
    let visible = Visible::of(history);
    let mut places: BTreeMap<Partition, Place> = BTreeMap::new();
    let mut assigned: BTreeMap<(u32, Partition), Assignment> = BTreeMap::new();
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        match &entry.event {
            Event::Assigned { member, partitions } => {
                for partition in partitions {
                    let not_before = places.entry(*partition).or_default().acked;
                    _ = assigned.insert((*member, *partition), Assignment { not_before, last: None });
                }
            }
            Event::Revoked { member, partitions } | Event::Lost { member, partitions } => {
                partitions.iter().for_each(|partition| _ = assigned.remove(&(*member, *partition)));
            }
            Event::Ended { member, .. } => assigned.retain(|(owner, _), _| owner != member),
            Event::Destroyed { partition, from, .. } => _ = places.entry(*partition).or_default().lost.insert(*from),
            Event::CommitAsked { partition, offset, .. } => {
                let place = places.entry(*partition).or_default();
                _ = place.asked.insert(*offset);
                // Who reads again what stands before a loss commits it again.
                if !place.lost.is_empty() {
                    place.acked = place.acked.min(*offset);
                }
            }
            Event::CommitAcked { offsets, .. } => {
                for (partition, offset) in offsets {
                    let place = places.entry(*partition).or_default();
                    place.acked = place.acked.max(*offset);
                }
            }
            Event::Delivered { member, partition, offset, record } => {
                let object = |text: String| Err(broken("I6", history, at, text));
                let Some(assignment) = assigned.get_mut(&(*member, *partition)) else {
                    return object(format!("member {member} is handed {partition} at {offset}, which is not assigned to it"));
                };
                let place = places.entry(*partition).or_default();
                let from = visible.back(*partition, *offset);
                let begins_again = !place.lost.is_empty() && (from == 0 || place.lost.range(from..=*offset).next().is_some());
                let not_before = place.lost.first().map_or(assignment.not_before, |lost| assignment.not_before.min(*lost));
                match assignment.last {
                    _ if begins_again => {}
                    None if *offset > visible.pass(*partition, place.covered) => {
                        return object(format!(
                            "member {member} begins {partition} at {offset}, but nobody was handed {}",
                            visible.pass(*partition, place.covered)
                        ));
                    }
                    None if *offset < not_before => {
                        return object(format!(
                            "member {member} begins {partition} at {offset}, before the confirmed commit of {not_before}"
                        ));
                    }
                    None if from != 0 && place.asked.range(from..=*offset).next().is_none() => {
                        return object(format!("member {member} begins {partition} at {offset}, which nobody has committed"));
                    }
                    None => {}
                    Some(last) => {
                        let skipped = visible.next(*partition, last + 1).is_some_and(|next| next < *offset);
                        if *offset <= last || skipped {
                            return object(format!("member {member} is handed {partition} at {offset} after {last}"));
                        }
                    }
                }
                let found = visible.records(*partition, *offset);
                if !found.contains(record) {
                    let record = record.map_or("something".to_owned(), |record| record.to_string());
                    return object(format!(
                        "member {member} is handed {record} at {offset} of {partition}; the log has {found:?}"
                    ));
                }
                checks += 1;
                assignment.last = Some(*offset);
                place.deliver(*offset, |offset| visible.pass(*partition, offset));
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
    use crate::history::Fate;

    fn acked(offset: i64) -> Event {
        Event::CommitAcked { member: 1, offsets: vec![(P, offset)] }
    }

    fn of(events: impl IntoIterator<Item = Event>) -> History {
        log(history(events), &[0, 1, 2, 3])
    }

    #[test]
    fn an_assignment_goes_on_record_by_record() {
        holds("I6", &of([assigned(1), delivered(1, 0), delivered(1, 1)]));
        objects("I6", &of([assigned(1), delivered(1, 0), delivered(1, 2)]), "at 2 after 0");
        objects("I6", &of([assigned(1), delivered(1, 0), delivered(1, 0)]), "at 0 after 0");
    }

    #[test]
    fn a_partition_that_is_not_assigned_is_silent() {
        objects("I6", &of([delivered(1, 0)]), "not assigned to it");
        let revoked = Event::Revoked { member: 1, partitions: vec![P] };
        objects("I6", &of([assigned(1), delivered(1, 0), revoked, delivered(1, 1)]), "not assigned to it");
    }

    #[test]
    fn an_assignment_begins_at_a_committed_place() {
        let begun = |second: i64| {
            of([assigned(1), delivered(1, 0), delivered(1, 1), commit_asked(1, 2), acked(2), assigned(2), delivered(2, second)])
        };
        holds("I6", &begun(2));
        objects("I6", &begun(0), "before the confirmed commit of 2");
        objects("I6", &begun(3), "nobody was handed 2");
        objects(
            "I6",
            &of([assigned(1), delivered(1, 0), delivered(1, 1), assigned(2), delivered(2, 1)]),
            "which nobody has committed",
        );
        objects("I6", &of([assigned(1), delivered(1, 1)]), "nobody was handed 0");
    }

    #[test]
    fn after_a_loss_a_reader_begins_again_or_goes_on() {
        let of = |loss, then: i64, number: u64| {
            let next = Event::Delivered { member: 1, partition: P, offset: then, record: Some(record(number)) };
            of([assigned(1), delivered(1, 0), delivered(1, 1), delivered(1, 2), loss, next])
        };
        for (offset, number) in [(0, 0), (2, 2), (2, 9), (3, 3)] {
            holds("I6", &of(gone(9, 2, 3), offset, number));
        }
        objects("I6", &of(gone(9, 2, 3), 1, 1), "at 1 after 2");
        objects("I6", &of(gone(9, 2, 3), 2, 8), "p0/8 at 2");
        objects("I6", &of(Event::Expired, 0, 0), "at 0 after 2");
    }

    #[test]
    fn after_a_loss_commits_of_what_is_gone_bind_nobody() {
        let begun = |from: i64, second: i64| {
            let before = [assigned(1), delivered(1, 0), delivered(1, 1), delivered(1, 2)];
            let committed =
                [commit_asked(1, 1), commit_asked(1, 3), acked(3), gone(9, from, 3), assigned(2), delivered(2, second)];
            of(before.into_iter().chain(committed))
        };
        holds("I6", &begun(2, 2));
        holds("I6", &begun(2, 3));
        holds("I6", &begun(2, 0));
        holds("I6", &begun(1, 1));
        objects("I6", &begun(2, 1), "before the confirmed commit of 2");
        let again = |loss| {
            let before = [assigned(1), delivered(1, 0), commit_asked(1, 1), delivered(1, 1), commit_asked(1, 2), acked(2), loss];
            of(before.into_iter().chain([commit_asked(1, 1), assigned(2), delivered(2, 1)]))
        };
        holds("I6", &again(gone(9, 3, 4)));
        objects("I6", &again(Event::Expired), "before the confirmed commit of 2");
    }

    #[test]
    fn what_is_not_committed_is_passed_and_nothing_else() {
        let with_aborted = |events: &[Event]| {
            let mut history = of(events.iter().cloned());
            history.logs[0].records[0].fate = Fate::Aborted(5);
            history.logs[0].records[2].fate = Fate::Aborted(5);
            history
        };
        holds("I6", &with_aborted(&[assigned(1), delivered(1, 1), delivered(1, 3)]));
        objects("I6", &with_aborted(&[assigned(1), delivered(1, 3)]), "nobody was handed 1");
        objects("I6", &with_aborted(&[assigned(1), delivered(1, 1), delivered(1, 2)]), "at 2 of t0-0; the log has []");
        let again = |committed| [assigned(1), delivered(1, 1), commit_asked(1, committed), assigned(2), delivered(2, 3)];
        holds("I6", &with_aborted(&again(2)));
        holds("I6", &with_aborted(&again(3)));
        objects("I6", &with_aborted(&again(1)), "which nobody has committed");
    }

    #[test]
    fn what_is_delivered_is_what_is_in_the_log() {
        let other = Event::Delivered { member: 1, partition: P, offset: 0, record: Some(record(9)) };
        objects("I6", &of([assigned(1), other]), "p0/9 at 0");
    }
}
