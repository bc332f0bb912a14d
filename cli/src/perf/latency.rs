//! `perf latency`: an open loop. Each millisecond `rate / 1000` records are due; what counts is the time from when a record was due to
//! its acknowledgement, so that a stall is not hidden by sending later.

use std::time::{Duration, Instant};

use klamm::producer::Delivery;
use klamm::{Record, Topic};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Load;
use super::measure::Marks;
use super::pool::values;
use super::progress::Progress;
use crate::exit::{Done, Failure};
use crate::options::Options;

/// Sends at the rate asked for and collects latencies.
pub(super) async fn run(options: &Options, load: Load) -> Done<Value> {
    let client = options.connect().await?;
    let producer = load.tune(client.producer()).build()?;
    let (values, topic) = (values(load.size), Topic::from(load.topic.as_str()));
    // Metadata, connections and producer id are there before the clock starts.
    let mut warm = 0;
    for _ in 0..100 {
        producer.send(Record::new(&topic).value(values.first().cloned().unwrap_or_default())).await?;
        warm += 1;
    }
    let per_tick = (load.rate / 1000).max(1);
    let tick = Duration::from_nanos(1_000_000_000 * per_tick / load.rate.max(1));
    let ticks = Duration::from_secs(load.seconds).as_nanos() / tick.as_nanos().max(1);
    let total = u64::try_from(ticks).unwrap_or(u64::MAX).saturating_mul(per_tick);
    let start = Instant::now() + Duration::from_millis(500);
    let (due_sender, mut due) = mpsc::unbounded_channel::<Duration>();
    // A thread of its own keeps time, whatever the runtime does.
    let pacer = std::thread::spawn(move || {
        let mut intended = Duration::ZERO;
        for _ in 0..ticks {
            std::thread::sleep((start + intended).saturating_duration_since(Instant::now()));
            for _ in 0..per_tick {
                if due_sender.send(intended).is_err() {
                    return;
                }
            }
            intended += tick;
        }
    });
    let (sent_sender, mut sent) = mpsc::unbounded_channel::<(Duration, Delivery)>();
    let (warmup, show) = (Duration::from_secs(load.warmup), load.progress);
    let collector = tokio::spawn(async move {
        let mut latencies = Vec::new();
        let mut progress = Progress::new(show);
        let mut acked = 0_u64;
        while let Some((intended, delivery)) = sent.recv().await {
            delivery.await?;
            acked += 1;
            if intended >= warmup {
                let micros = u64::try_from(start.elapsed().saturating_sub(intended).as_micros()).unwrap_or(u64::MAX);
                latencies.push(micros);
                progress.latency(micros);
            }
            progress.tick(acked);
        }
        Ok::<_, klamm::Error>((acked, latencies))
    });
    let mut marks = Marks::start(total);
    let mut done = 0;
    let mut cycle = values.iter().cycle();
    while let Some(intended) = due.recv().await {
        let value = cycle.next().cloned().unwrap_or_default();
        let delivery = producer.enqueue(Record::new(&topic).value(value)).await?;
        done += 1;
        marks.tick(done);
        if sent_sender.send((intended, delivery)).is_err() {
            break;
        }
    }
    marks.end(done);
    drop(sent_sender);
    let ended = collector.await.map_err(|error| Failure::refused(format!("the run failed: {error}")))?;
    let (acked, mut latencies) = ended?;
    producer.close(Duration::MAX).await?;
    let _ = pacer.join();
    latencies.sort_unstable();
    let count = latencies.len();
    let at = |share: f64| latencies.get(((count as f64 * share) as usize).min(count.saturating_sub(1))).copied().unwrap_or(0);
    let extra = json!({
        "warm_records": warm,
        "samples": count,
        "p50_us": at(0.5),
        "p90_us": at(0.9),
        "p99_us": at(0.99),
        "p999_us": at(0.999),
        "max_us": at(1.0),
    });
    Ok(marks.report("latency", acked, acked * load.size as u64, &extra))
}
