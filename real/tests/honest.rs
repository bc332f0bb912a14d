//! Is klamm-broker honest? The same requests are played to it and to Apache Kafka, over bare connections, and what they answer is
//! compared field by field. What differs must stand in `honest/differences.txt` with its reason, and what stands there must differ.
#![forbid(unsafe_code)]

#[path = "../../tests/shown/mod.rs"]
mod counted;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use klamm_broker::Broker;
use klamm_real::trace::{Compared, Difference, Listed, Outcome, Ranges, Side, Trace, compare, malformed, play, summary};
use klamm_real::{bootstrap, unique};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("honest")
}

/// klamm-broker as the brokers of these tests are set up.
async fn embedded() -> Broker {
    let builder = Broker::builder().session_timeouts(Duration::from_secs(1)..=Duration::from_secs(1800));
    builder.auto_create_topics(true).kafka_version("4.3").start_tcp("127.0.0.1:0").await.expect("it starts")
}

async fn embedded_side(broker: &Broker, unique: &str) -> Side {
    Side::new(broker.bootstrap().first().expect("an address"), unique)
}

/// The versions that both sides serve.
async fn ranges() -> Ranges {
    let broker = embedded().await;
    let ours = embedded_side(&broker, "").await.ranges().await;
    let mut ranges = Side::new(&bootstrap(), "").ranges().await;
    ranges.retain(|api, (first, last)| {
        let Some((our_first, our_last)) = ours.get(api) else { return false };
        (*first, *last) = ((*first).max(*our_first), (*last).min(*our_last));
        true
    });
    ranges
}

/// Plays a trace, in all rounds, to both.
async fn both(trace: &Trace, ranges: &Ranges) -> Compared {
    let mut all = Compared::default();
    let rounds = trace.rounds(ranges);
    for round in 0..rounds {
        let unique = unique("");
        let broker = embedded().await;
        let (mut kafka, mut klamm) = (Side::new(&bootstrap(), &unique), embedded_side(&broker, &unique).await);
        let (kafka, klamm) =
            tokio::join!(play(&mut kafka, trace, ranges, round, rounds), play(&mut klamm, trace, ranges, round, rounds));
        let compared = compare(trace, &unique, &kafka, &klamm);
        all.outcomes += compared.outcomes;
        all.fields += compared.fields;
        all.messages.extend(compared.messages);
        all.differences.extend(compared.differences);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn klamm_broker_answers_as_kafka_does() {
    let ranges = ranges().await;
    let mut traces = Trace::all(&folder().join("traces"));
    traces.extend(malformed(&ranges));
    let only = std::env::var("KLAMM_TRACE").ok();
    traces.retain(|trace| only.as_ref().is_none_or(|only| trace.name.starts_with(only.as_str())));
    let mut all = Compared::default();
    for trace in &traces {
        let start = std::time::Instant::now();
        let compared = both(trace, &ranges).await;
        println!("{}: {} rounds, {:?}", trace.name, trace.rounds(&ranges), start.elapsed());
        all.outcomes += compared.outcomes;
        all.fields += compared.fields;
        all.messages.extend(compared.messages);
        all.differences.extend(compared.differences);
    }
    let listed = Listed::load(&folder().join("differences.txt"));
    let (known, unknown): (Vec<Difference>, Vec<Difference>) =
        all.differences.into_iter().partition(|difference| listed.iter().any(|listed| listed.is(difference)));
    assert!(
        unknown.is_empty(),
        "{} differences that honest/differences.txt does not list:\n{}",
        unknown.len(),
        summary(&unknown)
    );
    if only.is_none() {
        let is_gone = |listed: &&Listed| listed.must_be() && !known.iter().any(|difference| listed.is(difference));
        let gone: Vec<_> = listed.iter().filter(is_gone).map(Listed::line).collect();
        assert!(gone.is_empty(), "lines of honest/differences.txt that are no longer so: {gone:?}");
    }
    let messages: BTreeSet<_> = all.messages.iter().collect();
    let apis: BTreeSet<_> = messages.iter().map(|(name, _)| name).collect();
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    counted::count(
        "klamm-broker beside Apache Kafka",
        &[
            (number(traces.len()), "traces"),
            (all.outcomes, "requests"),
            (number(apis.len()), "APIs"),
            (number(messages.len()), "versions"),
            (all.fields, "fields"),
            (number(listed.len()), "differences listed"),
        ],
    );
}

/// The comparison itself: what is planted is found.
#[test]
fn a_difference_is_found() {
    let trace = Trace::parse("planted", "Heartbeat beat {\"groupId\": \"g\"}").expect("a trace");
    let said =
        |code: i64| [Outcome::Answer("HeartbeatResponse", 4, serde_json::json!({"throttleTimeMs": code, "errorCode": code}))];
    assert!(compare(&trace, "-1", &said(3), &said(3)).differences.is_empty());
    let found = compare(&trace, "-1", &said(3), &said(4)).differences;
    assert_eq!(found.len(), 1, "{found:?}: times to wait are left out, codes are not");
    assert_eq!((found[0].path.as_str(), found[0].kafka.as_str(), found[0].klamm.as_str()), ("errorCode", "3", "4"));
    assert_eq!(compare(&trace, "-1", &said(3), &[Outcome::Closed]).differences.len(), 1);
}
