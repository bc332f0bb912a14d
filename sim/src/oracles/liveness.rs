//! I11 and I12: everything comes to its end, in time.

use std::collections::BTreeMap;

use super::{Verdict, broken, destroyed, wrong};
use crate::history::{Event, History, Partition};

/// I11: within a bounded time after the last fault every record has its result, and what is consumed was read and committed to its end. (Where
/// the end of a log was lost, a commit of a place behind the new end may stand; and where a topic was deleted, which takes the commits along, and
/// its successor has grown just so far as a reader stands, there is nothing to commit.)
pub(super) fn settles(history: &History) -> Verdict {
    let mut healed = None;
    let mut settled = None;
    let mut open = BTreeMap::new();
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        match &entry.event {
            Event::Healed => healed = Some(entry.at),
            Event::Settled => settled = Some((at, entry.at)),
            Event::Accepted { record, .. } => _ = open.insert(*record, at),
            Event::Acked { record, .. } | Event::Failed { record, .. } => {
                checks += u64::from(open.remove(record).is_some());
            }
            Event::Abandoned { record } => _ = open.remove(record),
            _ => {}
        }
    }
    let Some(healed) = healed else { return Err(wrong("I11", "the run's faults have no end")) };
    let limit = healed + history.bounds.recovery;
    match settled {
        Some((_, at)) if at <= limit => checks += 1,
        Some((event, at)) => {
            return Err(broken("I11", history, event, format!("settled {:?} after the last fault", at.saturating_sub(healed))));
        }
        None => return Err(wrong("I11", format!("not settled {:?} after the last fault", history.ended.saturating_sub(healed)))),
    }
    if let Some((record, at)) = open.first_key_value() {
        return Err(broken("I11", history, *at, format!("{record} was accepted and has no result")));
    }
    if history.bounds.reads_all {
        let destroyed = destroyed(history);
        for log in history.logs.iter().filter(|log| log.partition.topic == 0) {
            let committed = log.committed.unwrap_or(0);
            let is_lossy = destroyed.contains_key(&log.partition);
            let is_fine = is_lossy && (committed > log.end || stood_at(history, log.partition, log.end));
            if committed != log.end && !is_fine {
                return Err(wrong("I11", format!("{} is committed up to {committed} and ends at {}", log.partition, log.end)));
            }
            checks += 1;
        }
    }
    Ok(checks)
}

/// Did a reader stand at this offset?
pub(crate) fn stood_at(history: &History, partition: Partition, next: i64) -> bool {
    let stood = |event: &Event| match event {
        Event::Delivered { partition: of, offset, .. } => *of == partition && *offset + 1 == next,
        Event::CommitAsked { partition: of, offset, .. } => *of == partition && *offset == next,
        _ => false,
    };
    history.events.iter().any(|entry| stood(&entry.event))
}

/// I12: every call has returned, or was dropped, by its deadline.
pub(super) fn deadlines(history: &History) -> Verdict {
    let grace = history.bounds.grace;
    let mut open = BTreeMap::new();
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        match &entry.event {
            Event::Called { call, what, limit } => _ = open.insert(*call, (at, *what, entry.at + *limit + grace)),
            Event::Returned { call, .. } => {
                let Some((_, what, deadline)) = open.remove(call) else { continue };
                if entry.at > deadline {
                    return Err(broken("I12", history, at, format!("{what:?} returned {:?} late", entry.at - deadline + grace)));
                }
                checks += 1;
            }
            Event::Dropped { call } => _ = open.remove(call),
            _ => {}
        }
    }
    match open.values().find(|(.., deadline)| *deadline < history.ended) {
        Some((at, what, _)) => Err(broken("I12", history, *at, format!("{what:?} has not returned by its deadline"))),
        None => Ok(checks),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::*;
    use super::*;
    use crate::history::{Call, Log};

    #[test]
    fn what_is_accepted_has_a_result_in_the_end() {
        let all = || [accepted(0), acked(0, 0), Event::Healed, Event::Settled];
        holds("I11", &history(all()));
        objects("I11", &history([accepted(0), Event::Healed, Event::Settled]), "p0/0 was accepted and has no result");
        objects("I11", &history([Event::Healed]), "not settled");
        objects("I11", &history([accepted(0), acked(0, 0)]), "have no end");
        let mut late = history(all());
        late.events[3].at = 100 * SECOND;
        objects("I11", &late, "settled 98s after the last fault");
    }

    #[test]
    fn what_is_consumed_is_committed_to_its_end() {
        let of = |committed| {
            let mut history = history([Event::Healed, Event::Settled]);
            history.bounds.reads_all = true;
            history.logs.push(Log { partition: P, records: Vec::new(), end: 3, committed });
            history
        };
        holds("I11", &of(Some(3)));
        objects("I11", &of(Some(2)), "committed up to 2 and ends at 3");
        objects("I11", &of(None), "committed up to 0 and ends at 3");
        objects("I11", &of(Some(4)), "committed up to 4 and ends at 3");
        let lossy = |committed| {
            let mut history = of(committed);
            history.push(SECOND, gone(0, 3, 5));
            history
        };
        holds("I11", &lossy(Some(4)));
        objects("I11", &lossy(Some(2)), "committed up to 2 and ends at 3");
        let stands = |offset| {
            let mut history = lossy(None);
            history.push(SECOND, delivered(1, offset));
            history
        };
        holds("I11", &stands(2));
        objects("I11", &stands(1), "committed up to 0 and ends at 3");
    }

    #[test]
    fn calls_end_by_their_deadline() {
        let called = || Event::Called { call: 1, what: Call::Flush(0), limit: 2 * SECOND };
        let returned = || Event::Returned { call: 1, ok: true };
        holds("I12", &history([called(), returned()]));
        objects("I12", &history([called(), Event::Healed, Event::Healed, Event::Healed, returned()]), "Flush(0) returned");
        objects("I12", &history([called(), Event::Healed, Event::Healed, Event::Healed, Event::Healed]), "has not returned");
        assert_eq!(
            ask("I12", &history([called(), Event::Healed, Event::Dropped { call: 1 }, Event::Healed, Event::Healed])),
            Ok(0)
        );
    }
}
