//! `perf --progress`: once a second, what has been done, and percentiles of the latencies seen in that second.

use std::time::{Duration, Instant};

/// Prints to standard error; does nothing unless asked for.
#[derive(Debug)]
pub(crate) struct Progress {
    asked: bool,
    shown: Instant,
    done: u64,
    latencies: Vec<u64>,
}

impl Progress {
    /// From now on, if `asked`.
    pub(crate) fn new(asked: bool) -> Self {
        Self { asked, shown: Instant::now(), done: 0, latencies: Vec::new() }
    }

    /// A latency in microseconds.
    pub(crate) fn latency(&mut self, micros: u64) {
        if self.asked {
            self.latencies.push(micros);
        }
    }

    /// `done` records so far. Cheap enough to call once a batch, not once a record.
    pub(crate) fn tick(&mut self, done: u64) {
        if !self.asked || self.shown.elapsed() < Duration::from_secs(1) {
            return;
        }
        let rate = (done - self.done) as f64 / self.shown.elapsed().as_secs_f64();
        let percentiles = percentiles(&mut self.latencies);
        let text = percentiles.map_or_else(String::new, |[p50, p99, max]| format!("  p50 {p50} us  p99 {p99} us  max {max} us"));
        eprintln!("{done} records  {rate:.0}/s{text}");
        self.latencies.clear();
        (self.shown, self.done) = (Instant::now(), done);
    }
}

/// Median, 99th percentile and maximum.
fn percentiles(values: &mut [u64]) -> Option<[u64; 3]> {
    values.sort_unstable();
    let at = |share: f64| values.get(((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1))).copied();
    Some([at(0.5)?, at(0.99)?, at(1.0)?])
}

#[cfg(test)]
mod tests {
    use super::percentiles;

    #[test]
    fn percentiles_of_few_values_are_values() {
        assert_eq!(percentiles(&mut []), None);
        assert_eq!(percentiles(&mut [3, 1, 2]), Some([2, 3, 3]));
    }
}
