//! CPU time, wall time and memory of this process, with marks half-way and at the end: what lies between is the steady state.

use std::time::Instant;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde_json::{Value, json};

/// What the process has used so far.
#[derive(Clone, Copy, Debug)]
struct Used {
    user: f64,
    system: f64,
    at: Instant,
}

fn usage() -> Option<Usage> {
    getrusage(UsageWho::RUSAGE_SELF).ok()
}

impl Used {
    fn now() -> Self {
        let seconds = |micros: i64| micros as f64 / 1e6;
        let usage = usage();
        Self {
            user: usage.map_or(0.0, |usage| seconds(usage.user_time().num_microseconds())),
            system: usage.map_or(0.0, |usage| seconds(usage.system_time().num_microseconds())),
            at: Instant::now(),
        }
    }

    fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// The marks of one run.
#[derive(Debug)]
pub(crate) struct Marks {
    start: Instant,
    half_at: u64,
    half: Option<(u64, Used)>,
    last: Option<(u64, Used)>,
}

impl Marks {
    /// For a run of `count` records that starts now.
    pub(crate) fn start(count: u64) -> Self {
        Self { start: Instant::now(), half_at: count / 2, half: None, last: None }
    }

    /// `done` records so far; call it once a record or once a small batch.
    #[inline]
    pub(crate) fn tick(&mut self, done: u64) {
        if done >= self.half_at && self.half.is_none() {
            self.half = Some((done, Used::now()));
        }
    }

    /// The last record is done.
    pub(crate) fn end(&mut self, done: u64) {
        self.last = Some((done, Used::now()));
    }

    /// The report of a peer.
    pub(crate) fn report(&self, operation: &str, records: u64, bytes: u64, extra: &Value) -> Value {
        let now = Used::now();
        let per = |seconds: f64, records: u64| seconds * 1e9 / records.max(1) as f64;
        let (steady_cpu, steady_rate) = match (self.half, self.last) {
            (Some((from, a)), Some((to, b))) if to > from => {
                (per(b.cpu() - a.cpu(), to - from), (to - from) as f64 / (b.at - a.at).as_secs_f64())
            }
            _ => (0.0, 0.0),
        };
        let round = |value: f64, digits: i32| (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
        json!({
            "client": "klamm",
            "version": env!("CARGO_PKG_VERSION"),
            "op": operation,
            "records": records,
            "bytes": bytes,
            "wall_s": round(self.start.elapsed().as_secs_f64(), 4),
            "user_s": round(now.user, 4),
            "sys_s": round(now.system, 4),
            "cpu_ns_per_record": round(per(now.cpu(), records), 1),
            "steady_cpu_ns_per_record": round(steady_cpu, 1),
            "steady_records_per_s": steady_rate.round(),
            "maxrss_kb": usage().map_or(0, |usage| usage.max_rss()),
            "extra": extra,
        })
    }
}
