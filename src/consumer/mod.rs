//! Consumers: groups, positions, fetched records.

pub mod assignor;
mod chunk;
mod fetch;
mod group;
mod group_driver;
mod offsets;
mod pause;
mod positions;

pub use offsets::OffsetAndMetadata;
