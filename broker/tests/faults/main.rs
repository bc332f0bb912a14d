//! Faults as clients see them: every kind in memory on a paused clock and over TCP, and plans of them.

mod client;
mod kinds;
mod plans;
