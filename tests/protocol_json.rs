//! JSON of every message and version: bytes become JSON and the same bytes again; the JSON is that of Kafka's own converters, which
//! read klamm's and are read by it; and JSON that is wrong in some way is refused by both or by neither.

mod declarations;
mod schemas;
mod shown;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use declarations::{Random, cases};
use klamm::protocol::json::{RecordsForm, from_json, to_json};
use klamm::protocol::{Declaration, Field, Kind, Type, Value, Versions};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

/// The program that asks Kafka.
const ORACLE: &str = include_str!("java/JsonConverters.java");
/// What the random choices of this file begin with; another one, and other messages: `KLAMM_SEED`.
const SEED: u64 = 6;

fn seed() -> u64 {
    std::env::var("KLAMM_SEED").map_or(SEED, |text| text.parse().expect("KLAMM_SEED is a number"))
}

/// What this message is in one version, `count` times: random frames by turns with frames of random JSON.
fn frames(case: &'static Declaration, version: i16, count: u64) -> impl Iterator<Item = Bytes> {
    (0..count).map(move |at| {
        let mut random = Random::new(case, version, seed() * 1000 + at);
        if at % 2 == 0 {
            return random.frame(case);
        }
        let json = object(&mut random, case.fields);
        from_json(case, version, &json).unwrap_or_else(|error| panic!("{error}: {json}")).into()
    })
}

fn has((first, last): Versions, version: i16) -> bool {
    (first..=last).contains(&version)
}

/// Everything the version has, with values that are likely to be treated wrongly.
fn object(random: &mut Random, fields: &[Field]) -> Json {
    let mut object = Map::new();
    for field in fields {
        if !has(field.versions, random.version) || (field.tag.is_some() && random.below(3) == 0) {
            continue;
        }
        let mut name = field.schema_name();
        name[..1].make_ascii_lowercase();
        let nullable = field.nullable.is_some_and(|versions| has(versions, random.version));
        let value = match (random.below(8), field.default) {
            (0..2, _) if nullable => Json::Null,
            (2, Value::Int(default)) => default.into(),
            (2, Value::Bool(default)) => default.into(),
            _ => value(random, field.ty),
        };
        object.insert(name, value);
    }
    object.into()
}

fn value(random: &mut Random, ty: Type) -> Json {
    let pick = random.below(6) as usize;
    match ty {
        Type::Array(item) => (0..random.below(3)).map(|_| value(random, *item)).collect(),
        Type::Struct(_, fields) => object(random, fields),
        Type::Plain(name) | Type::Entity(name, _) | Type::Fixed(name) => match name {
            "bool" => (pick % 2 == 1).into(),
            "int8" => [0, 1, -1, i8::MIN, i8::MAX, 42][pick].into(),
            "int16" => [0, 1, -1, i16::MIN, i16::MAX, 300][pick].into(),
            "uint16" => [0, 1, 9092, i16::MAX as u16, i16::MAX as u16 + 1, u16::MAX][pick].into(),
            "int32" => [0, 1, -1, i32::MIN, i32::MAX, 70_000][pick].into(),
            "int64" => [0, 1, -1, i64::MIN, i64::MAX, (1 << 53) + 1][pick].into(),
            "float64" => [0.0, -0.0, 0.1, f64::MIN_POSITIVE, f64::MAX, -1e-310][pick].into(),
            "uuid" => ["AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAQ", "_____________________w", "-_-_-_-_-_-_-_-_-_-_-Q"]
                [pick % 4]
                .into(),
            "string" => ["", "a", "é😀\u{2028}", "\"\\/\u{0}\u{1f}\u{7f}\t\n", " ", "null"][pick].into(),
            "bytes" | "records" => ["", "AA==", "AAA=", "AAAA", "/+8=", "aGVsbG8="][pick].into(),
            other => panic!("no such type: {other}"),
        },
    }
}

#[test]
fn bytes_become_json_and_the_same_bytes_again() {
    for case in cases() {
        for version in case.each_version() {
            for frame in frames(case, version, 20) {
                let json = to_json(case, version, &frame, RecordsForm::Base64).unwrap();
                // As text in between, as tools have it.
                let text = json.to_string();
                let again = serde_json::from_str(&text).unwrap();
                assert_eq!(
                    from_json(case, version, &again).as_deref(),
                    Ok(&frame[..]),
                    "{} version {version}: {text}",
                    case.name
                );
                let recoded = declarations::recode(case, &frame, version).unwrap();
                assert_eq!(recoded, frame, "{} version {version}: {text}", case.name);
            }
        }
    }
}

/// What is asked of Kafka, each with what is done with the answer.
#[derive(Default)]
struct Questions {
    lines: String,
    checks: Vec<Box<dyn FnOnce(&str)>>,
}

impl Questions {
    fn ask(&mut self, verb: &str, case: &Declaration, version: i16, rest: &str, check: impl FnOnce(&str) + 'static) {
        writeln!(self.lines, "{verb}\t{}\t{version}\t{rest}", case.name).unwrap();
        self.checks.push(Box::new(check));
    }

    fn answered(self) {
        let answers = schemas::run_java_with("JsonConverters", ORACLE, schemas::JACKSON, self.lines);
        let answers: Vec<_> = answers.lines().collect();
        assert_eq!(answers.len(), self.checks.len(), "one answer for each question");
        for (answer, check) in answers.into_iter().zip(self.checks) {
            check(answer);
        }
    }
}

/// Messages whose converters are in Kafka's jars, so that they can be asked.
fn asked_of_kafka() -> Vec<&'static Declaration> {
    let known = cases().iter().map(|case| format!("write\t{}\t{}\t\n", case.name, case.versions.0)).collect();
    let answers = schemas::run_java_with("JsonConverters", ORACLE, schemas::JACKSON, known);
    let (found, missing): (Vec<_>, Vec<_>) = cases().iter().zip(answers.lines()).partition(|(_, answer)| *answer != "?");
    for (case, _) in &missing {
        assert_eq!(case.kind, Kind::Data, "{} has no converter in Kafka's jars", case.name);
    }
    println!("no converter in Kafka's jars: {:?}", missing.iter().map(|(case, _)| case.name).collect::<Vec<_>>());
    found.into_iter().map(|(case, _)| case).collect()
}

#[test]
fn the_json_is_that_of_kafkas_own_converters_both_ways() {
    let mut questions = Questions::default();
    let mut seen = BTreeSet::new();
    for case in asked_of_kafka() {
        for version in case.each_version() {
            seen.insert((case.name, version));
            for frame in frames(case, version, 10) {
                let at = format!("{} version {version}, seed {}", case.name, seed());
                let sizes = to_json(case, version, &frame, RecordsForm::Size).unwrap();
                let json = to_json(case, version, &frame, RecordsForm::Base64).unwrap();
                let (here, text, whole) = (at.clone(), json.to_string(), frame.clone());
                let kafka_reads = json.clone();
                questions.ask("write", case, version, &hex(&frame), move |answer| {
                    let (kafkas_sizes, kafkas) = answer.split_once('\t').unwrap_or_else(|| panic!("{here}: {answer}: {text}"));
                    assert_eq!(serde_json::from_str::<Json>(kafkas_sizes).unwrap(), sizes, "{here}");
                    // Kafka writes no records, so its JSON is that of a message without any.
                    let kafkas: Json = serde_json::from_str(kafkas).unwrap();
                    assert_eq!(kafkas, without_records(json.clone()), "{here}");
                    let bytes = from_json(case, version, &kafkas).unwrap();
                    assert_eq!(bytes, from_json(case, version, &without_records(json)).unwrap(), "{here}");
                    assert!(bytes == whole || kafkas_sizes.contains("SizeInBytes"), "{here}");
                });
                questions.ask("read", case, version, &kafka_reads.to_string(), move |answer| {
                    assert_eq!(answer, hex(&frame), "{at}: {kafka_reads}");
                });
            }
        }
    }
    assert!(questions.checks.len() > 3000, "{}", questions.checks.len());
    let (asked, versions) = (questions.checks.len() as u64, seen.len() as u64);
    questions.answered();
    let counts = [(versions, "versions"), (asked, "values"), (0, "differences"), (1, &*format!("seed, {}", seed()))];
    shown::count(&format!("JSON by klamm and by Kafka's converters, Kafka {}", schemas::RELEASE), &counts);
}

/// Records are the one kind of text in JSON that Kafka leaves empty.
fn without_records(json: Json) -> Json {
    match json {
        Json::Array(items) => items.into_iter().map(without_records).collect(),
        Json::Object(entries) => {
            let empty = |(name, value): (String, Json)| match value {
                Json::String(_) if matches!(&*name, "records" | "unalignedRecords") => (name, "".into()),
                value => (name, without_records(value)),
            };
            Json::Object(entries.into_iter().map(empty).collect())
        }
        other => other,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn json_that_is_wrong_is_refused_where_kafka_refuses_it() {
    let mut questions = Questions::default();
    let (mut taken, mut refused) = (0u64, 0u64);
    for case in asked_of_kafka() {
        for version in case.each_version() {
            for at in 0..12 {
                let mut random = Random::new(case, version, seed() * 7919 + at);
                let mut json = object(&mut random, case.fields);
                // Another version's JSON, or that of this one damaged in one or two places.
                let (first, last) = case.versions;
                let read_as = if at % 3 == 0 { first + random.below((last - first + 1) as u64) as i16 } else { version };
                if at % 3 > 0 {
                    (0..at % 3).for_each(|_| damage(&mut random, &mut json));
                }
                let ours = from_json(case, read_as, &json);
                match &ours {
                    Ok(bytes) => {
                        taken += 1;
                        let bytes = Bytes::from(bytes.clone());
                        assert_eq!(
                            declarations::recode(case, &bytes, read_as).as_deref(),
                            Ok(&bytes[..]),
                            "{}: {json}",
                            case.name
                        );
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(error.to_string().starts_with(&format!("{} version {read_as}", case.name)), "{error}");
                    }
                }
                questions.ask("read", case, read_as, &json.to_string(), move |answer| {
                    let at = format!("{} version {read_as}, of JSON for version {version}, seed {}: {json}", case.name, seed());
                    match ours {
                        Ok(bytes) => assert_eq!(answer, hex(&bytes), "{at}"),
                        // Kafka looks for fields in anything, and finds none in what has none.
                        Err(error) if error.to_string().contains("expected an object") => {}
                        Err(error) => assert!(answer.starts_with('!'), "{at}\nKafka takes it, as {answer}; klamm: {error}"),
                    }
                });
            }
        }
    }
    assert!(taken > 500 && refused > 500, "{taken} taken, {refused} refused");
    questions.answered();
    let counts = [(taken, "taken by both"), (refused, "refused by klamm"), (0, "unexplained differences")];
    shown::count(&format!("damaged JSON, Kafka {}", schemas::RELEASE), &counts);
}

/// Changes something somewhere.
fn damage(random: &mut Random, json: &mut Json) {
    let inside = random.below(3) > 0;
    match json {
        Json::Object(entries) if !entries.is_empty() => {
            let at = random.below(entries.len() as u64) as usize;
            let name = entries.keys().nth(at).cloned().unwrap();
            match random.below(6) {
                _ if inside && (entries[&name].is_object() || entries[&name].is_array()) => damage(random, &mut entries[&name]),
                0 => drop(entries.remove(&name)),
                1 => drop(entries.insert("noSuchField".into(), 1.into())),
                // Whole numbers where Kafka wants a fraction are taken here.
                _ if entries[&name].is_f64() => {}
                _ => entries[&name] = anything(random),
            }
        }
        Json::Array(items) if !items.is_empty() && inside => {
            let at = random.below(items.len() as u64) as usize;
            damage(random, &mut items[at]);
        }
        Json::Array(items) => items.push(anything(random)),
        other if !other.is_f64() => *other = anything(random),
        _ => {}
    }
}

fn anything(random: &mut Random) -> Json {
    let values = [
        Json::Null,
        json!(true),
        json!(5),
        json!(-40_000),
        json!(3_000_000_000_u64),
        json!(u64::MAX),
        json!(2.5),
        json!("x"),
        json!("7"),
        json!(""),
        json!("AAAAAAAAAAAAAAAAAAAAAQ=="),
        json!([]),
        json!([{}]),
        json!({}),
    ];
    values[random.below(values.len() as u64) as usize].clone()
}

/// JSON of any shape, with names that are likely to be those of fields.
fn any_json() -> impl Strategy<Value = Json> {
    let names = ["topics", "name", "partitions", "groupId", "memberId", "errorCode", "throttleTimeMs", "brokers", "records", "é"];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((prop::sample::select(names.to_vec()), inner), 0..6).prop_map(|entries| entries
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_makes_it_panic(json in any_json(), which in any::<prop::sample::Index>(), version in -1i16..20) {
        let case = which.get(cases());
        match from_json(case, version, &json) {
            Ok(bytes) => {
                let body = Bytes::from(bytes);
                prop_assert!((case.decode)(&body, version).is_ok(), "{} version {version}: {json}", case.name);
                prop_assert!(to_json(case, version, &body, RecordsForm::Size).is_ok());
            }
            Err(error) => prop_assert!(error.to_string().starts_with(case.name), "{}", error),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![4 => 0u8..4, 1 => any::<u8>()], 0..400), which in any::<prop::sample::Index>(), version in -1i16..20) {
        let case = which.get(cases());
        let body = Bytes::from(bytes);
        let json = to_json(case, version, &body, RecordsForm::Base64);
        prop_assert_eq!(json.is_ok(), (case.decode)(&body, version).is_ok());
        match json {
            Ok(json) => {
                let again = Bytes::from(from_json(case, version, &json).unwrap());
                prop_assert_eq!(declarations::recode(case, &body, version).unwrap(), again);
            }
            Err(error) => prop_assert!(error.to_string().starts_with(case.name), "{}", error),
        }
    }
}
