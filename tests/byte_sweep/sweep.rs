//! The sweep over all connections, both directions and their bytes.
//!
//! What may be different from an undisturbed session, by the way a connection breaks:
//! - one more connection, not two: nobody storms;
//! - up to 2 s more where the client is told: pauses of 50 ms to connect and of 100 ms before another attempt;
//! - a whole request time-out of 30 s where nothing is said at all, half a second more for a fetch that may wait so long, and for a
//!   JoinGroup as long as a rebalance may take and 5 s;
//! - a session time-out where the answer to the very first JoinGroup is lost: the broker has given an id to a member that it will
//!   never hear of (KIP-394), and a rebalance waits for it.

use std::time::Duration;

use klamm::protocol::ApiKey;

use super::session::{MAX_POLL_INTERVAL, Report, SESSION_TIMEOUT, session};
use super::world::proxy::{Direction, Fault, How, Pace, Seen};
use super::world::watchdog::watchdog;
use super::world::{SECOND, Security, World, broker, paused_runtime};
use super::{Extent, extent, stride};

/// Told on the way out of a test that fails.
struct Doing(String);

impl Drop for Doing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the session with {}", self.0);
        }
    }
}

pub(super) fn run(security: Security, pace: Pace, fault: Option<Fault>) -> Report {
    let what = format!("{security:?}, {pace:?}, {fault:?}");
    let (_watchdog, _doing) = (watchdog(&what, 60 * SECOND), Doing(what));
    paused_runtime().block_on(async {
        let world = World::start(security, broker(2)).await;
        world.proxy.set_pace(pace);
        world.proxy.plan(fault);
        session(&world).await
    })
}

/// How much rarer the usual run breaks a connection behind its set-up with SASL, where everything is as without.
const RARER: u64 = 10;

/// After which bytes to break a connection: every `usual`th, and around the ends of frames if bytes come in large pieces.
fn places(security: Security, seen: &Seen, direction: Direction, how: How, pace: Pace, usual: u64) -> Vec<u64> {
    let (total, frames) = match direction {
        Direction::Up => (seen.up, &seen.requests),
        Direction::Down => (seen.down, &seen.answers),
    };
    // The end of the first frame behind it included.
    let set_up = seen.set_up(direction) + 4;
    let is_familiar = |at: u64| security != Security::Plaintext && at > set_up && extent() != Extent::Full;
    let stride_at = |at| match extent() {
        // Where it breaks is the same; only how the bytes come is not, and takes ten times as long.
        Extent::Full if pace == Pace::OneByte => usual / 12,
        Extent::SetUp if at <= set_up => 1,
        _ if is_familiar(at) => usual * RARER,
        _ => stride(usual),
    };
    // Another remainder on each connection, so that all of them occur.
    let regular = (0..=total).filter(|at| (at + seen.number as u64).is_multiple_of(stride_at(*at)));
    let with_edges = pace == Pace::AtOnce && (security == Security::Plaintext || how == How::Reset || extent() != Extent::Usual);
    let ends = frames.ends().iter().filter(|at| with_edges && !is_familiar(**at));
    let edges = ends.flat_map(|end| [end - 1, *end, end + 1, end + 4]);
    let mut places: Vec<u64> = regular.chain(edges).chain([0, 1, 4]).filter(|at| *at <= total).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// How much longer than an undisturbed session it may take.
fn patience(how: How, seen: &Seen, direction: Direction, after: u64) -> Duration {
    if how == How::BlackHole {
        let join = matches!(seen.purpose(), "group" | "unused");
        return if join { MAX_POLL_INTERVAL + 7 * SECOND } else { 32 * SECOND + SECOND / 2 };
    }
    let frames = if direction == Direction::Up { &seen.requests } else { &seen.answers };
    let first_join = seen.requests.apis().iter().position(|api| *api == ApiKey::JOIN_GROUP);
    let joining = first_join.and_then(|index| {
        let (begin, end) = (frames.ends().get(index.checked_sub(1)?)?, frames.ends().get(index)?);
        // Whole, the request reached the broker; not whole, the answer did not reach the client.
        Some(if direction == Direction::Up { after == *end } else { (*begin..*end).contains(&after) })
    });
    if joining.unwrap_or(false) { SESSION_TIMEOUT + 2 * SECOND } else { 2 * SECOND }
}

/// Sessions, one for each place.
fn sweep(security: Security, how: How, direction: Direction, pace: Pace, usual: u64) {
    let start = std::time::Instant::now();
    let reference = run(security, pace, None);
    let mut count = 0;
    for seen in &reference.connections {
        for after in places(security, seen, direction, how, pace, usual) {
            let fault = Fault { connection: Some(seen.number), direction, after, how };
            let report = run(security, pace, Some(fault));
            let longest = reference.took + patience(how, seen, direction, after);
            let what = format!("{security:?}, {pace:?}, {}: {fault:?}", seen.purpose());
            assert!(report.took <= longest, "{what}: {:?} and not {:?}", report.took, reference.took);
            assert!(report.attempts <= reference.attempts + 1, "{what}: {} attempts to connect", report.attempts);
            assert_eq!(report.losses, 0, "{what}: partitions were lost");
            count += 1;
        }
    }
    println!("{security:?}, {pace:?}, {how:?} {direction:?}: {count} sessions in {:?}", start.elapsed());
}

#[test]
fn a_session_uses_each_kind_of_connection_once() {
    for security in Security::ALL {
        for pace in [Pace::AtOnce, Pace::OneByte] {
            let report = run(*security, pace, None);
            assert_eq!(report.attempts, 4);
            if security.is_readable() {
                let purposes: Vec<_> = report.connections.iter().map(Seen::purpose).collect();
                assert_eq!(purposes, ["control", "produce", "group", "fetch"]);
                for seen in &report.connections {
                    let (asked, set_up) = (seen.requests.apis(), security.set_up());
                    assert!(asked.starts_with(set_up) && asked[set_up.len()] != ApiKey::SASL_AUTHENTICATE, "{asked:?}");
                }
                let apis: Vec<_> = report.connections.iter().flat_map(|seen| seen.requests.apis()).collect();
                for api in [
                    ApiKey::METADATA,
                    ApiKey::INIT_PRODUCER_ID,
                    ApiKey::FIND_COORDINATOR,
                    ApiKey::SYNC_GROUP,
                    ApiKey::HEARTBEAT,
                    ApiKey::OFFSET_COMMIT,
                    ApiKey::LEAVE_GROUP,
                ] {
                    assert!(apis.contains(&&api), "{api} is not part of it");
                }
                assert!(apis.iter().filter(|api| ***api == ApiKey::PRODUCE).count() >= 5);
            }
        }
    }
}

/// The sweeps of one way of talking: every how manieth byte the usual run takes of resets, and of the other ways to break.
macro_rules! sweeps {
    ($name:ident, $security:expr, resets: $resets:literal, others: $others:literal) => {
        mod $name {
            use super::*;

            #[test]
            fn reset_after_each_byte_of_requests() {
                sweep($security, How::Reset, Direction::Up, Pace::AtOnce, $resets);
            }

            #[test]
            fn reset_after_each_byte_of_answers() {
                sweep($security, How::Reset, Direction::Down, Pace::AtOnce, $resets);
            }

            #[test]
            fn closed_after_each_byte_of_requests() {
                sweep($security, How::Close, Direction::Up, Pace::AtOnce, $others);
            }

            #[test]
            fn closed_after_each_byte_of_answers() {
                sweep($security, How::Close, Direction::Down, Pace::AtOnce, $others);
            }

            #[test]
            fn silent_after_each_byte_of_requests() {
                sweep($security, How::BlackHole, Direction::Up, Pace::AtOnce, $others);
            }

            #[test]
            fn silent_after_each_byte_of_answers() {
                sweep($security, How::BlackHole, Direction::Down, Pace::AtOnce, $others);
            }

            #[test]
            fn byte_by_byte_and_broken_after_some() {
                for how in [How::Reset, How::Close, How::BlackHole] {
                    for direction in [Direction::Up, Direction::Down] {
                        sweep($security, how, direction, Pace::OneByte, 22 * $others);
                    }
                }
            }
        }
    };
}

sweeps!(plaintext, Security::Plaintext, resets: 1, others: 7);
sweeps!(sasl_plain, Security::SaslPlain, resets: 1, others: 21);
sweeps!(sasl_scram, Security::SaslScram, resets: 8, others: 56);

/// Not one connection breaks, but each that is made, after so many bytes that the set-up and one request or answer get through.
#[test]
fn a_session_comes_through_though_every_connection_breaks() {
    for security in Security::ALL {
        let reference = run(*security, Pace::AtOnce, None);
        let step = stride(if *security == Security::Plaintext { 13 } else { 67 });
        let mut most = 0;
        for how in [How::Reset, How::Close] {
            for (direction, least) in [(Direction::Up, 360), (Direction::Down, 800)] {
                for more in (0..600).step_by(usize::try_from(step).unwrap()) {
                    let set_up = reference.connections[0].set_up(direction);
                    let fault = Fault { connection: None, direction, after: set_up + least + more, how };
                    let report = run(*security, Pace::AtOnce, Some(fault));
                    assert!(report.took <= reference.took + 5 * SECOND, "{fault:?}: {:?}", report.took);
                    assert!(report.attempts <= 20, "{fault:?}: {} attempts to connect", report.attempts);
                    assert_eq!(report.losses, 0, "{fault:?}: partitions were lost");
                    most = most.max(report.attempts);
                }
            }
        }
        assert!(most > 8, "hardly anything broke");
    }
}
