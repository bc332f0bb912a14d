//! Sweeps: a workload without other faults, whose connections break at one byte after the other; or whose futures are dropped after one
//! poll more each time.

use crate::oracles::Violation;
use crate::random::Random;
use crate::run::{self, Case, Level, Traffic};
use crate::trouble::{Direction, How, Trouble};
use crate::workload::Kind;

use std::time::Duration;

/// How much of a sweep is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// About so many runs, spread over all by the seed.
    Sample(u64),
    /// Every byte, every poll.
    Full,
}

/// A case of a sweep that breaks an oracle.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// The case.
    pub case: Case,
    /// What does not hold.
    pub violation: Violation,
}

/// The workload of a seed, with nothing that goes wrong.
pub fn calm(kind: Kind, seed: u64) -> Case {
    Case { troubles: Vec::new(), ..Case::draw(kind, seed) }
}

/// The cases of a sweep over bytes: each connection of a calm run breaks in each direction, in each way, after each byte that passed.
pub fn cuts(calm: &Case, traffic: &[Traffic], extent: Extent) -> Vec<Case> {
    let total: u64 = traffic.iter().map(|traffic| traffic.up + traffic.down).sum();
    let step = match extent {
        Extent::Sample(runs) => total.div_ceil(runs.max(1)).max(1),
        Extent::Full => 1,
    };
    let mut random = Random::of(calm.seed, "sweep");
    // Bytes up to the next case.
    let mut left = random.below(step);
    let mut cases = Vec::new();
    for (connection, traffic) in (0..).zip(traffic) {
        for (direction, bytes) in [(Direction::Up, traffic.up), (Direction::Down, traffic.down)] {
            let mut after = left;
            while after < bytes {
                let ways = [How::Reset, How::Close, How::Silence];
                let ways = if extent == Extent::Full { ways.to_vec() } else { vec![random.pick(&ways)] };
                for how in ways {
                    let cut = Trouble::Cut { connection, direction, after, how };
                    cases.push(Case { troubles: vec![(Duration::ZERO, cut)], ..calm.clone() });
                }
                after += step;
            }
            left = after - bytes;
        }
    }
    cases
}

/// Breaks the connections of a workload at its bytes. Gives the number of runs.
///
/// # Errors
/// The first case that breaks an oracle.
pub fn bytes(level: &dyn Level, kind: Kind, seed: u64, extent: Extent) -> Result<usize, Box<Broken>> {
    let calm = calm(kind, seed);
    let outcome = run::run(level, &calm);
    let traffic = match (outcome.run, outcome.verdict) {
        (Some(run), Ok(_)) => run.traffic,
        (_, Err(violation)) => return Err(Box::new(Broken { case: calm, violation })),
        (None, Ok(_)) => Vec::new(),
    };
    all(level, cuts(&calm, &traffic, extent))
}

/// Drops a workload's futures after one poll, after two, and so on up to `most`. Gives the number of runs.
///
/// # Errors
/// The first case that breaks an oracle.
pub fn cancel(level: &dyn Level, kind: Kind, seed: u64, most: u32) -> Result<usize, Box<Broken>> {
    let calm = calm(kind, seed);
    all(level, (1..=most).map(|polls| Case { patience: Some(polls), ..calm.clone() }).collect())
}

fn all(level: &dyn Level, cases: Vec<Case>) -> Result<usize, Box<Broken>> {
    let count = cases.len();
    for case in cases {
        if let Err(violation) = run::run(level, &case).verdict {
            return Err(Box::new(Broken { case, violation }));
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_sweep_breaks_at_every_byte_and_a_sample_at_some_of_each_connection() {
        let calm = calm(Kind::Produce, 1);
        let traffic = [Traffic { up: 3, down: 2 }, Traffic { up: 200, down: 0 }];
        let full = cuts(&calm, &traffic, Extent::Full);
        assert_eq!(full.len(), 205 * 3);
        let first = Trouble::Cut { connection: 0, direction: Direction::Up, after: 0, how: How::Reset };
        assert_eq!(full[0].troubles, [(Duration::ZERO, first)]);
        let last = Trouble::Cut { connection: 1, direction: Direction::Up, after: 199, how: How::Silence };
        assert_eq!(full.last().unwrap().troubles, [(Duration::ZERO, last)]);
        let sample = cuts(&calm, &traffic, Extent::Sample(20));
        assert!((18..=21).contains(&sample.len()), "{}", sample.len());
    }
}
