//! Messages as JSON and back, by the declarations alone: feature `json`.
//!
//! The form is that of the JSON converters in Kafka's own client jar, which its request log and tools use:
//!
//! - A field's name is that of the schema with its first letter in lower case. Every field that the version has is written, also at
//!   its default; a tagged field only when it is not at its default. Fields that the version does not have are not written.
//! - Bytes are base64 with padding, ids are 22 characters of base64 for URLs, numbers are JSON numbers, null is `null`. What JSON has no
//!   number for is a string: `"NaN"`, `"Infinity"`, `"-Infinity"`.
//! - Records are read as base64. They are written as a size, `recordsSizeInBytes`, or, so that nothing is lost, as base64; see
//!   [`RecordsForm`].
//! - When read, a field that the version has must be there unless it is tagged. One that the version does not have may be there: it
//!   must be at its default, or be `ignorable`, and is dropped then. Names that no field has are passed over.
//!
//! Where Kafka's reader takes one value for another, this one refuses: 200 for an `int8` (Kafka makes 72 of it), text or a number for
//! a struct (Kafka finds no fields in it, and misses none if all may be missing). More than 1,000,000 elements, which no decoder takes,
//! are refused, too. It takes more in one place: a whole number for a `float64`.
//!
//! Nothing here knows a message: all follows from [`Declaration::fields`]. Bytes are first read by the message's own decoder, so what
//! it refuses is refused here with its words, and its limits hold; the JSON may take some hundred times the memory of the bytes. Both walks
//! are as deep as the declaration, whatever the input.
//!
//! The fields of an object keep the order of the schema where `serde_json`'s feature `preserve_order` is on.
//!
//! # Example
//!
//! ```
//! use klamm::protocol::Declaration;
//! use klamm::protocol::json::{RecordsForm, from_json, to_json};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let heartbeat = Declaration::named("HeartbeatRequest").expect("it is declared");
//! let json = serde_json::json!({ "groupId": "g", "generationId": 3, "memberId": "m", "groupInstanceId": null });
//! let bytes = from_json(heartbeat, 4, &json)?;
//! assert_eq!(bytes, [2, b'g', 0, 0, 0, 3, 2, b'm', 0, 0]);
//! assert_eq!(to_json(heartbeat, 4, &bytes.into(), RecordsForm::Base64)?, json);
//!
//! let wrong = serde_json::json!({ "groupId": 7, "generationId": 3, "memberId": "m", "groupInstanceId": null });
//! let error = from_json(heartbeat, 4, &wrong).unwrap_err();
//! assert_eq!(error.to_string(), "HeartbeatRequest version 4, groupId: expected text, found the number 7");
//! # Ok(())
//! # }
//! ```

mod read;
mod write;

use std::fmt;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::Value as Json;

use crate::protocol::declaration::Declaration;
use crate::protocol::reflect::{Field, Type, Value, Versions};

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordsForm {
    /// A field `recordsSizeInBytes` in place of `records`, as Kafka's request log has it; [`from_json`] cannot read it back.
    Size,
    /// Base64, which [`from_json`] reads.
    #[default]
    Base64,
}

/// JSON or bytes that are not the message they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    message: &'static str,
    version: i16,
    path: String,
    what: String,
}

impl JsonError {
    /// The message's name in the official schemas.
    pub fn message(&self) -> &'static str {
        self.message
    }

    /// The version asked for.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The way to the field at fault, `topics[0].name`; empty where it is the whole, and where bytes could not be read.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.is_empty(), self.message) {
            // The decoder's own words name all.
            (true, "") => f.write_str(&self.what),
            (true, message) => write!(f, "{message} version {}: {}", self.version, self.what),
            (false, message) => write!(f, "{message} version {}, {}: {}", self.version, self.path, self.what),
        }
    }
}

impl std::error::Error for JsonError {}

/// The message in `body`, a whole body without header, as JSON.
///
/// # Errors
/// When the version is not declared or the bytes are not such a message: the decoder's error, with field and byte.
pub fn to_json(declaration: &Declaration, version: i16, body: &Bytes, records: RecordsForm) -> Result<Json, JsonError> {
    write::message(declaration, version, body, records)
}

/// The bytes of the message in `json`, without header.
///
/// # Errors
/// Names the field at fault, what was expected and what kind of thing was found; texts are not repeated, for they may be secret.
pub fn from_json(declaration: &Declaration, version: i16, json: &Json) -> Result<Vec<u8>, JsonError> {
    read::message(declaration, version, json)
}

/// A field, with what the walks need of it at hand.
struct Shape {
    /// Its name in JSON.
    name: String,
    field: Field,
    /// The fields of its struct, or of the struct that it is an array of.
    inner: Vec<Shape>,
}

impl Shape {
    fn all(fields: &[Field]) -> Vec<Self> {
        fields.iter().copied().map(Self::new).collect()
    }

    fn new(field: Field) -> Self {
        let mut name = field.schema_name();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        let inner = match field.ty {
            Type::Struct(_, fields) | Type::Array(&Type::Struct(_, fields)) => Self::all(fields),
            _ => Vec::new(),
        };
        Self { name, field, inner }
    }

    /// Is this value, of the right type, what the field is where it is not given?
    fn is_default(&self, value: &Json) -> bool {
        match (self.field.default, value) {
            (Value::Null, value) => value.is_null(),
            (Value::Bool(default), value) => value.as_bool() == Some(default),
            (Value::Int(default), value) => value.as_i64() == Some(default),
            (Value::Float(default), value) => float(value) == Some(default),
            (Value::Empty, Json::String(text)) if matches!(self.field.ty, Type::Plain("uuid")) => uuid(text) == Some([0; 16]),
            (Value::Empty, Json::String(text)) => text.is_empty(),
            (Value::Empty, Json::Array(items)) => items.is_empty(),
            (Value::Empty, Json::Object(given)) => {
                self.inner.iter().all(|inner| given.get(&inner.name).is_none_or(|value| inner.is_default(value)))
            }
            (Value::Empty, _) => false,
        }
    }
}

fn has((first, last): Versions, version: i16) -> bool {
    (first..=last).contains(&version)
}

/// As Kafka's JSON library writes bytes, and, like it, without looking at bits that belong to no byte.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// As Java reads ids: with padding or without.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn uuid(text: &str) -> Option<[u8; 16]> {
    use base64::Engine as _;
    BASE64_URL.decode(text).ok()?.try_into().ok()
}

/// A number, or one of the strings for what is none.
fn float(value: &Json) -> Option<f64> {
    match value {
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        value => value.as_f64(),
    }
}

#[cfg(test)]
mod tests;
