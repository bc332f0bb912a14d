//! The life cycle, on the heap: clients dropped in the middle of their work, and components of a client that goes on, leave no byte. A
//! process of its own, with one test, because the heap is that of all threads: some of the work is done on others.

#[path = "lifecycle/work.rs"]
mod work;
#[path = "world/mod.rs"]
mod world;

use std::alloc::System;
use std::time::Duration;

use klamm::Client;
use klamm_broker::Intercept;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use work::{RECORDS, Work};
use world::{FAREWELL, SECOND, Security, World, broker, close_producer, panics, producer, record};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many bytes are allocated now.
fn heap() -> i64 {
    let stats = HEAP.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64 // neither is near its end
}

/// As `world::paused_runtime`, with threads for blocking work that stay.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).max_blocking_threads(1).thread_keep_alive(Duration::from_secs(3_600)).build().unwrap()
}

/// A broker that takes a few milliseconds for everything, so that a client can be met in the middle.
async fn slow_world() -> World {
    let world = World::start(Security::Plaintext, broker(2).request_log_bytes(1 << 16)).await;
    for partition in 0..2 {
        world.append("t", partition, 0..RECORDS / 2);
    }
    world.broker.intercept(|_| Intercept::DelayResponse(Duration::from_millis(3)));
    world
}

/// What the heap holds more after a whole life of a client and its broker than before it.
fn left_on_the_heap(number: u64) -> i64 {
    let before = heap();
    runtime().block_on(async {
        let world = slow_world().await;
        let mut work = Work::begin(world.builder());
        work.go_on(Duration::from_millis(number * 4)).await;
        work.drop_in_order(number as usize);
        world.wait_until_empty(FAREWELL).await;
    });
    heap() - before
}

fn a_client_dropped_in_the_middle_of_its_work_leaves_nothing() {
    // Thread-local state and the like is made once.
    (0..10).for_each(|number| _ = left_on_the_heap(number));
    let left: [i64; 50] = std::array::from_fn(|number| left_on_the_heap(number as u64));
    println!("bytes left by each life: {left:?}");
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
    let async_producer = client.async_producer().build().unwrap();
    async_producer.try_produce(record(0, "c")).unwrap();
    assert!(consumer.next().await.unwrap().is_some() && reader.next().await.unwrap().is_some());
    client.admin().describe_groups(["g"]).await.unwrap();
    if number.is_multiple_of(2) {
        close_producer(&producer, SECOND).await.unwrap();
        async_producer.close(SECOND).await.unwrap();
        consumer.close(SECOND).await.unwrap();
    } else {
        drop((producer, async_producer, consumer));
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

fn components_that_come_and_go_leave_nothing_in_a_client_that_lives() {
    let runtime = runtime();
    let (world, client) = runtime.block_on(async {
        let world = slow_world().await;
        // The proxy remembers each connection.
        let client = world.builder().connector(world.broker.connector()).build().unwrap();
        (world, client)
    });
    let mut after_warming = 0;
    let mut grown = Vec::with_capacity(60);
    for number in 0..60 {
        let (before, tasks) = (heap(), runtime.metrics().num_alive_tasks());
        runtime.block_on(components(&world, &client, number));
        assert!(number < 2 || runtime.metrics().num_alive_tasks() == tasks, "cycle {number}");
        grown.push(heap() - before);
        if number == 19 {
            after_warming = heap();
        }
    }
    // Other threads may not have put away their last work yet.
    let start = std::time::Instant::now();
    while heap() > after_warming && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let more = heap() - after_warming;
    println!("bytes that each cycle added: {grown:?}; in the end {more}");
    assert!(more <= 0, "{grown:?}");
}

#[test]
fn nothing_is_left_on_the_heap() {
    a_client_dropped_in_the_middle_of_its_work_leaves_nothing();
    components_that_come_and_go_leave_nothing_in_a_client_that_lives();
    panics::assert_none();
}
