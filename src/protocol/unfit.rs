//! Why a message cannot be written: which field, where in it, and what is wrong with it there.
//!
//! Found before a byte is written. The path is put together on the way out of the fields, so that a message that fits pays nothing
//! for it.

use crate::protocol::wire::{Cx, Wire};

/// A message holds what cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// A field that this version cannot carry as it is.
    Field {
        /// Name of the message.
        message: &'static str,
        /// The version asked for.
        version: i16,
        /// The field's names in Rust from the message on, with places in lists: `topics[3].partitions[0].current_leader_epoch`.
        path: String,
        /// What is wrong with it.
        misfit: Misfit,
    },
    /// The message is not declared for this version.
    UnsupportedVersion {
        /// Name of the message.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The frame would be longer than its length field can say.
    TooLarge {
        /// The frame's length.
        len: usize,
    },
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misfit {
    /// It is set, the version does not have it, and it may not be dropped.
    NotInVersion,
    /// It is null where the version has no null.
    Null,
    /// It has more bytes or elements than a length field can say.
    TooLong {
        /// How many it has.
        len: usize,
    },
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field { message, version, path, misfit } => {
                write!(f, "{message} version {version}, {path}: ")?;
                match misfit {
                    Misfit::NotInVersion => f.write_str("is set, but this version has no such field"),
                    Misfit::Null => f.write_str("is null, which this version does not allow"),
                    Misfit::TooLong { len } => write!(f, "has length {len}; at most {} can be written", i32::MAX),
                }
            }
            Self::UnsupportedVersion { message, version } => {
                write!(f, "{message}: version {version} of the message is not known")
            }
            Self::TooLarge { len } => {
                write!(f, "the message is too large: {len} bytes do not fit one frame, which has at most {}", i32::MAX)
            }
        }
    }
}

impl std::error::Error for EncodeError {}

/// What a check found, on its way out of the fields. A pointer wide, for it is in the result of every check.
#[derive(Debug)]
pub struct Unfit(Box<(Vec<Step>, Misfit)>);

/// What a struct's check has found, if anything yet.
pub(crate) struct Found {
    whole: bool,
    unfit: Option<Unfit>,
}

impl Found {
    #[inline]
    pub(crate) fn new(whole: bool) -> Self {
        Self { whole, unfit: None }
    }

    /// A field is set that the version does not have.
    #[cold]
    pub(crate) fn absent(&mut self, name: &'static str) -> bool {
        self.unfit = Some(Unfit::not_in_version(name));
        false
    }

    #[inline]
    pub(crate) fn result(&mut self) -> Result<(), Unfit> {
        self.unfit.take().map_or(Ok(()), Err)
    }
}

/// Does a field fit? What is known to the compiler is not even compiled.
#[inline]
pub(crate) fn check_field<T: Wire>(value: &T, name: &'static str, cx: Cx, found: &mut Found) -> bool {
    if T::CHECKED
        && let Err(unfit) = value.check(cx, found.whole)
    {
        found.unfit = Some(unfit.inside(name));
        return false;
    }
    true
}

/// A step of a path.
#[derive(Debug)]
enum Step {
    Field(&'static str),
    At(usize),
}

impl Unfit {
    /// The value at hand does not fit.
    #[cold]
    pub fn new(misfit: Misfit) -> Self {
        Self(Box::new((Vec::new(), misfit)))
    }

    /// This field is not in the version.
    #[cold]
    pub fn not_in_version(field: &'static str) -> Self {
        Self::new(Misfit::NotInVersion).inside(field)
    }

    /// Is `len` more than a length field can say?
    #[inline]
    pub fn longer(len: usize) -> Result<(), Self> {
        if len > i32::MAX as usize { Err(Self::new(Misfit::TooLong { len })) } else { Ok(()) }
    }

    /// It was found in this field.
    #[cold]
    #[must_use]
    pub fn inside(self, field: &'static str) -> Self {
        self.step(Step::Field(field))
    }

    /// It was found in this element of a list.
    #[cold]
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        self.step(Step::At(index))
    }

    fn step(mut self, step: Step) -> Self {
        self.0.0.push(step);
        self
    }

    /// It was found in this message.
    #[cold]
    pub(crate) fn in_message(self, message: &'static str, version: i16) -> EncodeError {
        let (steps, misfit) = *self.0;
        let mut path = String::new();
        for step in steps.iter().rev() {
            match step {
                Step::Field(name) => {
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(name.trim_start_matches("r#"));
                }
                Step::At(index) => path.push_str(&format!("[{index}]")),
            }
        }
        EncodeError::Field { message, version, path, misfit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_no_length_field_can_say_is_named_with_its_field() {
        let longest = i32::MAX as usize;
        assert!(Unfit::longer(longest).is_ok());
        let unfit = Unfit::longer(longest + 1).unwrap_err();
        let error = unfit.inside("records").at(3).inside("responses").in_message("FetchResponse", 12);
        let EncodeError::Field { path, misfit, .. } = &error else { panic!("{error:?}") };
        assert_eq!((path.as_str(), *misfit), ("responses[3].records", Misfit::TooLong { len: longest + 1 }));
        let text = "FetchResponse version 12, responses[3].records: has length 2147483648; at most 2147483647 can be written";
        assert_eq!(error.to_string(), text);
    }
}
