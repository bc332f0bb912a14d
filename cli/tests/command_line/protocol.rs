//! `schema`, `codec` and `request`: the protocol as data, messages as JSON, and any request sent to a broker.

use klamm::protocol::{ApiKey, DECLARATIONS};
use klamm_broker::Broker;
use serde_json::{Value, json};

use super::{Running, json as with_broker, keys, klamm, schemas, start};

#[tokio::test]
async fn the_schema_shows_every_message_in_the_words_of_kafkas_files() {
    let messages = klamm(&["schema"], "").await.success().json();
    assert_eq!(messages.len(), DECLARATIONS.len());
    let place = |message: &Value| match message["type"].as_str() {
        Some("request" | "response") => message["apiKey"].as_i64().unwrap(),
        _ => i64::MAX,
    };
    let places: Vec<_> = messages.iter().map(place).collect();
    assert!(places.is_sorted(), "{places:?}");
    let named = |name: &str| messages.iter().find(|message| message["name"] == name).unwrap();
    let at = |name: &str| messages.iter().position(|message| message["name"] == name).unwrap();
    assert_eq!(at("MetadataRequest") + 1, at("MetadataResponse"));
    let coordinator = named("FindCoordinatorRequest");
    assert_eq!(
        keys(coordinator),
        ["apiKey", "type", "listeners", "name", "validVersions", "flexibleVersions", "latestVersionUnstable", "fields"]
    );
    assert_eq!(
        *coordinator,
        json!({
            "apiKey": 10, "type": "request", "listeners": ["broker"], "name": "FindCoordinatorRequest",
            "validVersions": "0-6", "flexibleVersions": "3+", "latestVersionUnstable": false,
            "fields": [
                { "name": "Key", "type": "string", "versions": "0-3" },
                { "name": "KeyType", "type": "int8", "versions": "1+" },
                { "name": "CoordinatorKeys", "type": "[]string", "versions": "4+" },
            ],
        })
    );
    assert_eq!(
        (&named("RequestHeader")["type"], &named("RequestHeader")["fields"][3]["flexibleVersions"]),
        (&json!("header"), &json!("none"))
    );
    let partition = named("AlterPartitionRequest");
    assert_eq!((&partition["validVersions"], &partition["flexibleVersions"]), (&json!("2-3"), &json!("0+")));
    let fetch = named("FetchRequest");
    assert_eq!(
        fetch["fields"][0],
        json!({ "name": "ClusterId", "type": "string", "versions": "12+", "nullableVersions": "12+", "taggedVersions": "12+",
            "tag": 0, "ignorable": true, "default": "null" })
    );
    let topics = fetch["fields"].as_array().unwrap().iter().find(|field| field["name"] == "Topics").unwrap();
    assert_eq!((&topics["type"], &topics["fields"][0]["entityType"]), (&json!("[]FetchTopic"), &json!("topicName")));
    assert_eq!(named("CreateTopicsRequest")["fields"][0]["fields"][0]["mapKey"], true);
    assert_eq!(
        (&named("SaslHandshakeRequest")["flexibleVersions"], &named("MetadataResponse")["listeners"]),
        (&json!("none"), &Value::Null)
    );
}

/// A schema file, or what klamm shows, in one form: without what is said to readers only, structs in their places, and no word for
/// what is false, zero or empty.
fn plain(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let common = schema["commonStructs"].take();
    let object = schema.as_object_mut().unwrap();
    object.retain(|key, value| !value.is_null() && key != "deprecatedVersions");
    object.entry("latestVersionUnstable").or_insert(false.into());
    plain_fields(&mut schema["fields"], &common);
    schema
}

fn plain_fields(fields: &mut Value, common: &Value) {
    for field in fields.as_array_mut().into_iter().flatten() {
        let ty = field["type"].as_str().unwrap().trim_start_matches("[]").to_owned();
        let number = ty.trim_start_matches('u').starts_with("int") || ty == "float64";
        let field = field.as_object_mut().unwrap();
        field.retain(|key, value| !matches!(&**key, "about" | "zeroCopy") && !matches!(value, Value::Null | Value::Bool(false)));
        for flag in ["ignorable", "mapKey"] {
            if field.get(flag).is_some_and(|value| *value == "true") {
                field.insert(flag.into(), true.into());
            }
        }
        if let Some(default) = field.remove("default") {
            let text = default.as_str().map_or_else(|| default.to_string(), str::to_owned).to_lowercase();
            let hex = text.strip_prefix("0x").map(|digits| i64::from_str_radix(digits, 16).unwrap().to_string());
            let text = hex.unwrap_or(text);
            let is_zero = number && text.parse::<f64>().is_ok_and(|number| number == 0.0);
            if !is_zero && !text.is_empty() && text != "false" {
                field.insert("default".into(), text.into());
            }
        }
        // Tagged in the versions it has: some files say it once.
        if let Some(tagged) = field.get("taggedVersions").cloned() {
            field.insert("versions".into(), tagged);
        }
        if let Some(shared) = common.as_array().into_iter().flatten().find(|shared| shared["name"] == *ty) {
            field.insert("fields".into(), shared["fields"].clone());
        }
        if let Some(inner) = field.get_mut("fields") {
            plain_fields(inner, common);
        }
    }
    // Some files declare tags in another order than they are written in.
    if let Some(fields) = fields.as_array_mut() {
        fields.sort_by_key(|field| field["tag"].as_u64().map_or(-1, u64::cast_signed));
    }
}

#[tokio::test]
async fn the_schema_says_what_kafkas_own_files_say() {
    let files = schemas::load(schemas::RELEASE);
    for message in klamm(&["schema"], "").await.success().json() {
        let name = message["name"].as_str().unwrap();
        let file = plain(files.get(name).unwrap_or_else(|| panic!("Kafka has no {name}")));
        assert_eq!(plain(&message), file, "{name}");
    }
}

#[tokio::test]
async fn codec_encodes_json_and_decodes_it_again() {
    let json = r#"{"topics":[{"topicId":"AAAAAAAAAAAAAAAAAAAAAA","name":"é"}],"allowAutoTopicCreation":true,"includeTopicAuthorizedOperations":false}"#;
    let hex = klamm(&["codec", "encode", "MetadataRequest", "12"], json).await.success().stdout;
    assert_eq!(hex.trim_end(), format!("02{}03c3a900010000", "00".repeat(16)));
    // In the order of the schema, as Kafka writes it.
    let again = klamm(&["codec", "decode", "MetadataRequest", "12"], hex.to_uppercase()).await.success().stdout;
    assert_eq!(again.trim_end(), json);
    let hex = klamm(&["codec", "encode", "ListGroupsRequest", "0"], "{}").await.success().stdout;
    assert_eq!(hex, "\n");
    assert_eq!(klamm(&["codec", "decode", "ListGroupsRequest", "0"], hex).await.success().stdout, "{}\n");
    // Records: as a size, unless they are wanted.
    let produce = r#"{"transactionalId":null,"acks":1,"timeoutMs":5,"topicData":[{"name":"t","partitionData":[{"index":0,"records":"AAEC"}]}]}"#;
    let hex = klamm(&["codec", "encode", "ProduceRequest", "9"], produce).await.success().stdout;
    let sized = klamm(&["codec", "decode", "ProduceRequest", "9"], &hex).await.success().stdout;
    assert_eq!(sized.trim_end(), produce.replace(r#""records":"AAEC""#, r#""recordsSizeInBytes":3"#));
    let whole = klamm(&["codec", "decode", "ProduceRequest", "9", "--records", "base64"], &hex).await.success().stdout;
    assert_eq!(whole.trim_end(), produce);
}

#[tokio::test]
async fn codec_lines_answers_each_line_in_its_place_and_goes_on_after_a_wrong_one() {
    let mut running = Running::start(&["codec", "lines"]);
    for (line, answer) in [
        (
            r#"{"id":7,"name":"HeartbeatRequest","version":4,"json":{"groupId":"g","generationId":3,"memberId":"m","groupInstanceId":null}}"#,
            r#"{"id":7,"name":"HeartbeatRequest","version":4,"hex":"02670000000302"#,
        ),
        (
            r#"{"hex":"0267000000 03026d0000","name":"HeartbeatRequest","version":4,"more":[1]}"#,
            r#"{"json":{"groupId":"g","generationId":3,"memberId":"m","groupInstanceId":null},"name":"HeartbeatRequest","version":4,"more":[1]}"#,
        ),
        (
            r#"{"name":"HeartbeatRequest","version":4,"json":{"groupId":7}}"#,
            r#"{"name":"HeartbeatRequest","version":4,"error":"HeartbeatRequest version 4, groupId: expected text, found the number 7"}"#,
        ),
        (
            r#"{"name":"HartbeatRequest","version":4,"hex":""}"#,
            r#"{"name":"HartbeatRequest","version":4,"error":"there is no message \"HartbeatRequest\"; did you mean HeartbeatRequest?"#,
        ),
        (
            r#"{"name":"HeartbeatRequest","version":99,"hex":"00","x":1}"#,
            r#"{"name":"HeartbeatRequest","version":99,"error":"HeartbeatRequest: version 99 of the message is not known","x":1}"#,
        ),
        (
            r#"{"name":"HeartbeatRequest","version":"4","hex":""}"#,
            r#"{"name":"HeartbeatRequest","version":"4","error":"\"version\" must be"#,
        ),
        (
            r#"{"name":"HeartbeatRequest","version":4}"#,
            r#"{"name":"HeartbeatRequest","version":4,"error":"one of \"json\" and \"hex\" is needed"}"#,
        ),
        (
            r#"{"name":"HeartbeatRequest","version":4,"hex":"0g"}"#,
            r#"{"name":"HeartbeatRequest","version":4,"error":"not hex: 'g', byte 1 of the input"}"#,
        ),
        ("[]", r#"{"error":"not a JSON object"#),
    ] {
        // Each is answered before the next is asked.
        running.write(format!("{line}\n").as_bytes()).await;
        let said = running.line().await.unwrap();
        assert!(said.starts_with(answer), "{line}\n{said}\n{answer}");
    }
    drop(running.input.take());
    running.end().await.success();
    // Every message and version that there is, with nothing in it, is at least an answer.
    let versions = DECLARATIONS.iter().flat_map(|declared| declared.each_version().map(move |version| (declared.name, version)));
    let lines: Vec<_> =
        versions.map(|(name, version)| json!({ "name": name, "version": version, "json": {} }).to_string()).collect();
    let answers = klamm(&["codec", "lines"], lines.join("\n")).await.success().json();
    assert_eq!(answers.len(), lines.len());
    assert!(answers.iter().all(|answer| answer["hex"].is_string() != answer["error"].is_string()), "{answers:?}");
}

#[tokio::test]
async fn what_codec_is_given_wrongly_is_told() {
    for (arguments, input, code, words) in [
        (&["encode", "MetadataReqest", "1"][..], "{}", 2, &["MetadataReqest", "did you mean MetadataRequest?"][..]),
        (&["encode", "MetadataRequest", "99"], "{}", 2, &["MetadataRequest has no version 99", "0 to 13"]),
        (&["decode", "MetadataRequest", "x"], "", 2, &["VERSION"]),
        (&["encode", "MetadataRequest"], "{}", 2, &["VERSION"]),
        (&["encode", "MetadataRequest", "1"], "{\"topics\":[", 1, &["not JSON", "line 1"]),
        (&["encode", "MetadataRequest", "1"], "", 1, &["no JSON on standard input"]),
        (&["encode", "MetadataRequest", "1"], r#"{"topics":[{"name":5}]}"#, 1, &["topics[0].name", "expected text", "number 5"]),
        (&["decode", "MetadataRequest", "1"], "00", 1, &["MetadataRequest version 1", "Topics (byte 0 of 1)", "ends inside"]),
        (&["decode", "MetadataRequest", "1"], "xyz", 1, &["not hex", "'x'"]),
        (&["decode", "MetadataRequest", "1"], "000", 1, &["not hex", "3 digits"]),
    ] {
        let ran = klamm(&[&["codec"], arguments].concat(), input).await.failure(code, words);
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[tokio::test]
async fn any_request_goes_to_the_broker_it_is_for_and_its_answer_is_shown() {
    let (broker, brokers) = start(Broker::builder().nodes(3).topic("orders", 2)).await;
    let ask = async |arguments: &[&str], input: &str| {
        let answers = with_broker(&brokers, &[&["request"], arguments].concat(), input).await.success().json();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.into_iter().next().unwrap()
    };
    let topic = r#"{"topics":[{"topicId":"AAAAAAAAAAAAAAAAAAAAAA","name":"orders"}],"allowAutoTopicCreation":false,"includeTopicAuthorizedOperations":false}"#;
    let described = ask(&["Metadata"], topic).await;
    assert_eq!((&described["topics"][0]["name"], &described["topics"][0]["errorCode"]), (&json!("orders"), &json!(0)));
    assert_eq!(described["brokers"].as_array().unwrap().len(), 3);
    // An older version has another form, and needs less.
    let old = ask(&["MetadataRequest", "--version", "0"], r#"{"topics":[{"name":"orders"}]}"#).await;
    assert_eq!((&old["topics"][0]["name"], &old["controllerId"]), (&json!("orders"), &Value::Null));
    // A record set comes as a size, or as it is.
    klamm(&["-b", &brokers, "produce", "orders", "--partition", "1"], "hello\n").await.success();
    let fetch = r#"{"replicaId":-1,"maxWaitMs":500,"minBytes":1,"maxBytes":100000,"isolationLevel":0,"topics":[
        {"topic":"orders","partitions":[{"partition":1,"fetchOffset":0,"partitionMaxBytes":100000}]}]}"#;
    let fetched = ask(&["Fetch", "--version", "4", "--to", "leader:orders:1"], fetch).await;
    let partition = &fetched["responses"][0]["partitions"][0];
    assert_eq!((&partition["errorCode"], &partition["highWatermark"]), (&json!(0), &json!(1)));
    assert!(partition["recordsSizeInBytes"].as_u64() > Some(60), "{partition}");
    let fetched = ask(&["Fetch", "--version", "4", "--to", "leader:orders:1", "--records", "base64"], fetch).await;
    assert!(fetched["responses"][0]["partitions"][0]["records"].as_str().is_some_and(|text| text.len() > 80), "{fetched}");
    // Codes in the answer are the reader's: the command has done its part.
    let group = r#"{"groupId":"g","generationId":1,"memberId":"nobody"}"#;
    let beaten = ask(&["Heartbeat", "--version", "0", "--to", "group:g"], group).await;
    assert_eq!(beaten["errorCode"], 25, "UNKNOWN_MEMBER_ID from the group's coordinator: {beaten}");
    for to in ["any", "controller", "broker:2", "txn:t"] {
        let answer =
            ask(&["DescribeCluster", "--version", "0", "--to", to], r#"{"includeClusterAuthorizedOperations":false}"#).await;
        assert_eq!(answer["brokers"].as_array().map(Vec::len), Some(3), "{to}");
    }
    drop(broker);
}

#[tokio::test]
async fn a_request_that_cannot_be_is_told_with_its_exit_code_and_nothing_secret_is_logged() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 1).without(ApiKey::DESCRIBE_CLUSTER)).await;
    for (arguments, input, code, words) in [
        (&["Metdata"][..], "{}", 2, &["Metdata", "did you mean Metadata?"][..]),
        (
            &["Metadata", "--version", "1"],
            r#"{"topics":[{"nam":"t"}]}"#,
            2,
            &["MetadataRequest version 1, topics[0].name", "missing"],
        ),
        (&["Metadata"], r#"{"topics":7}"#, 2, &["MetadataRequest version", "topics: expected an array, found the number 7"]),
        (&["Metadata"], "topics", 2, &["MetadataRequest", "not JSON"]),
        (&["Metadata"], "", 2, &["no JSON on standard input"]),
        (&["Metadata", "--version", "99"], "{}", 3, &["Metadata", "0 to 13"]),
        (&["Metadata", "--version=-1"], "{}", 2, &["--version"]),
        (&["DescribeCluster"], r#"{"includeClusterAuthorizedOperations":false}"#, 3, &["does not serve DescribeCluster"]),
        (&["Metadata", "--to", "leader:t"], "{}", 2, &["leader:TOPIC:PARTITION"]),
        (&["ListGroups", "--version", "0", "--to", "broker:9"], "{}", 1, &["no broker 9"]),
        (
            &["Produce", "--version", "3"],
            r#"{"transactionalId":null,"acks":0,"timeoutMs":5,"topicData":[]}"#,
            1,
            &["acks 0 is never answered"],
        ),
    ] {
        let ran = klamm(&[&["-b", &*brokers, "request"], arguments].concat(), input).await.failure(code, words);
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
    let secret = r#"{"authBytes":"Y2FuYXJ5LWluLXRoZS1taW5l"}"#;
    let ran = klamm(&["-b", &brokers, "-vvv", "request", "SaslAuthenticate", "--version", "0"], secret).await;
    for hidden in ["Y2FuYXJ5", "canary"] {
        assert!(!ran.stderr.contains(hidden), "{}", ran.stderr);
    }
}
