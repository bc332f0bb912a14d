//! Reading and writing wire values.
//!
//! [`Wire`] is implemented by every type a field can have; the version is in [`Cx`], so one impl serves all versions. Writing
//! cannot fail: what could (a null, or a value, that a version has no place for) is found by `check` before. Reading trusts
//! nothing: each length is compared with the bytes left before anything is allocated.

use bytes::Bytes;

use crate::protocol::decode_error::{DecodeError, DecodeErrorKind};
use crate::protocol::reflect::{Field, Type, Value};
use crate::protocol::summary::Summary;
use crate::protocol::unfit::Unfit;

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

impl Cx {
    /// The same inside a message, in whatever version it is.
    #[inline]
    pub(crate) fn message(self, _: Summary) -> Self {
        Self { nullable: false, ..self }
    }

    /// The same inside a struct that is in some versions only, and in no other; said where its code begins, that tells the compiler
    /// which fields are in all of them.
    #[inline]
    pub(crate) fn inner(self, summary: Summary) -> Self {
        let (first, last) = summary.lives;
        let version = if first > 0 { self.version.max(first) } else { self.version };
        Self { version: if last < i16::MAX { version.min(last) } else { version }, nullable: false, ..self }
    }

    /// The same for a field that may be null, or may not.
    #[inline]
    #[must_use]
    pub fn or_null(self, nullable: bool) -> Self {
        Self { nullable, ..self }
    }

    /// Bytes that say that a struct has no tagged fields.
    #[inline]
    pub(crate) fn no_tags_size(self) -> usize {
        usize::from(self.flexible)
    }
}

/// A value as it stands on the wire.
pub trait Wire: Sized + Default + PartialEq {
    /// How the official schemas name this type.
    const TYPE: Type;
    /// How its null form looks, for `Option<Self>`.
    const NULL: Null = Null::Marker;
    /// Its fields, if it is a struct, in the order of the wire: for tools and tests.
    const FIELDS: &'static [Field] = &[];
    /// The size, where it is the same for every value in every version; else 0.
    const FIXED: usize = 0;
    /// `initial` in a form that can be compared with a schema's default.
    const INITIAL: Value = Value::Empty;
    /// Can `check` find anything at all, in any version?
    const CHECKED: bool = true;
    /// What is known of the type without a value.
    const SUMMARY: Summary = Summary::of(Self::FIELDS);
    /// The value of a field whose declaration gives no default.
    fn initial() -> Self {
        Self::default()
    }
    /// Bytes that `put` will write. Those of them that it will share and not copy, for which the writer's own buffer need not have
    /// room, are added to `shared`.
    fn size(&self, cx: Cx, shared: &mut usize) -> usize;
    /// Writes the value, and gives back the room that is left.
    fn put<'a>(&self, room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a>;
    /// Reads a value.
    #[inline]
    fn take(r: &mut Reader<'_>, cx: Cx) -> Result<Self, DecodeError> {
        let mut rest = r.rest;
        let value = Self::take_next(r, &mut rest, cx);
        r.rest = rest;
        value
    }
    /// As `take`, from a copy of what the reader has left, and behind which the reader itself stays: a run of values is read without
    /// touching the reader.
    fn take_next<'a>(r: &mut Reader<'a>, rest: &mut &'a [u8], cx: Cx) -> Result<Self, DecodeError>;
    /// Writes a value of a fixed size into exactly so many bytes.
    #[inline]
    fn to_fixed(&self, _to: &mut [u8]) {}
    /// A value of a fixed size, from exactly so many bytes.
    #[inline]
    fn from_fixed(_bytes: &[u8]) -> Self {
        Self::initial()
    }
    /// Finds what this version cannot carry. `whole`: also what no version can, which is looked for when the size is out of bounds.
    fn check(&self, _cx: Cx, _whole: bool) -> Result<(), Unfit> {
        Ok(())
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

/// A cursor over one frame; text and bytes read from it share the frame's memory.
///
/// A frame of a few bytes can claim to hold millions of things that each take a hundred bytes once decoded. So whatever is
/// allocated is first paid for from a budget that follows from the frame's size.
#[derive(Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    pub(crate) rest: &'a [u8],
    /// Bytes that may still be allocated.
    budget: usize,
}

impl<'a> Reader<'a> {
    /// What any frame may allocate, beside [`BUDGET_FACTOR`](Self::BUDGET_FACTOR) times its size.
    pub const BUDGET_BASE: usize = 1 << 20;
    /// How much larger than its frame a message may be. The largest honest ratio is between 6 and 7 (verdicts on topics with short names).
    pub const BUDGET_FACTOR: usize = 8;
    /// The largest number of elements in an array, as in Kafka.
    pub const MAX_ELEMENTS: usize = 1_000_000;
    /// The largest number of tagged fields in one struct.
    pub const MAX_TAGS: u32 = 10_000;

    /// Starts at the first byte of `frame`.
    pub fn new(frame: &'a Bytes) -> Self {
        let budget = frame.len().saturating_mul(Self::BUDGET_FACTOR).saturating_add(Self::BUDGET_BASE);
        Self { frame, rest: frame, budget }
    }

    /// Number of bytes not read yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// What is not read yet, sharing the frame's memory.
    pub fn rest(&self) -> Bytes {
        self.frame.slice_ref(self.rest)
    }

    /// An error at this place.
    #[cold]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, left: self.left() }
    }

    /// Reads `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.rest.split_first_chunk() else { return Err(self.error(DecodeErrorKind::Truncated)) };
        self.rest = rest;
        Ok(*head)
    }

    /// Reads `len` bytes without copying them.
    #[inline]
    pub fn shared(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else { return Err(self.error(DecodeErrorKind::Truncated)) };
        self.rest = rest;
        Ok(self.share(head))
    }

    /// `part` of the frame, sharing its memory.
    #[inline]
    pub(crate) fn share(&self, part: &[u8]) -> Bytes {
        // What is empty shares nothing: no count to keep.
        if part.is_empty() {
            return Bytes::new();
        }
        // As `slice_ref`, which is a call of its own and compares more.
        let start = (part.as_ptr() as usize).wrapping_sub(self.frame.as_ptr() as usize);
        self.frame.slice(start..start.wrapping_add(part.len()))
    }

    /// Skips a null form if it comes next.
    #[inline]
    pub fn skip_null(&mut self, null: Null, cx: Cx) -> bool {
        skip_null(&mut self.rest, null, cx)
    }

    /// Reads an unsigned varint of at most five bytes that fits 32 bits. A form longer than needed is taken, as Kafka does.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| self.error(DecodeErrorKind::BadLength));
            }
        }
        Err(self.error(DecodeErrorKind::BadLength))
    }

    /// As `len`, from a copy of what is left.
    #[inline]
    pub(crate) fn next_len(&mut self, rest: &mut &'a [u8], null: Null, cx: Cx) -> Result<usize, DecodeError> {
        if let (true, [byte @ 1..=0x7f, behind @ ..]) = (cx.flexible, *rest) {
            let len = usize::from(*byte) - 1;
            if len <= behind.len() {
                *rest = behind;
                return Ok(len);
            }
        }
        self.next_any_len(rest, null, cx)
    }

    #[inline(never)]
    fn next_any_len(&mut self, rest: &mut &'a [u8], null: Null, cx: Cx) -> Result<usize, DecodeError> {
        self.rest = rest;
        let len = self.any_len(null, cx);
        *rest = self.rest;
        len
    }

    /// Reads a length. Whatever is counted takes at least one byte apiece, so more than what is left is refused here.
    #[inline]
    pub fn len(&mut self, null: Null, cx: Cx) -> Result<usize, DecodeError> {
        if let (true, [byte @ 1..=0x7f, rest @ ..]) = (cx.flexible, self.rest) {
            let len = usize::from(*byte) - 1;
            if len <= rest.len() {
                self.rest = rest;
                return Ok(len);
            }
        }
        self.any_len(null, cx)
    }

    /// A length that is not in one byte, or none.
    #[inline(never)]
    fn any_len(&mut self, null: Null, cx: Cx) -> Result<usize, DecodeError> {
        let len = match null {
            _ if cx.flexible => i64::from(self.uvarint()?) - 1,
            Null::Short => i64::from(i16::from_be_bytes(self.array()?)),
            _ => i64::from(i32::from_be_bytes(self.array()?)),
        };
        match usize::try_from(len) {
            Ok(len) if len <= self.left() => Ok(len),
            Err(_) if len == -1 => Err(self.error(DecodeErrorKind::UnexpectedNull)),
            _ => Err(self.error(DecodeErrorKind::BadLength)),
        }
    }

    /// Pays for a list of `count` elements of `size` bytes, and says for how many to allocate at first: it is paid for, and yet more
    /// than an honest frame needs for what it has left is allocated only when the elements come.
    #[inline(never)]
    pub(crate) fn charge_list(&mut self, count: usize, size: usize, left: usize) -> Result<usize, DecodeError> {
        self.pay(count, size, left)?;
        let honest = left.saturating_mul(Self::BUDGET_FACTOR).saturating_add(4096);
        // Most lists are short, and there a division costs more than all else.
        if count.saturating_mul(size) <= honest { Ok(count) } else { Ok(count.min(honest / size.max(1) + 1)) }
    }

    /// Pays for `count` elements of `size` bytes before they are allocated.
    #[inline]
    pub fn charge(&mut self, count: usize, size: usize) -> Result<(), DecodeError> {
        self.pay(count, size, self.left())
    }

    /// As `charge`, where so many bytes are left.
    #[inline]
    pub(crate) fn pay(&mut self, count: usize, size: usize, left: usize) -> Result<(), DecodeError> {
        if count > Self::MAX_ELEMENTS {
            return Err(DecodeError { kind: DecodeErrorKind::TooMany, left });
        }
        match self.budget.checked_sub(count.saturating_mul(size)) {
            Some(budget) => self.budget = budget,
            None => return Err(DecodeError { kind: DecodeErrorKind::OverBudget, left }),
        }
        Ok(())
    }

    /// Reads a struct's tagged fields. `known` reads the value of a tag it knows and says so; others are skipped.
    pub fn tags(&mut self, known: &mut dyn FnMut(u32, &mut Self) -> Result<bool, DecodeError>) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        if count > Self::MAX_TAGS {
            return Err(self.error(DecodeErrorKind::TooMany));
        }
        let mut next = 0;
        for _ in 0..count {
            let tag = self.uvarint()?;
            if u64::from(tag) < next {
                return Err(self.error(DecodeErrorKind::BadTagOrder));
            }
            next = u64::from(tag) + 1;
            let len = self.uvarint()? as usize;
            let Some((value, rest)) = self.rest.split_at_checked(len) else { return Err(self.error(DecodeErrorKind::BadLength)) };
            // The value's own end is the end while it is read; an error in it still counts from the frame's.
            self.rest = value;
            let read = known(tag, self).and_then(|known| match known && self.left() > 0 {
                true => Err(self.error(DecodeErrorKind::Trailing)),
                false => Ok(()),
            });
            self.rest = rest;
            read.map_err(|error| DecodeError { left: error.left + rest.len(), ..error })?;
        }
        Ok(())
    }

    /// As `tags`, from a copy of what is left, and where the version has such.
    #[inline]
    pub(crate) fn next_tags(
        &mut self,
        rest: &mut &'a [u8],
        cx: Cx,
        known: &mut dyn FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        if no_tags(rest, cx) { Ok(()) } else { self.some_next_tags(rest, known) }
    }

    /// As `next_tags` for a struct that knows none.
    #[inline]
    pub(crate) fn skip_next_tags(&mut self, rest: &mut &'a [u8], cx: Cx) -> Result<(), DecodeError> {
        if no_tags(rest, cx) { Ok(()) } else { self.unknown_tags(rest) }
    }

    /// Skips the tagged fields of a struct that knows none.
    #[inline]
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        self.tags(&mut |_, _| Ok(false))
    }

    #[inline(never)]
    fn unknown_tags(&mut self, rest: &mut &'a [u8]) -> Result<(), DecodeError> {
        self.some_next_tags(rest, &mut |_, _| Ok(false))
    }

    #[inline(never)]
    fn some_next_tags(
        &mut self,
        rest: &mut &'a [u8],
        known: &mut dyn FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        self.rest = rest;
        let tags = self.tags(known);
        *rest = self.rest;
        tags
    }
}

/// Has the struct that ends here no tagged fields? Skips what says so.
#[inline]
fn no_tags(rest: &mut &[u8], cx: Cx) -> bool {
    if !cx.flexible {
        return true;
    }
    let [0, behind @ ..] = *rest else { return false };
    *rest = behind;
    true
}

/// Skips a null form if `rest` starts with one.
#[inline]
pub(crate) fn skip_null(rest: &mut &[u8], null: Null, cx: Cx) -> bool {
    // Spelled out for the compiler: with fixed lengths each of these is one comparison of integers.
    let behind = match null {
        Null::Marker => rest.strip_prefix(&[0xff]),
        _ if cx.flexible => match rest.first() {
            // The one test that most values get: null in one byte, or in more than it needs.
            Some(first) if first & 0x7f == 0 => compact_null(rest),
            _ => None,
        },
        Null::Short => rest.strip_prefix(&[0xff; 2]),
        Null::Long => rest.strip_prefix(&[0xff; 4]),
    };
    behind.map(|behind| *rest = behind).is_some()
}

/// What is behind a compact null, a varint of value 0. A form longer than needed is taken, as Kafka does.
fn compact_null(rest: &[u8]) -> Option<&[u8]> {
    let more = rest.iter().take(4).take_while(|byte| **byte == 0x80).count();
    rest.get(more..)?.strip_prefix(&[0])
}

/// What is behind a compact length in one byte, and the bytes it counts: the usual form of what is short. `None` where it is another.
#[inline]
pub(crate) fn short(rest: &[u8], cx: Cx) -> Option<(&[u8], &[u8])> {
    match rest {
        [byte @ 1..=0x7f, behind @ ..] if cx.flexible => behind.split_at_checked(usize::from(*byte) - 1),
        _ => None,
    }
}

/// Collects a message as a list of buffers, so that record batches go to the socket uncopied.
///
/// Everything copied stands in one allocation, which `finish` cuts where shared buffers come in between.
#[derive(Debug, Default)]
pub struct Writer {
    copied: Vec<u8>,
    shared: Shared,
}

impl Writer {
    /// From this size on, sharing a buffer is cheaper than copying it.
    pub const SHARE: usize = 4096;

    /// With room for `bytes` copied bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { copied: Vec::with_capacity(bytes), shared: Shared::default() }
    }

    /// With `head` in it, and room for `bytes` copied bytes more.
    pub(crate) fn after(head: &[u8], bytes: usize) -> Self {
        let mut writer = Self::with_capacity(head.len() + bytes);
        writer.copy(head);
        writer
    }

    /// Copies `bytes`.
    #[inline]
    pub fn copy(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
    }

    /// Writes a value that copies `len` bytes: its `size` without what is shared. More room than that is left out again; with less,
    /// what does not fit is lost.
    pub fn put<T: Wire>(&mut self, value: &T, len: usize, cx: Cx) {
        self.fill(len, |room, shared| value.put(room, shared, cx));
    }

    /// Lets `put` fill room for `len` bytes.
    #[inline]
    pub(crate) fn fill(&mut self, len: usize, put: impl for<'r> FnOnce(Room<'r>, &mut Shared) -> Room<'r>) {
        let start = self.copied.len();
        let end = start + len;
        self.copied.resize(end, 0);
        self.shared.end = end;
        let room = Room(self.copied.get_mut(start..).unwrap_or_default());
        let left = put(room, &mut self.shared).left();
        debug_assert_eq!(left, 0, "size and bytes agree");
        self.copied.truncate(end - left);
    }

    /// What was written, in order, ready for a vectored write; no buffer is empty.
    pub fn finish(self) -> Vec<Bytes> {
        let mut copied = Bytes::from(self.copied);
        let mut buffers = Vec::with_capacity(2 * self.shared.buffers.len() + 1);
        let mut cut = 0;
        for (at, shared) in self.shared.buffers {
            if at > cut {
                buffers.push(copied.split_to(at - cut));
            }
            buffers.push(shared);
            cut = at;
        }
        if !copied.is_empty() {
            buffers.push(copied);
        }
        buffers
    }
}

/// Buffers that are not copied.
#[derive(Debug, Default)]
pub struct Shared {
    /// Each with its place among the bytes copied.
    buffers: Vec<(usize, Bytes)>,
    /// Where the room ends that is being written to.
    end: usize,
}

/// Room for the bytes that a value's size foretold.
///
/// Each step takes what is left and gives back what is left then. So it stays in registers over all fields of a struct, which is
/// what makes writing fast. What does not fit is dropped; the tests write every message to show that sizes are right.
#[derive(Debug)]
pub struct Room<'a>(&'a mut [u8]);

impl<'a> Room<'a> {
    /// Bytes not yet written.
    #[inline]
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// Copies a fixed number of bytes.
    #[inline]
    #[must_use]
    pub fn array<const N: usize>(self, bytes: [u8; N]) -> Self {
        let Some((head, rest)) = self.0.split_first_chunk_mut() else { return Self::overrun() };
        *head = bytes;
        Self(rest)
    }

    /// Copies `bytes`.
    #[inline]
    #[must_use]
    pub fn copy(self, bytes: &[u8]) -> Self {
        let Some((head, rest)) = self.0.split_at_mut_checked(bytes.len()) else { return Self::overrun() };
        head.copy_from_slice(bytes);
        Self(rest)
    }

    /// Copies text behind its length.
    #[inline]
    #[must_use]
    pub fn text(self, text: &[u8], cx: Cx) -> Self {
        if is_short(text.len(), cx) { self.short(text) } else { self.long_text(text, cx) }
    }

    #[inline(never)]
    fn long_text(self, text: &[u8], cx: Cx) -> Self {
        self.len(text.len(), Null::Short, cx).copy(text)
    }

    /// Copies `bytes` behind their length, or shares them where they are many.
    #[inline]
    #[must_use]
    pub fn bytes(self, bytes: &Bytes, shared: &mut Shared, cx: Cx) -> Self {
        if is_short(bytes.len(), cx) { self.short(bytes) } else { self.long_bytes(bytes, shared, cx) }
    }

    #[inline(never)]
    fn long_bytes(self, bytes: &Bytes, shared: &mut Shared, cx: Cx) -> Self {
        let room = self.len(bytes.len(), Null::Long, cx);
        if bytes.len() < Writer::SHARE {
            return room.copy(bytes);
        }
        shared.buffers.push((shared.end - room.left(), bytes.clone()));
        room
    }

    /// What is short, behind its length: one comparison with what is left for both.
    #[inline]
    fn short(self, bytes: &[u8]) -> Self {
        let Some((to, rest)) = self.0.split_at_mut_checked(bytes.len() + 1) else { return Self::overrun() };
        if let [len, to @ ..] = to {
            *len = bytes.len() as u8 + 1;
            // Much is empty, and even then `copy_from_slice` is a call.
            if !bytes.is_empty() {
                to.copy_from_slice(bytes);
            }
        }
        Self(rest)
    }

    /// Takes the next `len` bytes, to be filled in by the caller.
    #[inline]
    pub fn take(self, len: usize) -> (&'a mut [u8], Self) {
        match self.0.split_at_mut_checked(len) {
            Some((head, rest)) => (head, Self(rest)),
            None => (&mut [], Self::overrun()),
        }
    }

    /// Writes an unsigned varint.
    #[inline]
    #[must_use]
    pub fn uvarint(self, value: u32) -> Self {
        if value < 0x80 { self.array([value as u8]) } else { self.long_uvarint(value) }
    }

    #[inline(never)]
    fn long_uvarint(mut self, mut value: u32) -> Self {
        while value >= 0x80 {
            self = self.array([value as u8 | 0x80]);
            value >>= 7;
        }
        self.array([value as u8])
    }

    /// Writes that a struct has no tagged fields.
    #[inline]
    pub(crate) fn no_tags(self, cx: Cx) -> Self {
        if cx.flexible { self.array([0]) } else { self }
    }

    /// Writes a length.
    #[inline]
    #[must_use]
    pub fn len(self, len: usize, null: Null, cx: Cx) -> Self {
        match null {
            _ if cx.flexible => self.uvarint((len as u32).wrapping_add(1)),
            Null::Short => self.array((len as i16).to_be_bytes()),
            _ => self.array((len as i32).to_be_bytes()),
        }
    }

    /// Writes a null.
    #[inline]
    #[must_use]
    pub fn null(self, null: Null, cx: Cx) -> Self {
        self.copy(null.bytes(cx))
    }

    #[cold]
    fn overrun() -> Self {
        debug_assert!(false, "a value is longer than its size");
        Self(&mut [])
    }
}

/// Is it ASCII, and so UTF-8? Read in words, as most names are short.
#[inline]
pub(crate) fn is_ascii(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else { return text.iter().fold(0, |all, byte| all | byte) < 0x80 };
    let words = text.as_chunks::<8>().0.iter();
    let all = words.fold(u64::from_ne_bytes(*last), |all, word| all | u64::from_ne_bytes(*word));
    all & 0x8080_8080_8080_8080 == 0
}

/// Has text or bytes of this length their usual form: a length in one byte, and no thought of sharing?
#[inline]
pub(crate) fn is_short(len: usize, cx: Cx) -> bool {
    cx.flexible && len < 0x7f
}

/// Bytes of text with its length.
#[inline]
pub(crate) fn text_size(len: usize, cx: Cx) -> usize {
    if is_short(len, cx) { 1 + len } else { long_text_size(len, cx) }
}

#[inline(never)]
fn long_text_size(len: usize, cx: Cx) -> usize {
    len_size(len, Null::Short, cx) + len
}

/// Bytes of bytes with their length; what is shared is added to `shared`.
#[inline]
pub(crate) fn bytes_size(len: usize, cx: Cx, shared: &mut usize) -> usize {
    if is_short(len, cx) { 1 + len } else { long_bytes_size(len, cx, shared) }
}

#[inline(never)]
fn long_bytes_size(len: usize, cx: Cx, shared: &mut usize) -> usize {
    if len >= Writer::SHARE {
        *shared += len;
    }
    len_size(len, Null::Long, cx) + len
}

/// Bytes an unsigned varint takes.
#[inline]
pub(crate) fn uvarint_size(value: u32) -> usize {
    if value < 0x80 {
        return 1;
    }
    (38 - (value | 1).leading_zeros() as usize) / 7
}

/// Bytes a length takes.
#[inline]
pub(crate) fn len_size(len: usize, null: Null, cx: Cx) -> usize {
    match null {
        _ if cx.flexible => uvarint_size((len as u32).wrapping_add(1)),
        Null::Short => 2,
        _ => 4,
    }
}

/// Bytes a tagged field takes: number, size, value.
pub(crate) fn tag_size(tag: u32, size: usize) -> usize {
    uvarint_size(tag) + uvarint_size(size as u32) + size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_and_have_the_size_foretold() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455, 268_435_456, u32::MAX] {
            let mut bytes = vec![0; uvarint_size(value)];
            assert_eq!(Room(&mut bytes).uvarint(value).left(), 0, "{value}");
            let bytes = Bytes::from(bytes);
            assert_eq!(Reader::new(&bytes).uvarint(), Ok(value));
        }
    }

    #[test]
    fn varints_that_do_not_fit_32_bits_are_refused() {
        for (bytes, result) in [
            (&[0xff, 0xff, 0xff, 0xff, 0x0f][..], Ok(u32::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0x1f], Err(DecodeErrorKind::BadLength)),
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00], Err(DecodeErrorKind::BadLength)),
            (&[0x80, 0x80], Err(DecodeErrorKind::Truncated)),
            // Longer than needed, and taken all the same, as Kafka does.
            (&[0x85, 0x80, 0x00], Ok(5)),
        ] {
            assert_eq!(Reader::new(&Bytes::from_static(bytes)).uvarint().map_err(|error| error.kind), result, "{bytes:?}");
        }
    }

    #[test]
    fn a_compact_null_may_be_longer_than_needed() {
        let cx = Cx { version: 0, flexible: true, nullable: true };
        for (bytes, left) in [
            (&[0, 7][..], Some(1)),
            (&[0x80, 0, 7], Some(1)),
            (&[0x80, 0x80, 0x80, 0x80, 0], Some(0)),
            // One byte too many, no end, and a length of 127.
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0], None),
            (&[0x80, 0x80], None),
            (&[0x80, 1], None),
            (&[], None),
        ] {
            let frame = Bytes::from_static(bytes);
            let mut r = Reader::new(&frame);
            assert_eq!((r.skip_null(Null::Short, cx), r.left()), (left.is_some(), left.unwrap_or(bytes.len())), "{bytes:?}");
            let mut r = Reader::new(&frame);
            let read: Result<Option<Vec<i32>>, _> = Wire::take(&mut r, cx);
            assert_eq!((read.ok(), r.left()).eq(&(Some(None), left.unwrap_or(0))), left.is_some(), "{bytes:?}");
        }
    }

    #[test]
    fn large_buffers_are_shared_in_their_place() {
        let large = Bytes::from(vec![7; Writer::SHARE]);
        let mut w = Writer::default();
        let cx = Cx { version: 0, flexible: true, nullable: false };
        w.put(&large, 2, cx);
        w.copy(&[1, 2]);
        w.put(&Bytes::from_static(&[3]), 2, cx);
        w.put(&vec![large.clone(), large.clone()], 5, cx);
        let buffers = w.finish();
        let between = |bytes| Bytes::from_static(bytes);
        let copied = [between(&[0x81, 0x20]), between(&[1, 2, 2, 3, 3, 0x81, 0x20]), between(&[0x81, 0x20])];
        assert_eq!(buffers, [&copied[0], &large, &copied[1], &large, &copied[2], &large].map(Bytes::clone));
        assert!([1, 3, 5].iter().all(|at| buffers[*at].as_ptr() == large.as_ptr()), "not copied");
        assert!(Writer::default().finish().is_empty());
    }

    #[test]
    fn the_budget_is_spent_once() {
        let frame = Bytes::from(vec![0; 100]);
        let mut r = Reader::new(&frame);
        let budget = Reader::BUDGET_BASE + 800;
        assert_eq!(r.charge(budget / 16, 16), Ok(()));
        assert_eq!(r.charge(budget / 16, 16).unwrap_err().kind, DecodeErrorKind::OverBudget);
        assert_eq!(r.charge(Reader::MAX_ELEMENTS + 1, 0).unwrap_err().kind, DecodeErrorKind::TooMany);
        assert_eq!(r.charge(usize::MAX, usize::MAX).unwrap_err().kind, DecodeErrorKind::TooMany);
    }
}
