//! Writers beside the broker's core: what they say of their transactions is what the log says.

use std::time::Instant;

use klamm::protocol::ApiKey;
use klamm::protocol::frame::Frames;
use klamm::protocol::records::Compression;
use klamm_broker::unstable::{Action, Core};
use klamm_broker::{Intercept, SeenRequest};

use super::*;
use crate::history::Fate;
use crate::logs;

const PARTITIONS: i32 = 2;

fn plan(adds_partitions: bool) -> WriterPlan {
    WriterPlan {
        number: 0,
        adds_partitions,
        transactions: 40,
        batches: 3,
        records: 4,
        longest_pause: 10 * MILLISECOND,
        timeout: 2 * SECOND,
        request_timeout: SECOND,
        compression: Compression::None,
    }
}

/// What a run came to.
struct Outcome {
    events: Vec<Event>,
    /// By record: what the logs say, and how often.
    fates: BTreeMap<RecordId, Vec<Fate>>,
    /// How many requests of each API there were.
    asked: BTreeMap<ApiKey, usize>,
}

impl Outcome {
    fn transaction(&self, of: RecordId) -> Option<TransactionId> {
        self.events.iter().find_map(|event| match event {
            Event::Transacted { record, transaction } if *record == of => Some(*transaction),
            _ => None,
        })
    }

    fn ended(&self, id: TransactionId) -> Option<bool> {
        self.events.iter().find_map(|event| match event {
            Event::TransactionEnded { transaction, committed } if *transaction == id => Some(*committed),
            _ => None,
        })
    }

    /// How many were said to have ended so.
    fn count(&self, wanted: bool) -> usize {
        let is_so = |event: &&Event| matches!(event, Event::TransactionEnded { committed, .. } if *committed == wanted);
        self.events.iter().filter(is_so).count()
    }

    /// Each record is there once, and as its writer said.
    #[track_caller]
    fn holds(&self) {
        for (record, fates) in &self.fates {
            let transaction = self.transaction(*record).unwrap();
            let [fate] = fates[..] else { panic!("{record} is there {} times", fates.len()) };
            let expected = match fate {
                Fate::Committed(_) => true,
                Fate::Aborted(_) => false,
                Fate::Plain | Fate::Open => panic!("{record} of {transaction}: {fate:?}"),
            };
            assert!(self.ended(transaction).is_none_or(|committed| committed == expected), "{record} of {transaction}: {fate:?}");
        }
        for event in &self.events {
            if let Event::Acked { record, .. } = event {
                assert!(self.fates.contains_key(record), "{record} was acknowledged and is not there");
            }
        }
    }
}

/// Runs a writer to its end; `verdict` says what becomes of the how manieth request of an API.
fn run(plan: &WriterPlan, seed: u64, mut verdict: impl FnMut(&SeenRequest, usize) -> Intercept) -> Outcome {
    let start = Instant::now();
    let mut broker = Core::cluster(start, 3, &[("t0", PARTITIONS)], seed);
    let mut writer = Writer::new(plan, seed, 3, PARTITIONS, 600 * SECOND);
    let (mut now, mut connection, mut asked) = (Duration::ZERO, None, BTreeMap::<ApiKey, usize>::new());
    let mut answer = Frames::new(1 << 20);
    let mut events = Vec::new();
    while !writer.is_through() {
        if let Some(ask) = writer.poll(now) {
            connection = broker.connect_to(ask.node, "w");
            answer = Frames::new(1 << 20);
            broker.receive_with(start + now, connection.unwrap(), &ask.frame.slice(4..), |request| {
                let count = asked.entry(request.api_key).or_default();
                *count += 1;
                verdict(request, *count)
            });
        }
        while let Some(action) = broker.poll() {
            match action {
                Action::Send(of, bytes) if connection == Some(of) => {
                    bytes.iter().for_each(|bytes| answer.read_buffer().extend_from_slice(bytes));
                    if let Some(frame) = answer.next_frame().unwrap() {
                        writer.answered(now, &frame);
                    }
                }
                Action::Close(of) if connection == Some(of) => writer.lost(now),
                _ => {}
            }
        }
        events.extend(writer.take_events());
        let timeouts = [writer.next_timeout(), broker.next_timeout().map(|at| at.saturating_duration_since(start))];
        now = timeouts.into_iter().flatten().min().unwrap_or(now).max(now);
        if writer.is_waiting() && writer.next_timeout() == Some(now) {
            broker.close(connection.unwrap());
            writer.lost(now);
        }
        broker.pass(start + now);
    }
    let mut fates = BTreeMap::<_, Vec<_>>::new();
    for number in 0..PARTITIONS {
        for logged in logs::records(&broker.batches("t0", number)) {
            fates.entry(logged.record.unwrap()).or_default().push(logged.fate);
        }
    }
    Outcome { events, fates, asked }
}

#[test]
fn without_faults_transactions_end_as_their_writer_says() {
    for adds_partitions in [false, true] {
        let outcome = run(&plan(adds_partitions), 1, |_, _| Intercept::Pass);
        outcome.holds();
        assert!(outcome.count(true) > 10 && outcome.count(false) > 5);
        assert_eq!(outcome.asked.contains_key(&ApiKey::ADD_PARTITIONS_TO_TXN), adds_partitions);
        // Instances that were replaced, and those whose time was over.
        assert!(outcome.asked[&ApiKey::INIT_PRODUCER_ID] > 3);
    }
}

#[test]
fn what_was_not_answered_is_asked_again_and_done_once() {
    for adds_partitions in [false, true] {
        for (kind, silent) in [(0, false), (1, true)] {
            // Long enough for all that is asked again.
            let plan = WriterPlan { timeout: 60 * SECOND, ..plan(adds_partitions) };
            let outcome = run(&plan, 2 + kind, |_, count| match count % 3 {
                0 if silent => Intercept::ProcessThenSwallow,
                0 => Intercept::ProcessThenClose,
                1 if silent => Intercept::Swallow,
                _ => Intercept::Pass,
            });
            outcome.holds();
            assert!(outcome.count(true) > 5 && outcome.count(false) > 2);
        }
    }
}

#[test]
fn nothing_is_said_of_a_commit_that_was_refused_after_it_was_asked_for() {
    for adds_partitions in [false, true] {
        let refuse = |request: &SeenRequest, _| match request.api_key {
            ApiKey::END_TXN => Intercept::Error(ErrorCode::PRODUCER_FENCED),
            _ => Intercept::Pass,
        };
        let outcome = run(&plan(adds_partitions), 5, refuse);
        outcome.holds();
        assert_eq!(outcome.count(true), 0);
        let asked = outcome.events.iter().filter_map(|event| match event {
            Event::EndAsked { transaction, commit: true } => Some(outcome.ended(*transaction)),
            _ => None,
        });
        let said: Vec<_> = asked.collect();
        assert!(said.len() > 10 && said.iter().all(Option::is_none), "{said:?}");
    }
}
