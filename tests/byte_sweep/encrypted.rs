//! A sample of the sweep over TLS, where bytes are those on the wire: handshakes and records that break anywhere in them. Over TCP and
//! on the wall clock, so limits are ten times what they guard, and many sessions run at a time, each in a thread with all it needs.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::session::{Report, SESSION_TIMEOUT, session};
use super::stride;
use super::world::proxy::{Direction, Fault, How, Seen};
use super::world::watchdog::watchdog;
use super::world::{SECOND, World, broker};

/// Most of a session is waiting.
const AT_A_TIME: usize = 16;

fn run(fault: Option<Fault>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::start_tls(broker(2)).await;
        world.proxy.plan(fault);
        session(&world).await
    })
}

/// Where to break a connection: at its first bytes, often in the handshake (which is over before so many bytes), rarely behind it.
fn places(seen: &Seen, direction: Direction) -> Vec<u64> {
    let (total, handshake) = if direction == Direction::Up { (seen.up, 450) } else { (seen.down, 1_200) };
    let number = seen.number as u64;
    // Also in the full run a sample: a session takes more than a second.
    let step = |usual: u64| stride(usual).max(29) as usize;
    let early = (6 + 17 * number..handshake).step_by(step(handshake / 5));
    let late = (handshake + 101 * number..total).step_by(step(total / 4));
    [0, 1, 5].into_iter().filter(|at| at % 4 == number % 4).chain(early).chain(late).collect()
}

#[test]
fn a_session_over_tls_recovers_wherever_its_connections_break() {
    let _watchdog = watchdog("sessions over TLS", 3600 * SECOND);
    let start = Instant::now();
    let reference = run(None);
    assert_eq!(reference.attempts, 4);
    let mut faults = Vec::new();
    for seen in &reference.connections {
        assert!(seen.up > 450 && seen.down > 1_200, "it is encrypted: {seen:?}");
        for direction in [Direction::Up, Direction::Down] {
            for after in places(seen, direction) {
                // A reset, and an end without TLS's farewell, in turn.
                let how = if faults.len().is_multiple_of(2) { How::Reset } else { How::Close };
                faults.push(Fault { connection: Some(seen.number), direction, after, how });
            }
        }
    }
    let (count, left) = (faults.len(), Mutex::new(faults));
    let check = || {
        let next = || left.lock().unwrap().pop();
        while let Some(fault) = next() {
            let report = run(Some(fault));
            // In memory it is 2 s, or a session time-out where the answer to the first JoinGroup is lost.
            let longest = reference.took + SESSION_TIMEOUT + 20 * SECOND;
            assert!(report.took <= longest, "{fault:?}: {:?} and not {:?}", report.took, reference.took);
            assert!(report.attempts <= reference.attempts + 2, "{fault:?}: {} attempts to connect", report.attempts);
            assert_eq!(report.losses, 0, "{fault:?}: partitions were lost");
        }
    };
    std::thread::scope(|scope| {
        for number in 0..AT_A_TIME {
            std::thread::Builder::new().name(format!("encrypted {number}")).spawn_scoped(scope, check).unwrap();
        }
    });
    assert!(count > 40, "only {count} sessions");
    println!("TLS: {count} sessions in {:?}, one without a fault {:?}", start.elapsed(), reference.took);
    assert!(reference.took < Duration::from_secs(20), "{:?}", reference.took);
}
