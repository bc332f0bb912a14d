//! Bytes to messages and back: the wire protocol of Apache Kafka, without I/O.
//!
//! Each API is declared once by the `message!` macro; record batches have their own reader and writer in `records`.

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
