//! Frames for a comparison with another implementation, written from the declarations alone: the corners of what a schema allows in
//! rotation, chance between them, and nulls where none may stand.
//!
//! A seed, a message and a version give the same frame in every run.

use bytes::Bytes;
use klamm::protocol::{Declaration, Field, Type, Value, Versions};

use super::put_uvarint;

/// What the values of one frame have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Anything, corners included.
    Random,
    /// Each field at its default, no tagged fields.
    Defaults,
    /// The same with every tagged field there, saying its default: whoever writes it again leaves it out.
    DefaultsTagged,
    /// Nothing is null, everything is empty or zero.
    Empty,
    /// Null wherever this version allows it.
    Nulls,
    /// The least number of each type.
    Least,
    /// The greatest.
    Greatest,
    /// Text at and around lengths where its form changes, to the 32,767 bytes it may have.
    LongText,
    /// Text of one to four bytes a character, zero characters and the last of each length among them.
    ForeignText,
    /// Numbers with a fraction that are none: NaN of several kinds, infinite, minus zero, subnormal.
    Floats,
    /// Tagged fields that no declaration knows, in every struct.
    UnknownTags,
    /// Hundreds of elements.
    LargeArrays,
}

/// Which profile a seed has: one turn of the corners, and chance as often as all of them together.
const ROTATION: [Profile; 22] = {
    use Profile::*;
    [
        Random,
        Defaults,
        Random,
        DefaultsTagged,
        Random,
        Empty,
        Random,
        Nulls,
        Random,
        Least,
        Random,
        Greatest,
        Random,
        LongText,
        Random,
        ForeignText,
        Random,
        Floats,
        Random,
        UnknownTags,
        Random,
        LargeArrays,
    ]
};

/// Characters of every length in UTF-8, at both ends.
const FOREIGN: [char; 14] = [
    '\0',
    'a',
    '\u{7f}',
    '\u{80}',
    'é',
    '\u{301}',
    '\u{7ff}',
    '\u{800}',
    '漢',
    '\u{fffd}',
    '\u{ffff}',
    '\u{10000}',
    '🦀',
    '\u{10ffff}',
];
/// Lengths of text at which the form of a length or of a tagged field's size changes.
const TEXT_LENGTHS: [usize; 9] = [1, 126, 127, 128, 129, 16_382, 16_383, 16_384, 32_767];
/// Bits of numbers with a fraction that need care.
const FLOATS: [u64; 9] = [
    0x7ff8_0000_0000_0000,
    // NaN with a payload, and a signalling one.
    0xfff8_0000_0000_0123,
    0x7ff0_0000_0000_0001,
    // Infinite.
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    // Minus zero; the least and the greatest above zero.
    0x8000_0000_0000_0000,
    0x0000_0000_0000_0001,
    0x7fef_ffff_ffff_ffff,
    0x3ff0_0000_0000_0000,
];
/// Bytes of a frame after which text becomes short and arrays hold one element.
const ROOM: usize = 40_000;

/// Writes the values of one frame.
#[derive(Debug)]
pub(crate) struct Values {
    pub(crate) profile: Profile,
    /// Was a NaN written? It equals nothing, itself included.
    pub(crate) has_nan: bool,
    /// How many values were written that could have been null in form, though the version does not allow it.
    pub(crate) never_null: u64,
    /// Which of them is to be null all the same.
    null_at: Option<u64>,
    version: i16,
    flexible: bool,
    is_request_header: bool,
    state: u64,
}

impl Values {
    /// The `seed`th value of a message's version.
    pub(crate) fn new(case: &Declaration, version: i16, seed: u64) -> Self {
        let profile = ROTATION[(seed % ROTATION.len() as u64) as usize];
        let name = case.name.bytes().fold(version as u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self {
            profile,
            has_nan: false,
            never_null: 0,
            null_at: None,
            version,
            flexible: (case.is_flexible)(version),
            is_request_header: case.name == "RequestHeader",
            state: name ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// A frame of `case`.
    pub(crate) fn frame(&mut self, case: &Declaration) -> Bytes {
        let mut out = Vec::new();
        self.put_struct(&mut out, case.fields, self.profile);
        out.into()
    }

    /// The frame of the same seed with a null where the version has none; nothing where a message has no such place.
    pub(crate) fn with_forbidden_null(case: &Declaration, version: i16, seed: u64) -> Option<Bytes> {
        let mut values = Self::new(case, version, seed);
        values.frame(case);
        let places = values.never_null;
        (places > 0).then(|| {
            let null_at = Some(values.below(places));
            Self { null_at, ..Self::new(case, version, seed) }.frame(case)
        })
    }

    /// A number below `n` (splitmix64).
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn put_struct(&mut self, out: &mut Vec<u8>, fields: &[Field], profile: Profile) {
        let version = self.version;
        let has = move |(first, last): Versions| (first..=last).contains(&version);
        for field in fields.iter().filter(|field| has(field.versions) && field.tag.is_none()) {
            self.put(out, field.ty, field, field.nullable.is_some_and(has), profile);
        }
        if !self.flexible {
            return;
        }
        let mut tagged = Vec::new();
        for field in fields.iter().filter(|field| has(field.versions)) {
            let Some(tag) = field.tag else { continue };
            let is_there = match profile {
                Profile::Defaults => false,
                Profile::Random => self.below(2) == 0,
                _ => true,
            };
            if is_there {
                let mut value = Vec::new();
                let nullable = field.nullable.is_some_and(has);
                self.put(&mut value, field.ty, field, nullable, profile);
                // A struct in a tagged field has another null than elsewhere.
                if let (Type::Struct(..), true, [first @ 0xff]) = (field.ty, nullable, &mut value[..]) {
                    *first = 0;
                }
                tagged.push((tag, value));
            }
        }
        if profile == Profile::UnknownTags {
            let mut tag = fields.iter().filter_map(|field| field.tag).max().map_or(0, |last| last + 1);
            for _ in 0..=self.below(3) {
                tag += [0, 1, 127, 16_384][self.below(4) as usize];
                let len = [0, 1, 200][self.below(3) as usize];
                tagged.push((tag, vec![tag as u8; len]));
                tag += 1;
            }
        }
        put_uvarint(out, tagged.len());
        for (tag, value) in tagged {
            put_uvarint(out, tag as usize);
            put_uvarint(out, value.len());
            out.extend(value);
        }
    }

    /// Writes a value of `ty`, that of `field` or of an element of it.
    fn put(&mut self, out: &mut Vec<u8>, ty: Type, field: &Field, nullable: bool, profile: Profile) {
        use Profile::*;
        let null = nullable
            && match profile {
                Nulls => true,
                Defaults | DefaultsTagged => field.default == Value::Null,
                Empty => false,
                _ => self.below(5) == 0,
            };
        match ty {
            // The one text of the protocol that is never compact: a broker reads it before it knows the version.
            _ if self.is_request_header && field.name == "client_id" => {
                let text = if null { None } else { Some(self.text(out.len(), profile)) };
                put_len(out, false, true, text.as_ref().map(String::len));
                out.extend(text.unwrap_or_default().bytes());
            }
            Type::Plain("bool") => out.push(u8::from(match (profile, field.default) {
                (Defaults | DefaultsTagged, default) => default == Value::Bool(true),
                (Empty | Least, _) => false,
                (Greatest, _) => true,
                _ => self.below(2) == 0,
            })),
            Type::Plain("int8") => self.put_number(out, 1, field, profile),
            Type::Plain("int16" | "uint16") | Type::Entity("int16", _) => self.put_number(out, 2, field, profile),
            Type::Plain("int32" | "uint32") | Type::Entity("int32", _) => self.put_number(out, 4, field, profile),
            Type::Plain("int64") | Type::Entity("int64", _) => self.put_number(out, 8, field, profile),
            Type::Plain("float64") => {
                let bits = match (profile, field.default) {
                    (Defaults | DefaultsTagged, Value::Float(default)) => default.to_bits(),
                    (Defaults | DefaultsTagged | Empty, _) => 0,
                    _ => FLOATS[self.below(FLOATS.len() as u64) as usize],
                };
                self.has_nan |= f64::from_bits(bits).is_nan();
                out.extend(bits.to_be_bytes());
            }
            Type::Plain("uuid") => {
                let (high, low) = match profile {
                    Defaults | DefaultsTagged | Empty => (0, 0),
                    Greatest => (u64::MAX, u64::MAX),
                    _ => (self.bits(), self.bits()),
                };
                out.extend([high, low].iter().flat_map(|half| half.to_be_bytes()));
            }
            Type::Plain("string") | Type::Entity("string", _) => {
                let text = if null || self.is_forbidden_null(nullable) { None } else { Some(self.text(out.len(), profile)) };
                put_len(out, self.flexible, true, text.as_ref().map(String::len));
                out.extend(text.unwrap_or_default().bytes());
            }
            Type::Plain("bytes" | "records") => {
                let len = match profile {
                    _ if null || self.is_forbidden_null(nullable) => None,
                    Defaults | DefaultsTagged | Empty => Some(0),
                    LongText if out.len() < ROOM => Some([127, 128, 16_384, 70_000][self.below(4) as usize]),
                    // Long enough now and then to be shared and not copied.
                    _ => Some([0, 1, 50, 600, 5_000][self.below(5) as usize % if out.len() < ROOM { 5 } else { 3 }]),
                };
                put_len(out, self.flexible, false, len);
                let byte = self.bits() as u8;
                out.resize(out.len() + len.unwrap_or(0), byte);
            }
            Type::Array(item) => {
                let len = match profile {
                    _ if null || self.is_forbidden_null(nullable) => None,
                    Defaults | DefaultsTagged | Empty => Some(0),
                    _ if out.len() > ROOM => Some(self.below(2)),
                    LargeArrays if out.len() < 1_000 => Some(126 + self.below(300)),
                    Random => Some(self.below(4)),
                    _ => Some(1 + self.below(2)),
                };
                put_len(out, self.flexible, false, len.map(|len| len as usize));
                (0..len.unwrap_or(0)).for_each(|_| self.put(out, *item, field, false, profile));
            }
            Type::Struct(_, fields) => {
                if nullable {
                    out.push(if null { 0xff } else { 1 });
                }
                if !null {
                    self.put_struct(out, fields, profile);
                }
            }
            other => panic!("no such type: {other:?}"),
        }
    }

    fn put_number(&mut self, out: &mut Vec<u8>, size: usize, field: &Field, profile: Profile) {
        use Profile::*;
        let (least, greatest) = match field.ty {
            Type::Plain("uint16" | "uint32") => (0, u64::MAX),
            _ => (1 << (size * 8 - 1), (1 << (size * 8 - 1)) - 1),
        };
        let number = match (profile, field.default) {
            (Defaults | DefaultsTagged, Value::Int(default)) => default as u64,
            (Defaults | DefaultsTagged | Empty, _) => 0,
            (Least, _) => least,
            (Greatest, _) => greatest,
            _ => match self.below(8) {
                0 => 0,
                1 => 1,
                2 => u64::MAX,
                3 => least,
                4 => greatest,
                _ => self.bits(),
            },
        };
        out.extend(&number.to_be_bytes()[8 - size..]);
    }

    fn text(&mut self, written: usize, profile: Profile) -> String {
        use Profile::*;
        let len = match profile {
            Defaults | DefaultsTagged | Empty => return String::new(),
            LongText if written < ROOM => TEXT_LENGTHS[self.below(TEXT_LENGTHS.len() as u64) as usize],
            LargeArrays => 5,
            _ => self.below(20) as usize,
        };
        let mut text = String::with_capacity(len + 4);
        let is_foreign = profile == ForeignText || profile == Random && self.below(4) == 0;
        while text.len() < len {
            let drawn = self.bits();
            text.push(if is_foreign { FOREIGN[drawn as usize % FOREIGN.len()] } else { char::from(b' ' + (drawn % 95) as u8) });
        }
        text
    }

    /// Is this the place for a null that may not be?
    fn is_forbidden_null(&mut self, nullable: bool) -> bool {
        if nullable {
            return false;
        }
        self.never_null += 1;
        self.null_at == Some(self.never_null - 1)
    }
}

fn put_len(out: &mut Vec<u8>, is_compact: bool, short: bool, len: Option<usize>) {
    match (is_compact, short) {
        (true, _) => put_uvarint(out, len.map_or(0, |len| len + 1)),
        (false, true) => out.extend(len.map_or(-1, |len| len as i16).to_be_bytes()),
        (false, false) => out.extend(len.map_or(-1, |len| len as i32).to_be_bytes()),
    }
}
