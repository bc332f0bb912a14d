//! The workload of transactions reaches what it is for, on both levels: readers meet transactions that interleave, of every end.

use std::collections::{BTreeMap, BTreeSet};

use klamm_sim::campaign::LEVELS;
use klamm_sim::history::{Event, Fate, History};
use klamm_sim::run::{Case, run};
use klamm_sim::workload::Kind;

/// What was met.
fn met(history: &History, seen: &mut BTreeMap<&'static str, u64>) {
    let mut count = |what, add: usize| *seen.entry(what).or_default() += add as u64;
    let mut asked = BTreeSet::new();
    let mut ended = BTreeSet::new();
    let mut empty = BTreeSet::new();
    for entry in &history.events {
        match &entry.event {
            Event::EndAsked { transaction, .. } => _ = asked.insert(*transaction),
            Event::TransactionEnded { transaction, committed } => {
                _ = ended.insert(*transaction);
                count(if *committed { "committed" } else { "aborted" }, 1);
            }
            Event::Marked { partition, offset, .. } => _ = empty.insert((*partition, *offset)),
            Event::Delivered { record: Some(record), .. } => {
                count(if record.producer < 200 { "plain records read" } else { "transactional records read" }, 1);
            }
            _ => {}
        }
    }
    count("ends that the writer does not know", asked.difference(&ended).count());
    for log in &history.logs {
        let mut spans = BTreeMap::<i64, (i64, i64)>::new();
        for logged in &log.records {
            if let Fate::Committed(marker) | Fate::Aborted(marker) = logged.fate {
                _ = empty.remove(&(log.partition, marker));
                _ = spans.entry(marker).or_insert((logged.offset, marker));
            }
        }
        let spans: Vec<_> = spans.into_values().collect();
        let overlap = |(from, to): &(i64, i64)| spans.iter().any(|(first, _)| from < first && first < to);
        count("transactions that another began in", spans.iter().filter(|span| overlap(span)).count());
    }
    count("markers behind nothing", empty.len());
}

#[test]
fn readers_meet_transactions_of_every_kind() {
    for level in LEVELS {
        let mut seen = BTreeMap::new();
        let mut checks = 0;
        for seed in 0..30 {
            let case = Case::draw(Kind::Transactions, seed);
            let outcome = run(*level, &case);
            match outcome.verdict {
                Ok(counted) => checks += counted["I4"],
                Err(violation) => panic!("{}, seed {seed}: {violation}", level.name()),
            }
            met(&outcome.run.expect("it did not panic").history, &mut seen);
        }
        println!("{}: {checks} checks of I4, {seen:?}", level.name());
        assert!(checks > 10_000, "{}: only {checks} checks", level.name());
        let all = [
            "aborted",
            "committed",
            "ends that the writer does not know",
            "markers behind nothing",
            "plain records read",
            "transactional records read",
            "transactions that another began in",
        ];
        for what in all {
            assert!(seen.get(what).is_some_and(|count| *count > 5), "{}, {what}: {seen:?}", level.name());
        }
    }
}
