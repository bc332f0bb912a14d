//! Valid messages made from their declarations and fuzzed choices: an encoder that shares no code with the one under test.

use klamm::protocol::{DECLARATIONS, Declaration, Field, Kind, Type, Value, Versions};

use crate::input::Input;

/// The declaration of this number. A name's number is its hash, so that seeds keep their meaning when messages are added; a number
/// that is none stands for the next one.
pub(crate) fn by_number(number: u16, is_meant: impl Fn(Kind) -> bool) -> Option<&'static Declaration> {
    let declarations = DECLARATIONS.iter().filter(|declaration| is_meant(declaration.kind));
    declarations.min_by_key(|declaration| number_of(declaration.name).wrapping_sub(number))
}

/// The number of a message's name in inputs: FNV-1a, folded.
pub fn number_of(name: &str) -> u16 {
    let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 16 ^ hash) as u16
}

/// The request or response of this API; a number that is none stands for the next one.
pub(crate) fn of_api(api_key: u8, kind: Kind) -> Option<&'static Declaration> {
    let declarations = DECLARATIONS.iter().filter(|declaration| declaration.kind == kind);
    declarations.min_by_key(|declaration| (declaration.api_key as u16).wrapping_sub(u16::from(api_key)))
}

/// The version of this number: numbers beyond the last begin anew, so that few are wasted on versions that are not there.
pub(crate) fn version(declaration: &Declaration, number: u8) -> i16 {
    let (first, last) = declaration.versions;
    match i16::from(number) {
        number if (first..=last).contains(&number) => number,
        number => first + number % (last - first + 1),
    }
}

/// Writes messages of one version.
pub(crate) struct Message<'a, 'b> {
    pub(crate) input: &'a mut Input<'b>,
    pub(crate) version: i16,
    pub(crate) flexible: bool,
    /// Tagged fields that no declaration knows?
    pub(crate) unknown_tags: bool,
    /// Values that are left.
    budget: usize,
}

impl<'a, 'b> Message<'a, 'b> {
    pub(crate) fn new(input: &'a mut Input<'b>, declaration: &Declaration, version: i16) -> Self {
        let flexible = (declaration.is_flexible)(version);
        Self { input, version, flexible, unknown_tags: false, budget: 4096 }
    }

    /// A message as it must be written.
    pub(crate) fn body(&mut self, declaration: &Declaration) -> Vec<u8> {
        let mut body = Vec::new();
        self.put_struct(&mut body, declaration.fields, false);
        body
    }

    /// A struct; `set` is one whose first field is no default, and so is none itself.
    fn put_struct(&mut self, out: &mut Vec<u8>, fields: &[Field], set: bool) {
        let version = self.version;
        let has = move |(first, last): Versions| (first..=last).contains(&version);
        for (at, field) in fields.iter().filter(|field| has(field.versions) && field.tag.is_none()).enumerate() {
            let set = set && at == 0;
            match field.default {
                Value::Bool(default) if set => out.push(u8::from(!default)),
                _ => self.put(out, field.ty, field.nullable.is_some_and(has), set),
            }
        }
        if !self.flexible {
            return;
        }
        let mut tagged: Vec<(u32, Vec<u8>)> = Vec::new();
        for field in fields.iter().filter(|field| has(field.versions)) {
            let Some(tag) = field.tag else { continue };
            if !self.input.flag() {
                continue;
            }
            let mut value = Vec::new();
            match field.default {
                Value::Bool(default) => value.push(u8::from(!default)),
                // A value that is the default would be left out. Null is that of nullable fields; the others are never drawn.
                _ => {
                    value.extend((matches!(field.ty, Type::Struct(..)) && field.nullable.is_some_and(has)).then_some(1));
                    self.put(&mut value, field.ty, false, true);
                }
            }
            tagged.push((tag, value));
        }
        if self.unknown_tags && self.input.flag() {
            tagged.push((9000 + u32::from(self.input.byte()), self.input.piece().to_vec()));
        }
        tagged.sort();
        put_uvarint(out, tagged.len());
        for (tag, value) in tagged {
            put_uvarint(out, tag as usize);
            put_uvarint(out, value.len());
            out.extend(value);
        }
    }

    /// A value; `set` is one that is no field's default.
    fn put(&mut self, out: &mut Vec<u8>, ty: Type, nullable: bool, set: bool) {
        self.budget = self.budget.saturating_sub(1);
        let null = nullable && !set && self.input.below(4) == 1;
        match ty {
            Type::Plain("bool") => out.push(u8::from(set || self.input.flag())),
            Type::Plain("int8" | "uint8") => self.put_number(out, 1, set),
            Type::Plain("int16" | "uint16") => self.put_number(out, 2, set),
            Type::Plain("int32" | "uint32") | Type::Entity("int32", _) => self.put_number(out, 4, set),
            Type::Plain("int64" | "float64") | Type::Entity("int64", _) => self.put_number(out, 8, set),
            Type::Plain("uuid") => self.put_number(out, 16, set),
            Type::Plain("string") | Type::Entity("string", _) => {
                let text = if set { "é" } else { self.input.text() };
                self.put_len(out, true, (!null).then_some(text.len()));
                out.extend(if null { b"" } else { text.as_bytes() });
            }
            Type::Plain("bytes" | "records") => {
                let bytes = if set { b"\0" } else { self.input.piece() };
                self.put_len(out, false, (!null).then_some(bytes.len()));
                out.extend(if null { b"" } else { bytes });
            }
            Type::Fixed(ty) => {
                let flexible = std::mem::replace(&mut self.flexible, false);
                self.put(out, Type::Plain(ty), nullable, set);
                self.flexible = flexible;
            }
            Type::Array(item) => {
                let len = if self.budget == 0 { 0 } else { self.input.below(4) }.max(usize::from(set));
                let len = if null { 0 } else { len };
                self.put_len(out, false, (!null).then_some(len));
                (0..len).for_each(|_| self.put(out, *item, false, false));
            }
            Type::Struct(.., fields) => {
                out.extend(nullable.then_some(if null { 0xff } else { 1 }));
                if !null {
                    self.put_struct(out, fields, set);
                }
            }
            other => panic!("no such type: {other:?}"),
        }
    }

    fn put_number(&mut self, out: &mut Vec<u8>, size: usize, set: bool) {
        let start = out.len();
        match if set { 0x40 } else { self.input.byte() } {
            0x00 => out.resize(start + size, 0),
            0x01 => out.resize(start + size, 0xff),
            0x02 => {
                out.push(0x7f);
                out.resize(start + size, 0xff);
            }
            0x03 => {
                out.push(0x80);
                out.resize(start + size, 0);
            }
            0x04 => {
                let bytes = self.input.slice(size);
                out.extend(bytes);
                out.resize(start + size, 0);
            }
            other => {
                out.resize(start + size - 1, if set { 0x21 } else { 0 });
                out.push(other);
            }
        }
    }

    fn put_len(&self, out: &mut Vec<u8>, short: bool, len: Option<usize>) {
        match (self.flexible, short) {
            (true, _) => put_uvarint(out, len.map_or(0, |len| len + 1)),
            (false, true) => out.extend(len.map_or(-1, |len| len as i16).to_be_bytes()),
            (false, false) => out.extend(len.map_or(-1, |len| len as i32).to_be_bytes()),
        }
    }
}

/// An unsigned varint.
fn put_uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
