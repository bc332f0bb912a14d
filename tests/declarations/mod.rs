//! Random frames of every declared message, written from the declarations alone: an encoder that shares no code with
//! the one under test.
#![allow(dead_code, reason = "each test crate uses its own part")]

pub(crate) mod values;

use bytes::Bytes;
use klamm::protocol::{DECLARATIONS, Declaration, DecodeError, Field, RecodeError, Type, Value, Versions};

/// All declared messages.
pub(crate) fn cases() -> &'static [Declaration] {
    DECLARATIONS
}

/// Decodes and encodes again; what was read in a version can be written in it, with the size foretold.
pub(crate) fn recode(case: &Declaration, bytes: &Bytes, version: i16) -> Result<Vec<u8>, DecodeError> {
    match (case.recode)(bytes, version) {
        Ok(recoded) => {
            let out = recoded.buffers.concat();
            assert_eq!(out.len(), recoded.encoded_len, "size and bytes agree");
            Ok(out)
        }
        Err(RecodeError::Decode(error)) => Err(error),
        Err(RecodeError::Encode(error)) => panic!("{} version {version} cannot be written again: {error}", case.name),
    }
}

/// Writes random messages of one version.
pub(crate) struct Random {
    pub(crate) seed: u64,
    pub(crate) version: i16,
    pub(crate) flexible: bool,
    /// Adds tagged fields that no declaration knows.
    pub(crate) unknown_tags: bool,
    /// The longest text, in characters of two bytes.
    pub(crate) longest_text: u64,
}

impl Random {
    pub(crate) fn new(case: &Declaration, version: i16, seed: u64) -> Self {
        Self { seed, version, flexible: (case.is_flexible)(version), unknown_tags: false, longest_text: 100 }
    }

    /// A random frame of `case`.
    pub(crate) fn frame(&mut self, case: &Declaration) -> Bytes {
        let mut frame = Vec::new();
        self.put_struct(&mut frame, case.fields);
        frame.into()
    }

    /// A number below `n` (splitmix64).
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn put_struct(&mut self, out: &mut Vec<u8>, fields: &[Field]) {
        let version = self.version;
        let has = move |(first, last): Versions| (first..=last).contains(&version);
        for field in fields.iter().filter(|field| has(field.versions) && field.tag.is_none()) {
            self.put(out, field.ty, field.nullable.is_some_and(has));
        }
        if !self.flexible {
            return;
        }
        let mut tagged = Vec::new();
        for field in fields.iter().filter(|field| has(field.versions)) {
            let Some(tag) = field.tag else { continue };
            if self.below(2) == 0 {
                let mut value = Vec::new();
                match field.default {
                    Value::Bool(default) => value.push(u8::from(!default)),
                    _ => self.put_tagged(&mut value, field, field.nullable.is_some_and(has)),
                }
                tagged.push((tag, value));
            }
        }
        if self.unknown_tags {
            tagged.push((9000, vec![7; self.below(300) as usize]));
        }
        put_uvarint(out, tagged.len());
        for (tag, value) in tagged {
            put_uvarint(out, tag as usize);
            put_uvarint(out, value.len());
            out.extend(value);
        }
    }

    /// The value of a tagged field: not its default, which would be left out.
    fn put_tagged(&mut self, out: &mut Vec<u8>, field: &Field, nullable: bool) {
        let null = nullable && field.default != Value::Null && self.below(4) == 0;
        match field.ty {
            // Here alone a struct's marker is 0 for null.
            Type::Struct(..) if null => out.push(0),
            Type::Struct(_, fields) if nullable => {
                out.push(1);
                self.put_struct(out, fields);
            }
            ty if null => self.put_len(out, matches!(ty, Type::Plain("string") | Type::Entity("string", _)), None),
            ty => self.put(out, ty, false),
        }
    }

    /// A value that is no field's default (so that a tagged field is not left out), or null.
    fn put(&mut self, out: &mut Vec<u8>, ty: Type, nullable: bool) {
        let null = nullable && self.below(4) == 0;
        let number = self.below(100) as u8 + 1;
        match ty {
            Type::Plain("bool") => out.push(number % 2),
            Type::Plain("int8") => out.push(number),
            Type::Plain("int16" | "uint16") => out.extend([0, number]),
            Type::Plain("int32") | Type::Entity("int32", _) => out.extend([number, 0xff, 0, number]),
            Type::Plain("int64" | "float64") | Type::Entity("int64", _) => out.extend([number, 1, 2, 3, 4, 5, 6, number]),
            Type::Plain("uuid") => out.extend([number; 16]),
            Type::Plain("string") | Type::Entity("string", _) => {
                let text = "é".repeat(1 + self.below(self.longest_text) as usize);
                self.put_len(out, true, (!null).then_some(text.len()));
                out.extend(if null { b"" } else { text.as_bytes() });
            }
            Type::Plain("bytes" | "records") => {
                let len = if null { 0 } else { usize::from(number) * usize::from(number) };
                self.put_len(out, false, (!null).then_some(len));
                out.resize(out.len() + len, number);
            }
            Type::Fixed(ty) => {
                let flexible = std::mem::replace(&mut self.flexible, false);
                self.put(out, Type::Plain(ty), nullable);
                self.flexible = flexible;
            }
            Type::Array(item) => {
                let len = if null { 0 } else { 1 + self.below(3) as usize };
                self.put_len(out, false, (!null).then_some(len));
                (0..len).for_each(|_| self.put(out, *item, false));
            }
            Type::Struct(_, fields) => {
                out.extend(nullable.then_some(if null { 0xff } else { 1 }));
                if !null {
                    self.put_struct(out, fields);
                }
            }
            other => panic!("no such type: {other:?}"),
        }
    }

    fn put_len(&mut self, out: &mut Vec<u8>, short: bool, len: Option<usize>) {
        match (self.flexible, short) {
            (true, _) => put_uvarint(out, len.map_or(0, |len| len + 1)),
            (false, true) => out.extend(len.map_or(-1, |len| len as i16).to_be_bytes()),
            (false, false) => out.extend(len.map_or(-1, |len| len as i32).to_be_bytes()),
        }
    }
}

/// An unsigned varint.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
