//! Bytes to messages and back: the wire protocol of Apache Kafka, without I/O, clock or runtime.
//!
//! - `messages`: each API declared once by the `message!` macro (`message.rs`), which gives its struct, defaults, size, encoder,
//!   decoder, and a check of what a version cannot carry. On [`Wire`], [`Reader`] and [`Writer`] these are built.
//! - [`api`]: the registry of API numbers, names and versions.
//! - [`header`] and [`frame`]: what stands around a message, and how a stream is cut.
//! - [`records`]: record batches have their own reader and writer; here they are opaque bytes.
//!
//! Input is trusted in nothing. Each length is compared with the bytes that are left, and what is allocated with a budget that
//! follows from the frame's size; an error is a small value that says what and where, never a panic. Text and bytes that were read
//! share the frame's memory: whoever keeps them longer than the response copies them (`detached`).

// What comes from the network must not be able to stop the program.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

#[macro_use]
mod message;
pub mod api;
mod error_code;
pub mod frame;
pub mod header;
pub mod messages;
mod primitives;
pub mod records;
mod reflect;
mod wire;

pub use api::ApiKey;
pub use error_code::ErrorCode;
pub use message::{ApiMessage, Request};
pub use primitives::{BrokerId, GroupId, ProducerId, Records, Str, TextTooLong, TopicName, TransactionalId, Uuid};
pub use reflect::{Field, Type, Value, Versions};
pub use wire::{Cx, DecodeError, DecodeErrorKind, EncodeError, Null, Reader, Wire, Writer};
