//! Dropping never blocks, never panics, and needs no runtime (reliability.md, rule 11 and row 57).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use klamm::ErrorKind;
use klamm_broker::{Intercept, Reachability};
use tokio::time::timeout;

use super::work::{RECORDS, Work};
use super::world::watchdog::watchdog;
use super::world::{FAREWELL, SECOND, Security, World, broker, panics, paused_runtime, record};

/// What the broker is like when everything is dropped.
#[derive(Clone, Copy, Debug)]
enum Condition {
    Fine,
    Refusing,
    BlackHole,
    /// It takes connections and requests, and answers nothing.
    Silent,
}

const CONDITIONS: [Condition; 4] = [Condition::Fine, Condition::Refusing, Condition::BlackHole, Condition::Silent];

impl Condition {
    fn set(self, world: &World) {
        match self {
            Self::Fine => {}
            Self::Refusing | Self::BlackHole => {
                let how = if let Self::Refusing = self { Reachability::Refusing } else { Reachability::BlackHole };
                world.broker.set_reachability(1, how);
                world.broker.close_connections(1);
            }
            Self::Silent => drop(world.broker.intercept(|_| Intercept::Swallow)),
        }
    }
}

/// How long after the drop the last task is gone: at the producers' delivery time-out where no broker answers.
fn limit(condition: Condition) -> Duration {
    if let Condition::Fine = condition { FAREWELL } else { 60 * SECOND + FAREWELL }
}

async fn begin(condition: Condition, time: Duration) -> (World, Work) {
    let world = World::start(Security::Plaintext, broker(2)).await;
    for partition in 0..2 {
        world.append("t", partition, 0..RECORDS / 2);
    }
    world.broker.intercept(|_| Intercept::DelayResponse(Duration::from_millis(3)));
    let mut work = Work::begin(world.builder());
    work.go_on(time).await;
    condition.set(&world);
    work.go_on(time).await;
    (world, work)
}

const TIMES: [Duration; 4] = [Duration::ZERO, Duration::from_millis(10), Duration::from_millis(100), Duration::from_secs(3)];

/// Runs `drop_it` on everything, under every condition and at several moments, and sees that nothing is left after it.
fn everywhere(what: &str, mut drop_it: impl FnMut(&tokio::runtime::Runtime, Work)) {
    let _watchdog = watchdog(what, Duration::from_secs(120));
    for condition in CONDITIONS {
        for time in TIMES {
            let runtime = paused_runtime();
            let (world, work) = runtime.block_on(begin(condition, time));
            let start = Instant::now();
            drop_it(&runtime, work);
            let took = start.elapsed();
            assert!(took < SECOND, "{what}, {condition:?} after {time:?}: dropping took {took:?}");
            runtime.block_on(world.wait_until_empty(limit(condition)));
            panics::assert_none();
        }
    }
}

#[test]
fn dropped_inside_the_runtime() {
    everywhere("inside", |runtime, work| runtime.block_on(async { drop(work) }));
}

#[test]
fn dropped_outside_of_any_runtime() {
    everywhere("outside", |_, work| drop(work));
}

#[test]
fn dropped_inside_another_runtime() {
    everywhere("in another runtime", |_, work| paused_runtime().block_on(async { drop(work) }));
}

#[test]
fn dropped_on_another_thread() {
    everywhere("on another thread", |_, work| std::thread::spawn(move || drop(work)).join().unwrap());
}

#[test]
fn dropped_with_the_task_that_is_aborted() {
    everywhere("with its task", |runtime, mut work| {
        runtime.block_on(async {
            let task = tokio::spawn(async move { work.go_on(3600 * SECOND).await });
            tokio::task::yield_now().await;
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        });
    });
}

/// A panic of the user's drops everything on its way; a second one would end the process.
#[test]
fn dropped_by_a_panic_of_the_users() {
    for condition in CONDITIONS {
        let runtime = paused_runtime();
        let (world, work) = runtime.block_on(begin(condition, Duration::from_millis(100)));
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _dropped = work;
            // Without the hook, which would note it as one of ours.
            std::panic::resume_unwind(Box::new("the user's"));
        }));
        assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the user's"));
        runtime.block_on(world.wait_until_empty(limit(condition)));
        panics::assert_none();
    }
}

#[test]
fn dropped_after_the_runtime_was_shut_down() {
    let _watchdog = watchdog("after the runtime", Duration::from_secs(120));
    for condition in CONDITIONS {
        for time in TIMES {
            let runtime = paused_runtime();
            let (world, work) = runtime.block_on(begin(condition, time));
            let start = Instant::now();
            drop(runtime);
            drop(work);
            drop(world);
            assert!(start.elapsed() < SECOND);
            panics::assert_none();
        }
    }
}

/// Where a drop happens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Inside,
    Outside,
    AfterTheRuntime,
}

/// Producers that deliver in rounds, each in the middle of one: the buffered one takes what it has along, the asynchronous one tries
/// once more in the background, and tells its hook of each record that this did not help.
#[test]
fn producers_that_deliver_in_rounds_are_dropped_in_no_time() {
    let _watchdog = watchdog("dropping producers", Duration::from_secs(60));
    for (condition, place) in CONDITIONS
        .iter()
        .flat_map(|condition| [Place::Inside, Place::Outside, Place::AfterTheRuntime].map(|place| (*condition, place)))
    {
        let what = format!("{condition:?}, {place:?}");
        let runtime = paused_runtime();
        let lost = Arc::new(Mutex::new(Vec::new()));
        let (world, asynchronous, buffered) = runtime.block_on(async {
            let world = World::start(Security::Plaintext, broker(2)).await;
            world.broker.intercept(|_| Intercept::DelayResponse(Duration::from_millis(3)));
            let client = world.client();
            let mut buffered = client.buffered_producer().build().unwrap();
            let hears = lost.clone();
            let builder = client.async_producer().max_queue_size(2).max_buffer_size(2).delivery_threshold(1).max_retries(0);
            let asynchronous = builder.on_failure(move |failed| {
                let lost = failed.failed.iter().filter(|failed| !failed.kept).map(|failed| failed.record.value.clone().unwrap());
                hears.lock().unwrap().extend(lost);
            });
            let asynchronous = asynchronous.build().unwrap();
            asynchronous.produce(record(0, "first")).await.unwrap();
            buffered.produce(record(1, "first")).unwrap();
            buffered.deliver().await.unwrap();
            tokio::time::sleep(SECOND).await;
            condition.set(&world);
            for value in ["a", "b", "c"] {
                asynchronous.produce(record(0, value)).await.unwrap();
                tokio::task::yield_now().await;
                buffered.produce(record(1, value)).unwrap();
            }
            assert!(timeout(Duration::from_millis(1), buffered.deliver()).await.is_err(), "it is on its way");
            (world, asynchronous, buffered)
        });
        let mut runtime = Some(runtime);
        let start = Instant::now();
        match place {
            Place::Inside => runtime.as_ref().unwrap().block_on(async {
                let start = tokio::time::Instant::now();
                drop((asynchronous, buffered));
                assert_eq!(start.elapsed(), Duration::ZERO);
            }),
            Place::Outside => drop((asynchronous, buffered)),
            Place::AfterTheRuntime => {
                runtime = None;
                drop((asynchronous, buffered));
            }
        }
        assert!(start.elapsed() < SECOND, "{what}: dropping took {:?}", start.elapsed());
        if let Some(runtime) = runtime {
            runtime.block_on(world.wait_until_empty(limit(condition)));
        }
        let (written, lost) = (world.values("t", 0), lost.lock().unwrap().clone());
        if let (Condition::Fine, Place::Inside | Place::Outside) = (condition, place) {
            assert_eq!((written, lost.len()), (["first", "a", "b", "c"].map(str::to_owned).to_vec(), 0), "{what}");
        } else {
            assert_eq!(lost, ["a", "b", "c"], "{what}: the hook hears of each once");
            assert_eq!(written[0], "first", "{what}");
        }
        panics::assert_none();
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_task_holds_a_clone_of_goes_on() {
    let world = World::start(Security::Plaintext, broker(1)).await;
    let client = world.client();
    let producer = client.producer().build().unwrap();
    let (other_client, other_producer) = (client.clone(), producer.clone());
    let task = tokio::spawn(async move {
        for number in 0..10 {
            other_producer.send(record(0, number.to_string())).await.unwrap();
            assert_eq!(other_client.partition_count("t").await.unwrap(), 1);
            tokio::time::sleep(SECOND).await;
        }
    });
    tokio::time::sleep(SECOND / 2).await;
    drop((client, producer));
    task.await.unwrap();
    assert_eq!(world.values("t", 0).len(), 10);
    world.wait_until_empty(FAREWELL).await;
    panics::assert_none();
}

/// A handle outlives its consumer without keeping anything alive, and says so.
#[tokio::test(start_paused = true)]
async fn a_handle_whose_consumer_was_dropped_steers_nothing_and_harms_nothing() {
    let world = World::start(Security::Plaintext, broker(1)).await;
    world.append("t", 0, 0..3);
    let mut consumer = world.client().consumer("g").topics(["t"]).build().unwrap();
    let message = consumer.next().await.unwrap().unwrap();
    let handle = consumer.handle();
    drop(consumer);
    world.wait_until_empty(FAREWELL).await;
    handle.mark_as_processed(&message);
    handle.pause("t", 0);
    handle.resume("t", 0);
    handle.seek("t", 0, 1).unwrap();
    handle.stop();
    assert_eq!(handle.commit().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(handle.buffered_bytes(), 0);
    assert!(world.broker.group_members("g").is_empty(), "the member left");
    panics::assert_none();
}
