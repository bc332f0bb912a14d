//! What a test has counted, for the last lines of `cargo xtask test`: the same file of notes that the tests in `real/` write to.

use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::json;

/// Notes how much of `what` was compared, as "52 messages, 410 versions, …". Called after what it says was asserted. Without xtask
/// it is printed and no more.
pub(crate) fn count(what: &str, counts: &[(u64, &str)]) {
    let words = counts.iter().map(|(count, unit)| format!("{} {unit}", grouped(*count)));
    let cell = words.collect::<Vec<_>>().join(", ");
    println!("{what}: {cell}");
    let Some(path) = std::env::var_os("KLAMM_SHOWN") else { return };
    let line = json!({"table": "protocol", "row": what, "column": "compared", "cell": cell});
    let file = OpenOptions::new().create(true).append(true).open(path);
    // One write a line: tests run side by side.
    file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())).expect("what was counted is noted");
}

/// A number with a comma before every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let from_the_end = digits.char_indices().map(|(at, digit)| (digits.len() - at, digit));
    from_the_end.fold(String::new(), |mut text, (left, digit)| {
        if !text.is_empty() && left % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
        text
    })
}
