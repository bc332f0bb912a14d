use std::collections::{BTreeMap, BTreeSet};

use super::*;

const A: BatchId = BatchId(1);
const B: BatchId = BatchId(2);
const C: BatchId = BatchId(3);

/// A producer with id 7, whose partition 0 has one batch of `count` records acknowledged.
fn proven(count: u32) -> Sequences {
    let mut sequences = Sequences::default();
    sequences.handle_identity(Identity { producer_id: 7, epoch: 0 });
    sequences.stamp(0, BatchId(0), count).unwrap();
    assert_eq!(sequences.handle_answer(0, BatchId(0), Answer::Acked), Verdict::Acked);
    sequences
}

fn stamp(producer_id: i64, epoch: i16, base_sequence: i32) -> Option<Stamp> {
    Some(Stamp { identity: Identity { producer_id, epoch }, base_sequence })
}

#[test]
fn nothing_is_stamped_without_a_producer_id() {
    let mut sequences = Sequences::default();
    assert!(sequences.needs_identity());
    assert_eq!(sequences.next(3), Next::NoIdentity);
    sequences.handle_identity(Identity { producer_id: 7, epoch: 2 });
    assert_eq!(sequences.stamp(3, A, 5), stamp(7, 2, 0));
}

#[test]
fn partitions_count_on_their_own() {
    let mut sequences = proven(3);
    assert_eq!(sequences.stamp(0, A, 4), stamp(7, 0, 3));
    assert_eq!(sequences.stamp(1, B, 9), stamp(7, 0, 0));
    assert_eq!(sequences.stamp(0, C, 1), stamp(7, 0, 7));
}

#[test]
fn the_first_batch_of_an_identity_travels_alone_then_five_do() {
    let mut sequences = Sequences::default();
    sequences.handle_identity(Identity { producer_id: 7, epoch: 0 });
    sequences.stamp(0, A, 1).unwrap();
    assert_eq!(sequences.next(0), Next::Wait);
    sequences.handle_answer(0, A, Answer::Acked);
    for number in 10..15 {
        assert_eq!(sequences.next(0), Next::New);
        sequences.stamp(0, BatchId(number), 1).unwrap();
    }
    assert_eq!(sequences.next(0), Next::Wait);
}

#[test]
fn sequences_wrap_to_zero_after_the_largest_number() {
    assert_eq!(after(i32::MAX, 1), 0);
    assert_eq!(after(i32::MAX - 2, 5), 2);
    assert_eq!(after(0, 0x7fff_ffff), i32::MAX);
}

#[test]
fn retried_batches_go_oldest_first_and_alone_with_their_old_stamp() {
    let mut sequences = proven(3);
    sequences.stamp(0, A, 2).unwrap();
    sequences.stamp(0, B, 2).unwrap();
    sequences.stamp(0, C, 2).unwrap();
    assert_eq!(sequences.handle_answer(0, B, Answer::Unknown), Verdict::Retry);
    assert_eq!(sequences.next(0), Next::Wait, "A, the oldest, is still in flight");
    assert_eq!(sequences.handle_answer(0, A, Answer::Unwritten), Verdict::Retry);
    assert_eq!(sequences.next(0), Next::Resend(A));
    assert_eq!(sequences.resend(0, A), stamp(7, 0, 3));
    assert_eq!(sequences.next(0), Next::Wait);
    sequences.handle_answer(0, A, Answer::Acked);
    assert_eq!(sequences.resend(0, B), stamp(7, 0, 5));
}

#[test]
fn out_of_sequence_behind_an_open_batch_is_only_retried() {
    let mut sequences = proven(1);
    sequences.stamp(0, A, 1).unwrap();
    sequences.stamp(0, B, 1).unwrap();
    assert_eq!(sequences.handle_answer(0, B, Answer::OutOfSequence), Verdict::Retry);
    sequences.handle_answer(0, A, Answer::Acked);
    assert_eq!(sequences.resend(0, B), stamp(7, 0, 2), "no epoch was spent");
}

#[test]
fn out_of_sequence_of_the_oldest_bumps_the_epoch_after_the_drain() {
    let mut sequences = proven(1);
    sequences.stamp(0, A, 2).unwrap();
    sequences.stamp(0, B, 3).unwrap();
    assert_eq!(sequences.handle_answer(0, A, Answer::OutOfSequence), Verdict::Retry);
    assert_eq!(sequences.next(0), Next::Wait, "B is still in flight");
    assert_eq!(sequences.handle_answer(0, B, Answer::OutOfSequence), Verdict::Retry);
    assert_eq!(sequences.next(0), Next::New);
    assert_eq!(sequences.stamp(0, A, 2), stamp(7, 1, 0));
    sequences.handle_answer(0, A, Answer::Acked);
    assert_eq!(sequences.stamp(0, B, 3), stamp(7, 1, 2));
    assert_eq!(sequences.poll_given_up(), None);
}

#[test]
fn a_batch_in_doubt_is_never_numbered_anew() {
    let mut sequences = proven(1);
    sequences.stamp(0, A, 2).unwrap();
    assert_eq!(sequences.handle_answer(0, A, Answer::Unknown), Verdict::Retry);
    sequences.resend(0, A).unwrap();
    assert_eq!(sequences.handle_answer(0, A, Answer::OutOfSequence), Verdict::Failed { possibly_written: true });
    assert_eq!(sequences.stamp(0, B, 1), stamp(7, 1, 0));
}

#[test]
fn a_doubtful_batch_behind_one_surely_unwritten_is_given_up() {
    let mut sequences = proven(1);
    sequences.stamp(0, A, 2).unwrap();
    sequences.stamp(0, B, 3).unwrap();
    sequences.handle_answer(0, A, Answer::OutOfSequence);
    sequences.handle_answer(0, B, Answer::Unknown);
    assert_eq!(sequences.poll_given_up(), Some((0, B)));
    assert_eq!(sequences.poll_given_up(), None);
    assert_eq!(sequences.stamp(0, A, 2), stamp(7, 1, 0));
}

#[test]
fn an_expired_batch_in_flight_holds_the_partition_until_its_answer() {
    let mut sequences = proven(1);
    sequences.stamp(0, A, 2).unwrap();
    assert!(sequences.abandon(0, A));
    assert_eq!(sequences.next(0), Next::Wait);
    sequences.handle_answer(0, A, Answer::Unknown);
    assert_eq!(sequences.stamp(0, B, 1), stamp(7, 1, 0), "A's numbers are not B's");
}

#[test]
fn while_draining_the_doubtful_ones_are_resent_first() {
    let mut sequences = proven(1);
    sequences.stamp(0, A, 2).unwrap();
    sequences.stamp(0, B, 2).unwrap();
    sequences.handle_answer(0, A, Answer::Unknown);
    sequences.handle_answer(0, B, Answer::Unknown);
    assert!(sequences.abandon(0, A));
    assert_eq!(sequences.next(0), Next::Resend(B), "A may have been written, and then B too");
    assert_eq!(sequences.resend(0, B), stamp(7, 0, 3));
    assert_eq!(sequences.handle_answer(0, B, Answer::Acked), Verdict::Acked);
    assert_eq!(sequences.stamp(0, C, 1), stamp(7, 1, 0));
}

#[test]
fn a_refused_batch_costs_an_epoch_and_later_ones_keep_their_order() {
    let mut sequences = proven(1);
    sequences.stamp(0, A, 2).unwrap();
    sequences.stamp(0, B, 2).unwrap();
    assert_eq!(sequences.handle_answer(0, A, Answer::Refused), Verdict::Failed { possibly_written: false });
    assert_eq!(sequences.next(0), Next::Wait);
    sequences.handle_answer(0, B, Answer::OutOfSequence);
    assert_eq!(sequences.stamp(0, B, 2), stamp(7, 1, 0));
}

#[test]
fn other_partitions_follow_to_the_new_epoch_once_they_are_empty() {
    let mut sequences = proven(1);
    sequences.stamp(1, B, 1).unwrap();
    sequences.stamp(0, A, 2).unwrap();
    sequences.handle_answer(0, A, Answer::Refused);
    sequences.handle_answer(1, B, Answer::Acked);
    assert_eq!(sequences.stamp(1, C, 1), stamp(7, 1, 0));
}

#[test]
fn after_the_last_epoch_a_new_producer_id_is_needed() {
    let mut sequences = Sequences::default();
    sequences.handle_identity(Identity { producer_id: 7, epoch: i16::MAX });
    sequences.stamp(0, A, 1).unwrap();
    sequences.handle_answer(0, A, Answer::Refused);
    assert!(sequences.needs_identity());
    assert_eq!(sequences.next(0), Next::NoIdentity);
    sequences.handle_identity(Identity { producer_id: 8, epoch: 0 });
    assert_eq!(sequences.stamp(0, B, 1), stamp(8, 0, 0));
}

/// A partition leader's memory of producers: Kafka's rules, among them that one without memory takes any number.
#[derive(Default)]
struct Leader {
    /// Per producer id: epoch, and base and end of the last five batches.
    producers: BTreeMap<i64, (i16, VecDeque<(i32, i32)>)>,
    log: Vec<BatchId>,
}

impl Leader {
    fn append(&mut self, stamp: Stamp, count: u32, batch: BatchId) -> Answer {
        let Identity { producer_id, epoch } = stamp.identity;
        if let Some((known, batches)) = self.producers.get_mut(&producer_id) {
            if epoch < *known {
                return Answer::OutOfSequence;
            }
            if epoch == *known {
                let end = after(stamp.base_sequence, count);
                if batches.iter().any(|(base, last)| (*base, *last) == (stamp.base_sequence, end)) {
                    return Answer::Acked;
                }
                if batches.back().is_some_and(|(_, last)| *last != stamp.base_sequence) {
                    return Answer::OutOfSequence;
                }
            } else if stamp.base_sequence != 0 {
                return Answer::OutOfSequence;
            } else {
                batches.clear();
            }
        }
        let (known, batches) = self.producers.entry(producer_id).or_default();
        *known = epoch;
        batches.push_back((stamp.base_sequence, after(stamp.base_sequence, count)));
        if batches.len() > 5 {
            batches.pop_front();
        }
        self.log.push(batch);
        Answer::Acked
    }
}

/// One producer, two partitions and their leaders, requests that are lost, answered late, or written long after the client gave up.
/// Every run must end with: each stamp carried one content; acknowledged batches are in the log once, in order; batches failed as
/// not written are not in it.
#[test]
fn random_failures_never_reuse_a_range_lose_duplicate_or_reorder() {
    for seed in 0..3000 {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sequences = Sequences::default();
    let start = if random.u8(0..4) == 0 { i16::MAX - 2 } else { 0 };
    sequences.handle_identity(Identity { producer_id: 0, epoch: start });
    let mut next_producer_id = 1;
    let mut leaders = [Leader::default(), Leader::default()];
    let mut queues = [VecDeque::new(), VecDeque::new()];
    // In flight as the client sees it, with what the leader did; `late` are copies that reach the leader after the client gave up.
    let mut in_flight: Vec<(usize, BatchId, Stamp, u32)> = Vec::new();
    let mut late: Vec<(usize, BatchId, Stamp, u32)> = Vec::new();
    let mut sent: BTreeMap<(usize, Stamp), BatchId> = BTreeMap::new();
    let mut acked: [Vec<BatchId>; 2] = Default::default();
    let mut surely_failed: BTreeSet<BatchId> = BTreeSet::new();
    let mut open: BTreeSet<BatchId> = BTreeSet::new();
    let counts = |batch: BatchId| 1 + (batch.0 % 3) as u32;

    let mut number = 0;
    for step in 0.. {
        let faults = step < 300;
        if faults && number < 40 && random.bool() {
            number += 1;
            let partition = random.usize(0..2);
            queues[partition].push_back(BatchId(number));
            open.insert(BatchId(number));
        }
        if sequences.needs_identity() && random.bool() {
            sequences.handle_identity(Identity { producer_id: next_producer_id, epoch: 0 });
            next_producer_id += 1;
        }
        let partition = random.usize(0..2);
        let waiting = |in_flight: &Vec<(usize, BatchId, Stamp, u32)>, queue: &VecDeque<BatchId>| {
            queue.iter().copied().find(|batch| !in_flight.iter().any(|(_, flying, ..)| flying == batch))
        };
        let stamp = match sequences.next(partition) {
            Next::New => waiting(&in_flight, &queues[partition])
                .map(|batch| (batch, sequences.stamp(partition, batch, counts(batch)).unwrap())),
            Next::Resend(batch) => {
                assert_eq!(waiting(&in_flight, &queues[partition]), Some(batch), "seed {seed}: queue and sequences agree");
                Some((batch, sequences.resend(partition, batch).unwrap()))
            }
            Next::Wait | Next::NoIdentity => None,
        };
        if let Some((batch, stamp)) = stamp {
            let content = *sent.entry((partition, stamp)).or_insert(batch);
            assert_eq!(content, batch, "seed {seed}: {stamp:?} carried two contents");
            in_flight.push((partition, batch, stamp, counts(batch)));
        }

        // The network: the oldest request of a partition is answered, or a connection breaks.
        if !in_flight.is_empty() && random.bool() {
            let (partition, ..) = in_flight[random.usize(0..in_flight.len())];
            let position = in_flight.iter().position(|(at, ..)| *at == partition).unwrap();
            let (_, batch, stamp, count) = in_flight.remove(position);
            let leader = &mut leaders[partition];
            let answer = match if faults { random.u8(0..14) } else { 9 } {
                0 => Answer::Unwritten,
                1 => Answer::Refused,
                2 => {
                    leader.append(stamp, count, batch);
                    Answer::Unknown
                }
                3 => {
                    late.push((partition, batch, stamp, count));
                    Answer::Unknown
                }
                4 => Answer::Unknown,
                5 => {
                    leader.append(stamp, count, batch);
                    Answer::RefusedUnknown
                }
                _ => leader.append(stamp, count, batch),
            };
            let known = queues[partition].contains(&batch);
            let verdict = sequences.handle_answer(partition, batch, answer);
            if known && verdict != Verdict::Retry {
                queues[partition].retain(|queued| *queued != batch);
                open.remove(&batch);
                match verdict {
                    Verdict::Acked => acked[partition].push(batch),
                    Verdict::Failed { possibly_written: false } => assert!(surely_failed.insert(batch)),
                    _ => {}
                }
            }
        }
        if faults && !late.is_empty() && random.u8(0..4) == 0 {
            let (partition, batch, stamp, count) = late.remove(0);
            leaders[partition].append(stamp, count, batch);
        }
        if faults && random.u8(0..25) == 0 {
            // The oldest batch's time is up.
            let partition = random.usize(0..2);
            if let Some(batch) = queues[partition].pop_front() {
                open.remove(&batch);
                if !sequences.abandon(partition, batch) {
                    surely_failed.insert(batch);
                }
            }
        }
        while let Some((partition, batch)) = sequences.poll_given_up() {
            queues[partition].retain(|queued| *queued != batch);
            open.remove(&batch);
        }
        if !faults && open.is_empty() {
            break;
        }
        assert!(step < 20_000, "seed {seed}: {open:?} never got an answer: {sequences:?}");
    }

    for (leader, acked) in leaders.iter().zip(&acked) {
        // What failed as possibly written may come late: an old producer id is not fenced by a new one.
        let kept: Vec<_> = leader.log.iter().filter(|batch| acked.contains(batch)).collect();
        assert!(kept.is_sorted_by(|a, b| a < b), "seed {seed}: order: {kept:?}");
        assert_eq!(
            leader.log.iter().collect::<BTreeSet<_>>().len(),
            leader.log.len(),
            "seed {seed}: duplicate: {:?}",
            leader.log
        );
        assert!(acked.iter().all(|batch| leader.log.contains(batch)), "seed {seed}: {acked:?} not all in {:?}", leader.log);
        assert!(!leader.log.iter().any(|batch| surely_failed.contains(batch)), "seed {seed}: failed, yet written");
    }
}
