//! Wall time that follows tokio's clock: the wall clock is read once, at the start, and moves on with what tokio says has elapsed.
//!
//! So a paused clock in tests drives timestamps too, and a step of the system's clock never makes timestamps go back. Everything
//! that waits uses `tokio::time::Instant`; wall time is for record timestamps alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Now: as tokio's clock has it, so that it can be paused in tests, or as a simulator says.
pub(crate) fn now() -> std::time::Instant {
    #[cfg(feature = "unstable-cores")]
    if let Some(now) = SIMULATED.get() {
        return now;
    }
    Instant::now().into_std()
}

#[cfg(feature = "unstable-cores")]
thread_local! {
    static SIMULATED: std::cell::Cell<Option<std::time::Instant>> = const { std::cell::Cell::new(None) };
}

/// What [`now`] says on this thread from now on.
#[cfg(feature = "unstable-cores")]
pub(crate) fn simulate(now: Option<std::time::Instant>) {
    SIMULATED.set(now);
}

/// The wall clock of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Milliseconds since 1970 at `start`.
    wall: i64,
    start: Instant,
}

impl Clock {
    /// Starts from the system's clock.
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    pub(crate) fn new() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::at(millis(since_1970))
    }

    /// Starts from `wall` milliseconds since 1970.
    pub(crate) fn at(wall: i64) -> Self {
        Self { wall, start: Instant::now() }
    }

    /// Milliseconds since 1970 now.
    pub(crate) fn wall_millis(&self) -> i64 {
        self.wall.saturating_add(millis(self.start.elapsed()))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wall_time_moves_with_the_paused_clock_and_only_with_it() {
        let clock = Clock::at(1_700_000_000_000);
        assert_eq!(clock.wall_millis(), 1_700_000_000_000);
        tokio::time::advance(Duration::from_millis(1234)).await;
        assert_eq!(clock.wall_millis(), 1_700_000_001_234);
    }

    #[test]
    fn starts_from_the_system_clock() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let now = runtime.block_on(async { Clock::new().wall_millis() });
        assert!(now > 1_700_000_000_000, "{now}");
    }
}
