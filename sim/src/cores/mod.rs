//! The first level: klamm's cores and the broker's, without a runtime, on virtual time.
//!
//! ```text
//!  task or member ──> Client (lines, hub, producer, member) <── bytes ──> Link (latency, cuts) <── bytes ──> Core of the broker
//!                       └── next_timeout ──────────────> World: one queue of what is to come <────── next_timeout ──┘
//! ```
//!
//! The world goes from one thing to come to the next: a piece of bytes that arrives, a time-out, a fault, a task's next record. All
//! chance comes from the case's seed, and what happens at one instant happens in the order in which it was planned.

mod calls;
mod link;
mod members;
pub(crate) mod observer;
mod tasks;
mod world;
mod writers;

use klamm::unstable::SimulatedTime;

use crate::run::{Case, Level, Run};

/// The level of cores.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cores;

impl Level for Cores {
    fn name(&self) -> &'static str {
        "cores"
    }

    fn run(&self, case: &Case) -> Run {
        // Whatever runs on this thread next has a clock of its own.
        let _time = SimulatedTime::begin();
        world::World::new(case).run()
    }
}
