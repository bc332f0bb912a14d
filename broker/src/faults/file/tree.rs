//! A file as a tree of values that know their places.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::faults::file::Mistake;

/// Tables in tables in lists; nothing here is deeper.
const MAX_DEPTH: usize = 8;

/// A value and where it stands, in bytes.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Table(Vec<Field>),
    List(Vec<Node>),
    Text(String),
    Integer(i128),
    Bool(bool),
    /// Something that no field here has; its name in the format.
    Other(&'static str),
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) at: usize,
    pub(super) node: Node,
}

impl Value {
    /// What it is, for people.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::List(_) => "a list",
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Other(name) => name,
        }
    }
}

fn mistake(at: usize, message: impl Into<String>) -> Mistake {
    Mistake { at, field: String::new(), message: message.into() }
}

/// Reads TOML.
pub(super) fn of_toml(text: &str) -> Result<Node, Mistake> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        mistake(at, format!("this is no TOML: {}", error.message()))
    })?;
    let (span, table) = (table.span(), table.into_inner());
    Ok(Node { at: span.start, value: toml_table(table, 0)? })
}

fn toml_table(table: DeTable<'_>, depth: usize) -> Result<Value, Mistake> {
    let mut fields = Vec::new();
    for (key, node) in table {
        let at = key.span().start;
        fields.push(Field { name: key.into_inner().into_owned(), at, node: toml_node(node, depth + 1)? });
    }
    // In the order of the text.
    fields.sort_by_key(|field| field.at);
    Ok(Value::Table(fields))
}

fn toml_node(node: Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Mistake> {
    let at = node.span().start;
    if depth > MAX_DEPTH {
        return Err(mistake(at, "tables and lists are nested too deep"));
    }
    let value = match node.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => Value::Integer(integer_of(&integer).ok_or_else(|| mistake(at, "the number is too large"))?),
        DeValue::Boolean(is_true) => Value::Bool(is_true),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(list) => {
            let nodes = list.into_iter().map(|node| toml_node(node, depth + 1));
            Value::List(nodes.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => toml_table(table, depth)?,
    };
    Ok(Node { at, value })
}

fn integer_of(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Reads JSON.
pub(super) fn of_json(text: &str) -> Result<Node, Mistake> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| json_mistake(text, 0, &error))?;
    json_node(text, raw, 0)
}

/// The fields of an object, in order and with all repetitions.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// Where a part of `text` begins.
fn place_of(text: &str, part: &RawValue) -> usize {
    (part.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// Where the name of a field stands whose value is at `value_at`.
fn place_of_name(text: &str, name: &str, value_at: usize) -> usize {
    let before = text.get(..value_at).unwrap_or_default();
    before.rfind(&format!("\"{name}\"")).unwrap_or(value_at)
}

fn json_mistake(text: &str, base: usize, error: &serde_json::Error) -> Mistake {
    let lines = text.get(base..).unwrap_or_default().split_inclusive('\n');
    let line_start: usize = lines.take(error.line().saturating_sub(1)).map(str::len).sum();
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    mistake(base + line_start + error.column().saturating_sub(1), format!("this is no JSON: {said}"))
}

fn json_node(text: &str, raw: &RawValue, depth: usize) -> Result<Node, Mistake> {
    let at = place_of(text, raw);
    if depth > MAX_DEPTH {
        return Err(mistake(at, "objects and lists are nested too deep"));
    }
    let wrong = |error: serde_json::Error| json_mistake(text, at, &error);
    let value = match raw.get().as_bytes().first() {
        Some(b'{') => {
            let Fields(raw_fields) = serde_json::from_str(raw.get()).map_err(wrong)?;
            let mut fields: Vec<Field> = Vec::new();
            for (name, raw) in raw_fields {
                let node = json_node(text, raw, depth + 1)?;
                let at = place_of_name(text, &name, node.at);
                if fields.iter().any(|field| field.name == name) {
                    return Err(mistake(at, format!("the name \"{name}\" is there twice")));
                }
                fields.push(Field { name, at, node });
            }
            Value::Table(fields)
        }
        Some(b'[') => {
            let list: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(wrong)?;
            Value::List(list.into_iter().map(|raw| json_node(text, raw, depth + 1)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Value::Text(serde_json::from_str(raw.get()).map_err(wrong)?),
        Some(b't' | b'f') => Value::Bool(raw.get() == "true"),
        Some(b'n') => Value::Other("null"),
        _ => match raw.get().parse() {
            Ok(integer) => Value::Integer(integer),
            Err(_) if raw.get().bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => {
                Value::Other("a number with a fraction")
            }
            Err(_) => return Err(mistake(at, "the number is too large")),
        },
    };
    Ok(Node { at, value })
}
