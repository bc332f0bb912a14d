//! From JSON to bytes.

use std::fmt::Write as _;

use base64::Engine as _;
use serde_json::Value as Json;

use crate::protocol::declaration::Declaration;
use crate::protocol::decode_error::DecodeErrorKind;
use crate::protocol::json::{BASE64, JsonError, Shape, float, has, uuid};
use crate::protocol::reflect::Type;
use crate::protocol::wire::Reader;

/// What is wrong, in words; where it is, the walk knows.
type Fault = String;

/// See `from_json`.
pub(super) fn message(declaration: &Declaration, version: i16, json: &Json) -> Result<Vec<u8>, JsonError> {
    let flexible = (declaration.is_flexible)(version);
    let mut walk = Walk { version, flexible, path: String::new() };
    let mut out = Vec::new();
    let done = match declaration.each_version().contains(&version) {
        true => walk.structure(&Shape::all(declaration.fields), json, &mut out),
        false => Err(format!(
            "{}; there are {} to {}",
            DecodeErrorKind::UnsupportedVersion(version),
            declaration.versions.0,
            declaration.versions.1
        )),
    };
    done.map(|()| out).map_err(|what| JsonError {
        message: declaration.name,
        version,
        path: walk.path.trim_start_matches('.').to_owned(),
        what,
    })
}

/// A walk over JSON; after an error `path` stays where that was.
struct Walk {
    version: i16,
    flexible: bool,
    path: String,
}

impl Walk {
    fn structure(&mut self, shapes: &[Shape], json: &Json, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Json::Object(given) = json else { return Err(expected("an object", json)) };
        let mut tagged = Vec::new();
        for shape in shapes {
            let is_there = has(shape.field.versions, self.version);
            let name = &shape.name;
            let Some(value) = given.get(name) else {
                if is_there && shape.field.tag.is_none() {
                    return self.inside(format_args!(".{name}"), |_| Err(missing(shape, given)));
                }
                continue;
            };
            self.inside(format_args!(".{name}"), |walk| {
                let mut apart = Vec::new();
                if is_there && shape.field.tag.is_none() {
                    return walk.field(shape, value, out);
                }
                if is_there {
                    walk.tagged(shape, value, &mut apart)?;
                    if !shape.is_default(value) {
                        tagged.push((shape.field.tag, apart));
                    }
                    return Ok(());
                }
                walk.absent(shape, value)
            })?;
        }
        if self.flexible {
            tagged.sort_by_key(|(tag, _)| *tag);
            put_uvarint(out, tagged.len());
            for (tag, value) in tagged {
                put_uvarint(out, tag.map_or(0, |tag| tag as usize));
                put_uvarint(out, value.len());
                out.extend(value);
            }
        }
        Ok(())
    }

    /// A field that the version does not have: of the right type all the same, and one that may be dropped.
    fn absent(&mut self, shape: &Shape, value: &Json) -> Result<(), Fault> {
        let no_such_field = || {
            let (first, last) = shape.field.versions;
            let range = match last {
                i16::MAX => format!("{first} and later have it"),
                last if last == first => format!("{first} alone has it"),
                last => format!("{first} to {last} have it"),
            };
            format!("version {} has no such field ({range}); leave it out", self.version)
        };
        let nothing = match value {
            Json::Null => shape.field.nullable.is_some(),
            // A struct cannot be looked into: none of its fields is in this version.
            Json::Object(_) if matches!(shape.field.ty, Type::Struct(..)) => return Err(no_such_field()),
            Json::Array(items) if !shape.inner.is_empty() && !items.is_empty() => return Err(no_such_field()),
            _ => false,
        };
        let no_such_field = no_such_field();
        if !nothing {
            self.value(shape.field.ty, &shape.inner, value, &mut Vec::new())?;
        }
        if shape.field.ignorable || shape.is_default(value) { Ok(()) } else { Err(no_such_field) }
    }

    /// The value of a tagged field: a struct that may be null has another marker there than elsewhere.
    fn tagged(&mut self, shape: &Shape, value: &Json, out: &mut Vec<u8>) -> Result<(), Fault> {
        let nullable = shape.field.nullable.is_some_and(|versions| has(versions, self.version));
        match shape.field.ty {
            Type::Struct(..) if nullable && value.is_null() => {
                out.push(0);
                Ok(())
            }
            _ => self.field(shape, value, out),
        }
    }

    fn field(&mut self, shape: &Shape, value: &Json, out: &mut Vec<u8>) -> Result<(), Fault> {
        if let Type::Fixed(_) = shape.field.ty {
            // Its length has the old form whatever the version.
            let flexible = std::mem::replace(&mut self.flexible, false);
            let done = self.nullable(shape, value, out);
            self.flexible = flexible;
            return done;
        }
        self.nullable(shape, value, out)
    }

    fn nullable(&mut self, shape: &Shape, value: &Json, out: &mut Vec<u8>) -> Result<(), Fault> {
        let nullable = shape.field.nullable.is_some_and(|versions| has(versions, self.version));
        if value.is_null() && nullable {
            match (shape.field.ty, self.flexible) {
                (Type::Struct(..), _) => out.push(0xff),
                (_, true) => out.push(0),
                (Type::Plain("string") | Type::Entity("string", _) | Type::Fixed("string"), false) => out.extend([0xff; 2]),
                (_, false) => out.extend([0xff; 4]),
            }
            return Ok(());
        }
        if value.is_null() && shape.field.nullable.is_some() {
            return Err(format!("null, which version {} does not allow here", self.version));
        }
        if nullable && matches!(shape.field.ty, Type::Struct(..)) {
            out.push(1);
        }
        self.value(shape.field.ty, &shape.inner, value, out)
    }

    fn value(&mut self, ty: Type, inner: &[Shape], value: &Json, out: &mut Vec<u8>) -> Result<(), Fault> {
        match ty {
            Type::Struct(..) => self.structure(inner, value, out),
            Type::Array(item) => {
                let Json::Array(items) = value else { return Err(expected("an array", value)) };
                if items.len() > Reader::MAX_ELEMENTS {
                    return Err(format!("{} elements are more than any message may have", items.len()));
                }
                self.put_len(false, items.len(), out)?;
                for (index, value) in items.iter().enumerate() {
                    self.inside(format_args!("[{index}]"), |walk| walk.value(*item, inner, value, out))?;
                }
                Ok(())
            }
            Type::Plain(name) | Type::Entity(name, _) | Type::Fixed(name) => self.plain(name, value, out),
        }
    }

    fn plain(&mut self, name: &str, value: &Json, out: &mut Vec<u8>) -> Result<(), Fault> {
        match name {
            "bool" => match value {
                Json::Bool(value) => out.push(u8::from(*value)),
                other => return Err(expected("true or false", other)),
            },
            "int8" => out.extend(integer::<i8>(value, i8::MIN, i8::MAX)?.to_be_bytes()),
            "int16" => out.extend(integer::<i16>(value, i16::MIN, i16::MAX)?.to_be_bytes()),
            "uint16" => out.extend(integer::<u16>(value, u16::MIN, u16::MAX)?.to_be_bytes()),
            "int32" => out.extend(integer::<i32>(value, i32::MIN, i32::MAX)?.to_be_bytes()),
            "int64" => out.extend(integer::<i64>(value, i64::MIN, i64::MAX)?.to_be_bytes()),
            "float64" => out.extend(float(value).ok_or_else(|| expected("a number", value))?.to_be_bytes()),
            "uuid" => {
                const ID: &str = "an id: 22 characters of base64 for URLs";
                let id = value.as_str().ok_or_else(|| expected(ID, value)).map(uuid)?;
                out.extend(id.ok_or_else(|| format!("expected {ID}, found other text"))?);
            }
            "string" => {
                let Json::String(text) = value else { return Err(expected("text", value)) };
                if text.len() > i16::MAX as usize {
                    return Err(format!("text of {} bytes is too long: Kafka's strings have at most {}", text.len(), i16::MAX));
                }
                self.put_len(true, text.len(), out)?;
                out.extend(text.as_bytes());
            }
            _ => {
                let Json::String(text) = value else { return Err(expected("bytes in base64", value)) };
                let bytes = BASE64.decode(text).map_err(|_| "expected bytes in base64, found other text".to_owned())?;
                self.put_len(false, bytes.len(), out)?;
                out.extend(bytes);
            }
        }
        Ok(())
    }

    fn put_len(&self, short: bool, len: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let too_long = || format!("{len} bytes are more than any message may have");
        match (self.flexible, short) {
            (true, _) => put_uvarint(out, i32::try_from(len).map_err(|_| too_long())? as usize + 1),
            (false, true) => out.extend(i16::try_from(len).map_err(|_| too_long())?.to_be_bytes()),
            (false, false) => out.extend(i32::try_from(len).map_err(|_| too_long())?.to_be_bytes()),
        }
        Ok(())
    }

    /// Runs `f` with `step` added to the path.
    fn inside(&mut self, step: std::fmt::Arguments<'_>, f: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        let len = self.path.len();
        let _ = self.path.write_fmt(step);
        f(self)?;
        self.path.truncate(len);
        Ok(())
    }
}

fn integer<T: TryFrom<i64> + std::fmt::Display>(value: &Json, min: T, max: T) -> Result<T, Fault> {
    let number = value.as_i64().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| expected(&format!("a whole number from {min} to {max}"), value))
}

/// Numbers are shown; what text says is not, for it may be a secret.
fn expected(what: &str, found: &Json) -> Fault {
    match found {
        Json::Null => format!("expected {what}, found null"),
        Json::Bool(value) => format!("expected {what}, found {value}"),
        Json::Number(number) => format!("expected {what}, found the number {number}"),
        Json::String(_) => format!("expected {what}, found text"),
        Json::Array(_) => format!("expected {what}, found an array"),
        Json::Object(_) => format!("expected {what}, found an object"),
    }
}

fn missing(shape: &Shape, given: &serde_json::Map<String, Json>) -> Fault {
    let size = format!("{}SizeInBytes", shape.name);
    if matches!(shape.field.ty, Type::Plain("records")) && given.contains_key(&size) {
        return format!("it is missing: {size} says how long the records were, and not what they were; they are read as base64");
    }
    "it is missing, and this version has it".to_owned()
}

fn put_uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
