//! The `message!` macro: a Kafka message declared once, for all its versions.
//!
//! ```text
//! message! {
//!     request KEY -> Response, versions A..=B, flexible F.., unstable N, listeners [broker, controller];
//!
//!     /// What it is for.
//!     struct Name {
//!         /// What one cannot guess.
//!         field: Type [VERSIONS, null VERSIONS, tag NUMBER, key, name "irregular"] ignorable = DEFAULT,
//!     }
//!     struct Inner { … }
//! }
//! message! { response KEY, versions A..=B, flexible F..; struct Response { … } }
//! message! { data, versions A..=B; struct Payload { … } }      // or `header`
//! message! { coordinator key KEY, versions A..=B; struct RecordKey { … } }      // or `coordinator value`: records of a coordinator's log
//! ```
//!
//! - The first struct is the message; the others are what it contains, in any order. `flexible` and all after it may be missing.
//!   `struct Name as "SchemaName"`: where the schemas of request and response call two structs the same.
//! - `VERSIONS` are Rust ranges: those that have the field, and those in which it may be null. Only the former is required. A field
//!   that may be null is an `Option`.
//! - `tag`: a tagged field, in all the versions it has. Tags are declared in ascending order.
//! - `key`: the field identifies its struct among others in a list. `name`: the schema's name where it is not the field's in
//!   CamelCase. Neither changes the bytes.
//! - `ignorable`: may be dropped in versions without the field. Of other fields `check_version` demands that they are at their default.
//! - `DEFAULT`: what the field is where a version has none. When it is not given: zero, false or empty, and for an `Option` *not*
//!   `None` but `Some` of that. That is Kafka's rule, and a trap.
//! - `unstable`: the last of the versions, not to be chosen by negotiation. `listeners`: who serves the API.
//!
//! What is in a field's brackets stays a list of tokens, and `spec!` answers one question about it at a time: optional parts of a
//! pattern cannot be used inside one another's repetitions. Everything is one pass over the fields, without recursion; `tags!` looks
//! at all of a struct at once, whether any is tagged.
//!
//! Encoding cannot fail once `check_version` passed. Fields are written in the order declared, which must be that of the schema.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::protocol::decode_error::{DecodeError, DecodeErrorKind};
use crate::protocol::reflect;
use crate::protocol::unfit::{EncodeError, Unfit};
use crate::protocol::wire::{Cx, Reader, Room, Shared, Wire, Writer};

/// A whole request or response body.
pub trait ApiMessage: Wire + Send + Sync + 'static {
    /// Its name in the official schemas.
    const NAME: &'static str;
    /// Number of the API, or of a coordinator's kind of record; -1 for headers and data.
    const API_KEY: i16;
    /// Versions that can be written and read.
    const VERSIONS: RangeInclusive<i16>;
    /// The version, the last of `VERSIONS`, that Kafka calls unstable; negotiation leaves it out unless asked.
    const UNSTABLE: Option<i16> = None;
    /// Where the API is served (`broker`, `controller`); empty for responses and data.
    const LISTENERS: &'static [&'static str] = &[];
    /// Does this version use compact lengths and tags?
    fn is_flexible(_version: i16) -> bool {
        false
    }

    /// Bytes that `encode` will write.
    fn encoded_len(&self, version: i16) -> usize {
        self.size(cx::<Self>(version), &mut 0)
    }
    /// Of these, the bytes that `encode` will share and not copy.
    fn shared_len(&self, version: i16) -> usize {
        let mut shared = 0;
        self.size(cx::<Self>(version), &mut shared);
        shared
    }
    /// Finds the first field that `version` cannot carry and that may not be dropped.
    fn check_version(&self, version: i16) -> Result<(), EncodeError> {
        check(self, Self::NAME, &Self::VERSIONS, cx::<Self>(version))
    }
    /// Checks and measures the message: what passes can be written in `version`.
    ///
    /// # Errors
    /// When `version` is not one of the message's, cannot carry a field that is set, or the message is too long for any frame.
    fn checked(&self, version: i16) -> Result<Checked<'_, Self>, EncodeError> {
        match measure(self, Self::NAME, &Self::VERSIONS, cx::<Self>(version)) {
            Ok((len, shared)) => Ok(Checked { message: self, version, len, shared }),
            Err(error) => Err(error),
        }
    }
    /// Writes the body. What the version has no place for is dropped, so call `check_version` first if the fields are not known to
    /// fit, or [`checked`](Self::checked), which also measures only once.
    fn encode(&self, version: i16, w: &mut Writer) {
        let (mut shared, cx) = (0, cx::<Self>(version));
        let len = self.size(cx, &mut shared);
        w.put(self, len - shared, cx);
    }
    /// Reads the body, which must fill `body`; text and bytes keep sharing its memory.
    fn decode(body: &Bytes, version: i16) -> Result<Self, DecodeError> {
        if !declared(version, &Self::VERSIONS) {
            return Err(DecodeError { kind: DecodeErrorKind::UnsupportedVersion(version), left: body.len() });
        }
        let mut r = Reader::new(body);
        let read = Self::take(&mut r, cx::<Self>(version));
        if read.is_ok() && r.left() > 0 { Err(r.error(DecodeErrorKind::Trailing)) } else { read }
    }
    /// Says in words what is wrong with a `body` that `decode` refused: message, field, place, what was expected there. For logs and
    /// errors only: it walks the body again by the declaration.
    #[cold]
    fn explain(body: &Bytes, version: i16, error: DecodeError) -> String {
        reflect::explain(Self::NAME, Self::FIELDS, version, Self::is_flexible(version), body, error)
    }
}

/// A message that fits its version, and its length there.
#[derive(Debug)]
pub struct Checked<'a, M> {
    message: &'a M,
    version: i16,
    len: usize,
    /// Of these, the bytes that are shared and not copied.
    shared: usize,
}

impl<M: ApiMessage> Checked<'_, M> {
    /// Bytes of the body.
    pub fn body_len(&self) -> usize {
        self.len
    }

    /// `head` and the body, as buffers for one vectored write.
    pub fn write(&self, head: &[u8]) -> Vec<Bytes> {
        write(self.message, self.len - self.shared, head, cx::<M>(self.version))
    }
}

/// A request, tied to what answers it.
pub trait Request: ApiMessage {
    /// What the broker answers with.
    type Response: ApiMessage;
}

/// Is it one of these?
fn declared(version: i16, versions: &RangeInclusive<i16>) -> bool {
    versions.contains(&version)
}

/// A message whose type is not known: what follows is compiled once and not for each.
trait Body {
    fn check_body(&self, cx: Cx, whole: bool) -> Result<(), Unfit>;
    fn body_size(&self, cx: Cx, shared: &mut usize) -> usize;
    fn put_body<'a>(&self, room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a>;
}

impl<T: Wire> Body for T {
    fn check_body(&self, cx: Cx, whole: bool) -> Result<(), Unfit> {
        self.check(cx, whole)
    }
    fn body_size(&self, cx: Cx, shared: &mut usize) -> usize {
        self.size(cx, shared)
    }
    fn put_body<'a>(&self, room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a> {
        self.put(room, shared, cx)
    }
}

fn check(body: &dyn Body, message: &'static str, versions: &RangeInclusive<i16>, cx: Cx) -> Result<(), EncodeError> {
    if !declared(cx.version, versions) {
        return Err(EncodeError::UnsupportedVersion { message, version: cx.version });
    }
    body.check_body(cx, false).map_err(|unfit| unfit.in_message(message, cx.version))
}

/// Length of the body, and how much of it is shared.
fn measure(
    body: &dyn Body,
    message: &'static str,
    versions: &RangeInclusive<i16>,
    cx: Cx,
) -> Result<(usize, usize), EncodeError> {
    check(body, message, versions, cx)?;
    let mut shared = 0;
    let len = body.body_size(cx, &mut shared);
    if len > i32::MAX as usize {
        // Which field it is, if it is one alone.
        body.check_body(cx, true).map_err(|unfit| unfit.in_message(message, cx.version))?;
        return Err(EncodeError::TooLarge { len });
    }
    Ok((len, shared))
}

/// Writes a body of which `len` bytes are copied.
fn write(body: &dyn Body, len: usize, head: &[u8], cx: Cx) -> Vec<Bytes> {
    let mut w = Writer::after(head, len);
    w.fill(len, |room, shared| body.put_body(room, shared, cx));
    w.finish()
}

fn cx<M: ApiMessage>(version: i16) -> Cx {
    Cx { version, flexible: M::is_flexible(version), nullable: false }
}

/// Declares a message: one header line, its struct, then the structs it contains.
macro_rules! message {
    (request $key:literal -> $response:ident, $($rest:tt)*) => {
        message! { @message ($response) $key, $($rest)* }
    };
    (response $key:literal, $($rest:tt)*) => {
        message! { @message () $key, $($rest)* }
    };
    (coordinator $half:ident $key:literal, $($rest:tt)*) => {
        message! { @message () $key, $($rest)* }
    };
    (header, $($rest:tt)*) => {
        message! { @message () -1, $($rest)* }
    };
    (data, $($rest:tt)*) => {
        message! { @message () -1, $($rest)* }
    };
    (@message ($($response:ident)?) $key:literal, versions $versions:expr $(, flexible $flexible:expr)? $(, unstable $unstable:literal)?
        $(, listeners [$($listener:ident),*])?;
        $(#[$meta:meta])* struct $name:ident $body:tt
        $($(#[$meta2:meta])* struct $name2:ident $(as $schema2:literal)? {$($body2:tt)*})*
    ) => {
        #[allow(unused_imports)]
        use $crate::protocol::message::scope::*;
        wire_struct! { message $(#[$meta])* struct $name $body }
        $(wire_struct! { inner $(#[$meta2])* struct $name2 $(as $schema2)? {$($body2)*} })*
        impl $crate::protocol::ApiMessage for $name {
            const NAME: &'static str = stringify!($name);
            const API_KEY: i16 = $key;
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            $(const UNSTABLE: Option<i16> = Some($unstable);)?
            $(const LISTENERS: &'static [&'static str] = &[$(stringify!($listener)),*];)?
            $(fn is_flexible(version: i16) -> bool { ($flexible).contains(&version) })?
        }
        $(impl $crate::protocol::Request for $name { type Response = $response; })?
    };
}

/// What the code of a declaration says by its first name; no struct of a message is called as one of these.
pub(crate) mod scope {
    pub(crate) use crate::protocol::decode_error::DecodeError;
    pub(crate) use crate::protocol::reflect::{Field, Given, Type};
    pub(crate) use crate::protocol::unfit::{Found, Unfit, check_field};
    pub(crate) use crate::protocol::wire::{Cx, Reader, Room, Shared, Wire, tag_size, uvarint_size};
}

/// Declares one struct of a message. What is in a field's brackets stays a list of tokens for `spec!` to look into: parts captured
/// here would each be a repetition of their own, and those cannot be used inside one another.
///
/// The compiler expands and resolves all of this anew whenever one message has changed. So the code says as little as it can for
/// each of two thousand fields: names are imported once, what is the same for all stands in a function, and what follows from the
/// declaration alone is found from `FIELDS` (`summary.rs`).
macro_rules! wire_struct {
    ($place:ident $(#[$meta:meta])* struct $name:ident $(as $schema:literal)? {$(
        $(#[$field_meta:meta])* $field:ident: $type:ty [$($spec:tt)*] $($ignorable:ident)? $(= $default:expr)?,
    )*}) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: spec!(absent $($default)?),)* }
            }
        }

        #[allow(unused_mut, unused_variables)]
        impl Wire for $name {
            const TYPE: Type = Type::Struct(spec!(struct $name $($schema)?), Self::FIELDS);
            const FIELDS: &'static [Field] = &[$(spec!(field $field $type, [$($spec)*] $($ignorable)?, $($default)?)),*];

            // These two are short, and called for each element of a list.
            #[inline]
            fn size(&self, cx: Cx, shared: &mut usize) -> usize {
                let cx = cx.$place(Self::SUMMARY);
                let mut size = 0;
                $(spec! { size (self.$field) size shared cx [$($spec)*] })*
                tags! { size size shared cx $((self.$field) [$($spec)*] ($type $(, $default)?))* }
            }

            #[inline]
            fn put<'a>(&self, mut room: Room<'a>, shared: &mut Shared, cx: Cx) -> Room<'a> {
                let cx = cx.$place(Self::SUMMARY);
                $(spec! { put (self.$field) room shared cx [$($spec)*] })*
                tags! { put room shared cx $((self.$field) [$($spec)*] ($type $(, $default)?))* }
            }

            fn take_next<'a>(r: &mut Reader<'a>, rest: &mut &'a [u8], cx: Cx) -> Result<Self, DecodeError> {
                let cx = cx.$place(Self::SUMMARY);
                let mut this = Self {$($field: spec!(take r rest cx [$($spec)*] $($default)?),)*};
                match tags! { take r rest cx $((this.$field) [$($spec)*] ($type $(, $default)?))* } {
                    Ok(()) => Ok(this),
                    Err(error) => Err(error),
                }
            }

            fn check(&self, cx: Cx, whole: bool) -> Result<(), Unfit> {
                let cx = cx.or_null(false);
                let found = &mut Found::new(whole);
                let _ = true $(&& spec!(check (self.$field) $field cx found [$($spec)*] $type, [$($ignorable)?] $($default)?))*;
                found.result()
            }
        }
    };
}

/// The end of a struct: its tagged fields, where the version has such. Most structs know none, which one look at all of them shows.
macro_rules! tags {
    (size $size:ident $shared:ident $cx:ident $($value:tt [$first:tt $dots:tt $($last:literal)?
        $(, null $null:tt $null_dots:tt $($null_last:literal)?)? $(, key)? $(, name $name:literal)?] $default:tt)*) => {
        $size + $cx.no_tags_size()
    };
    (put $room:ident $shared:ident $cx:ident $($value:tt [$first:tt $dots:tt $($last:literal)?
        $(, null $null:tt $null_dots:tt $($null_last:literal)?)? $(, key)? $(, name $name:literal)?] $default:tt)*) => {
        $room.no_tags($cx)
    };
    (take $r:ident $rest:ident $cx:ident $($value:tt [$first:tt $dots:tt $($last:literal)?
        $(, null $null:tt $null_dots:tt $($null_last:literal)?)? $(, key)? $(, name $name:literal)?] $default:tt)*) => {
        $r.skip_next_tags($rest, $cx)
    };
    (size $size:ident $shared:ident $cx:ident $($value:tt $spec:tt $default:tt)*) => {{
        if $cx.flexible {
            let mut tags = 0;
            $(spec! { tagged $cx tag $spec if $value != spec!(default $default) {
                tags += 1;
                $size += tag_size(tag, Wire::size(&$value, $cx, $shared));
            }})*
            $size += uvarint_size(tags);
        }
        $size
    }};
    (put $room:ident $shared:ident $cx:ident $($value:tt $spec:tt $default:tt)*) => {{
        if $cx.flexible {
            let mut tags = 0;
            $(spec! { tagged $cx tag $spec if $value != spec!(default $default) { tags += 1; } })*
            $room = $room.uvarint(tags);
            $(spec! { tagged $cx tag $spec if tags > 0 && $value != spec!(default $default) {
                $room = $room.uvarint(tag).uvarint(Wire::size(&$value, $cx, &mut 0) as u32);
                $room = Wire::put(&$value, $room, $shared, $cx);
            }})*
        }
        $room
    }};
    (take $r:ident $rest:ident $cx:ident $($value:tt $spec:tt $default:tt)*) => {
        $r.next_tags($rest, $cx, &mut |found, r| {
            $(spec! { tagged $cx tag $spec if found == tag {
                $value = Wire::take(r, $cx)?;
                return Ok(true);
            }})*
            Ok(false)
        })
    };
}

/// Answers questions about one field's `[versions, null versions, tag number, key, name]`, and writes what a function does with it.
///
/// There are two thousand fields: what a function needs of one is one call, and the rule for what most of them are, `[0..]`, comes first.
macro_rules! spec {
    // Bytes of a field that stands before the tags.
    (size ($value:expr) $size:ident $shared:ident $cx:ident [0 .. $(, key)? $(, name $name:literal)?]) => {
        $size += Wire::size(&$value, $cx, $shared);
    };
    (size ($value:expr) $size:ident $shared:ident $cx:ident [$first:tt $dots:tt $($last:literal)?
        $(, null $null:tt $null_dots:tt $($null_last:literal)?)? $(, key)? $(, name $name:literal)?]) => {
        if ($first $dots $($last)?).contains(&$cx.version) {
            $size += Wire::size(&$value, spec!(cx $cx $(, $null $null_dots $($null_last)?)?), $shared);
        }
    };
    (size $value:tt $size:ident $shared:ident $cx:ident $tagged:tt) => {};
    // Writes it.
    (put ($value:expr) $room:ident $shared:ident $cx:ident [0 .. $(, key)? $(, name $name:literal)?]) => {
        $room = Wire::put(&$value, $room, $shared, $cx);
    };
    (put ($value:expr) $room:ident $shared:ident $cx:ident [$first:tt $dots:tt $($last:literal)?
        $(, null $null:tt $null_dots:tt $($null_last:literal)?)? $(, key)? $(, name $name:literal)?]) => {
        if ($first $dots $($last)?).contains(&$cx.version) {
            $room = Wire::put(&$value, $room, $shared, spec!(cx $cx $(, $null $null_dots $($null_last)?)?));
        }
    };
    (put $value:tt $room:ident $shared:ident $cx:ident $tagged:tt) => {};
    // Reads it.
    (take $r:ident $rest:ident $cx:ident [0 .. $(, key)? $(, name $name:literal)?] $($default:expr)?) => {
        match Wire::take_next($r, $rest, $cx) {
            Ok(value) => value,
            Err(error) => return Err(error),
        }
    };
    (take $r:ident $rest:ident $cx:ident [$first:tt $dots:tt $($last:literal)?
        $(, null $null:tt $null_dots:tt $($null_last:literal)?)? $(, key)? $(, name $name:literal)?] $($default:expr)?) => {
        if ($first $dots $($last)?).contains(&$cx.version) {
            match Wire::take_next($r, $rest, spec!(cx $cx $(, $null $null_dots $($null_last)?)?)) {
                Ok(value) => value,
                Err(error) => return Err(error),
            }
        } else {
            spec!(absent $($default)?)
        }
    };
    (take $r:ident $rest:ident $cx:ident $spec:tt $($default:expr)?) => { spec!(absent $($default)?) };
    // Finds what a version cannot carry.
    (check ($value:expr) $field:ident $cx:ident $found:ident [0 .. $(, key)? $(, name $name:literal)?] $($rest:tt)*) => {
        check_field(&$value, stringify!($field), $cx, $found)
    };
    (check ($value:expr) $field:ident $cx:ident $found:ident [$first:tt $dots:tt $($last:literal)?
        $(, null $null:tt $null_dots:tt $($null_last:literal)?)? $(, tag $tag:literal)? $(, key)? $(, name $name:literal)?]
        $type:ty, [$($ignorable:ident)?] $($default:expr)?) => {
        if ($first $dots $($last)?).contains(&$cx.version) {
            check_field(&$value, stringify!($field), spec!(cx $cx $(, $null $null_dots $($null_last)?)?), $found)
        } else {
            spec!(is_dropped $($ignorable)?) || $value == spec!(default ($type $(, $default)?)) || $found.absent(stringify!($field))
        }
    };
    // The field as data: what words it has are calls.
    (field $field:ident $type:ty, [$first:tt $dots:tt $($last:literal)? $(, null $null:tt $null_dots:tt $($null_last:literal)?)?
        $(, tag $tag:literal)?, key $(, name $name:literal)?] $($rest:tt)*) => {
        spec!(field $field $type, [$first $dots $($last)? $(, null $null $null_dots $($null_last)?)? $(, tag $tag)? $(, name $name)?] $($rest)*).key()
    };
    (field $field:ident $type:ty, [$first:tt $dots:tt $($last:literal)? $(, null $null:tt $null_dots:tt $($null_last:literal)?)?
        $(, tag $tag:literal)? $(, name $name:literal)?] $($ignorable:ident)?, $($default:expr)?) => {
        Field::of::<$type>(stringify!($field), &[$first $(, $last)?])
            $(.nullable(&[$null $(, $null_last)?]))? $(.tag($tag))? $(.name($name))? $(.$ignorable())? $(.default(Given::<$type>($default).value()))?
    };
    // What a field is in versions without it, where its type is known and where it must be said.
    (absent) => { Wire::initial() };
    (absent $default:expr) => { $default };
    (default ($type:ty)) => { <$type as Wire>::initial() };
    (default ($type:ty, $default:expr)) => {{ let default: $type = $default; default }};
    (struct $name:ident) => { stringify!($name) };
    (struct $name:ident $schema:literal) => { $schema };
    (is_dropped) => { false };
    (is_dropped ignorable) => { true };
    // The context to read or write it in. Most that may be null always may, and the compiler must see that at once.
    (cx $cx:ident) => { $cx };
    (cx $cx:ident, 0 ..) => { $cx.or_null(true) };
    (cx $cx:ident, $first:tt $dots:tt $($last:literal)?) => { $cx.or_null(($first $dots $($last)?).contains(&$cx.version)) };
    // Code for tagged fields only, with the tag's number and the field's context at hand.
    (tagged $cx:ident $number:ident [$first:tt $dots:tt $($last:literal)? $(, null $null:tt $null_dots:tt $($null_last:literal)?)?, tag $tag:literal $(, key)? $(, name $name:literal)?] $($code:tt)*) => {
        if ($first $dots $($last)?).contains(&$cx.version) {
            let $number: u32 = $tag;
            let $cx = spec!(cx $cx $(, $null $null_dots $($null_last)?)?);
            $($code)*
        }
    };
    (tagged $cx:ident $number:ident $other:tt $($code:tt)*) => {};
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::unfit::Misfit;

    /// A body of any length, of which one field may be at fault.
    struct Long {
        len: usize,
        field: usize,
    }

    impl Body for Long {
        fn check_body(&self, _: Cx, whole: bool) -> Result<(), Unfit> {
            if whole { Unfit::longer(self.field).map_err(|unfit| unfit.inside("field")) } else { Ok(()) }
        }
        fn body_size(&self, _: Cx, shared: &mut usize) -> usize {
            *shared += self.field;
            self.len
        }
        fn put_body<'a>(&self, room: Room<'a>, _: &mut Shared, _: Cx) -> Room<'a> {
            room
        }
    }

    /// What takes 2 GiB to show with a real message.
    #[test]
    fn a_message_that_no_frame_can_hold_is_refused_with_the_field_at_fault_if_it_is_one() {
        let longest = i32::MAX as usize;
        let measured = |len, field, version| {
            let cx = Cx { version, flexible: true, nullable: false };
            measure(&Long { len, field }, "Long", &(0..=3), cx)
        };
        assert_eq!(measured(longest, 7, 3), Ok((longest, 7)));
        assert_eq!(measured(longest + 1, longest, 3), Err(EncodeError::TooLarge { len: longest + 1 }));
        let (path, misfit) = ("field".to_owned(), Misfit::TooLong { len: longest + 1 });
        let field = EncodeError::Field { message: "Long", version: 3, path, misfit };
        assert_eq!(measured(longest + 9, longest + 1, 3), Err(field));
        assert_eq!(measured(0, 0, 4), Err(EncodeError::UnsupportedVersion { message: "Long", version: 4 }));
    }
}
