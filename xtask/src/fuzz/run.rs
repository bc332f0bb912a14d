//! Running targets, two at a time, and the table of what came of it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{root, unpack};

/// Longest input, in bytes: beyond what fits a small frame nothing new is decided.
const LONGEST: usize = 16 << 10;

/// What came of one target.
struct Outcome {
    target: String,
    executions: u64,
    per_second: u64,
    edges: u64,
    corpus: u64,
    peak_mb: u64,
    /// Where the log is, if it failed.
    failed: Option<String>,
}

/// Runs all for so many seconds each.
pub(super) fn all(programs: &Path, targets: &[String], seconds: u32) -> Result<(), String> {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let one_after_the_other = || {
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = one(programs, target, seconds);
            outcomes.lock().map_or_else(|_| (), |mut outcomes| outcomes.push(outcome));
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| _ = scope.spawn(one_after_the_other)));
    let outcomes = outcomes.into_inner().map_err(|_| "a thread panicked")?;
    let mut outcomes = outcomes.into_iter().collect::<Result<Vec<_>, String>>()?;
    outcomes.sort_by(|a, b| a.target.cmp(&b.target));
    println!("| target | executions | a second | edges | corpus | peak memory | failures |\n|---|---:|---:|---:|---:|---:|---:|");
    for Outcome { target, executions, per_second, edges, corpus, peak_mb, failed } in &outcomes {
        println!(
            "| {target} | {executions} | {per_second} | {edges} | {corpus} | {peak_mb} MB | {} |",
            u8::from(failed.is_some())
        );
    }
    println!("{seconds} s a target, {} executions", outcomes.iter().map(|outcome| outcome.executions).sum::<u64>());
    let failed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.failed.as_deref()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("{}\nkeep what was found with `cargo xtask fuzz keep TARGET FILE`, then mend it", failed.join("\n")))
}

fn one(programs: &Path, target: &str, seconds: u32) -> Result<Outcome, String> {
    let corpus = unpack(target)?;
    let (artifacts, logs) = (root().join("artifacts").join(target), root().join("target").join("logs"));
    let log = logs.join(target).with_extension("log");
    let fail = |error: std::io::Error| format!("{target}: {error}");
    fs::create_dir_all(&artifacts).and_then(|()| fs::create_dir_all(&logs)).map_err(fail)?;
    let output = File::create(&log).map_err(fail)?;
    let mut program = Command::new(programs.join(target));
    // A hang is found by the target's own measure of time; this is for what never ends.
    program.args([format!("-max_total_time={seconds}"), format!("-max_len={LONGEST}"), "-timeout=60".to_owned()]);
    program.args(["-rss_limit_mb=1024", "-print_final_stats=1", "-use_value_profile=0"]);
    program.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(&corpus).stdin(Stdio::null());
    // Leaks of what lives as long as the program are none.
    program.env("ASAN_OPTIONS", "detect_odr_violation=0").stdout(output.try_clone().map_err(fail)?).stderr(output);
    let status = program.status().map_err(|error| format!("{target} could not be started: {error}"))?;
    let text = String::from_utf8_lossy(&fs::read(&log).map_err(fail)?).into_owned();
    let failed = (!status.success()).then(|| {
        let why = text.lines().skip_while(|line| !line.contains("panicked at")).take(2).collect::<Vec<_>>().join(" ");
        format!("{target} failed: {why} (log: {}; input: in {})", log.display(), artifacts.display())
    });
    Ok(Outcome {
        target: target.to_owned(),
        executions: last(&text, "stat::number_of_executed_units:"),
        per_second: last(&text, "stat::average_exec_per_sec:"),
        edges: last(&text, " cov: "),
        corpus: last(&text, " corp: "),
        peak_mb: last(&text, "stat::peak_rss_mb:"),
        failed,
    })
}

/// The number behind the last `name`; 0 if it does not stand there.
fn last(text: &str, name: &str) -> u64 {
    let number = text.rsplit_once(name).map(|(_, rest)| rest.trim_start());
    let digits = number.map(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_what_libfuzzer_prints() {
        let text = "#512 NEW    cov: 120 ft: 300 corp: 66/10Kb\n#900 DONE   cov: 130 ft: 501 corp: 67/10056b lim: 2127\nstat::peak_rss_mb:             32\n";
        assert_eq!((last(text, " cov: "), last(text, " corp: "), last(text, "stat::peak_rss_mb:")), (130, 67, 32));
        assert_eq!(last(text, "stat::average_exec_per_sec:"), 0);
    }
}
