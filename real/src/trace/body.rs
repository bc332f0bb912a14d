//! Bodies of requests: what a trace says, completed with defaults for one version, as bytes.
//!
//! A record batch is written as words: `batch` and then `n=` records (1), `ts=` the first one's time after `$T`, or `at=` the time itself, `key=` and `value=` (texts, or `null`), `codec=`,
//! `pid=`, `epoch=`, `seq=`, `txn`; and what makes it wrong: `attributes=`, `magic=`, `count=`, `delta=` (last offset), `base=` (offset),
//! `maxts=` in the header, `pid=` and the like may be `$kept`, `crc` a false checksum, `cut=` bytes off its end. Several batches have `;` between them.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use klamm::protocol::Declaration;
use klamm::protocol::json::from_json;
use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS};
use klamm::protocol::{Field, Type, Value, Versions};
use serde_json::{Map, Value as Json, json};

/// The time of records that have no other, `$T`: an hour before these tests began, so that retention leaves them alone.
pub(crate) fn first_time() -> i64 {
    static TIME: OnceLock<i64> = OnceLock::new();
    *TIME.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(0) - 3_600_000
    })
}

/// What texts of a trace stand for on one side.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// What `%` becomes.
    pub(crate) unique: String,
    /// What was kept of answers.
    pub(crate) kept: BTreeMap<String, Json>,
}

impl Words {
    /// The body's bytes in `version`.
    pub(crate) fn body(&self, declaration: &'static Declaration, version: i16, json: &Json) -> Result<Vec<u8>, String> {
        let whole = self.structure(declaration.fields, version, json)?;
        from_json(declaration, version, &whole).map_err(|error| error.to_string())
    }

    fn structure(&self, fields: &[Field], version: i16, json: &Json) -> Result<Json, String> {
        let Json::Object(given) = json else { return Err(format!("expected an object, found {json}")) };
        let names: Vec<_> = fields.iter().map(json_name).collect();
        if let Some(unknown) = given.keys().find(|key| !names.contains(key)) {
            return Err(format!("no version has a field {unknown:?}; there are {}", names.join(", ")));
        }
        let mut whole = Map::new();
        for (field, name) in fields.iter().zip(names) {
            if !has(field.versions, version) {
                continue;
            }
            let value = match given.get(&name) {
                Some(value) => self.value(field.ty, version, value)?,
                None if field.tag.is_some() => continue,
                None => default(field, version),
            };
            whole.insert(name, value);
        }
        Ok(Json::Object(whole))
    }

    fn value(&self, ty: Type, version: i16, json: &Json) -> Result<Json, String> {
        if let Json::String(text) = json
            && let Some(name) = text.strip_prefix('$')
        {
            return self.kept(name);
        }
        Ok(match (ty, json) {
            (_, Json::Null) => Json::Null,
            (Type::Struct(_, fields), _) => self.structure(fields, version, json)?,
            (Type::Array(item), Json::Array(items)) => {
                items.iter().map(|json| self.value(*item, version, json)).collect::<Result<Vec<_>, _>>()?.into()
            }
            (Type::Plain("records"), Json::String(text)) if text.starts_with("batch") => {
                let batches = text.split(';').map(|words| self.batch(words)).collect::<Result<Vec<_>, _>>()?;
                json!(STANDARD.encode(batches.concat()))
            }
            (Type::Plain("bytes"), Json::String(text)) => match text.strip_prefix("text:") {
                Some(text) => json!(STANDARD.encode(text)),
                None => json.clone(),
            },
            (_, Json::String(text)) => json!(text.replace('%', &self.unique)),
            _ => json.clone(),
        })
    }

    /// What was kept as `name`, or a number of `name+1`.
    fn kept(&self, name: &str) -> Result<Json, String> {
        let (name, more) = name.split_once('+').unwrap_or((name, "0"));
        let value = match name {
            "T" => json!(first_time()),
            _ => self.kept.get(name).cloned().ok_or_else(|| format!("nothing was kept as {name}"))?,
        };
        let more: i64 = more.parse().map_err(|_| format!("{more:?} is no number"))?;
        Ok(value.as_i64().map_or(value, |number| json!(number + more)))
    }

    fn batch(&self, words: &str) -> Result<Vec<u8>, String> {
        let mut spec = BTreeMap::new();
        for word in words.split_whitespace().skip(1) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let value = match value.strip_prefix('$') {
                Some(kept) => self.kept(kept)?.to_string(),
                None => value.to_owned(),
            };
            spec.insert(name, value);
        }
        let number = |name: &str, otherwise: i64| match spec.get(name) {
            Some(text) => text.parse::<i64>().map_err(|_| format!("{name}={text} is no number")),
            None => Ok(otherwise),
        };
        let bytes = |name: &'static str| match spec.get(name).map(String::as_str) {
            Some("null") => None,
            Some(text) => Some(text.as_bytes()),
            None => Some(name.as_bytes()),
        };
        let codec = match spec.get("codec").map(String::as_str) {
            None => Compression::None,
            Some("gzip") => Compression::Gzip,
            Some("snappy") => Compression::Snappy,
            Some("lz4") => Compression::Lz4,
            Some("zstd") => Compression::Zstd,
            Some(other) => return Err(format!("there is no codec {other}")),
        };
        let mut builder = BatchBuilder::new(1 << 16);
        for at in 0..number("n", 1)? {
            let timestamp = number("at", first_time() + number("ts", 0)?)? + at;
            builder.append(timestamp, bytes("key"), bytes("value"), NO_HEADERS).map_err(|error| error.to_string())?;
        }
        let mut closed = builder.close(codec).map_err(|error| error.to_string())?;
        let narrow =
            |name: &str| number(name, -1).and_then(|number| i32::try_from(number).map_err(|_| format!("{name} is too large")));
        let epoch = i16::try_from(narrow("epoch")?).map_err(|_| "epoch is too large")?;
        let mut batch = closed.stamp(number("pid", -1)?, epoch, narrow("seq")?, spec.contains_key("txn")).to_vec();
        // Where each stands in the header of a batch.
        let patched =
            [("base", 0, 8), ("magic", 16, 1), ("attributes", 21, 2), ("delta", 23, 4), ("maxts", 35, 8), ("count", 57, 4)];
        for (name, at, size) in patched {
            if spec.contains_key(name) {
                let value = number(name, 0)?.to_be_bytes();
                batch[at..at + size].copy_from_slice(&value[8 - size..]);
            }
        }
        let sum = crc32c::crc32c(&batch[21..]) ^ u32::from(spec.contains_key("crc"));
        batch[17..21].copy_from_slice(&sum.to_be_bytes());
        batch.truncate(batch.len() - usize::try_from(number("cut", 0)?).unwrap_or(0));
        Ok(batch)
    }
}

fn has((first, last): Versions, version: i16) -> bool {
    (first..=last).contains(&version)
}

fn json_name(field: &Field) -> String {
    let mut name = field.schema_name();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    name
}

fn default(field: &Field, version: i16) -> Json {
    match (field.default, field.ty) {
        (Value::Null, _) if field.nullable.is_some_and(|versions| has(versions, version)) => Json::Null,
        (Value::Bool(value), _) => value.into(),
        (Value::Int(value), _) => value.into(),
        (Value::Float(value), _) => value.into(),
        (_, Type::Array(_)) => json!([]),
        (_, Type::Struct(_, fields)) => {
            let there = fields.iter().filter(|field| has(field.versions, version) && field.tag.is_none());
            Json::Object(there.map(|field| (json_name(field), default(field, version))).collect())
        }
        (_, Type::Plain("uuid")) => json!("AAAAAAAAAAAAAAAAAAAAAA"),
        _ => json!(""),
    }
}
