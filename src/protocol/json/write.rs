//! From bytes to JSON.

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Map, Number, Value as Json};

use crate::protocol::declaration::Declaration;
use crate::protocol::decode_error::{DecodeError, DecodeErrorKind};
use crate::protocol::json::{BASE64, JsonError, RecordsForm, Shape, has};
use crate::protocol::primitives::{Str, Uuid};
use crate::protocol::reflect::Type;
use crate::protocol::wire::{Cx, Null, Reader};

/// See `to_json`.
pub(super) fn message(declaration: &Declaration, version: i16, body: &Bytes, records: RecordsForm) -> Result<Json, JsonError> {
    let walk = Walk { cx: Cx { version, flexible: (declaration.is_flexible)(version), nullable: false }, records };
    // The decoder first: it has the limits, and its word on what is wrong.
    let written = (declaration.decode)(body, version).and_then(|()| {
        let mut r = Reader::new(body);
        walk.structure(&Shape::all(declaration.fields), &mut r)
    });
    written.map_err(|error| JsonError {
        message: "",
        version,
        path: String::new(),
        what: (declaration.explain)(body, version, error),
    })
}

struct Walk {
    cx: Cx,
    records: RecordsForm,
}

impl Walk {
    fn structure(&self, shapes: &[Shape], r: &mut Reader<'_>) -> Result<Json, DecodeError> {
        let version = self.cx.version;
        // By place in the declaration, for tagged fields come last whatever their place.
        let mut values: Vec<Option<Json>> = Vec::new();
        for shape in shapes {
            let is_body = has(shape.field.versions, version) && shape.field.tag.is_none();
            values.push(if is_body { Some(self.field(shape, r)?) } else { None });
        }
        if self.cx.flexible {
            r.tags(&mut |tag, r| {
                let known = shapes.iter().zip(&mut values);
                let mut known = known.filter(|(shape, _)| has(shape.field.versions, version));
                let Some((shape, value)) = known.find(|(shape, _)| shape.field.tag == Some(tag)) else { return Ok(false) };
                // Whoever wrote a default all the same said nothing by it.
                *value = Some(self.tagged(shape, r)?).filter(|value| !shape.is_default(value));
                Ok(true)
            })?;
        }
        let mut object = Map::new();
        for (shape, value) in shapes.iter().zip(values) {
            let Some(value) = value else { continue };
            let name = match shape.field.ty {
                Type::Plain("records") if value.is_number() => format!("{}SizeInBytes", shape.name),
                _ => shape.name.clone(),
            };
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }

    fn field(&self, shape: &Shape, r: &mut Reader<'_>) -> Result<Json, DecodeError> {
        let nullable = shape.field.nullable.is_some_and(|versions| has(versions, self.cx.version));
        match shape.field.ty {
            // Its length has the old form whatever the version.
            Type::Fixed(name) => {
                let fixed = Self { cx: Cx { flexible: false, ..self.cx }, records: self.records };
                fixed.value(Type::Plain(name), &[], nullable, r)
            }
            ty => self.value(ty, &shape.inner, nullable, r),
        }
    }

    /// The value of a tagged field: a struct that may be null has another marker there than elsewhere.
    fn tagged(&self, shape: &Shape, r: &mut Reader<'_>) -> Result<Json, DecodeError> {
        let nullable = shape.field.nullable.is_some_and(|versions| has(versions, self.cx.version));
        match shape.field.ty {
            Type::Struct(..) if nullable => match r.array()? {
                [0] => Ok(Json::Null),
                [1] => self.structure(&shape.inner, r),
                _ => Err(r.error(DecodeErrorKind::BadLength)),
            },
            _ => self.field(shape, r),
        }
    }

    fn value(&self, ty: Type, inner: &[Shape], nullable: bool, r: &mut Reader<'_>) -> Result<Json, DecodeError> {
        let null = match ty {
            Type::Plain("string") | Type::Entity("string", _) | Type::Fixed("string") => Null::Short,
            Type::Struct(..) => Null::Marker,
            _ => Null::Long,
        };
        if nullable && r.skip_null(null, self.cx) {
            return Ok(Json::Null);
        }
        Ok(match ty {
            Type::Array(item) => {
                let count = r.len(null, self.cx)?;
                let items = (0..count).map(|_| self.value(*item, inner, false, r));
                Json::Array(items.collect::<Result<_, _>>()?)
            }
            Type::Struct(..) => {
                if nullable && r.array()? != [1] {
                    return Err(r.error(DecodeErrorKind::BadLength));
                }
                self.structure(inner, r)?
            }
            Type::Plain(name) | Type::Entity(name, _) | Type::Fixed(name) => match name {
                "bool" => (r.array()? != [0]).into(),
                "int8" => i8::from_be_bytes(r.array()?).into(),
                "int16" => i16::from_be_bytes(r.array()?).into(),
                "uint16" => u16::from_be_bytes(r.array()?).into(),
                "int32" => i32::from_be_bytes(r.array()?).into(),
                "int64" => i64::from_be_bytes(r.array()?).into(),
                "float64" => float_to_json(f64::from_be_bytes(r.array()?)),
                "uuid" => Uuid(r.array()?).to_string().into(),
                "string" => {
                    let len = r.len(null, self.cx)?;
                    let text = Str::new(r.shared(len)?).ok_or_else(|| r.error(DecodeErrorKind::BadText))?;
                    text.as_str().into()
                }
                _ => {
                    let len = r.len(null, self.cx)?;
                    let bytes = r.shared(len)?;
                    match (name, self.records) {
                        ("records", RecordsForm::Size) => len.into(),
                        _ => BASE64.encode(&bytes).into(),
                    }
                }
            },
        })
    }
}

/// A number, or, where JSON has none, a string.
fn float_to_json(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}
