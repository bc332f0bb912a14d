//! Producers against the embedded broker, in memory and on the paused clock. Names with `rk_` are the acceptance checks.

mod asynchronous;
mod background;
mod buffered;
mod closing;
mod compression;
mod harness;
mod idempotence;
mod interceptors;
mod partitioning;
