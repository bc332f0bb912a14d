//! Rates and buckets on a handed-in clock.

use std::time::{Duration, Instant};

use crate::core::quotas::rate::{Bucket, Rate};

#[test]
fn a_first_burst_of_ten_seconds_is_free_and_more_has_to_be_waited_for() {
    let now = Instant::now();
    let mut rate = Rate::default();
    assert_eq!(rate.record(now, 10_000.0, 1000.0), Duration::ZERO);
    assert_eq!(rate.record(now, 500.0, 1000.0), Duration::from_millis(500));
    // After the wait, 10,500 over 10.5 s.
    let now = now + Duration::from_millis(500);
    assert_eq!(rate.record(now, 0.0, 1000.0), Duration::ZERO);
    // Kafka's saw: the first whole window takes the place of one that was only assumed.
    let now = now + Duration::from_millis(500);
    assert_eq!(rate.record(now, 0.0, 1000.0), Duration::from_millis(500));
    let now = now + Duration::from_secs(10);
    assert_eq!(rate.record(now, 10_000.0, 1000.0), Duration::ZERO, "what is older than the windows is forgotten");
}

#[test]
fn a_steady_rate_below_the_limit_is_never_throttled_and_one_above_is_held_to_it() {
    let start = Instant::now();
    let mut rate = Rate::default();
    for step in 0..200 {
        assert_eq!(rate.record(start + Duration::from_millis(100 * step), 99.0, 1000.0), Duration::ZERO, "step {step}");
    }
    let (mut rate, mut now, mut sent) = (Rate::default(), start, 0.0);
    while now < start + Duration::from_secs(200) {
        let wait = rate.record(now, 300.0, 1000.0);
        sent += 300.0;
        now += wait.max(Duration::from_millis(10));
    }
    assert!((200_000.0..235_000.0).contains(&sent), "{sent}");
}

#[test]
fn what_is_taken_back_was_not_used() {
    let now = Instant::now();
    let mut rate = Rate::default();
    assert_ne!(rate.record(now, 20_000.0, 1000.0), Duration::ZERO);
    rate.take_back(20_000.0);
    assert_eq!(rate.record(now, 1000.0, 1000.0), Duration::ZERO);
}

#[test]
fn a_bucket_holds_eleven_seconds_and_can_be_overdrawn_once() {
    let now = Instant::now();
    let mut bucket = Bucket::default();
    assert_eq!(bucket.wait(now, 2.0), Duration::ZERO);
    bucket.take(now, 30.0, 2.0);
    assert_eq!(bucket.wait(now, 2.0), Duration::from_secs(4));
    assert_eq!(bucket.wait(now + Duration::from_secs(4), 2.0), Duration::ZERO);
}
