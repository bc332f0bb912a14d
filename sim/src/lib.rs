//! The simulator: klamm and klamm-broker on virtual time, with faults, from one seed.
//!
//! ```text
//!  seed ──> Case (workload, network, troubles) ──> Level ──> History ──> oracles
//!                                                   │
//!                              cores: no runtime ───┴─── drivers: tokio's paused clock
//! ```
//!
//! A [`Case`](run::Case) is all that a run depends on; a [`Level`](run::Level) runs it and writes a [`History`](history::History), plain
//! data; the [`oracles`] read that and say what does not hold. A case that fails is shrunk and printed with the command that replays it.
#![forbid(unsafe_code)]

pub mod campaign;
pub mod cores;
pub mod coverage;
pub mod drivers;
pub mod history;
pub mod logs;
pub mod oracles;
pub mod random;
pub mod run;
pub mod sweep;
pub mod transactional;
pub mod trouble;
pub mod workload;
