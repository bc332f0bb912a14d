//! I9 and I10: memory and work.

use super::{Verdict, broken};
use crate::history::{Event, History};

/// I9: what is buffered keeps its limit, and is nothing after close.
pub(super) fn memory(history: &History) -> Verdict {
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        let Event::Gauge { who, used, limit, closed } = entry.event else { continue };
        let limit = if closed { 0 } else { limit };
        if used > limit {
            let when = if closed { " after close" } else { "" };
            return Err(broken("I9", history, at, format!("{who:?} holds {used} bytes{when}, and may hold {limit}")));
        }
        checks += 1;
    }
    Ok(checks)
}

/// I10: in no virtual second does a client send, or look at its connections, without end.
pub(super) fn activity(history: &History) -> Verdict {
    let bounds = &history.bounds;
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        let Event::Activity { who, requests, wakes } = entry.event else { continue };
        if requests > bounds.requests_per_second {
            let text = format!("{who:?} sent {requests} requests in a second, at most {}", bounds.requests_per_second);
            return Err(broken("I10", history, at, text));
        }
        if wakes > bounds.wakes_per_second {
            let text =
                format!("{who:?} looked {wakes} times at its connections in a second, at most {}", bounds.wakes_per_second);
            return Err(broken("I10", history, at, text));
        }
        checks += 1;
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::super::scene::*;
    use super::*;
    use crate::history::Who;

    #[test]
    fn buffers_keep_their_limits_and_are_empty_in_the_end() {
        let gauge = |used, closed| Event::Gauge { who: Who::Producer(1), used, limit: 10, closed };
        holds("I9", &history([gauge(10, false), gauge(0, true)]));
        objects("I9", &history([gauge(11, false)]), "holds 11 bytes");
        objects("I9", &history([gauge(1, true)]), "after close");
    }

    #[test]
    fn nobody_spins() {
        let activity = |requests, wakes| Event::Activity { who: Who::Member(1), requests, wakes };
        holds("I10", &history([activity(100, 1000)]));
        objects("I10", &history([activity(101, 0)]), "sent 101 requests");
        objects("I10", &history([activity(0, 1001)]), "looked 1001 times");
    }
}
