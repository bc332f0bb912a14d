//! Reading and writing wire values.
//!
//! [`Wire`] is implemented by every type a field can have; the version is in [`Cx`], so one impl serves all versions. Writing
//! cannot fail: what could (a null, or a value, that a version has no place for) is found by `check` before. Reading trusts
//! nothing: each length is compared with the bytes left before anything is allocated.

use bytes::Bytes;

use crate::protocol::reflect::{Type, Value};

/// What decides the form of a value: the message version, and what follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Cx {
    /// Version of the message.
    pub version: i16,
    /// Compact lengths and tagged fields?
    pub flexible: bool,
    /// May the field at hand be null in this version? Set anew for each field.
    pub nullable: bool,
}

/// A value as it stands on the wire.
pub trait Wire: Sized + PartialEq {
    /// How the official schemas name this type.
    const TYPE: Type;
    /// How its null form looks, for `Option<Self>`.
    const NULL: Null;
    /// The value of a field whose declaration gives no default.
    fn initial() -> Self;
    /// Bytes that `put` will write.
    fn size(&self, cx: Cx) -> usize;
    /// Writes the value.
    fn put(&self, w: &mut Writer, cx: Cx);
    /// Reads a value.
    fn take(r: &mut Reader<'_>, cx: Cx) -> Result<Self, DecodeError>;
    /// Finds what this version cannot carry.
    fn check(&self, _cx: Cx) -> Result<(), EncodeError> {
        Ok(())
    }
    /// The value in a form that can be compared with a schema's default.
    fn value(&self) -> Value {
        Value::Empty
    }
}

/// What says that a value is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Null {
    /// A length of -1 in two bytes (strings).
    Short,
    /// A length of -1 in four bytes (bytes, records, arrays).
    Long,
    /// A byte of its own: 1, or -1 for null (structs).
    Marker,
}

impl Null {
    /// The null form.
    pub(crate) fn bytes(self, cx: Cx) -> &'static [u8] {
        match self {
            Self::Marker => &[0xff],
            _ if cx.flexible => &[0],
            Self::Short => &[0xff; 2],
            Self::Long => &[0xff; 4],
        }
    }
}

/// Where and why a frame could not be read; `left` counts bytes from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame ends inside a value.
    Truncated {
        /// Bytes from the frame's end.
        left: usize,
    },
    /// A length is negative, longer than the frame has bytes, or malformed.
    BadLength {
        /// Bytes from the frame's end.
        left: usize,
    },
    /// Text is not UTF-8, or too long.
    BadText {
        /// Bytes from the frame's end.
        left: usize,
    },
    /// A null where this version has none.
    UnexpectedNull {
        /// Bytes from the frame's end.
        left: usize,
    },
    /// Bytes follow where the value has ended.
    Trailing {
        /// Bytes from the frame's end.
        left: usize,
    },
    /// The message is not declared for this version.
    UnsupportedVersion(i16),
    /// No such API is declared.
    UnknownApi(i16),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, left) = match self {
            Self::Truncated { left } => ("the frame ends inside a value", left),
            Self::BadLength { left } => ("a length is negative, malformed or longer than the frame", left),
            Self::BadText { left } => ("text is not UTF-8", left),
            Self::UnexpectedNull { left } => ("null where this version has none", left),
            Self::Trailing { left } => ("bytes are left over after the value", left),
            Self::UnsupportedVersion(version) => return write!(f, "version {version} of the message is not known"),
            Self::UnknownApi(key) => return write!(f, "API {key} is not known"),
        };
        write!(f, "{what}, {left} bytes before the frame's end")
    }
}

impl std::error::Error for DecodeError {}

/// A message holds what cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// A field is set that this version does not have and that may not be dropped.
    NotInVersion {
        /// The field; of an inner struct, the outermost field that holds it.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null where this version has no null.
    Null {
        /// The field; empty until known.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The message is not declared for this version.
    UnsupportedVersion(i16),
    /// The frame would be longer than its length field can say.
    TooLarge {
        /// The frame's length.
        len: usize,
    },
}

impl EncodeError {
    /// Names the field where that was not yet known.
    pub(crate) fn or_in(self, field: &'static str) -> Self {
        match self {
            Self::Null { field: "", version } => Self::Null { field, version },
            other => other,
        }
    }
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotInVersion { field, version } => write!(f, "{field} is set, but version {version} has no such field"),
            Self::Null { field, version } => write!(f, "{field} is null, which version {version} does not allow"),
            Self::UnsupportedVersion(version) => write!(f, "version {version} of the message is not known"),
            Self::TooLarge { len } => write!(f, "the message is too large: {len} bytes do not fit one frame"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// A cursor over one frame; text and bytes read from it share the frame's memory.
#[derive(Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `frame`.
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, rest: frame }
    }

    /// Number of bytes not read yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// What is not read yet, sharing the frame's memory.
    pub fn rest(&self) -> Bytes {
        self.frame.slice_ref(self.rest)
    }

    /// Reads `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated { left: self.left() })?;
        self.rest = rest;
        Ok(*head)
    }

    /// Reads `len` bytes without copying them.
    #[inline]
    pub fn shared(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated { left: self.left() })?;
        self.rest = rest;
        Ok(self.frame.slice_ref(head))
    }

    /// Skips a null form if it comes next.
    #[inline]
    pub fn skip_null(&mut self, null: Null, cx: Cx) -> bool {
        // Spelled out for the compiler: with fixed lengths each of these is one comparison of integers.
        let rest = match null {
            Null::Marker => self.rest.strip_prefix(&[0xff]),
            _ if cx.flexible => self.rest.strip_prefix(&[0]),
            Null::Short => self.rest.strip_prefix(&[0xff; 2]),
            Null::Long => self.rest.strip_prefix(&[0xff; 4]),
        };
        rest.map(|rest| self.rest = rest).is_some()
    }

    /// Reads an unsigned varint of at most five bytes.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| DecodeError::BadLength { left: self.left() });
            }
        }
        Err(DecodeError::BadLength { left: self.left() })
    }

    /// Reads a length. Whatever is counted takes at least one byte apiece, so more than what is left is refused here.
    #[inline]
    pub fn len(&mut self, null: Null, cx: Cx) -> Result<usize, DecodeError> {
        let len = match null {
            _ if cx.flexible => i64::from(self.uvarint()?) - 1,
            Null::Short => i64::from(i16::from_be_bytes(self.array()?)),
            _ => i64::from(i32::from_be_bytes(self.array()?)),
        };
        match usize::try_from(len) {
            Ok(len) if len <= self.left() => Ok(len),
            Err(_) if len == -1 => Err(DecodeError::UnexpectedNull { left: self.left() }),
            _ => Err(DecodeError::BadLength { left: self.left() }),
        }
    }

    /// Reads a struct's tagged fields. `known` reads the value of a tag it knows and says so; others are skipped.
    pub fn tags(&mut self, mut known: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>) -> Result<(), DecodeError> {
        for _ in 0..self.uvarint()? {
            let (tag, len) = (self.uvarint()?, self.uvarint()? as usize);
            let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::BadLength { left: self.left() })?;
            let mut value = Self { frame: self.frame, rest: head };
            if known(tag, &mut value)? && value.left() > 0 {
                return Err(DecodeError::Trailing { left: rest.len() + value.left() });
            }
            self.rest = rest;
        }
        Ok(())
    }
}

/// Collects a message as a list of buffers, so that record batches go to the socket uncopied.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    done: Vec<Bytes>,
}

impl Writer {
    /// From this size on, sharing a buffer is cheaper than copying it.
    const SHARE: usize = 4096;

    /// With room for `bytes` bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), done: Vec::new() }
    }

    /// Copies `bytes`.
    #[inline]
    pub fn copy(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Adds `bytes`, sharing them where they are large.
    pub fn share(&mut self, bytes: &Bytes) {
        if bytes.len() < Self::SHARE {
            return self.copy(bytes);
        }
        self.done.push(std::mem::take(&mut self.out).into());
        self.done.push(bytes.clone());
    }

    /// Writes an unsigned varint.
    #[inline]
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// Writes a length.
    #[inline]
    pub fn len(&mut self, len: usize, null: Null, cx: Cx) {
        match null {
            _ if cx.flexible => self.uvarint(len as u32 + 1),
            Null::Short => self.copy(&(len as i16).to_be_bytes()),
            _ => self.copy(&(len as i32).to_be_bytes()),
        }
    }

    /// What was written, in order, ready for a vectored write.
    pub fn finish(mut self) -> Vec<Bytes> {
        self.done.push(self.out.into());
        self.done
    }
}

/// Bytes an unsigned varint takes.
#[inline]
pub(crate) fn uvarint_size(value: u32) -> usize {
    (38 - (value | 1).leading_zeros() as usize) / 7
}

/// Bytes a length takes.
#[inline]
pub(crate) fn len_size(len: usize, null: Null, cx: Cx) -> usize {
    if cx.flexible { uvarint_size(len as u32 + 1) } else { null.bytes(cx).len() }
}

/// Bytes a tagged field takes: number, size, value.
pub(crate) fn tag_size(tag: u32, size: usize) -> usize {
    uvarint_size(tag) + uvarint_size(size as u32) + size
}
