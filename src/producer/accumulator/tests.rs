use super::*;
use crate::producer::verdict::Answer;

const LINGER: Duration = Duration::from_millis(5);

fn rules() -> Rules {
    Rules {
        idempotent: true,
        linger: Some(LINGER),
        delivery_timeout: Some(Duration::from_secs(120)),
        max_batches: 1,
        max_request_size: 1000,
        retries: u32::MAX,
        backoff: BackoffConfig { initial: Duration::from_millis(100), max: Duration::from_secs(1) },
        hold_failed: false,
        seed: 1,
    }
}

impl<P> Accumulator<P> {
    /// Is no batch left, not even one whose result is told?
    fn is_empty(&self) -> bool {
        self.partitions.iter().all(|state| state.batches.is_empty())
    }
}

/// An accumulator over `partitions` partitions led by broker 1, with a producer id; payloads are numbers.
struct Harness {
    accumulator: Accumulator<u32>,
    now: Instant,
    next: u32,
}

impl Harness {
    fn new(rules: Rules, partitions: usize) -> Self {
        let mut accumulator = Accumulator::new(rules);
        for _ in 0..partitions {
            accumulator.add_partition(Some(1));
        }
        accumulator.handle_identity(Identity { producer_id: 7, epoch: 0 });
        Self { accumulator, now: Instant::now(), next: 0 }
    }

    fn open(&mut self, partition: usize) -> BatchId {
        self.next += 1;
        self.accumulator.handle_opened(self.now, self.now, partition, self.next)
    }

    fn ready(&mut self, partition: usize, size: usize) -> BatchId {
        let id = self.open(partition);
        assert!(self.accumulator.handle_ready(partition, id, size, 10, |_| {}));
        id
    }

    fn take(&mut self) -> Vec<BatchId> {
        for (partition, id) in self.accumulator.due(self.now, 1) {
            self.accumulator.handle_ready(partition, id, 100, 10, |_| {});
        }
        self.accumulator.take(self.now, 1).into_iter().map(|taken| taken.batch).collect()
    }

    fn answer(&mut self, partition: usize, id: BatchId, answer: Answer) {
        self.accumulator.handle_answer(self.now, partition, id, answer, None, true);
    }

    /// Sends one batch and has it acknowledged, so that more than one may travel.
    fn prove(&mut self, partition: usize) {
        let id = self.ready(partition, 10);
        assert_eq!(self.take(), [id]);
        self.answer(partition, id, Answer::Acked);
        self.finished();
        self.wakes();
    }

    fn finished(&mut self) -> Vec<(u32, String)> {
        std::iter::from_fn(|| self.accumulator.poll_finished())
            .map(|finished| {
                let fate = match finished.fate {
                    Fate::Acked => "acked".into(),
                    Fate::Failed { possibly_written, .. } => format!("failed {possibly_written}"),
                    Fate::Expired { possibly_written, .. } => format!("expired {possibly_written}"),
                    Fate::Dropped { possibly_written } => format!("dropped {possibly_written}"),
                };
                (finished.payload, fate)
            })
            .collect()
    }

    fn wakes(&mut self) -> Vec<i32> {
        std::iter::from_fn(|| self.accumulator.poll_wake()).collect()
    }
}

#[test]
fn an_open_batch_is_due_when_its_linger_is_over() {
    let mut harness = Harness::new(rules(), 1);
    let id = harness.open(0);
    assert!(harness.take().is_empty());
    assert_eq!(harness.accumulator.park(1), Some(harness.now + LINGER));
    harness.now += LINGER;
    assert_eq!(harness.accumulator.due(harness.now, 1), [(0, id)]);
    assert_eq!(harness.take(), [id]);
}

#[test]
fn a_full_batch_wakes_a_parked_broker_once() {
    let mut harness = Harness::new(rules(), 2);
    harness.prove(0);
    harness.take();
    assert_eq!(harness.accumulator.park(1), None);
    harness.open(0);
    assert_eq!(harness.wakes(), [1], "a timer has to be set");
    harness.take();
    harness.accumulator.park(1);
    harness.open(1);
    assert_eq!(harness.wakes(), [] as [i32; 0], "its linger ends later than the first one's");
    harness.ready(1, 10);
    harness.ready(1, 10);
    assert_eq!(harness.wakes(), [] as [i32; 0], "behind an open one");
    harness.accumulator.flush();
    assert_eq!(harness.wakes(), [1]);
}

/// Regression row 18: no batch of an idempotent producer goes out without a producer id, however it waits and whoever asks.
#[test]
fn nothing_is_due_or_taken_before_there_is_a_producer_id() {
    let mut harness = Harness { accumulator: Accumulator::new(rules()), now: Instant::now(), next: 0 };
    harness.accumulator.add_partition(Some(1));
    harness.accumulator.add_partition(Some(1));
    let (full, lingering) = (harness.ready(0, 10), harness.open(1));
    harness.accumulator.flush();
    harness.now += 10 * LINGER;
    assert_eq!(harness.accumulator.turn(harness.now, 1), Turn::Park(None));
    assert!(harness.accumulator.needs_identity());
    harness.wakes();
    harness.accumulator.handle_identity(Identity { producer_id: 7, epoch: 0 });
    assert_eq!(harness.wakes(), [1]);
    assert_eq!(harness.accumulator.turn(harness.now, 1), Turn::Close(vec![(1, lingering)]));
    harness.accumulator.handle_ready(1, lingering, 10, 10, |_| {});
    let Turn::Send(taken) = harness.accumulator.turn(harness.now, 1) else { panic!("both may go") };
    assert_eq!(taken.iter().map(|taken| taken.batch).collect::<Vec<_>>(), [full, lingering]);
    assert!(taken.iter().all(|taken| taken.stamp.is_some_and(|stamp| stamp.identity.producer_id == 7)));
}

#[test]
fn the_first_batch_asks_for_a_sender() {
    let mut harness = Harness::new(rules(), 1);
    harness.open(0);
    assert_eq!(harness.wakes(), [1]);
    harness.open(0);
    assert_eq!(harness.wakes(), [] as [i32; 0]);
}

#[test]
fn a_request_takes_one_batch_per_partition_up_to_its_size_and_turns_rotate() {
    let mut harness = Harness::new(rules(), 3);
    for partition in 0..3 {
        harness.prove(partition);
    }
    let [a, b, c] = [0, 1, 2].map(|partition| harness.ready(partition, 400));
    let a2 = harness.ready(0, 400);
    assert_eq!(harness.take(), [a, b], "a third would make the request larger than 1000 bytes");
    assert_eq!(harness.take(), [c, a2]);
    let huge = harness.ready(1, 5000);
    assert_eq!(harness.take(), [huge], "alone it goes, whatever its size");
}

#[test]
fn at_most_five_batches_of_a_partition_are_on_the_way() {
    let mut harness = Harness::new(rules(), 1);
    harness.prove(0);
    let ids: Vec<_> = (0..6).map(|_| harness.ready(0, 10)).collect();
    for id in &ids[..5] {
        assert_eq!(harness.take(), [*id]);
    }
    assert!(harness.take().is_empty());
    harness.answer(0, ids[0], Answer::Acked);
    assert_eq!(harness.take(), [ids[5]]);
}

#[test]
fn an_open_batch_fills_on_while_its_partition_cannot_send() {
    let mut harness = Harness::new(rules(), 1);
    let first = harness.ready(0, 10);
    assert_eq!(harness.take(), [first]);
    harness.open(0);
    harness.now += LINGER * 10;
    assert!(harness.accumulator.due(harness.now, 1).is_empty());
}

#[test]
fn a_failed_batch_is_sent_again_in_its_place_after_the_backoff() {
    let mut harness = Harness::new(rules(), 1);
    harness.prove(0);
    let (a, b) = (harness.ready(0, 10), harness.ready(0, 10));
    assert_eq!(harness.take(), [a]);
    harness.answer(0, a, Answer::Unknown);
    assert!(harness.take().is_empty(), "neither a, which pauses, nor b past it");
    harness.now += Duration::from_millis(121);
    assert_eq!(harness.take(), [a]);
    harness.answer(0, a, Answer::Acked);
    assert_eq!(harness.take(), [b]);
}

#[test]
fn without_idempotence_one_batch_at_a_time_keeps_the_order() {
    let mut harness = Harness::new(Rules { idempotent: false, ..rules() }, 1);
    let (a, b) = (harness.ready(0, 10), harness.ready(0, 10));
    assert_eq!(harness.take(), [a]);
    assert!(harness.take().is_empty());
    harness.answer(0, a, Answer::Acked);
    assert_eq!(harness.take(), [b]);
}

#[test]
fn without_a_leader_nothing_is_sent_and_a_new_leader_is_woken() {
    let mut harness = Harness::new(rules(), 1);
    harness.accumulator.set_leader(0, None);
    harness.ready(0, 10);
    assert!(harness.take().is_empty());
    assert!(harness.wakes().is_empty());
    harness.accumulator.set_leader(0, Some(2));
    assert_eq!(harness.wakes(), [2]);
    assert!(harness.take().is_empty());
    assert_eq!(harness.accumulator.take(harness.now, 2).len(), 1);
}

#[test]
fn expired_batches_end_and_one_in_flight_holds_the_others_back() {
    let mut harness = Harness::new(rules(), 1);
    harness.prove(0);
    let (a, _b) = (harness.ready(0, 10), harness.ready(0, 10));
    harness.open(0);
    assert_eq!(harness.take(), [a]);
    let deadline = harness.now + Duration::from_secs(120);
    assert_eq!(harness.accumulator.next_timeout(), Some(deadline));
    harness.now = deadline;
    harness.accumulator.handle_timeout(harness.now);
    assert_eq!(harness.finished(), [(2, "expired true".into()), (3, "expired false".into()), (4, "expired false".into())]);
    assert!(harness.accumulator.is_done() && !harness.accumulator.is_empty());
    let c = harness.ready(0, 10);
    assert!(harness.take().is_empty(), "nobody knows yet what became of a");
    harness.answer(0, a, Answer::Unknown);
    let taken = harness.accumulator.take(harness.now, 1);
    assert_eq!(taken[0].batch, c);
    assert_eq!(taken[0].stamp.map(|stamp| (stamp.identity.epoch, stamp.base_sequence)), Some((1, 0)));
    harness.answer(0, c, Answer::Acked);
    assert!(harness.accumulator.is_empty());
}

#[test]
fn waiting_for_memory_counts_towards_the_delivery_time() {
    let mut harness = Harness::new(rules(), 1);
    let entered = harness.now;
    harness.now += Duration::from_secs(50);
    harness.accumulator.handle_opened(harness.now, entered, 0, 1);
    assert_eq!(harness.accumulator.next_timeout(), Some(entered + Duration::from_secs(120)));
}

#[test]
fn attempts_do_not_begin_the_delivery_time_anew() {
    let mut harness = Harness::new(rules(), 1);
    let deadline = harness.now + Duration::from_secs(120);
    let id = harness.ready(0, 10);
    for _ in 0..5 {
        assert_eq!(harness.take(), [id]);
        harness.now += Duration::from_secs(20);
        harness.answer(0, id, Answer::Unknown);
        harness.now += Duration::from_secs(2);
        assert_eq!(harness.accumulator.next_timeout(), Some(deadline));
    }
    harness.now = deadline;
    harness.accumulator.handle_timeout(deadline);
    assert_eq!(harness.finished(), [(1, "expired true".into())]);
}

#[test]
fn after_the_last_retry_the_last_error_stands() {
    let mut harness = Harness::new(Rules { retries: 1, ..rules() }, 1);
    let a = harness.ready(0, 10);
    for _ in 0..2 {
        assert_eq!(harness.take(), [a]);
        harness.answer(0, a, Answer::Unwritten);
        harness.now += Duration::from_secs(1);
    }
    assert_eq!(harness.finished(), [(1, "failed false".into())]);
    assert!(harness.accumulator.is_empty());
}

#[test]
fn a_batch_too_large_is_replaced_by_its_parts_in_order() {
    let mut harness = Harness::new(rules(), 1);
    harness.prove(0);
    let (a, b) = (harness.ready(0, 10), harness.ready(0, 10));
    assert_eq!((harness.take(), harness.take()), (vec![a], vec![b]));
    let error = Error::new(crate::ErrorKind::MessageTooLarge, "too large");
    assert_eq!(harness.accumulator.handle_too_large(0, a, &error), Some(&mut 2));
    harness.answer(0, b, Answer::OutOfSequence);
    assert!(harness.take().is_empty(), "the parts are not there yet");
    harness.accumulator.handle_split(0, a, vec![(21, 5, 5), (22, 5, 5)]).unwrap();
    for payload in [21, 22, 3] {
        let taken = harness.accumulator.take(harness.now, 1);
        assert_eq!(harness.accumulator.payload_mut(0, taken[0].batch), Some(&mut { payload }));
        assert_eq!(taken[0].stamp.map(|stamp| stamp.identity.epoch), Some(1));
        harness.answer(0, taken[0].batch, Answer::Acked);
    }
    assert!(harness.accumulator.is_empty());
}

#[test]
fn a_doubtful_batch_behind_one_too_large_does_not_block_its_parts() {
    let mut harness = Harness::new(rules(), 1);
    harness.prove(0);
    let (a, b) = (harness.ready(0, 10), harness.ready(0, 10));
    assert_eq!((harness.take(), harness.take()), (vec![a], vec![b]));
    let error = Error::new(crate::ErrorKind::MessageTooLarge, "too large");
    harness.accumulator.handle_too_large(0, a, &error);
    harness.accumulator.handle_split(0, a, vec![(21, 5, 5), (22, 5, 5)]).unwrap();
    harness.answer(0, b, Answer::Unknown);
    harness.now += Duration::from_secs(1);
    assert_eq!(harness.take(), [b], "as it was, to learn whether the broker has it");
    harness.answer(0, b, Answer::OutOfSequence);
    assert_eq!(harness.finished(), [(3, "failed true".into())]);
    assert_eq!(harness.take().len(), 1);
}

#[test]
fn held_partitions_wait_for_release_and_then_resend() {
    let mut harness = Harness::new(Rules { hold_failed: true, linger: None, delivery_timeout: None, ..rules() }, 2);
    let a = harness.open(0);
    assert!(harness.take().is_empty(), "without a linger only a flush makes it due");
    assert!(!harness.accumulator.is_at_rest());
    harness.accumulator.flush();
    assert_eq!(harness.take(), [a]);
    harness.answer(0, a, Answer::Unknown);
    harness.now += Duration::from_secs(10);
    assert!(harness.take().is_empty());
    assert!(harness.accumulator.is_at_rest());
    harness.accumulator.release();
    assert_eq!(harness.take(), [a]);
    harness.answer(0, a, Answer::Acked);
    assert!(harness.accumulator.is_at_rest());
    assert_eq!(harness.finished(), [(1, "acked".into())]);
}

#[test]
fn dropping_a_possibly_written_batch_costs_an_epoch() {
    let mut harness = Harness::new(Rules { hold_failed: true, ..rules() }, 1);
    harness.prove(0);
    let a = harness.ready(0, 10);
    assert_eq!(harness.take(), [a]);
    harness.answer(0, a, Answer::Unknown);
    harness.open(0);
    harness.accumulator.drop_all();
    assert_eq!(harness.finished(), [(2, "dropped true".into()), (3, "dropped false".into())]);
    assert!(harness.accumulator.is_empty());
    harness.accumulator.release();
    harness.ready(0, 10);
    let taken = harness.accumulator.take(harness.now, 1);
    assert_eq!(taken[0].stamp.map(|stamp| (stamp.identity.epoch, stamp.base_sequence)), Some((1, 0)));
}

#[test]
fn in_a_hurry_open_batches_do_not_linger() {
    let mut harness = Harness::new(rules(), 1);
    harness.accumulator.set_hurry(true);
    let a = harness.open(0);
    assert_eq!(harness.take(), [a]);
}

#[test]
fn what_becomes_due_while_a_turn_closes_batches_is_closed_in_the_same_turn() {
    let mut harness = Harness::new(rules(), 2);
    let a = harness.open(0);
    harness.accumulator.set_hurry(true);
    assert_eq!(harness.accumulator.turn(harness.now, 1), Turn::Close(vec![(0, a)]));
    // The user's thread opens another while the driver closes this one: the broker is awake, so nobody wakes it.
    let b = harness.open(1);
    harness.wakes();
    harness.accumulator.handle_ready(0, a, 10, 1, |_| {});
    assert_eq!(harness.accumulator.turn(harness.now, 1), Turn::Close(vec![(1, b)]));
    harness.accumulator.handle_ready(1, b, 10, 1, |_| {});
    let Turn::Send(taken) = harness.accumulator.turn(harness.now, 1) else { panic!("both are ready") };
    assert_eq!(taken.iter().map(|taken| taken.batch).collect::<Vec<_>>(), [a, b]);
    assert_eq!(harness.accumulator.turn(harness.now, 1), Turn::Park(None));
}

#[test]
fn a_due_batch_that_another_thread_is_closing_wakes_its_broker_when_it_is_ready() {
    let mut harness = Harness::new(Rules { linger: Some(Duration::ZERO), ..rules() }, 1);
    let id = harness.open(0);
    assert_eq!(harness.accumulator.turn(harness.now, 1), Turn::Close(vec![(0, id)]));
    // It is not in its place any more.
    harness.accumulator.handle_closed(0, id);
    harness.wakes();
    assert_eq!(harness.accumulator.turn(harness.now, 1), Turn::Park(None));
    harness.accumulator.handle_ready(0, id, 10, 1, |_| {});
    assert_eq!(harness.wakes(), [1]);
    assert_eq!(harness.take(), [id]);
}

/// Random work and failures on two brokers: every batch ends exactly once, acknowledged ones of a partition in order, and whenever
/// nothing is in flight but something could be sent, the broker concerned is awake, woken, or has a timer for it. Between any two
/// steps of a turn another thread may open batches, be about to close one, or flush.
#[test]
fn every_batch_ends_once_and_no_broker_sleeps_on_work() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let idempotent = random.bool();
        let mut accumulator = Accumulator::new(Rules { idempotent, ..rules() });
        for partition in 0..3 {
            accumulator.add_partition(Some(1 + partition % 2));
        }
        accumulator.handle_identity(Identity { producer_id: 7, epoch: 0 });
        let mut now = Instant::now();
        let (mut next, mut in_flight, mut ended) = (0u32, Vec::new(), BTreeSet::new());
        let mut acked = [0; 3];
        let mut awake = BTreeMap::from([(1, false), (2, false)]);
        // Batches in the hands of another thread, which makes them ready some time.
        let mut closing: Vec<(usize, BatchId)> = Vec::new();
        let mut timers: BTreeMap<i32, Option<Instant>> = BTreeMap::new();
        for step in 0.. {
            let faults = step < 200;
            if faults && random.bool() {
                let partition = random.usize(0..3);
                next += 1;
                let id = accumulator.handle_opened(now, now, partition, next);
                if random.bool() {
                    accumulator.handle_ready(partition, id, random.usize(1..700), 1 + random.u32(0..9), |_| {});
                }
            }
            if faults && random.u8(0..20) == 0 {
                accumulator.set_leader(random.usize(0..3), [None, Some(1), Some(2)][random.usize(0..3)]);
            }
            if !faults {
                (0..3).for_each(|partition| accumulator.set_leader(partition, Some(1)));
            }
            while let Some(broker) = accumulator.poll_wake() {
                awake.insert(broker, true);
            }
            for broker in [1, 2] {
                let timer = timers.get(&broker).copied().flatten().is_some_and(|at| at <= now);
                if !(awake[&broker] || timer) || random.bool() {
                    continue;
                }
                loop {
                    match accumulator.turn(now, broker) {
                        Turn::Close(due) => {
                            for (partition, id) in due {
                                if faults && random.u8(0..4) == 0 {
                                    assert!(accumulator.handle_closed(partition, id));
                                    closing.push((partition, id));
                                } else {
                                    let size = random.usize(1..700);
                                    assert!(accumulator.handle_ready(partition, id, size, 1 + random.u32(0..9), |_| {}));
                                }
                            }
                            if faults && random.bool() {
                                next += 1;
                                // Another thread read the clock before this turn did.
                                let before = now.checked_sub(Duration::from_millis(random.u64(0..9))).unwrap();
                                accumulator.handle_opened(before, before, random.usize(0..3), next);
                            }
                            if faults && random.u8(0..8) == 0 {
                                accumulator.flush();
                            }
                        }
                        Turn::Send(taken) => {
                            in_flight.extend(taken.into_iter().map(|taken| (broker, taken.partition, taken.batch)));
                            break;
                        }
                        Turn::Park(until) => {
                            // A time that is over would be slept on.
                            assert!(until.is_none_or(|until| until > now), "seed {seed}");
                            timers.insert(broker, until);
                            awake.insert(broker, false);
                            break;
                        }
                    }
                }
            }
            if !closing.is_empty() && (!faults || random.bool()) {
                let (partition, id) = closing.remove(random.usize(0..closing.len()));
                accumulator.handle_ready(partition, id, random.usize(1..700), 1 + random.u32(0..9), |_| {});
            }
            if !in_flight.is_empty() && random.bool() {
                let (broker, partition, id) = in_flight.remove(random.usize(0..in_flight.len()));
                let answers = [Answer::Acked, Answer::Unknown, Answer::Unwritten, Answer::Refused, Answer::OutOfSequence];
                let answer = if faults { answers[random.usize(0..5)] } else { Answer::Acked };
                accumulator.handle_answer(now, partition, id, answer, None, random.bool());
                awake.insert(broker, true);
            }
            if faults && random.u8(0..50) == 0 {
                now += Duration::from_secs(120);
                accumulator.handle_timeout(now);
            }
            now += Duration::from_millis(random.u64(0..50));
            while let Some(finished) = accumulator.poll_finished() {
                assert!(ended.insert(finished.payload), "seed {seed}: {} ended twice", finished.payload);
                let order = &mut acked[finished.partition];
                if matches!(finished.fate, Fate::Acked) && !idempotent {
                    assert!(*order < finished.payload, "seed {seed}");
                    *order = finished.payload;
                }
            }
            if !faults && ended.len() == next as usize && in_flight.is_empty() {
                break;
            }
            assert!(step < 5000, "seed {seed}: stuck: {accumulator:?}");
        }
        assert!(accumulator.is_empty(), "seed {seed}");
    }
}

fn refusal() -> Error {
    Error::new(crate::ErrorKind::Authentication, "who are you?")
}

#[test]
fn what_waits_for_a_broker_that_refuses_the_client_fails_at_once() {
    let mut harness = Harness::new(rules(), 3);
    harness.accumulator.set_leader(2, Some(2));
    harness.prove(0);
    let sent = harness.ready(0, 10);
    assert_eq!(harness.take(), [sent]);
    // Never sent; sent and perhaps written; open; and of another broker.
    let unsent = harness.ready(0, 10);
    let doubted = harness.ready(1, 10);
    assert_eq!(harness.take(), [unsent, doubted]);
    harness.answer(1, doubted, Answer::Unknown);
    harness.answer(0, unsent, Answer::Unwritten);
    harness.open(0);
    harness.ready(2, 10);
    harness.finished();
    harness.accumulator.handle_unconnected(1, &refusal());
    let finished: Vec<_> = std::iter::from_fn(|| harness.accumulator.poll_finished()).collect();
    let failed = |finished: &Finished<u32>| match &finished.fate {
        Fate::Failed { error: Some(error), possibly_written } => {
            assert!(error.is_refusal());
            (finished.partition, *possibly_written)
        }
        fate => panic!("{fate:?}"),
    };
    assert_eq!(finished.iter().map(failed).collect::<Vec<_>>(), [(0, false), (0, false), (1, true)]);
    assert_eq!(
        (harness.accumulator.queued(0), harness.accumulator.queued(2)),
        (1, 1),
        "one is on its way, one is another broker's"
    );
    // A broker that is only down is waited for.
    harness.accumulator.handle_unconnected(2, &Error::new(crate::ErrorKind::Disconnected, "refused"));
    assert!(harness.finished().is_empty());
}

#[test]
fn what_waits_for_metadata_or_a_producer_id_fails_when_brokers_refuse_the_client() {
    let mut harness = Harness::new(rules(), 3);
    harness.accumulator.set_leader(0, None);
    let (waiting, stale, other) = (harness.ready(0, 10), harness.ready(1, 10), harness.ready(2, 10));
    let taken = harness.take();
    assert_eq!(taken, [stale, other]);
    harness.accumulator.handle_stale(1);
    harness.answer(1, stale, Answer::Unknown);
    harness.accumulator.handle_refused(&refusal());
    let failed: Vec<_> = std::iter::from_fn(|| harness.accumulator.poll_finished()).map(|finished| finished.batch).collect();
    assert_eq!(failed, [waiting, stale]);
    harness.answer(2, other, Answer::Unwritten);
    harness.accumulator.handle_identity_failed(&refusal(), true);
    let failed: Vec<_> = std::iter::from_fn(|| harness.accumulator.poll_finished()).map(|finished| finished.batch).collect();
    assert_eq!(failed, [other], "it was sent before, and nothing sends it again");
}

#[test]
fn with_explicit_delivery_what_is_refused_stays_and_waits() {
    let mut harness = Harness::new(Rules { hold_failed: true, linger: None, delivery_timeout: None, ..rules() }, 1);
    harness.ready(0, 10);
    harness.accumulator.handle_unconnected(1, &refusal());
    harness.accumulator.handle_refused(&refusal());
    assert!(harness.finished().is_empty() && harness.accumulator.is_at_rest());
    assert!(harness.accumulator.last_errors().all(|(_, error)| error.is_refusal()));
}
