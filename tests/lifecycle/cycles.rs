//! A hundred clients, each dropped at another moment of its work: nothing is left of them.

use std::time::Duration;

use klamm_broker::{Intercept, Reachability};

use super::work::{RECORDS, Work};
use super::world::{FAREWELL, SECOND, Security, World, broker, panics, paused_runtime};

/// A broker that takes a few milliseconds for everything, so that a client can be met in the middle.
async fn slow_world(security: Security) -> World {
    let world = World::start(security, broker(2).request_log_bytes(1 << 16)).await;
    for partition in 0..2 {
        world.append("t", partition, 0..RECORDS / 2);
    }
    world.broker.intercept(|_| Intercept::DelayResponse(Duration::from_millis(3)));
    world
}

#[test]
fn a_hundred_clients_dropped_in_the_middle_of_their_work_leave_no_task_and_no_connection() {
    for security in Security::ALL {
        paused_runtime().block_on(async {
            let world = slow_world(*security).await;
            let mut longest = Duration::ZERO;
            let mut full = 0;
            for number in 0..100_u64 {
                let mut work = Work::begin(world.builder());
                work.go_on(Duration::from_millis(number * 2)).await;
                full += usize::from(work.asynchronous.as_ref().unwrap().queue_size() == 2);
                work.drop_in_order(number as usize);
                // A batch that lingers goes out at once.
                longest = longest.max(world.wait_until_empty(FAREWELL).await);
            }
            panics::assert_none();
            assert!((10..100).contains(&full), "the asynchronous producer's queue was full {full} times");
            println!("{security:?}: the longest farewell of 100 took {longest:?}; a queue was full {full} times");
        });
    }
}

/// The producers' records have a minute, a member's farewell 5 s, and attempts to connect up to half a minute.
#[test]
fn clients_whose_brokers_are_dead_are_gone_when_the_last_record_has_its_result() {
    for security in Security::ALL {
        for dead in [Reachability::Refusing, Reachability::BlackHole] {
            for number in 0..10_u64 {
                paused_runtime().block_on(async {
                    let world = slow_world(*security).await;
                    let mut work = Work::begin(world.builder());
                    work.go_on(Duration::from_millis(number * 15)).await;
                    world.broker.set_reachability(1, dead);
                    world.broker.close_connections(1);
                    work.go_on(Duration::from_millis(number * 300)).await;
                    work.drop_in_order(number as usize);
                    let took = world.wait_until_empty(60 * SECOND + FAREWELL).await;
                    panics::assert_none();
                    println!("{dead:?} {number}: {took:?}");
                });
            }
        }
    }
}
