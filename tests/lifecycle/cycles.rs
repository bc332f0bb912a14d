//! A hundred clients, each dropped at another moment of its work: nothing is left of them.

use std::time::Duration;

use klamm::Client;
use klamm_broker::{Intercept, Reachability};

use super::work::{RECORDS, Work};
use super::world::{FAREWELL, SECOND, Security, World, broker, close_producer, panics, paused_runtime, producer, record};

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
            for number in 0..100_u64 {
                let mut work = Work::begin(world.builder());
                work.go_on(Duration::from_millis(number * 2)).await;
                work.drop_in_order(number as usize);
                // A batch that lingers goes out at once.
                longest = longest.max(world.wait_until_empty(FAREWELL).await);
            }
            panics::assert_none();
            println!("{security:?}: the longest farewell of 100 took {longest:?}");
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

/// What the heap holds more after a whole life of a client and its broker than before it.
fn left_on_the_heap(number: u64) -> i64 {
    let info = allocation_counter::measure(|| {
        let runtime = paused_runtime();
        runtime.block_on(async {
            let world = slow_world(Security::Plaintext).await;
            let mut work = Work::begin(world.builder());
            work.go_on(Duration::from_millis(number * 4)).await;
            work.drop_in_order(number as usize);
            world.wait_until_empty(FAREWELL).await;
        });
    });
    info.bytes_current
}

#[test]
fn a_client_dropped_in_the_middle_of_its_work_leaves_nothing_on_the_heap() {
    // Thread-local state and the like is made once.
    let warm: Vec<_> = (0..10).map(left_on_the_heap).collect();
    let left: Vec<_> = (0..50).map(left_on_the_heap).collect();
    println!("bytes left by each life: {warm:?}, then {left:?}");
    assert_eq!(left.iter().sum::<i64>(), 0, "{left:?}");
}

/// A producer, a consumer, a reader and a buffered producer of a client that goes on; then the broker forgets them, too.
async fn components(world: &World, client: &Client, number: usize) {
    let producer = producer(client).build().unwrap();
    let deliveries = [0, 1].map(|partition| producer.try_enqueue(record(partition, "a")));
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    let mut reader = client.reader("t").build().unwrap();
    let mut buffered = client.buffered_producer().build().unwrap();
    buffered.produce(record(0, "b")).unwrap();
    buffered.deliver().await.unwrap();
    assert!(consumer.next().await.unwrap().is_some() && reader.next().await.unwrap().is_some());
    client.admin().describe_groups(["g"]).await.unwrap();
    if number.is_multiple_of(2) {
        close_producer(&producer, SECOND).await.unwrap();
        consumer.close(SECOND).await.unwrap();
    } else {
        drop((producer, consumer));
    }
    drop((deliveries, reader, buffered));
    tokio::time::sleep(FAREWELL).await;
    world.broker.delete_group("g");
    world.broker.clear_requests();
    for partition in 0..2 {
        world.broker.forget_producers("t", partition);
        let (_, end) = world.broker.offsets("t", partition).unwrap();
        world.broker.delete_records("t", partition, end - 1);
    }
}

#[test]
fn components_that_come_and_go_leave_nothing_in_a_client_that_lives() {
    let runtime = paused_runtime();
    let (world, client) = runtime.block_on(async {
        let world = slow_world(Security::Plaintext).await;
        // The proxy remembers each connection.
        let client = world.builder().connector(world.broker.connector()).build().unwrap();
        (world, client)
    });
    let mut grown = Vec::new();
    for number in 0..60 {
        let tasks = runtime.metrics().num_alive_tasks();
        let info = allocation_counter::measure(|| runtime.block_on(components(&world, &client, number)));
        grown.push(info.bytes_current);
        assert!(number < 2 || runtime.metrics().num_alive_tasks() == tasks, "cycle {number}");
    }
    println!("bytes that each cycle added: {grown:?}");
    assert_eq!(grown[20..].iter().sum::<i64>(), 0, "{grown:?}");
}
