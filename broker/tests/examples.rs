//! The examples run, and what docs/broker.md shows is what there is.

use std::collections::BTreeSet;

use klamm_broker::faults::{FaultFile, FileFormat, Kind};

#[path = "../examples/failing_leader.rs"]
mod failing_leader;
#[path = "../examples/scripted_outage.rs"]
mod scripted_outage;

#[test]
fn a_failing_leader_is_got_through() {
    failing_leader::main().expect("it works");
}

#[test]
fn a_scripted_outage_is_got_through() {
    scripted_outage::main().expect("it works");
}

#[test]
fn the_documentation_shows_every_kind_and_all_of_it_can_be_read() {
    let document = include_str!("../../docs/broker.md");
    let mut kinds = BTreeSet::new();
    let mut parts = document.split("```");
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        let (language, text) = block.split_once('\n').expect("a language");
        let format = match language {
            "toml" => FileFormat::Toml,
            "json" => FileFormat::Json,
            _ => continue,
        };
        let plan = FaultFile::new("docs/broker.md", text, format).nodes(3).plan();
        let plan = plan.unwrap_or_else(|error| panic!("{error}\n{text}"));
        kinds.extend(plan.entries.iter().map(|entry| entry.fault.kind()));
    }
    assert_eq!(kinds, Kind::ALL.iter().copied().collect());
}
