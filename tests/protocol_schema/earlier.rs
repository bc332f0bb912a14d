//! What the release before said of its versions holds still: a field that meant something else in a version that both have would be
//! read wrongly by one of two brokers.

use std::collections::BTreeSet;

use klamm::protocol::{Field, Type, Versions};
use serde_json::Value as Json;

use crate::declarations::cases;
use crate::exact;
use crate::{schemas, shown};

/// Differences there are, as message and field, and why they do no harm.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("DescribeProducersRequest", ".Topics.Name", MAP_KEY),
    ("StreamsGroupHeartbeatResponse", ".AcceptableRecoveryLag", RENAMED),
    ("StreamsGroupHeartbeatResponse", ".AcceptableRecoveryLagLegacy", RENAMED),
    ("StreamsGroupMetadataValue", ".FailedDescriptionTopologyEpoch", NEW_TAG),
    ("StreamsGroupMetadataValue", ".StoredDescriptionTopologyEpoch", NEW_TAG),
    ("TxnOffsetCommitRequest", ".GenerationId", RENAMED),
    ("TxnOffsetCommitRequest", ".GenerationIdOrMemberEpoch", RENAMED),
    ("TxnOffsetCommitRequest", ".Topics.Name", IDS_INSTEAD),
    ("TxnOffsetCommitResponse", ".Topics.Name", IDS_INSTEAD),
];

const MAP_KEY: &str = "a map key now, which changes Java's collection for it and no byte";
const RENAMED: &str = "has another name now, and the same bytes; the name is seen in JSON only";
const NEW_TAG: &str = "a tagged field that came without a new version: who does not know the tag skips it";
const IDS_INSTEAD: &str =
    "ignorable now, for the version that has topic ids instead (KIP-1319); versions with names write it as before";

#[test]
fn the_release_before_said_the_same_of_its_versions() {
    let (mut messages, mut versions, mut fields) = (0, 0, 0);
    let (mut found, mut unknown) = (BTreeSet::new(), Vec::new());
    for (name, json) in &schemas::load(schemas::EARLIER) {
        let Some((first, last)) = exact::versions(&json["validVersions"]) else { continue };
        let case = cases().iter().find(|case| case.name == name);
        let case = case.unwrap_or_else(|| panic!("Kafka {} has {name}, which is not declared", schemas::EARLIER));
        messages += 1;
        for version in first..=last {
            versions += 1;
            assert!(case.each_version().contains(&version), "{name}: version {version} of Kafka {}", schemas::EARLIER);
            let flexible = exact::versions(&json["flexibleVersions"]).is_some_and(|range| has(range, version));
            assert_eq!((case.is_flexible)(version), flexible, "{name}: is version {version} flexible?");
            let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
            describe_declared(&mut ours, "", case.fields, version);
            describe_schema(&mut theirs, "", json, &json["fields"], version);
            fields += ours.len();
            for (path, line) in ours.symmetric_difference(&theirs) {
                let known = DIFFERENCES.iter().find(|(message, field, _)| message == name && field == path);
                let whose = if ours.contains(&(path.clone(), line.clone())) { "declared" } else { schemas::EARLIER };
                match known {
                    Some(_) => _ = found.insert((name.clone(), path.clone())),
                    None => unknown.push(format!("{name} version {version}, {path}, {whose}: {line}")),
                }
            }
        }
    }
    assert!(unknown.is_empty(), "not as in Kafka {}, and not explained:\n{}", schemas::EARLIER, unknown.join("\n"));
    for (message, field, _) in DIFFERENCES {
        assert!(found.contains(&(message.to_string(), field.to_string())), "{message}.{field} does not differ");
    }
    let differ = (found.len() as u64, "fields with a difference that is explained");
    let counts = [(messages, "messages"), (versions, "versions"), (fields as u64, "fields"), differ];
    shown::count(&format!("schemas in its versions, Kafka {}", schemas::EARLIER), &counts);
}

/// Each field with its place and what is said of it, in a version.
type Described = BTreeSet<(String, String)>;

fn has((first, last): Versions, version: i16) -> bool {
    (first..=last).contains(&version)
}

fn describe_declared(out: &mut Described, path: &str, fields: &[Field], version: i16) {
    for (at, field) in fields.iter().filter(|field| has(field.versions, version)).enumerate() {
        let path = format!("{path}.{}", field.schema_name());
        let (is_array, ty) = if let Type::Array(item) = field.ty { (true, *item) } else { (false, field.ty) };
        let (ty, entity) = match ty {
            Type::Plain(ty) | Type::Fixed(ty) => (ty, ""),
            Type::Entity(ty, entity) => (ty, entity),
            Type::Array(_) => panic!("{path}: an array of arrays"),
            Type::Struct(_, inner) => {
                describe_declared(out, &path, inner, version);
                ("struct", "")
            }
        };
        let line = format!(
            "place {at} array {is_array} {ty} {entity} null {} tag {:?} ignorable {} key {} default {:?}",
            field.nullable.is_some_and(|range| has(range, version)),
            field.tag.map(u64::from),
            field.ignorable,
            field.key,
            field.default,
        );
        out.insert((path, line));
    }
}

fn describe_schema(out: &mut Described, path: &str, root: &Json, fields: &Json, version: i16) {
    let fields = exact::in_order(fields.as_array().expect("a list of fields"));
    let there = fields.into_iter().filter(|json| exact::field_versions(json).is_some_and(|range| has(range, version)));
    for (at, json) in there.enumerate() {
        let path = format!("{path}.{}", json["name"].as_str().expect("a name"));
        let whole = json["type"].as_str().expect("a type");
        let ty = whole.trim_start_matches("[]");
        let is_array = ty != whole;
        let default = if is_array { exact::default(json, "[]") } else { exact::default(json, ty) };
        let is_struct = ty.starts_with(char::is_uppercase);
        if is_struct {
            describe_schema(out, &path, root, exact::inner_fields(root, json, ty), version);
        }
        let line = format!(
            "place {at} array {is_array} {} {} null {} tag {:?} ignorable {} key {} default {default:?}",
            if is_struct { "struct" } else { ty },
            json["entityType"].as_str().unwrap_or_default(),
            exact::versions(&json["nullableVersions"]).is_some_and(|range| has(range, version)),
            json["tag"].as_u64(),
            exact::flag(&json["ignorable"]),
            exact::flag(&json["mapKey"]),
        );
        out.insert((path, line));
    }
}
