//! What a run of the tests has shown: which versions of Kafka, which clients, what of each; and how much of the protocol was compared.
//!
//! Tests note what they have asserted, a line of JSON a cell (`real/src/shown.rs`, `tests/shown/`). The run prints the tables;
//! `cargo xtask compatibility --shown` writes those of the last run into COMPATIBILITY.md, if nothing is missing in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::compatibility;
use crate::kafka::{OTHER_VERSIONS, VERSION};
use crate::process;

const CLIENTS: [&str; 4] = ["klamm", "Java", "librdkafka", "franz-go"];
const NOT_SHOWN: &str = "–";

/// Where the lines go.
pub(crate) fn path() -> PathBuf {
    process::target().join("kafka").join("shown.jsonl")
}

/// Forgets what the last run has shown.
pub(crate) fn begin() -> Result<(), String> {
    let today = process::output(Command::new("date").arg("+%Y-%m-%d"))?;
    let line = json!({"table": "run", "row": "run", "column": "date", "cell": today.trim()});
    let path = path();
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(&path, format!("{line}\n"))).map_err(|error| format!("{}: {error}", path.display()))
}

/// The cells of a run, by table, row and column.
#[derive(Debug, Default)]
struct Shown(BTreeMap<[String; 3], String>);

impl Shown {
    fn load() -> Result<Self, String> {
        let text =
            fs::read_to_string(path()).map_err(|error| format!("{}: {error}; run `cargo xtask test` first", path().display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut cells = BTreeMap::new();
        for line in text.lines() {
            let json: Value =
                serde_json::from_str(line).map_err(|error| format!("what was shown is not JSON: {error}: {line}"))?;
            let word = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
            cells.insert(["table", "row", "column"].map(word), word("cell"));
        }
        Ok(Self(cells))
    }

    fn cell(&self, table: &str, row: &str, column: &str) -> Option<&str> {
        self.0.get(&[table, row, column].map(str::to_owned)).map(String::as_str)
    }

    fn has(&self, table: &str) -> bool {
        self.0.keys().any(|[name, ..]| name == table)
    }

    /// As Markdown, with a dash for what was not shown.
    fn table(&self, table: &str, heading: &str, rows: &[String], columns: &[&str]) -> String {
        let mut text = format!("| {heading} | {} |\n|---{}|\n", columns.join(" | "), "|---".repeat(columns.len()));
        for row in rows {
            let cells = columns.iter().map(|column| self.cell(table, row, column).unwrap_or(NOT_SHOWN));
            text.push_str(&format!("| {row} | {} |\n", cells.collect::<Vec<_>>().join(" | ")));
        }
        text
    }

    fn versions(&self) -> String {
        let rows = OTHER_VERSIONS.map(|version| version.to_string());
        let columns = [
            "quickstart",
            "none",
            "gzip",
            "snappy",
            "lz4",
            "zstd",
            "cooperative-sticky",
            "range",
            "offsets",
            "topics",
            "transactions",
            "command line",
            "Produce, Fetch, JoinGroup",
        ];
        self.table("versions", "Kafka", &rows, &columns)
    }

    fn pairs(&self) -> String {
        let rows = CLIENTS.map(|writer| CLIENTS.map(|reader| format!("{writer} → {reader}"))).concat();
        let columns = ["none", "gzip", "snappy", "lz4", "zstd", "headers", "null and empty", "timestamps"];
        self.table("pairs", "writer → reader", &rows, &columns)
    }

    fn groups(&self) -> String {
        let [klamm, others @ ..] = CLIENTS;
        let pair = |client: &str| [klamm, client].map(|leader| format!("klamm, {client}; led by {leader}"));
        let mut rows = others.map(pair).concat();
        rows.push("klamm, Java, franz-go, librdkafka".to_owned());
        self.table("groups", "members", &rows, &["range", "roundrobin", "cooperative-sticky"])
    }

    /// What was compared with Kafka's own code, and how much of it.
    fn protocol(&self) -> String {
        let rows = self.0.keys().filter(|[table, ..]| table == "protocol").map(|[_, row, _]| row.clone());
        self.table("protocol", "protocol", &rows.collect::<Vec<_>>(), &["compared"])
    }

    /// Which clients, of which version.
    fn clients(&self) -> String {
        let others = CLIENTS.iter().filter(|client| **client != "klamm");
        let named = others.map(|client| format!("{client} {}", self.cell("clients", client, "version").unwrap_or(NOT_SHOWN)));
        named.collect::<Vec<_>>().join(", ")
    }

    fn date(&self) -> &str {
        self.cell("run", "run", "date").unwrap_or(NOT_SHOWN)
    }
}

/// The tables of this run; those of which it showed nothing are left out, and so are such rows.
pub(crate) fn tables() -> Result<String, String> {
    let shown = Shown::load()?;
    let mut text = String::new();
    if shown.has("protocol") {
        text.push_str(&format!("The protocol beside Kafka's own code:\n\n{}\n", shown.protocol()));
    }
    if shown.has("versions") {
        text.push_str(&format!("Other versions of Apache Kafka:\n\n{}\n", shown.versions()));
    }
    if shown.has("pairs") {
        text.push_str(&format!("Written and read by klamm, {}:\n\n{}\n", shown.clients(), shown.pairs()));
    }
    if shown.has("groups") {
        text.push_str(&format!("Groups of several clients:\n\n{}\n", shown.groups()));
    }
    Ok(text.lines().filter(|line| !is_empty_row(line)).map(|line| format!("{line}\n")).collect())
}

/// Is it a row of which nothing was shown?
fn is_empty_row(line: &str) -> bool {
    let cells = line.trim_matches('|').split('|').skip(1).map(str::trim);
    line.contains(NOT_SHOWN) && cells.into_iter().all(|cell| cell == NOT_SHOWN)
}

/// Writes the tables of the last run into COMPATIBILITY.md.
pub(crate) fn write() -> Result<(), String> {
    let shown = Shown::load()?;
    let date = shown.date();
    let versions = format!("Shown on {date} by `cargo xtask test`.\n\n{}", shown.versions());
    let clients = format!(
        "Shown on {date} by `cargo xtask test`, on Apache Kafka {VERSION}, with {}.\n\n{}\n{}",
        shown.clients(),
        shown.pairs(),
        shown.groups(),
    );
    for text in [&versions, &clients] {
        if let Some(line) = text.lines().find(|line| line.contains(NOT_SHOWN)) {
            return Err(format!(
                "the last `cargo xtask test` has not shown everything, so COMPATIBILITY.md stays as it is: {line}"
            ));
        }
    }
    compatibility::replace("versions", &versions)?;
    compatibility::replace("clients", &clients)
}

#[cfg(test)]
mod tests {
    use super::{Shown, is_empty_row};

    #[test]
    fn tables_are_made_of_lines() {
        let line = r#"{"table":"pairs","row":"klamm → Java","column":"zstd","cell":"102"}"#;
        let shown = Shown::parse(line).expect("a line");
        assert!(shown.has("pairs") && !shown.has("groups"));
        let rows = ["klamm → Java".to_owned(), "Java → klamm".to_owned()];
        let table = shown.table("pairs", "pair", &rows, &["none", "zstd"]);
        assert_eq!(table, "| pair | none | zstd |\n|---|---|---|\n| klamm → Java | – | 102 |\n| Java → klamm | – | – |\n");
        assert_eq!(table.lines().map(is_empty_row).collect::<Vec<_>>(), [false, false, false, true]);
        assert!(Shown::parse("{").is_err());
        let line = r#"{"table":"protocol","row":"values, Kafka 4.4.0","column":"compared","cell":"52 messages, 0 differences"}"#;
        let protocol = Shown::parse(line).expect("a line").protocol();
        assert_eq!(protocol, "| protocol | compared |\n|---|---|\n| values, Kafka 4.4.0 | 52 messages, 0 differences |\n");
    }
}
