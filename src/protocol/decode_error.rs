//! Why a frame cannot be read. The other direction is in `unfit.rs`.

/// Why a frame could not be read, and where: small and `Copy`, since it is built on the way every frame takes.
///
/// Which field that is, [`ApiMessage::explain`](crate::protocol::ApiMessage::explain) finds out afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Bytes from there to the frame's end.
    pub left: usize,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The frame ends inside a value.
    Truncated,
    /// A length or varint is negative, too large for its type, or longer than what is left of the frame.
    BadLength,
    /// Text is not UTF-8, or longer than 32,767 bytes.
    BadText,
    /// A null where this version has none.
    UnexpectedNull,
    /// Bytes are left over after a value.
    Trailing,
    /// An array of more than 1,000,000 elements, or more than 10,000 tagged fields in one struct.
    TooMany,
    /// The decoded message would take far more memory than the frame it came in.
    OverBudget,
    /// Tagged fields do not come in ascending order.
    BadTagOrder,
    /// The message is not declared for this version.
    UnsupportedVersion(i16),
    /// No such API is declared.
    UnknownApi(i16),
}

impl std::fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the frame ends inside a value",
            Self::BadLength => "a length is negative, malformed or longer than the frame",
            Self::BadText => "text is not UTF-8 or too long",
            Self::UnexpectedNull => "null where this version has none",
            Self::Trailing => "bytes are left over after the value",
            Self::TooMany => "more elements than any message may have",
            Self::OverBudget => "the message would take far more memory than its frame",
            Self::BadTagOrder => "tagged fields are not in ascending order",
            Self::UnsupportedVersion(version) => return write!(f, "version {version} of the message is not known"),
            Self::UnknownApi(key) => return write!(f, "API {key} is not known"),
        })
    }
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            DecodeErrorKind::UnsupportedVersion(_) | DecodeErrorKind::UnknownApi(_) => self.kind.fmt(f),
            _ => write!(f, "{}, {} bytes before the frame's end", self.kind, self.left),
        }
    }
}

impl std::error::Error for DecodeError {}
