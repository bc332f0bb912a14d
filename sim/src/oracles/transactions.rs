//! I4: transactions, as a reader of committed records sees them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Verdict, Violation, broken, destroyed, wrong};
use crate::history::{Event, Fate, History, Log, Logged, Partition, RecordId, TransactionId};

/// What the writers said of a transaction.
#[derive(Default)]
struct Said {
    /// When a commit was asked for.
    commit_asked: Option<usize>,
    /// How it has ended.
    ended: Option<bool>,
    /// Its records, and whether each was acknowledged.
    records: BTreeMap<RecordId, bool>,
}

/// I4: no record is handed out whose transaction is aborted, open, or not committed yet by the log; none that is to be seen is missing
/// behind a committed place; and in the logs a transaction is committed as a whole or not at all, only if its writer asked for it, and
/// always if the writer was told so.
pub(super) fn committed_alone(history: &History) -> Verdict {
    let destroyed = destroyed(history);
    // What was lost before all replicas in sync had it, nobody has seen.
    let lossy = |partition: Partition| {
        destroyed.get(&partition).is_some_and(|losses| losses.iter().any(|loss| loss.from < loss.high_watermark))
    };
    let whole = |log: &&Log| log.partition.topic == 0 && !lossy(log.partition);
    let logs: Vec<&Log> = history.logs.iter().filter(whole).collect();
    let transactional = |log: &&Log| log.records.iter().any(|logged| logged.fate != Fate::Plain);
    if !logs.iter().any(transactional) {
        return Ok(0);
    }
    let mut checks = read(history, &logs)?;
    checks += written(history, &logs)?;
    Ok(checks)
}

/// What readers were handed.
fn read(history: &History, logs: &[&Log]) -> Verdict {
    let fates = logs.iter().map(|log| (log.partition, log.records.iter().map(|logged| (logged.offset, logged.fate)).collect()));
    let fates: BTreeMap<Partition, BTreeMap<i64, Fate>> = fates.collect();
    let mut marked = BTreeSet::new();
    let mut handed = BTreeSet::new();
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        match &entry.event {
            Event::Marked { partition, offset, .. } => _ = marked.insert((*partition, *offset)),
            Event::Delivered { member, partition, offset, .. } => {
                _ = handed.insert((*partition, *offset));
                let Some(fate) = fates.get(partition).and_then(|log| log.get(offset)) else { continue };
                let what = match fate {
                    Fate::Aborted(_) => "whose transaction was aborted",
                    Fate::Open => "whose transaction is open",
                    Fate::Committed(marker) if !marked.contains(&(*partition, *marker)) => "before its transaction was committed",
                    Fate::Plain | Fate::Committed(_) => {
                        checks += 1;
                        continue;
                    }
                };
                return Err(broken("I4", history, at, format!("member {member} is handed {partition} at {offset}, {what}")));
            }
            _ => {}
        }
    }
    for log in logs {
        let committed = log.committed.unwrap_or(0);
        let visible = log.records.iter().filter(|logged| logged.fate.is_visible() && logged.offset < committed);
        for Logged { offset, .. } in visible {
            if !handed.contains(&(log.partition, *offset)) {
                let text = format!("{} is committed up to {committed}, but nobody was handed {offset}", log.partition);
                return Err(wrong("I4", text));
            }
            checks += 1;
        }
    }
    Ok(checks)
}

/// What the writers said, beside the logs.
fn written(history: &History, logs: &[&Log]) -> Verdict {
    let mut transactions: BTreeMap<TransactionId, Said> = BTreeMap::new();
    let mut of = BTreeMap::new();
    let mut marked = BTreeMap::new();
    let mut settled = false;
    for (at, entry) in history.events.iter().enumerate() {
        match &entry.event {
            Event::Transacted { record, transaction } => {
                _ = of.insert(*record, *transaction);
                _ = transactions.entry(*transaction).or_default().records.insert(*record, false);
            }
            Event::Acked { record, .. } => {
                if let Some(said) = of.get(record).and_then(|transaction| transactions.get_mut(transaction)) {
                    _ = said.records.insert(*record, true);
                }
            }
            Event::EndAsked { transaction, commit: true } => {
                _ = transactions.entry(*transaction).or_default().commit_asked.get_or_insert(at);
            }
            Event::TransactionEnded { transaction, committed } => {
                transactions.entry(*transaction).or_default().ended = Some(*committed);
            }
            Event::Marked { partition, offset, .. } => _ = marked.insert((*partition, *offset), at),
            Event::Settled => settled = true,
            _ => {}
        }
    }
    let logged = logs.iter().flat_map(|log| log.records.iter().map(|logged| (log.partition, logged)));
    let there: BTreeMap<RecordId, (Partition, &Logged)> =
        logged.filter_map(|(partition, logged)| Some((logged.record?, (partition, logged)))).collect();
    let mut checks = 0;
    for (transaction, said) in &transactions {
        let mut outcome: Option<(RecordId, bool)> = None;
        for (record, acked) in &said.records {
            let place = there.get(record);
            // Where the log has an end of it, that is the event to look at.
            let event = place.and_then(|(partition, logged)| match logged.fate {
                Fate::Committed(marker) | Fate::Aborted(marker) => marked.get(&(*partition, marker)).copied(),
                Fate::Plain | Fate::Open => None,
            });
            let object = |text: &str| Err(Violation { event, ..wrong("I4", format!("{record} of {transaction} {text}")) });
            let Some((_, logged)) = place else {
                if said.ended == Some(true) && *acked && logs.len() == partitions(history) {
                    return object("was committed, but is in no log");
                }
                continue;
            };
            let committed = match logged.fate {
                Fate::Plain => return object("is in the log without a transaction"),
                Fate::Open if settled => return object("is in the log, and its transaction never ended"),
                Fate::Open => continue,
                Fate::Aborted(_) => false,
                Fate::Committed(_) => {
                    let Some(asked) = said.commit_asked else { return object("is committed, which nobody asked for") };
                    if event.is_some_and(|marked| marked < asked) {
                        return object("is committed by a marker that came before it was asked for");
                    }
                    true
                }
            };
            if said.ended.is_some_and(|ended| ended != committed) {
                return object(if committed { "is committed, but was aborted" } else { "is aborted, but was committed" });
            }
            if let Some((other, its)) = outcome.replace((*record, committed)).filter(|(_, its)| *its != committed) {
                let text = format!("{transaction} was torn: {record} is committed: {committed}, and {other}: {its}");
                return Err(Violation { event, ..wrong("I4", text) });
            }
            checks += 1;
        }
    }
    Ok(checks)
}

/// How many partitions the consumed topic has.
fn partitions(history: &History) -> usize {
    history.logs.iter().filter(|log| log.partition.topic == 0).count()
}

#[cfg(test)]
mod tests {
    use super::super::scene::*;
    use super::*;

    const T: TransactionId = TransactionId { writer: 1, number: 4 };

    fn transacted(number: u64) -> Event {
        Event::Transacted { record: record(number), transaction: T }
    }

    fn marked(offset: i64, committed: bool) -> Event {
        Event::Marked { partition: P, offset, producer_id: 7, committed }
    }

    fn end_asked(commit: bool) -> Event {
        Event::EndAsked { transaction: T, commit }
    }

    fn ended(committed: bool) -> Event {
        Event::TransactionEnded { transaction: T, committed }
    }

    /// A log of records with these fates.
    fn of(events: impl IntoIterator<Item = Event>, fates: &[Fate]) -> History {
        let numbers: Vec<u64> = (0..fates.len() as u64).collect();
        let mut history = log(history(events), &numbers);
        for (logged, fate) in history.logs[0].records.iter_mut().zip(fates) {
            logged.fate = *fate;
        }
        history
    }

    const COMMITTED: Fate = Fate::Committed(3);
    const ABORTED: Fate = Fate::Aborted(3);

    #[test]
    fn a_reader_is_handed_what_is_committed_when_it_is() {
        holds("I4", &of([marked(3, true), delivered(1, 0), delivered(1, 1)], &[Fate::Plain, COMMITTED]));
        objects("I4", &of([delivered(1, 1), marked(3, true)], &[Fate::Plain, COMMITTED]), "before its transaction was committed");
        objects("I4", &of([marked(2, true), delivered(1, 1)], &[Fate::Plain, COMMITTED]), "before its transaction was committed");
    }

    #[test]
    fn nobody_is_handed_what_was_aborted_or_is_open() {
        let events = || [marked(3, false), delivered(1, 1)];
        objects("I4", &of(events(), &[Fate::Plain, ABORTED]), "at 1, whose transaction was aborted");
        objects("I4", &of(events(), &[Fate::Plain, Fate::Open]), "at 1, whose transaction is open");
    }

    #[test]
    fn nothing_that_is_to_be_seen_is_missing_behind_a_committed_place() {
        let committed = |events: &[Event], up_to| {
            let mut history = of(events.iter().cloned(), &[Fate::Plain, ABORTED, COMMITTED]);
            history.logs[0].committed = Some(up_to);
            history
        };
        let handed = [marked(3, true), delivered(1, 0)];
        holds("I4", &committed(&handed, 2));
        objects("I4", &committed(&handed, 3), "committed up to 3, but nobody was handed 2");
        objects("I4", &committed(&handed[..1], 1), "nobody was handed 0");
    }

    #[test]
    fn a_transaction_is_committed_as_a_whole() {
        let events = || [transacted(0), transacted(1), end_asked(true), marked(3, true)];
        holds("I4", &of(events(), &[COMMITTED, COMMITTED]));
        holds("I4", &of(events(), &[ABORTED, ABORTED]));
        objects("I4", &of(events(), &[COMMITTED, ABORTED]), "transaction 4 of writer 1 was torn");
        objects("I4", &of(events(), &[COMMITTED, Fate::Plain]), "p0/1 of transaction 4 of writer 1 is in the log without");
    }

    #[test]
    fn a_transaction_ends_as_its_writer_was_told() {
        let told = |committed| [transacted(0), end_asked(true), marked(3, committed), ended(committed)];
        holds("I4", &of(told(true), &[COMMITTED]));
        holds("I4", &of(told(false), &[ABORTED]));
        objects("I4", &of(told(true), &[ABORTED]), "is aborted, but was committed");
        objects("I4", &of(told(false), &[COMMITTED]), "is committed, but was aborted");
        let lost = [transacted(0), transacted(1), acked(1, 1), end_asked(true), ended(true)];
        objects("I4", &of(lost.clone(), &[COMMITTED]), "p0/1 of transaction 4 of writer 1 was committed, but is in no log");
        holds("I4", &of(lost, &[COMMITTED, COMMITTED]));
    }

    #[test]
    fn nothing_is_committed_that_nobody_asked_for() {
        objects("I4", &of([transacted(0), end_asked(false), marked(3, true)], &[COMMITTED]), "which nobody asked for");
        objects("I4", &of([transacted(0), marked(3, true), end_asked(true)], &[COMMITTED]), "before it was asked for");
    }

    #[test]
    fn no_transaction_is_open_in_the_end() {
        assert_eq!(ask("I4", &of([transacted(0), Event::Healed], &[Fate::Open])), Ok(0));
        objects("I4", &of([transacted(0), Event::Healed, Event::Settled], &[Fate::Open]), "its transaction never ended");
    }

    #[test]
    fn without_transactions_nothing_is_compared_and_what_was_destroyed_is_not_missed() {
        assert_eq!(ask("I4", &of([delivered(1, 0)], &[Fate::Plain])), Ok(0));
        assert_eq!(ask("I4", &of([gone(9, 0, 2), delivered(1, 0)], &[ABORTED])), Ok(0));
        objects("I4", &of([gone(9, 0, 0), delivered(1, 0)], &[ABORTED]), "whose transaction was aborted");
    }
}
