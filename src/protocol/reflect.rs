//! What a declaration says, as data.
//!
//! Tests compare it with the official message schemas and write random frames from it; JSON (`json.rs`) and tools follow it. On the way
//! of a client only the cold path of [`ApiMessage::explain`](crate::protocol::ApiMessage::explain) reads it: a frame that could not be
//! decoded is walked once more, to name the field at fault. The walk shares no code with the generated decoders, so that these need not
//! keep track of where they are.

use std::fmt::Write;
use std::ops::ControlFlow;

use crate::protocol::decode_error::{DecodeError, DecodeErrorKind};
use crate::protocol::primitives::{BrokerId, ProducerId};
use crate::protocol::summary::Summary;
use crate::protocol::wire::{Reader, Wire};

/// First and last version; the last is `i16::MAX` where it is open.
pub type Versions = (i16, i16);

/// One field of a struct.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The field's name in Rust.
    pub name: &'static str,
    /// Its name in the schema, where that does not follow from the one in Rust.
    pub irregular_name: Option<&'static str>,
    /// Its type.
    pub ty: Type,
    /// Versions that have it.
    pub versions: Versions,
    /// Versions in which it may be null.
    pub nullable: Option<Versions>,
    /// Its tag, if it is a tagged field.
    pub tag: Option<u32>,
    /// Is it a key, or part of one, of the collection its struct is in?
    pub key: bool,
    /// May it be dropped in versions that do not have it?
    pub ignorable: bool,
    /// What it is where a version does not have it.
    pub default: Value,
    /// What is known of its type.
    pub(crate) inner: Summary,
}

/// What a declaration says of a field, put together while the program is compiled.
impl Field {
    /// A field in these versions: the first, and the last if there is one.
    pub(crate) const fn of<T: Wire>(name: &'static str, versions: &[i16]) -> Self {
        let versions = from_to(versions);
        let (ty, default, inner) = (T::TYPE, T::INITIAL, T::SUMMARY);
        Self { name, irregular_name: None, ty, versions, nullable: None, tag: None, key: false, ignorable: false, default, inner }
    }
    pub(crate) const fn nullable(self, versions: &[i16]) -> Self {
        Self { nullable: Some(from_to(versions)), ..self }
    }
    pub(crate) const fn tag(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }
    pub(crate) const fn name(self, name: &'static str) -> Self {
        Self { irregular_name: Some(name), ..self }
    }
    pub(crate) const fn key(self) -> Self {
        Self { key: true, ..self }
    }
    pub(crate) const fn ignorable(self) -> Self {
        Self { ignorable: true, ..self }
    }
    pub(crate) const fn default(self, default: Value) -> Self {
        Self { default, ..self }
    }
}

/// A range as `of` and `nullable` are given it: its first version, and the last if there is one.
const fn from_to(versions: &[i16]) -> Versions {
    match versions {
        [] => (0, i16::MAX),
        [first] => (*first, i16::MAX),
        [first, .., last] => (*first, *last),
    }
}

impl Field {
    /// The name in the official schema: `throttle_time_ms` is `ThrottleTimeMs`.
    pub fn schema_name(&self) -> String {
        if let Some(name) = self.irregular_name {
            return name.to_owned();
        }
        let words = self.name.trim_start_matches("r#").split('_');
        words.flat_map(|word| word.chars().enumerate().map(|(at, c)| if at == 0 { c.to_ascii_uppercase() } else { c })).collect()
    }
}

/// A field's type in the schemas' words.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// `int32`, `string`, …
    Plain(&'static str),
    /// A plain type and the entity it names, `topicName` for example.
    Entity(&'static str, &'static str),
    /// A plain type whose length has its fixed form in flexible versions too: a request header's client id, nothing else.
    Fixed(&'static str),
    /// An array of this.
    Array(&'static Type),
    /// A struct by this name, with these fields.
    Struct(&'static str, &'static [Field]),
}

/// A default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// Empty text, bytes, array or struct, and the zero id.
    Empty,
    /// A boolean.
    Bool(bool),
    /// A number of any width.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
}

/// A default that a declaration gives.
pub(crate) struct Given<T>(pub(crate) T);

macro_rules! given {
    ($($type:ty: $number:ident => $value:expr;)*) => {$(
        impl Given<$type> {
            /// As it is compared with the schema's.
            pub(crate) const fn value(self) -> Value {
                let $number = self.0;
                $value
            }
        }
    )*};
}

given! {
    bool: given => Value::Bool(given);
    i8: given => Value::Int(given as i64);
    i16: given => Value::Int(given as i64);
    i32: given => Value::Int(given as i64);
    i64: given => Value::Int(given);
    BrokerId: given => Value::Int(given.0 as i64);
    ProducerId: given => Value::Int(given.0);
}

impl<T> Given<Option<T>> {
    /// As it is compared with the schema's: an `Option` is given `None` or nothing.
    pub(crate) const fn value(self) -> Value {
        assert!(self.0.is_none());
        // There is nothing to drop, which the compiler cannot know.
        std::mem::forget(self);
        Value::Null
    }
}

/// Says in words why the message called `name` could not be read.
#[cold]
pub(crate) fn explain(name: &str, fields: &[Field], version: i16, flexible: bool, body: &[u8], error: DecodeError) -> String {
    if matches!(error.kind, DecodeErrorKind::UnsupportedVersion(_) | DecodeErrorKind::UnknownApi(_)) {
        return format!("{name}: {}", error.kind);
    }
    format!("{name} version {version}, {}", describe(fields, version, flexible, body, error))
}

/// Finds the field at which `body` cannot be read as `fields`, and says where it stands, what is wrong there and what should be.
pub(crate) fn describe(fields: &[Field], version: i16, flexible: bool, body: &[u8], error: DecodeError) -> String {
    let at_fault = body.len().saturating_sub(error.left);
    let mut walk = Walk {
        body,
        at: 0,
        version,
        flexible,
        over_budget: error.kind == DecodeErrorKind::OverBudget,
        at_fault,
        path: String::new(),
        length: None,
        expected: String::new(),
    };
    let found = walk.structure(fields).is_break();
    let path = if found { walk.path.trim_start_matches('.') } else { "end" };
    let mut text = format!("{path} (byte {at_fault} of {}): {}", body.len(), error.kind);
    if found && !walk.expected.is_empty() {
        let _ = write!(text, "; expected {}", walk.expected);
    }
    text
}

/// A walk over a frame that stops, by `Break`, where the frame does not fit its declaration.
struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    version: i16,
    flexible: bool,
    /// Is it the memory that the decoder stopped for? The walk allocates nothing and must be told where.
    over_budget: bool,
    at_fault: usize,
    path: String,
    /// The last length that was read, and how much there was behind it.
    length: Option<(i64, usize)>,
    /// What should stand where the walk ended.
    expected: String,
}

impl<'a> Walk<'a> {
    fn structure(&mut self, fields: &[Field]) -> ControlFlow<()> {
        let version = self.version;
        let has = |(first, last): Versions| (first..=last).contains(&version);
        for field in fields.iter().filter(|field| field.tag.is_none() && has(field.versions)) {
            self.inside(format_args!(".{}", field.schema_name()), |walk| walk.value(field.ty, field.nullable.is_some_and(has)))?;
        }
        if !self.flexible {
            return ControlFlow::Continue(());
        }
        self.expected = format!("the number of tagged fields, at most {}", Reader::MAX_TAGS);
        let count = self.uvarint()?;
        let mut last = None;
        for _ in 0..limited(count, Reader::MAX_TAGS as usize)? {
            self.expected = "the number and the size of a tagged field".to_owned();
            let (tag, len) = (self.uvarint()?, self.uvarint()?);
            let field = fields.iter().find(|field| field.tag.is_some_and(|known| known as usize == tag) && has(field.versions));
            let name = field.map_or_else(|| format!(".tag {tag}"), |field| format!(".{}", field.schema_name()));
            self.inside(format_args!("{name}"), |walk| {
                let left = walk.body.len() - walk.at;
                if let Some(last) = last.replace(tag).filter(|last| *last >= tag) {
                    walk.expected = format!("a tag above {last}, found {tag}");
                    return ControlFlow::Break(());
                }
                walk.expected = format!("a tagged field of at most {left} bytes, found the size {len}");
                let end = walk.at + limited(len, left)?;
                if let Some(field) = field {
                    let whole = walk.body;
                    walk.body = whole.get(..end).unwrap_or_default();
                    walk.tagged(field.ty, field.nullable.is_some_and(has))?;
                    walk.body = whole;
                    walk.expected = format!("a value of {len} bytes, found one of {}", (walk.at + len).saturating_sub(end));
                    return if walk.at == end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
                }
                walk.at = end;
                ControlFlow::Continue(())
            })?;
        }
        self.expected.clear();
        ControlFlow::Continue(())
    }

    fn value(&mut self, ty: Type, nullable: bool) -> ControlFlow<()> {
        let start = self.at;
        self.length = None;
        self.expected.clear();
        let read = self.read(ty, nullable);
        // What ended the walk further inside has said already what it is.
        if read.is_break() && self.expected.is_empty() {
            self.expected = self.wanted(ty, nullable, start);
        }
        read
    }

    /// What should have been read at `start`.
    fn wanted(&self, ty: Type, nullable: bool, start: usize) -> String {
        let (name, unit) = match ty {
            Type::Plain(name) | Type::Fixed(name) | Type::Entity(name, _) => (name, "bytes"),
            Type::Array(_) => ("array", "elements"),
            Type::Struct(..) => return "the marker before a struct, or that of null".to_owned(),
        };
        let or_null = if nullable { " or null" } else { "" };
        match self.length {
            None if matches!(name, "string" | "bytes" | "records" | "array") => {
                format!("{name}{or_null}: its length, {} bytes are left", self.body.len().saturating_sub(start))
            }
            None => format!("{name}, {} bytes are left", self.body.len().saturating_sub(start)),
            Some((len, left)) if len < 0 || len > left as i64 => {
                format!("{name}{or_null} of at most {} {unit}, found the length {len}", left.min(Reader::MAX_ELEMENTS))
            }
            Some((len, _)) if len > Reader::MAX_ELEMENTS as i64 && unit == "elements" => {
                format!("{name}{or_null} of at most {} {unit}, found the length {len}", Reader::MAX_ELEMENTS)
            }
            Some(_) if self.over_budget => {
                let most = self.body.len().saturating_mul(Reader::BUDGET_FACTOR).saturating_add(Reader::BUDGET_BASE);
                format!("at most {most} bytes of memory in all")
            }
            Some((len, _)) => format!("UTF-8 of at most {} bytes, found {len} bytes", i16::MAX),
        }
    }

    fn read(&mut self, ty: Type, nullable: bool) -> ControlFlow<()> {
        match ty {
            Type::Plain(name) | Type::Entity(name, _) => match name {
                "bool" | "int8" => self.take(1).map_continue(drop),
                "int16" | "uint16" => self.take(2).map_continue(drop),
                "int32" => self.take(4).map_continue(drop),
                "int64" | "float64" => self.take(8).map_continue(drop),
                "uuid" => self.take(16).map_continue(drop),
                _ => {
                    let Some(len) = self.length(name == "string", nullable)? else { return ControlFlow::Continue(()) };
                    let bytes = self.take(len)?;
                    match name != "string" || std::str::from_utf8(bytes).is_ok_and(|text| text.len() <= i16::MAX as usize) {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }
                }
            },
            Type::Fixed(name) => {
                let flexible = std::mem::replace(&mut self.flexible, false);
                self.value(Type::Plain(name), nullable)?;
                self.flexible = flexible;
                ControlFlow::Continue(())
            }
            Type::Array(item) => {
                let Some(len) = self.length(false, nullable)? else { return ControlFlow::Continue(()) };
                if self.over_budget && self.at == self.at_fault {
                    return ControlFlow::Break(());
                }
                for index in 0..limited(len, Reader::MAX_ELEMENTS)? {
                    self.inside(format_args!("[{index}]"), |walk| walk.value(*item, false))?;
                }
                ControlFlow::Continue(())
            }
            Type::Struct(_, fields) => match if nullable { self.take(1)? } else { &[1] } {
                [1] => self.structure(fields),
                [0xff] => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            },
        }
    }

    /// A tagged field's value; a struct that may be null has another marker there than elsewhere.
    fn tagged(&mut self, ty: Type, nullable: bool) -> ControlFlow<()> {
        match ty {
            Type::Struct(_, fields) if nullable => match self.take(1)? {
                [1] => self.structure(fields),
                [0] => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            },
            _ => self.value(ty, nullable),
        }
    }

    /// Runs `f` with `step` added to the path; the path stays as it is when the walk ends in there.
    fn inside(&mut self, step: std::fmt::Arguments<'_>, f: impl FnOnce(&mut Self) -> ControlFlow<()>) -> ControlFlow<()> {
        let len = self.path.len();
        let _ = self.path.write_fmt(step);
        f(self)?;
        self.path.truncate(len);
        ControlFlow::Continue(())
    }

    /// A length, `None` for null.
    fn length(&mut self, short: bool, nullable: bool) -> ControlFlow<(), Option<usize>> {
        let len = match (self.flexible, short) {
            (true, _) => self.uvarint()? as i64 - 1,
            (false, true) => i64::from(i16::from_be_bytes(self.array()?)),
            (false, false) => i64::from(i32::from_be_bytes(self.array()?)),
        };
        self.length = Some((len, self.body.len() - self.at));
        match usize::try_from(len) {
            Ok(len) => ControlFlow::Continue(Some(limited(len, self.body.len() - self.at)?)),
            Err(_) if len == -1 && nullable => ControlFlow::Continue(None),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn uvarint(&mut self) -> ControlFlow<(), usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return limited(value as usize, u32::MAX as usize);
            }
        }
        ControlFlow::Break(())
    }

    fn array<const N: usize>(&mut self) -> ControlFlow<(), [u8; N]> {
        match self.take(N)?.first_chunk() {
            Some(bytes) => ControlFlow::Continue(*bytes),
            None => ControlFlow::Break(()),
        }
    }

    fn take(&mut self, len: usize) -> ControlFlow<(), &'a [u8]> {
        let end = self.at.saturating_add(len);
        let Some(bytes) = self.body.get(self.at..end) else { return ControlFlow::Break(()) };
        self.at = end;
        ControlFlow::Continue(bytes)
    }
}

fn limited(value: usize, limit: usize) -> ControlFlow<(), usize> {
    if value <= limit { ControlFlow::Continue(value) } else { ControlFlow::Break(()) }
}
