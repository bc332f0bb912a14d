//! The command line on Apache Kafka: topics, records there and back, offsets, groups.
#![forbid(unsafe_code)]

use klamm_real::{Klamm, Output, bootstrap, klamm, unique};
use serde_json::{Value, json};

/// Runs `klamm` with `--json` on the single broker.
async fn run(arguments: &[&str], input: &str) -> Output {
    let brokers = bootstrap();
    klamm(&[&["-b", &brokers, "--json"], arguments].concat(), input).await
}

/// The same; it must exit with 0.
async fn rows(arguments: &[&str], input: &str) -> Vec<Value> {
    run(arguments, input).await.success().json_lines()
}

/// Creates a topic of its own.
async fn topic(name: &str, partitions: &str) -> String {
    let topic = unique(name);
    // Without an end, for records of long ago.
    let create = ["topics", "create", &topic, "--partitions", partitions, "--replication", "1", "--config", "retention.ms=-1"];
    let created = rows(&create, "").await;
    assert_eq!(created, [json!({"topic": topic, "ok": true})]);
    topic
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_created_described_extended_and_deleted_by_command() {
    let topic = unique("commands");
    let create = ["topics", "create", &topic, "--partitions", "2", "--replication", "1", "--config", "retention.ms=3600000"];
    let asked = rows(&[&create[..], &["--validate-only"]].concat(), "").await;
    assert_eq!(asked, [json!({"topic": topic, "ok": true})]);
    rows(&create, "").await;
    let again = run(&create, "").await;
    assert_eq!((again.code, &again.json_lines()[0]["error"]), (Some(1), &json!("TOPIC_ALREADY_EXISTS")));

    let described = rows(&["topics", "describe", &topic], "").await;
    assert_eq!((&described[0]["name"], &described[0]["internal"]), (&json!(topic), &json!(false)));
    assert_eq!(described[0]["configs"]["retention.ms"], "3600000");
    let partitions = described[0]["partitions"].as_array().expect("partitions");
    assert_eq!(partitions.len(), 2);
    assert!(partitions.iter().all(|partition| partition["leader"].is_i64() && partition["isr"] == partition["replicas"]));

    rows(&["topics", "add-partitions", &topic, "3"], "").await;
    let listed = rows(&["topics", "list"], "").await;
    let found = listed.iter().find(|row| row["name"] == topic.as_str()).expect("it is listed");
    assert_eq!((&found["partitions"], &found["topic_id"]), (&json!(3), &described[0]["topic_id"]));
    rows(&["topics", "delete", &topic, "--yes"], "").await;
    let gone = run(&["topics", "delete", &topic, "--yes"], "").await;
    assert_eq!((gone.code, &gone.json_lines()[0]["error"]), (Some(1), &json!("UNKNOWN_TOPIC_OR_PARTITION")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_given_as_json_come_back_as_json() {
    let topic = topic("round", "3").await;
    let input = concat!(
        r#"{"key":"k","value":"v","partition":1,"headers":[["a","1"],["a",null]],"timestamp":1600000000000}"#,
        "\n",
        r#"{"value":{"base64":"/w=="},"partition":1}"#,
        "\n",
        r#"{"key":"only","partition":2}"#,
        "\n"
    );
    // Every codec is tested in `interop`, on the nodes from the jars: a stand-in image may lack zstd's library.
    for compression in ["none", "gzip"] {
        let output = run(&["produce", &topic, "--input", "json", "--compression", compression], input).await.success();
        assert_eq!(output.stderr.lines().last(), Some("3 delivered, 0 failed"));
        assert_eq!(output.json_lines()[0]["partition"], 1);
    }
    // Partition 0 is empty, and its end is reached all the same.
    for offset in ["beginning", "-4"] {
        let records = rows(&["consume", &topic, "--offset", offset, "--exit-at-end"], "").await;
        assert_eq!(records.len(), 6, "--offset {offset}");
        let first = records.iter().find(|record| record["partition"] == 1 && record["offset"] == 0).expect("the first");
        assert_eq!((&first["key"], &first["value"]), (&json!("k"), &json!("v")));
        assert_eq!(first["headers"], json!([["a", "1"], ["a", null]]));
        assert_eq!(first["timestamp"], 1_600_000_000_000_i64);
        let second = records.iter().find(|record| record["partition"] == 1 && record["offset"] == 1).expect("the second");
        assert_eq!((&second["key"], &second["value"]), (&Value::Null, &json!({"base64": "/w=="})));
    }
    let ends: Vec<_> = rows(&["query-offsets", &topic], "").await.iter().map(|row| row["offset"].as_i64()).collect();
    assert_eq!(ends, [Some(0), Some(4), Some(2)]);
    let at = rows(&["query-offsets", &format!("{topic}:1"), "--at", "1600000000001"], "").await;
    assert_eq!((&at[0]["partition"], &at[0]["offset"]), (&json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_described_while_it_reads_and_its_lag_is_zero_when_it_has() {
    let (topic, group) = (topic("group", "2").await, unique("commands"));
    rows(&["produce", &topic, "--key-separator", ":"], "a:1\nb:2\nc:3\n").await;
    let brokers = bootstrap();
    let mut member = Klamm::start(&["-b", &brokers, "-X", "client.id=one", "consume", &topic, "--group", &group]);
    for _ in 0..3 {
        assert!(member.line().await.is_some());
    }
    let described = rows(&["groups", "describe", &group], "").await;
    assert_eq!((&described[0]["state"], &described[0]["protocol"]), (&json!("Stable"), &json!("cooperative-sticky")));
    let members = described[0]["members"].as_array().expect("members");
    assert_eq!((members.len(), &members[0]["client_id"]), (1, &json!("one")));
    assert_eq!(members[0]["assignment"], json!([{"topic": topic, "partitions": [0, 1]}]));
    member.signal("-TERM");
    let ended = member.end().await.success();
    assert_eq!(ended.stdout, "");

    let offsets = rows(&["groups", "offsets", &group], "").await;
    let sum = |key: &str| offsets.iter().map(|row| row[key].as_i64().expect("a number")).sum::<i64>();
    assert_eq!((sum("committed"), sum("log_end"), sum("lag")), (3, 3, 0));
    let listed = rows(&["groups", "list", "--state", "Empty"], "").await;
    assert!(listed.iter().any(|row| row["group"] == group.as_str() && row["protocol"] == "consumer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configurations_and_groups_are_changed_by_command_and_topics_read_by_pattern() {
    let (topic, group) = (topic("config", "1").await, unique("commands"));
    rows(&["produce", &topic], "a\n").await;
    let altered = rows(&["topics", "alter", &topic, "--config", "retention.ms=7200000"], "").await;
    assert_eq!(altered, [json!({"topic": topic, "ok": true})]);
    let value = async || rows(&["configs", "describe", "topic", &topic, "retention.ms"], "").await[0]["value"].clone();
    // The broker hears of it a moment later.
    let start = std::time::Instant::now();
    while value().await != "7200000" {
        assert!(start.elapsed() < std::time::Duration::from_secs(50), "it was not altered");
    }
    let listed = rows(&["configs", "list", "--type", "topic"], "").await;
    assert!(listed.contains(&json!({"type": "topic", "name": topic})));

    let pattern = format!("^{topic}$");
    for more in [&[][..], &["--group", &group]] {
        let consumed = rows(&[&["consume", &pattern, "--regex", "--count", "1"], more].concat(), "").await;
        assert_eq!((&consumed[0]["topic"], &consumed[0]["value"]), (&json!(topic), &json!("a")));
    }
    assert_eq!(run(&["groups", "delete", &group], "").await.code, Some(2), "nobody can be asked");
    let deleted = rows(&["groups", "delete-offsets", &group, "--topic", &topic, "--yes"], "").await;
    assert_eq!(deleted, [json!({"group": group, "topic": topic, "partition": 0, "ok": true})]);
    let gone = run(&["groups", "delete", &group, "--yes"], "").await;
    // A group that lost its last offset may have been tidied away by the broker already.
    match gone.code {
        Some(0) => assert_eq!(gone.json_lines(), [json!({"group": group, "ok": true})]),
        _ => assert_eq!(gone.json_lines()[0]["error"], "GROUP_ID_NOT_FOUND"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_and_versions_are_shown_and_wrong_places_refused() {
    let cluster = rows(&["cluster"], "").await;
    assert!(cluster[0]["cluster_id"].is_string() && cluster[0]["features"]["metadata.version"].is_i64(), "{}", cluster[0]);
    let apis = rows(&["api-versions"], "").await;
    let produce = apis.iter().find(|api| api["name"] == "Produce").expect("Produce");
    assert!(produce["used"].as_i64() >= Some(12), "{produce}");
    let topic = topic("wrong", "1").await;
    for (arguments, word) in [
        (&["consume", &topic, "--partition", "5"][..], "no partition 5"),
        (&["consume", &topic, "--offset", "99", "--exit-at-end"], "99"),
        (&["query-offsets", &format!("{topic}:5")], "5"),
    ] {
        let output = run(arguments, "").await;
        assert_eq!(output.code, Some(1), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(word), "{arguments:?}: {}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_request_is_sent_as_json_in_the_version_asked_for() {
    let topic = topic("request", "2").await;
    let described = rows(
        &["request", "DescribeCluster", "--version", "1"],
        r#"{"includeClusterAuthorizedOperations":false,"endpointType":1}"#,
    )
    .await;
    let cluster = rows(&["cluster"], "").await;
    assert_eq!(described[0]["clusterId"], cluster[0]["cluster_id"]);
    assert_eq!((&described[0]["errorCode"], &described[0]["endpointType"]), (&json!(0), &json!(1)));
    // The negotiated version has topic ids, the oldest has nothing but names.
    let ask = json!({
        "topics": [{ "topicId": "AAAAAAAAAAAAAAAAAAAAAA", "name": topic }],
        "allowAutoTopicCreation": false, "includeTopicAuthorizedOperations": true,
    });
    let newest = rows(&["request", "Metadata", "--to", "controller"], &ask.to_string()).await;
    let found = &newest[0]["topics"][0];
    assert_eq!((&found["name"], found["partitions"].as_array().map(Vec::len)), (&json!(topic), Some(2)));
    assert_eq!(found["topicId"].as_str().map(str::len), Some(22));
    let oldest = rows(&["request", "Metadata", "--version", "0"], &json!({ "topics": [{ "name": topic }] }).to_string()).await;
    assert_eq!((&oldest[0]["topics"][0]["name"], &oldest[0]["topics"][0]["topicId"]), (&json!(topic), &Value::Null));
    // What was written comes back byte for byte, through the group of tools that need no broker.
    rows(&["produce", &topic, "--partition", "1"], "hello\n").await;
    let fetch = json!({
        "replicaId": -1, "maxWaitMs": 5000, "minBytes": 1, "maxBytes": 100_000, "isolationLevel": 0,
        "topics": [{ "topic": topic, "partitions": [{ "partition": 1, "fetchOffset": 0, "partitionMaxBytes": 100_000 }] }],
    });
    let arguments = ["request", "Fetch", "--version", "4", "--to", &format!("leader:{topic}:1"), "--records", "base64"];
    let fetched = rows(&arguments, &fetch.to_string()).await;
    assert_eq!(fetched[0]["responses"][0]["partitions"][0]["highWatermark"], 1, "{}", fetched[0]);
    let line = json!({ "name": "FetchResponse", "version": 4, "json": fetched[0] }).to_string();
    let hex = rows(&["codec", "lines"], &line).await;
    assert!(hex[0]["hex"].as_str().is_some_and(|hex| hex.contains("68656c6c6f")), "{}", hex[0]);
    for (arguments, input, code, word) in [
        (&["request", "Metadata", "--version", "99"][..], "{}", 3, "versions 0 to"),
        (&["request", "Fetch", "--version", "4"], r#"{"replicaId":"x"}"#, 2, "replicaId"),
        (&["request", "FindCoordinator", "--version", "0", "--to", "broker:77"], r#"{"key":"g"}"#, 1, "no broker 77"),
    ] {
        let output = run(arguments, input).await;
        assert_eq!(output.code, Some(code), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(word), "{arguments:?}: {}", output.stderr);
    }
}
