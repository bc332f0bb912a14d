//! The types fields are made of: numbers, text, bytes, arrays, options, and newtypes for what must not be mixed up.
//!
//! Each implements [`Wire`] for all versions at once: lengths are compact in flexible versions and fixed before. [`Str`] is text that
//! shares its frame's memory; the newtypes over it stand for the entity types of the schemas, so that a group's name cannot be sent
//! as a topic's. A nullable field is an `Option`, and by Kafka's rule not null unless its declaration says so.

use bytes::Bytes;

use crate::protocol::decode_error::{DecodeError, DecodeErrorKind};
use crate::protocol::reflect::{Type, Value};
use crate::protocol::summary::Summary;
use crate::protocol::unfit::{Misfit, Unfit};
use crate::protocol::wire::{Cx, Null, Reader, Room, Shared, Wire, bytes_size, is_ascii, len_size, short, skip_null, text_size};

/// Text that shares its frame's memory; at most `i16::MAX` bytes, so that writing it cannot fail.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Str(Bytes);

impl Str {
    /// Takes `bytes` if they are UTF-8 and short enough.
    pub fn new(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = bytes.into();
        (bytes.len() <= i16::MAX as usize && std::str::from_utf8(&bytes).is_ok()).then_some(Self(bytes))
    }

    /// Copies `text`, cut at the last character that fits: for messages to people, not for names.
    pub fn truncated(text: &str) -> Self {
        let longest = text.len().min(i16::MAX as usize);
        let cut = (0..=longest).rev().find_map(|end| text.get(..end)).unwrap_or_default();
        Self(Bytes::copy_from_slice(cut.as_bytes()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A copy that does not keep the frame it was read from alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl std::fmt::Debug for Str {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

impl std::fmt::Display for Str {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

/// Text was longer than the 32,767 bytes a Kafka string can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextTooLong {
    /// Its length in bytes.
    pub len: usize,
}

impl std::fmt::Display for TextTooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "text of {} bytes is too long: Kafka's strings have at most {} bytes", self.len, i16::MAX)
    }
}

impl std::error::Error for TextTooLong {}

impl TryFrom<&str> for Str {
    type Error = TextTooLong;

    fn try_from(text: &str) -> Result<Self, TextTooLong> {
        if text.len() <= i16::MAX as usize {
            Ok(Self(Bytes::copy_from_slice(text.as_bytes())))
        } else {
            Err(TextTooLong { len: text.len() })
        }
    }
}

impl TryFrom<String> for Str {
    type Error = TextTooLong;

    fn try_from(text: String) -> Result<Self, TextTooLong> {
        if text.len() <= i16::MAX as usize { Ok(Self(text.into())) } else { Err(TextTooLong { len: text.len() }) }
    }
}

/// Values of a fixed size: the schemas' name, the size, how zero reads as a default, how it goes out and comes in.
macro_rules! fixed {
    ($($type:ty, $name:literal, $size:literal, $value:expr, $to:expr, $from:expr;)*) => {$(
        impl Wire for $type {
            const TYPE: Type = Type::Plain($name);
            const FIXED: usize = $size;
            const INITIAL: Value = $value;
            const CHECKED: bool = false;
            #[inline]
            fn size(&self, _: Cx, _: &mut usize) -> usize { $size }
            #[inline]
            fn put<'a>(&self, room: Room<'a>, _: &mut Shared, _: Cx) -> Room<'a> { room.array::<$size>($to(*self)) }
            #[inline]
            fn take_next<'a>(_: &mut Reader<'a>, rest: &mut &'a [u8], _: Cx) -> Result<Self, DecodeError> {
                let Some((head, behind)) = rest.split_first_chunk::<$size>() else { return Err(truncated(rest)) };
                *rest = behind;
                Ok($from(*head))
            }
            #[inline]
            fn to_fixed(&self, to: &mut [u8]) {
                if let Some(to) = to.first_chunk_mut::<$size>() { *to = $to(*self); }
            }
            #[inline]
            fn from_fixed(bytes: &[u8]) -> Self { bytes.first_chunk::<$size>().map_or_else(Self::initial, |bytes| $from(*bytes)) }
        }
    )*};
}

fixed! {
    i8, "int8", 1, Value::Int(0), i8::to_be_bytes, i8::from_be_bytes;
    i16, "int16", 2, Value::Int(0), i16::to_be_bytes, i16::from_be_bytes;
    u16, "uint16", 2, Value::Int(0), u16::to_be_bytes, u16::from_be_bytes;
    i32, "int32", 4, Value::Int(0), i32::to_be_bytes, i32::from_be_bytes;
    i64, "int64", 8, Value::Int(0), i64::to_be_bytes, i64::from_be_bytes;
    f64, "float64", 8, Value::Float(0.0), f64::to_be_bytes, f64::from_be_bytes;
    bool, "bool", 1, Value::Bool(false), |x: bool| [u8::from(x)], |[x]: [u8; 1]| x != 0;
    [u8; 16], "uuid", 16, Value::Empty, |x: [u8; 16]| x, |x| x;
}

/// The byte that says whether a struct is null.
#[inline]
fn marker(rest: &mut &[u8]) -> Result<u8, DecodeError> {
    let Some((marker, behind)) = rest.split_first() else { return Err(truncated(rest)) };
    *rest = behind;
    Ok(*marker)
}

/// An error at the start of what is left.
#[cold]
fn truncated(rest: &[u8]) -> DecodeError {
    DecodeError { kind: DecodeErrorKind::Truncated, left: rest.len() }
}

impl Wire for Bytes {
    const TYPE: Type = Type::Plain("bytes");
    const NULL: Null = Null::Long;
    #[inline]
    fn size(&self, cx: Cx, shared: &mut usize) -> usize {
        bytes_size(self.len(), cx, shared)
    }
    #[inline]
    fn put<'a>(&self, room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a> {
        room.bytes(self, shared, cx)
    }
    /// Not inlined: nearly every struct has such a field.
    #[inline(never)]
    fn take_next<'a>(r: &mut Reader<'a>, rest: &mut &'a [u8], cx: Cx) -> Result<Self, DecodeError> {
        match short(rest, cx) {
            Some((bytes, behind)) => {
                *rest = behind;
                Ok(r.share(bytes))
            }
            None => take_long(r, rest, cx, |r, cx| r.len(Self::NULL, cx).and_then(|len| r.shared(len))),
        }
    }
    fn check(&self, _: Cx, _: bool) -> Result<(), Unfit> {
        Unfit::longer(self.len())
    }
}

impl Wire for Str {
    const TYPE: Type = Type::Plain("string");
    const NULL: Null = Null::Short;
    const CHECKED: bool = false;
    #[inline]
    fn size(&self, cx: Cx, _: &mut usize) -> usize {
        text_size(self.0.len(), cx)
    }
    #[inline]
    fn put<'a>(&self, room: Room<'a>, _: &mut Shared, cx: Cx) -> Room<'a> {
        room.text(&self.0, cx)
    }
    /// Not inlined: nearly every struct has such a field.
    #[inline(never)]
    fn take_next<'a>(r: &mut Reader<'a>, rest: &mut &'a [u8], cx: Cx) -> Result<Self, DecodeError> {
        match short(rest, cx) {
            Some((text, behind)) if is_ascii(text) => {
                *rest = behind;
                Ok(Self(r.share(text)))
            }
            _ => take_long(r, rest, cx, |r, cx| {
                let len = r.len(Self::NULL, cx)?;
                Self::new(r.shared(len)?).ok_or_else(|| r.error(DecodeErrorKind::BadText))
            }),
        }
    }
}

/// A value whose form is not the usual one.
#[cold]
#[inline(never)]
fn take_long<'a, T>(
    r: &mut Reader<'a>,
    rest: &mut &'a [u8],
    cx: Cx,
    take: fn(&mut Reader<'a>, Cx) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    r.rest = rest;
    let value = take(r, cx);
    *rest = r.rest;
    value
}

/// Writes values that all have the same size, with one range check for all. Not inlined: each list would have its own loop.
#[inline(never)]
fn put_fixed<'a, T: Wire>(items: &[T], room: Room<'a>) -> Room<'a> {
    let (to, room) = room.take(items.len().saturating_mul(T::FIXED));
    for (to, item) in to.chunks_exact_mut(T::FIXED).zip(items) {
        item.to_fixed(to);
    }
    room
}

/// Reads `len` such values.
#[inline(never)]
fn take_fixed<T: Wire>(r: &mut Reader<'_>, rest: &mut &[u8], len: usize) -> Result<Vec<T>, DecodeError> {
    r.pay(len, size_of::<T>(), rest.len())?;
    let Some((items, behind)) = rest.split_at_checked(len.saturating_mul(T::FIXED)) else {
        // The first that is not whole is at fault.
        return Err(DecodeError { kind: DecodeErrorKind::Truncated, left: rest.len() % T::FIXED });
    };
    *rest = behind;
    Ok(items.chunks_exact(T::FIXED).map(T::from_fixed).collect())
}

impl<T: Wire> Wire for Vec<T> {
    const TYPE: Type = Type::Array(&T::TYPE);
    const SUMMARY: Summary = T::SUMMARY;
    const NULL: Null = Null::Long;
    fn size(&self, cx: Cx, shared: &mut usize) -> usize {
        let mut size = len_size(self.len(), Self::NULL, cx) + self.len() * T::FIXED;
        if const { T::FIXED == 0 } {
            for item in self {
                size += item.size(cx, shared);
            }
        }
        size
    }
    fn put<'a>(&self, room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a> {
        let mut room = room.len(self.len(), Self::NULL, cx);
        if const { T::FIXED > 0 } {
            return put_fixed(self, room);
        }
        for item in self {
            room = item.put(room, shared, cx);
        }
        room
    }
    fn take_next<'a>(r: &mut Reader<'a>, rest: &mut &'a [u8], cx: Cx) -> Result<Self, DecodeError> {
        let len = r.next_len(rest, Self::NULL, cx)?;
        if len == 0 {
            return Ok(Self::new());
        }
        // One range check for all, where all have the same size.
        if const { T::FIXED > 0 } {
            return take_fixed(r, rest, len);
        }
        let mut items = match r.charge_list(len, size_of::<T>(), rest.len()) {
            Ok(first) => Self::with_capacity(first),
            Err(error) => return Err(error),
        };
        for _ in 0..len {
            if items.len() == items.capacity() {
                items.reserve_exact(len - items.len());
            }
            match T::take_next(r, rest, cx) {
                Ok(item) => items.push(item),
                Err(error) => return Err(error),
            }
        }
        Ok(items)
    }
    fn check(&self, cx: Cx, whole: bool) -> Result<(), Unfit> {
        if !whole && !T::SUMMARY.must_check(cx.version) {
            return Ok(());
        }
        Unfit::longer(self.len())?;
        if T::CHECKED {
            for (at, item) in self.iter().enumerate() {
                if let Err(unfit) = item.check(cx, whole) {
                    return Err(unfit.at(at));
                }
            }
        }
        Ok(())
    }
}

impl<T: Wire> Wire for Option<T> {
    const TYPE: Type = T::TYPE;
    const SUMMARY: Summary = T::SUMMARY;
    const NULL: Null = T::NULL;
    const INITIAL: Value = T::INITIAL;
    /// Not null: a nullable field is null by default only where its declaration says so.
    fn initial() -> Self {
        Some(T::initial())
    }
    #[inline]
    fn size(&self, cx: Cx, shared: &mut usize) -> usize {
        match self {
            Some(value) => usize::from(T::NULL == Null::Marker) + value.size(cx, shared),
            None if cx.nullable => T::NULL.bytes(cx).len(),
            None => initial_size::<T>(cx),
        }
    }
    #[inline]
    fn put<'a>(&self, room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a> {
        match self {
            Some(value) => {
                let room = if T::NULL == Null::Marker { room.array([1]) } else { room };
                value.put(room, shared, cx)
            }
            None if cx.nullable => room.null(T::NULL, cx),
            None => put_initial::<T>(room, shared, cx),
        }
    }
    #[inline]
    fn take_next<'a>(r: &mut Reader<'a>, rest: &mut &'a [u8], cx: Cx) -> Result<Self, DecodeError> {
        if cx.nullable && skip_null(rest, T::NULL, cx) {
            return Ok(None);
        }
        if T::NULL == Null::Marker && marker(rest)? != 1 {
            return Err(DecodeError { kind: DecodeErrorKind::BadLength, left: rest.len() });
        }
        T::take_next(r, rest, cx).map(Some)
    }
    fn check(&self, cx: Cx, whole: bool) -> Result<(), Unfit> {
        match self {
            Some(value) => value.check(cx, whole),
            None if cx.nullable => Ok(()),
            None => Err(Unfit::new(Misfit::Null)),
        }
    }
}

/// The size of a null where the version has none: of what `put_initial` writes there.
#[cold]
#[inline(never)]
fn initial_size<T: Wire>(cx: Cx) -> usize {
    Some(T::initial()).size(cx, &mut 0)
}

/// Writes a null where the version has none, which `check` would have found.
#[cold]
#[inline(never)]
fn put_initial<'a, T: Wire>(room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a> {
    Some(T::initial()).put(room, shared, cx)
}

/// Newtypes: on the wire like what they wrap, and `$type` in the reflection.
macro_rules! newtype {
    ($($(#[$meta:meta])* $name:ident($inner:ty) = $type:expr;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);
        newtype! { @wire $name($inner) = $type }
    )*};
    (@wire $name:ident($inner:ty) = $type:expr) => {
        impl Wire for $name {
            const TYPE: Type = $type;
            const NULL: Null = <$inner as Wire>::NULL;
            const FIXED: usize = <$inner as Wire>::FIXED;
            const INITIAL: Value = <$inner as Wire>::INITIAL;
            const CHECKED: bool = <$inner as Wire>::CHECKED;
            #[inline]
            fn size(&self, cx: Cx, shared: &mut usize) -> usize { self.0.size(cx, shared) }
            #[inline]
            fn put<'a>(&self, room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a> { self.0.put(room, shared, cx) }
            #[inline]
            fn take_next<'a>(r: &mut Reader<'a>, rest: &mut &'a [u8], cx: Cx) -> Result<Self, DecodeError> {
                Wire::take_next(r, rest, cx).map(Self)
            }
            #[inline]
            fn to_fixed(&self, to: &mut [u8]) { self.0.to_fixed(to) }
            #[inline]
            fn from_fixed(bytes: &[u8]) -> Self { Self(Wire::from_fixed(bytes)) }
            fn check(&self, cx: Cx, whole: bool) -> Result<(), Unfit> { self.0.check(cx, whole) }
        }
    };
}

pub(crate) use newtype;

newtype! {
    /// A topic's name.
    TopicName(Str) = Type::Entity("string", "topicName");
    /// A group's name.
    GroupId(Str) = Type::Entity("string", "groupId");
    /// The name a transactional producer keeps over restarts.
    TransactionalId(Str) = Type::Entity("string", "transactionalId");
    /// A broker's number.
    #[derive(Copy)] BrokerId(i32) = Type::Entity("int32", "brokerId");
    /// The number a broker gave an idempotent producer.
    #[derive(Copy)] ProducerId(i64) = Type::Entity("int64", "producerId");
    /// Sixteen bytes that name a topic, a member or a directory; all zero is "none".
    #[derive(Copy)] Uuid([u8; 16]) = Type::Plain("uuid");
    /// A record batch as it came or will go: not looked into here.
    Records(Bytes) = Type::Plain("records");
}

/// Bytes that prove who somebody is. `Debug` shows nothing of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretBytes(pub Bytes);

newtype! { @wire SecretBytes(Bytes) = Type::Plain("bytes") }

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A client's name for itself in a request's header, which has a length of two bytes in every version, flexible or not: a broker must
/// be able to read it in the ApiVersions request of a client that is newer than itself (KIP-511).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientId(pub Option<Str>);

impl ClientId {
    /// As in a version that is not flexible.
    fn fixed(cx: Cx) -> Cx {
        Cx { flexible: false, ..cx }
    }
}

impl Wire for ClientId {
    const TYPE: Type = Type::Fixed("string");
    const NULL: Null = Null::Short;
    fn initial() -> Self {
        Self(Wire::initial())
    }
    fn size(&self, cx: Cx, shared: &mut usize) -> usize {
        self.0.size(Self::fixed(cx), shared)
    }
    fn put<'a>(&self, room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a> {
        self.0.put(room, shared, Self::fixed(cx))
    }
    fn take_next<'a>(r: &mut Reader<'a>, rest: &mut &'a [u8], cx: Cx) -> Result<Self, DecodeError> {
        Wire::take_next(r, rest, Self::fixed(cx)).map(Self)
    }
    fn check(&self, cx: Cx, whole: bool) -> Result<(), Unfit> {
        self.0.check(cx, whole)
    }
}

/// A struct in a tagged field that may be null: there its marker is 0 for null, where in other places it is -1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedOption<T>(pub Option<T>);

impl<T> Default for TaggedOption<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Wire> Wire for TaggedOption<T> {
    const TYPE: Type = T::TYPE;
    const SUMMARY: Summary = T::SUMMARY;
    const NULL: Null = T::NULL;
    const INITIAL: Value = T::INITIAL;
    fn initial() -> Self {
        Self(Wire::initial())
    }
    fn size(&self, cx: Cx, shared: &mut usize) -> usize {
        1 + self.0.as_ref().map_or(0, |value| value.size(cx, shared))
    }
    fn put<'a>(&self, room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a> {
        match &self.0 {
            Some(value) => value.put(room.array([1]), shared, cx),
            None => room.array([0]),
        }
    }
    fn take_next<'a>(r: &mut Reader<'a>, rest: &mut &'a [u8], cx: Cx) -> Result<Self, DecodeError> {
        match marker(rest)? {
            0 => Ok(Self(None)),
            1 => T::take_next(r, rest, cx).map(|value| Self(Some(value))),
            _ => Err(DecodeError { kind: DecodeErrorKind::BadLength, left: rest.len() }),
        }
    }
    fn check(&self, cx: Cx, whole: bool) -> Result<(), Unfit> {
        self.0.check(cx, whole)
    }
}

/// What the newtypes over text can do.
macro_rules! text {
    ($($name:ident)*) => {$(
        impl $name {
            /// Takes `bytes` if they are UTF-8 and at most 32,767 long.
            pub fn new(bytes: impl Into<Bytes>) -> Option<Self> {
                Str::new(bytes).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// A copy that does not keep the frame it was read from alive.
            #[must_use]
            pub fn detached(&self) -> Self {
                Self(self.0.detached())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = TextTooLong;

            fn try_from(text: &str) -> Result<Self, TextTooLong> {
                text.try_into().map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextTooLong;

            fn try_from(text: String) -> Result<Self, TextTooLong> {
                text.try_into().map(Self)
            }
        }
    )*};
}

text! { TopicName GroupId TransactionalId }

impl std::fmt::Display for BrokerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for ProducerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Uuid {
    /// No id.
    pub const ZERO: Self = Self([0; 16]);

    /// Is it "none"?
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

/// As Kafka's tools write it: base64 for URLs, without padding.
impl std::fmt::Display for Uuid {
    #[expect(clippy::indexing_slicing, reason = "six bits are a place among 64 signs")]
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = u128::from_be_bytes(self.0);
        // 128 bits are 21 groups of six and one of two, which is filled up with zeros.
        for at in 0..22 {
            let group = if at == 21 { bits << 4 } else { bits >> (122 - 6 * at) };
            write!(f, "{}", char::from(ALPHABET[(group & 63) as usize]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Writer;

    #[test]
    fn text_is_at_most_as_long_as_kafka_can_say() {
        let longest = "a".repeat(32_767);
        assert_eq!(Str::try_from(longest.as_str()).unwrap(), longest.as_str());
        let longer = longest + "a";
        assert_eq!(Str::try_from(longer.as_str()), Err(TextTooLong { len: 32_768 }));
        assert_eq!(TopicName::try_from(longer.clone()), Err(TextTooLong { len: 32_768 }));
        assert_eq!(Str::new(longer), None);
        assert_eq!(Str::new(vec![0xc3, 0x28]), None, "not UTF-8");
    }

    /// The bytes Java writes for a consumer group's member: tag 0 with its size, then the marker.
    #[test]
    fn a_tagged_struct_has_a_marker_of_its_own() {
        use crate::protocol::ApiMessage;
        use crate::protocol::messages::coordinator::consumer_group_member_metadata::*;
        let start = [1, 1, 1, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 1];
        let classic = ClassicMemberMetadata { session_timeout_ms: 5, ..Default::default() };
        for (metadata, tags) in [
            (Some(ClassicMemberMetadata::default()), &[0][..]),
            (None, &[1, 0, 1, 0]),
            (Some(classic), &[1, 0, 7, 1, 0, 0, 0, 5, 1, 0]),
        ] {
            let member =
                ConsumerGroupMemberMetadataValue { classic_member_metadata: TaggedOption(metadata), ..Default::default() };
            let mut w = Writer::default();
            member.encode(0, &mut w);
            let bytes = Bytes::from(w.finish().concat());
            assert_eq!((&bytes[..11], &bytes[11..]), (&start[..], tags));
            assert_eq!(member.encoded_len(0), bytes.len());
            assert_eq!(ConsumerGroupMemberMetadataValue::decode(&bytes, 0), Ok(member));
        }
        let bytes = Bytes::from([&start[..], &[1, 0, 1, 0xff]].concat());
        let error = ConsumerGroupMemberMetadataValue::decode(&bytes, 0).unwrap_err();
        assert!(ConsumerGroupMemberMetadataValue::explain(&bytes, 0, error).contains("ClassicMemberMetadata"), "{error}");
    }

    #[test]
    fn secret_bytes_are_not_shown() {
        let secret = SecretBytes(Bytes::from_static(b"canary"));
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
    }

    #[test]
    fn text_is_cut_between_characters() {
        let text = format!("{}é", "a".repeat(32_766));
        assert_eq!(Str::truncated(&text), text.get(..32_766).unwrap());
        assert_eq!(Str::truncated("é"), "é");
    }

    #[test]
    fn ids_read_as_in_kafkas_own_tools() {
        let mut id = Uuid::ZERO;
        assert_eq!(id.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        id.0[15] = 1;
        assert_eq!(id.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
        assert_eq!(Uuid(*b"0123456789abcdef").to_string(), "MDEyMzQ1Njc4OWFiY2RlZg");
    }
}
