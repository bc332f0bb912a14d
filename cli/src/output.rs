//! What goes to standard output: JSON lines for programs, aligned tables for people.

use std::io::{self, BufWriter, Stdout, Write as _};

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::exit::Done;

/// A command's standard output.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    out: BufWriter<Stdout>,
}

impl Output {
    /// JSON or tables.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, out: BufWriter::with_capacity(64 << 10, io::stdout()) }
    }

    /// Is JSON wanted?
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One JSON object, or any text, on a line of its own.
    pub(crate) fn line(&mut self, line: &impl std::fmt::Display) -> Done {
        Ok(writeln!(self.out, "{line}")?)
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Done {
        Ok(self.out.write_all(bytes)?)
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&mut self) -> Done {
        Ok(self.out.flush()?)
    }

    /// Several things of one kind: a JSON object a line, or a table of `columns`, each with the key of its value.
    pub(crate) fn things(&mut self, columns: &[(&str, &str)], things: &[Value]) -> Done {
        if self.json {
            for thing in things {
                self.line(thing)?;
            }
            return self.flush();
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(columns.iter().map(|(heading, _)| heading.to_uppercase()));
        for thing in things {
            table.add_row(columns.iter().map(|(_, key)| cell(&thing[*key])));
        }
        for line in table.lines() {
            self.line(&line.trim_end())?;
        }
        self.flush()
    }
}

/// A value as a person reads it: text without quotes, lists with commas, nothing for null.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| format!("{key}={}", cell(value))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}
