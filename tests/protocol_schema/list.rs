//! `docs/protocol.md` is made from the declarations.

use std::fmt::Write as _;
use std::path::PathBuf;

use klamm::protocol::api::APIS;
use klamm::protocol::{DECLARATIONS, Declaration, Kind};

/// Set, it has the test write the file.
const REWRITE: &str = "KLAMM_REWRITE_DOCS";

const HEAD: &str = "\
Every message of Kafka 4.4.0 is declared, in every version that its schemas list: what stands here is made from the declarations, and a test
compares each with the schema of its name. Requests and responses of an API have the same versions. Versions from *flexible* on have compact
lengths and tagged fields. An *unstable* version is spoken only when it is asked for. *Served by* is who listens for it: any broker, or the
controllers only.

";

fn list() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("| API | number | versions | flexible | unstable | served by |\n|---|---:|---|---|---|---|\n");
    for api in APIS {
        let case = DECLARATIONS.iter().find(|case| case.kind == Kind::Request && case.api_key == api.key.0);
        let case = case.unwrap_or_else(|| panic!("{} is not declared", api.name));
        let unstable = api.unstable.map_or_else(String::new, |version| version.to_string());
        let (first, last) = api.versions;
        let served_by = api.listeners.join(", ");
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {unstable} | {served_by} |",
            api.name,
            api.key.0,
            range(first, last),
            flexible(case)
        );
    }
    for (kind, title) in [
        (Kind::Header, "Headers:"),
        (Kind::Data, "What stands inside other messages, in control records and in files of the broker:"),
        (
            Kind::CoordinatorKey,
            "Keys of records in `__consumer_offsets` and `__transaction_state`, by the number that a key begins with:",
        ),
        (Kind::CoordinatorValue, "Values of these records:"),
    ] {
        let numbered = matches!(kind, Kind::CoordinatorKey | Kind::CoordinatorValue);
        let number = if numbered { " number |" } else { "" };
        let rule = if numbered { "---:|" } else { "" };
        let _ = write!(text, "\n{title}\n\n| message |{number} versions | flexible |\n|---|{rule}---|---|\n");
        for case in DECLARATIONS.iter().filter(|case| case.kind == kind) {
            let number = if numbered { format!(" {} |", case.api_key) } else { String::new() };
            let (first, last) = case.versions;
            let _ = writeln!(text, "| {} |{number} {} | {} |", case.name, range(first, last), flexible(case));
        }
    }
    let versions: usize = DECLARATIONS.iter().map(|case| case.each_version().count()).sum();
    let _ = write!(text, "\n{} messages in {versions} versions.\n", DECLARATIONS.len());
    text
}

/// The first flexible version.
fn flexible(case: &Declaration) -> String {
    let first = case.each_version().find(|version| (case.is_flexible)(*version));
    first.map_or_else(|| "none".to_owned(), |version| version.to_string())
}

fn range(first: i16, last: i16) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[test]
fn docs_protocol_md_is_what_the_code_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    let made = list();
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let how = format!("{REWRITE}=1 cargo test --test protocol_schema docs_protocol_md  writes it anew");
    let differs = made.lines().zip(there.lines()).find(|(made, there)| made != there);
    assert!(made == there, "docs/protocol.md is not what the code says, first at {differs:#?}; {how}");
}
