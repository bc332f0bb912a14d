//! A declaration against the official schema of the same name, in everything that a schema says.

use klamm::protocol::{Declaration, Field, Kind, Type, Value, Versions};
use serde_json::Value as Json;

/// How much was compared.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) messages: usize,
    pub(crate) versions: usize,
    pub(crate) fields: usize,
}

impl Counts {
    /// Compares one message.
    pub(crate) fn compare(&mut self, case: &Declaration, json: &Json) {
        self.messages += 1;
        self.versions += case.each_version().count();
        compare_message(case, json);
        self.compare_fields(case.name, case.fields, json, &json["fields"]);
    }

    /// `fields` against the JSON list `wanted`; `root` is where shared structs are looked up.
    fn compare_fields(&mut self, at: &str, fields: &[Field], root: &Json, wanted: &Json) {
        let wanted = wanted.as_array().unwrap_or_else(|| panic!("{at}: no list of fields"));
        assert!(fields.iter().filter_map(|field| field.tag).is_sorted(), "{at}: tags must be declared in order");
        assert_eq!(fields.len(), wanted.len(), "{at}: number of fields");
        self.fields += fields.len();
        for (field, json) in fields.iter().zip(in_order(wanted)) {
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
                    "flexibleVersions",
                    "fields",
                ],
            );
            assert_eq!(json["name"], field.schema_name(), "{at}: name");
            assert_eq!(Some(field.versions), field_versions(json), "{at}: versions");
            assert_eq!(field.nullable, versions(&json["nullableVersions"]), "{at}: null versions");
            assert_eq!(field.tag.map(u64::from), json["tag"].as_u64(), "{at}: tag");
            assert_eq!(field.tag.and(Some(field.versions)), versions(&json["taggedVersions"]), "{at}: tagged versions");
            assert_eq!(field.ignorable, flag(&json["ignorable"]), "{at}: ignorable");
            assert_eq!(field.key, flag(&json["mapKey"]), "{at}: map key");
            self.compare_type(&at, field, root, json);
        }
    }

    /// Type, entity and default; for structs, what they contain.
    fn compare_type(&mut self, at: &str, field: &Field, root: &Json, json: &Json) {
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
        let fixed = if let Type::Fixed(_) = ty { Json::from("none") } else { Json::Null };
        assert_eq!(json["flexibleVersions"], fixed, "{at}: flexible versions of the field");
        match ty {
            Type::Plain(plain) | Type::Fixed(plain) => {
                assert_eq!((plain, &json["entityType"]), (json_ty, &Json::Null), "{at}: type")
            }
            Type::Entity(plain, entity) => {
                assert_eq!(plain, json_ty, "{at}: type");
                assert_eq!(json["entityType"], entity, "{at}: entity");
            }
            Type::Array(_) => panic!("{at}: an array of arrays"),
            Type::Struct(name, inner) => {
                assert_eq!(name, json_ty, "{at}: type");
                self.compare_fields(at, inner, root, inner_fields(root, json, json_ty));
            }
        }
    }
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
        Kind::CoordinatorKey => "coordinator-key",
        Kind::CoordinatorValue => "coordinator-value",
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

/// A schema that says something of a new kind must be looked at by a person.
fn known_keys(at: &str, json: &Json, known: &[&str]) {
    for key in json.as_object().into_iter().flat_map(serde_json::Map::keys) {
        assert!(known.contains(&key.as_str()), "{at}: this test does not know what \"{key}\" means");
    }
}

/// Fields as the declarations have them: those with tags in the order of the tags. Where they stand among the others means nothing.
pub(crate) fn in_order(fields: &[Json]) -> Vec<&Json> {
    let mut tagged: Vec<&Json> = fields.iter().filter(|field| field["tag"].is_u64()).collect();
    tagged.sort_by_key(|field| field["tag"].as_u64());
    let mut tagged = tagged.into_iter();
    fields.iter().map(|field| if field["tag"].is_u64() { tagged.next().expect("as many as counted") } else { field }).collect()
}

/// What a field of the struct `ty` contains.
pub(crate) fn inner_fields<'a>(root: &'a Json, field: &'a Json, ty: &str) -> &'a Json {
    let shared = root["commonStructs"].as_array().into_iter().flatten().find(|shared| shared["name"] == ty);
    shared.map_or(&field["fields"], |shared| &shared["fields"])
}

/// The versions that have a field; a tagged field may leave out to say it twice.
pub(crate) fn field_versions(json: &Json) -> Option<Versions> {
    versions(&json["versions"]).or_else(|| versions(&json["taggedVersions"]))
}

/// `true`, or `"true"`.
pub(crate) fn flag(json: &Json) -> bool {
    json.as_bool().or_else(|| json.as_str().map(|text| text == "true")).unwrap_or(false)
}

/// `"4+"`, `"0-3"`, `"7"`; nothing for `"none"` and for a missing key.
pub(crate) fn versions(json: &Json) -> Option<Versions> {
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{json} is no range of versions"));
    let text = json.as_str().filter(|text| *text != "none")?;
    if let Some(first) = text.strip_suffix('+') {
        return Some((number(first), i16::MAX));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((number(first), number(last)))
}

/// The default as the schemas mean it: what is not given is zero, false or empty, but never null.
pub(crate) fn default(json: &Json, ty: &str) -> Value {
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
