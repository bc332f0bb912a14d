//! What a declaration says, as data. Only tests read it: they compare it with the official message schemas.

use std::ops::{Bound, RangeBounds};

/// First and last version; the last is `i16::MAX` where it is open.
pub type Versions = (i16, i16);

/// One field of a struct.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Field {
    pub name: &'static str,
    pub ty: Type,
    pub versions: Versions,
    pub nullable: Option<Versions>,
    pub tag: Option<u32>,
    pub key: bool,
    pub ignorable: bool,
    pub default: Value,
}

/// A field's type in the schemas' words; an entity is a plain type and what it stands for.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Type {
    Plain(&'static str),
    Entity(&'static str, &'static str),
    Array(&'static Type),
    Struct(fn() -> Vec<Field>),
}

/// A default; `Empty` stands for empty text, bytes, arrays, structs and the zero id.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Null,
    Empty,
    Bool(bool),
    Int(i64),
    Float(f64),
}

/// A range as written in a declaration.
pub(crate) fn versions(range: impl RangeBounds<i16>) -> Versions {
    let end = |bound: Bound<&i16>, open| if let Bound::Included(version) = bound { *version } else { open };
    (end(range.start_bound(), 0), end(range.end_bound(), i16::MAX))
}
