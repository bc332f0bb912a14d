//! Every declaration equals the official schema of the same name, in everything a schema says, and there is one for every schema:
//! nothing missing, nothing extra. What the release before said must hold in its versions still. `docs/protocol.md` is made from the
//! declarations, and the table of error codes is compared with Kafka's own.

#[path = "../declarations/mod.rs"]
mod declarations;
mod earlier;
mod exact;
mod list;
#[path = "../schemas/mod.rs"]
mod schemas;

use std::collections::BTreeSet;

use declarations::cases;
use klamm::protocol::api::{APIS, ApiKey};
use klamm::protocol::{ErrorCode, Kind};

#[test]
fn declarations_equal_the_official_schemas() {
    let schemas = schemas::load(schemas::RELEASE);
    let mut counts = exact::Counts::default();
    for case in cases() {
        let json = schemas.get(case.name).unwrap_or_else(|| panic!("Kafka {} has no message {}", schemas::RELEASE, case.name));
        counts.compare(case, json);
    }
    println!("{} equal to Kafka {}'s", counts, schemas::RELEASE);
}

#[test]
fn every_schema_has_a_declaration_and_every_declaration_a_schema() {
    let schemas = schemas::load(schemas::RELEASE);
    let live = schemas.iter().filter(|(_, json)| json["validVersions"] != "none").map(|(name, _)| name.as_str());
    let live: BTreeSet<&str> = live.collect();
    let mut declared = BTreeSet::new();
    for case in cases() {
        assert!(declared.insert(case.name), "{} is declared twice", case.name);
    }
    let missing: Vec<_> = live.difference(&declared).collect();
    assert!(missing.is_empty(), "schemas of Kafka {} without a declaration: {missing:?}", schemas::RELEASE);
    let extra: Vec<_> = declared.difference(&live).collect();
    assert!(extra.is_empty(), "declarations that Kafka {} has no schema for: {extra:?}", schemas::RELEASE);
}

#[test]
fn the_registry_names_the_apis_as_the_schemas_do() {
    let mut live = BTreeSet::new();
    for (name, json) in &schemas::load(schemas::RELEASE) {
        if json["type"] != "request" || json["validVersions"] == "none" {
            continue;
        }
        let name = name.strip_suffix("Request").expect("requests are called so");
        let key = ApiKey(json["apiKey"].as_i64().and_then(|key| i16::try_from(key).ok()).expect("an API key"));
        assert_eq!(key.name(), Some(name), "the name of API {}", key.0);
        assert_eq!(key.api().map(|api| api.name), Some(name), "API {} in the registry", key.0);
        live.insert(key);
    }
    assert!(live.iter().copied().eq(ApiKey::known()), "the table of names has APIs that Kafka {} has not", schemas::RELEASE);
    assert!(live.iter().copied().eq(APIS.iter().map(|api| api.key)), "the registry is not in order, or has other APIs");
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
