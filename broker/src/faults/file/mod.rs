//! Plans in files, as TOML or JSON.
//!
//! A file is first made a tree in which every value knows where it stands (`tree.rs`), whichever its format; then the tree is read
//! (`read.rs`). So a mistake is told in one way: file, line, column, the field's path, what is wrong, what is allowed. A plan is written as
//! TOML (`write.rs`), which is how a plan that was drawn from a seed can be kept and changed by hand.

mod read;
mod tree;
mod write;

use std::fmt;
use std::path::Path;

use crate::faults::Plan;

/// The format of a file with faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A table `[[fault]]` for each fault.
    Toml,
    /// An object with a list `fault` of objects.
    Json,
}

/// A file with faults.
///
/// ```
/// use klamm_broker::faults::{FaultFile, FileFormat};
///
/// let text = r#"
/// [[fault]]
/// after = "2s"
/// kind = "move-leader"
/// topic = "orders"
/// partition = 0
///
/// [[fault]]
/// before = "Produce"
/// nth = 3
/// kind = "cut"
/// direction = "from-broker"
/// after_bytes = 10
/// "#;
/// let plan = FaultFile::new("outage.toml", text, FileFormat::Toml).plan()?;
/// assert_eq!(plan.entries.len(), 2);
///
/// let wrong = text.replace("Produce", "Prodcue");
/// let error = FaultFile::new("outage.toml", wrong, FileFormat::Toml).plan().unwrap_err();
/// assert_eq!(error.to_string(), "outage.toml:9:10: fault[1].before: no API \"Prodcue\"; did you mean \"Produce\"?");
/// # Ok::<(), klamm_broker::faults::FileError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FaultFile {
    name: String,
    text: String,
    format: FileFormat,
    nodes: Option<u16>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file's name as it was given.
    pub file: String,
    /// Line, from 1; 0 where the file could not be read at all.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// Path of the field, as `fault[1].topic`; empty where it is none.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for FileError {}

/// A mistake at a place of the text.
#[derive(Debug)]
struct Mistake {
    at: usize,
    field: String,
    message: String,
}

impl FaultFile {
    /// A file that is in memory; `name` is for messages.
    pub fn new(name: impl Into<String>, text: impl Into<String>, format: FileFormat) -> Self {
        Self { name: name.into(), text: text.into(), format, nodes: None }
    }

    /// Reads a file whose name ends with `.toml` or `.json`.
    ///
    /// # Errors
    /// When it cannot be read, is not text, or its name ends otherwise.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let refused = |message: String| FileError { file: name.clone(), line: 0, column: 0, field: String::new(), message };
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => FileFormat::Toml,
            Some("json") => FileFormat::Json,
            _ => return Err(refused("the name of a file with faults ends with .toml or .json".to_owned())),
        };
        let text = std::fs::read_to_string(path).map_err(|error| refused(format!("it can't be read: {error}")))?;
        Ok(Self { nodes: None, ..Self::new(name, text, format) })
    }

    /// Numbers of nodes must be 1 up to this one. Default: any number.
    pub fn nodes(mut self, nodes: u16) -> Self {
        self.nodes = Some(nodes);
        self
    }

    /// The plan it describes.
    ///
    /// # Errors
    /// At the first mistake, with its place.
    pub fn plan(&self) -> Result<Plan, FileError> {
        let tree = match self.format {
            FileFormat::Toml => tree::of_toml(&self.text),
            FileFormat::Json => tree::of_json(&self.text),
        };
        tree.and_then(|tree| read::plan(tree, self.nodes)).map_err(|mistake| self.error(mistake))
    }

    fn error(&self, Mistake { at, field, message }: Mistake) -> FileError {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        let line = before.matches('\n').count() + 1;
        FileError { file: self.name.clone(), line, column, field, message }
    }
}

impl Plan {
    /// The plan as a TOML file, which [`FaultFile`] reads.
    pub fn to_toml(&self) -> String {
        write::toml(self)
    }
}

#[cfg(test)]
mod tests;
