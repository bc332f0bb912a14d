//! Bytes to messages and back: the wire protocol of Apache Kafka, without I/O, clock or runtime.
//!
//! - `messages`: each API declared once by the `message!` macro (`message.rs`), which gives its struct, defaults, size, encoder,
//!   decoder, and a check of what a version cannot carry. On [`Wire`], [`Reader`] and [`Writer`] these are built.
//! - [`api`]: the registry of API numbers, names and versions; [`DECLARATIONS`] lists every message as data.
//! - [`header`] and [`frame`]: what stands around a message, and how a stream is cut.
//! - `json` (with the feature of that name): messages as JSON and back, as Kafka's own converters do it.
//! - [`records`]: record batches have their own reader and writer; here they are opaque bytes.
//!
//! Input is trusted in nothing. Each length is compared with the bytes that are left, and what is allocated with a budget that
//! follows from the frame's size; an error is a small value that says what and where, never a panic. Text and bytes that were read
//! share the frame's memory: whoever keeps them longer than the response copies them (`detached`).
//!
//! # Example
//!
//! A request on its way to the broker, and its answer on the way back:
//!
//! ```
//! use klamm::protocol::frame::Frames;
//! use klamm::protocol::header::{RequestHeader, decode_response, encode_request, encode_response};
//! use klamm::protocol::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
//! use klamm::protocol::{ApiKey, ApiMessage, BrokerId, Str};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let request = FindCoordinatorRequest { coordinator_keys: vec![Str::try_from("billing")?], ..Default::default() };
//! let sent = encode_request(7, None, 4, &request)?.concat();
//!
//! // The broker's side.
//! let mut frames = Frames::new(100_000_000);
//! frames.read_buffer().extend_from_slice(&sent);
//! let frame = frames.next_frame()?.expect("a whole frame was sent");
//! let (header, body) = RequestHeader::decode(&frame)?;
//! let asked = FindCoordinatorRequest::decode(&body, header.api_version)?;
//! let found = Coordinator { key: asked.coordinator_keys[0].clone(), node_id: BrokerId(1), port: 9092, ..Default::default() };
//! let response = FindCoordinatorResponse { coordinators: vec![found], ..Default::default() };
//! let answered = encode_response(header.correlation_id, header.api_version, &response)?.concat();
//!
//! // The client's side again.
//! frames.read_buffer().extend_from_slice(&answered);
//! let frame = frames.next_frame()?.expect("a whole frame was sent");
//! let (correlation_id, body) = decode_response(&frame, ApiKey::FIND_COORDINATOR, FindCoordinatorResponse::is_flexible(4))?;
//! assert_eq!((correlation_id, FindCoordinatorResponse::decode(&body, 4)?), (7, response));
//! # Ok(())
//! # }
//! ```

// What comes from the network must not be able to stop the program.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

#[macro_use]
mod message;
pub mod api;
mod declaration;
mod decode_error;
mod error_code;
pub mod frame;
pub mod header;
#[cfg(feature = "json")]
pub mod json;
pub mod messages;
mod primitives;
pub mod records;
mod reflect;
mod summary;
mod unfit;
mod wire;

pub use api::{ApiKey, DECLARATIONS};
pub use declaration::{Declaration, Kind, RecodeError, Recoded};
pub use decode_error::{DecodeError, DecodeErrorKind};
pub use error_code::ErrorCode;
pub use message::{ApiMessage, Checked, Request};
pub use primitives::{
    BrokerId, ClientId, GroupId, ProducerId, Records, SecretBytes, Str, TaggedOption, TextTooLong, TopicName, TransactionalId,
    Uuid,
};
pub use reflect::{Field, Type, Value, Versions};
pub use summary::Summary;
pub use unfit::{EncodeError, Misfit, Unfit};
pub use wire::{Cx, Null, Reader, Room, Shared, Wire, Writer};
