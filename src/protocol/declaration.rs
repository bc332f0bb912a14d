//! Every declared message as data: what tools, tests and fuzz targets need to know of one whose type they do not know.
//!
//! The list is made from the declarations by the table in `api.rs`; each entry holds the message's own constants and functions.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::protocol::api::DECLARATIONS;
use crate::protocol::decode_error::DecodeError;
use crate::protocol::message::ApiMessage;
use crate::protocol::reflect::Field;
use crate::protocol::unfit::EncodeError;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What a client sends.
    Request,
    /// What answers it.
    Response,
    /// What stands before every request or response.
    Header,
    /// What stands inside other messages, or in records.
    Data,
    /// Key of a record in the log of a group or transaction coordinator.
    CoordinatorKey,
    /// Value of such a record.
    CoordinatorValue,
}

/// One message in all its versions.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Declaration {
    /// Its name in the official schemas.
    pub name: &'static str,
    /// What it is for.
    pub kind: Kind,
    /// Number of its API, or of a coordinator's kind of record: the key's first two bytes. -1 for headers and data.
    pub api_key: i16,
    /// First and last version that can be written and read, an unstable one included.
    pub versions: (i16, i16),
    /// The last version, if Kafka calls it unstable.
    pub unstable: Option<i16>,
    /// Where the API is served; empty for all but requests.
    pub listeners: &'static [&'static str],
    /// Does a version use compact lengths and tags?
    pub is_flexible: fn(i16) -> bool,
    /// Its fields, in the order of the wire.
    pub fields: &'static [Field],
    /// Reads a body and drops what was read.
    pub decode: fn(&Bytes, i16) -> Result<(), DecodeError>,
    /// Reads a body in a version and writes it again in the same.
    pub recode: fn(&Bytes, i16) -> Result<Recoded, RecodeError>,
    /// Says in words why a body could not be read.
    pub explain: fn(&Bytes, i16, DecodeError) -> String,
}

impl Declaration {
    pub(crate) const fn of<M: ApiMessage>(kind: Kind) -> Self {
        Self {
            name: M::NAME,
            kind,
            api_key: M::API_KEY,
            versions: (*M::VERSIONS.start(), *M::VERSIONS.end()),
            unstable: M::UNSTABLE,
            listeners: M::LISTENERS,
            is_flexible: M::is_flexible,
            fields: M::FIELDS,
            decode: decode::<M>,
            recode: recode::<M>,
            explain: M::explain,
        }
    }

    /// The message of this name, `MetadataRequest`; `None` if none is declared.
    pub fn named(name: &str) -> Option<&'static Self> {
        DECLARATIONS.iter().find(|declared| declared.name == name)
    }

    /// Its versions, one by one.
    pub fn each_version(&self) -> RangeInclusive<i16> {
        self.versions.0..=self.versions.1
    }
}

/// What a body became that was read and written again.
#[derive(Clone, Debug)]
pub struct Recoded {
    /// The bytes, in order.
    pub buffers: Vec<Bytes>,
    /// How many `encoded_len` foretold.
    pub encoded_len: usize,
}

/// A body could not be read, or what was read could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecodeError {
    /// It could not be read.
    Decode(DecodeError),
    /// It could not be written; of a body that was read in the same version this is not expected.
    Encode(EncodeError),
}

impl std::fmt::Display for RecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecodeError {}

fn decode<M: ApiMessage>(body: &Bytes, version: i16) -> Result<(), DecodeError> {
    M::decode(body, version).map(drop)
}

fn recode<M: ApiMessage>(body: &Bytes, version: i16) -> Result<Recoded, RecodeError> {
    let message = match M::decode(body, version) {
        Ok(message) => message,
        Err(error) => return Err(RecodeError::Decode(error)),
    };
    match message.checked(version) {
        Ok(body) => Ok(Recoded { buffers: body.write(&[]), encoded_len: body.body_len() }),
        Err(error) => Err(RecodeError::Encode(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::reflect::{Type, Versions};
    use crate::protocol::summary::Summary;

    /// `Cx::inner` takes it for granted: a struct is in no version that is before or after those of its fields.
    #[test]
    fn a_struct_has_fields_in_the_first_and_the_last_version_it_is_in() {
        fn walk(name: &str, fields: &[Field], (first, last): Versions) -> usize {
            let each = fields.iter().map(|field| {
                let versions = (first.max(field.versions.0), last.min(field.versions.1));
                let mut ty = field.ty;
                while let Type::Array(items) = ty {
                    ty = *items;
                }
                let Type::Struct(inner, fields) = ty else { return 0 };
                let (from, to) = Summary::of(fields).lives;
                assert!(from <= versions.0 && versions.1 <= to, "{name}: {inner} in versions {versions:?}");
                1 + walk(name, fields, versions)
            });
            each.sum()
        }
        let structs: usize = DECLARATIONS.iter().map(|message| walk(message.name, message.fields, message.versions)).sum();
        assert!(structs > 300, "{structs} structs");
    }
}
