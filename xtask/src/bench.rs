//! `cargo xtask bench`: instructions of the message codec, klamm's beside those of `kafka-protocol`.
//!
//! Counted by valgrind, so the figures are the same on a machine that others use as well. A case runs twice, with few and with more
//! rounds: the difference is what the rounds cost, without what goes before them.

use std::process::Command;

use serde_json::Value;

use crate::process;

/// Rounds of the two runs.
const ROUNDS: [u32; 2] = [2, 6];

/// The C library fills and copies long runs with one instruction, which valgrind counts once for each byte: these make it use the
/// loop that it has for shorter ones.
const TUNABLES: &str = "glibc.cpu.x86_rep_stosb_threshold=1000000000:glibc.cpu.x86_rep_movsb_threshold=1000000000";

/// Counts every case of `benches/messages.rs` and prints a table.
pub(crate) fn messages() -> Result<(), String> {
    let bench = build()?;
    let list = process::output(Command::new(&bench).arg("--list"))?;
    let cases: Vec<(&str, f64)> = list
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect();
    println!("| instructions an element | klamm | kafka-protocol | ratio |\n|---|--:|--:|--:|");
    for pair in cases.chunks(2) {
        let [(ours, elements), (theirs, _)] = pair else {
            return Err("the benchmark does not list its cases in pairs".to_owned());
        };
        let (klamm, other) = (round(&bench, ours)? / elements, round(&bench, theirs)? / elements);
        println!("| {} | {klamm:.0} | {other:.0} | {:.1} |", ours.trim_end_matches(" klamm"), other / klamm);
    }
    Ok(())
}

/// Builds the benchmark and says where it is.
fn build() -> Result<String, String> {
    let arguments = ["bench", "--package", "klamm", "--bench", "messages", "--no-run", "--message-format", "json"];
    let built = process::output(&mut process::cargo(&arguments))?;
    let path = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "messages").then(|| message["executable"].as_str().map(str::to_owned))?
    };
    built.lines().find_map(path).ok_or_else(|| "cargo does not say where the benchmark is".to_owned())
}

/// Instructions of one round of a case.
fn round(bench: &str, case: &str) -> Result<f64, String> {
    let [few, many] = ROUNDS;
    let count = |rounds: u32| {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", bench, "--instructions", case, &rounds.to_string()]);
        let output = command.env("GLIBC_TUNABLES", TUNABLES).output();
        let output =
            output.map_err(|error| format!("valgrind could not be started: {error}; install Debian's package valgrind"))?;
        let text = String::from_utf8_lossy(&output.stderr);
        let collected = text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<f64>().ok());
        collected.ok_or_else(|| format!("valgrind did not count `{case}`:\n{text}"))
    };
    Ok((count(many)? - count(few)?) / f64::from(many - few))
}
