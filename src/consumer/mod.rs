//! Consumers: groups, positions, fetched records.

pub mod assignor;
mod chunk;
mod fetch;
mod group;
mod group_driver;
mod group_link;
mod offsets;
mod pause;
mod positions;

pub use offsets::OffsetAndMetadata;
