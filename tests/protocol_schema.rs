//! Every declaration equals the official schema of the same name, in everything a schema says; and every API of Kafka that a client
//! may call is declared, or listed here with the reason why not. The table of error codes is compared with Kafka's own, too.

mod declarations;
mod schemas;

use std::collections::BTreeSet;

use declarations::cases;
use klamm::protocol::api::{APIS, ApiKey};
use klamm::protocol::{Declaration, ErrorCode, Field, Kind, Type, Value, Versions};
use serde_json::Value as Json;

/// APIs of the broker that are not declared, and why.
const LEFT_OUT: &[(&str, &[&str])] = &[
    (
        "transactions are not written yet",
        &[
            "AddPartitionsToTxn",
            "AddOffsetsToTxn",
            "EndTxn",
            "TxnOffsetCommit",
            "DescribeProducers",
            "DescribeTransactions",
            "ListTransactions",
        ],
    ),
    (
        "the admin does not offer it yet",
        &[
            "DeleteRecords",
            "DescribeAcls",
            "CreateAcls",
            "DeleteAcls",
            "AlterReplicaLogDirs",
            "DescribeLogDirs",
            "CreateDelegationToken",
            "RenewDelegationToken",
            "ExpireDelegationToken",
            "DescribeDelegationToken",
            "ElectLeaders",
            "AlterPartitionReassignments",
            "ListPartitionReassignments",
            "DescribeClientQuotas",
            "AlterClientQuotas",
            "DescribeUserScramCredentials",
            "AlterUserScramCredentials",
            "DescribeQuorum",
            "UpdateFeatures",
            "UnregisterBroker",
            "UnregisterController",
            "AddRaftVoter",
            "RemoveRaftVoter",
            "ListConfigResources",
            "DescribeTopicPartitions",
        ],
    ),
    ("it resets every setting that it does not name; IncrementalAlterConfigs takes its place", &["AlterConfigs"]),
    ("the check for truncated logs after a change of leader is not written yet", &["OffsetForLeaderEpoch"]),
    ("the groups of KIP-848 are not written yet", &["ConsumerGroupHeartbeat", "ConsumerGroupDescribe"]),
    ("client metrics (KIP-714) are not written yet", &["GetTelemetrySubscriptions", "PushTelemetry"]),
    (
        "share groups (KIP-932) are not written yet",
        &[
            "ShareGroupHeartbeat",
            "ShareGroupDescribe",
            "ShareFetch",
            "ShareAcknowledge",
            "DescribeShareGroupOffsets",
            "AlterShareGroupOffsets",
            "DeleteShareGroupOffsets",
        ],
    ),
    (
        "streams groups (KIP-1071) are of use to Kafka Streams only",
        &["StreamsGroupHeartbeat", "StreamsGroupDescribe", "StreamsGroupTopologyDescriptionUpdate"],
    ),
    (
        "only brokers send it to one another",
        &[
            "WriteTxnMarkers",
            "InitializeShareGroupState",
            "ReadShareGroupState",
            "WriteShareGroupState",
            "DeleteShareGroupState",
            "ReadShareGroupStateSummary",
        ],
    ),
];

#[test]
fn declarations_equal_the_official_schemas() {
    let schemas = schemas::load();
    for case in cases() {
        let json = schemas.get(case.name).unwrap_or_else(|| panic!("Kafka {} has no message {}", schemas::RELEASE, case.name));
        compare_message(case, json);
        compare_fields(case.name, &(case.fields)(), json, &json["fields"]);
    }
}

#[test]
fn every_api_a_client_may_call_is_declared_or_left_out_for_a_reason() {
    let declared: BTreeSet<&str> = APIS.iter().map(|api| api.name).collect();
    let mut left_out = BTreeSet::new();
    for name in LEFT_OUT.iter().flat_map(|(_, names)| *names) {
        assert!(left_out.insert(*name), "{name} is left out twice");
        assert!(!declared.contains(name), "{name} is declared and left out");
    }
    let mut live = BTreeSet::new();
    for (name, json) in &schemas::load() {
        if json["type"] != "request" || json["validVersions"] == "none" {
            continue;
        }
        let name = name.strip_suffix("Request").expect("requests are called so");
        let key = ApiKey(json["apiKey"].as_i64().and_then(|key| i16::try_from(key).ok()).expect("an API key"));
        assert_eq!(key.name(), Some(name), "the name of API {}", key.0);
        live.insert(key);
        if json["listeners"].as_array().is_some_and(|listeners| listeners.contains(&"broker".into())) {
            assert!(declared.contains(name) || left_out.remove(name), "{name} is neither declared nor left out for a reason");
        }
    }
    assert!(left_out.is_empty(), "left out, yet a broker does not serve it: {left_out:?}");
    assert!(live.iter().copied().eq(ApiKey::known()), "the table of names has APIs that Kafka {} has not", schemas::RELEASE);
}

#[test]
fn the_tests_know_every_declared_api() {
    let cases = cases();
    for api in APIS {
        for kind in [Kind::Request, Kind::Response] {
            assert!(
                cases.iter().any(|case| case.api_key == api.key.0 && case.kind == kind),
                "no test case for the {kind:?} of {}",
                api.name
            );
        }
    }
}

/// Prints each error code: number, name, retriable?, says that metadata is out of date?
const PRINT_ERRORS: &str = "
    import org.apache.kafka.common.errors.*;
    import org.apache.kafka.common.protocol.Errors;

    public class PrintErrors {
        public static void main(String[] arguments) {
            for (Errors error : Errors.values()) {
                ApiException exception = error.exception();
                System.out.println(error.code() + \" \" + error.name() + \" \" + (exception instanceof RetriableException)
                    + \" \" + (exception instanceof InvalidMetadataException));
            }
        }
    }";

#[test]
fn error_codes_are_those_of_kafka() {
    let printed = schemas::run_java("PrintErrors", PRINT_ERRORS);
    let known = (i16::MIN..=i16::MAX).map(ErrorCode);
    let ours = known.filter_map(|code| {
        code.name().map(|name| format!("{} {name} {} {}", code.0, code.is_retriable(), code.is_stale_metadata()))
    });
    assert_eq!(ours.collect::<Vec<_>>(), printed.lines().collect::<Vec<_>>());
}

#[test]
fn the_registry_leaves_unstable_versions_apart() {
    let api = ApiKey::INIT_PRODUCER_ID.api().expect("declared");
    assert_eq!((api.versions, api.unstable), ((0, 5), Some(6)));
    assert_eq!(ApiKey::FETCH.versions(), Some(4..=18));
    assert_eq!(ApiKey(999).to_string(), "API 999");
}

/// What is said of the message as a whole.
fn compare_message(case: &Declaration, json: &Json) {
    let at = case.name;
    known_keys(
        at,
        json,
        &[
            "apiKey",
            "type",
            "listeners",
            "name",
            "validVersions",
            "deprecatedVersions",
            "flexibleVersions",
            "latestVersionUnstable",
            "fields",
            "commonStructs",
        ],
    );
    let kind = match case.kind {
        Kind::Request => "request",
        Kind::Response => "response",
        Kind::Header => "header",
        Kind::Data => "data",
    };
    assert_eq!(json["type"], kind, "{at}: type");
    assert_eq!(json["apiKey"].as_i64().unwrap_or(-1), i64::from(case.api_key), "{at}: API key");
    assert_eq!(versions(&json["validVersions"]), Some(case.versions), "{at}: versions");
    let listeners: Vec<&str> = json["listeners"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    assert_eq!(case.listeners, listeners, "{at}: listeners");
    let unstable = json["latestVersionUnstable"] == true;
    assert_eq!(case.unstable, unstable.then_some(case.versions.1), "{at}: unstable version");
    let flexible = versions(&json["flexibleVersions"]);
    for version in case.each_version() {
        let wanted = flexible.is_some_and(|(first, last)| (first..=last).contains(&version));
        assert_eq!((case.is_flexible)(version), wanted, "{at}: is version {version} flexible?");
    }
}

/// `fields` against the JSON list `wanted`; `root` is where shared structs are looked up.
fn compare_fields(at: &str, fields: &[Field], root: &Json, wanted: &Json) {
    let wanted = wanted.as_array().unwrap_or_else(|| panic!("{at}: no list of fields"));
    assert!(fields.iter().filter_map(|field| field.tag).is_sorted(), "{at}: tags must be declared in order");
    assert_eq!(fields.len(), wanted.len(), "{at}: number of fields");
    for (field, json) in fields.iter().zip(wanted) {
        let at = format!("{at}.{}", field.schema_name());
        known_keys(
            &at,
            json,
            &[
                "name",
                "type",
                "versions",
                "nullableVersions",
                "taggedVersions",
                "tag",
                "ignorable",
                "default",
                "entityType",
                "mapKey",
                "about",
                "zeroCopy",
                "fields",
            ],
        );
        assert_eq!(json["name"], field.schema_name(), "{at}: name");
        assert_eq!(Some(field.versions), versions(&json["versions"]), "{at}: versions");
        assert_eq!(field.nullable, versions(&json["nullableVersions"]), "{at}: null versions");
        assert_eq!(field.tag.map(u64::from), json["tag"].as_u64(), "{at}: tag");
        assert_eq!(field.tag.and(Some(field.versions)), versions(&json["taggedVersions"]), "{at}: tagged versions");
        assert_eq!(field.ignorable, flag(&json["ignorable"]), "{at}: ignorable");
        assert_eq!(field.key, flag(&json["mapKey"]), "{at}: map key");
        compare_type(&at, field, root, json);
    }
}

/// Type, entity and default; for structs, what they contain.
fn compare_type(at: &str, field: &Field, root: &Json, json: &Json) {
    if let Type::Struct(..) = field.ty {
        assert_eq!(
            field.nullable.unwrap_or(field.versions),
            field.versions,
            "{at}: the codec knows no null marker in some versions only"
        );
    }
    let (mut ty, mut json_ty) = (field.ty, json["type"].as_str().unwrap_or_else(|| panic!("{at}: no type")));
    if let (Type::Array(item), Some(json_item)) = (ty, json_ty.strip_prefix("[]")) {
        assert_eq!(field.default, if json["default"] == "null" { Value::Null } else { Value::Empty }, "{at}: default");
        (ty, json_ty) = (*item, json_item);
    } else {
        assert_eq!(field.default, default(json, json_ty), "{at}: default");
    }
    match ty {
        Type::Plain(plain) => assert_eq!((plain, &json["entityType"]), (json_ty, &Json::Null), "{at}: type"),
        Type::Entity(plain, entity) => {
            assert_eq!(plain, json_ty, "{at}: type");
            assert_eq!(json["entityType"], entity, "{at}: entity");
        }
        Type::Array(_) => panic!("{at}: an array of arrays"),
        Type::Struct(name, inner) => {
            assert_eq!(name, json_ty, "{at}: type");
            let shared = root["commonStructs"].as_array().into_iter().flatten().find(|shared| shared["name"] == json_ty);
            compare_fields(at, &inner(), root, shared.map_or(&json["fields"], |shared| &shared["fields"]));
        }
    }
}

/// A schema that says something of a new kind must be looked at by a person.
fn known_keys(at: &str, json: &Json, known: &[&str]) {
    for key in json.as_object().into_iter().flat_map(serde_json::Map::keys) {
        assert!(known.contains(&key.as_str()), "{at}: this test does not know what \"{key}\" means");
    }
}

/// `true`, or `"true"`.
fn flag(json: &Json) -> bool {
    json.as_bool().or_else(|| json.as_str().map(|text| text == "true")).unwrap_or(false)
}

/// `"4+"`, `"0-3"`, `"7"`; nothing for `"none"` and for a missing key.
fn versions(json: &Json) -> Option<Versions> {
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{json} is no range of versions"));
    let text = json.as_str().filter(|text| *text != "none")?;
    if let Some(first) = text.strip_suffix('+') {
        return Some((number(first), i16::MAX));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((number(first), number(last)))
}

/// The default as the schemas mean it: what is not given is zero, false or empty, but never null.
fn default(json: &Json, ty: &str) -> Value {
    let text = json["default"].to_string().trim_matches('"').to_lowercase();
    let number = ty.trim_start_matches('u').strip_prefix("int").is_some_and(|bits| bits.parse::<u8>().is_ok());
    match (text.as_str(), ty) {
        ("null", _) if json["default"] == "null" => Value::Null,
        (_, "bool") => Value::Bool(text == "true"),
        ("null", "float64") => Value::Float(0.0),
        ("null", _) if number => Value::Int(0),
        (_, "float64") => Value::Float(text.parse().expect("a number")),
        _ if number => Value::Int(match text.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).expect("a hexadecimal number"),
            None => text.parse().expect("a number"),
        }),
        ("" | "null", _) => Value::Empty,
        other => panic!("no form for default {other:?}"),
    }
}
