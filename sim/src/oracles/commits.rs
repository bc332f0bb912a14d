//! I8: commits against deliveries.

use std::collections::{BTreeMap, BTreeSet};

use super::visible::Visible;
use super::{Verdict, broken};
use crate::history::{Event, History, Partition};

/// What one member did with one partition.
#[derive(Default)]
struct Share {
    /// The offset behind the highest that it was ever handed.
    handed: i64,
    /// Of this assignment: the highest commit that was asked for.
    asked: Option<i64>,
    /// Of this assignment: was it handed anything?
    begun: bool,
    /// Of this assignment: was it handed again what it has committed?
    again: bool,
}

/// I8: a member commits no more than it was handed, and within an assignment never less than before. (Before it was handed anything it may
/// repeat the commit that it found.) What a reader of committed records does not see may be passed. Where the end of a log was lost, who is
/// handed again what it has committed goes back, perhaps more than once: a commit that was on its way comes again, too.
pub(super) fn follow_deliveries(history: &History) -> Verdict {
    let mut shares: BTreeMap<(u32, Partition), Share> = BTreeMap::new();
    let mut highest: BTreeMap<Partition, i64> = BTreeMap::new();
    let mut lossy = BTreeSet::new();
    let visible = Visible::of(history);
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        match &entry.event {
            Event::Assigned { member, partitions } => {
                for partition in partitions {
                    let share = shares.entry((*member, *partition)).or_default();
                    (share.asked, share.begun, share.again) = (None, false, false);
                }
            }
            Event::Delivered { member, partition, offset, .. } => {
                let share = shares.entry((*member, *partition)).or_default();
                share.handed = share.handed.max(offset + 1);
                share.begun = true;
                share.again |= lossy.contains(partition) && share.asked.is_some_and(|asked| *offset < asked);
            }
            Event::Destroyed { partition, .. } => _ = lossy.insert(*partition),
            Event::CommitAsked { member, partition, offset } => {
                let share = shares.entry((*member, *partition)).or_default();
                let found = highest.get(partition).copied().unwrap_or(0);
                let limit = if share.begun { share.handed } else { share.handed.max(found) };
                let limit = visible.pass(*partition, limit);
                if *offset > limit {
                    let text = format!("member {member} commits {offset} of {partition}, but was handed records before {limit}");
                    return Err(broken("I8", history, at, text));
                }
                if let Some(before) = share.asked.filter(|before| before > offset && !share.again) {
                    let text = format!("member {member} commits {offset} of {partition} after {before}");
                    return Err(broken("I8", history, at, text));
                }
                share.asked = Some(*offset);
                let highest = highest.entry(*partition).or_default();
                *highest = (*highest).max(*offset);
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
    use crate::history::{Event, Fate};

    #[test]
    fn a_commit_passes_no_record_that_was_not_handed_out() {
        holds("I8", &history([assigned(1), delivered(1, 0), commit_asked(1, 1)]));
        objects(
            "I8",
            &history([assigned(1), delivered(1, 0), commit_asked(1, 2)]),
            "commits 2 of t0-0, but was handed records before 1",
        );
        objects("I8", &history([assigned(1), commit_asked(1, 1)]), "commits 1");
    }

    #[test]
    fn a_commit_passes_markers_and_what_did_not_commit() {
        let of = |offset| {
            let mut history = log(history([assigned(1), delivered(1, 0), commit_asked(1, offset)]), &[0, 1, 2]);
            history.logs[0].records[1].fate = Fate::Aborted(3);
            history.logs[0].end = 4;
            history
        };
        holds("I8", &of(2));
        objects("I8", &of(3), "commits 3 of t0-0, but was handed records before 2");
    }

    #[test]
    fn a_commit_does_not_go_back() {
        let events = [assigned(1), delivered(1, 0), delivered(1, 1), commit_asked(1, 2), commit_asked(1, 1)];
        objects("I8", &history(events), "commits 1 of t0-0 after 2");
    }

    #[test]
    fn a_commit_goes_back_to_what_is_read_again_after_a_loss() {
        let events = |loss| {
            let again = [delivered(1, 0), commit_asked(1, 1)];
            [assigned(1), delivered(1, 0), delivered(1, 1), loss, commit_asked(1, 2)].into_iter().chain(again)
        };
        holds("I8", &history(events(gone(0, 0, 2))));
        objects("I8", &history(events(Event::Expired)), "commits 1 of t0-0 after 2");
        let without_reading =
            [assigned(1), delivered(1, 0), delivered(1, 1), commit_asked(1, 2), gone(0, 0, 2), commit_asked(1, 1)];
        objects("I8", &history(without_reading), "commits 1 of t0-0 after 2");
    }

    #[test]
    fn the_commit_that_was_found_may_be_repeated() {
        holds("I8", &history([assigned(1), delivered(1, 0), commit_asked(1, 1), assigned(2), commit_asked(2, 1)]));
        objects("I8", &history([assigned(1), delivered(1, 0), commit_asked(1, 1), assigned(2), commit_asked(2, 2)]), "commits 2");
    }
}
