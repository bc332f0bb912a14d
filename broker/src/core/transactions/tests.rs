//! Each call in each state of a transactional id, by both protocols; what the epochs come to.

use std::time::{Duration, Instant};

use klamm::protocol::ErrorCode;

use crate::core::transactions::{End, Identity, Moment, ProducerIds, Protocol, State, Transaction};

const MINUTE: Duration = Duration::from_secs(60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const STATES: [State; 6] = [
    State::Empty,
    State::Ongoing,
    State::Prepare(End::Commit),
    State::Prepare(End::Abort),
    State::Complete(End::Commit),
    State::Complete(End::Abort),
];
const FENCED: ErrorCode = ErrorCode::PRODUCER_FENCED;
const OTHER_ID: ErrorCode = ErrorCode::INVALID_PRODUCER_ID_MAPPING;
const BUSY: ErrorCode = ErrorCode::CONCURRENT_TRANSACTIONS;
const INVALID: ErrorCode = ErrorCode::INVALID_TXN_STATE;

struct Harness {
    now: Moment,
    ids: ProducerIds,
    transaction: Transaction,
    protocol: Protocol,
}

impl Harness {
    /// Just after the first InitProducerId.
    fn new(protocol: Protocol) -> Self {
        let now = Moment { at: Instant::now(), millis: 1_700_000_000_000 };
        let mut ids = ProducerIds { next: 5 };
        let transaction = Transaction::new(now, ids.next());
        let mut harness = Self { now, ids, transaction, protocol };
        assert_eq!(harness.init(None), Ok(Identity { id: 5, epoch: 0 }));
        harness
    }

    /// Brought to a state; what the producer knows of itself is the second.
    fn at(protocol: Protocol, state: State) -> (Self, Identity) {
        let mut harness = Self::new(protocol);
        let mut producer = harness.producer();
        if state != State::Empty {
            assert_eq!(harness.add(producer), Ok(()));
        }
        match state {
            State::Empty | State::Ongoing => {}
            State::Prepare(end) => _ = harness.end(producer, end).expect("it is open"),
            State::Complete(end) => {
                producer = harness.end(producer, end).expect("it is open");
                harness.complete();
            }
        }
        assert_eq!(harness.transaction.state(), state);
        (harness, producer)
    }

    fn producer(&self) -> Identity {
        self.transaction.producer()
    }

    fn pass(&mut self, duration: Duration) {
        self.now.at += duration;
        self.now.millis += i64::try_from(duration.as_millis()).expect("short");
    }

    fn init(&mut self, expected: Option<Identity>) -> Result<Identity, ErrorCode> {
        self.transaction.init(self.now, MINUTE, expected, self.protocol, &mut self.ids)
    }

    fn add(&mut self, producer: Identity) -> Result<(), ErrorCode> {
        self.transaction.add(self.now, producer, [("t".to_owned(), 0)])
    }

    fn end(&mut self, producer: Identity, end: End) -> Result<Identity, ErrorCode> {
        self.transaction.end(self.now, producer, end, self.protocol, &mut self.ids)
    }

    fn complete(&mut self) {
        let partitions = self.transaction.partitions().clone();
        partitions.iter().for_each(|partition| self.transaction.marked(partition));
        assert!(self.transaction.is_marked());
        self.transaction.complete(self.now);
    }
}

fn next(producer: Identity) -> Identity {
    Identity { epoch: producer.epoch + 1, ..producer }
}

#[test]
fn adding_works_in_every_state_but_while_a_transaction_ends() {
    for protocol in [Protocol::V1, Protocol::V2] {
        for state in STATES {
            let (mut harness, producer) = Harness::at(protocol, state);
            // While it ends by the second protocol, the old epoch is over already.
            let expected = match state {
                State::Prepare(_) if protocol == Protocol::V2 => Err(FENCED),
                State::Prepare(_) => Err(BUSY),
                _ => Ok(()),
            };
            assert_eq!(harness.add(producer), expected, "{state:?} {protocol:?}");
            let current = harness.producer();
            let expected = if let State::Prepare(_) = state { Err(BUSY) } else { Ok(()) };
            assert_eq!(harness.add(current), expected, "{state:?} {protocol:?}");
            assert_eq!(harness.transaction.state() == State::Ongoing, expected.is_ok());
        }
    }
}

#[test]
fn another_producer_or_epoch_is_refused_in_every_state() {
    for protocol in [Protocol::V1, Protocol::V2] {
        for state in STATES {
            let (mut harness, _) = Harness::at(protocol, state);
            let current = harness.producer();
            let other = Identity { id: 77, ..current };
            let (older, newer) = (Identity { epoch: current.epoch - 2, ..current }, next(current));
            let partition = ("t".to_owned(), 0);
            for end in [End::Commit, End::Abort] {
                assert_eq!(harness.end(other, end), Err(OTHER_ID), "{state:?}");
                assert_eq!(harness.end(older, end), Err(FENCED), "{state:?}");
                assert_eq!(harness.end(newer, end), Err(FENCED), "{state:?}");
            }
            for (producer, code) in [(other, OTHER_ID), (older, FENCED), (newer, FENCED)] {
                assert_eq!(harness.add(producer), Err(code), "{state:?}");
                assert_eq!(harness.transaction.verify(producer, &partition), Err(code), "{state:?}");
            }
            assert_eq!(harness.init(Some(other)), Err(FENCED), "{state:?}");
            assert_eq!(harness.transaction.state(), state);
        }
    }
}

#[test]
fn only_what_was_added_to_an_open_transaction_may_be_written() {
    for state in STATES {
        let (harness, _) = Harness::at(Protocol::V1, state);
        let expected = match state {
            State::Ongoing => Ok(()),
            State::Prepare(_) => Err(BUSY),
            _ => Err(ErrorCode::TRANSACTION_ABORTABLE),
        };
        assert_eq!(harness.transaction.verify(harness.producer(), &("t".to_owned(), 0)), expected, "{state:?}");
        let other = harness.transaction.verify(harness.producer(), &("t".to_owned(), 1));
        assert!(other.is_err(), "{state:?}");
    }
}

#[test]
fn ending_by_the_first_protocol() {
    for state in STATES {
        for end in [End::Commit, End::Abort] {
            let (mut harness, producer) = Harness::at(Protocol::V1, state);
            let expected = match state {
                State::Ongoing => Ok(producer),
                State::Complete(ended) if ended == end => Ok(producer),
                State::Prepare(ending) if ending == end => Err(BUSY),
                _ => Err(INVALID),
            };
            assert_eq!(harness.end(producer, end), expected, "{end:?} in {state:?}");
            let after = if state == State::Ongoing { State::Prepare(end) } else { state };
            assert_eq!(harness.transaction.state(), after);
        }
    }
}

#[test]
fn ending_by_the_second_protocol_raises_the_epoch() {
    for state in STATES {
        for end in [End::Commit, End::Abort] {
            let (mut harness, producer) = Harness::at(Protocol::V2, state);
            let expected = match state {
                State::Ongoing => Ok(next(producer)),
                State::Prepare(ending) if ending == end => Err(BUSY),
                State::Prepare(_) => Err(INVALID),
                State::Empty | State::Complete(_) if end == End::Abort => Ok(next(producer)),
                State::Empty | State::Complete(_) => Err(INVALID),
            };
            assert_eq!(harness.end(producer, end), expected, "{end:?} in {state:?}");
            let after = if expected.is_ok() { State::Prepare(end) } else { state };
            assert_eq!(harness.transaction.state(), after);
        }
    }
}

#[test]
fn a_repeated_end_of_the_second_protocol_gets_the_same_answer() {
    for end in [End::Commit, End::Abort] {
        let (mut harness, producer) = Harness::at(Protocol::V2, State::Ongoing);
        let ended = harness.end(producer, end).expect("it is open");
        assert_eq!(harness.end(producer, end), Err(BUSY));
        harness.complete();
        assert_eq!(harness.end(producer, end), Ok(ended));
        let other = if end == End::Commit { End::Abort } else { End::Commit };
        assert_eq!(harness.end(producer, other), Err(INVALID));
        assert_eq!(harness.transaction.state(), State::Complete(end));
    }
}

#[test]
fn starting_anew_raises_the_epoch_and_fences_an_open_transaction_first() {
    for protocol in [Protocol::V1, Protocol::V2] {
        for state in STATES {
            let (mut harness, producer) = Harness::at(protocol, state);
            let before = harness.producer();
            match state {
                State::Prepare(_) => {
                    assert_eq!(harness.init(None), Err(BUSY));
                    assert_eq!(harness.transaction.state(), state);
                    continue;
                }
                State::Ongoing => {
                    assert_eq!(harness.init(None), Err(BUSY));
                    assert_eq!(harness.transaction.state(), State::Prepare(End::Abort));
                    let v2 = protocol == Protocol::V2;
                    assert_eq!(harness.end(producer, End::Commit), Err(if v2 { INVALID } else { FENCED }));
                    assert_eq!(harness.end(producer, End::Abort), Err(if v2 { BUSY } else { FENCED }));
                    assert_eq!(harness.producer(), next(before));
                    assert_eq!(harness.init(None), Err(BUSY), "the marker is missing");
                    harness.complete();
                    // To the second protocol it is an end like any other, for one who has not heard of another instance.
                    assert_eq!(harness.end(producer, End::Abort), if v2 { Ok(next(before)) } else { Err(FENCED) });
                    assert_eq!(harness.end(producer, End::Commit), Err(if v2 { INVALID } else { FENCED }));
                    assert_eq!(harness.init(Some(before)), if v2 { Ok(next(before)) } else { Err(FENCED) });
                    assert_eq!(harness.init(None), Ok(next(next(before))));
                }
                State::Empty | State::Complete(_) => assert_eq!(harness.init(None), Ok(next(before)), "{state:?}"),
            }
            assert_eq!(harness.transaction.state(), State::Empty);
            assert_eq!(harness.add(producer), Err(FENCED));
            assert_eq!(harness.add(harness.transaction.producer()), Ok(()));
        }
    }
}

#[test]
fn a_producer_that_says_who_it_was_gets_the_next_epoch_once() {
    let mut harness = Harness::new(Protocol::V1);
    let first = harness.producer();
    assert_eq!(harness.init(Some(first)), Ok(next(first)));
    assert_eq!(harness.init(Some(first)), Ok(next(first)), "a repetition");
    assert_eq!(harness.init(Some(next(first))), Ok(next(next(first))));
    assert_eq!(harness.init(Some(first)), Err(FENCED));
    // Another instance: from now on the one before is out, whatever it repeats.
    let last = harness.producer();
    assert_eq!(harness.init(None), Ok(next(last)));
    assert_eq!(harness.init(Some(last)), Err(FENCED));
}

#[test]
fn a_producer_may_name_any_identity_where_the_id_is_new() {
    let mut ids = ProducerIds { next: 9 };
    let now = Moment { at: Instant::now(), millis: 0 };
    let mut transaction = Transaction::new(now, ids.next());
    let told = Identity { id: 4, epoch: 17 };
    let given = transaction.init(now, MINUTE, Some(told), Protocol::V2, &mut ids);
    assert_eq!(given, Ok(Identity { id: 9, epoch: 0 }));
}

#[test]
fn used_up_epochs_are_followed_by_a_new_id() {
    let last = Identity { id: 5, epoch: i16::MAX - 1 };
    let mut harness = Harness::new(Protocol::V1);
    harness.transaction.set_epoch(i16::MAX - 2);
    assert_eq!(harness.init(None), Ok(last));
    assert_eq!(harness.init(Some(last)), Ok(Identity { id: 6, epoch: 0 }));
    assert_eq!(harness.init(Some(last)), Ok(Identity { id: 6, epoch: 0 }), "a repetition");

    let mut harness = Harness::new(Protocol::V1);
    harness.transaction.set_epoch(i16::MAX - 1);
    assert_eq!(harness.add(last), Ok(()));
    assert_eq!(harness.init(None), Err(BUSY), "it is fenced by the very last epoch");
    assert_eq!(harness.producer().epoch, i16::MAX);
    harness.complete();
    assert_eq!(harness.init(None), Ok(Identity { id: 6, epoch: 0 }));
}

#[test]
fn the_second_protocol_changes_the_id_at_the_end_of_a_transaction() {
    let last = Identity { id: 5, epoch: i16::MAX - 1 };
    let renewed = Identity { id: 6, epoch: 0 };
    let mut harness = Harness::new(Protocol::V2);
    harness.transaction.set_epoch(last.epoch);
    assert_eq!(harness.add(last), Ok(()));
    assert_eq!(harness.end(last, End::Commit), Ok(renewed));
    assert_eq!(harness.producer(), Identity { id: 5, epoch: i16::MAX }, "the markers are still of the old id");
    assert_eq!(harness.end(last, End::Commit), Err(BUSY));
    harness.complete();
    assert_eq!(harness.producer(), renewed);
    assert_eq!(harness.end(last, End::Commit), Ok(renewed), "a repetition");
    assert_eq!(harness.end(last, End::Abort), Err(INVALID));
    assert_eq!(harness.add(renewed), Ok(()));
    assert_eq!(harness.end(last, End::Commit), Err(OTHER_ID), "another transaction is open");

    // Fenced with epochs used up: there is none after the last, and it is enough.
    let mut harness = Harness::new(Protocol::V2);
    harness.transaction.set_epoch(last.epoch);
    assert_eq!(harness.add(last), Ok(()));
    assert_eq!(harness.init(None), Err(BUSY));
    assert_eq!(harness.producer().epoch, i16::MAX);
    harness.complete();
    assert_eq!(harness.init(None), Ok(renewed));
}

#[test]
fn an_open_transaction_has_its_time_and_an_idle_id_has_a_week() {
    for protocol in [Protocol::V1, Protocol::V2] {
        for state in STATES {
            let (mut harness, _) = Harness::at(protocol, state);
            let start = harness.now.at;
            let expected = match state {
                State::Ongoing => Some(start + MINUTE),
                State::Prepare(_) => None,
                _ => Some(start + WEEK),
            };
            assert_eq!(harness.transaction.deadline(WEEK), expected, "{state:?}");
            // More partitions do not give it more time.
            harness.pass(Duration::from_secs(10));
            if state == State::Ongoing {
                let producer = harness.producer();
                assert_eq!(harness.transaction.add(harness.now, producer, [("t".to_owned(), 1)]), Ok(()));
                assert_eq!(harness.transaction.deadline(WEEK), expected);
            }
            harness.transaction.fence(harness.now, protocol);
            let after = if state == State::Ongoing { State::Prepare(End::Abort) } else { state };
            assert_eq!(harness.transaction.state(), after, "only what is open can be aborted");
        }
    }
}
