//! How long what a connection has proven counts, and when it is proven anew (KIP-368); part of the connection's core.
//!
//! ```text
//!            it is time            all is answered, no throttle, not too soon            last step done
//! Valid ─────────────────▶ Draining ─────────────────────────────────────▶ Renewing ──────────────────▶ Valid
//! ```
//!
//! It is time after 85 to 95 % of the life that the broker gave, spread so that clients which connected together do not come together.
//! From then on nothing new is sent: what is in flight, a parked join included, keeps its time to be answered, for an answer that came
//! between those of the steps could not be told from them. A broker looks at the age of a session only when a request comes, and a
//! handshake is taken at any age, so a session that ended while a long poll was waited for is renewed all the same.

use std::time::{Duration, Instant};

use crate::network::connection::later;
use crate::network::handshake::Handshake;

/// Brokers take no two renewals of a connection within a second; a little more, for requests are not equally long on their way.
const LEAST_PAUSE: Duration = Duration::from_millis(1100);

/// See the picture above.
#[derive(Debug)]
pub(crate) enum Session {
    /// It counts as long as the connection lasts.
    Unlimited,
    /// Until it is time to renew it, or later if that is too soon after it was begun.
    Valid { renew_at: Instant, not_before: Instant },
    /// To be renewed as soon as nothing is in flight.
    Draining { not_before: Instant },
    /// Being renewed.
    Renewing { since: Instant, deadline: Instant, handshake: Box<Handshake> },
}

impl Session {
    /// One that was begun at `since`, is proven `now`, and counts for `life`; `portion` of that, from 0 to 1, decides within 85 to 95 %
    /// when it is renewed.
    pub(crate) fn new(since: Instant, now: Instant, life: Option<Duration>, portion: f64) -> Self {
        let Some(life) = life else { return Self::Unlimited };
        // A year at most, so that no number of a broker's can overflow.
        let life = life.min(Duration::from_secs(365 * 24 * 3600));
        let renew_at = later(now, life.mul_f64(0.85 + 0.1 * portion.clamp(0.0, 1.0)));
        Self::Valid { renew_at, not_before: later(since, LEAST_PAUSE) }
    }

    /// May requests be sent?
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Unlimited | Self::Valid { .. })
    }

    /// Are the steps being run?
    pub(crate) fn is_renewing(&self) -> bool {
        matches!(self, Self::Renewing { .. })
    }

    /// Time passed: it may be time to drain.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Self::Valid { renew_at, not_before } = *self
            && renew_at <= now
        {
            *self = Self::Draining { not_before };
        }
    }

    /// May the steps begin, as far as the session is concerned?
    pub(crate) fn may_renew(&self, now: Instant) -> bool {
        matches!(self, Self::Draining { not_before } if *not_before <= now)
    }

    /// When something is due; `drained` says that nothing but time is waited for.
    pub(crate) fn next_timeout(&self, drained: bool) -> Option<Instant> {
        match self {
            Self::Unlimited => None,
            Self::Valid { renew_at, .. } => Some(*renew_at),
            Self::Draining { not_before } => drained.then_some(*not_before),
            Self::Renewing { deadline, .. } => Some(*deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_is_renewed_after_85_to_95_percent_of_its_life() {
        let now = Instant::now();
        for (portion, expected) in [(0.0, 8500), (0.5, 9000), (1.0, 9500)] {
            let mut session = Session::new(now, now, Some(10 * SECOND), portion);
            let at = session.next_timeout(true).unwrap();
            assert_eq!((at - now).as_millis(), expected);
            session.handle_timeout(at - Duration::from_nanos(1));
            assert!(session.is_open() && !session.may_renew(at));
            session.handle_timeout(at);
            assert!(!session.is_open() && session.may_renew(at) && session.next_timeout(false).is_none());
        }
        assert!(Session::new(now, now, None, 0.5).next_timeout(true).is_none());
        assert!(Session::new(now, now, Some(Duration::MAX), 1.0).next_timeout(true).is_some());
    }

    #[test]
    fn two_renewals_are_more_than_a_second_apart() {
        let now = Instant::now();
        let mut session = Session::new(now, now, Some(SECOND), 0.0);
        session.handle_timeout(now + SECOND);
        assert!(!session.is_open() && !session.may_renew(now + SECOND));
        assert_eq!(session.next_timeout(true), Some(now + LEAST_PAUSE));
        assert!(session.may_renew(now + LEAST_PAUSE));
    }
}
