//! Files with faults: read, or refused with a place in the text; written and read again the same; and no broker minds what they say.

use std::time::Instant;

use klamm_broker::faults::{FaultFile, FileFormat, Plan};
use klamm_broker::unstable::Core;

/// Format and number of nodes, then the text.
pub(crate) fn files(input: &[u8]) {
    let (how, text) = input.split_first().map_or((0, input), |(how, text)| (*how, text));
    let text = String::from_utf8_lossy(text);
    let format = if how & 1 == 0 { FileFormat::Toml } else { FileFormat::Json };
    let mut file = FaultFile::new("plan", text.as_ref(), format);
    if how & 2 == 0 {
        file = file.nodes(3);
    }
    match file.plan() {
        Ok(plan) => {
            let again = FaultFile::new("again", plan.to_toml(), FileFormat::Toml).plan();
            assert_eq!(again.as_ref(), Ok(&plan), "{}", plan.to_toml());
            run(plan);
        }
        Err(error) => {
            let line = error.line.checked_sub(1).and_then(|line| text.split('\n').nth(line));
            let line = line.unwrap_or_else(|| panic!("there is no line {} in the text: {error}", error.line));
            assert!(
                (1..=line.chars().count() + 1).contains(&error.column),
                "there is no column {} in its line: {error}",
                error.column
            );
            let shown = error.to_string();
            assert!(shown.len() < 4096 + 16 * text.len(), "{} bytes of error for {} of text", shown.len(), text.len());
        }
    }
}

/// A cluster has it happen, whatever it is: time goes on, and all that is due is done.
fn run(plan: Plan) {
    let mut now = Instant::now();
    let mut broker = Core::cluster(now, 3, &[("t", 3), ("u", 1)], plan.seed);
    broker.run_plan(now, plan);
    for _ in 0..200 {
        while broker.poll().is_some() {}
        let Some(due) = broker.next_timeout() else { return };
        now = now.max(due);
        broker.pass(now);
        assert!(broker.next_timeout().is_none_or(|due| due > now), "a time-out that is over stays due");
    }
}
