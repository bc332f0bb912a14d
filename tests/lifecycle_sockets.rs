//! The life cycle over TCP, on the wall clock: clients dropped in the middle of their work leave no task, no connection and no file
//! descriptor. A process of its own, because descriptors are counted for the whole process.

#[path = "lifecycle/work.rs"]
mod work;
#[path = "world/mod.rs"]
mod world;

use std::time::{Duration, Instant};

use klamm::{Client, ClientBuilder};
use klamm_broker::Broker;

use work::{RECORDS, Work};
use world::{FAREWELL, alive_tasks, panics};

/// Descriptors of this process that are open; `None` where the system doesn't tell.
fn descriptors() -> Option<usize> {
    std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}

/// One client's life; it ends after so long, in the middle of everything.
async fn live(client: ClientBuilder, number: usize) {
    let mut work = Work::begin(client);
    work.go_on(Duration::from_millis(number as u64 * 2)).await;
    work.drop_in_order(number);
}

/// Waits until as few are left as there were; the limit is that of the farewell, ten times for a busy machine.
async fn wait_for(before: (usize, Option<usize>)) {
    let start = Instant::now();
    loop {
        let now = (alive_tasks(), descriptors());
        if now.0 <= before.0 && now.1 <= before.1 {
            return;
        }
        assert!(start.elapsed() < 10 * FAREWELL, "tasks and descriptors were {before:?} and are {now:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Lives that come and go, of clients with these settings.
async fn come_and_go(broker: &Broker, lives: usize, client: impl Fn() -> ClientBuilder) {
    for partition in 0..2 {
        broker.append_records("t", partition, (0..RECORDS / 2).map(|_| (None, Some(&b"x"[..])))).unwrap();
    }
    // The first resolves names and the like on threads that stay.
    let idle = alive_tasks();
    live(client(), 30).await;
    wait_for((idle, Some(usize::MAX))).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = (idle, descriptors());
    for number in 0..lives {
        live(client(), number).await;
        wait_for(before).await;
        assert_eq!(broker.connections(1), 0);
    }
    panics::assert_none();
    println!("tasks and descriptors, before and after: {before:?}");
}

/// One after the other in one test, because descriptors are those of the whole process.
#[tokio::test]
async fn clients_dropped_in_the_middle_of_their_work_leave_no_descriptor() {
    panics::watch();
    let broker = world::broker(2).start_tcp("127.0.0.1:0").await.unwrap();
    come_and_go(&broker, 40, || Client::builder(broker.bootstrap())).await;
    #[cfg(feature = "tls")]
    {
        let world = world::World::start_tls(world::broker(2)).await;
        come_and_go(&world.broker, 20, || world.builder()).await;
    }
}
