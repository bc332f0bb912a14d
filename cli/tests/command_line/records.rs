//! `produce`, `consume`, `query-offsets`, `perf`, `demo`.

use klamm_broker::Broker;
use serde_json::{Value, json};

use super::{Running, json, keys, klamm, start};

#[tokio::test]
async fn what_is_produced_as_json_is_consumed_as_json() {
    let (broker, brokers) = start(Broker::builder().topic("t", 3)).await;
    let input = concat!(
        r#"{"key":"k","value":"v","partition":1,"headers":[["a","1"],["a",null]],"timestamp":1600000000000}"#,
        "\n",
        r#"{"key":null,"value":{"base64":"/w=="},"partition":1}"#,
        "\n",
        r#"{"partition":2}"#,
        "\n"
    );
    let produced = json(&brokers, &["produce", "t", "--input", "json", "--header", "all=yes"], input).await.success();
    assert_eq!(produced.last_error_line(), "3 delivered, 0 failed");
    let lines = produced.json();
    assert_eq!(lines[0], json!({"topic": "t", "partition": 1, "offset": 0, "timestamp": 1_600_000_000_000_i64}));
    assert_eq!((&lines[1]["offset"], &lines[2]["partition"]), (&json!(1), &json!(2)), "in the order of input");
    assert_eq!(broker.records("t", 1).unwrap().len(), 2);

    let consumed = json(&brokers, &["consume", "t", "--partition", "1", "--exit-at-end"], "").await.success().json();
    assert_eq!(consumed.len(), 2);
    assert_eq!(keys(&consumed[0]), ["topic", "partition", "offset", "timestamp", "key", "value", "headers", "leader_epoch"]);
    assert_eq!((&consumed[0]["key"], &consumed[0]["value"]), (&json!("k"), &json!("v")));
    assert_eq!(consumed[0]["headers"], json!([["a", "1"], ["a", null], ["all", "yes"]]));
    assert_eq!((&consumed[1]["key"], &consumed[1]["value"]), (&Value::Null, &json!({"base64": "/w=="})));
}

#[tokio::test]
async fn lines_need_not_be_text_and_are_split_at_the_first_separator() {
    let (broker, brokers) = start(Broker::builder().topic("t", 1)).await;
    let arguments = ["-b", &brokers, "produce", "t", "--key-separator", ":", "--compression", "lz4", "--acks", "all"];
    let ran = klamm(&arguments, b"k:v:w\n\xff\xfe\r\n\nlast").await.success();
    assert_eq!((&*ran.stdout, ran.last_error_line()), ("", "4 delivered, 0 failed"));
    let records = broker.records("t", 0).unwrap();
    let seen: Vec<_> = records.iter().map(|record| (record.key.as_deref(), record.value.as_deref())).collect();
    let none: Option<&[u8]> = None;
    let wanted: [(_, Option<&[u8]>); 4] =
        [(Some(&b"k"[..]), Some(b"v:w")), (none, Some(b"\xff\xfe\r")), (none, Some(b"")), (none, Some(b"last"))];
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn a_file_is_produced_and_a_line_that_is_no_record_is_reported_with_its_number() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 2)).await;
    let path = std::env::temp_dir().join(format!("klamm-lines-{}", std::process::id()));
    std::fs::write(&path, "{\"value\":\"a\"}\nnonsense\n{\"partition\":7}\n{\"value\":\"b\"}\n").unwrap();
    let arguments = ["produce", "t", "--input", "json", "--file", path.to_str().unwrap()];
    let ran = json(&brokers, &arguments, "").await.failure(1, &[]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(ran.last_error_line(), "2 delivered, 2 failed");
    let lines = ran.json();
    assert_eq!(lines.len(), 4);
    for (index, words) in [(1, "not a JSON object"), (2, "partition")] {
        assert_eq!(keys(&lines[index]), ["error", "possibly_written", "line"]);
        assert_eq!((&lines[index]["line"], &lines[index]["possibly_written"]), (&json!(index + 1), &json!(false)));
        assert!(lines[index]["error"].as_str().unwrap().contains(words), "{}", lines[index]);
    }
    assert!(lines[3]["offset"].is_i64());
}

#[tokio::test]
async fn each_place_to_begin_at_is_found_and_empty_partitions_end_at_once() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 2)).await;
    let input: String = (0..10).map(|number| format!("{{\"value\":\"{number}\",\"timestamp\":{}}}\n", 1000 + number)).collect();
    json(&brokers, &["produce", "t", "--partition", "0", "--input", "json"], input).await.success();
    for (offset, wanted) in [
        ("beginning", 0..10),
        ("end", 0..0),
        ("-3", 7..10),
        ("-100", 0..10),
        ("@1006", 6..10),
        ("@999999", 0..0),
        ("earliest", 0..10),
    ] {
        let ran = klamm(&["-b", &brokers, "consume", "t", "--offset", offset, "--exit-at-end"], "").await.success();
        assert_eq!(ran.stdout, wanted.map(|number| format!("{number}\n")).collect::<String>(), "--offset {offset}");
    }
    let arguments = ["-b", &brokers, "consume", "t", "--partition", "0", "--offset", "4", "--count", "2", "-f", "%p/%o=%s %T"];
    assert_eq!(klamm(&arguments, "").await.success().stdout, "0/4=4 1004\n0/5=5 1005\n");
    let arguments = ["-b", &brokers, "-X", "auto.offset.reset=latest", "consume", "t", "--exit-at-end"];
    assert_eq!(klamm(&arguments, "").await.success().stdout, "");
}

#[tokio::test]
async fn a_group_goes_on_from_what_was_printed() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 2)).await;
    let input: String = (0..10).map(|number| format!("{number}\n")).collect();
    klamm(&["-b", &brokers, "produce", "t"], input).await.success();
    let first = json(&brokers, &["consume", "t", "--group", "g", "--count", "4"], "").await.success().json();
    assert_eq!(first.len(), 4);
    let offsets = json(&brokers, &["groups", "offsets", "g"], "").await.success().json();
    let columns = ["group", "topic", "partition", "committed", "log_start", "log_end", "lag", "metadata"];
    assert_eq!(keys(&offsets[0]), columns);
    let sum = |offsets: &[Value], key: &str| offsets.iter().map(|offset| offset[key].as_i64().unwrap()).sum::<i64>();
    assert_eq!(sum(&offsets, "committed"), 4);
    let rest = json(&brokers, &["consume", "t", "--group", "g", "--exit-at-end"], "").await.success().json();
    let mut values: Vec<_> = first.iter().chain(&rest).map(|record| record["value"].as_str().unwrap().to_owned()).collect();
    values.sort();
    assert_eq!(values, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    let offsets = json(&brokers, &["groups", "offsets", "g"], "").await.success().json();
    assert_eq!((sum(&offsets, "lag"), sum(&offsets, "log_end")), (0, 10));

    let listed = json(&brokers, &["groups", "list"], "").await.success().json();
    assert_eq!(keys(&listed[0]), ["group", "type", "state", "protocol"]);
    assert_eq!(
        (&listed[0]["group"], &listed[0]["state"], &listed[0]["protocol"]),
        (&json!("g"), &json!("Empty"), &json!("consumer"))
    );
    assert!(json(&brokers, &["groups", "list", "--state", "stable"], "").await.success().json().is_empty());
}

#[tokio::test]
async fn topics_are_consumed_by_what_their_names_are_like() {
    let (_broker, brokers) = start(Broker::builder().topic("orders.a", 1).topic("orders.b", 2).topic("other", 1)).await;
    for topic in ["orders.a", "orders.b", "other"] {
        klamm(&["-b", &brokers, "produce", topic], format!("{topic}\n")).await.success();
    }
    let consume = ["-b", &brokers, "consume", r"^orders\.", "--regex", "--exit-at-end"];
    for group in [&[][..], &["--group", "g"]] {
        let printed = klamm(&[&consume[..], group].concat(), "").await.success().stdout;
        let mut lines: Vec<_> = printed.lines().collect();
        lines.sort();
        assert_eq!(lines, ["orders.a", "orders.b"]);
        let none = ["-b", &brokers, "consume", "^nothing$", "--regex", "--exit-at-end"];
        klamm(&[&none[..], group].concat(), "").await.failure(1, &["no topic matches ^nothing$", "topics list"]);
    }
}

#[tokio::test]
async fn offsets_are_queried_at_both_ends_and_at_times() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 2)).await;
    let input = "{\"timestamp\":1000}\n{\"timestamp\":3000}\n{\"timestamp\":2000}\n";
    json(&brokers, &["produce", "t", "--partition", "1", "--input", "json"], input).await.success();
    let both = json(&brokers, &["query-offsets", "t"], "").await.success().json();
    assert_eq!(keys(&both[0]), ["topic", "partition", "offset", "timestamp"]);
    assert_eq!((&both[0]["offset"], &both[1]["offset"]), (&json!(0), &json!(3)));
    for (at, wanted) in [("beginning", 0), ("end", 3), ("max-timestamp", 1), ("1500", 1)] {
        let one = json(&brokers, &["query-offsets", "t:1", "--at", at], "").await.success().json();
        assert_eq!((one.len(), &one[0]["offset"]), (1, &json!(wanted)), "--at {at}");
    }
    let table = klamm(&["-b", &brokers, "query-offsets", "t"], "").await.success().stdout;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("TOPIC") || table.trim_start().starts_with("TOPIC"), "{table}");
}

#[tokio::test]
async fn a_closed_standard_output_ends_quietly() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 1)).await;
    let input: String = (0..50_000).map(|number| format!("{number}\n")).collect();
    klamm(&["-b", &brokers, "produce", "t"], &input).await.success();
    for arguments in [&["consume", "t"][..], &["consume", "t", "--group", "g"], &["produce", "t", "--json"]] {
        let mut running = Running::start(&[&["-b", &brokers], arguments].concat());
        let is_producing = arguments[0] == "produce";
        if is_producing {
            running.write(b"first\n").await;
        }
        assert!(running.line().await.is_some());
        let Running { child, input: stdin, lines, errors } = running;
        drop(lines);
        let mut stdin = stdin;
        if is_producing && let Some(stdin) = &mut stdin {
            use tokio::io::AsyncWriteExt as _;
            let _ = stdin.write_all(b"second\n").await;
        }
        // Standard input stays open.
        let mut child = child;
        let status = tokio::time::timeout(super::LIMIT, child.wait()).await.expect("it does not end").unwrap();
        let errors = errors.await.unwrap();
        assert_eq!(status.code(), Some(0), "{arguments:?}: {errors}");
        if is_producing {
            assert_eq!(errors, "2 delivered, 0 failed\n");
        } else {
            assert_eq!(errors, "", "{arguments:?}");
        }
    }
}

#[tokio::test]
async fn perf_prints_one_report() {
    let (_broker, brokers) = start(Broker::builder().topic("bench", 2)).await;
    let columns = [
        "client",
        "version",
        "op",
        "records",
        "bytes",
        "wall_s",
        "user_s",
        "sys_s",
        "cpu_ns_per_record",
        "steady_cpu_ns_per_record",
        "steady_records_per_s",
        "maxrss_kb",
        "extra",
    ];
    for (arguments, records) in [
        (&["perf", "produce", "--count", "2000", "--size", "100"][..], 2000),
        (&["perf", "consume", "--count", "2000", "--size", "100"], 2000),
        (&["perf", "latency", "--rate", "1000", "--seconds", "2", "--warmup", "1", "--size", "100", "--linger-ms", "0"], 0),
    ] {
        let report = klamm(&[&["-b", &brokers], arguments].concat(), "").await.success().json();
        assert_eq!(report.len(), 1);
        for column in columns {
            assert!(report[0].get(column).is_some(), "{arguments:?}: no {column} in {}", report[0]);
        }
        assert_eq!(report[0]["op"], arguments[1]);
        if records > 0 {
            assert_eq!(report[0]["records"], records);
        }
        let extra = match arguments[1] {
            "consume" => &["tag"][..],
            "latency" => &["samples", "p50_us", "p90_us", "p99_us", "p999_us", "max_us"],
            _ => &[],
        };
        for key in extra {
            assert!(report[0]["extra"].get(key).is_some(), "no {key} in {}", report[0]["extra"]);
        }
    }
}

#[tokio::test]
async fn the_demo_tells_the_story_without_a_cluster() {
    let ran = klamm(&["demo"], "").await.success();
    assert!(ran.stdout.contains("All 20 orders were handled once"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
}
