//! What tests have shown, for the tables in COMPATIBILITY.md: xtask makes them of the file that these lines go to.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::json;

use crate::environment::variable;

/// Notes that something holds: a cell of `table` in `row` and `column`. Called after what it says was asserted.
pub fn shown(table: &str, row: impl Display, column: impl Display, cell: impl Display) {
    let line = json!({"table": table, "row": row.to_string(), "column": column.to_string(), "cell": cell.to_string()});
    let file = OpenOptions::new().create(true).append(true).open(variable("KLAMM_SHOWN"));
    // One write a line: tests run side by side.
    file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())).expect("what was shown is noted");
}
