//! I8: commits against deliveries.

use std::collections::BTreeMap;

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
}

/// I8: a member commits no more than it was handed, and within an assignment never less than before. (Before it was handed anything it may
/// repeat the commit that it found.) What a reader of committed records does not see may be passed.
pub(super) fn follow_deliveries(history: &History) -> Verdict {
    let mut shares: BTreeMap<(u32, Partition), Share> = BTreeMap::new();
    let mut highest: BTreeMap<Partition, i64> = BTreeMap::new();
    let visible = Visible::of(history);
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        match &entry.event {
            Event::Assigned { member, partitions } => {
                for partition in partitions {
                    let share = shares.entry((*member, *partition)).or_default();
                    (share.asked, share.begun) = (None, false);
                }
            }
            Event::Delivered { member, partition, offset, .. } => {
                let share = shares.entry((*member, *partition)).or_default();
                share.handed = share.handed.max(offset + 1);
                share.begun = true;
            }
            Event::CommitAsked { member, partition, offset } => {
                let share = shares.entry((*member, *partition)).or_default();
                let found = highest.get(partition).copied().unwrap_or(0);
                let limit = if share.begun { share.handed } else { share.handed.max(found) };
                let limit = visible.pass(*partition, limit);
                if *offset > limit {
                    let text = format!("member {member} commits {offset} of {partition}, but was handed records before {limit}");
                    return Err(broken("I8", history, at, text));
                }
                if let Some(before) = share.asked.filter(|before| before > offset) {
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
    use crate::history::Fate;

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
    fn the_commit_that_was_found_may_be_repeated() {
        holds("I8", &history([assigned(1), delivered(1, 0), commit_asked(1, 1), assigned(2), commit_asked(2, 1)]));
        objects("I8", &history([assigned(1), delivered(1, 0), commit_asked(1, 1), assigned(2), commit_asked(2, 2)]), "commits 2");
    }
}
