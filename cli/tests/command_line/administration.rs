//! `cluster`, `api-versions`, `topics`, `groups`.

use klamm_broker::Broker;
use serde_json::json;

use super::{Running, json, keys, klamm, start};

#[tokio::test]
async fn the_cluster_is_shown_with_its_brokers() {
    let (_broker, brokers) = start(Broker::builder().nodes(3).cluster_id("abc")).await;
    let shown = json(&brokers, &["cluster"], "").await.success().json();
    assert_eq!(shown.len(), 1);
    assert_eq!(keys(&shown[0])[..4], ["cluster_id", "controller_id", "brokers", "features"]);
    assert_eq!(shown[0]["cluster_id"], "abc");
    assert!(shown[0]["controller_id"].is_i64());
    let nodes = shown[0]["brokers"].as_array().unwrap();
    assert_eq!((nodes.len(), keys(&nodes[0])), (3, vec!["id", "host", "port", "rack"]));
    assert!(shown[0]["features"].is_object());
    let text = klamm(&["-b", &brokers, "cluster"], "").await.success().stdout;
    assert!(text.contains("cluster     abc"), "{text}");
}

#[tokio::test]
async fn versions_of_each_api_are_shown() {
    let (_broker, brokers) = start(Broker::builder()).await;
    let apis = json(&brokers, &["api-versions"], "").await.success().json();
    let columns = ["api_key", "name", "broker_min", "broker_max", "klamm_min", "klamm_max", "used"];
    assert!(apis.iter().all(|api| keys(api) == columns));
    let produce = apis.iter().find(|api| api["api_key"] == 0).unwrap();
    assert_eq!(produce["name"], "Produce");
    assert_eq!(produce["used"], produce["broker_max"].as_i64().unwrap().min(produce["klamm_max"].as_i64().unwrap()));
    assert!(!json(&brokers, &["api-versions", "--broker", "1"], "").await.success().json().is_empty());
    json(&brokers, &["api-versions", "--broker", "9", "--timeout", "5"], "").await.failure(1, &["9"]);
}

#[tokio::test]
async fn topics_are_created_described_extended_and_deleted() {
    let (broker, brokers) = start(Broker::builder().nodes(3)).await;
    let create = ["topics", "create", "t", "--partitions", "2", "--replication", "3", "--config", "retention.ms=1000"];
    let asked = json(&brokers, &[&create[..], &["--validate-only"]].concat(), "").await.success().json();
    assert_eq!(asked, [json!({"topic": "t", "ok": true})]);
    assert!(broker.topics().is_empty());
    assert_eq!(json(&brokers, &create, "").await.success().json(), [json!({"topic": "t", "ok": true})]);
    let again = json(&brokers, &create, "").await.failure(1, &[]).json();
    assert_eq!((keys(&again[0]), &again[0]["error"]), (vec!["topic", "error", "message"], &json!("TOPIC_ALREADY_EXISTS")));

    let described = json(&brokers, &["topics", "describe", "t"], "").await.success().json();
    assert_eq!(keys(&described[0])[..5], ["name", "topic_id", "internal", "partitions", "configs"]);
    let partitions = described[0]["partitions"].as_array().unwrap();
    assert_eq!((partitions.len(), partitions[0]["replicas"].as_array().unwrap().len()), (2, 3));
    assert_eq!(keys(&partitions[0]), ["partition", "leader", "leader_epoch", "replicas", "isr", "offline"]);
    assert_eq!(described[0]["configs"]["retention.ms"], "1000");
    assert_eq!(described[0]["topic_id"].as_str().unwrap().len(), 22);

    json(&brokers, &["topics", "add-partitions", "t", "5"], "").await.success();
    let listed = json(&brokers, &["topics"], "").await.success().json();
    assert_eq!(keys(&listed[0]), ["name", "topic_id", "partitions", "internal"]);
    assert_eq!((&listed[0]["name"], &listed[0]["partitions"], listed.len()), (&json!("t"), &json!(5), 1));
    json(&brokers, &["topics", "add-partitions", "t", "3"], "").await.failure(1, &["1 of 1 failed"]);
    let table = klamm(&["-b", &brokers, "topics", "list"], "").await.success().stdout;
    assert!(table.contains("TOPIC_ID") && table.lines().count() == 2, "{table}");

    json(&brokers, &["topics", "delete", "t"], "").await.failure(2, &["--yes"]);
    assert_eq!(broker.topics(), ["t"]);
    assert_eq!(
        json(&brokers, &["topics", "delete", "t", "--yes"], "").await.success().json(),
        [json!({"topic": "t", "ok": true})]
    );
    let gone = json(&brokers, &["topics", "delete", "t", "--yes"], "").await.failure(1, &[]).json();
    assert_eq!(gone[0]["error"], "UNKNOWN_TOPIC_OR_PARTITION");
    klamm(&["-b", &brokers, "topics", "describe", "t"], "").await.failure(1, &["t"]);
}

#[tokio::test]
async fn configurations_are_listed_described_and_altered_one_setting_at_a_time() {
    let (broker, brokers) = start(Broker::builder().nodes(2).topic("t", 1)).await;
    broker.set_topic_config("t", "segment.bytes", Some("1000000"));
    let alter = ["topics", "alter", "t", "--config", "retention.ms=1000", "--config", "cleanup.policy=compact"];
    let tried = json(&brokers, &[&alter[..], &["--validate-only"]].concat(), "").await.success().json();
    assert_eq!(tried, [json!({"topic": "t", "ok": true})]);
    let values = async |keys: &[&str]| {
        let described = json(&brokers, &[&["configs", "describe", "topic", "t"], keys].concat(), "").await.success().json();
        let value =
            |row: &serde_json::Value| (row["value"].as_str().unwrap().to_owned(), row["source"].as_str().unwrap().to_owned());
        described.iter().map(value).collect::<Vec<_>>()
    };
    assert_eq!(values(&["retention.ms"]).await, [("604800000".into(), "default".into())], "only tried");
    assert_eq!(json(&brokers, &alter, "").await.success().json(), [json!({"topic": "t", "ok": true})]);
    let of_topic = |value: &str| (value.to_owned(), "topic".to_owned());
    let three = ["cleanup.policy", "retention.ms", "segment.bytes"];
    assert_eq!(values(&three).await, [of_topic("compact"), of_topic("1000"), of_topic("1000000")]);
    let alter = ["configs", "alter", "topic", "t", "--append-config", "cleanup.policy=delete", "--delete-config", "retention.ms"];
    let done = [json!({"type": "topic", "name": "t", "ok": true})];
    assert_eq!(json(&brokers, &alter, "").await.success().json(), done);
    let default = ("604800000".to_owned(), "default".to_owned());
    assert_eq!(values(&three).await, [of_topic("compact,delete"), default, of_topic("1000000")]);
    json(&brokers, &["configs", "alter", "topic", "t", "--subtract-config", "cleanup.policy=compact"], "").await.success();
    assert_eq!(values(&three[..1]).await, [of_topic("delete")]);

    let threads = ["configs", "alter", "broker", "2", "--config", "background.threads=12"];
    assert_eq!(json(&brokers, &threads, "").await.success().json()[0]["ok"], true);
    let described = json(&brokers, &["configs", "describe", "broker", "2", "background.threads"], "").await.success().json();
    assert_eq!(
        described,
        [
            json!({"name": "background.threads", "value": "12", "source": "broker", "is_default": false, "is_read_only": false, "is_sensitive": false})
        ]
    );
    json(&brokers, &["configs", "alter", "broker", "all", "--config", "num.io.threads=9"], "").await.success();
    let described = json(&brokers, &["configs", "describe", "broker", "1", "num.io.threads"], "").await.success().json();
    assert_eq!((&described[0]["value"], &described[0]["source"]), (&json!("9"), &json!("all brokers")));
    let table = klamm(&["-b", &brokers, "configs", "describe", "topic", "t", "retention.ms"], "").await.success().stdout;
    assert!(table.trim_start().starts_with("SETTING") && table.contains("604800000"), "{table}");

    let listed = json(&brokers, &["configs"], "").await.success().json();
    let one = |kind: &str, name: &str| json!({"type": kind, "name": name});
    assert_eq!(listed, [one("broker", "1"), one("broker", "2"), one("topic", "t")]);
    assert_eq!(json(&brokers, &["configs", "list", "--type", "topic"], "").await.success().json(), [one("topic", "t")]);

    let wrong = ["topics", "alter", "t", "--config", "no.such=1"];
    let refused = json(&brokers, &wrong, "").await.failure(1, &["1 of 1 failed"]).json();
    assert_eq!((keys(&refused[0]), &refused[0]["error"]), (vec!["topic", "error", "message"], &json!("INVALID_CONFIG")));
    klamm(&["-b", &brokers, "configs", "describe", "topic", "missing"], "").await.failure(1, &["missing"]);
    broker.set_versions(klamm::protocol::ApiKey::INCREMENTAL_ALTER_CONFIGS, None);
    klamm(&[&["-b", &*brokers], &alter[..]].concat(), "").await.failure(3, &["older than Kafka 2.3", "nothing was changed"]);
}

#[tokio::test]
async fn groups_and_their_offsets_are_deleted() {
    let (broker, brokers) = start(Broker::builder().topic("t", 2).topic("u", 1)).await;
    klamm(&["-b", &brokers, "produce", "t", "--partition", "0"], "a\n").await.success();
    for (topic, partition) in [("t", 0), ("t", 1), ("u", 0)] {
        broker.set_committed("g", topic, partition, Some(0));
    }
    let delete = ["groups", "delete-offsets", "g", "--topic", "t"];
    json(&brokers, &delete, "").await.failure(2, &["--yes"]);
    let deleted = json(&brokers, &[&delete[..], &["--yes"]].concat(), "").await.success().json();
    let one = |partition: i32| json!({"group": "g", "topic": "t", "partition": partition, "ok": true});
    assert_eq!(deleted, [one(0), one(1)]);
    assert_eq!((broker.committed("g", "t", 1), broker.committed("g", "u", 0)), (None, Some(0)));
    json(&brokers, &[&delete[..], &["--yes"]].concat(), "").await.failure(1, &["nothing for t", "groups offsets g"]);
    let missing = json(&brokers, &["groups", "delete-offsets", "g", "--topic", "u:7", "--yes"], "").await.failure(1, &[]).json();
    assert_eq!(keys(&missing[0]), ["group", "topic", "partition", "error", "message"]);

    let mut member = Running::start(&["-b", &brokers, "consume", "t", "--group", "busy"]);
    assert_eq!(member.line().await.as_deref(), Some("a"));
    json(&brokers, &["groups", "delete", "g"], "").await.failure(2, &["--yes"]);
    assert_eq!(broker.committed("g", "u", 0), Some(0));
    let outcomes = json(&brokers, &["groups", "delete", "g", "busy", "none", "--yes"], "").await.failure(1, &["2 of 3"]).json();
    assert_eq!(outcomes[0], json!({"group": "g", "ok": true}));
    let errors: Vec<_> = outcomes[1..].iter().map(|outcome| outcome["error"].as_str().unwrap()).collect();
    assert_eq!(errors, ["NON_EMPTY_GROUP", "GROUP_ID_NOT_FOUND"]);
    assert_eq!(broker.group_state("g"), None);
    member.signal("-TERM");
    member.end().await.success();
    klamm(&["-b", &brokers, "groups", "delete", "busy", "--yes"], "").await.success();
}

#[tokio::test]
async fn a_group_is_described_with_its_members() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 2)).await;
    klamm(&["-b", &brokers, "produce", "t"], "a\n").await.success();
    let mut member = Running::start(&["-b", &brokers, "-X", "client.id=one", "consume", "t", "--group", "g"]);
    assert_eq!(member.line().await.as_deref(), Some("a"));
    let described = json(&brokers, &["groups", "describe", "g"], "").await.success().json();
    assert_eq!(keys(&described[0])[..6], ["group", "type", "state", "protocol", "coordinator", "members"]);
    assert_eq!((&described[0]["state"], &described[0]["protocol"]), (&json!("Stable"), &json!("cooperative-sticky")));
    assert!(described[0]["coordinator"].is_i64());
    let members = described[0]["members"].as_array().unwrap();
    assert_eq!(keys(&members[0])[..5], ["member_id", "client_id", "host", "instance_id", "assignment"]);
    assert_eq!((members.len(), &members[0]["client_id"]), (1, &json!("one")));
    assert_eq!(members[0]["assignment"], json!([{"topic": "t", "partitions": [0, 1]}]));
    let table = klamm(&["-b", &brokers, "groups", "describe", "g"], "").await.success().stdout;
    assert!(table.starts_with("g  Stable  cooperative-sticky  coordinator"), "{table}");
    member.signal("-TERM");
    member.end().await.success();
}

#[tokio::test]
async fn every_command_explains_itself() {
    for command in [
        &[][..],
        &["produce"],
        &["consume"],
        &["query-offsets"],
        &["cluster"],
        &["api-versions"],
        &["topics"],
        &["topics", "create"],
        &["topics", "delete"],
        &["groups"],
        &["groups", "offsets"],
        &["groups", "delete"],
        &["topics", "alter"],
        &["configs"],
        &["configs", "describe"],
        &["configs", "alter"],
        &["perf"],
        &["perf", "latency"],
        &["demo"],
    ] {
        let help = klamm(&[command, &["--help"]].concat(), "").await.success().stdout;
        assert!(help.contains("Usage: klamm") && help.contains("--brokers"), "{command:?}: {help}");
    }
    assert!(klamm(&["--version"], "").await.success().stdout.starts_with("klamm "));
}
