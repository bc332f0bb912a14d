//! The main job on three brokers while a member and a broker are killed, a member joins, and connections are cut between a Produce
//! request and its answer: nothing acknowledged is lost or doubled, the group sees everything, and ends without lag.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use klamm_real::{Klamm, Node, Proxy, cluster_bootstrap, java_read, klamm, unique};
use serde_json::Value;
use tokio::task::JoinHandle;

const RECORDS: usize = 400_000;
const PER_SECOND: usize = 15_000;
const KEYS: usize = 1_000;
const PARTITIONS: i32 = 12;
/// No partition that keeps owner and leader may be silent longer.
const SILENCE: Duration = Duration::from_secs(10);

/// A record as a member printed it.
#[derive(Clone, Copy)]
struct Seen {
    member: usize,
    partition: i32,
    offset: i64,
    at: Instant,
}

/// A member of the group, and what it has printed.
struct Member {
    signal: Arc<dyn Fn(&str) + Send + Sync>,
    end: JoinHandle<Option<i32>>,
}

impl Member {
    fn start(number: usize, topic: &str, group: &str, seen: &Arc<Mutex<Vec<Seen>>>) -> Self {
        let bootstrap = cluster_bootstrap();
        let mut command = Klamm::start(&[
            "-b",
            &bootstrap,
            "-X",
            "auto.commit.interval.ms=1000",
            "-X",
            "session.timeout.ms=6000",
            "-X",
            "heartbeat.interval.ms=500",
            "-v",
            "--json",
            "consume",
            topic,
            "--group",
            group,
        ]);
        let pid = command.pid();
        let seen = seen.clone();
        let end = tokio::spawn(async move {
            let mut lines = Vec::new();
            while let Some(line) = command.line().await {
                let json: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("member {number}: {error}: {line}"));
                let number_of = |key: &str| json[key].as_i64().unwrap_or_else(|| panic!("{key} in {line}"));
                let partition = i32::try_from(number_of("partition")).expect("a partition");
                lines.push(Seen { member: number, partition, offset: number_of("offset"), at: Instant::now() });
                // One lock for many lines would be enough, but the receive time matters more than our own cost.
                seen.lock().expect("nobody panics with it").append(&mut lines);
            }
            let output = command.end().await;
            // What it logged is kept beside the nodes' logs, for whoever has to find out why.
            let log = format!("{}/member-{number}.log", std::env::var("KLAMM_CLUSTER_DIR").unwrap_or_default());
            let _ = std::fs::write(log, &output.stderr);
            output.code
        });
        let signal = Arc::new(move |signal: &str| {
            let status =
                std::process::Command::new("kill").args([signal, &pid.to_string()]).status().expect("`kill` can be started");
            assert!(status.success(), "kill {signal} {pid}");
        });
        Self { signal, end }
    }
}

/// Committed offset by partition.
async fn committed(group: &str) -> BTreeMap<i32, (i64, i64)> {
    let output = klamm(&["-b", &cluster_bootstrap(), "--json", "groups", "offsets", group], "").await.success();
    let number = |json: &Value, key: &str| json[key].as_i64().unwrap_or(-1);
    output
        .json_lines()
        .iter()
        .map(|json| {
            (i32::try_from(number(json, "partition")).expect("a partition"), (number(json, "committed"), number(json, "lag")))
        })
        .collect()
}

/// Leader by partition; nothing while the cluster can't be asked.
async fn leaders(topic: &str) -> BTreeMap<i32, i64> {
    let output = klamm(&["-b", &cluster_bootstrap(), "--json", "topics", "describe", topic], "").await;
    if output.code != Some(0) {
        return BTreeMap::new();
    }
    let partitions = output.json_lines().into_iter().flat_map(|json| json["partitions"].as_array().cloned().unwrap_or_default());
    partitions
        .filter_map(|partition| Some((i32::try_from(partition["partition"].as_i64()?).ok()?, partition["leader"].as_i64()?)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_while_brokers_members_and_connections_die() {
    let (topic, group) = (unique("chaos"), unique("chaos-group"));
    let bootstrap = cluster_bootstrap();
    let partitions = PARTITIONS.to_string();
    klamm(&["-b", &bootstrap, "topics", "create", &topic, "--partitions", &partitions, "--replication", "3"], "").await.success();
    let proxy = Proxy::start().await.expect("the proxy's ports are free");

    let seen = Arc::new(Mutex::new(Vec::with_capacity(2 * RECORDS)));
    let mut members: Vec<Member> = (0..3).map(|number| Member::start(number, &topic, &group, &seen)).collect();

    // Leaders over time: which partitions kept theirs.
    let (leader_log, watched) = (Arc::new(Mutex::new(BTreeMap::<i32, BTreeSet<i64>>::new())), topic.clone());
    let watcher = tokio::spawn({
        let leader_log = leader_log.clone();
        async move {
            loop {
                for (partition, leader) in leaders(&watched).await {
                    leader_log.lock().expect("nobody panics with it").entry(partition).or_default().insert(leader);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    });

    let mut producer = Klamm::start(&["-b", &proxy.bootstrap(), "--json", "produce", &topic, "--key-separator", ":"]);
    let start = Instant::now();
    let (mut killed_at, mut committed_at_kill) = (None, BTreeMap::new());
    let (mut broker_killed, mut broker_started, mut fourth) = (false, None::<JoinHandle<()>>, false);
    let mut acked = Vec::with_capacity(RECORDS);
    let mut cuts_asked = 0;
    let slice = PER_SECOND / 50;
    let mut sent = 0;
    while sent < RECORDS {
        let mut text = String::with_capacity(slice * 24);
        for number in sent..(sent + slice).min(RECORDS) {
            text.push_str(&format!("key-{}:{}\n", number % KEYS, number));
        }
        producer.write(&text).await;
        let until = (sent + slice).min(RECORDS);
        // The answers come in input order; those that are there are read, so that the producer's output never blocks it.
        while acked.len() + 20_000 < until {
            acked.push(producer.line().await.expect("an answer for each record"));
        }
        sent = until;
        let seconds = start.elapsed().as_secs_f64();
        if seconds > f64::from(cuts_asked) {
            proxy.cut_next(1);
            cuts_asked += 1;
        }
        if seconds > 6.0 && killed_at.is_none() {
            (members[0].signal)("-KILL");
            killed_at = Some(Instant::now());
            // Nobody else commits for its partitions before its session has run out.
            committed_at_kill = committed(&group).await;
        }
        if seconds > 13.0 && !broker_killed {
            Node(2).kill();
            broker_killed = true;
            broker_started = Some(tokio::task::spawn_blocking(|| {
                std::thread::sleep(Duration::from_secs(4));
                Node(2).start();
            }));
        }
        if seconds > 20.0 && !fourth {
            members.push(Member::start(3, &topic, &group, &seen));
            fourth = true;
        }
        let due = start + Duration::from_secs_f64(sent as f64 / PER_SECOND as f64);
        tokio::time::sleep_until(due.into()).await;
    }
    let produced_until = Instant::now();
    let rest = producer.end().await;
    println!("produce: {}", rest.stderr.trim());
    assert_eq!(rest.code, Some(0), "{}", rest.stderr);
    acked.extend(rest.stdout.lines().map(str::to_owned));
    assert_eq!(acked.len(), RECORDS, "an answer for each record");
    println!(
        "cut {} connections, {} of them after the broker had answered, of {} Produce requests",
        proxy.cuts(),
        proxy.done_by_then(),
        proxy.requests()
    );
    assert!(proxy.cuts() >= 20, "{} cuts", proxy.cuts());
    assert!(proxy.done_by_then() >= 5, "{} cut requests were in the log by then", proxy.done_by_then());
    assert!(fourth && killed_at.is_some(), "every fault happened");
    broker_started.expect("the broker was killed").await.expect("the broker came back");

    // Everything in the log, as Kafka's own consumer reads it.
    let log = java_read(&bootstrap, &topic, "read_committed").await;
    assert_eq!(log.len(), RECORDS, "every record is there once");
    let mut next: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut places: HashMap<usize, (i32, i64)> = HashMap::with_capacity(RECORDS);
    for record in &log {
        let value = record.value.as_deref().and_then(|value| std::str::from_utf8(value).ok()).expect("a number");
        let number: usize = value.parse().expect("a number");
        let key = record.key.clone().expect("a key");
        let wanted = next.entry(key.to_vec()).or_insert(number % KEYS);
        assert_eq!(number, *wanted, "in order for key {key:?}");
        *wanted += KEYS;
        places.insert(number, (record.partition.expect("a partition"), record.offset));
    }
    for (number, line) in acked.iter().enumerate() {
        let json: Value = serde_json::from_str(line).expect("JSON");
        assert!(json["error"].is_null(), "record {number}: {line}");
        let (partition, offset) = places[&number];
        assert_eq!(json["partition"], partition, "record {number}");
        // After a duplicate was recognized the broker may not say the offset.
        assert!(json["offset"].is_null() || json["offset"] == offset, "record {number}: {line}, found at {partition}/{offset}");
    }

    // The group catches up.
    let lag_limit = Instant::now() + Duration::from_secs(60);
    loop {
        let offsets = committed(&group).await;
        if offsets.len() == PARTITIONS as usize && offsets.values().all(|(_, lag)| *lag == 0) {
            break;
        }
        assert!(Instant::now() < lag_limit, "lag did not end: {offsets:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    watcher.abort();

    // SIGTERM ends each member in order.
    for (number, member) in members.into_iter().enumerate() {
        if number == 0 {
            assert_eq!(member.end.await.expect("its lines were read"), None, "killed");
            continue;
        }
        let asked = Instant::now();
        (member.signal)("-TERM");
        let code =
            tokio::time::timeout(Duration::from_secs(30), member.end).await.expect("it ends").expect("its lines were read");
        assert_eq!(code, Some(0), "member {number}");
        println!("member {number} ended {:.1} s after SIGTERM", asked.elapsed().as_secs_f64());
    }

    // What the group saw.
    let seen = std::mem::take(&mut *seen.lock().expect("nobody panics with it"));
    let mut by_place: BTreeMap<(i32, i64), Vec<Seen>> = BTreeMap::new();
    for record in &seen {
        by_place.entry((record.partition, record.offset)).or_default().push(*record);
    }
    let unseen = places.values().filter(|place| !by_place.contains_key(place)).count();
    assert_eq!(unseen, 0, "records that no member saw");
    let mut repeated = 0;
    let mut wrong: BTreeMap<(i32, Vec<usize>), Vec<(i64, f64)>> = BTreeMap::new();
    for ((partition, offset), records) in by_place.iter().filter(|(_, records)| records.len() > 1) {
        repeated += records.len() - 1;
        let checkpoint = committed_at_kill.get(partition).map_or(0, |(committed, _)| *committed);
        if records.iter().all(|record| record.member != 0) || *offset < checkpoint {
            let who = records.iter().map(|record| record.member).collect();
            let last = records.last().map_or(0.0, |record| (record.at - start).as_secs_f64());
            wrong.entry((*partition, who)).or_default().push((*offset, last));
        }
    }
    for ((partition, members), places) in &wrong {
        let (first, last) = (places.first().expect("one"), places.last().expect("one"));
        println!("partition {partition}, members {members:?}: {} repeated, {first:?} to {last:?}", places.len());
    }
    assert!(wrong.is_empty(), "records were repeated that the killed member had committed, or never had");
    println!("{repeated} records were seen again, all since the last checkpoint of the killed member");

    // Silence of partitions that kept owner and leader.
    let leader_log = leader_log.lock().expect("nobody panics with it").clone();
    let (mut kept, mut longest) = (0, Duration::ZERO);
    for partition in 0..PARTITIONS {
        let mut times: Vec<(Instant, usize)> =
            seen.iter().filter(|record| record.partition == partition).map(|record| (record.at, record.member)).collect();
        times.sort_unstable();
        let owners: BTreeSet<usize> = times.iter().map(|(_, member)| *member).collect();
        if owners.len() != 1 || leader_log.get(&partition).is_none_or(|leaders| leaders.len() != 1) {
            continue;
        }
        kept += 1;
        let silences = times.windows(2).filter(|pair| pair[1].0 < produced_until).map(|pair| pair[1].0 - pair[0].0);
        longest = longest.max(silences.max().unwrap_or_default());
    }
    println!("{kept} partitions kept owner and leader; the longest silence of one was {:.1} s", longest.as_secs_f64());
    assert!(longest <= SILENCE, "{longest:?}");
}
