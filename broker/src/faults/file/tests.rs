//! Files: what is read and written, and what every mistake is told like.

use std::time::Duration;

use klamm::protocol::{ApiKey, ErrorCode};

use super::*;
use crate::faults::plan::Chance;
use crate::faults::{BrokerFault, Direction, Entry, Kind, NetworkEffect, NetworkFault, Shape, When};

fn toml(text: &str) -> Result<Plan, String> {
    FaultFile::new("f.toml", text, FileFormat::Toml).nodes(3).plan().map_err(|error| error.to_string())
}

fn json(text: &str) -> Result<Plan, String> {
    FaultFile::new("f.json", text, FileFormat::Json).nodes(3).plan().map_err(|error| error.to_string())
}

#[test]
fn both_formats_say_the_same() {
    let from_toml = toml(
        r#"
        seed = 7

        [[fault]]
        after = "1.5s"
        kind = "delay"
        node = 2
        direction = "to-broker"
        delay = "150ms"
        jitter = "1us"
        lasts = "2m"

        [[fault]]
        before = "Fetch"
        nth = 3
        kind = "error"
        api = "Produce"
        code = "NOT_LEADER_OR_FOLLOWER"
        partitions = ["orders:1"]

        [[fault]]
        kind = "clock-jump"
        by = "-1h"
        "#,
    );
    let from_json = json(
        r#"{"seed": 7, "fault": [
            {"after": "1.5s", "kind": "delay", "node": 2, "direction": "to-broker", "delay": "150ms", "jitter": "1us", "lasts": "2m"},
            {"before": "Fetch", "nth": 3, "kind": "error", "api": "Produce", "code": "NOT_LEADER_OR_FOLLOWER", "partitions": ["orders:1"]},
            {"kind": "clock-jump", "by": "-1h"}
        ]}"#,
    );
    let effect = NetworkEffect::Delay { delay: Duration::from_millis(150), jitter: Duration::from_micros(1) };
    let delay = NetworkFault::from(effect).at(2).towards(Direction::ToBroker).lasting(Duration::from_secs(120));
    let error = BrokerFault::Error {
        api: ApiKey::PRODUCE,
        code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
        times: 1,
        node: None,
        partitions: vec![("orders".to_owned(), 1)],
    };
    let expected = Plan {
        seed: 7,
        entries: vec![
            Entry { when: When::After(Duration::from_millis(1500)), fault: delay.into() },
            Entry { when: When::Before { api: ApiKey::FETCH, nth: 3 }, fault: error.into() },
            Entry { when: When::After(Duration::ZERO), fault: BrokerFault::ClockJump { by_millis: -3_600_000 }.into() },
        ],
    };
    assert_eq!(from_toml.as_ref(), Ok(&expected));
    assert_eq!(from_json.as_ref(), Ok(&expected));
    assert_eq!(toml(""), Ok(Plan::default()));
    assert_eq!(json("{}"), Ok(Plan::default()));
}

#[test]
fn what_is_written_is_read_again() {
    let shape = Shape {
        topics: vec![("orders".to_owned(), 4), ("a \"b\" \\ c\n\u{7f}".to_owned(), 1)],
        groups: vec!["billing".to_owned()],
        transactional_ids: vec!["copy".to_owned()],
        ..Shape::default()
    };
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..1000 {
        let plan = Plan::random(seed, &shape);
        kinds.extend(plan.entries.iter().map(|entry| entry.fault.kind()));
        let text = plan.to_toml();
        assert_eq!(toml(&text).as_ref().map(read_back), Ok(read_back(&plan)), "{text}");
    }
    assert_eq!(kinds.len(), Kind::ALL.len());
}

/// A refused connection has no direction; the file leaves it out.
fn read_back(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for entry in &mut plan.entries {
        match &mut entry.fault {
            crate::faults::Fault::Network(fault) if fault.effect == NetworkEffect::RefuseConnect => fault.direction = None,
            _ => {}
        }
    }
    plan
}

#[test]
fn every_mistake_says_where_and_what_is_allowed() {
    let one = |fields: &str| format!("[[fault]]\n{fields}\n");
    let cases = [
        ("no TOML at all".to_owned(), "f.toml:1:4: this is no TOML: "),
        ("seed = -1".to_owned(), "f.toml:1:8: seed: is -1; it must be a number from 0 to 18446744073709551615"),
        ("sed = 1".to_owned(), "f.toml:1:1: sed: a plan has no such field; did you mean \"seed\"?; allowed: \"seed\", \"fault\""),
        ("fault = 3".to_owned(), "f.toml:1:9: fault: is a number; it must be a list of faults: [[fault]] in TOML"),
        ("fault = [3]".to_owned(), "f.toml:1:10: fault[0]: is a number; it must be a table"),
        (one("after = \"1s\""), "f.toml:1:1: fault[0].kind: is missing; it must be one of \"delay\", \"black-hole\""),
        (one("kind = 3"), "f.toml:2:8: fault[0].kind: is a number; it must be a text in quotes"),
        (
            one("kind = \"dealy\""),
            "f.toml:2:8: fault[0].kind: no kind of fault \"dealy\"; did you mean \"delay\"?; allowed: \"delay\",",
        ),
        (
            one("kind = \"black-hole\"\nlast = \"1s\""),
            "f.toml:3:1: fault[0].last: a fault of kind \"black-hole\" has no such field; did you mean \"lasts\"?; allowed: \"after\", \"before\", \"kind\", \"direction\", \"node\", \"lasts\"",
        ),
        (
            one("kind = \"black-hole\"\nlasts = \"2\""),
            "f.toml:3:9: fault[0].lasts: is \"2\"; it must be a time with its unit, for example \"150ms\"",
        ),
        (one("kind = \"black-hole\"\nlasts = 2"), "f.toml:3:9: fault[0].lasts: is a number; it must be a time with its unit"),
        (one("kind = \"black-hole\"\nlasts = 2.5"), "f.toml:3:9: fault[0].lasts: is a number with a fraction; it must"),
        (
            one("kind = \"black-hole\"\nafter = \"-1s\""),
            "f.toml:3:9: fault[0].after: is \"-1s\"; it must be a time with its unit",
        ),
        (one("kind = \"black-hole\"\nnode = 4"), "f.toml:3:8: fault[0].node: no node 4; there are nodes 1 to 3"),
        (one("kind = \"black-hole\"\nnode = 0"), "f.toml:3:8: fault[0].node: is 0; it must be a number from 1 to"),
        (
            one("kind = \"black-hole\"\ndirection = \"up\""),
            "f.toml:3:13: fault[0].direction: no direction \"up\"; allowed: \"to-broker\", \"from-broker\", or left out",
        ),
        (
            one("kind = \"black-hole\"\nbefore = \"produce\""),
            "f.toml:3:10: fault[0].before: no API \"produce\"; did you mean \"Produce\"?",
        ),
        (one("kind = \"black-hole\"\nbefore = \"Write\""), "f.toml:3:10: fault[0].before: no API \"Write\"; "),
        (
            one("kind = \"black-hole\"\nbefore = \"Fetch\"\nnth = 0"),
            "f.toml:4:7: fault[0].nth: is 0; it must be a number from 1 to 4294967295",
        ),
        (one("kind = \"black-hole\"\nnth = 1"), "f.toml:3:1: fault[0].nth: a fault of kind \"black-hole\" has no such field"),
        (
            one("kind = \"black-hole\"\nbefore = \"Fetch\"\nafter = \"1s\""),
            "f.toml:3:10: fault[0].before: a fault comes after a time or before a request, not both",
        ),
        (
            one("kind = \"delay\""),
            "f.toml:1:1: fault[0].delay: is missing; it must be a time with its unit, for example \"150ms\"",
        ),
        (
            one("kind = \"slow\"\nbytes_per_second = 0"),
            "f.toml:3:20: fault[0].bytes_per_second: is 0; it must be a number from 1",
        ),
        (
            one("kind = \"corrupt\"\nat_byte = 1\nmask = 256"),
            "f.toml:4:8: fault[0].mask: is 256; it must be a number from 1 to 255",
        ),
        (one("kind = \"cut\""), "f.toml:1:1: fault[0].after_bytes: is missing; it must be a number"),
        (
            one("kind = \"refuse-connect\"\ndirection = \"to-broker\""),
            "f.toml:3:1: fault[0].direction: a fault of kind \"refuse-connect\" has no such field",
        ),
        (one("kind = \"error\""), "f.toml:1:1: fault[0].api: is missing; it must be the name of an API, for example \"Produce\""),
        (
            one("kind = \"error\"\napi = \"Produce\"\ncode = \"NOT_LEDER\""),
            "f.toml:4:8: fault[0].code: no error code \"NOT_LEDER\"; names are Kafka's, for example \"NOT_LEADER_OR_FOLLOWER\"",
        ),
        (
            one("kind = \"error\"\napi = \"Produce\"\ncode = \"not_leader_or_follower\""),
            "f.toml:4:8: fault[0].code: no error code \"not_leader_or_follower\"; did you mean \"NOT_LEADER_OR_FOLLOWER\"?",
        ),
        (
            one("kind = \"error\"\napi = \"Produce\"\ncode = 6"),
            "f.toml:4:8: fault[0].code: is a number; it must be a text in quotes",
        ),
        (
            one("kind = \"error\"\napi = \"Metadata\"\ncode = \"NONE\"\npartitions = [\"orders:0\"]"),
            "f.toml:5:14: fault[0].partitions: Metadata can't fail for some partitions alone; \"Produce\",",
        ),
        (
            one("kind = \"error\"\napi = \"Fetch\"\ncode = \"NONE\"\npartitions = \"orders:0\""),
            "f.toml:5:14: fault[0].partitions: is a text; it must be a list of partitions, for example",
        ),
        (
            one("kind = \"error\"\napi = \"Fetch\"\ncode = \"NONE\"\npartitions = [\"orders\"]"),
            "f.toml:5:15: fault[0].partitions: must be a list of partitions, for example",
        ),
        (one("kind = \"move-leader\""), "f.toml:1:1: fault[0].topic: is missing; it must be a text in quotes"),
        (one("kind = \"move-leader\"\ntopic = \"\""), "f.toml:3:9: fault[0].topic: must not be empty"),
        (
            one("kind = \"move-leader\"\ntopic = \"t\"\npartition = \"0\""),
            "f.toml:4:13: fault[0].partition: is a text; it must be a number from 0",
        ),
        (one("kind = \"move-leader\"\ntopic = \"t\"\nto = 9"), "f.toml:4:6: fault[0].to: no node 9; there are nodes 1 to 3"),
        (one("kind = \"kill-node\""), "f.toml:1:1: fault[0].node: is missing; it must be the number of a node, counted from 1"),
        (
            one("kind = \"kill-node\"\nnode = 1\nloses_unreplicated = \"no\""),
            "f.toml:4:22: fault[0].loses_unreplicated: is a text; it must be true or false",
        ),
        (one("kind = \"move-coordinator\""), "f.toml:1:1: fault[0].group: is missing; it must be given, or \"transactional_id\""),
        (
            one("kind = \"move-coordinator\"\ngroup = \"g\"\ntransactional_id = \"t\""),
            "f.toml:4:1: fault[0].transactional_id: \"group\" and \"transactional_id\" are not for the same fault",
        ),
        (
            one("kind = \"fence-producer\"\nproducer_id = -1"),
            "f.toml:3:15: fault[0].producer_id: is -1; it must be a number from 0",
        ),
        (
            one("kind = \"clock-jump\"\nby = \"an hour\""),
            "f.toml:3:6: fault[0].by: is \"an hour\"; it must be a time with its unit",
        ),
        (
            one("kind = \"clock-jump\""),
            "f.toml:1:1: fault[0].by: is missing; it must be a time with its unit, for example \"1h\" or \"-30s\"",
        ),
        (one("kind = \"black-hole\"\nkind = \"cut\""), "f.toml:3:1: this is no TOML: duplicate key"),
        (format!("# änderungen\n{}", one("kind = \"ü\"")), "f.toml:3:8: fault[0].kind: no kind of fault \"ü\"; allowed:"),
        (format!("x = {}", "[".repeat(5000)), "f.toml:1:"),
    ];
    for (text, expected) in cases {
        let message = toml(&text).expect_err(&text);
        assert!(message.starts_with(expected), "{text}\n   is: {message}\nmust: {expected}");
    }
}

#[test]
fn mistakes_in_json_are_told_alike() {
    let cases = [
        ("", "f.json:1:1: this is no JSON: EOF while parsing a value"),
        ("[]", "f.json:1:1: is a list; it must be a table"),
        ("{\n  \"seed\": 1,,\n}", "f.json:2:13: this is no JSON: "),
        (
            "{\"fault\": [\n  {\"kind\": \"cut\", \"after_byte\": 1}]}",
            "f.json:2:3: fault[0].after_bytes: is missing; it must be a number",
        ),
        (
            "{\"fault\": [\n  {\"kind\": \"black-hole\",\n   \"las\": \"1s\"}]}",
            "f.json:3:4: fault[0].las: a fault of kind \"black-hole\" has no such field; did you mean \"lasts\"?",
        ),
        ("{\"fault\": [{\"kind\": \"black-hole\", \"lasts\": null}]}", "f.json:1:44: fault[0].lasts: is null; it must be a time"),
        (
            "{\"fault\": [{\"kind\": \"black-hole\", \"node\": 1e3}]}",
            "f.json:1:43: fault[0].node: is a number with a fraction; it must be a number",
        ),
        ("{\"seed\": 1, \"seed\": 2}", "f.json:1:13: the name \"seed\" is there twice"),
        ("{\"seed\": 340282366920938463463374607431768211456}", "f.json:1:10: the number is too large"),
        ("{\"seed\": 1} x", "f.json:1:13: this is no JSON: trailing characters"),
    ];
    for (text, expected) in cases {
        let message = json(text).expect_err(text);
        assert!(message.starts_with(expected), "{text}\n   is: {message}\nmust: {expected}");
    }
    let deep = format!("{{\"fault\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(json(&deep).expect_err("too deep").contains("nested too deep"));
}

/// Whatever is in a file, it is read or told, with a place that is there.
#[test]
fn damaged_files_are_told_and_nothing_panics() {
    let topics = vec![("ordërs".to_owned(), 4)];
    let shape = Shape { topics, groups: vec!["billing".to_owned()], ..Shape::default() };
    let mut chance = Chance { seed: 1, drawn: 0 };
    let json =
        r#"{"seed": 7, "fault": [{"before": "Fetch", "nth": 3, "kind": "error", "api": "Produce", "code": "NONE", "node": 1}]}"#;
    let mut wrong = 0;
    for seed in 0..4000 {
        let (text, format) = match seed % 4 {
            0 => (json.to_owned(), FileFormat::Json),
            _ => (Plan::random(seed, &shape).to_toml(), FileFormat::Toml),
        };
        let mut bytes = text.into_bytes();
        for _ in 0..=chance.below(3) {
            let at = usize::try_from(chance.below(bytes.len() as u64)).expect("small");
            let with = b"\"'[]{}=,:.-\n #0z\\\xc3"[usize::try_from(chance.below(18)).expect("small")];
            match chance.below(3) {
                0 => bytes[at] = with,
                1 => bytes.insert(at, with),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Err(error) = FaultFile::new("f", text.clone(), format).plan() else { continue };
        wrong += 1;
        let line = text.split('\n').nth(error.line - 1).unwrap_or_else(|| panic!("{error}\n{text}"));
        assert!((1..=line.chars().count() + 1).contains(&error.column), "{error}\n{text}");
        assert!(!error.message.is_empty());
    }
    assert!(wrong > 1000, "only {wrong} mistakes");
}

#[test]
fn times_have_units() {
    let time = |text: &str| toml(&format!("[[fault]]\nkind = \"black-hole\"\nlasts = \"{text}\"")).ok();
    let lasts = |text: &str| match &time(text)?.entries[0].fault {
        crate::faults::Fault::Network(fault) => fault.lasts,
        crate::faults::Fault::Broker(_) => None,
    };
    for (text, nanos) in [
        ("7ns", 7),
        ("7us", 7_000),
        ("7ms", 7_000_000),
        ("0s", 0),
        ("7s", 7_000_000_000),
        ("0.5s", 500_000_000),
        ("1.25m", 75_000_000_000),
        ("2h", 7_200_000_000_000),
    ] {
        assert_eq!(lasts(text), Some(Duration::from_nanos(nanos)), "{text}");
    }
    for text in ["", "s", "1", "1 s", "1S", "1.s", ".5s", "1.2.3s", "-1s", "1e3s", "99999999999999999999s", "99999999999h", "1d"]
    {
        assert_eq!(lasts(text), None, "{text}");
    }
}

#[test]
fn a_file_is_told_by_its_name() {
    let folder = std::env::temp_dir().join(format!("klamm-fault-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let plan = |path: &Path| FaultFile::read(path).and_then(|file| file.plan());
    assert_eq!(plan(&write("a.toml", b"seed = 3")).expect("a plan").seed, 3);
    assert_eq!(plan(&write("a.json", b"{\"seed\": 4}")).expect("a plan").seed, 4);
    let wrong = |path: &Path| plan(path).expect_err("a mistake");
    let error = wrong(&write("a.yaml", b"seed: 3"));
    assert_eq!((error.line, error.message.as_str()), (0, "the name of a file with faults ends with .toml or .json"));
    assert!(error.to_string().ends_with("a.yaml: the name of a file with faults ends with .toml or .json"));
    assert!(wrong(&folder.join("none.toml")).message.starts_with("it can't be read: "));
    assert!(wrong(&write("bytes.toml", &[0xff, 0xfe])).message.starts_with("it can't be read: "));
    std::fs::remove_dir_all(&folder).expect("removed");
}
