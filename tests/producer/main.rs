//! Producers against the embedded broker, in memory and on the paused clock. Names with `rk_` are the acceptance checks.

mod background;
mod buffered;
mod harness;
mod idempotence;
