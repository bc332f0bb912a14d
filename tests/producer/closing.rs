//! What is left when a producer is closed: nothing that nobody knows of.

use std::future::Future;
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use klamm::producer::Partitioning;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{ErrorKind, Record};
use klamm_broker::Intercept;
use tokio::time::Instant;

use crate::harness::{millis, one_node, record, values};

const SECOND: Duration = Duration::from_secs(1);

fn text(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_closed_background_producer_says_exactly_what_may_have_been_written() {
    let (broker, client) = one_node(3);
    let producer = client.producer().linger(Duration::ZERO).max_in_flight(1).build().unwrap();
    producer.send(record(0, "acknowledged")).await.unwrap();
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::ProcessThenSwallow);
    let unheard = producer.enqueue(record(0, "unheard")).await.unwrap();
    broker.wait_for(ApiKey::PRODUCE, 2).await;
    // The connection takes no second request before the first is answered.
    let unsent = producer.enqueue(record(1, "unsent")).await.unwrap();
    let start = Instant::now();
    let error = producer.close(3 * SECOND).await.unwrap_err();
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!((error.kind(), error.is_possibly_written()), (ErrorKind::Closed, true), "one of them may have been");
    assert!(unheard.try_result().unwrap().unwrap_err().is_possibly_written());
    assert!(!unsent.try_result().unwrap().unwrap_err().is_possibly_written());
    assert_eq!((values(&broker, "t", 0).len(), values(&broker, "t", 1).len()), (2, 0));
    let again = Instant::now();
    producer.close(SECOND).await.unwrap();
    assert_eq!(again.elapsed(), Duration::ZERO, "there is nothing left");
}

#[tokio::test(start_paused = true)]
async fn closing_without_a_limit_ends_at_the_delivery_time_out() {
    let (broker, client) = one_node(1);
    let builder = client.producer().request_timeout(2 * SECOND).delivery_timeout(5 * SECOND);
    let producer = builder.build().unwrap();
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Swallow);
    let delivery = producer.enqueue(record(0, "a")).await.unwrap();
    let start = Instant::now();
    let error = producer.close(Duration::MAX).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Timeout, 5 * SECOND));
    assert!(delivery.await.unwrap_err().is_possibly_written());
}

#[tokio::test(start_paused = true)]
async fn a_closed_buffer_is_not_delivered_but_given_back() {
    let (broker, client) = one_node(2);
    let mut buffer = client.buffered_producer().max_retries(0).build().unwrap();
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::partition_error("t", 1, ErrorCode::REQUEST_TIMED_OUT));
    buffer.produce(record(0, "delivered")).unwrap();
    buffer.produce(record(1, "timed out")).unwrap();
    buffer.deliver().await.unwrap_err();
    buffer.produce(record(0, "never sent").key("k")).unwrap();
    let before = broker.requests().len();
    let start = Instant::now();
    let left = buffer.close(10 * SECOND).await.unwrap_err();
    assert_eq!((start.elapsed(), broker.requests().len()), (Duration::ZERO, before), "nothing is sent or waited for");
    let said: Vec<_> =
        left.failed.iter().map(|it| (text(&it.record), it.error.code(), it.error.is_possibly_written(), it.kept)).collect();
    let expected = [("timed out", Some(ErrorCode::REQUEST_TIMED_OUT), true, false), ("never sent", None, false, false)];
    assert_eq!(said, expected.map(|(value, code, written, kept)| (value.to_owned(), code, written, kept)));
    assert_eq!(left.failed[1].record.key.as_deref(), Some(&b"k"[..]));
    client.buffered_producer().build().unwrap().close(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_deliver_left_under_way_is_waited_for_by_closing() {
    let (broker, client) = one_node(2);
    for (within, left) in [(SECOND, None), (millis(100), Some(["a", "b"]))] {
        let held = broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Delay(millis(500)));
        let mut buffer = client.buffered_producer().build().unwrap();
        buffer.produce(record(0, "a")).unwrap();
        buffer.produce(record(1, "b")).unwrap();
        assert!(tokio::time::timeout(millis(50), buffer.deliver()).await.is_err());
        let closed = buffer.close(within).await;
        broker.remove_intercept(held);
        let Some(left) = left else {
            closed.unwrap();
            continue;
        };
        let failed = closed.unwrap_err().failed;
        assert_eq!(failed.iter().map(|it| text(&it.record)).collect::<Vec<_>>(), left);
        assert!(failed.iter().all(|it| it.error.is_possibly_written()), "they were on their way");
    }
}

/// Regression row 23: a record that is on its way into its batch when the producer is closed, and comes there when nobody is left to
/// send it. The user's partitioner holds it up: before there is room for it, and when it has waited for room and has got it.
#[tokio::test(start_paused = true)]
async fn a_record_that_comes_when_closing_is_over_is_refused_and_not_lost() {
    for has_room in [false, true] {
        let (broker, client) = one_node(1);
        let (inside, is_inside) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let (may_go_on, mut passes) = (Mutex::new(may_go_on), u32::from(has_room));
        let held_up = Mutex::new(move || match passes.checked_sub(1) {
            Some(left) => passes = left,
            None => {
                inside.send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            }
        });
        let partitioning = Partitioning::from(move |_: u32, _: &Record| {
            held_up.lock().unwrap()();
            Some(0)
        });
        let builder = client.producer().buffer_memory(30_000).max_request_size(30_000).batch_size(30_000);
        let producer = builder.linger(Duration::ZERO).partitioner(partitioning).build().unwrap();
        let first = producer.enqueue(record(0, vec![b'x'; 25_000])).await.unwrap();
        let mut late = Box::pin({
            let producer = producer.clone();
            async move { producer.enqueue(Record::new("t").value(vec![b'y'; 15_000])).await }
        });
        if has_room {
            assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it waits for room");
        }
        first.await.unwrap();
        let (runtime, trying) = (tokio::runtime::Handle::current(), producer.clone());
        let late = std::thread::spawn(move || {
            let _inside = runtime.enter();
            match has_room {
                true => late.as_mut().poll(&mut Context::from_waker(Waker::noop())),
                false => Poll::Ready(trying.try_enqueue(Record::new("t").value("late")).map_err(|it| it.error().clone())),
            }
        });
        is_inside.recv().unwrap();
        producer.close(SECOND).await.unwrap();
        // Its task ends, too.
        tokio::time::sleep(SECOND).await;
        go_on.send(()).unwrap();
        let Poll::Ready(Err(error)) = late.join().unwrap() else { panic!("nobody will send it") };
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert_eq!((producer.buffered_bytes(), values(&broker, "t", 0).len()), (0, 1));
    }
}

/// Regression row 1: what is out of time while its bytes are on the way is not free before the connection is done with them.
#[tokio::test(start_paused = true)]
async fn memory_of_what_expired_on_its_way_is_in_use_until_its_answer_or_the_end_of_its_connection() {
    let (broker, client) = one_node(1);
    let builder = client.producer().request_timeout(3 * SECOND).delivery_timeout(4 * SECOND);
    let producer = builder.build().unwrap();
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Swallow);
    // The first attempt is given up after 3 s, the second is on its way when the record's time is over.
    let error = producer.send(record(0, vec![b'x'; 20_000])).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, Some(2)));
    assert!(producer.buffered_bytes() >= 20_000, "{}", producer.buffered_bytes());
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(producer.buffered_bytes(), 0);
}
