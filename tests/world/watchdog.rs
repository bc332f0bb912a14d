//! Ends a test that spins: while a task is always ready, a paused clock stands still, and a time-out on it never comes.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Ends the process unless it is dropped in time.
pub(crate) struct Watchdog(#[expect(dead_code, reason = "dropping it is the sign")] Sender<()>);

/// Gives what follows so much of the wall clock.
pub(crate) fn watchdog(what: &str, limit: Duration) -> Watchdog {
    let (alive, dropped) = channel();
    let what = what.to_owned();
    std::thread::spawn(move || {
        if dropped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{what}: no end within {limit:?} of real time: a task spins, or blocks the thread");
            std::process::abort();
        }
    });
    Watchdog(alive)
}
